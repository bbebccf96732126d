"""Lists of the words we have and refuse, as Markdown: ``docs/playbooks.md`` holds them, a test keeps them in step."""

from __future__ import annotations

from collections.abc import Iterable

from mnemo_ops.errors import PlaybookError
from mnemo_ops.inventory.connection_vars import ALIASES, FIXED, KNOWN, LATER
from mnemo_ops.playbook.context import INHERITED
from mnemo_ops.playbook.keywords import table
from mnemo_ops.playbook.load import KEYS, SECTIONS
from mnemo_ops.playbook.module_args import describe, summary
from mnemo_ops.playbook.modules import KINDS, kind_of
from mnemo_ops.playbook.names import LOOP_CONTROL_KEYS, PLAY_KEYS, ROLE_KEYS, TASK_KEYS
from mnemo_ops.playbook.task import ACTION, HANDLER, LOOP_CONTROL, LOOPS, OTHERS, TASK
from mnemo_ops.playbook.task_list import BLOCK, INCLUDE, ROLE
from mnemo_ops.templates.filters import FILTERS, TESTS
from mnemo_ops.templates.lookups.table import LOOKUPS


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names)) + "\n"


def kinds() -> str:
    """Every kind with its one line."""
    width = max(len(kind) for kind in KINDS)
    return "".join(f"{kind:<{width}}  {summary(kind)}\n" for kind in sorted(KINDS))


def page(word: str) -> str:
    """What ``invoke docs WORD`` prints; ``all``: every kind. :raises PlaybookError: there is no such kind (2)."""
    if word == "all":
        return kinds()
    if not kind_of(word) and word in {
        *KEYS,
        *TASK,
        *ACTION,
        *HANDLER,
        *BLOCK,
        *INCLUDE,
        *ROLE,
        *OTHERS,
        *LOOP_CONTROL,
        "import_playbook",
    }:
        raise PlaybookError(f"'{word}' is a keyword of playbooks, not a module", hint="docs/playbooks.md explains it")
    return describe(word)


def lists() -> dict[str, str]:
    """Markdown by the name of the place it has in the page."""
    own = {
        *SECTIONS,
        "hosts",
        "block",
        "rescue",
        "always",
        "args",
        *ACTION,
        "register",
        "listen",
        *LOOPS,
        "loop_control",
    }
    return {
        "everywhere": table(INHERITED),
        "play": table(("hosts", *SECTIONS, *(word for word in KEYS if word not in {*INHERITED, *SECTIONS, "hosts"}))),
        "task": table((*ACTION, *(word for word in TASK if word not in {*INHERITED, *LOOPS}))),
        "loops": table(LOOPS),
        "block": table(word for word in BLOCK if word not in INHERITED),
        "include": _listed(word for word in INCLUDE if word not in {*INHERITED, *LOOPS}),
        "role": table(word for word in ROLE if word not in INHERITED),
        "handler": table(word for word in HANDLER if word not in TASK),
        "refused": "\n".join(
            f"- {what}: {_listed(refused)}".rstrip()
            for what, refused in (
                ("play", PLAY_KEYS - {*KEYS}),
                ("role among `roles:`", ROLE_KEYS - {*ROLE}),
                ("task", TASK_KEYS - {*TASK, *HANDLER, *OTHERS, *own}),
                ("`loop_control`", LOOP_CONTROL_KEYS - {*LOOP_CONTROL}),
                ("connection variables", LATER),
            )
        )
        + "\n",
        "lookups": _listed(LOOKUPS),
        "filters": _listed(FILTERS),
        "tests": _listed(TESTS),
        "connection": _listed((*KNOWN, *ALIASES, *FIXED)),
    }
