"""What the system refused, as the failure of a task: about the file it was meant for, with what would help."""

from __future__ import annotations

import errno
import re

from mnemo_ops.errors import StepFailed

_OURS = re.compile(r"\.mnemo-new-|\.mnemo-link$")  # in the names of files that are to take another's place


def trouble(error: OSError, user: str) -> StepFailed:
    """The failure to raise instead.

    :param user: who was refused it; empty for root.
    """
    path = _OURS.sub("", str(error.filename2 or error.filename or ""))
    hint = ""
    if user and error.errno in (errno.EACCES, errno.EPERM):
        hint = f"user {user} runs this task; become: true runs it as root"
    elif error.errno == errno.EPERM:  # what stops root, too
        hint = f"it may be immutable or append-only: lsattr -d {path} shows it, chattr -i -a {path} removes it"
    elif error.errno == errno.EBUSY and error.filename2:  # rename(2)
        hint = f"{path} is a mount of its own, so nothing can replace it: write to it in place, or at its source"
    return StepFailed(f"{error.strerror or error}: {path}".rstrip(": "), hint=hint)
