"""What compose files name, with their lines. The shapes are those of projects that people run; the files are ours."""

from __future__ import annotations

import contextlib
import itertools
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from mnemo_ops.errors import InventoryError
from mnemo_ops.stack.project import reading
from mnemo_ops.stack.project.interpolation import environment, interpolated
from mnemo_ops.stack.project.shipment import pack


class Source:
    """A project's directory on this machine."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, files: Mapping[str, str]) -> Source:
        for name, text in files.items():
            path = self.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text).lstrip("\n"))
        return self

    def read(self, *files: str, **more: Any) -> reading.Project:
        return reading.read(self.path, "/srv/app", files, **more)

    def named(self, *files: str, **more: Any) -> dict[str, tuple[str, str]]:
        """Path below the source -> what it is named for, ``file:line``."""
        return {
            self.below(each.path): (each.what, Path(each.where).name) for each in self.read(*files, **more).named[::-1]
        }

    def below(self, path: Path) -> str:
        return path.relative_to(self.path).as_posix() if self.path in path.parents else str(path)


@pytest.fixture
def source(tmp_path: Path) -> Source:
    (tmp_path / "src").mkdir()
    return Source(tmp_path / "src")


SHAPES: dict[str, tuple[dict[str, str], dict[str, Any], dict[str, tuple[str, str]]]] = {
    # a gateway whose configuration is mounted with options, functions that two services share
    "supabase": (
        {
            "docker-compose.yml": """
            name: base
            services:
              kong:
                volumes:
                  # a comment
                  - ./volumes/api/kong.yml:/home/kong/temp.yml:ro,z
              db:
                volumes:
                  - ./volumes/db/roles.sql:/docker-entrypoint-initdb.d/init-scripts/99-roles.sql:Z
                  - ./volumes/db/data:/var/lib/postgresql/data:Z
                  - db-config:/etc/postgresql-custom
              vector:
                volumes:
                  - ${DOCKER_SOCKET_LOCATION}:/var/run/docker.sock:ro,z
            volumes:
              db-config:
            """,
            ".env": "DOCKER_SOCKET_LOCATION=/var/run/docker.sock\n",
        },
        {},
        {
            "volumes/api/kong.yml": ("mount", "docker-compose.yml:6"),
            "volumes/db/roles.sql": ("mount", "docker-compose.yml:9"),
            "volumes/db/data": ("mount", "docker-compose.yml:10"),
            ".env": ("env_file", ".env"),
        },
    ),
    # anchors over merge keys, long binds, build contexts in x-: the line is where it is written
    "sentry": (
        {
            "docker-compose.yml": """
            x-restart: &restart
              restart: unless-stopped
            x-defaults: &defaults
              <<: *restart
              build:
                context: ./sentry
                args: [SENTRY_IMAGE]
              volumes:
                - "sentry-data:/data"
                - "./sentry:/etc/sentry"
                - "./geoip:/geoip:ro"
            services:
              clickhouse:
                <<: *restart
                volumes:
                  - type: bind
                    read_only: true
                    source: ./clickhouse/config.xml
                    target: /etc/clickhouse-server/config.d/sentry.xml
              web:
                <<: *defaults
              worker:
                <<: [*defaults, *restart]
            """,
            "sentry/Dockerfile": "",
        },
        {},
        {
            "clickhouse/config.xml": ("mount", "docker-compose.yml:18"),
            "sentry": ("mount", "docker-compose.yml:10"),
            "geoip": ("mount", "docker-compose.yml:11"),
            "sentry/Dockerfile": ("Dockerfile", "docker-compose.yml:6"),
        },
    ),
    # the data's place is a variable of .env; the env file is named again as env_file
    "immich": (
        {
            "docker-compose.yml": """
            services:
              server:
                volumes:
                  - ${UPLOAD_LOCATION}:/data
                  - /etc/localtime:/etc/localtime:ro
                env_file:
                  - .env
              database:
                env_file: .env
                volumes:
                  - ${DB_DATA_LOCATION:-./postgres}:/var/lib/postgresql/data
            """,
            ".env": "ROOT=./photos\nUPLOAD_LOCATION=${ROOT}/library\n",
        },
        {},
        {
            "photos/library": ("mount", "docker-compose.yml:4"),
            ".env": ("env_file", "docker-compose.yml:7"),
            "postgres": ("mount", "docker-compose.yml:11"),
        },
    ),
    # directories with a slash, a file below a directory that is mounted itself
    "mailcow": (
        {
            "docker-compose.yml": """
            version: '2.1'
            services:
                mysql-mailcow:
                  volumes:
                    - mysql-vol-1:/var/lib/mysql/
                    - ./data/conf/mysql/:/etc/mysql/conf.d/:ro,Z
                sogo-mailcow:
                  volumes:
                    - ./data/conf/sogo/:/etc/sogo/:z
                    - ./data/conf/sogo/custom-theme.js:/usr/lib/theme.js:z
            """,
        },
        {},
        {
            "data/conf/mysql": ("mount", "docker-compose.yml:6"),
            "data/conf/sogo": ("mount", "docker-compose.yml:9"),
            "data/conf/sogo/custom-theme.js": ("mount", "docker-compose.yml:10"),
        },
    ),
    # one file of a stack per application
    "include": (
        {
            "compose.yaml": """
            include:
              - apps/wiki/compose.yaml
              - path: [apps/proxy/compose.yaml, apps/proxy/override.yaml]
                project_directory: .
                env_file: apps/proxy/proxy.env
            """,
            "apps/wiki/compose.yaml": """
            services:
              wiki:
                volumes: ["./${THEME:-plain}.css:/theme.css:ro"]
            """,
            "apps/wiki/.env": "THEME=dark\n",
            "apps/proxy/compose.yaml": "services: {proxy: {volumes: ['./${FILE}:/etc/proxy/a.conf']}}\n",
            "apps/proxy/override.yaml": "services: {proxy: {volumes: ['./b.conf:/etc/proxy/b.conf']}}\n",
            "apps/proxy/proxy.env": "FILE=a.conf\n",
        },
        {},
        {
            "apps/wiki/compose.yaml": ("include", "compose.yaml:2"),
            "apps/wiki/.env": ("env_file", "compose.yaml:2"),
            "apps/wiki/dark.css": ("mount", "compose.yaml:3"),
            "apps/proxy/compose.yaml": ("include", "compose.yaml:3"),
            "apps/proxy/override.yaml": ("include", "compose.yaml:3"),
            "apps/proxy/proxy.env": ("env_file", "compose.yaml:5"),
            "a.conf": ("mount", "compose.yaml:1"),
            "b.conf": ("mount", "override.yaml:1"),
        },
    ),
    # a service that begins with another one of another file: its paths start there
    "extends": (
        {
            "compose.yml": """
            services:
              web:
                extends: {file: common/services.yml, service: base}
                env_file: [{path: web.env, required: false}, {path: more.env, format: raw}]
            """,
            "common/services.yml": """
            services:
              base:
                extends: {service: root}
                env_file: base.env
              root:
                extends:
                  file: ../roots/root.yml
                  service: root
              other:
                env_file: unused.env
            """,
            "roots/root.yml": "services: {root: {label_file: [labels.txt], volumes: ['./etc:/etc/web:ro']}}\n",
        },
        {},
        {
            "common/services.yml": ("extends", "compose.yml:3"),
            "roots/root.yml": ("extends", "services.yml:7"),
            "roots/labels.txt": ("label_file", "root.yml:1"),
            "roots/etc": ("mount", "root.yml:1"),
            "common/base.env": ("env_file", "services.yml:4"),
            "web.env": ("env_file", "compose.yml:4"),
            "more.env": ("env_file", "compose.yml:4"),
        },
    ),
    # contexts of every form; what is fetched, or another service's image, is no file
    "builds": (
        {
            "compose.yaml": """
            services:
              short: {build: ./short}
              long:
                build:
                  context: .
                  dockerfile: docker/Dockerfile.prod
                  additional_contexts:
                    shared: ../src/libs/shared
                    base: docker-image://alpine
                    "app:latest": "service:short"
              listed:
                build: {context: web, additional_contexts: ["assets=./assets", "far=https://example.org/x.git"]}
              inline:
                build:
                  context: inline
                  dockerfile_inline: |
                    FROM scratch
              fetched: {build: "https://github.com/example/app.git#main"}
              ssh: {build: {context: "git@github.com:example/app.git"}}
            """,
        },
        {},
        {
            ".": ("build context", "compose.yaml:5"),
            "docker/Dockerfile.prod": ("Dockerfile", "compose.yaml:6"),
            "libs/shared": ("build context", "compose.yaml:8"),
            "short": ("build context", "compose.yaml:2"),
            "short/Dockerfile": ("Dockerfile", "compose.yaml:2"),
            "web": ("build context", "compose.yaml:12"),
            "web/Dockerfile": ("Dockerfile", "compose.yaml:12"),
            "assets": ("build context", "compose.yaml:12"),
            "inline": ("build context", "compose.yaml:15"),
        },
    ),
    # configs and secrets: from files, from the environment, of somebody else; an unused one is named all the same
    "secrets": (
        {
            "compose.yaml": """
            services:
              app:
                secrets: [db_password, {source: smtp, target: mail}]
                configs: [{source: app}]
            secrets:
              db_password: {file: "./secrets/${STAGE:?name a stage}/db.txt"}
              smtp: {environment: SMTP}
              outside: {external: true}
            configs:
              app:
                file: ./config/app.toml
              inlined: {content: "x"}
            """,
            "stage.env": "STAGE=live\n",
        },
        {"env_files": ["stage.env"]},
        {
            "secrets/live/db.txt": ("secret", "compose.yaml:6"),
            "config/app.toml": ("config", "compose.yaml:11"),
        },
    ),
    # a volume that is a directory of the project
    "driver": (
        {
            "compose.yml": """
            services: {app: {volumes: ["media:/media"]}}
            volumes:
              media:
                driver: local
                driver_opts:
                  type: none
                  o: bind
                  device: ./media
              share:
                driver_opts: {type: nfs, o: "addr=192.0.2.1,rw", device: ":/export"}
            """,
        },
        {},
        {"media": ("volume", "compose.yml:8")},
    ),
    # a second file takes mounts back, and puts others in their place
    "overrides": (
        {
            "compose.yml": """
            services:
              app:
                build: .
                env_file: dev.env
                volumes: ["./src:/app/src", "./dev.conf:/etc/app.conf"]
              db:
                volumes: ["./pg:/var/lib/postgresql/data"]
              gone:
                env_file: gone.env
            """,
            "compose.override.yml": """
            services:
              app:
                build: !reset null
                volumes: !override
                  - ./live.conf:/etc/app.conf:ro
              db:
                volumes: ["pg:/var/lib/postgresql/data"]
              gone: !reset {}
            volumes: {pg: {}}
            """,
        },
        {},
        {
            "dev.env": ("env_file", "compose.yml:4"),
            "live.conf": ("mount", "compose.override.yml:5"),
        },
    ),
    # what the project says of its own place on the host; what is the host's own
    "absolute": (
        {
            "docker-compose.yaml": """
            services:
              portainer:
                volumes:
                  - /srv/app/tls:/certs:ro
                  - /var/run/docker.sock:/var/run/docker.sock
                  - ~/portainer:/data
                  - $HOME/more:/more
                  - /srv/application/x:/x
                  - /data
                security_opt: ["no-new-privileges:true", "seccomp:./seccomp.json", "apparmor:unconfined"]
            """,
        },
        {},
        {
            "tls": ("mount", "docker-compose.yaml:4"),
            "seccomp.json": ("security profile", "docker-compose.yaml:10"),
        },
    ),
    # two files of variables; directories of two services; what only a developer watches is no part of it
    "authentik": (
        {
            "docker-compose.yml": """
            ---

            services:
              server: &server
                image: ${AUTHENTIK_IMAGE:-ghcr.io/goauthentik/server}:${AUTHENTIK_TAG:-2025.2}
                environment: {PG_PASS: "${PG_PASS:?database password required}"}
                volumes:
                  - ./media:/media
                  - ./custom-templates:/templates
                env_file:
                  - .env
                develop:
                  watch: [{path: ./web, action: sync, target: /web}]
              worker:
                <<: *server
                user: root
                env_file: [.env, worker.env]
                volumes:
                  - /var/run/docker.sock:/var/run/docker.sock
                  - ./certs:/certs
            volumes:
              database:
                driver: local
            """,
        },
        {},
        {
            "media": ("mount", "docker-compose.yml:8"),
            "custom-templates": ("mount", "docker-compose.yml:9"),
            ".env": ("env_file", "docker-compose.yml:11"),
            "worker.env": ("env_file", "docker-compose.yml:17"),
            "certs": ("mount", "docker-compose.yml:20"),
        },
    ),
    # files are named in .env; a sign that stands for itself
    "listed": (
        {
            "a.yml": "services: {a: {volumes: ['./cost$$.txt:/a.txt']}}\n",
            "b/b.yml": "services: {b: {volumes: ['./b.txt:/b.txt']}}\n",
            ".env": "COMPOSE_FILE=a.yml:b/b.yml\n",
        },
        {},
        {"cost$.txt": ("mount", "a.yml:1"), "b.txt": ("mount", "b.yml:1"), ".env": ("env_file", ".env")},
    ),
}


@pytest.mark.parametrize("name", SHAPES)
def test_every_path_of_a_project_has_its_line(name: str, source: Source) -> None:
    files, more, expected = SHAPES[name]
    source.write(files)
    if "env_files" in more:
        more = {"env_files": [source.path / each for each in more["env_files"]]}
    named = {("." if path == str(source.path) else path): found for path, found in source.named(**more).items()}
    assert named == expected


ODD: tuple[Any, ...] = (None, True, 5, [], {}, [None], [[1]], [{}], {"a": None}, "${X", "..", "x\0y", "a" * 300)


def places(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield way
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in pairs:
        yield from places(each, (*way, key))


def replaced(value: Any, way: tuple[Any, ...], odd: Any) -> Any:
    if not way:
        return odd
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[way[0]] = replaced(value[way[0]], way[1:], odd)
    return copy


@pytest.mark.parametrize("name", ["extends", "builds", "include", "secrets", "driver"])
def test_what_is_no_compose_file_is_refused_or_left_to_compose(name: str, source: Source) -> None:
    """Whatever stands where a path should: an error of exit code 2, or nothing; never one of ours."""
    files, _, _ = SHAPES[name]
    source.write(files)
    refused = 0
    for file in [file for file in files if file.endswith(("yml", "yaml"))]:
        text = (source.path / file).read_text()
        document = yaml.safe_load(text)
        for way, odd in itertools.product(places(document), ODD):
            (source.path / file).write_text(yaml.safe_dump(replaced(document, way, odd)))
            try:
                pack(source.path, source.read())
            except InventoryError:
                refused += 1
        (source.path / file).write_text(text)
    assert refused > 10


@pytest.mark.parametrize("tag", ["!override", "!reset"])
@pytest.mark.parametrize("name", SHAPES)
def test_a_tag_of_compose_may_stand_anywhere(name: str, tag: str, source: Source) -> None:
    """It says how a value is merged; in a file of its own it says nothing."""
    files, more, expected = SHAPES[name]
    if "env_files" in more:
        more = {"env_files": [source.path / each for each in more["env_files"]]}
    source.write(files)
    for file in [file for file in files if file.endswith(("yml", "yaml"))]:
        text = (source.path / file).read_text()
        for way, value in tagged_places(yaml.compose(text)):
            at = value.start_mark.index
            (source.path / file).write_text(f"{text[:at]}{tag} {text[at:]}")
            try:
                yaml.compose((source.path / file).read_text())
            except yaml.YAMLError:
                continue  # an anchor, or a key
            with contextlib.suppress(InventoryError):
                named = {("." if path == str(source.path) else path) for path in source.named(**more)}
                alone = tag == "!override" and name not in ("include", "extends", "overrides")
                assert not alone or named == set(expected), (file, way)
        (source.path / file).write_text(text)


def tagged_places(node: Any, way: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if way and getattr(node, "flow_style", True) is not False:  # before a block, it would be that of its first key
        yield way, node
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from tagged_places(value, (*way, key.value))
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            yield from tagged_places(value, (*way, str(number)))


def test_what_a_later_file_replaces_within_a_build_or_a_secret_is_read(source: Source) -> None:
    """Each was an error of ours, without a file or a line."""
    source.write(
        {
            "a.yaml": """
            services: {api: {build: {context: ./api, dockerfile_inline: FROM scratch}, secrets: [s, t]}}
            secrets: {s: {file: ./s.txt}, t: {file: ./t.txt}}
            """,
            "b.yaml": """
            services: {api: {build: {context: !override ./api2, dockerfile_inline: !reset null}}}
            secrets: {s: {file: !override ./s2.txt}, t: {file: !reset null, environment: T}}
            """,
        }
    )
    assert set(source.named("a.yaml", "b.yaml")) == {"api2", "api2/Dockerfile", "s2.txt"}


def test_single_quotes_keep_a_dollar_and_nothing_else_does(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("A=1\nS='$A'\nT=\"$A\"\nU=$A\nV=\"\\$A\"\nW=$S\nX='a b' # '$A'\n")
    assert environment([tmp_path / "a"]) == {
        **{"A": "1", "S": "$A", "T": "1", "U": "1", "V": "$A", "W": "$A", "X": "a b"},
    }


def test_a_value_is_replaced_once(source: Source) -> None:
    text = (
        "services: {a: {security_opt: ['seccomp:./${S}.json'], volumes: ['./${S}.conf:/a'], env_file: './${S}.env'}}\n"
    )
    source.write({"compose.yaml": text, ".env": "A=1\nS='$A'\n"})
    assert set(source.named()) == {"$A.json", "$A.conf", "$A.env", ".env"}


def test_the_project_knows_its_name(source: Source) -> None:
    source.write(
        {
            "compose.yaml": "services: {a: {volumes: ['./${COMPOSE_PROJECT_NAME}/:/d']}}\n",
            ".env": "COMPOSE_PROJECT_NAME=other\n",
        }
    )
    assert "shop" in source.named(project="shop") and "other" in source.named()


@pytest.mark.parametrize("text", ["debug,more", " debug , more", "more,debug "])
def test_profiles_of_the_env_file_may_stand_apart(text: str, source: Source) -> None:
    source.write(
        {
            "compose.yaml": "services: {a: {profiles: [debug], env_file: debug.env}}\n",
            ".env": f"COMPOSE_PROFILES={text}\n",
        }
    )
    assert "debug.env" in needed(source.read())


def test_compose_files_that_compose_reads_from_another_directory_are_refused(source: Source) -> None:
    """Its paths start at the first file; a host would read them from the stack's directory."""
    source.write(
        {
            "docker/compose.yaml": "services: {a: {volumes: ['./x.conf:/x.conf']}}\n",
            "x.conf": "",
            ".env": "A=b\nCOMPOSE_FILE=docker/compose.yaml\n",
        }
    )
    with pytest.raises(InventoryError) as caught:
        source.read()
    assert caught.value.where.endswith(".env:2") and "include: [docker/compose.yaml]" in caught.value.hint
    assert "x.conf" in source.named("docker/compose.yaml"), "said in compose_files, they start at the source"


