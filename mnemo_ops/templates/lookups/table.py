"""Lookups: what templates ask the controller for. Names, options and results are those of ansible-core 2.19.

Source: the pages of ``ansible.builtin`` lookups; ``sops`` is that of community.sops, ``command`` is ours.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import Undefined, pass_context

from mnemo_ops.core.secret_text import derived
from mnemo_ops.core.suggest import suggest
from mnemo_ops.errors import MnemoError, TemplateError
from mnemo_ops.templates.lookups import files as lookup_files
from mnemo_ops.templates.lookups import lists as lookup_lists
from mnemo_ops.templates.lookups import secrets as lookup_secrets
from mnemo_ops.templates.lookups.scope import LookupScope
from mnemo_ops.templates.undefined import Unread

Lookup = Callable[..., list[Any]]  # (scope, terms, **options)
LOOKUPS: dict[str, Lookup] = {**lookup_files.LOOKUPS, **lookup_lists.LOOKUPS, **lookup_secrets.LOOKUPS}
_PREFIXES = ("ansible.builtin.", "ansible.legacy.", "community.sops.")
_ERRORS = ("strict", "warn", "ignore")


def short(name: str) -> str:
    """The name without its collection."""
    return next((name.removeprefix(prefix) for prefix in _PREFIXES if name.startswith(prefix)), name)


def look_up(name: str, terms: list[Any], options: Mapping[str, Any], scope: LookupScope) -> list[Any]:
    """What a lookup finds, always as a list; ``with_NAME`` loops over it.

    :raises TemplateError: there is no such lookup, or it fails (2).
    """
    if short(name) not in LOOKUPS:
        raise TemplateError(f"lookup '{name}' is not supported yet", hint=suggest(short(name), LOOKUPS))
    for value in (*terms, *options.values()):
        if isinstance(value, Undefined):
            str(value)  # raises
    try:
        return LOOKUPS[short(name)](scope, terms, **options)
    except TypeError as problem:
        if "unexpected keyword argument" not in str(problem):
            raise
        option = str(problem).rsplit("'", 2)[1]
        raise TemplateError(f"lookup '{name}' has no option '{option}'") from None


@pass_context
def lookup(
    context: Any, plugin: str, /, *terms: Any, wantlist: bool = False, errors: str = "strict", **options: Any
) -> Any:
    """The function ``lookup()``: the one thing found, several texts joined with commas, else the list."""
    if errors not in _ERRORS:
        raise TemplateError(f"lookup: errors is {', '.join(_ERRORS)}, not '{errors}'")
    try:
        found = look_up(plugin, list(terms), options, context.parent)
    except (MnemoError, OSError, ValueError, LookupError, TypeError) as problem:
        if short(plugin) not in LOOKUPS:
            raise
        if errors == "strict":  # an error when somebody uses it: x | default(lookup('file', ...)) may not
            context.parent.failed.append(problem)
            return Unread(problem)
        if errors == "warn":
            logging.getLogger(__name__).warning("lookup '%s' found nothing: %s", plugin, problem)
        return [] if wantlist else None
    if wantlist or not found:
        return found
    if len(found) == 1:
        return found[0]
    return derived(",".join(found), found) if all(isinstance(one, str) for one in found) else found


@pass_context
def query(context: Any, plugin: str, /, *terms: Any, **options: Any) -> Any:
    """The function ``query()``, also ``q()``: always the list."""
    return lookup(context, plugin, *terms, **{**options, "wantlist": True})
