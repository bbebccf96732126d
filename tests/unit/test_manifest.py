"""A manifest is read whole or not at all; what is written is read back, and sets of earlier versions still are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.stack.manifest import FORMAT, Manifest, Part, Saved, read_manifest
from mnemo_ops.errors import Refused, VerificationFailed

RUN, SUM = "20260101T120000Z-00a1", "5" * 64
# as the first version wrote it: no accepted losses, no attributes, no way of hashing
FIRST: dict[str, Any] = {
    **{"format": 1, "id": RUN, "created": 1767268800.5, "project": "p", "consistency": "quiesced", "recipients": []},
    **{"seconds": 2.5, "images": {"api": {"image": "a", "id": "sha256:a"}}, "stack": {"project": "p"}, "host": "old"},
    "volumes": {"graph": {"driver": "local", "options": {}, "labels": {"a": "b"}}},
    "parts": [{"name": "graph.tar.zst", "bytes": 5, "sha256": SUM}, {"name": "graph.files", "bytes": 2, "sha256": SUM}],
    "datasets": {"graph": {"kind": "files", "files": 1, "bytes": 9, "sha256": SUM}},
}
NEEDED = ("format", "id", "created", "project", "consistency", "volumes", "parts", "datasets")


def read(home: Path, text: str, sha256: str = "") -> Manifest:
    (home / "manifest.json").write_text(text)
    return read_manifest(Machine("/"), str(home), sha256)


def test_a_set_of_the_first_version_is_read_and_loses_nothing(tmp_path: Path) -> None:
    found = read(tmp_path, json.dumps(FIRST))
    assert (found.id, found.created, found.host, found.bytes) == (RUN, 1767268800.5, "old", 7)
    assert found.parts[0] == Part("graph.tar.zst", 5, SUM) and found.saved("graph").file == found.parts[0].name
    assert (found.accepted_losses, found.migration) == ((), "")
    datasets = {"graph": {**FIRST["datasets"]["graph"], "left_out": []}}
    more = {"accepted_losses": [], "migration": "", "datasets": datasets}
    assert json.loads(json.dumps(found.to_json())) == {**FIRST, **more}


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    made = Manifest(
        *(RUN, "p", 1.0, "quiesced", (Part("a.dump", 1, SUM),)),
        datasets=(Saved("c", {"kind": "config", "bytes": 1, "sha256": SUM, "left_out": []}),),
        volumes={},
        accepted_losses=("roles: ann",),
        more={"tool": "1.0"},
    )
    assert read(tmp_path, json.dumps(made.to_json())) == made and made.format == FORMAT


@pytest.mark.parametrize("name", NEEDED)
@pytest.mark.parametrize("value", [None, [], {"x": 1}, "\0", -1])
def test_a_field_that_is_missing_or_another_is_named(tmp_path: Path, name: str, value: Any) -> None:
    empty = {"volumes": {}, "datasets": {}, "parts": []}.get(name)
    if value is not None and value == empty:
        return
    for wrong in ({**FIRST, name: value}, {key: one for key, one in FIRST.items() if key != name}):
        with pytest.raises(Refused, match=name) as caught:
            read(tmp_path, json.dumps(wrong))
        assert str(tmp_path) in str(caught.value) and "invoke backup.list" in caught.value.hint


@pytest.mark.parametrize("text", ["", "[]", "null", "{", '"x"', "[" * 5000, '{"format": 1e999}'])
def test_what_is_no_manifest_is_no_set(tmp_path: Path, text: str) -> None:
    with pytest.raises(Refused, match=r"manifest\.json"):
        read(tmp_path, text)


def test_another_sum_and_a_newer_format_are_told_before_anything_else(tmp_path: Path) -> None:
    with pytest.raises(VerificationFailed):
        read(tmp_path, json.dumps(FIRST), SUM)
    with pytest.raises(Refused, match="newer mnemo_ops \\(format 7\\)"):
        read(tmp_path, '{"format": 7}')


@pytest.mark.parametrize("number", [0, 1 << 31, 1 << 40, True, 2.0, "2"])
def test_what_no_version_wrote_is_no_format(tmp_path: Path, number: Any) -> None:
    """One that is too large for a format was read as one of ours."""
    with pytest.raises(Refused, match="format"):
        read(tmp_path, json.dumps({**FIRST, "format": number}))


@pytest.mark.parametrize(
    ("kind", "name"), [("postgres", "x.dump"), ("config", "x.tar.age"), ("files", "x.tar.zst"), ("redis", "x.tar.zst")]
)
def test_names_of_files_are_those_that_every_set_has(kind: str, name: str) -> None:
    assert Saved("x", {"kind": kind}).file == name
