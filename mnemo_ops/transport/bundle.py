"""The agent as a blob: a zip of its sources, piped into the host's python3 and imported from memory.

Ships what is needed and no more: first the core; then, inside the request that names them, the kinds its tasks are of,
and inside the first that asks for a deed all the deeds of flows. What a module needs is read from its imports.

A zip is stored and compressed as a whole: small files that resemble each other shrink to half of what a zip that
compresses each for itself would take. What only people read (docstrings, comments, annotations, examples) stays
here; lines keep their numbers, so that a traceback from a host names the right one.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import functools
import hashlib
import io
import os
import threading
import time
import tokenize
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Optional, TypeVar, cast

from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.engine.action import KINDS

BUDGET = 64 * 1024  # bytes of the core, and of what a play adds to it
DEEDS = 96 * 1024  # bytes of what flows send besides: once, and they take seconds
APART = frozenset({"adopt"})  # modules of actions that only who asks for them is sent: a host needs them once, or never
_ROOT = Path(__file__).parents[1]
_FORGOTTEN = 30 * 24 * 3600.0  # seconds after which what was kept is removed
_EPOCH = (1980, 1, 1, 0, 0, 0)

# Skips a password sudo did not ask for, reads exactly N bytes of stdin, puts them on the import path, and hands over.
# Root's agent imports code an earlier one kept (process/code_cache.py), else it unpacks them into an anonymous file.
_STAGE = (
    "import gc,os,sys;gc.set_threshold(20000);n={size};c=b'-';z=b''\n"  # starting makes objects that stay
    "while c!=b'\\0':\n"
    " c=os.read(0,1)\n"
    " if not c:sys.exit(3)\n"
    "while len(z)<n:\n"
    " b=os.read(0,n-len(z))\n"
    " if not b:sys.exit(3)\n"
    " z+=b\n"
    "p='%s/code/{digest}-%x.zip'%(os.environ.get('MNEMO_STATE_DIR') or '/var/lib/mnemo_ops',sys.hexversion)\n"
    "sys.path.insert(0,p)\n"
    "try:\n"
    " if os.geteuid():raise ImportError\n"
    " from mnemo_ops.agent.main import main\n"
    "except Exception:\n"  # what was imported of a spoilt archive goes, too
    " for k in[*sys.modules]:k[:9]!='mnemo_ops'or sys.modules.pop(k)\n"
    " import bz2;f=os.memfd_create('mnemo');sys.path[0]='/proc/self/fd/%d'%f\n"
    " with os.fdopen(os.dup(f),'wb') as m:m.write(bz2.decompress(z))\n"
    " from mnemo_ops.agent.main import main\n"
    "main(z,'{digest}')"
)


T = TypeVar("T", bytes, frozenset[str])
_working = threading.RLock()


# -- answers that are kept -----------------------------------------------------------------------------------------


def _kept(work: Callable[..., T]) -> Callable[..., T]:
    """Worked out once, also by many threads at the same moment, and kept on disk for the next command.

    Reading and compressing the sources takes longer than a play that has nothing to do.
    """

    @functools.cache
    def answer(*asked: object) -> T:
        shown = [sorted(one) if isinstance(one, frozenset) else one for one in asked]
        name = hashlib.sha256(repr([_sources(), work.__name__, shown]).encode()).hexdigest()
        directory = _cache()
        found = _read(directory / name) if directory else None
        if found is None:
            made = work(*asked)
            if directory:
                _write(directory / name, made if isinstance(made, bytes) else "\n".join(sorted(made)).encode())
            return made
        return cast(T, found if work.__annotations__["return"] == "bytes" else frozenset(found.decode().split()))

    @functools.wraps(work)
    def alone(*asked: object) -> T:
        with _working:
            return answer(*asked)

    return alone


@functools.cache
def _sources() -> list[tuple[str, int, int]]:
    """Every source that may travel, and this one, with time and size."""
    found = [_ROOT / "__init__.py", _ROOT / "errors.py", Path(__file__)]
    for folder, _, names in os.walk(_ROOT / "agent"):
        found += [Path(folder, name) for name in names if name.endswith(".py")]
    return sorted((str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in found)


@functools.cache
def _cache() -> Optional[Path]:
    """A directory nobody else can write to: what lies there is run as root on hosts."""
    path = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mnemo_ops" / "agent"
    with contextlib.suppress(OSError):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        state = path.stat()
        if state.st_uid == os.geteuid() and not state.st_mode & 0o022:
            return path
    return None


def _read(path: Path) -> Optional[bytes]:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _write(path: Path, data: bytes) -> None:
    with contextlib.suppress(OSError):  # a cache is not worth an error
        for old in path.parent.iterdir():
            if time.time() - old.stat().st_mtime > _FORGOTTEN:
                old.unlink()
        partial = path.with_name(f"{path.name}.{os.getpid()}")
        partial.write_bytes(data)
        partial.replace(path)


# -- modules -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Module:
    """A source file as it travels. :param imports: names it imports, modules or what is in them."""

    path: str
    text: str
    imports: frozenset[str]


@functools.cache
def _module(name: str) -> Optional[_Module]:
    """The module of that name; ``None`` when it names something else."""
    place = _ROOT.parent.joinpath(*name.split("."))
    for path in (place.with_suffix(".py"), place / "__init__.py"):
        if path.exists():
            source = path.read_text()
            statements = list(_statements(ast.parse(source)))
            return _Module(path.relative_to(_ROOT.parent).as_posix(), _lean(source, statements), _imports(statements))
    return None


def _statements(tree: ast.AST) -> Iterator[ast.AST]:
    """The tree and every statement in it that may run; expressions are left out, which makes it fast."""
    yield tree
    if isinstance(tree, ast.If) and getattr(tree.test, "id", "") == "TYPE_CHECKING":
        return
    for block in ("body", "orelse", "finalbody", "handlers"):
        for statement in getattr(tree, block, None) or ():
            yield from _statements(statement)


def _imports(statements: Iterable[ast.AST]) -> frozenset[str]:
    found: set[str] = set()
    for node in statements:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(name for name in found if name.partition(".")[0] == "mnemo_ops")


def _lean(source: str, statements: Iterable[ast.AST]) -> str:
    """The same program without docstrings, the kinds' examples, annotations of functions and comments; every line where
    it was."""
    lines = source.encode().splitlines(keepends=True)  # the positions below count bytes
    for first, start, last, end, instead in sorted(_spans(statements, lines), reverse=True):
        head, tail = lines[first][:start], lines[last][end:]
        lines[first : last + 1] = [head + instead + tail, *[b"\n"] * (last - first)]
    return _without_comments(b"".join(lines).decode())


def _without_comments(source: str) -> str:
    lines = source.splitlines(keepends=True)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            line, column = token.start
            lines[line - 1] = lines[line - 1][:column].rstrip() + "\n"
    return "".join(lines)


_Span = tuple[int, int, int, int, bytes]  # first line and column, last line and column, what comes instead


def _spans(statements: Iterable[ast.AST], lines: list[bytes]) -> Iterator[_Span]:
    statements = list(statements)
    for text in _prose(statements):
        yield text.lineno - 1, text.col_offset, _last(text), text.end_col_offset or 0, b"''"
    for node in statements:
        if isinstance(node, ast.FunctionDef):
            given = node.args
            every = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
            for one in every:
                if one is not None and one.annotation is not None:
                    hint = one.annotation
                    start = one.col_offset + len(one.arg.encode())
                    yield one.lineno - 1, start, _last(hint), hint.end_col_offset or 0, b""
            if node.returns is not None:
                line = lines[node.returns.lineno - 1]
                arrow = line.rfind(b"->", 0, node.returns.col_offset)
                if arrow > 0:
                    end = node.returns.end_col_offset or 0
                    yield node.returns.lineno - 1, arrow, _last(node.returns), end, b""


def _last(node: ast.expr) -> int:
    return (node.end_lineno or node.lineno) - 1


def _prose(statements: Iterable[ast.AST]) -> list[ast.Constant]:
    """Docstrings, and the value of every ``EXAMPLE``."""
    found = []
    for node in statements:
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and node.body:
            first = node.body[0]
            found.append(first.value if isinstance(first, ast.Expr) else None)
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == "EXAMPLE":
            found.append(node.value)
    return [text for text in found if isinstance(text, ast.Constant) and isinstance(text.value, str)]


def closure(names: Iterable[str]) -> frozenset[str]:
    """The modules of these names, all they import in turn, and the packages they are in."""
    found: set[str] = set()
    left = list(names)
    while left:
        name = left.pop()
        module = _module(name) if name not in found else None
        if module is not None:
            found.add(name)
            left += [*module.imports, name.rpartition(".")[0]]
    return frozenset(found)


# -- blobs ---------------------------------------------------------------------------------------------------------


@_kept
def core() -> frozenset[str]:
    """Modules an agent starts with."""
    return closure(f"mnemo_ops.agent.{name}" for name in ("main", "resources", "actions"))


@_kept
def deeds() -> frozenset[str]:
    """What the core lacks of every deed. All at once: what one leaves on the host another undoes."""
    names = [path.stem for path in (_ROOT / "agent/actions").glob("[!_]*.py") if path.stem not in APART]
    return closure(f"mnemo_ops.agent.actions.{name}" for name in names) - core()


@_kept
def apart(kind: str) -> frozenset[str]:
    """What an action needs besides :func:`deeds`."""
    module = KINDS.get(kind, "")
    return closure([f"mnemo_ops.agent.actions.{module}"]) - core() - deeds() if module in APART else frozenset()


@_kept
def needed(kinds: frozenset[str]) -> frozenset[str]:
    """Modules the tasks of these kinds are made of."""
    return closure(f"mnemo_ops.agent.resources.{kind}" for kind in kinds)


@_kept
def pack(modules: frozenset[str]) -> bytes:
    """The compressed zip of these modules: the same bytes for the same sources."""
    import bz2
    import zipfile  # most commands find the answer on disk

    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(modules):
            module = _module(name)
            assert module is not None, f"there is no module {name}"
            archive.writestr(zipfile.ZipInfo(module.path, _EPOCH), module.text)
    return bz2.compress(out.getvalue())


def bundle() -> bytes:
    """What an agent starts from."""
    return pack(core())


def digest(data: bytes) -> str:
    """The name of what is shipped."""
    return hashlib.sha256(data).hexdigest()[:16]


def shipment(blob: bytes) -> bytes:
    """The first bytes on the agent's stdin: a mark no password holds, and the blob."""
    return b"\0" + blob


def parcel(modules: frozenset[str]) -> dict[str, str]:
    """How modules travel in a request; empty for none."""
    packed = pack(modules) if modules else b""
    return {"code": base64.b64encode(packed).decode(), "digest": digest(packed)} if packed else {}


def command(blob: bytes, python: str = "python3") -> list[str]:
    """The argument vector that starts the agent; :func:`shipment` must follow on its stdin."""
    stage = _STAGE.format(size=len(blob), digest=digest(blob))
    # isolated: nothing of the login directory or the environment is imported; file names are UTF-8 whatever the locale
    return [python, "-IS", "-X", "utf8", "-c", stage]
