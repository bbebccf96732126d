"""Small projects of five shapes, of which nobody declares anything: each backed up, restored, undone and moved.

None has a database, one MariaDB and SQLite, one two servers of Postgres, one parts and profiles, and of one no volume
is its own. Other people's programs compare.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from conftest import left_behind
from outcomes import Host, Lab, Said, eventually

from mnemo_ops.lab import server
from mnemo_ops.lab.notes import NAMES, ensure_notes

pytestmark = [pytest.mark.lab, pytest.mark.soak, pytest.mark.timeout(1800)]

SLEEPER = "image: debian:trixie-slim, init: true, command: [sleep, infinity], stop_grace_period: 2s"
HEALTHY = "healthcheck: {test: [CMD-SHELL, pg_isready -h 127.0.0.1], interval: 1s, retries: 100}"
POSTGRES = f"image: postgres:17, {HEALTHY}"
DUMP = "docker exec {} pg_dumpall -U postgres | grep -v 'restrict '"
ROOT = "docker exec -i -e MYSQL_PWD=of-the-root pantry-store-1"
SUMS = "find {0} -printf '%P %M %U %G %l %s\\n' | sort; find {0} -type f -exec sha256sum {{}} + | sort"


@dataclass(frozen=True)
class Stranger:
    """:param files: path -> text. :param first: a script that fills it; ``later`` changes it, ``seen`` says what is
    in it. :param outer: volumes that somebody makes beforehand.
    """

    files: Mapping[str, str]
    first: str
    later: str
    seen: str
    outer: tuple[str, ...] = ()
    services: Mapping[str, str] = field(default_factory=dict)


def sql(container: str, *words: str) -> str:
    return f"docker exec -i {container} psql -XqU postgres -v ON_ERROR_STOP=1 <<'END'\n" + "\n".join(words) + "\nEND\n"


def maria(*words: str) -> str:
    return f"{ROOT} mariadb -u root pantry <<'END'\n" + ";\n".join(words) + ";\nEND\n"


def sqlite(words: str) -> str:
    return f"docker exec pantry-desk-1 python3 -c \"import sqlite3; c = sqlite3.connect('/desk/d.db'); {words}\"\n"


def volume(name: str) -> str:
    return f"/var/lib/docker/volumes/{name}/_data"


SHELF = Stranger(
    files={
        "docker-compose.yml": f"""
            services:
              web: {{{SLEEPER}, volumes: ["files:/files", "./uploads:/uploads", "./motd:/etc/motd:ro"]}}
              reader: {{{SLEEPER}, volumes: ["files:/files:ro"]}}
            volumes: {{files: }}
            """,
        "motd": "welcome\n",
    },
    first="docker exec shelf-web-1 sh -c 'echo one >/files/a; mkdir -p /uploads/Grüße; echo two >/uploads/Grüße/b;"
    " ln -s a /files/link; chown 33:33 /files/a'",
    later="docker exec shelf-web-1 sh -c 'echo other >/files/a; rm -r /uploads/Grüße; echo new >/uploads/c'",
    seen=f"{SUMS.format(volume('shelf_files'))}; {SUMS.format('/srv/shelf/uploads')}; cat /srv/shelf/motd",
    services={"web": "debian", "reader": "debian"},
)

PANTRY = Stranger(
    files={
        "compose.yaml": f"""
            services:
              store:
                image: mariadb:11
                environment:
                  MARIADB_DATABASE: pantry
                  MARIADB_USER: cook
                  MARIADB_PASSWORD_FILE: /run/secrets/cook
                  MARIADB_ROOT_PASSWORD_FILE: /run/secrets/root
                secrets: [cook, root]
                volumes: ["mariadb:/var/lib/mysql", "./first.sql:/docker-entrypoint-initdb.d/first.sql:ro"]
                healthcheck: {{test: [CMD, healthcheck.sh], interval: 1s, retries: 100}}
              desk: {{{SLEEPER}, volumes: ["desk:/desk"], depends_on: {{store: {{condition: service_healthy}}}}}}
            secrets: {{cook: {{file: ./cook.txt}}, root: {{file: ./root.txt}}}}
            volumes: {{mariadb: , desk: }}
            """,
        "first.sql": "CREATE TABLE jars (id INT PRIMARY KEY AUTO_INCREMENT, name TEXT);\n",
        "cook.txt": "of-the-cook\n",
        "root.txt": "of-the-root\n",
    },
    first=maria(
        "INSERT INTO jars (name) VALUES ('plum'), ('Süße')", "GRANT SELECT ON pantry.* TO guest@'%' IDENTIFIED BY 'g'"
    )
    + sqlite("c.execute('CREATE TABLE t (a)'); c.execute('INSERT INTO t VALUES (1)'); c.commit()"),
    later=maria("DELETE FROM jars", "DROP USER guest@'%'") + sqlite("c.execute('DROP TABLE t'); c.commit()"),
    seen=f"{ROOT} mariadb-dump --databases pantry --system=users --skip-dump-date -u root\n"
    + sqlite("print(*c.iterdump(), sep=chr(10))"),
    services={"store": "mariadb", "desk": "debian"},
)

TWINS = Stranger(
    files={
        "compose.yaml": f"""
            services:
              left: {{{POSTGRES}, environment: {{POSTGRES_PASSWORD: l}}, volumes: ["left:/var/lib/postgresql/data"]}}
              right: {{{POSTGRES}, environment: {{POSTGRES_PASSWORD: r}}, volumes: ["./db:/var/lib/postgresql/data"]}}
            volumes: {{left: }}
            """,
    },
    first=sql("twins-left-1", "CREATE ROLE ann LOGIN PASSWORD 'a';", "CREATE DATABASE shop OWNER ann;", "\\c shop",
              "CREATE TABLE t AS SELECT g FROM generate_series(1, 1000) g;", "SELECT lo_from_bytea(7, 'large');")
    + sql("twins-right-1", "CREATE TABLE \"Größe\" (a text);", "INSERT INTO \"Größe\" VALUES ('x');"),
    later=sql("twins-left-1", "DROP DATABASE shop;", "DROP ROLE ann;") + sql("twins-right-1", "DROP TABLE \"Größe\";"),
    seen=f"{DUMP.format('twins-left-1')}; {DUMP.format('twins-right-1')}",
    services={"left": "postgres", "right": "postgres"},
)  # fmt: skip

PARTS = Stranger(
    files={
        "compose.yaml": f"""
            include: [store/compose.yaml]
            services:
              web: {{{SLEEPER}, profiles: [web], volumes: ["files:/files"], env_file: web.env}}
              jobs: {{{SLEEPER}, profiles: [jobs], volumes: ["files:/files", "queue:/queue"], deploy: {{replicas: 2}}}}
              debug: {{{SLEEPER}, profiles: [debug], volumes: ["traces:/traces", "./missing.conf:/c.conf:ro"]}}
            volumes: {{files: , queue: {{name: queue-of-ours}}, traces: }}
            """,
        "store/compose.yaml": f"""
            services:
              db: {{{POSTGRES}, env_file: db.env, volumes: ["data:/var/lib/postgresql/data", "./own:/own"]}}
            volumes: {{data: }}
            """,
        "store/db.env": "POSTGRES_PASSWORD=p\n",
        "web.env": "A=b\n",
        ".env": "COMPOSE_PROFILES=web,jobs\n",
    },
    first="docker exec parts-web-1 sh -c 'echo one >/files/a'; docker exec parts-jobs-2 sh -c 'echo two >/queue/b'\n"
    "echo three >/srv/parts/store/own/c\n" + sql("parts-db-1", "CREATE TABLE t AS SELECT 1 AS a;"),
    later="docker exec parts-web-1 sh -c 'rm /files/a'; docker exec parts-jobs-1 sh -c 'echo four >/queue/b'\n"
    "rm /srv/parts/store/own/c\n" + sql("parts-db-1", "UPDATE t SET a = 2;"),
    seen="; ".join(
        SUMS.format(place) for place in (volume("parts_files"), volume("queue-of-ours"), "/srv/parts/store/own")
    )
    + f"; {DUMP.format('parts-db-1')}; docker ps --filter label=com.docker.compose.project=parts --format"
    " '{{.Label \"com.docker.compose.service\"}}' | sort",
    services={"web": "debian", "jobs": "debian", "db": "postgres"},
)

GUEST = Stranger(
    files={
        "compose.yaml": f"""
            services:
              db: {{{POSTGRES}, environment: {{POSTGRES_PASSWORD: g}}, volumes: ["data:/var/lib/postgresql/data"]}}
              web: {{{SLEEPER}, volumes: ["files:/files"]}}
            volumes: {{data: {{external: true, name: guest-data}}, files: {{external: true}}}}
            """,
    },
    first="docker exec guest-web-1 sh -c 'echo one >/files/a'\n"
    + sql("guest-db-1", "CREATE TABLE t AS SELECT 1 AS a;"),
    later="docker exec guest-web-1 sh -c 'echo two >/files/a'\n" + sql("guest-db-1", "DROP TABLE t;"),
    seen=f"{SUMS.format(volume('files'))}; {DUMP.format('guest-db-1')}",
    outer=("guest-data", "files"),
    services={"db": "postgres", "web": "debian"},
)

STRANGERS = {"shelf": SHELF, "pantry": PANTRY, "twins": TWINS, "parts": PARTS, "guest": GUEST}


@pytest.fixture(scope="module")
def lab(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    root = tmp_path_factory.mktemp("checkout")
    try:
        server.up(root, ["old", "new"], print)
        made = Lab(root)
        must(made, "bootstrap")
        yield made
    finally:
        server.down(root, print)
        assert left_behind(root) == []


def must(lab: Lab, *words: str) -> Said:
    said = lab.run(*words)
    assert said.code == 0, str(said)
    return said


def put(root: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip("\n"))


def inventory(lab: Lab, name: str, one: Stranger) -> str:
    put(lab.root / name, one.files)
    stack = {
        "project": name,
        "source": str(lab.root / name),
        "images": {service: NAMES[f"notes-{image}"] for service, image in one.services.items()},
        "images_archive": str(ensure_notes(print)),
    }
    path = lab.root / ".lab" / f"{name}.yml"
    hosts = yaml.safe_load(lab.inventory.read_text())["all"]
    path.write_text(yaml.safe_dump({"all": {**hosts, "vars": {**hosts.get("vars", {}), "stack": stack}}}))
    return str(path)


def seen(host: Host, one: Stranger) -> list[str]:
    return host.lines(textwrap.dedent(one.seen))


@pytest.mark.parametrize("name", STRANGERS)
def test_a_project_of_strangers_goes_through_every_flow(lab: Lab, name: str) -> None:
    one = STRANGERS[name]
    words = ("-i", inventory(lab, name, one))
    for host in (lab.old, lab.new):
        host.sh("".join(f"docker volume create {each}\n" for each in one.outer) or "true")
    must(lab, "deploy", "--limit", "old", *words)
    again = must(lab, "deploy", "--limit", "old", "--json", *words)
    assert again.document["hosts"]["old"]["changed"] == 0, str(again)
    lab.old.sh(textwrap.dedent(one.first))
    first = seen(lab.old, one)
    shown = must(lab, "stack.show", "--limit", "old", "--json", *words).document["stacks"]["old"]
    assert all(row["reason"] for row in shown["rows"])

    must(lab, "backup", "--limit", "old", *words)
    lab.old.sh(textwrap.dedent(one.later))
    later = seen(lab.old, one)
    assert later != first
    must(lab, "restore", "--id", "latest", "--yes", "--limit", "old", *words)
    assert seen(lab.old, one) == first
    must(lab, "restore", "--undo", "--yes", "--limit", "old", *words)
    assert seen(lab.old, one) == later
    must(lab, "migrate", "--from", "old", "--to", "new", "--yes", *words)
    assert seen(lab.new, one) == later
    running = "docker ps -q --filter label=com.docker.compose.project=" + name
    assert lab.old.sh(running) == "", "the old host serves, too"
    lab.new.sh(f"docker ps -aq --filter label=com.docker.compose.project={name} | xargs docker rm -f")
    eventually("nothing of it runs", lambda: lab.new.sh(running) == "", 20)


JAR = Stranger(
    files={"compose.yaml": f"services: {{web: {{{SLEEPER}, volumes: ['files:/files']}}}}\nvolumes: {{files: }}\n"},
    first="docker exec jar-web-1 sh -c 'echo one >/files/a'",
    later="",
    seen=SUMS.format(volume("jar_files")),
    services={"web": "debian"},
)
# its store does not work on the overlay that the server itself is on
CONTAINERD = """
systemctl stop docker.socket docker containerd
mkdir -p /var/lib/docker/containerd && mount --bind /var/lib/docker/containerd /var/lib/containerd
printf '{"features": {"containerd-snapshotter": true}}' >/etc/docker/daemon.json
systemctl start containerd docker
docker info --format '{{.DriverStatus}}'
"""
NOISE = "sed -i '1i echo hello from the start-up file' /home/ops/.bashrc"


def test_an_engine_with_another_image_store_gets_the_same_images(lab: Lab) -> None:
    """What the login shell of old prints is told before anything stops; then the move goes through."""
    words = ("-i", inventory(lab, "jar", JAR))
    must(lab, "deploy", "--limit", "old", *words)
    lab.old.sh(JAR.first)
    before = seen(lab.old, JAR)
    assert "io.containerd.snapshotter" in lab.new.sh(CONTAINERD)
    migrate = ("migrate", "--from", "old", "--to", "new", "--yes", *words)
    lab.old.sh(NOISE)
    noisy = lab.run(*migrate)
    assert noisy.code == 3 and "start-up file" in str(noisy), str(noisy)
    assert lab.old.sh("docker ps -q --filter name=jar-web-1") != "", "it serves"
    lab.old.sh("sed -i 1d /home/ops/.bashrc")
    must(lab, *migrate)
    assert seen(lab.new, JAR) == before
    ids = [host.sh("docker inspect --format '{{.Image}}' jar-web-1") for host in (lab.old, lab.new)]
    assert ids[0] != ids[1], "the other store names it otherwise"
