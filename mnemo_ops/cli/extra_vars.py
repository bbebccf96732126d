"""What ``--vars`` says: variables that win over all others."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnemo_ops.errors import UsageError

if TYPE_CHECKING:
    from mnemo_ops.yaml_lines import Table


def variables(text: str) -> Mapping[str, Any]:
    """What one ``--vars`` gives: ``k=v``, ``@FILE`` or a mapping in braces.

    :raises UsageError: it is none of them, the file cannot be read, a template in it is wrong (2).
    """
    if not text.startswith(("@", "{")):
        return dict([_pair(text)])
    from mnemo_ops.inventory import load_variables
    from mnemo_ops.place import proof
    from mnemo_ops.yaml_lines import loads

    found: Table = load_variables(Path(text[1:]), UsageError) if text[0] == "@" else loads(text, "--vars", UsageError)
    found.names("--vars")
    proof(found)
    return found


def _pair(text: str) -> tuple[str, Any]:
    from mnemo_ops.yaml_lines import loads

    key, sign, value = text.partition("=")
    if not sign or not key.isidentifier():
        raise UsageError(f"--vars takes k=v, not '{text}'", hint="or @FILE, or {k: v}")
    if value[:1] not in ("'", '"', "{", "[") and re.search(r"\s\w+=", value):  # Ansible takes them for several
        raise UsageError(
            f"--vars '{text}': one variable, or several?", hint=f"--vars once for each, or {key}='\"...\"'"
        )
    return key, loads(value, "--vars", UsageError) if value else ""
