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
    "when": Keyword("conditions", "expressions without `{{ }}`, all must be true"),
    "tags": Keyword("texts", "tags for `--tags` and `--skip-tags`; `always` and `never` as in Ansible"),
    "vars": Keyword("variables", "variables for this and everything inside"),
    "become": Keyword("flag", "run as another user, with sudo"),
    "become_user": Keyword("text", "the user that `become` runs as; default root"),
    "become_method": Keyword("sudo", "only `sudo`"),
    "environment": Keyword("environment", "variables of the environment: a mapping, or a list of mappings"),
    "no_log": Keyword("late_flag", "do not show arguments and results anywhere"),
    "ignore_errors": Keyword("late_flag", "continue on the host when the task fails"),
    "check_mode": Keyword("flag", "`true`: only check, even in a real run; `false`: run, even with `--check`"),
    "run_once": Keyword("flag", "run on the first host only; all hosts get the registered result"),
    "delegate_to": Keyword("here", "`localhost`: run on this machine, with the host's variables"),
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
    "register": Keyword("identifier", "store the result in this variable"),
    "changed_when": Keyword("conditions", "the condition for changed"),
    "failed_when": Keyword("conditions", "the condition for failed"),
    "until": Keyword("conditions", "retry until this is true"),
    "retries": Keyword("number", "the most retries; default 3"),
    "delay": Keyword("number", "seconds between two retries; default 5"),
    **_loops(
        items="a list; inner lists are flattened by one level",
        list="a list as it is",
        dict="a mapping: `item.key`, `item.value`",
        fileglob="files of this machine that match a pattern",
        first_found="the first of the named files that exists",
        flattened="nested lists, flattened completely",
        indexed_items="pairs of number and item",
        lines="lines that a command prints on this machine",
        nested="every combination of the items of several lists",
        random_choice="one item of a list",
        sequence="numbers: `start=1 end=4 stride=1 format=%02d`",
        subelements="each item with each element of a list inside it",
        together="the first items of several lists, then the second ones",
    ),
    # handler
    "listen": Keyword("texts", "more topics that notify this handler"),
    # block
    "block": Keyword("tasks", "tasks that share the keywords of the block"),
    "rescue": Keyword("tasks", "tasks to run when one of them fails; `ansible_failed_task`, `ansible_failed_result`"),
    "always": Keyword("tasks", "tasks to run at the end, after success or failure"),
    # play
    "hosts": Keyword("texts", "a pattern: names, groups, globs; `a:b` combines, `&x` intersects, `!x` excludes"),
    "gather_facts": Keyword("late_flag", "accepted; facts are always gathered on connect"),
    "gather_subset": Keyword("texts", "accepted; all facts are always gathered"),
    "vars_files": Keyword(
        "choices", "files of variables; they win over `vars`; of a list within the list, the first that exists"
    ),
    "pre_tasks": Keyword("tasks", "tasks to run before the roles"),
    "roles": Keyword("roles", "a name, or a mapping with `role`, keywords and variables"),
    "tasks": Keyword("tasks", "tasks to run after the roles"),
    "post_tasks": Keyword("tasks", "tasks to run last"),
    "handlers": Keyword("handlers", "tasks to run once at the end of a section, when notified"),
    "serial": Keyword("batches", "how many hosts at a time: a number, a percentage, or a list of them"),
    "any_errors_fatal": Keyword("flag", "the first failure stops the play on all hosts"),
    "max_fail_percentage": Keyword("number", "stop the play if more hosts of a batch fail"),
    "strategy": Keyword("strategy", "accepted: `linear`, `free`, `host_pinned`; each host runs at its own pace"),
    "force_handlers": Keyword("flag", "run notified handlers even on a host that failed"),
    "connection": Keyword("connection", "`local`: this machine is every host of the play"),
    "remote_user": Keyword("text", "user to log in as, if the inventory names none"),
    "order": Keyword("order", "only `inventory`"),
    # a role among roles
    "role": Keyword("text", "its name, or its path"),
}


def table(names: Iterable[str]) -> str:
    """Keywords as a table in Markdown."""
    rows = [f"| `{name}` | {KEYWORDS[name].doc} |" for name in names]
    return "\n".join(["| word | meaning |", "|---|---|", *rows]) + "\n"
