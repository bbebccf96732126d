"""The same file through Ansible and through us on two fresh servers: they end alike; a second time changes nothing."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from sides import Lab, Outcome

PLAYBOOKS = Path(__file__).parent / "playbooks"
# Ansible never counts a daemon-reload; we count it when systemd says that it is needed
COUNTED = ("reload units", "reload systemd")
# tasks of a check that follow from a command's failure: nobody knows of it who does not run the command
UNFORESEEN = {"09-language.yml": ("Never", "Mended")}
SAMPLE = ("files", "nginx")  # what `make test` plays


def _playbooks() -> list[object]:
    found = []
    for path in sorted(PLAYBOOKS.glob("[0-9]*.yml")):
        name = path.stem.partition("-")[2]
        found.append(pytest.param(path, id=name, marks=[pytest.mark.sample] if name in SAMPLE else []))
    return found


@pytest.mark.lab
@pytest.mark.parametrize("playbook", _playbooks())
def test_beside_ansible(lab: Lab, playbook: Path) -> None:
    assert lab.differences() == [], "the servers differ before anything was done"

    check = lab.ours(playbook, "--check")
    complaints = _ended(check, "the check")
    complaints += [f"changed by a check: {line}" for line in lab.differences()]

    began = time.monotonic()
    theirs = lab.ansible(playbook)
    middle = time.monotonic()
    ours = lab.ours(playbook)
    print(f"\n{playbook.stem}: ansible {middle - began:.1f} s, ours {time.monotonic() - middle:.1f} s", flush=True)
    complaints += [*_ended(theirs, "Ansible's first run"), *_ended(ours, "our first run"), *lab.differences()]
    complaints += [*_only(theirs, ours), *_lies(check, ours)]

    theirs, ours = lab.ansible(playbook), lab.ours(playbook)
    complaints += [*_ended(theirs, "Ansible's second run"), *_ended(ours, "our second run")]
    complaints += [f"{where} {name}: changed again by Ansible" for where, name in theirs.at("changed").items()]
    complaints += [f"{where} {name}: changed again by us" for where, name in ours.at("changed").items()]
    complaints += [f"after the second run: {line}" for line in lab.differences() if line not in complaints]
    assert not complaints, "\n".join(["", *complaints])


def _ended(outcome: Outcome, run: str) -> list[str]:
    return [] if outcome.code == 0 else [f"{run} ended with {outcome.code}: {outcome.why}"]


def _only(theirs: Outcome, ours: Outcome) -> list[str]:
    """Tasks that changed something on one side only."""
    one, other = theirs.at("changed"), ours.at("changed")
    return [
        f"{path}:{line} {name}: only {side} changed something"
        for side, these, those in (("ansible", one, other), ("ours", other, one))
        for (path, line), name in these.items()
        if (path, line) not in those and not (side == "ours" and name in COUNTED)
    ]


def _lies(check: Outcome, run: Outcome) -> list[str]:
    """What a check on the fresh server listed as changed and was not, or did not list and was changed."""
    # a command that failed was run, as foreseen
    said, unknown, done = check.at("changed"), check.at("unknown"), run.at("changed", "rescued", "failed")
    false = [(where, name, "foreseen, not done") for where, name in said.items() if where not in done]
    silent = [(where, name, "not foreseen") for where, name in done.items() if where not in {**said, **unknown}]
    return [
        f"{path}:{line} {name}: {what}"
        for (path, line), name, what in false + silent
        if name not in UNFORESEEN.get(path, ())
    ]
