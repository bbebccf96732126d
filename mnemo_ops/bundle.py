"""The agent as one blob: a zip of its sources, piped into the host's python3 and imported from memory.

The zip is stored and compressed as a whole: sixty small files that resemble each other shrink to half of what a zip
that compresses each for itself would take.
"""

from __future__ import annotations

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
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), source.read_bytes())
    return bz2.compress(out.getvalue())


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
