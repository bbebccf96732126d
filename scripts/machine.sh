#!/usr/bin/env bash
# What the machine itself must have for a target; everything else goes into .venv.
# Usage: machine.sh PROGRAM-OR-PATH=PACKAGE...
set -euo pipefail

missing=()
for pair in "$@"; do
    name=${pair%%=*}
    { [[ $name = /* ]] && [ -e "$name" ]; } || command -v "$name" >/dev/null 2>&1 || missing+=("${pair#*=}")
done
if ! python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    missing+=(python3 python3-venv)
fi
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "this machine lacks: ${missing[*]}" >&2
    echo "  -> sudo apt-get install ${missing[*]}" >&2
    exit 3
fi

echo "installing ${missing[*]}"
# a test that needs the sshd program must not leave a server listening: nothing is started by this installation
guard=/usr/sbin/policy-rc.d
made=
if [ ! -e $guard ]; then
    printf '#!/bin/sh\nexit 101\n' >$guard
    chmod +x $guard
    made=yes
fi
trap '[ -z "$made" ] || rm -f $guard' EXIT
export DEBIAN_FRONTEND=noninteractive
apt-get update -q | sed -un 's/^Get:[0-9]* .*\/\([a-z-]*\) .*/  \1/p'
apt-get install -y -q --no-install-recommends "${missing[@]}" | sed -un 's/^\(Unpacking\|Setting up\) \([^ ]*\).*/  \2/p'
