#!/usr/bin/env bash
# Those we are compared with, in an environment of their own. Usage: peers.sh VENV
# Of the collections only those our kinds have names from: the package `ansible` unpacked whole is 600 MB.
set -euo pipefail

venv=$1
test -x "$venv/bin/python" || python3 -m venv "$venv"
"$venv/bin/python" -m pip install --quiet -c constraints-bench.txt ansible-core passlib mitogen pyinfra
download=$(mktemp -d)
trap 'rm -rf "$download"' EXIT
"$venv/bin/python" -m pip download --quiet --no-deps -c constraints-bench.txt -d "$download" ansible
"$venv/bin/python" - "$download" <<'PYTHON'
import pathlib, sys, sysconfig, zipfile

wanted = tuple(f"ansible_collections/{name}/" for name in ("ansible/posix", "community/general", "community/docker",
                                                           "community/library_inventory_filtering_v1"))
(wheel,) = pathlib.Path(sys.argv[1]).glob("*.whl")
with zipfile.ZipFile(wheel) as packed:
    members = [name for name in packed.namelist() if name.startswith(wanted)]
    packed.extractall(sysconfig.get_path("purelib"), members)
PYTHON
