"""Layouts of images of Postgres: who starts it, where its data, its configuration and its socket lie, who is let in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from mnemo_ops.lab.app import POSTGRES, RECIPES
from mnemo_ops.lab.engine import docker
from mnemo_ops.lab.image import ensure_images

SCRIPT = Path(__file__).with_name("layout.sh")
PROGRAMS = f"/usr/lib/postgresql/{POSTGRES}/bin"
NEWER = "/usr/lib/postgresql/99/bin"  # programs of another major, of which only the client is of use
_IMAGE = (
    "RUN useradd -u 1001 -g 0 bitnami && useradd -u 1000 -U ha && useradd -u 996 -U gitlab-psql",
    "RUN install -d -o 1001 -g 0 /bitnami/postgresql /opt/bitnami/postgresql/conf"
    " && install -d -o ha /home/postgres/pgdata && install -d -o postgres /etc/postgresql",
    "RUN install -d -m 1777 /var/run/postgresql && ln -s . /var/lib/postgresql/linked",
    f"RUN mkdir -p {NEWER} && ln -s {PROGRAMS}/psql {NEWER} && ln -s /bin/false {NEWER}/pg_dump",
    f"ENV PATH={NEWER}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "VOLUME /var/backups",
    'ENTRYPOINT ["bash", "/layout.sh"]',
)


@dataclass(frozen=True)
class Layout:
    """An image, as somebody uses it.

    :param env: what he sets. :param mounts: volumes and, with ``./``, directories of the host, as ``NAME:PLACE``.
    :param user: the superuser who is to be found, of the system's user ``uid``. :param words: more of ``docker run``.
    :param how: the rest of ``LAYOUT_*``.
    """

    data: str
    mounts: tuple[str, ...]
    user: str = "postgres"
    uid: int = 999
    env: Mapping[str, str] = field(default_factory=dict)
    how: Mapping[str, str] = field(default_factory=dict)
    words: tuple[str, ...] = ()
    hba: str = "local all all trust"

    def start(self, name: str, home: Path) -> str:
        """Run it in a container of that name; its image. :param home: for directories of the host."""
        recipe = replace(RECIPES[POSTGRES], images={"layouts": _IMAGE})
        image = ensure_images(recipe, print)["layouts"]
        own = {"DATA": self.data, "UID": str(self.uid), "HBA": self.hba, "SUPERUSER": self.user, "PASSWORD": "right"}
        env = {**self.env, **{f"LAYOUT_{key}": value for key, value in {**own, **self.how}.items()}}
        words = [word for key, value in env.items() for word in ("--env", f"{key}={value}")]
        for mount in self.mounts:
            source = f"{home}/{mount[2:]}" if mount.startswith("./") else f"{name}-{mount}"
            words += ["--volume", source]
        words += ["--volume", f"{SCRIPT}:/layout.sh:ro"]
        docker("run", "--detach", "--name", name, *words, *self.words, image)
        return image


SCRAM = "local all all scram-sha-256\nhost all all all scram-sha-256"
AT_HOME = "/var/lib/postgresql/data"

LAYOUTS = {
    "bitnami": Layout(
        "/bitnami/postgresql/data",
        ("data:/bitnami/postgresql",),
        uid=1001,
        env={
            "POSTGRESQL_USERNAME": "app",
            "POSTGRESQL_PASSWORD": "the app's",
            "POSTGRESQL_POSTGRES_PASSWORD": "right",
            "POSTGRESQL_DATABASE": "app",
        },
        how={
            "CONF": "/opt/bitnami/postgresql/conf",
            "SOCKET": "/tmp",
            "SQL": "CREATE ROLE app LOGIN PASSWORD 'the app''s';",
        },
        words=("--user", "1001"),
        hba=SCRAM,
    ),
    "timescaledb-ha": Layout(
        "/home/postgres/pgdata/data",
        ("data:/home/postgres/pgdata",),
        uid=1000,
        env={"POSTGRES_PASSWORD": "right", "PGDATA": "/home/postgres/pgdata/data", "PGROOT": "/home/postgres"},
        words=("--user", "1000:1000"),
        hba="local all all trust\nhost all all all scram-sha-256",
    ),
    "supabase": Layout(
        AT_HOME,
        (f"db:{AT_HOME}", "config:/etc/postgresql"),
        user="supabase_admin",
        env={
            "POSTGRES_PASSWORD": "right",
            "POSTGRES_HOST": "/var/run/postgresql",
            "PGPORT": "5433",
            "POSTGRES_DB": "x",
        },
        how={
            "CONF": "/etc/postgresql",
            "OPTIONS": "-p 5433",
            "SQL": "CREATE ROLE postgres LOGIN CREATEROLE CREATEDB BYPASSRLS PASSWORD 'right';",
        },
        hba="local all supabase_admin scram-sha-256\nlocal all all peer\nhost all all 127.0.0.1/32 scram-sha-256",
    ),
    "immich": Layout(
        f"{AT_HOME}/pgdata",
        (f"./db:{AT_HOME}",),
        env={"POSTGRES_PASSWORD": "right", "POSTGRES_USER": "immich", "PGTZ": "Asia/Tokyo", "POSTGRES_DB": "immich"},
        user="immich",
        how={"INITDB": "--data-checksums"},
    ),
    "postgres 18": Layout(
        "/var/lib/postgresql/18/docker", ("data:/var/lib/postgresql",), hba=SCRAM, env={"POSTGRES_PASSWORD": "right"}
    ),
    "a mount through a link": Layout("/var/lib/postgresql/18/docker", ("data:/var/lib/postgresql/linked",)),
    "a user and a password in files": Layout(
        AT_HOME,
        (f"data:{AT_HOME}", "./secrets:/run/secrets:ro"),
        user="the owner",
        env={"POSTGRES_PASSWORD_FILE": "/run/secrets/password", "POSTGRES_USER_FILE": "/run/secrets/user"},
        hba=SCRAM,
    ),
    # the image's POSTGRES_INITDB_WALDIR
    "a log of its own": Layout(AT_HOME, (f"data:{AT_HOME}", "wal:/wal"), how={"INITDB": "--waldir=/wal/log"}),
    "TCP alone": Layout(
        AT_HOME,
        (f"./data:{AT_HOME}",),
        env={"POSTGRES_PASSWORD": "right", "PGPORT": "6000"},
        how={"SOCKET": "", "OPTIONS": "-c listen_addresses=localhost -p 6000"},
        hba=SCRAM,
    ),
    "a user whom the image does not know": Layout(
        f"{AT_HOME}/x", (f"./own:{AT_HOME}", "./users:/etc/passwd:ro"), uid=1234, words=("--user", "1234:1234")
    ),
    "GitLab": Layout(
        "/var/opt/gitlab/postgresql/data",
        ("data:/var/opt/gitlab",),
        user="gitlab-psql",
        uid=996,
        how={"SOCKET": "/var/opt/gitlab/postgresql"},
        words=("--env", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"),
        hba="local all all peer",
    ),
}

REFUSED = {
    "data in no volume": Layout("/srv/data", (f"data:{AT_HOME}",)),
    "a directory that was replaced": Layout(AT_HOME, (f"./replaced:{AT_HOME}",)),
    "data in memory": Layout(AT_HOME, (), words=("--tmpfs", AT_HOME)),
    "nobody is let in": Layout(AT_HOME, (f"data:{AT_HOME}",), hba=SCRAM, env={"POSTGRES_PASSWORD": "an earlier one"}),
}
