"""What of a source travels to a host, what stays, and what is refused before anything is stopped."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from test_project_files import Source

from mnemo_ops.errors import InventoryError
from mnemo_ops.stack.project import ignoring
from mnemo_ops.stack.project.shipment import Shipment, _around, pack

# the traps of the application's own compose file: files mounted from scripts/, directories that are in no repository
UPSTREAM = """
version: '3.8'
services:
  nginx:
    image: nginx:alpine
    volumes:
      - ./nginx/nginx.conf:/etc/nginx/nginx.conf:ro
      - ./nginx/ssl:/etc/nginx/ssl:ro
      - ./uploads:/app/uploads:ro
  api:
    build: {context: ., dockerfile: Dockerfile.prod}
    env_file: [.env.production]
    volumes: ["./uploads:/app/uploads", "lightrag_data:/app/data/lightrag"]
  postgres:
    image: pgvector/pgvector:pg15
    volumes:
      - postgres_data:/var/lib/postgresql/data
      - ./scripts/init.sql:/docker-entrypoint-initdb.d/init.sql:ro
  backup:
    build: {context: ., dockerfile: Dockerfile.prod}
    volumes:
      - ./scripts/backup-complete.sh:/usr/local/bin/backup:ro
      - ./uploads:/app/uploads:ro
  grafana:
    image: grafana/grafana
    volumes:
      - ./monitoring/grafana/dashboards:/etc/grafana/provisioning/dashboards
      - ./monitoring/grafana/datasources:/etc/grafana/provisioning/datasources
