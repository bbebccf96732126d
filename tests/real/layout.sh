#!/bin/bash
# The start of a Postgres image. LAYOUT_*: uid of the server, its data directory, superuser, password, socket, rules of
# pg_hba.conf, directory of its configuration (else the data directory), options of initdb and of the server, SQL.
set -euo pipefail
data=$LAYOUT_DATA socket=${LAYOUT_SOCKET-/var/run/postgresql}
if [ "$(id -u)" = 0 ]; then
    install -d -o "$LAYOUT_UID" -g "$LAYOUT_UID" "$data" "${socket:-/tmp/none}" $([ ! -d /wal ] || echo /wal)
    exec setpriv --reuid="$LAYOUT_UID" --regid="$LAYOUT_UID" --clear-groups bash "$0"
fi
PATH=/usr/lib/postgresql/17/bin:$PATH
conf=${LAYOUT_CONF:-$data}
if [ ! -s "$data/PG_VERSION" ]; then
    # shellcheck disable=SC2086  # several options in one variable
    initdb -D "$data" -U "$LAYOUT_SUPERUSER" --pwfile=<(echo "$LAYOUT_PASSWORD") --auth=trust --no-sync \
        --locale=C.UTF-8 -E UTF8 ${LAYOUT_INITDB:-} >/dev/null
    echo "${LAYOUT_SQL:-}" | postgres --single -D "$data" postgres >/dev/null
    [ "$conf" = "$data" ] || mv "$data"/*.conf "$conf"
    echo "$LAYOUT_HBA" >"$conf/pg_hba.conf"
fi
# shellcheck disable=SC2086
exec postgres -D "$data" -c config_file="$conf/postgresql.conf" -c hba_file="$conf/pg_hba.conf" \
    -c ident_file="$conf/pg_ident.conf" -c unix_socket_directories="$socket" -c fsync=off ${LAYOUT_OPTIONS:-} 2>&1
