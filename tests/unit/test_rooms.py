"""Who may import whom: read from the sources, so that an import inside a function counts, and one for types too.

The rules are the table of CONTRIBUTING.md, a row for each room; what a room offers is what its docstring names.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import tomllib

import mnemo_ops

ROOT = Path(mnemo_ops.__file__).parent
HANDBOOK = ROOT.parent / "CONTRIBUTING.md"
FLAT = 8  # modules and no more that lie in no room: at the top, and in the agent
SYSTEM = ("os", "subprocess", "shutil", "socket")
ELSEWHERE = "lab.standin"  # runs in its own image, with that image's packages


def _sources() -> dict[str, Path]:
    """Module name below mnemo_ops -> file; ``""`` is the package itself."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if not f"{name}.".startswith(f"{ELSEWHERE}."):
            found[name] = path
    return found


SOURCES = _sources()
MODULES = sorted(SOURCES)
AGENT = [name for name in MODULES if name.split(".")[0] in ("agent", "errors")]
# the only modules of the agent that may import SYSTEM
DOORS = ("agent.main", *(name for name in AGENT if f"{name}.".startswith("agent.machine.")))


def rules() -> dict[str, frozenset[str]]:
    """Of each room, those it may import. ``agent/`` is not one: each room of the agent has a row of its own."""
    rows = re.findall(r"(?m)^\| `([a-z/_.]+)` \|.*\| ([^|]*) \|$", HANDBOOK.read_text())
    return {room.strip("/").removesuffix(".py"): frozenset(re.findall(r"[a-z_/]+", may)) for room, may in rows}


RULES = rules()


def room(name: str) -> str:
    """The room of a module."""
    parts = name.split(".")
    return "/".join(parts[:2]) if parts[0] == "agent" else parts[0]


def allowed(one: str) -> frozenset[str]:
    """What a room may import: its row, itself, and what everybody may."""
    return RULES[one] | {"errors", "agent", one}


def imports(name: str) -> set[str]:
    """Absolute names of everything a module imports, in functions and for types too."""
    return imported(SOURCES[name].read_text(), name)


def imported(source: str, name: str) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports relatively, line {node.lineno}"
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
    return found


def ours(name: str) -> set[str]:
    """Modules of mnemo_ops, below it, that a module imports: a package only when nothing in it is meant."""
    below = {one.partition(".")[2] for one in imports(name) if one.startswith("mnemo_ops.")} & SOURCES.keys()
    return {one for one in below if not any(other.startswith(f"{one}.") for other in below)} - {name}


def circle(graph: Mapping[str, set[str]]) -> str:
    """The first circle, as a sentence; empty: there is none."""
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> str:
        if name in path:
            return "a circle: " + " -> ".join([*path[path.index(name) :], name])
        if name in done:
            return ""
        said = next(filter(None, (visit(one, (*path, name)) for one in sorted(graph.get(name, ())))), "")
        done.add(name)
        return said

    return next(filter(None, (visit(name, ()) for name in sorted(graph))), "")


@pytest.mark.parametrize("name", [name for name in MODULES if name])
def test_a_room_imports_what_its_row_allows(name: str) -> None:
    assert room(name) in RULES or name == "agent", f"{room(name)} has no row in {HANDBOOK.name}"
    if name != "agent":
        for one in ours(name):
            assert room(one) in allowed(room(name)), f"{name} imports {one}: not in the row of `{room(name)}`"


@pytest.mark.parametrize("one", sorted(RULES))
def test_a_row_allows_no_more_than_is_used(one: str) -> None:
    used = {room(each) for name in MODULES if name and room(name) == one for each in ours(name)}
    assert RULES[one] <= used | {"errors", "agent"}, f"`{one}` does not import {sorted(RULES[one] - used)}"


@pytest.mark.parametrize("name", [name for name in MODULES if name])
def test_nobody_reaches_past_what_a_room_offers(name: str) -> None:
    for one in ours(name):
        if room(one) != room(name) and one.count(".") > (1 if one.startswith("agent.") else 0):
            said = ast.get_docstring(ast.parse(SOURCES[room(one).replace("/", ".")].read_text())) or ""
            inside = one.removeprefix(room(one).replace("/", ".") + ".")
            offered = f"``{inside}``" in said or "Offers every module" in said
            assert offered, f"{name} imports {one}, which mnemo_ops/{room(one)}/__init__.py does not offer"


def test_no_circle_over_all_imports() -> None:
    assert not circle({name: ours(name) for name in MODULES})
    assert not circle({one: set(may) for one, may in RULES.items()})


def test_a_planted_circle_is_named() -> None:
    planted = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from mnemo_ops.playbook import load\n"
    graph = {name: ours(name) for name in MODULES}
    graph["core.suggest"] = {one.removeprefix("mnemo_ops.") for one in imported(planted, "")} & SOURCES.keys()
    assert "core.suggest" in circle(graph) and "playbook.load" in circle(graph)


def test_few_modules_lie_in_no_room() -> None:
    for top in (ROOT, ROOT / "agent"):
        assert len(list(top.glob("*.py"))) <= FLAT, top


def test_every_room_of_the_agent_finds_what_comes_later() -> None:
    """A zip that comes with a request is put on the path of each room: one that is left out lacks a part of itself."""
    from mnemo_ops.agent.main import ROOMS

    rooms = {path.parent.name for path in (ROOT / "agent").glob("*/__init__.py")}
    assert {one.__name__.rpartition(".")[2] for one in ROOMS} == {*rooms, "agent"}


def test_the_package_itself_imports_nothing_of_ours() -> None:
    assert not ours("") and not ours("agent")


@pytest.mark.parametrize("name", AGENT)
def test_the_agent_needs_only_itself_and_python(name: str) -> None:
    for one in imports(name):
        top, _, below = one.partition(".")
        if top == "mnemo_ops":
            assert below.split(".")[0] in ("agent", "errors", ""), f"{name} imports {one}"
        else:
            assert top in sys.stdlib_module_names, f"{name} imports {one}, which a host may not have"


@pytest.mark.parametrize("name", [name for name in AGENT if name not in DOORS])
def test_the_agent_reaches_the_system_through_its_doors_only(name: str) -> None:
    assert not {found.split(".")[0] for found in imports(name)} & set(SYSTEM)


@pytest.mark.parametrize("name", AGENT)
def test_the_agent_is_python_3_9(name: str) -> None:
    tree = ast.parse(SOURCES[name].read_text(), feature_version=(3, 9))
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Match)]
    has_code = any(not isinstance(node, ast.Expr) for node in tree.body)
    assert not has_code or "__future__.annotations" in imports(name), f"{name}: annotations must not be evaluated"


def test_what_is_imported_is_declared() -> None:
    """A package that another one happens to bring may go with its next version."""
    project = tomllib.loads((ROOT.parent / "pyproject.toml").read_text())["project"]
    declared = {re.split(r"[<>=;\[ ]", row)[0].lower() for row in project["dependencies"]}
    named = {"yaml": "pyyaml"}
    used = {one.split(".")[0] for name in MODULES for one in imports(name)} - sys.stdlib_module_names - {"mnemo_ops"}
    assert {named.get(one, one) for one in used} == declared