volumes: {postgres_data: {}, lightrag_data: {}}
"""
FILES = {
    "docker-compose.prod.yml": UPSTREAM,
    "nginx/nginx.conf": "events {}\n",
    "scripts/init.sql": "SELECT 1;\n",
    "scripts/backup-complete.sh": "#!/bin/sh\n",
    "scripts/deploy.sh": "#!/bin/sh\n",
    "Dockerfile.prod": "FROM scratch\n",
    "backend/main.py": "",
    "tests/test_main.py": "",
    ".dockerignore": "scripts\ntests\nnginx/*.conf\n**/*.md\n!keep.md\n",
    "README.md": "",
    "keep.md": "",
    ".git/config": "",
    "uploads/mine.pdf": "",
}


@pytest.fixture
def source(tmp_path: Path) -> Source:
    found = Source(tmp_path / "src").write(FILES)
    (found.path / "scripts/backup-complete.sh").chmod(0o755)
    return found


def packed(source: Source, *files: str, more: Mapping[str, Any] | None = None, **given: Any) -> Shipment:
    return pack(source.path, source.read(*files, **(more or {})), **given)


def upstream(source: Source, **given: Any) -> Shipment:
    return packed(source, "docker-compose.prod.yml", placed=[".env.production", "nginx/ssl/key.pem"], **given)


def paths(rows: Any) -> list[str]:
    return [row["path"] for row in rows]


def test_everything_that_the_application_names_travels(source: Source) -> None:
    found = upstream(source, data=["uploads"])
    assert paths(found.files) == [
        *(".dockerignore", "Dockerfile.prod", "backend/main.py", "docker-compose.prod.yml", "keep.md"),
        *("nginx/nginx.conf", "scripts/backup-complete.sh", "scripts/init.sql"),
    ]
    modes = {row["path"]: row["mode"] for row in found.files}
    assert modes["scripts/backup-complete.sh"] == "0755" and modes["scripts/init.sql"] in ("0644", "0664")
    assert found.builds == ("api", "backup")
    assert not any(row["once"] for row in found.files)
    assert {"nginx/ssl", "uploads", "scripts", "backend"} <= set(paths(found.directories))
    assert [row for row in found.directories if row["path"] == "uploads"] == [{"path": "uploads"}]


def test_directories_that_docker_would_make_are_told(source: Source) -> None:
    told = upstream(source).warnings
    assert [warning.partition(": ")[0].rpartition("/")[2] for warning in told] == [
        "docker-compose.prod.yml:26",
        "docker-compose.prod.yml:27",
        "docker-compose.prod.yml:12",
    ]
    assert len(upstream(source, data=["uploads", "monitoring"]).warnings) == 0


@pytest.mark.parametrize(
    ("gone", "line"),
    [
        ("nginx/nginx.conf", 6),
        ("scripts/init.sql", 17),
        ("scripts/backup-complete.sh", 21),  # its target has no ending; its source has
        ("Dockerfile.prod", 10),
    ],
)
def test_a_named_file_that_is_not_there_is_refused_with_its_line(gone: str, line: int, source: Source) -> None:
    (source.path / gone).unlink()
    with pytest.raises(InventoryError) as caught:
        upstream(source)
    assert caught.value.where.endswith(f"docker-compose.prod.yml:{line}") and caught.value.exit_code == 2


def test_what_another_image_replaces_needs_no_sources(source: Source) -> None:
    (source.path / "Dockerfile.prod").unlink()
    found = upstream_with(source, ["api", "backup"])
    assert not found.builds and "tests/test_main.py" in paths(found.files)


def upstream_with(source: Source, images: list[str]) -> Shipment:
    return packed(source, "docker-compose.prod.yml", more={"images": images}, placed=[".env.production"])


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("services:\n  a:\n    env_file: gone.env\n", 3),
        ("services:\n  a:\n    env_file:\n      - path: gone.env\n", 4),
        ("services:\n  a:\n    label_file: gone.txt\n", 3),
        ("services:\n  a: {build: ./gone}\n", 2),
        ("services:\n  a: {image: a, extends: {file: gone.yml, service: a}}\n", 2),
        ("include: [gone.yml]\n", 1),
        ("services: {a: {secrets: [s]}}\nsecrets:\n  s:\n    file: gone.txt\n", 4),
        ("services: {a: {configs: [c]}}\nconfigs:\n  c:\n    file: ./scripts\n", 4),  # a directory
        ("services:\n  a:\n    volumes:\n      - ./Caddyfile:/etc/caddy/Caddyfile\n", 4),
        ("services:\n  a:\n    volumes:\n      - ./acme.json:/acme.json\n", 4),
        (
            "services:\n  a:\n    volumes:\n      - {type: bind, source: ./gone, target: /x, read_only: true}\n",
            4,
        ),
        ("services:\n  a:\n    volumes:\n      - ../beside.conf:/etc/a.conf\n", 4),
        ("services:\n  a:\n    volumes:\n      - ../beside:/x:ro\n", 4),
        ("services:\n  a:\n    env_file: ../beside.env\n", 3),
        ("services:\n  a:\n    volumes:\n      - ./out.conf:/etc/a.conf\n", 4),
    ],
)
def test_what_compose_would_not_find_on_the_host_is_refused(text: str, line: int, source: Source) -> None:
    for name in ("beside.conf", "beside.env"):
        (source.path.parent / name).touch()
    (source.path / "out.conf").symlink_to("../beside.conf")
    source.write({"compose.yaml": text})
    with pytest.raises(InventoryError) as caught:
        packed(source, "compose.yaml")
    assert caught.value.where.endswith(f"compose.yaml:{line}") and caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "services: {a: {env_file: [{path: gone.env, required: false}]}}\n",
        "services: {a: {profiles: [x], env_file: gone.env, volumes: ['./gone.conf:/a.conf'], build: ./gone}}\n",
        "services: {a: {image: a}}\nsecrets: {s: {file: gone.txt}}\n",
        "services: {a: {volumes: ['/etc/localtime:/etc/localtime:ro', '~/gone.conf:/a.conf:ro']}}\n",
        "services: {a: {image: registry.example/a, build: ./gone}}\n",
        "services: {a: {image: a, volumes: ['m:/m']}}\n"
        "volumes: {m: {driver_opts: {type: none, o: bind, device: ./media}}}\n",
    ],
)
def test_what_nobody_needs_here_is_not_missed(text: str, source: Source) -> None:
    source.write({"compose.yaml": text})
    found = packed(source, "compose.yaml")
    assert not found.warnings and ("media" in paths(found.directories)) == ("media" in text)


@pytest.mark.parametrize("mount", ["./site:/var/www/example.fr", "./example.dev:/www", "./a.b:/srv/node.js.app"])
def test_a_directory_is_one_whatever_its_ending(mount: str, source: Source) -> None:
    """A missing directory that containers write was taken for a file, and refused."""
    source.write({"compose.yaml": f"services: {{a: {{volumes: ['{mount}']}}}}\n"})
    found = packed(source, "compose.yaml")
    assert len(found.warnings) == 1 and mount.partition(":")[0][2:] in paths(found.directories)


@pytest.mark.parametrize("mount", ["./conf.d:/etc/nginx/conf.d:ro", "./v1.2:/srv/v1.2:ro", "./example.org:/www:ro"])
def test_a_directory_with_a_point_in_its_name_is_a_directory(mount: str, source: Source) -> None:
    source.write({"compose.yaml": f"services: {{a: {{volumes: ['{mount}']}}}}\n"})
    assert len(packed(source, "compose.yaml").warnings) == 1


def test_a_directory_outside_that_containers_write_into_is_the_hosts(source: Source) -> None:
    source.write({"compose.yaml": "services: {a: {volumes: ['../data:/data']}}\n"})
    found = packed(source, "compose.yaml")
    assert len(found.warnings) == 1 and not [path for path in paths(found.directories) if "data" in path]


def test_a_single_file_that_containers_write_is_put_there_once(source: Source) -> None:
    """Users and settings that an application had written went back to those of the source, and nobody was told."""
    names = ("users", "settings.json", "site/wp-config.php", "nginx.conf", "init.sql", "Caddyfile", "hook")
    mounts = ", ".join(f"'./{name}:/x/{name}'" for name in names)
    source.write({"compose.yaml": f"services: {{a: {{volumes: [{mounts}, './ro:/ro:ro']}}}}\n", "ro": ""})
    source.write(dict.fromkeys(names, ""))
    (source.path / "hook").chmod(0o755)
    found = packed(source, "compose.yaml")
    kept = {"users", "settings.json", "site/wp-config.php"}
    assert {row["path"] for row in found.files if row["once"]} == kept
    assert len(found.warnings) == 3 and all(":ro" in each for each in found.warnings)


def test_state_stays_where_it_is_and_its_own_files_travel_once(source: Source) -> None:
    source.write(
        {
            "compose.yaml": """
            services:
              web:
                build: ./sentry
                volumes: ["./sentry:/etc/sentry", "./data:/data", "./data/conf:/conf:ro", "./theme:/theme"]
                env_file: data/app.env
              proxy:
                volumes: ["./acme.json:/acme.json", "./nginx/nginx.conf:/etc/nginx/nginx.conf"]
            """,
            "sentry/Dockerfile": "",
            "sentry/sentry.conf.py": "",
            "sentry/entrypoint.sh": "",
            "data/app.env": "",
            "data/conf/a.conf": "",
            "data/mine.db": "",
            "theme/a.css": "",
            "acme.json": "{}",
            ".mnemoignore": "!theme\n",
        }
    )
    (source.path / "sentry/entrypoint.sh").chmod(0o755)
    found = packed(source, "compose.yaml")
    rows = {row["path"]: row for row in found.files}
    assert {path for path, row in rows.items() if row["once"]} == {"data/conf/a.conf", "theme/a.css", "acme.json"}
    assert {"sentry/Dockerfile", "data/app.env", "nginx/nginx.conf"} <= rows.keys() and "data/mine.db" not in rows
    assert rows["sentry/entrypoint.sh"]["mode"] == "0755" and "mode" not in rows["acme.json"]
    assert rows["data/app.env"]["secret"] and not rows["theme/a.css"]["secret"]
    assert [each.partition(": ")[0].rpartition("/")[2] for each in found.warnings] == ["compose.yaml:4"]


@pytest.mark.parametrize(
    ("pattern", "leaves_out", "keeps"),
    [
        (r"build\1", "build1", "build"),
        (r"\d", "d", "5"),
        (r"\*", "*", "x"),
        ("[a-c]x", "bx", "dx"),
        ("[^a-c]x", "dx", "bx"),
        (r"[\d\]]x", "]x", "5x"),
        ("[a", "[a", "a"),
        ("x[.]y", "x.y", "xzy"),
        ("a\\", "a\\", "b"),
    ],
)
def test_patterns_are_those_of_docker(pattern: str, leaves_out: str, keeps: str, tmp_path: Path) -> None:
    (tmp_path / ".mnemoignore").write_text(f"{pattern}\n")
    found = ignoring.read(tmp_path / ".mnemoignore")
    assert found(leaves_out) and not found(keeps)


@pytest.mark.parametrize("pattern", ["[z-a]", "a/[b-a]c", "![9-0]"])
def test_a_range_that_holds_nothing_is_refused_with_its_line(pattern: str, source: Source) -> None:
    (source.path / ".mnemoignore").write_text(f"# ours\n\n{pattern}\n")
    with pytest.raises(InventoryError) as caught:
        upstream(source)
    assert caught.value.where.endswith(".mnemoignore:3")


def test_an_env_file_is_nobody_elses_unless_a_container_reads_it(source: Source) -> None:
    source.write(
        {
            "compose.yaml": """
            services:
              a: {env_file: [a.env, both.env, app/c.env, conf/d.env], volumes: ['./both.env:/x.env', './conf:/conf:ro']}
              b: {build: ./app}
            """,
            ".env": "A=b\n",
            **dict.fromkeys(("a.env", "both.env", "app/c.env", "app/Dockerfile", "conf/d.env", "conf/.env"), "A=b\n"),
        }
    )
    rows = {row["path"]: row for row in packed(source, "compose.yaml").files}
    secret = {path for path, row in rows.items() if row["mode"] == "0600"}
    assert secret == {".env", "a.env"} and rows["both.env"]["mounted"] and rows["both.env"]["secret"]


def test_directories_around_a_path_end_at_the_root() -> None:
    assert list(_around("/srv/a/b")) == ["/srv/a", "/srv", "/"]
    assert list(_around("a/b/c")) == ["a/b", "a"]


MOUNTED = {
    "compose.yaml": """
    services:
      web:
        build: .
        volumes: [".:/app", "./data:/data", "./static:/app/static"]
    """,
    "Dockerfile": "COPY . /app\n",
    "app.py": "",
    "db.sqlite3": "",
    "data/mine.png": "",
    "static/a.css": "",
    "lib/b.py": "",
}


def test_a_source_that_is_mounted_into_the_container_built_of_it_is_deployed(source: Source) -> None:
    """Each file went to hosts that lacked it, and never again: images were built from what came first."""
    for name in ("README.md", "keep.md", "uploads/mine.pdf"):
        (source.path / name).unlink()
    source.write(MOUNTED)
    once = {row["path"]: row["once"] for row in packed(source, "compose.yaml").files}
    assert not any(once[path] for path in ("app.py", "lib/b.py", "Dockerfile", "compose.yaml")) and once["db.sqlite3"]
    assert not {"data/mine.png", "static/a.css"} & set(once), "state of its own within the source"


def test_what_is_declared_as_data_within_a_build_context_is_the_hosts(source: Source) -> None:
    text = "services: {web: {build: ./lib, volumes: ['./lib:/app']}}\n"
    source.write({**MOUNTED, "compose.yaml": text, "lib/Dockerfile": ""})
    found = packed(source, "compose.yaml", data=["lib"], kept=["lib"])
    assert {row["path"] for row in found.files if row["once"]} == {"lib/b.py"} and "lib" in found.warnings[0]
    found = packed(source, "compose.yaml", data=["lib"])
    assert not [row for row in found.files if row["once"]] and not found.warnings


def test_what_is_ignored_and_what_is_no_part_of_the_project_stays_here(source: Source) -> None:
    source.write(
        {
            "compose.yaml": "services: {a: {volumes: ['./docs:/docs:ro', './docs/logo.svg:/logo.svg:ro']}}\n",
            ".mnemoignore": "# ours\nnode_modules\n**/*.log\ndocs/*.svg\n!docs/good.svg\n/keys/\n",
            "node_modules/x/index.js": "",
            "backend/a.log": "",
            "docs/logo.svg": "",
            "docs/other.svg": "",
            "docs/good.svg": "",
            "keys/a": "",
            "inventory.yml": "",
            "group_vars/all.yml": "",
        }
    )
    (source.path / "loop").symlink_to(".")
    (source.path / "dead").symlink_to("nothing")
    (source.path / "circle").symlink_to("circle")
    (source.path / "etc").symlink_to("/etc")
    apart = [source.path / "inventory.yml", source.path / "group_vars"]
    found = set(paths(packed(source, "compose.yaml", apart=apart).files))
    assert {"docs/logo.svg", "docs/good.svg", "backend/main.py"} <= found
    assert not found & {"docs/other.svg", "inventory.yml", "group_vars/all.yml", "backend/a.log", "keys/a"}
    assert not [path for path in found if path.startswith((".git/", "node_modules", "loop", "dead", "circle", "etc"))]
