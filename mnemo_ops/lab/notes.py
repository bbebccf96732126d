"""The lab's second project, ``stacks/notes``: images under the names that its files have, and its secrets.

One small root file system serves as ``postgres:17``, ``mariadb:11``, ``valkey/valkey:8`` and ``debian:trixie-slim``, of
which the project builds its own image: without a network, because what it installs is there. User ids inside: postgres
999, valkey 997, mysql 996; the project's own is 1000.
"""

from __future__ import annotations

import secrets
import shlex
import shutil
from pathlib import Path

from mnemo_ops.agent.machine.programs import SEARCH_PATH
from mnemo_ops.lab.engine import Report, docker, kept
from mnemo_ops.lab.image import Recipe, archive, ensure_images

SOURCE = Path(__file__).parents[2] / "stacks" / "notes"
ARCHIVE = "notes-archive"  # the volume that somebody makes beforehand
SECRETS = ("postgres_superuser", "postgres_app", "mariadb_root", "mariadb_app")
NAMES = {
    "notes-postgres": "postgres:17",
    "notes-mariadb": "mariadb:11",
    "notes-valkey": "valkey/valkey:8",
    "notes-debian": "debian:trixie-slim",
}

_MAJOR = 17
_STANDIN = Path(__file__).parent / "standin" / "usr" / "local" / "bin"
# of the official images: what is asked of them, and nothing else
_MARIADB = """#!/bin/bash
set -euo pipefail
data=/var/lib/mysql
if [ "$(id -u)" = 0 ]; then
    install -d -o mysql -g mysql "$data" /run/mysqld
    exec setpriv --reuid=mysql --regid=mysql --init-groups "$0" "$@"
fi
if [ ! -e "$data/mysql/.whole" ]; then
    mariadb-install-db --skip-test-db --auth-root-authentication-method=normal >/dev/null
    mariadbd --skip-networking --socket=/run/mysqld/first.sock &
    until mariadb-admin --socket=/run/mysqld/first.sock --silent ping 2>/dev/null; do sleep 0.1; done
    {
        echo "DELETE FROM mysql.global_priv WHERE Host = @@hostname; DELETE FROM mysql.proxies_priv; FLUSH PRIVILEGES;"
        echo "CREATE DATABASE $MARIADB_DATABASE; USE $MARIADB_DATABASE;"
        echo "CREATE USER $MARIADB_USER@'%' IDENTIFIED BY '$(cat "$MARIADB_PASSWORD_FILE")';"
        echo "GRANT ALL ON $MARIADB_DATABASE.* TO $MARIADB_USER@'%';"
        cat /docker-entrypoint-initdb.d/*.sql
        echo "ALTER USER root@localhost IDENTIFIED BY '$(cat "$MARIADB_ROOT_PASSWORD_FILE")';"
    } | mariadb --socket=/run/mysqld/first.sock --user=root --default-character-set=utf8mb4
    kill %1 && wait %1
    touch "$data/mysql/.whole"
fi
exec "$@"
"""
_HEALTHY = """#!/bin/sh
MYSQL_PWD=$(cat "$MARIADB_PASSWORD_FILE") exec mariadb-admin -h 127.0.0.1 -u "$MARIADB_USER" --silent ping
"""
_POSTGRES = (_STANDIN / "postgres-entrypoint").read_text()
_VALKEY = (_STANDIN / "redis-entrypoint").read_text().replace("redis", "valkey")
# the official image is built without protected mode
_OPEN = '\n[ "$1" != valkey-server ] || set -- "$@" --protected-mode no\nexec '
_PROGRAMS = {
    "postgres-entrypoint": _POSTGRES.replace(
        "user=", '[ -z "${POSTGRES_PASSWORD_FILE:-}" ] || POSTGRES_PASSWORD=$(cat "$POSTGRES_PASSWORD_FILE")\nuser=', 1
    ),
    "mariadb-entrypoint": _MARIADB,
    "healthcheck.sh": _HEALTHY,
    "valkey-entrypoint": _VALKEY.replace("\nexec ", _OPEN),
}

