"""Who made a set: its manifest is signed here, and looked at before anything of it is put in place."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import mnemosyne
import pytest
from test_migrate import OLD, Fleet
from test_said import MANIFEST, RUN, host

from mnemo_ops.agent.actions.backup import SignSet
from mnemo_ops.agent.actions.load import LoadSet
from mnemo_ops.errors import Refused, VerificationFailed
from mnemo_ops.execution.report import Report, Style
from mnemo_ops.flows import signing
from mnemo_ops.flows.engine import Flow
from mnemo_ops.flows.restore import restore
from mnemo_ops.stack import definition

SUM, OTHER = hashlib.sha256(b"manifest").hexdigest(), hashlib.sha256(b"other").hexdigest()
LATER = "20261130T220719Z-f5d5"


class Store(Fleet):
    """A host that keeps what it is told to sign, and answers a restore with it."""

    signature = ""
    sha256 = SUM

    def session(self, host: Any) -> Any:
        made, fleet = super().session(host), self
        before = made.act

        def act(action: Any, **more: Any) -> dict[str, Any]:
            if isinstance(action, SignSet):
                fleet.signature = action.signature
            if action.kind == "load_set":
                fleet.asked.append(f"with {action.manifest_sha256}")
            return before(action, **more)

        made.act = made.ready = act
        return made


def flow(tmp_path: Path, fleet: Fleet) -> Flow:
    return Flow(fleet, Report("restore", Style()), tmp_path)  # type: ignore[arg-type]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store()
    signing.sign(flow(tmp_path, made), OLD, "/sets", RUN, SUM)
    return made


def verified(tmp_path: Path, store: Store, id: str = RUN, sha256: str = SUM) -> None:
    signing.verify(flow(tmp_path, store), id, {"signature": store.signature, "manifest_sha256": sha256})


def test_what_was_signed_here_is_known_without_a_word(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    verified(tmp_path, store)
    assert not capsys.readouterr().out
    path = tmp_path / "keys/manifests.ed25519"
    assert path.stat().st_mode & 0o777 == 0o600 and path.read_text().split()[-1] not in store.signature


def test_a_manifest_that_was_changed_and_a_set_under_anothers_name_are_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(VerificationFailed):
        verified(tmp_path, store, sha256=OTHER)
    with pytest.raises(VerificationFailed):  # an older set in the place of the newest
        verified(tmp_path, store, id=LATER)
    name = store.signature.split()[0]
    for wrong in ("AAAA", "", "$(id)", store.signature.split()[1][:-8] + "AAAAAAA="):
        store.signature = f"{name} {wrong}"
        with pytest.raises(VerificationFailed):
            verified(tmp_path, store)


def test_no_signature_and_one_of_another_machine_are_said(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "elsewhere").mkdir()
    verified(tmp_path / "elsewhere", store)
    assert "signed by another machine" in capsys.readouterr().out
    assert not (tmp_path / "elsewhere/keys").exists(), "to look makes no key"
    store.signature = ""
    verified(tmp_path, store)
    assert "is not signed" in capsys.readouterr().out


def test_a_damaged_key_is_not_replaced(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "keys/manifests.ed25519"
    for text in ("", "no key", "AAAA\n"):
        path.write_text(text)
        with pytest.raises(Refused):
            verified(tmp_path, store)
        assert path.read_text() == text


def test_a_restore_looks_first_and_restores_what_it_looked_at(store: Store, tmp_path: Path) -> None:
    row = {"id": RUN, "state": "complete", "created": 1.0, "bytes": 1}
    asked = []

    def answer(sha256: str) -> dict[str, Any]:
        asked.append(sha256)
        found = {
            "previous": None,
            "untouched": [],
            "sealed": {},
            "replaces": {},
            "signature": store.signature,
            "manifest_sha256": sha256,
        }
        done = {
            "accepted_losses": [],
            "datasets": {},
            "write_outage_seconds": 1.0,
            "phases": {},
            "strays": [],
            "kept_passwords": [],
            "unknown_settings": [],
        }
        return {**found, **done}

    store.answers = {"list_sets": lambda: {"sets": [row]}, "load_set": lambda: answer(OTHER)}
    with pytest.raises(VerificationFailed):
        restore(flow(tmp_path, store), OLD, "latest", lambda told: pytest.fail("asked"))
    assert len(asked) == 1
    store.answers["load_set"] = lambda: answer(SUM)
    store.asked.clear()
    restore(flow(tmp_path, store), OLD, "latest", lambda told: None)
    assert [line for line in store.asked if line.startswith("with ")] == ["with ", f"with {SUM}"]


def test_the_host_takes_no_other_manifest_than_the_one_that_was_looked_at(tmp_path: Path) -> None:
    machine, stack = host(tmp_path), definition.stack_of(mnemosyne.settings())
    directory = f"{stack.store}/{RUN}"
    (tmp_path / directory.lstrip("/")).mkdir(parents=True)
    text = json.dumps({**MANIFEST, "volumes": {}}).encode()
    machine.write(f"{directory}/manifest.json", text)
    (tmp_path / "bin/docker").symlink_to("/bin/true")
    list(SignSet(stack.store, RUN, "me it is").run(machine))
    sums, said = hashlib.sha256(text).hexdigest(), definition.wire(stack)
    said["datasets"] = [each for each in said["datasets"] if each["kind"] == "config"]  # what the manifest holds
    found = LoadSet(said, RUN, True, RUN, manifest_sha256=sums).ready(machine)
    assert (found["signature"], found["manifest_sha256"]) == ("me it is", sums)
    with pytest.raises(VerificationFailed):
        LoadSet(said, RUN, True, RUN, manifest_sha256=OTHER).ready(machine)
