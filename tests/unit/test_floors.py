"""Who may import whom: read from the sources, so that an import inside a function counts too."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import mnemo_ops

ROOT = Path(mnemo_ops.__file__).parent

# The floors of the house, lowest first; a name stands for a module or for a package with everything in it.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("errors", "agent"),
    ("kinds", "model", "secret", "visible"),
    (
        "advice",
        "ansible_words",
        "blocks",
        "candidates",
        "connection",
        "controller_files",
        "entries",
        "filters",
        "free_form",
        "inventory",
        "inventory_ini",
        "inventory_tree",
        "json_forms",
        "lookup_scope",
        "paths",
        "plugin_names",
        "json_schema",
        "keywords",
        "lookup_files",
        "lookup_lists",
        "lookup_secrets",
        "lookups",
        "place",
        "playbook",
        "replacing",
        "results",
        "roles",
        "schema",
        "search_path",
        "sha_crypt",
        "spelling",
        "ssh_arguments",
        "template",
        "template_engine",
        "template_values",
        "telling",
        "template_uses",
        "undefined",
        "vault",
        "vault_files",
        "vault_sources",
        "word_lists",
        "yaml_lines",
    ),
    (
        "bare",
        "bundle",
        "channel",
        "elevation",
        "heard",
        "known_hosts",
        "local",
        "raw",
        "route",
        "session",
        "ssh",
        "trust",
    ),
    (
        *(
            "bars",
            "control",
            "controller_tasks",
            "crew",
            "fleet",
            "handling",
            "including",
            "judging",
            "outbox",
            "plays",
        ),
        *("rendering", "report", "runner", "selection"),
    ),
    ("lab", "mnemosyne"),
    ("cli",),
)
APART = ("lab", "mnemosyne")  # beside each other, not importing each other
# the only modules of the agent that may import what touches the system
DOORS = (
    "agent.main",
    "agent.machine",
    *(f"agent.machine.{path.stem}" for path in (ROOT / "agent/machine").glob("*.py")),
)
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


def floor(name: str) -> int:
    top = name.split(".")[0]
    for number, names in enumerate(FLOORS):
        if top in names:
            return number
    raise AssertionError(
        f"mnemo_ops/{top} has no floor: add it to FLOORS in {Path(__file__).name}, as low as it can be"
    )


def _at_run_time(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node but those below ``if TYPE_CHECKING:``."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.If) and getattr(child.test, "id", "") == "TYPE_CHECKING":
            continue
        yield child
        yield from _at_run_time(child)


def imports(name: str, *, typing_too: bool = True) -> set[str]:
    """Absolute names of everything a module imports, in functions too."""
    tree = ast.parse(SOURCES[name].read_text())
    found = set()
    for node in ast.walk(tree) if typing_too else _at_run_time(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports relatively, line {node.lineno}"
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
    return found


def ours(name: str, *, typing_too: bool = True) -> set[str]:
    """Modules of mnemo_ops, below it, that a module imports."""
    below = {
        found.partition(".")[2] for found in imports(name, typing_too=typing_too) if found.startswith("mnemo_ops.")
    }
    return {found for found in below if found in SOURCES} - {name}


@pytest.mark.parametrize("name", [name for name in MODULES if name])
def test_imports_go_down(name: str) -> None:
    for imported in ours(name):
        assert floor(imported) <= floor(name), (
            f"{name} (floor {floor(name)}) imports {imported} (floor {floor(imported)})"
        )
        tops = {name.split(".")[0], imported.split(".")[0]}
        assert not (len(tops) == 2 and tops <= set(APART)), f"{name} imports {imported}: they stand beside each other"


def test_the_package_itself_imports_nothing_of_ours() -> None:
    assert not ours("")


def test_no_cycles() -> None:
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, "a cycle: " + " -> ".join([*path[path.index(name) :], name])
        if name not in done:
            for imported in sorted(ours(name, typing_too=False)):
                visit(imported, (*path, name))
            done.add(name)

    for name in MODULES:
        visit(name, ())


@pytest.mark.parametrize("name", AGENT)
def test_the_agent_needs_only_itself_and_python(name: str) -> None:
    for imported in imports(name):
        top, _, below = imported.partition(".")
        if top == "mnemo_ops":
            assert below.split(".")[0] in ("agent", "errors", ""), f"{name} imports {imported}"
        else:
            assert top in sys.stdlib_module_names, f"{name} imports {imported}, which a host may not have"


@pytest.mark.parametrize("name", [name for name in AGENT if name not in DOORS])
def test_the_agent_reaches_the_system_through_its_doors_only(name: str) -> None:
    assert not {found.split(".")[0] for found in imports(name)} & set(SYSTEM)


@pytest.mark.parametrize("name", AGENT)
def test_the_agent_is_python_3_9(name: str) -> None:
    tree = ast.parse(SOURCES[name].read_text(), feature_version=(3, 9))
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Match)]
    has_code = any(not isinstance(node, ast.Expr) for node in tree.body)
    assert not has_code or "__future__.annotations" in imports(name), f"{name}: annotations must not be evaluated"