RECIPE = Recipe(
    name="notes",
    suite="trixie",
    variant="minbase",
    packages=(
        *(f"postgresql-{_MAJOR}", "mariadb-server-core", "mariadb-client-core", "valkey-server"),
        *("python3-psycopg2", "python3-pymysql"),
    ),
    commands=(
        "usermod -u 999 postgres && groupmod -g 999 postgres",
        "usermod -u 997 valkey && groupmod -g 997 valkey",
        "groupadd -r -g 996 mysql && useradd -r -u 996 -g mysql -d /nonexistent -s /usr/sbin/nologin mysql",
        # these programs come with a package that wants all of perl
        "cd /tmp && apt-get -q download mariadb-client && dpkg-deb --fsys-tarfile mariadb-client_*.deb"
        " | tar -xC / ./usr/bin/mariadb-dump ./usr/bin/mariadb-admin && rm mariadb-client_*.deb",
        f"sed -i \"s/^#\\?listen_addresses.*/listen_addresses = '*'/\""
        f" /usr/share/postgresql/{_MAJOR}/postgresql.conf.sample",
        *(
            f"printf %s {shlex.quote(text)} >/usr/local/bin/{name} && chmod 755 /usr/local/bin/{name}"
            for name, text in _PROGRAMS.items()
        ),
        f"rm -rf /var/lib/postgresql/* /etc/postgresql/{_MAJOR} /var/lib/mysql /var/lib/valkey && mkdir -p /data"
        " /docker-entrypoint-initdb.d /etc/mysql/conf.d && install -d -o postgres -m 700 /var/lib/postgresql/data",
        "printf '[mariadbd]\\nskip-name-resolve\\n[client-server]\\n!includedir /etc/mysql/conf.d/\\n'"
        " >/etc/mysql/my.cnf",
        "rm -rf /usr/lib/*/libLLVM* /usr/lib/*/libz3* /usr/share/perl /usr/lib/*/perl /usr/lib/*/libperl*",
        "rm -rf /usr/share/i18n /usr/bin/innochecksum /usr/bin/mariadb-check /usr/bin/mariadb-upgrade",
        f"rm -rf /usr/lib/postgresql/{_MAJOR}/lib/llvmjit* /usr/lib/postgresql/{_MAJOR}/lib/bitcode",
        # without sources `apt-get update` of the project's Dockerfile asks nobody
        "rm -rf /etc/apt/sources.list* /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/*-old",
    ),
    images={
        "notes-postgres": (
            f"ENV PATH=/usr/lib/postgresql/{_MAJOR}/bin:{SEARCH_PATH}",
            f"ENV LANG=C.UTF-8 PGDATA=/var/lib/postgresql/data PG_MAJOR={_MAJOR}",
            "VOLUME /var/lib/postgresql/data",
            'ENTRYPOINT ["postgres-entrypoint"]',
            'CMD ["postgres"]',
            "STOPSIGNAL SIGINT",
            "EXPOSE 5432",
        ),
        "notes-mariadb": (
            "VOLUME /var/lib/mysql",
            'ENTRYPOINT ["mariadb-entrypoint"]',
            'CMD ["mariadbd"]',
            "EXPOSE 3306",
        ),
        "notes-valkey": (
            "WORKDIR /data",
            "VOLUME /data",
            'ENTRYPOINT ["valkey-entrypoint"]',
            'CMD ["valkey-server"]',
            "EXPOSE 6379",
        ),
        "notes-debian": ('CMD ["bash"]',),
    },
)


def ensure_notes(report: Report) -> Path:
    """Build what is missing of the images that the project's files name; the archive of them for ``docker load``.

    :raises Refused: (exit code 3) and
    :raises StepFailed: (exit code 6) as :func:`ensure_images`.
    """
    with kept():
        for name, reference in ensure_images(RECIPE, report).items():
            docker("tag", reference, NAMES[name])
        return archive(sorted(NAMES.values()), report)


def prepare_notes(directory: Path) -> None:
    """Copy the project there and do what its README asks for; what exists stays."""
    shutil.copytree(SOURCE, directory, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    if not (directory / ".env").exists():
        shutil.copy(directory / ".env.example", directory / ".env")
    (directory / "secrets").mkdir(mode=0o700, exist_ok=True)
    for name in SECRETS:
        path = directory / "secrets" / f"{name}.txt"
        if not path.exists():
            path.write_text(secrets.token_hex(24) + "\n")
