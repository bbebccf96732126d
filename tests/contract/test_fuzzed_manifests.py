"""Any manifest of a set at all, and any listing beside it: it is read, or it is a set that cannot be used.

``MNEMO_FUZZ=2000 pytest tests/contract/test_fuzzed_manifests.py`` tries as many; docs/soak.md has what came of it.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
import posixpath
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sampling
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from postgres_model import FACTS
from world import World

from mnemo_ops.agent.actions.backup import SetFiles
from mnemo_ops.agent.actions.catalogue import ListSets, ShowSet
from mnemo_ops.agent.actions.load import LoadSet
from mnemo_ops.agent.base.record import asdict
from mnemo_ops.agent.engine.action import Action
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.stack import postgres_digest
from mnemo_ops.agent.stack.cluster.earlier import creation
from mnemo_ops.agent.stack.cluster.place import Place
from mnemo_ops.agent.stack.cluster.scratch import Scratch
from mnemo_ops.agent.stack.datasets.postgres import extensions_of
from mnemo_ops.agent.stack.manifest import compare_files, prove_bytes, read_manifest
from mnemo_ops.agent.stack.sql import literal
from mnemo_ops.agent.stack.stack import Dataset, Stack
from mnemo_ops.errors import MnemoError, Refused
from mnemo_ops.flows import contents
from mnemo_ops.flows.backup import condition, shown
from mnemo_ops.transport import answers

EXAMPLES = int(os.environ.get("MNEMO_FUZZ", 60 if sampling.thorough else 30))
RUN = "20261129T220719Z-0001"
STORE = "/var/backups/p"
STACK = Stack("p", "/srv/p", (), ".env", STORE, (Dataset("files", "files", "files"), Dataset("db", "postgres")), (), {})
DATABASE: dict[str, Any] = {
    **{"kind": "postgres", "major": 17, "bytes": 9, "encoding": "UTF8", "collate": "C", "ctype": "C", "provider": "c"},
    **{"extensions": {"plpgsql": "1.0"}, "needed_roles": ["ann"], "digest": 2},
    **{"tables": {"t": {"rows": 1, "hash": "0"}}, "sequences": {"s": 1}, "matviews": {"v": {"definition": "SELECT 1"}}},
}
CLUSTER = {**FACTS, "kind": "postgres", "files": {"app": "cluster.1.dump"}, "rows": {"app": {"rows of t": "1 (0)"}}}
MANIFEST = {
    "format": 3,
    "id": RUN,
    "created": 1790000000.5,
    "host": "old",
    "project": "p",
    "consistency": "quiesced",
    "migration": "",
    "accepted_losses": [],
    "parts": [{"name": name, "bytes": 3, "sha256": "0" * 64} for name in ("files.files", "files.tar.zst", "db.dump")],
    "datasets": {
        "files": {"kind": "files", "files": 1, "bytes": 3, "sha256": "0" * 64, "attributes": True},
        "db": DATABASE,
    },
    "volumes": {"files": {"driver": "local", "options": {}, "labels": {}}},
}
WHOLE = {
    **MANIFEST,
    "datasets": {**MANIFEST["datasets"], "db": CLUSTER},  # type: ignore[dict-item]
    "parts": [
        {"name": name, "bytes": 3, "sha256": "0" * 64}
        for name in ("files.files", "files.tar.zst", "cluster.1.dump", "postgres.secrets.age")
    ],
}
ROW = {"path": "a", "kind": "file", "mode": 420, "uid": 0, "gid": 0, "size": 3, "sha256": "0" * 64}

LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([10**400, -1, 1 << 63]),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["../../etc/passwd", "-rf", "a\0b", "\x1b[2J", "\ud800", "postgres"]),
)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner))


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    rows = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(each for key, one in rows for each in places(one, (*path, key)))]


@st.composite
def changed(draw: Any, first: Any) -> bytes:
    """The JSON with one to three values in it exchanged or left out."""
    value = copy.deepcopy(first)
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(places(value)))
        new = draw(VALUES)
        if not path:
            value = new if draw(st.integers(0, 9)) == 0 else value
            continue
        inner = value
        for key in path[:-1]:
            inner = inner[key]
        if draw(st.booleans()) or isinstance(inner, list):
            inner[path[-1]] = new
        else:
            del inner[path[-1]]
    return json.dumps(value).encode()


RAW = st.one_of(st.binary(max_size=40), VALUES.map(lambda value: json.dumps(value).encode()), st.just(b"[" * 5_000))
MANIFESTS = st.one_of(changed(MANIFEST), changed(WHOLE), RAW)
PROOFS = st.one_of(changed({"level": "restore", "at": 1790000000.5, "result": "equal"}), RAW)
LISTINGS = st.one_of(st.lists(changed(ROW), max_size=3).map(b"\n".join), RAW)


@pytest.fixture
def world(tmp_path: Path) -> World:
    (tmp_path / "host").mkdir()
    made = World(tmp_path / "host")
    made.install_docker()
    (made.root / STORE.lstrip("/") / RUN).mkdir(parents=True)
    return made


def report(action: Action, machine: Machine) -> Any:
    """As the controller hears it, which believes what an honest host only passes on."""
    return answers.of("act", action.kind)(json.loads(json.dumps(_report(action, machine))))


def looked(action: Action, machine: Machine) -> Any:
    return answers.of("ready", action.kind)(json.loads(json.dumps(action.ready(machine))))


def _report(action: Action, machine: Machine) -> Any:
    deed = action.run(machine)
    try:
        while True:
            next(deed)
    except StopIteration as end:
        return end.value


def listed(machine: Machine, check: bool) -> None:
    try:
        (row,) = report(ListSets(STORE, check), machine)["sets"]
    except Refused as error:
        raise AssertionError(f"an honest host would not be believed: {error}") from error
    assert isinstance(shown(row), str) and condition(row) and row["created"] <= row["created"]


def showed(machine: Machine, check: bool) -> None:
    """As people and programs have it, whatever it is."""
    told = report(ShowSet(STORE, RUN, check), machine)
    found = contents.described(told)
    assert contents.table(found, "old", parts=True, tables=True) and json.dumps(found)
    if told["holds"] is not None:
        datasets = told["holds"]["datasets"]
        both = {name: {"now": {"why": "nobody knows"}, "comes": facts} for name, facts in datasets.items()}
        assert len(contents.lines(contents.replaced(both))) >= len(both)


def of_cluster(machine: Machine) -> None:
    """What of a restore is made of the manifest alone."""
    for facts in [one.facts for one in read_manifest(machine, f"{STORE}/{RUN}").datasets if one.kind == "postgres"]:
        place = Place("image", "/srv/home", "name", 0, 0)
        if "files" in facts:
            scratch = Scratch(machine, place, facts, "/sets", {})
            assert all(isinstance(word, str) for word in [scratch.own, *scratch.words(), *extensions_of(facts)])
            assert all(scratch.facts["databases"][name]["bytes"] >= 0 for name in facts["files"])
            assert facts["uid"] >= 0 and posixpath.basename(facts["secrets"]) == facts["secrets"]


def proved(machine: Machine) -> None:
    list(prove_bytes(machine, f"{STORE}/{RUN}", read_manifest(machine, f"{STORE}/{RUN}")))


def compared(machine: Machine) -> None:
    """What of a restore's database is made of the manifest alone."""
    found = read_manifest(machine, f"{STORE}/{RUN}").datasets
    for facts in [one.facts for one in found if one.earlier]:
        assert isinstance(creation("new", facts), str) and [literal(name) for name in facts["needed_roles"]] != [""]
        after = {key: DATABASE[key] for key in ("tables", "sequences", "matviews")}
        assert isinstance(postgres_digest.compare(facts, {**after, "large_objects": {}}), list)
        assert facts["major"] >= 0 and all(name in facts["extensions"] for name in facts["extensions"])


