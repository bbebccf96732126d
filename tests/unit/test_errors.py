"""Every error class has its exit code, its place in the drawing, and survives the wire."""

from __future__ import annotations

import json
import re

import pytest

from mnemo_ops import errors
from mnemo_ops.cli.program import namespace
from mnemo_ops.errors import MnemoError, classes, from_json

CLASSES = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, MnemoError)]
CODES = {
    "MnemoError": 1,
    "UsageError": 2,
    "Refused": 3,
    "Unreachable": 4,
    "Locked": 5,
    "StepFailed": 6,
    "VerificationFailed": 7,
    "RollbackFailed": 8,
    "DriftFound": 9,
    "DoctorFound": 10,
    "Interrupted": 130,
}


def test_the_codes_are_those_of_the_contract() -> None:
    own = {cls.__name__: cls.exit_code for cls in CLASSES if "exit_code" in vars(cls)}
    assert own == CODES


@pytest.mark.parametrize("cls", CLASSES)
def test_the_drawing_tells_the_truth(cls: type[MnemoError]) -> None:
    drawn = {name: int(code) for name, code in re.findall(r"(\w+) +(\d+)(?: |$)", errors.__doc__ or "", re.MULTILINE)}
    assert drawn[cls.__name__] == cls.exit_code


@pytest.mark.parametrize("cls", CLASSES)
def test_errors_survive_the_wire(cls: type[MnemoError]) -> None:
    error = cls("it broke", where="a.yml:3", hint="mend it")
    back = from_json(json.loads(json.dumps(error.to_json())))
    assert type(back) is cls and vars(back) == vars(error)
    assert str(back) == "a.yml:3: it broke"


def test_what_nobody_knows_is_still_an_error() -> None:
    error = from_json({"class": "Moonstruck", "message": "why"})
    assert type(error) is MnemoError and str(error) == "why"
    assert str(from_json({})) == ""


def test_every_class_has_a_code_of_its_own_that_begins_with_its_exit_code() -> None:
    codes = [vars(cls).get("code", "") for cls in CLASSES]
    assert len(set(codes)) == len(CLASSES) and set(classes()) == set(CLASSES)
    for cls in CLASSES:
        assert re.fullmatch(r"MN\d{4}", cls.code) and str(cls.exit_code).ljust(2, "0")[:2] in (
            cls.code[2:4],
            cls.code[3:4] + "0",
        ), cls


@pytest.mark.parametrize("cls", CLASSES)
def test_every_code_is_explained(cls: type[MnemoError]) -> None:
    """Cause, what is true now, remedy; and what it says to type is there."""
    text = cls.__doc__ or ""
    assert re.search(r"\A\S.*\.\n\n    Cause: .+\n    Now: .+\n    Remedy: .+\n", text), text
    tasks = set(namespace().task_names) | {alias for aliases in namespace().task_names.values() for alias in aliases}
    assert set(re.findall(r"`mnemo-ops ([a-z][\w.-]*)", text)) <= tasks
