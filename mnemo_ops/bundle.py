"""The agent as one blob: a zip of its sources, piped into the host's python3 and imported from memory.

The zip is stored and compressed as a whole: sixty small files that resemble each other shrink to half of what a zip
that compresses each for itself would take. What only people read (docstrings, examples) stays here; lines keep their
numbers, so that a traceback from a host names the right one.
"""

from __future__ import annotations

import ast
import bz2
import functools
import io
import shlex
import zipfile
from pathlib import Path

BUDGET = 64 * 1024  # bytes
_ROOT = Path(__file__).parent
_EPOCH = (1980, 1, 1, 0, 0, 0)

# Skips a password sudo did not ask for, reads exactly N bytes of stdin into an anonymous file, puts it on the import
# path, and hands over.
_STAGE = (
    "import bz2,os,sys;n={size};f=os.memfd_create('mnemo');c=b'-';z=b''\n"
    "while c!=b'\\0':\n"
    " c=os.read(0,1)\n"
    " if not c:sys.exit(3)\n"
    "while len(z)<n:\n"
    " b=os.read(0,n-len(z))\n"
    " if not b:sys.exit(3)\n"
    " z+=b\n"
    "with os.fdopen(os.dup(f),'wb') as m:m.write(bz2.decompress(z))\n"
    "sys.path.insert(0,'/proc/self/fd/%d'%f)\n"
    "from mnemo_ops.agent.main import main;main(f)"
)


@functools.cache
def bundle() -> bytes:
    """The compressed zip: the same bytes for the same sources."""
    sources = [_ROOT / "__init__.py", _ROOT / "errors.py", *sorted((_ROOT / "agent").rglob("*.py"))]
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for source in sources:
            name = "mnemo_ops/" + source.relative_to(_ROOT).as_posix()
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), _lean(source.read_text()))
    return bz2.compress(out.getvalue())


def _lean(source: str) -> str:
    """The same program without docstrings and the kinds' examples, every line where it was."""
    lines = source.encode().splitlines(keepends=True)  # the positions below count bytes
    for text in _prose(ast.parse(source)):
        first, last = text.lineno - 1, (text.end_lineno or text.lineno) - 1
        head, tail = lines[first][: text.col_offset], lines[last][text.end_col_offset :]
        lines[first : last + 1] = [head + b"''" + tail, *[b"\n"] * (last - first)]
    return b"".join(lines).decode()


def _prose(tree: ast.Module) -> list[ast.Constant]:
    """Docstrings, and the value of every ``EXAMPLE``."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and node.body:
            first = node.body[0]
            found.append(first.value if isinstance(first, ast.Expr) else None)
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == "EXAMPLE":
            found.append(node.value)
    return [text for text in found if isinstance(text, ast.Constant) and isinstance(text.value, str)]


def shipment() -> bytes:
    """The first bytes on the agent's stdin: a mark no password holds, and the blob."""
    return b"\0" + bundle()


def command(python: str = "python3") -> list[str]:
    """The argument vector that starts the agent; :func:`shipment` must follow on its stdin."""
    stage = _STAGE.format(size=len(bundle()))
    # isolated: nothing of the login directory or the environment is imported; file names are UTF-8 whatever the locale
    return [python, "-IS", "-X", "utf8", "-c", stage]


def command_line(python: str, become: bool, ask_password: bool = False) -> str:
    """:func:`command` for a remote shell, through sudo when ``become``."""
    sudo = ["sudo", "-S", "-p", "", "-H", "--"] if ask_password else ["sudo", "-n", "-H", "--"]
    return shlex.join([*(sudo if become else []), *command(python)])
