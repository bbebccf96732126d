"""Every error class has its exit code, its place in the drawing, and survives the wire."""

from __future__ import annotations

import ast
import builtins
import json
import re
from pathlib import Path
from urllib.error import URLError

import pytest

from mnemo_ops import errors
from mnemo_ops.cli.program import namespace
from mnemo_ops.errors import MnemoError, classes, from_json, named, reason

ROOT = Path(errors.__file__).parent
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


def every_exception() -> list[BaseException]:
    """Of Python's own, each without a text."""
    found = [kind for kind in vars(builtins).values() if isinstance(kind, type) and issubclass(kind, BaseException)]
    groups = getattr(builtins, "BaseExceptionGroup", ())
    unicode = (UnicodeDecodeError("utf-8", b"\xff", 0, 1, ""), UnicodeEncodeError("ascii", "ü", 0, 1, ""))
    return [kind() for kind in found if not issubclass(kind, (UnicodeError, groups))] + list(unicode)


@pytest.mark.parametrize("error", every_exception(), ids=lambda error: type(error).__name__)
def test_every_exception_has_a_reason(error: BaseException) -> None:
    assert reason(error) and reason(URLError(error)) == reason(error)  # type: ignore[arg-type]
    assert not re.search(r":\s*$", named(error)) and named(error).startswith(type(error).__name__)


def test_an_exception_with_a_text_keeps_it() -> None:
    assert reason(ConnectionResetError(104, "Connection reset by peer")) == "Connection reset by peer"
    assert "/srv/x" in named(PermissionError(13, "Permission denied", "/srv/x"))
    assert named(KeyError("name")) == "KeyError: 'name'" and reason(TimeoutError(110, "x")) == "no answer in time"


def pasted(source: str, known: set[str]) -> list[str]:
    """Where an exception that may have no text stands in a message as it is."""
    found = []
    for handler in ast.walk(ast.parse(source)):
        if not isinstance(handler, ast.ExceptHandler) or handler.name is None or handler.type is None:
            continue
        kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
        if all(ast.unparse(kind) in known for kind in kinds):
            continue
        for node in ast.walk(handler):
            shown = node.value if isinstance(node, ast.FormattedValue) else node
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "str" and node.args:
                shown = node.args[0]
            says = shown is not node and isinstance(shown, ast.Name) and shown.id == handler.name
            if says or (isinstance(node, ast.Attribute) and node.attr == "strerror"):
                found.append(f"line {node.lineno}: {ast.unparse(node)}")
    return found


# always raised with a text: by us, or by what reads one
SPOKEN = {
    *("ValueError", "LookupError", "IndexError", "TypeError", "RuntimeError", "re.error", "ParseError", "Unready"),
    *("Unknown", "subprocess.TimeoutExpired", *(kind.__name__ for kind in classes())),
}


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_message_ends_with_an_exception_that_has_no_text(path: Path) -> None:
    name = str(path.relative_to(ROOT))
    if not name.startswith("lab/") and name not in ("errors.py", "agent/machine/trial.py"):
        assert pasted(path.read_text(), SPOKEN) == [], "errors.reason and errors.named have words for all of them"


@pytest.mark.parametrize(
    ("kind", "shown", "count"),
    [
        ("OSError", "{error}", 1),
        ("Exception", "{type(error).__name__}: {error}", 1),
        ("(ValueError, EOFError)", "{str(error) or 1}", 1),
        ("OSError", "{error.strerror}", 1),
        ("OSError", "{reason(error)}", 0),
        ("ValueError", "{error}", 0),
    ],
)
def test_what_is_pasted_is_found(kind: str, shown: str, count: int) -> None:
    source = f'try: ...\nexcept {kind} as error:\n    raise Broken(f"x: {shown}")'
    assert len(set(pasted(source, SPOKEN))) == count