READERS: dict[str, Callable[[Machine], Any]] = {
    "list": lambda machine: listed(machine, False),
    "list and check": lambda machine: listed(machine, True),
    "show": lambda machine: showed(machine, False),
    "show and check": lambda machine: showed(machine, True),
    "files": lambda machine: report(SetFiles(f"{STORE}/{RUN}", RUN), machine),
    "restore": lambda machine: looked(LoadSet(asdict(STACK), RUN, True, RUN), machine),
    "checksums": proved,
    "database": compared,
    "cluster": of_cluster,
    "compare": lambda machine: compare_files(machine, f"{STORE}/{RUN}", "files", [ROW]),
}


@pytest.mark.thorough
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(manifest=MANIFESTS, proof=PROOFS, listing=LISTINGS)
@example(json.dumps({**MANIFEST, "created": 10**400, "format": 1e999}).encode(), b'{"at": "now"}', b"no")
@example(json.dumps({**MANIFEST, "created": 10**400}).encode(), b"[" * 5_000, b"{}")
@example(json.dumps({**MANIFEST, "created": float("nan")}).encode(), b'{"at": 1e999}', b"[]")
@example(json.dumps({**MANIFEST, "parts": {}, "datasets": []}).encode(), b"null", b"")
def test_any_manifest_is_read_or_refused(world: World, manifest: bytes, proof: bytes, listing: bytes) -> None:
    directory = world.root / STORE.lstrip("/") / RUN
    for name, data in (("manifest.json", manifest), ("verified.json", proof), ("files.files", listing)):
        (directory / name).write_bytes(data)
    for name, read in READERS.items():
        try:
            read(world.machine())
        except MnemoError as error:
            assert error.exit_code != 1, (name, error)


@pytest.mark.parametrize("name", ["99999999T999999Z-0001", "x", "20261129T220719Z-0001.partial", "a\nb"])
def test_any_directory_of_a_store_is_listed(world: World, name: str) -> None:
    (world.root / STORE.lstrip("/") / name).mkdir()
    rows = report(ListSets(STORE), world.machine())["sets"]
    assert name in [row["id"] for row in rows] and all(shown(row) for row in rows)


@pytest.mark.parametrize("made", [MANIFEST, WHOLE], ids=["of one database", "of a cluster"])
def test_a_good_one_is_good(world: World, made: Any) -> None:
    """So that what is fuzzed gets past the first look."""
    directory = world.root / STORE.lstrip("/") / RUN
    parts: Any = []
    for each in made["parts"]:
        data = b"age-encryption.org/v1\n--- nobody\nabc" if each["name"].endswith(".age") else b"abc"
        (directory / each["name"]).write_bytes(data)
        parts.append({**each, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()})
    (directory / "manifest.json").write_text(json.dumps({**made, "parts": parts}))
    for name, read in READERS.items():
        if name not in ("compare", "files"):  # there is no run that would fetch it
            read(world.machine())
