"""Hosts that answer every deed as an honest one would, or with one lie; and the typed commands that ask them.

Nothing here knows what the controller believes: it is told on the wire, and an exit code and a text come of it.
"""

from __future__ import annotations

import base64
import io
import json
import shutil
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from invoke.context import Context
from liar import Liar

from mnemo_ops.agent.base import protocol
from mnemo_ops.cli import adopt, locks, project, runs, stack, storage
from mnemo_ops.core.model import Host
from mnemo_ops.execution import session_pool as fleets
from mnemo_ops.execution.playbook_run import Plays
from mnemo_ops.flows import deploy, keys
from mnemo_ops.flows.migrate import look
from mnemo_ops.lab.app import STACK
from mnemo_ops.stack.project.shipment import Shipment
from mnemo_ops.transport import session
from mnemo_ops.transport.session import AgentSession

RUN = "20261129T220719Z-f5d5"
SUM = "5" * 64
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhY"
FACTS = {
    **{"user_id": "root", "distribution": "Debian", "system": "Linux", "architecture": "x86_64"},
    **{"default_ipv4": {"address": "192.0.2.7"}},
}
DISK = {"path": "/var/backups/mnemosyne", "free": 1 << 40, "inodes": 1 << 20, "holds": ["store", "=lightrag"]}
BARE = {
    **{"machine_id": "b" * 32, "clock": 1e9, "tools": {"docker": True, "rsync": True}, "directory": []},
    **{"absent": [], "mounted": False, "disks": [DISK], "fence": None},
    **{
        "target": None,
        "leases": {},
        "listening": [],
        "published": [],
        "containers": {},
        "docker": None,
        "troubles": [],
    },
}
PORTS = ("80/tcp", "443/tcp")
CONTAINER = {"state": "running", "health": "", "image": "api:1", "content": SUM}
_LOCALE = {"encoding": "UTF8", "collate": "C", "ctype": "C", "provider": "c", "locale": None, "rules": None}
LIKE = {
    **{"major": 16, "version": "16.4", "segment": 16, "checksums": True, "superuser": "app", "mode": "0700"},
    **{"preloaded": "", "programs": "/bin", "extensions": ["vector"]},
    **{"template0": _LOCALE, "locales": [_LOCALE], "zstd": False, "mount": "/pg", "uid": 999},
}
SERVING = {
    **BARE,
    **{
        "machine_id": "a" * 32,
        "directory": ["docker-compose.prod.yml"],
        "listening": ["80/tcp", "443/tcp"],
        "published": ["80/tcp", "443/tcp"],
    },
    **{"containers": {"api": CONTAINER}, "volumes": ["mnemosyne_postgres_data"]},
    **{"all_volumes": ["mnemosyne_postgres_data"], "odd_volumes": {}, "names": [], "container_names": ["m-api-1"]},
    **{"networks": ["bridge"], "outer_networks": [], "unnamed": [], "emptied": []},
    **{"subnets": {"bridge": ["172.17.0.0/16"]}, "own_subnets": ["172.30.0.0/16"], "forgotten": []},
    **{
        "sizes": {"lightrag": 5},
        "postgres": {"postgres": {"bytes": 5, "cluster": LIKE, "losses": [], "obstacles": []}},
        "compose": "2.30",
    },
}
PARTS = [{"name": "postgres.dump", "bytes": 5, "sha256": SUM}, {"name": "config.tar.age", "bytes": 5, "sha256": SUM}]
DATASETS = {
    "postgres": {
        **{"kind": "postgres", "bytes": 5, "major": 16, "encoding": "UTF8", "collate": "C", "ctype": "C"},
        **{"provider": "c", "locale": "", "rules": "", "extensions": {}, "tables": {}, "sequences": {}},
        **{"needed_roles": [], "matviews": {}},
    },
    "config": {"kind": "config", "bytes": 5, "sha256": SUM, "left_out": ["run/x (a socket)"]},
}
# as a set of today holds it, and as a look at a host tells it
ONE = {
    **{"encoding": "UTF8", "collate": "C", "ctype": "C", "provider": "c", "locale": None, "rules": None, "bytes": 5},
    **{"extensions": {"9": {"name": "vector", "version": "0.7", "schema": "public", "owner": "app"}}, "public": True},
}
CLUSTER = {
    **{
        "kind": "postgres",
        "version": "16.4",
        "major": 16,
        "bytes": 5,
        "segment": 16,
        "checksums": True,
        "mode": "0700",
    },
    **{"superuser": "app", "user": "app", "roles": ["app", "pg_monitor"], "preloaded": "", "data": "/pg", "cron": None},
    **{"programs": "/bin", "uid": 0, "gid": 0, "secrets": "postgres.secrets.age", "files": {"app": "postgres.1.dump"}},
    **{"databases": {"template0": ONE, "app": ONE}, "rows": {"app": {"rows of t": f"7 ({SUM})"}}},
}
THERE = {"version": "16.4", "roles": ["app"], "databases": {"app": {**ONE, "rows": 9}, "shut": {**ONE, "rows": None}}}
HOLDS = {
    **{"format": 3, "tool": "1.0", "datasets": {**DATASETS, "postgres": CLUSTER, "old": DATASETS["postgres"]}},
    **{"accepted_losses": ["a role"]},
    "volumes": {
        "lightrag_data": {"driver": "local", "options": {"device": "/data/lightrag", "o": "bind"}, "labels": {}}
    },
}
ROW = {
    **{"id": RUN, "state": "complete", "checked": "sizes", "why": "", "created": 1e9, "host": "old", "bytes": 10},
    **{"consistency": "quiesced", "parts": PARTS, "migration": ""},
    **{"verified": {"at": 1e9, "level": "restore", "result": "equal"}},
}
ROWS = [
    ROW,
    {**ROW, "id": "20261128T220719Z-f5d5", "state": "damaged", "why": "a part is missing", "verified": None},
    {"id": "a", "state": "newer", "format": 9, "why": "newer", "created": 1e8, "bytes": 1},
    {"id": "b", "state": "unreadable", "why": "odd", "created": 1e7, "bytes": 1},
    {"id": "c.partial", "state": "incomplete", "created": 1e6, "bytes": 1},
]
MADE = {"name": "mnemosyne_lightrag_data", "driver": "local", "options": {}, "labels": {}}
PLACE = {"type": "none", "o": "bind", "device": "/data/lightrag"}
MOVE = {
    **{"id": RUN, "state": "moved", "source": MADE, "target": {**MADE, "options": PLACE, "external": False}},
    **{"kept": "mnemosyne-kept-lightrag_data", "services": ["api"], "bytes": 5, "entries": 2},
}
LEASE = {"run": RUN, "seconds_left": 60.0, "undo": ["drop_fence"], "failing": None, "jobs": [f"{RUN}-backup"]}
OWNER = {"uid": 999, "gid": 999}
SPARE = [{"name": f"{RUN}.partial", "bytes": 5, "why": "never finished"}]

