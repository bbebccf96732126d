"""Every error class has its exit code, its place in the drawing, and survives the wire."""

from __future__ import annotations

import json
import re

import pytest

from mnemo_ops import errors
from mnemo_ops.errors import MnemoError, from_json

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