def needed(project: reading.Project) -> set[str]:
    return {each.text for each in project.named if each.needed}


def test_what_only_other_profiles_use_is_not_needed(source: Source) -> None:
    source.write(
        {
            "compose.yaml": """
            services:
              web: {env_file: web.env, secrets: [one]}
              debug: {profiles: [debug], env_file: debug.env, secrets: [two], build: ./debug}
            secrets: {one: {file: one.txt}, two: {file: two.txt}, three: {file: three.txt}}
            """
        }
    )
    assert needed(source.read()) == {"web.env", "one.txt"}
    both = source.read(profiles=["debug"])
    assert needed(both) == {"web.env", "one.txt", "debug.env", "two.txt", "./debug", "Dockerfile"}
    assert list(both.builds) == ["debug"] and not source.read().builds
    source.write({".env": "COMPOSE_PROFILES=debug,more\n"})
    assert needed(source.read()) == {*needed(both), ".env"}


def test_only_what_has_no_image_from_elsewhere_is_built(source: Source) -> None:
    source.write(
        {
            "compose.yaml": """
            services:
              api: {build: {context: ., dockerfile: Dockerfile.prod}, image: app-api}
              worker: {build: {context: ., dockerfile: Dockerfile.prod}}
            """
        }
    )
    assert list(source.read().builds) == ["worker"] and "Dockerfile.prod" in needed(source.read())
    assert not source.read(images=["worker"]).builds and not needed(source.read(images=["worker"]))
    source.write({"Dockerfile.prod": "FROM scratch\n"})
    assert list(source.read().builds) == ["api", "worker"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("services:\n  a:\n    volumes: ['${DATA:?no place}:/data']\n", 3),
        ("services:\n  a:\n    volumes:\n      - ${DATA}:/data\n", 4),
        ("services:\n  a:\n    volumes:\n      - x:/x\n      - ${PWD}/x:/data\n", 5),
        ("services:\n  a:\n    volumes:\n      - ./${a-:/data\n", 4),
        ("services:\n  a:\n    env_file: $-x\n", 3),
        ("services:\n  a:\n    extends:\n      file: compose.yaml\n      service: b\n", 5),
        ("services:\n  a:\n    extends: {service: b}\n  b:\n    extends: {service: a}\n", 3),
        ("include:\n  - compose.yaml\n", 2),
        ("services:\n  a:\n    volumes:\n      - HERE/x.conf:/x.conf\n", 4),
        ("services:\n  a: 1\n a: 2\n", 3),
    ],
)
def test_what_cannot_be_read_is_told_with_its_line(text: str, line: int, source: Source) -> None:
    source.write({"compose.yaml": text.replace("HERE", str(source.path))})
    with pytest.raises(InventoryError) as caught:
        source.read()
    assert Path(caught.value.where).name.split(":")[:2] == ["compose.yaml", str(line)]
    assert caught.value.exit_code == 2


def test_a_project_without_a_compose_file_is_refused(source: Source) -> None:
    with pytest.raises(InventoryError):
        source.read()
    with pytest.raises(InventoryError):
        source.read("other.yaml")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$A/${A}/$$A", "one/one/$A"),
        ("${E:-x}${E-x}${N-x}${N:-x}", "xxx"),
        ("${A:+y}${E:+y}${E+y}${N+y}", "yy"),
        ("${N:-${M:-${A}}/z}", "one/z"),
        ("${N}${M}$N", ""),
        ("${A?never}", "one"),
    ],
)
def test_variables_are_those_of_compose(text: str, expected: str) -> None:
    assert interpolated(text, {"A": "one", "E": ""}) == expected


def test_later_env_files_go_before_earlier_ones(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("A=1\nB=${A}2\nP='pa$$word${A}'\nQ=\"q${P}\"\n")
    (tmp_path / "b").write_text("A=3\n")
    found = environment([tmp_path / "a", tmp_path / "b"])
    assert (found["A"], found["B"]) == ("3", "12") and found["P"] == "pa$$word${A}"
    assert found["Q"] == "qpa$$word${A}"