OUTAGE = {"write_outage_seconds": 1.5, "phases": {"stop": 0.5, "start": 1.0}}

_ROW = {"reason": "PG_VERSION 16 in it", "overrule": "stack.datasets: [{}]", "dataset": None}
DERIVED = [
    {
        **{**_ROW, "topic": "dataset", "what": "data-db", "value": "postgres, served by db"},
        "dataset": {
            **{"name": "data-db", "kind": "postgres", "volume": "outer", "path": "data/db", "service": "db"},
            "docker": "outer_data",
        },
    },
    {**_ROW, "topic": "writers", "what": "data-db", "value": "db, web"},
]
COMPOSE = b"services: {web: {image: i}}\n"
Asked = tuple[str, str]  # ready or act, and the kind; ("hello", "") for what it tells of itself
TOLD: Mapping[Asked, Any] = {
    ("hello", ""): FACTS,
    ("ready", "survey"): SERVING,
    ("ready", "look_at_volumes"): {
        "findings": [
            {
                **{"id": "volume.server-silent", "severity": "warns", "where": "lightrag_data"},
                **{"evidence": "its server is far away", "remedy": "start it"},
            }
        ],
    },
    ("ready", "look_at_locks"): {
        "owner": {"command": "mnemo-ops backup", "owner": "ann@laptop", "run": RUN, "since": "2026-11-29T22:07:19Z"},
        "leases": {f"backup-{RUN}": LEASE, "x": {**LEASE, "jobs": [], "failing": {"since": 1e9, "why": "busy"}}},
        "moved": [RUN],
        "last": {
            **{"run": RUN, "command": "backup", "owner": "ann@laptop", "began": "2026-11-29T22:07:19Z"},
            **{"ended": "2026-11-29T22:09:19Z", "how": "the backup is complete"},
        },
    },
    ("ready", "list_projects"): {
        "projects": {"notes": {"containers": 2, "running": 1, "directory": "/srv/notes"}},
        **{"others": ["watchtower"], "swarm": []},
    },
    ("ready", "look_at_project"): {
        **{"directory": "/srv/notes", "place": "/srv/notes", "rows": DERIVED},
        "files": [{"path": "/srv/notes/compose.yaml", "name": "compose.yaml", "bytes": len(COMPOSE)}],
        "env_file": {"path": "/srv/notes/.env", "name": ".env", "bytes": 4},
        "tree": [
            {"path": "conf", "kind": "directory", "mode": 0o755, "bytes": 0, "target": ""},
            {"path": ".env", "kind": "file", "mode": 0o644, "bytes": 4, "target": ""},
            {"path": "compose.yaml", "kind": "file", "mode": 0o644, "bytes": len(COMPOSE), "target": ""},
            {"path": "conf/now", "kind": "link", "mode": 0o777, "bytes": 0, "target": "../compose.yaml"},
        ],
        "mounts": [{"service": "db", "target": "/data", "source": "./data/db", "becomes": "dataset data-db"}],
        **{"forgotten": ["web:/x (a volume without a name)"], "differing": ["web"], "unknown": ["db"]},
        "notes": ["its files were edited"],
    },
    ("ready", "read_files"): {"pieces": [base64.b64encode(data).decode() for data in (b"A=1\n", COMPOSE)]},
    ("ready", "show_stack"): {
        **{"directory": "/srv/notes", "files": ["/srv/notes/compose.yaml"], "env_files": ["/srv/notes/.env"]},
        "rows": DERIVED,
    },
    ("ready", "list_runs"): {
        "runs": [
            {
                **{"run": RUN, "command": "migrate", "at": 1e9, "how": "it failed in the phase set"},
                **{"state": "failed", "exit_code": 6, "hosts": ["one", "two"]},
            }
        ]
    },
    ("act", "end_lease"): {"undone": False, "why": "busy", "leaves": ["a file in /tmp"]},
    ("ready", "prune_sets"): {"remove": SPARE, "keep": SPARE},
    ("act", "prune_sets"): {"removed": SPARE, "keep": [], "left": ["x"]},
    ("act", "list_sets"): {"sets": ROWS},
    ("act", "show_set"): {"set": ROW, "holds": HOLDS},
    ("ready", "make_set"): {"sizes": {"postgres": 5, "config": 5}, "longest_stop": 60},
    ("act", "make_set"): {
        **{"format": 2, "id": RUN, "created": 1e9, "parts": PARTS, "datasets": DATASETS, "volumes": {}},
        **{"consistency": "quiesced", "accepted_losses": ["a role"], "manifest_sha256": SUM},
        **OUTAGE,
    },
    ("ready", "load_set"): {
        **{"manifest": {}, "losses": [], "signature": "", "manifest_sha256": SUM},
        **{"aside": [RUN], "untouched": ["uploads"], "sealed": {}},
        "replaces": {
            "postgres": {"now": THERE, "comes": CLUSTER},
            "graph": {"now": {"files": 7, "bytes": 5}, "comes": {**DATASETS["config"], "kind": "files", "files": 6}},
            "tls": {"now": {"why": "no answer"}, "comes": {**DATASETS["config"], "kind": "files"}},
        },
        "previous": {"id": RUN, "stamp": RUN, "live": "after", "project": "mnemosyne", "paths": []},
    },
    ("act", "load_set"): {
        **{"id": RUN, "datasets": DATASETS, "accepted_losses": ["a role"], "strays": ["/srv/x.mnemo-stray-1"]},
        **{"kept_passwords": ["app"], "unknown_settings": ["old_snapshot_threshold (postgresql.conf, line 1)"]},
        **OUTAGE,
    },
    ("ready", "undo_restore"): {"id": RUN, "stamp": RUN, "live": "after", "paths": [], "state": "loading"},
    ("act", "undo_restore"): {"undone": RUN, "live": "before", "kept": "beside it", "strays": [], **OUTAGE},
    ("act", "release"): {"undone": True},
    ("ready", "move_volume"): {"plan": {**MOVE, "state": "copying"}, "last": None, "alive": False, "stale": False},
    ("act", "move_volume"): {
        **{"moved": True, "bytes": 5, "files": 2, "kept": "mnemosyne-kept", "services": ["api"]},
        "write_outage_seconds": 1.5,
    },
    ("ready", "image_user"): OWNER,
    ("act", "image_user"): OWNER,
    ("act", "smoke"): {"postgres": "16.4", "containers": 9, "health": "200"},
    ("ready", "restart_stale"): {"stale": {"web": ["conf/web.conf"]}},
    ("act", "restart_stale"): {"restarted": {"web": ["conf/web.conf"]}},
    ("ready", "load_images"): {"absent": ["api:1"], "unnamed": []},
    ("act", "save_images"): {"bytes": 5, "sha256": SUM},
    ("act", "make_key"): {"public_key": KEY},
    ("act", "host_keys"): {"keys": [KEY]},
    ("act", "set_files"): {"files": [{"name": "manifest.json", "size": 5, "sha256": SUM}]},
    ("act", "fetch"): {"bytes": 5, "files": 1},
    ("act", "prove_stack"): {"vector_indexes": 1, "documents": 5},
    ("ready", "try_image"): {"major": 16},
    ("act", "try_image"): {"major": 16},
    ("ready", "prove_mounts"): {"proofs": {"graph": {"error": "no way", "hint": "look"}}},
    ("act", "prove_mounts"): {
        "container": True,
        "proofs": {
            "graph": {"sha256": SUM, "bytes": 5, "fsync_ms": {"median": 1.5, "p99": 2.5}},
            "uploads": {"error": "no way", "hint": "look", "silent": True},
        },
    },
    ("act", "read_proof"): {"/srv/nfs/graph": {"sha256": SUM, "uid": 999, "gid": 999}},
}
# what another host, or a later look, answers instead
NEW = {("ready", "survey"): BARE}
MOVED = {("ready", "move_volume"): {"plan": None, "last": MOVE, "alive": False, "stale": False}}
MOUNTED: Mapping[Asked, Any] = {("ready", "prove_mounts"): {"proofs": {}}}
COPYING = {
    ("ready", "survey"): {
        **SERVING,
        "leases": {f"fence-{RUN}": RUN},
        "fence": {"run": RUN, "state": "held", "target": "b" * 32, "hosts": ["one", "two"]},
    }
}
COPY = {"run": RUN, "state": "copying", "restart": {"m-api-1": "no"}, "hosts": ["one", "two"]}
UNFINISHED = {("ready", "survey"): {**BARE, "target": COPY, "steps": ["verify done"]}}

