"""Ansible's keywords, each with its form and one sentence: what the documentation prints and editors are told."""

from __future__ import annotations

from collections.abc import Iterable

from mnemo_ops.agent.base.record import dataclass


@dataclass(frozen=True)
class Keyword:
    """:param form: one of the forms of ``json_schema.FORMS``. :param doc: what it does, one line of Markdown."""

    form: str
    doc: str


def _loops(**words: str) -> dict[str, Keyword]:
    return {f"with_{name}": Keyword("any", doc) for name, doc in words.items()}


KEYWORDS: dict[str, Keyword] = {
    # wherever a task may inherit it from
    "name": Keyword("text", "its name in the output; may contain `{{ }}`"),
    "when": Keyword("conditions", "expressions without `{{ }}`, all of which must hold"),
    "tags": Keyword("texts", "tags for `--tags` and `--skip-tags`; `always` and `never` as in Ansible"),
    "vars": Keyword("variables", "variables for this and everything inside"),
    "become": Keyword("flag", "run as another user, with sudo"),
    "become_user": Keyword("text", "the user that `become` runs as; default root"),
    "become_method": Keyword("sudo", "`sudo` is the only one"),
    "environment": Keyword("environment", "a mapping, or a list of them, for what the task runs"),
    "no_log": Keyword("late_flag", "do not show arguments and results anywhere"),
    "ignore_errors": Keyword("late_flag", "the host goes on when the task fails"),
    "check_mode": Keyword("flag", "`true`: only looks, also in a real run; `false`: acts, also with `--check`"),
    "run_once": Keyword("flag", "on the first host only; what it registers, all hosts get"),
    "delegate_to": Keyword("here", "`localhost`: this machine does it, with the host's variables"),
    "module_defaults": Keyword("module_defaults", "default arguments by module, for every task of that module inside"),
    "collections": Keyword("texts", "accepted; every module is found under its short and its full name"),
    "notify": Keyword("texts", "handlers, by name or topic, that run when the task changed something"),
    # task
    "action": Keyword(
        "action",
        "the module and its arguments: `copy src=a dest=/b`, or a mapping with the name of the module as `module`",
    ),
    "local_action": Keyword("action", "the same with `delegate_to: localhost`"),
    "args": Keyword("mapping", "more arguments of the module"),
    "loop": Keyword("items", "a list; the task runs for each item"),
    "loop_control": Keyword("loop_control", "`loop_var`, `index_var`, `label`, `pause` (seconds), `extended`"),
    "register": Keyword("identifier", "a variable for what the task returns"),
    "changed_when": Keyword("conditions", "when it counts as changed"),
    "failed_when": Keyword("conditions", "when it counts as failed"),
    "until": Keyword("conditions", "again until this holds"),
    "retries": Keyword("number", "how often at most; 3"),
    "delay": Keyword("number", "seconds between two tries; 5"),
    **_loops(
        items="a list, of which inner lists are taken apart",
        list="a list as it is",
        dict="a mapping: `item.key`, `item.value`",
        fileglob="files of this machine that fit a pattern",
        first_found="the first of the named files that is there",
        flattened="lists in lists, all taken apart",
        indexed_items="pairs of number and item",
        lines="lines a command of this machine prints",
        nested="every combination of the items of several lists",
        random_choice="one item of a list",
        sequence="numbers: `start=1 end=4 stride=1 format=%02d`",
        subelements="each item with each element of a list inside it",
        together="the first items of several lists, then the second ones",
    ),
    # handler
    "listen": Keyword("texts", "topics it answers to besides its name"),
    # block
    "block": Keyword("tasks", "tasks that share what the block says"),
    "rescue": Keyword("tasks", "what is done when one of them fails; `ansible_failed_task`, `ansible_failed_result`"),
    "always": Keyword("tasks", "what is done in the end, whatever happened"),
    # play
    "hosts": Keyword("texts", "a pattern: names, groups, globs; `a:b` unites, `&x` intersects, `!x` excludes"),
    "gather_facts": Keyword("late_flag", "facts come with the first word a host says, whatever stands here"),
    "gather_subset": Keyword("texts", "accepted; facts are gathered whole"),
    "vars_files": Keyword(
        "choices", "files of variables; they win over `vars`; of a list within the list, the first that exists"
    ),
    "pre_tasks": Keyword("tasks", "done before the roles"),
    "roles": Keyword("roles", "a name, or a mapping with `role`, keywords and variables"),
    "tasks": Keyword("tasks", "done after the roles"),
    "post_tasks": Keyword("tasks", "done last"),
    "handlers": Keyword("handlers", "done once at the end of a section, when notified"),
    "serial": Keyword("batches", "how many hosts at a time: a number, a percentage, or a list of them"),
    "any_errors_fatal": Keyword("flag", "the first failure ends the play on all hosts"),
    "max_fail_percentage": Keyword("number", "more failed hosts of a batch than this end the play"),
    "strategy": Keyword("strategy", "accepted: `linear`, `free`, `host_pinned`; each host goes at its own pace"),
    "force_handlers": Keyword("flag", "notified handlers run on a host that failed, too"),
    "connection": Keyword("connection", "`local`: this machine is every host of the play"),
    "remote_user": Keyword("text", "user to log in as, where the inventory names none"),
    "order": Keyword("order", "`inventory` is the only one"),
    # a role among roles
    "role": Keyword("text", "its name, or its path"),
}


def table(names: Iterable[str]) -> str:
    """Keywords as a table in Markdown."""
    rows = [f"| `{name}` | {KEYWORDS[name].doc} |" for name in names]
    return "\n".join(["| word | meaning |", "|---|---|", *rows]) + "\n"
