"""From an entry of a playbook to tasks for one host: variables in scope, conditions, loops, arguments."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Optional

from mnemo_ops.agent.base.protocol import Event
from mnemo_ops.agent.base.record import dataclass, replace
from mnemo_ops.agent.engine.resource import Resource, resource_class
from mnemo_ops.core.model import Entry, Loop, Play, Task
from mnemo_ops.core.options import Options
from mnemo_ops.core.secret_text import hidden, parts_of, revealed
from mnemo_ops.documents.yaml_lines import Table
from mnemo_ops.errors import MnemoError, PlaybookError, TemplateError
from mnemo_ops.execution import fact_names
from mnemo_ops.execution.host_state import HostState
from mnemo_ops.execution.results import Round, Step, Unknown, Work
from mnemo_ops.inventory.load import load_variables
from mnemo_ops.playbook import module_args
from mnemo_ops.playbook.context import first_located
from mnemo_ops.playbook.load import listeners
from mnemo_ops.playbook.sources import Prepared, prepared
from mnemo_ops.templates.filters import flatten
from mnemo_ops.templates.references import variables_of
from mnemo_ops.templates.render import NoValue, Scope, Unready, condition, copied, render, without_omitted

NOTHING = Resource()  # stands in a task that is not sent


@dataclass(frozen=True)
class User:
    """:param agent: the user the agent runs as. :param login: the one who came in."""

    agent: str = "root"
    login: str = "root"


class Renderer:
    """Renders the entries of one play for one host.

    :param extra: of ``--vars``: they win over everything. :param magic: Ansible's own variables of the play.
    """

    def __init__(
        self, play: Play, state: HostState, extra: Mapping[str, Any], options: Options, magic: Mapping[str, Any]
    ) -> None:
        self.user = User()
        self._play, self._state, self._extra, self._options, self._magic = play, state, extra, options, magic
        self._started = not options.start_at
        self._scopes: dict[tuple[int, ...], Scope] = {}
        self._version = state.version  # that the scopes were made of
        self._late_vars: Mapping[str, Any] = {}

    def read_vars_files(self) -> None:
        """``vars_files`` whose names are templates. :raises MnemoError: one is missing or wrong (2)."""
        found: dict[str, Any] = {}
        for names, where in self._play.vars_files:
            rendered = [str(render(name, self.plain(), where)) for name in names]
            path = first_located(rendered, (self._play.home,), where)
            found.update(load_variables(path, PlaybookError, where))
        self._late_vars = found
        self._scopes.clear()

    def plain(self) -> Scope:
        """The scope of the play itself."""
        return self.scope(Entry(name="", kind="", args={}, where=self._play.where))

    def scope(self, entry: Entry) -> Scope:
        """Role defaults < inventory < facts < play < role < task vars < results < what is given < ``--vars``."""
        layers = (entry.defaults, entry.role_vars, entry.vars, entry.params, entry.files, entry.templates)
        key = tuple(id(layer) for layer in layers)
        if self._version != self._state.version:
            self._scopes.clear()
            self._version = self._state.version
        if key not in self._scopes:
            self._scopes[key] = self._scope(entry)
        return self._scopes[key]

    def _scope(self, entry: Entry) -> Scope:
        play, state = self._play, self._state
        scope = Scope(entry.files, entry.templates).plus({"ansible_managed": "Ansible managed"})
        kind = "local" if state.host.local else "ssh"
        scope = scope.plus({"ansible_host": state.host.name, "ansible_connection": kind})  # of hosts that have none
        scope = scope.plus(play.role_defaults).plus(entry.defaults).plus(state.host.vars)
        known = {**fact_names.variables(state.facts), "ansible_check_mode": self._options.check}
        scope = scope.plus({**known, **self._magic}, final=True)
        scope = scope.plus(play.vars).plus(self._late_vars).plus(play.role_vars).plus(entry.role_vars).plus(entry.vars)
        scope = scope.plus(state.included).plus({**state.results, **state.waiting}, final=True).plus(entry.params)
        scope = scope.plus({"vars": scope}, final=True)
        for overlay in state.overlays:
            scope = scope.plus(overlay, final=True)
        return scope.plus(self._extra)

    # -- one entry -----------------------------------------------------------------------------------------------

    def work(self, id: str, entry: Entry) -> Work:
        """Everything an entry asks for on this host. :raises Pending: it reads what the unsent batch registers."""
        self._started = self._started or entry.name == self._options.start_at
        step = Step(unsent(id, entry))
        notified = any(entry is one for one in self._play.handlers)  # then tags do not count, as in Ansible
        if not notified and not (self._started and self._options.wants(entry.tags)):
            return Work(entry, [Round([step.end("skipped", "tags" if self._started else "before --start-at")])])
        scope = self.scope(entry)
        step.task = replace(step.task, name=title(entry, scope), no_log=self._flag(entry.no_log, scope, True))
        try:
            step.task = replace(step.task, ignore_errors=self._flag(entry.ignore_errors, scope, False))
            return self._rendered(entry, scope, step)
        except Unknown as problem:
            unknown = Round([step.end("unknown", str(problem))])
            return Work(entry, [unknown], perhaps=self._perhaps(entry, scope, step))
        except MnemoError as problem:
            if step.task.no_log and isinstance(problem, PlaybookError):  # it quotes the value that does not fit
                problem = PlaybookError(f"an argument of {entry.kind} does not fit (no_log)", where=problem.where)
            step.event = Event.failure(id, problem)
            return Work(entry, [Round([step])])

    def _perhaps(self, entry: Entry, scope: Scope, step: Step) -> list[Task]:
        """What an entry would do whose condition is unknown, as far as that is known."""
        if entry.delegate_to or resource_class(entry.kind).on_controller:
            return []
        try:
            found = self._rendered(replace(entry, when=()), scope, step).steps
        except (Unready, MnemoError):
            return []
        return [replace(one.task, perhaps=True, files={}) for one in found if one.task.resource is not NOTHING]

    def _flag(self, value: Any, scope: Scope, when_unsure: bool) -> bool:
        if not isinstance(value, str):
            return bool(value)
        try:
            return bool(module_args.truth(render(value, scope)))
        except (Unready, MnemoError):
            return when_unsure

    def _rendered(self, entry: Entry, scope: Scope, step: Step) -> Work:
        if entry.loop is None:
            return Work(entry, [self._round(entry, scope, step, entry.when)])
        early = [text for text in entry.when if not {entry.loop.var, "ansible_loop"} & _read(text)]
        if not all(condition(text, scope, entry.where) for text in early):
            return Work(entry, [Round([step.end("skipped", "when")])], passed=self._passed(entry, scope))
        found = items(entry.loop, scope, entry.where)
        if not found:
            return Work(entry, [Round([step.end("skipped", "no items")])], passed=())
        late = [text for text in entry.when if text not in early]
        rounds = []
        for number, item in enumerate(found):
            row = loop_variables(entry.loop, found, number)
            inner = scope.plus(row, final=True)
            name, label = self._label(entry, inner, step, item)
            one = Step(replace(step.task, id=f"{step.task.id}.{number}", name=name + label))
            rounds.append(replace(self._round(entry, inner, one, late), item=item, row=row))
        return Work(entry, rounds, looped=True)

    def _passed(self, entry: Entry, scope: Scope) -> Optional[Sequence[Any]]:
        """Items of a loop whose condition is false already; ``None`` when nobody asks, or they cannot be told."""
        try:
            return items(entry.loop, scope, entry.where) if entry.register and entry.loop else None
        except (Unready, MnemoError):
            return None

    def _label(self, entry: Entry, scope: Scope, step: Step, item: Any) -> tuple[str, str]:
        assert entry.loop is not None
        name = step.task.name if step.task.no_log else title(entry, scope)
        if step.task.no_log or name != step.task.name:
            return name, ""
        shown = item if entry.loop.label is None else render(entry.loop.label, scope, entry.where)
        return name, f" => ({entry.loop.var}={_short(shown)})"

    def _round(self, entry: Entry, scope: Scope, step: Step, when: Sequence[str]) -> Round:
        if not all(condition(text, scope, entry.where) for text in when):
            return Round([step.end("skipped", "when")])
        if resource_class(entry.kind).on_controller:
            args = without_omitted(self.arguments(entry, scope))
            self._ask_ahead(entry, args, scope)
            with _quoting(parts_of(args)):
                resource = module_args.build(entry.kind, revealed(args), entry.where)
            task = replace(step.task, resource=resource, register=entry.register, secrets=parts_of(args))
            return Round([Step(task)], scope=scope, args=args)
        steps = []
        variables = environment(entry, scope)
        for number, (one, resource) in enumerate(self._resources(entry, scope)):
            task = replace(
                step.task,
                id=f"{step.task.id}/{number}" if one.label else step.task.id,
                name=f"{step.task.name}: {one.label}" if one.label else step.task.name,
                resource=resource,
                notify=tuple(self._notified(entry, scope)),
                register=entry.register or ("ansible_facts" if resource_class(one.kind).tells_facts else ""),
                files=one.files,
                user=self._user(entry, scope),
                environment=revealed(variables),
                secrets=parts_of([one.args, variables]),
                changed=constant(entry.changed_when),
                failed=False if constant(entry.failed_when) is False else None,
                check=entry.check_mode,
            )
            steps.append(Step(task))
        return Round(steps, scope=scope)

    def _resources(self, entry: Entry, scope: Scope) -> Iterator[tuple[Prepared, Resource]]:
        """What it asks for on this host: one, unless a directory is spread out."""
        if entry.resource is not None:
            yield Prepared(entry.kind, entry.args), entry.resource
            return
        args = without_omitted(self.arguments(entry, scope))
        with _quoting(parts_of(args)):
            for one in prepared(entry.kind, args, scope, entry.where):
                yield one, module_args.build(one.kind, revealed(one.args), entry.where)

    def _ask_ahead(self, entry: Entry, args: Mapping[str, Any], scope: Scope) -> None:
        """Raise what an expression waits for now, while the batch can still be sent and the scope made anew."""
        for name, one in module_args.fields_of(entry.kind).items():
            given = args.get(name) if one.expression else None
            for text in given if isinstance(given, list) else [given]:
                if isinstance(text, str):
                    with contextlib.suppress(Unready, MnemoError):  # said when the task is done
                        copied(render("{{ " + text + " }}", scope, entry.where), lenient=True)

    def arguments(self, entry: Entry, scope: Scope) -> dict[str, Any]:
        """Its arguments rendered; those that are expressions themselves stay as they are."""
        known = module_args.fields_of(entry.kind)
        raw = {name for name, one in known.items() if one.expression}
        found = {}
        for name, value in entry.args.items():
            where = entry.args.where(name) if isinstance(entry.args, Table) else entry.where
            key = render(name, scope, where)
            key = key if isinstance(key, str) else str(key)
            found[key] = value if name in raw else render(value, scope, where)
            if key in known:  # before a file of the controller is looked for under it
                module_args.refuse_nul(key, found[key], where)
        return found

    def _user(self, entry: Entry, scope: Scope) -> str:
        host = self._state.host
        says = None if entry.delegate_to else host.become
        if entry.become if says is None else says:
            own = None if entry.delegate_to else host.become_user
            wanted = own or str(render(entry.become_user, scope, entry.where))
            module_args.refuse_nul("become_user", wanted, entry.where)
        else:  # the one who came in: here that is whoever runs this
            wanted = pwd.getpwuid(os.geteuid()).pw_name if entry.delegate_to else self.user.login
        return "" if wanted == self.user.agent and not entry.delegate_to else wanted

    def _notified(self, entry: Entry, scope: Scope) -> Iterator[str]:
        """Names of handlers, those of templates looked up now."""
        for wanted in entry.notify:
            if wanted in self._play.topics:
                yield wanted
                continue
            texts = render(wanted, scope, entry.where)
            for text in texts if isinstance(texts, list) else [texts]:
                found = listeners(str(text), self._play.topics)
                if not found:
                    raise PlaybookError(f"no handler is called '{text}'", where=entry.where)
                yield from found


@contextlib.contextmanager
def _quoting(secrets: frozenset[str]) -> Iterator[None]:
    """An error may quote an argument, but nothing secret of it."""
    try:
        yield
    except MnemoError as problem:
        problem.message, problem.hint = hidden(problem.message, secrets), hidden(problem.hint, secrets)
        raise


def environment(entry: Entry, scope: Scope) -> dict[str, str]:
    """Variables for the programs of a task, innermost last."""
    found: dict[str, str] = {}
    for one in entry.environment:
        rendered = without_omitted(render(one, scope, entry.where))
        if not isinstance(rendered, Mapping):
            raise TemplateError("'environment' should be a mapping", where=entry.where)
        found.update({str(key): value if isinstance(value, str) else str(value) for key, value in rendered.items()})
    module_args.refuse_nul("environment", found, entry.where)
    for key in found:
        if not key or "=" in key:
            raise TemplateError(f"'environment': {key!r} is not a valid name for a variable", where=entry.where)
    return found


def constant(expressions: Sequence[str]) -> Optional[bool]:
    """What expressions come to when no variable is read; ``None`` when there are none, or it depends."""
    words = {"true": True, "yes": True, "false": False, "no": False}
    known = [words.get(text.lower()) for text in expressions]
    return all(known) if known and None not in known else None


def loop_variables(loop: Loop, found: Sequence[Any], number: int) -> dict[str, Any]:
    """What one item of a loop adds to the scope."""
    names: dict[str, Any] = {loop.var: found[number], "ansible_loop_var": loop.var}
    if loop.index_var:
        names |= {loop.index_var: number, "ansible_index_var": loop.index_var}
    if loop.extended:
        count = len(found)
        names["ansible_loop"] = {
            "index": number + 1, "index0": number, "revindex": count - number, "revindex0": count - number - 1,
            "first": number == 0, "last": number == count - 1, "length": count, "allitems": list(found),
            **({"previtem": found[number - 1]} if number else {}),
            **({"nextitem": found[number + 1]} if number + 1 < count else {}),
        }  # fmt: skip
    return names


def items(loop: Loop, scope: Scope, where: str) -> list[Any]:
    """What a loop goes through. :raises TemplateError: it is not a list (2)."""
    found = render(loop.items, scope, where)
    if loop.lookup == "items":
        return flatten(found if isinstance(found, list) else [found], levels=1)
    if loop.lookup and loop.lookup != "list":
        terms = found if isinstance(found, list) else [found]
        inner = scope.plus({"_terms": terms}, final=True)
        found = render("{{ query('" + loop.lookup + "', *_terms) }}", inner, where)
    if not isinstance(found, list):
        hint = "use the filter dict2items" if isinstance(found, dict) else ""
        raise TemplateError(f"'loop' needs a list, not {_short(found)}", where=where, hint=hint)
    return found


def title(entry: Entry, scope: Scope) -> str:
    """The task's name, rendered when it can be: no name is worth a failure, or a round trip."""
    try:
        return str(hidden(render(entry.name, scope)))
    except (NoValue, TemplateError):
        return entry.name


def unsent(id: str, entry: Entry) -> Task:
    """An entry before it is rendered."""
    return Task(id, entry.name, NOTHING, entry.where, no_log=bool(entry.no_log))


def _read(text: str) -> set[str]:
    return variables_of("{{ " + text + " }}")


def _short(value: Any) -> str:
    value = hidden(value)
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."