Told = Mapping[Asked, Any]
Command = tuple[Any, dict[str, Any], tuple[str, ...], dict[str, Told]]
YES = {"yes": True}
# task, options, its hosts, and what one of them answers else
COMMANDS: Mapping[str, Command] = {
    "lock.status": (locks.status, {}, ("one", "two"), {}),
    "adopt": (adopt.adopt, {}, ("one",), {}),
    "adopt --check": (adopt.adopt, {"check": True, "limit": "192.0.2.1"}, ("one",), {}),
    "stack.show": (project.show, {}, ("one", "two"), {}),
    "runs": (runs.runs, {}, ("one", "two"), {}),
    "lock.release": (locks.release, YES, ("one",), {}),
    "backup.list": (stack.backup_list, {"all": True}, ("one", "two"), {}),
    "backup.show": (stack.backup_show, {"id": "latest", "parts": True, "tables": True}, ("one",), {}),
    "backup.prune": (stack.backup_prune, YES, ("one", "two"), {}),
    "backup --check": (stack.backup_create, {**YES, "check": True}, ("one",), {}),
    "backup": (stack.backup_create, YES, ("one",), {}),
    "restore": (stack.restore, {**YES, "id": "latest"}, ("one",), {}),
    "restore --check": (stack.restore, {"id": "latest", "check": True}, ("one",), {}),
    "restore --undo": (stack.restore, {**YES, "undo": True}, ("one",), {}),
    "migrate --check": (stack.migrate, {"from_": "one", "to": "two", "check": True}, ("one", "two"), {"two": NEW}),
    "migrate": (stack.migrate, {**YES, "from_": "one", "to": "two"}, ("one", "two"), {"two": NEW}),
    "migrate, another image": (
        stack.migrate,
        {**YES, "from_": "one", "to": "two"},
        ("one", "two"),
        {"two": NEW},
    ),
    "migrate --abort": (
        stack.migrate,
        {**YES, "from_": "one", "to": "two", "abort": True},
        ("one", "two"),
        {"one": COPYING, "two": UNFINISHED},
    ),
    "deploy": (stack.deploy, {}, ("one",), {}),
    "deploy --check": (stack.deploy, {"check": True}, ("one",), {}),
    "volumes": (storage.volumes, {}, ("one", "two"), {}),
    "volumes --to": (storage.volumes, {**YES, "volume": "lightrag_data", "to": "bind"}, ("one",), {}),
    "volumes --undo": (storage.volumes, {**YES, "volume": "lightrag_data", "undo": True}, ("one",), {"one": MOVED}),
    "nfs-setup": (storage.nfs_setup, {}, ("one", "two"), {"two": MOUNTED}),
    "nfs-setup, closed": (storage.nfs_setup, {}, ("one", "two"), {}),
}
HONEST_END = {"nfs-setup, closed": 6}  # what is told here speaks against it


