"""What is secret of a cluster: encrypted to keys alone, opened by one of them, and in no other file of a set."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from engine import BOSS, PROGRAMS, Engine, dumped, engine

from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.stack.cluster import sealed
from mnemo_ops.agent.stack.cluster.server import Server
from mnemo_ops.errors import Refused
from mnemo_ops.flows.keys import Identity

SECRET: dict[str, Any] = {
    "salt": "00",
    "globals": 'CREATE ROLE "ü\nx";',
    "files": {"a": {"mode": 0o600}},
    "proof": {"": {}},
}


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Identity, str]]:
    directory = tmp_path_factory.mktemp("keys")
    made = [(Identity.new(), f"{directory}/{number}") for number in range(3)]
    for key, path in made:
        Path(path).write_text(key.secret)
    return made


Keys = list[tuple[Identity, str]]


def test_any_of_the_keys_opens_it(keys: Keys, tmp_path: Path) -> None:
    machine, path = Machine(), f"{tmp_path}/db.secrets.age"
    Path(path).write_text("of a run that was killed")
    sealed.seal(machine, SECRET, path, [key.recipient for key, _ in keys[:2]])
    assert [sealed.opened(machine, path, where) for _, where in keys[:2]] == [SECRET, SECRET]
    assert b"CREATE ROLE" not in Path(path).read_bytes()
    with pytest.raises(Refused, match="does not open"):
        sealed.opened(machine, path, keys[2][1])


def test_without_a_key_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(Refused):
        sealed.seal(Machine(), SECRET, f"{tmp_path}/x", [])
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_is_refused(keys: Keys, tmp_path: Path) -> None:
    machine, path = Machine(), tmp_path / "x"
    (key, where) = keys[0]
    sealed.seal(machine, SECRET, str(path), [key.recipient])
    whole = path.read_bytes()
    for damaged in (whole[:-1], whole[:-20] + bytes(20), whole[:100], b"", b"no age"):
        path.write_bytes(damaged)
        with pytest.raises(Refused, match=r"age|does not open|is missing"):
            sealed.opened(machine, str(path), where)
    path.unlink()
    with pytest.raises(Refused, match=r"age|does not open|is missing"):
        sealed.opened(machine, str(path), where)


OTHERS = ["null", "[]", "{}", "3", "nothing", "[" * 100000, "\ud800", json.dumps({**SECRET, "files": []})]
OTHERS += [json.dumps({name: value for name, value in SECRET.items() if name != without}) for without in SECRET]


@pytest.mark.parametrize("number", range(len(OTHERS)))
def test_what_is_none_of_ours_is_refused(number: int, keys: Keys, tmp_path: Path) -> None:
    key, where = keys[0]
    data = OTHERS[number].encode("utf-8", "surrogatepass")
    subprocess.run(["age", "-r", key.recipient, "-o", tmp_path / "x"], input=data, check=True)
    with pytest.raises(Refused, match="the secrets of a Postgres"):
        sealed.opened(Machine(), f"{tmp_path}/x", where)


# word -> who says it
WORDS = {
    "hush-of-role": "ALTER ROLE app SET app.token = 'hush-of-role'",
    "hush-of-all": "ALTER ROLE ALL SET app.token = 'hush-of-all'",
    "hush-of-system": "ALTER SYSTEM SET archive_command = 'hush-of-system'",
    "hush-of-comment": "COMMENT ON ROLE app IS 'hush-of-comment'",
    "md5aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa": "ALTER ROLE old PASSWORD 'md5aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'",
}
IN_FILES = {
    "pg_hba.conf": "host hushdata hushuser 10.9.8.7/32 md5\n",
    "postgresql.conf": "archive_command = 'hush-conf'\n",
}


@pytest.fixture(scope="module")
def made() -> Iterator[Engine]:
    with engine() as one:
        yield one


def test_nothing_secret_is_beside_it(made: Engine, tmp_path: Path) -> None:
    place = made.place(PROGRAMS, "plain")
    made.machine.run(place.once("initdb", "-D", place.data, "-U", BOSS, "--auth=trust", "-E", "UTF8", "-N"))
    with made.started(place, BOSS, "template1") as server:
        server.sql("CREATE ROLE app LOGIN PASSWORD 'x';\nCREATE ROLE old LOGIN;\nCREATE DATABASE shop OWNER app;")
        server.sql("".join(f"{sql};\n" for sql in WORDS.values()))
        for name, line in IN_FILES.items():
            path = Path(place.data, name)
            path.write_text(path.read_text() + line)
        (hashed,) = server.query("SELECT json_agg(rolpassword) FROM pg_authid WHERE rolname = 'app';")
        found = dumped(server, place, tmp_path)
        told = json.dumps(found["facts"]).encode()
        contents = [base64.b64decode(each.get("content", "")) for each in found["secret"]["files"].values()]
        everything = json.dumps(found["secret"]) + b"\n".join(contents).decode()
        archives = {path.name: unpacked(server, path) for path in tmp_path.iterdir()}
    assert set(archives) == set(found["facts"]["files"].values()) and len(archives) == 3
    for word in (*WORDS, hashed):
        assert word in everything, "it was there"
        assert word.encode() not in told
        assert [name for name, data in archives.items() if word.encode() in data] == []
    for word in (b"hushdata", b"hushuser", b"10.9.8.7", b"hush-conf"):
        assert word not in told
        assert [name for name, data in archives.items() if word in data] == []


def unpacked(server: Server, path: Path) -> bytes:
    """The bytes of an archive, and all that it says."""
    with path.open("rb") as source, server.machine.spool() as sink:
        server.machine.pipe(server.run("pg_restore", "--create", "-f", "-"), source=source, sink=sink)
        sink.seek(0)
        return path.read_bytes() + sink.read()
