"""What ``--vars`` says: variables that win over all others."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnemo_ops.errors import UsageError

if TYPE_CHECKING:
    from mnemo_ops.documents.yaml_lines import Table


def variables(text: str) -> Mapping[str, Any]:
    """What one ``--vars`` gives: ``k=v`` (or several), ``@FILE`` or a mapping in braces.

    :raises UsageError: it is none of them, the file cannot be read, a template in it is wrong (2).
    """
    if not text.startswith(("@", "{")):
        return _pairs(text)
    from mnemo_ops.documents.yaml_lines import loads
    from mnemo_ops.inventory.load import load_variables
    from mnemo_ops.playbook.context import proof

    found: Table = load_variables(Path(text[1:]), UsageError) if text[0] == "@" else loads(text, "--vars", UsageError)
    found.names("--vars")
    proof(found)
    return found


def _pairs(text: str) -> Mapping[str, str]:
    """As Ansible reads them: texts, whatever they look like; quotes keep spaces."""
    from mnemo_ops.playbook.free_form import pairs

    found = pairs(text)
    if not found:
        value = text.partition("=")[2]
        hint = f"{text.partition('=')[0]}='\"{value}\"', if it is one value" if value else "or @FILE, or {k: v}"
        raise UsageError(f"--vars takes k=v, not '{text}'", hint=hint)
    return found
