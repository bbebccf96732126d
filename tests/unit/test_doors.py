"""Who opens files: `agent/machine/` alone, and there only under names that the door gave (`machine/door.py`)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import mnemo_ops

AGENT = Path(mnemo_ops.__file__).parent / "agent"
TOUCHES = {  # what takes a path
    *("access", "chmod", "chown", "getxattr", "lchown", "link", "listdir", "listxattr", "lstat", "makedirs", "mkdir"),
    *("mkfifo", "mknod", "open", "readlink", "remove", "removedirs", "removexattr", "rename", "renames", "replace"),
    *("rmdir", "scandir", "setxattr", "stat", "statvfs", "symlink", "truncate", "unlink", "utime", "walk", "fwalk"),
}
MODULES = ("shutil", "tempfile", "pathlib", "glob")
MAY = {  # outside of machine/: why
    "main.py": {"open": "/dev/null, while the standard output is moved aside"},
}


def touching(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and name of everything that takes a path."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "open":
            yield node.lineno, "open"
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id == "os" and node.attr in TOUCHES:
                yield node.lineno, node.attr
            if node.value.id in MODULES:
                yield node.lineno, f"{node.value.id}.{node.attr}"


SOURCES = sorted(path for path in AGENT.rglob("*.py") if "machine" not in path.parts)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(AGENT)))
def test_nothing_outside_of_the_machine_opens_a_path(path: Path) -> None:
    may = MAY.get(path.name, {})
    found = [f"{path}:{line}: {name}" for line, name in touching(ast.parse(path.read_text())) if name not in may]
    assert not found


def test_the_rule_sees_what_it_forbids() -> None:
    planted = "import os, shutil\nopen('x')\nos.chmod('x', 0)\nshutil.rmtree('x')\nmachine.open('x')\n"
    assert [name for _, name in touching(ast.parse(planted))] == ["open", "chmod", "shutil.rmtree"]


def plain(tree: ast.AST) -> Iterator[int]:
    """Lines that hand ``self.path(...)``, which follows every link, to something that changes files."""
    changing = TOUCHES - {"access", "listxattr", "lstat", "stat", "statvfs", "readlink", "listdir", "scandir", "walk"}
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        if isinstance(node.func.value, ast.Name) and node.func.value.id in ("os", *MODULES):
            is_changing = node.func.attr in changing or node.func.value.id in ("shutil", "tempfile")
            for inner in ast.walk(node):
                is_path = isinstance(inner, ast.Call) and isinstance(inner.func, ast.Attribute)
                if is_changing and is_path and ast.unparse(inner.func) in ("self.path", "machine.path"):
                    yield node.lineno


@pytest.mark.parametrize("path", sorted((AGENT / "machine").glob("*.py")), ids=lambda path: path.name)
def test_the_machine_changes_nothing_under_a_name_that_may_lead_elsewhere(path: Path) -> None:
    assert not list(plain(ast.parse(path.read_text())))
    assert list(plain(ast.parse("os.chmod(self.path('x'), 0)"))) == [1]
