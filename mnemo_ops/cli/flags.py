"""Words of the command line that no task knows: found before Invoke takes them for its own options or for a path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NoReturn

from invoke.parser.context import ParserContext

from mnemo_ops.core.suggest import suggest
from mnemo_ops.errors import UsageError

PROGRAM = "mnemo-ops"
HELP = ("-h", "--help")
INVENTORY = "set it in the inventory: {}"
# options of ansible-playbook (and two of Invoke's) that are called otherwise here
ELSEWHERE = {
    "--extra-vars": "--vars, or -e",
    "--subset": "--limit, or -l",
    "--start-at-task": "--start-at",
    "--dry": "--check, or -C",
    "--dry-run": "--check, or -C",
    "--syntax-check": "every run reads the whole playbook before it connects; --check changes nothing",
    "--list-tasks": "--check --verbose names every task and changes nothing",
    "--list-hosts": "--check names every host in its last line and changes nothing",
    "--ask-vault-password": "--ask-vault-pass",
    "--vault-pass-file": "--vault-password-file",
    **dict.fromkeys(("-b", "--become"), "become: true in the play"),
    "--become-user": "become_user in the play",
    **dict.fromkeys(("-k", "--ask-pass"), INVENTORY.format("ansible_password, by !vault")),
    **dict.fromkeys(("-u", "--user"), INVENTORY.format("ansible_user")),
    **dict.fromkeys(("-c", "--connection"), INVENTORY.format("ansible_connection")),
    **dict.fromkeys(("--private-key", "--key-file"), INVENTORY.format("ansible_ssh_private_key_file")),
    **dict.fromkeys(("-f", "--forks"), "all hosts run in parallel; serial in the play limits them"),
}


def proof(words: Sequence[str], tasks: Mapping[str, ParserContext]) -> str:
    """The task whose help is asked for; empty when none is.

    :param words: the command line from the first task on. :param tasks: by every name they have.
    :raises UsageError: a word that is neither a task nor an option or value of the one before it (2).
    """
    task, missing, rest = ParserContext(), 0, iter(words)
    seen: set[str] = set()
    for word in rest:
        if word == "--":
            break
        if word in HELP and task.name:
            return task.name
        if word.startswith("-") and word != "-":
            _flag(task, word, rest, seen)
        elif missing:
            missing -= 1
        elif word in tasks:
            task, missing = tasks[word], len(tasks[word].positional_args)
            seen.clear()
        else:
            known = {name for name in tasks if name}
            hint = suggest(word, known, few=0) or f"{PROGRAM} --list names the tasks"
            raise UsageError(f"there is no task '{word}'", hint=_more(task, hint))
    return ""


def _flag(task: ParserContext, word: str, rest: Iterator[str], seen: set[str]) -> None:
    """One option, or several letters behind one dash; the value of the last is taken from ``rest``."""
    name, sign, _ = word.partition("=")
    names = [name] if name.startswith("--") or sign else [f"-{letter}" for letter in name[1:]]
    for at, each in enumerate(names):
        if each in task.inverse_flags:
            continue
        if each not in task.flags:
            _refuse(task, each, f"write {word[:2]} {word[2:]}" if word[:2] in task.flags else "")
        if task.flags[each].takes_value:
            if task.flags[each].kind is not list and each in seen:
                raise UsageError(f"{task.name}: '{each}' is given twice", hint=f"{PROGRAM} --help {task.name}")
            seen.add(each)
            last = at == len(names) - 1
            if last and not sign and next(rest, None) is None:
                raise UsageError(f"{task.name}: '{each}' needs a value", hint=f"{PROGRAM} --help {task.name}")
            return


def _refuse(task: ParserContext, flag: str, hint: str) -> NoReturn:
    if not task.name:
        raise UsageError(f"there is no option '{flag}'", hint=f"{PROGRAM} --help; options of a task follow its name")
    known = [name for name in task.flags if name.startswith("--")]
    hint = hint or ELSEWHERE.get(flag) or (suggest(flag, known, few=0) if flag.startswith("--") else "")
    raise UsageError(f"{task.name} has no option '{flag}'", hint=_more(task, hint))


def _more(task: ParserContext, hint: str) -> str:
    page = f"{PROGRAM} --help {task.name} shows the options" if task.name else ""
    return "; ".join(part for part in (hint, page) if part).replace("?;", "?")