class Answering(Liar):
    """A host whose agent reports what it is told to."""

    def __init__(self, told: Callable[[Asked], Any]) -> None:
        super().__init__()
        self.told = told

    def _answer(self, request: Mapping[str, Any]) -> None:
        op, seq = request["op"], request.get("seq", 0)
        if op == "hello":
            hello = {"facts": self.told(("hello", "")), "login": "root", "pending_handlers": [], "done": seq}
            self.said.parts.extend([protocol.GREETING, protocol.encode(hello)])
        elif op in ("act", "ready"):
            report = self.told((op, request["kind"]))
            said = report(seq) if callable(report) else [{"report": report, "done": seq}]
            self.said.parts.extend(map(protocol.encode, said))
        else:
            super()._answer(request)


class Typed:
    """A command as somebody types it, against such hosts. :attr:`heard`: what each of them was asked, whole."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.home = home
        self.told: Callable[[str, Asked], Any] = lambda host, asked: {}
        self.pipes: list[tuple[str, Answering]] = []
        self.real = fleets.connect
        key = keys.Identity.new()
        text = f"{keys.HERE}2026\n{keys.PUBLIC}{key.recipient}\n{key.secret}\n"
        keys.keep(home / ".mnemo/keys/mnemosyne.age", text)  # else a restore ends before it is lied to
        monkeypatch.chdir(home)
        monkeypatch.setattr(session, "RECONNECT", (0.01,))
        monkeypatch.setattr(fleets, "connect", self._connect)
        monkeypatch.setattr(look, "connect", self._connect)
        # playbooks are not what is looked at here
        monkeypatch.setattr(Plays, "run", lambda *_, **__: None)
        monkeypatch.setattr(deploy, "check_files", lambda *_: None)
        monkeypatch.setattr(deploy, "shipment_of", lambda *_: Shipment())
        monkeypatch.setattr(deploy, "seen", lambda *_: {"conf/web.conf": home / "env"})

    def _connect(self, host: Host, **given: Any) -> AgentSession:
        def reach(blob: bytes) -> Answering:
            self.pipes.append((host.name, Answering(lambda asked: self.told(host.name, asked))))
            return self.pipes[-1][1]

        return AgentSession(host, reach, given.get("lock"), given.get("alias", ""))

    def asked(self, host: str) -> str:
        """Every request a host got, as JSON."""
        return "\n".join(json.dumps(one) for name, pipe in self.pipes if name == host for one in pipe.heard)

    def __call__(
        self, name: str, lies: Callable[[str, Asked, Any], Any] | None = None, out: Any = None, **more: Any
    ) -> tuple[int, str]:
        """Exit code and all that was printed. :param lies: what a host says instead of the truth, or a function that
        makes messages of the number of the request. :param out: where it is printed."""
        task, options, hosts, other = COMMANDS[name]

        def told(host: str, asked: Asked) -> Any:
            truth = other.get(host, {}).get(asked, TOLD.get(asked, {}))
            return lies(host, asked, truth) if lies else truth

        self.told = told
        self.pipes.clear()
        (self.home / "env").write_text("POSTGRES_USER=mnemo\n")
        moved = {"lightrag_data": {"type": "bind", "path": "/data/lightrag"}} if name == "volumes --to" else {}
        nfs = {"server": "one", "clients": ["two"], "exports": {"graph": {"owner": 999}}}
        named = {
            host: {"ansible_host": f"192.0.2.{number}", "pg": f"pg:{host}"} for number, host in enumerate(hosts, 1)
        }
        images = {"images": {"postgres": "{{ pg }}"}} if "another image" in name else {}
        own = {"source": str(STACK), "env_file": "env", "volumes": moved, **images}
        for place in ("stacks", "host_vars"):  # what an adoption before this one made
            shutil.rmtree(self.home / place, ignore_errors=True)
        own = own if task is not adopt.adopt else None
        all_ = {"stack": own, **({"nfs": nfs} if "nfs" in name else {})}
        (self.home / "inventory.yml").write_text(json.dumps({"all": {"hosts": named, "vars": all_}}))
        out = out or io.StringIO()
        with redirect_stdout(out), redirect_stderr(out), pytest.raises(SystemExit) as ended:
            task(Context(), inventory=str(self.home / "inventory.yml"), **options, **more)
        return int(ended.value.code or 0), out.getvalue()


Way = tuple[Any, ...]  # to a text in a report: keys and places, and "" behind the key that is meant itself


def texts(truth: Any, way: Way = ()) -> list[Way]:
    """Every text of a report, also the names in it, as far as lists are begun."""
    if isinstance(truth, str):
        return [way]
    if isinstance(truth, Mapping):
        return [found for key, one in truth.items() for found in (*texts(one, (*way, key)), (*way, key, ""))]
    return (
        [found for at, one in enumerate(truth[:1]) for found in texts(one, (*way, at))]
        if isinstance(truth, list)
        else []
    )


def instead(truth: Any, way: Way, text: str) -> Any:
    """The report with another text there."""
    if not way:
        return text
    key, *rest = way
    if rest == [""]:
        return {text if name == key else name: one for name, one in truth.items()}
    if isinstance(truth, list):
        return [instead(one, tuple(rest), text) if at == key else one for at, one in enumerate(truth)]
    return {**truth, key: instead(truth[key], tuple(rest), text)}
