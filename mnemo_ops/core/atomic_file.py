"""Files of the controller replaced as a whole: what is there is the old one or the new one, and only its owner's."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from mnemo_ops.agent.machine.attributes import attributes_of, give


def replace_file(path: Path, data: bytes) -> None:
    """Write a file with mode 0600, by rename; attributes are the old one's, which stays on failure.

    :raises OSError: it cannot be written. :raises StepFailed: an attribute cannot be kept (6).
    """
    path = path.resolve()  # what a link names, not the link
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # made with 0600
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            if path.exists():
                give(file.fileno(), attributes_of(str(path)), 0o600, str(path))
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
