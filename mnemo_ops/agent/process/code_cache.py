"""Code that is kept compiled on the host: compiling what was shipped takes longer than a play that has nothing to do.

Only root's agents keep code, in a directory only root can read; whoever could change it is root already. What is
there is found by the digest of what was shipped and the version of Python, and is imported instead of it.
"""

from __future__ import annotations

import contextlib
import io
import sys
from typing import Dict, Sequence
from zipimport import zipimporter

from mnemo_ops.agent.machine import Machine
from mnemo_ops.errors import MnemoError

SENT_ON = "mnemo_ops/agent/machine/trial.py"  # its source is what a proof mount runs elsewhere
FEW = 12  # archives that stay; each version of mnemo_ops has one of its core and one of each set of kinds it was asked


def _path(machine: Machine, digest: str) -> str:
    return f"{machine.state_dir}/code/{digest}-{sys.hexversion:x}.zip"


def kept(machine: Machine, digest: str) -> str:
    """Where the code of what has this digest lies, compiled for this Python; empty when it is missing or spoilt."""
    with contextlib.suppress(ImportError):
        return str(zipimporter(_path(machine, digest)).archive) if machine.is_root else ""
    return ""


def keep(machine: Machine, shipped: Dict[str, bytes]) -> None:
    """Compile what was shipped and is not kept yet, for the next agent.

    :param shipped: zips of sources by their digest, compressed as they travelled.

    Nothing depends on it: a disk that is full, or read-only, keeps nothing and is no error.
    """
    with contextlib.suppress(MnemoError, OSError):
        missing = [digest for digest in shipped if not kept(machine, digest)]
        if not machine.is_root or not missing:
            return
        machine.mkdir(machine.state_dir, 0o700)
        machine.mkdir(f"{machine.state_dir}/code", 0o700)
        for digest in missing:
            machine.write(_path(machine, digest), compiled(unpacked(shipped[digest])), 0o600)
        for digest in shipped:  # what was used now is the last that should go
            machine.utime(_path(machine, digest))
        _forget(machine)


def _forget(machine: Machine) -> None:
    """Remove all but the last used."""
    ages = []
    for name in machine.names(f"{machine.state_dir}/code"):
        file = f"{machine.state_dir}/code/{name}"
        found = machine.stat(file)
        if found is not None:
            ages.append((found.mtime_ns, file))
    for _, file in sorted(ages)[:-FEW]:
        machine.remove(file)


def unpacked(shipped: bytes) -> bytes:
    """The zip within what travelled."""
    import bz2  # who finds its code kept needs it for nothing

    return bz2.decompress(shipped)


def merged(shipped: Sequence[bytes]) -> bytes:
    """One zip of all that travelled in these, for units that start when nobody is connected."""
    import zipfile

    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        for packed in shipped:
            with zipfile.ZipFile(io.BytesIO(unpacked(packed))) as given:
                for entry in given.infolist():
                    made.writestr(entry, given.read(entry))
    return out.getvalue()


def compiled(sources: bytes) -> bytes:
    """The same zip with code in the place of its sources: ``.pyc`` files that are not compared with one (PEP 552)."""
    import importlib.util  # an agent that keeps nothing needs none of these
    import marshal
    import zipfile

    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(sources)) as given, zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as made:
        for name in given.namelist():
            code = compile(given.read(name), name, "exec", dont_inherit=True)
            header = importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little") + bytes(8)
            made.writestr(zipfile.ZipInfo(name + "c"), header + marshal.dumps(code))
            if name == SENT_ON:
                made.writestr(zipfile.ZipInfo(name), given.read(name))
    return out.getvalue()
