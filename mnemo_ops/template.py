"""Jinja2 as Ansible uses it: variables rendered when read, one expression keeps its type, nothing undefined."""

from __future__ import annotations

import functools
import os
import traceback
from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn, Optional

from jinja2 import Environment, StrictUndefined, Template, TemplateSyntaxError, Undefined, nodes, pass_context
from jinja2 import TemplateError as JinjaError
from jinja2.exceptions import UndefinedError
from jinja2.runtime import Context
from jinja2.utils import missing

from mnemo_ops.errors import MnemoError, TemplateError
from mnemo_ops.filters import FILTERS, TESTS
from mnemo_ops.spelling import nearest, suggest
from mnemo_ops.yaml_lines import read, shown


class Unready(Exception):
    """A variable that has no value yet. Put as a value into a scope, it is raised when a template needs the value.

    :param known: what is known of the value all the same.
    """

    def __init__(self, why: str, known: Mapping[str, Any] = MappingProxyType({})) -> None:
        super().__init__(why)
        self.known = known


class _Unread:
    """What a template gets for an :class:`Unready` variable: Jinja reads variables it may never use."""

    def __init__(self, unready: Unready) -> None:
        self._unready = unready

    def _raise(self, *_: object) -> NoReturn:
        raise self._unready

    __str__ = __iter__ = __eq__ = __ne__ = _raise
    __hash__ = object.__hash__

    def __getitem__(self, name: str) -> Any:
        return self._unready.known[name] if name in self._unready.known else self._raise()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self[name]


class _Omit:
    """What ``default(omit)`` leaves: an argument that is not given."""

    def __repr__(self) -> str:
        return "omit"


OMIT = _Omit()


class _Missing(UndefinedError):
    """An undefined name, with the names that are defined in its place."""

    def __init__(self, message: str, name: Any, owner: Any) -> None:
        super().__init__(message)
        self.name = str(name)
        self.known = [str(key) for key in owner] if isinstance(owner, Mapping) else []
        self.variable = owner is missing


class _Undefined(StrictUndefined):
    """Any use is an error, except that ``a.b.c | default(x)`` may go through what is missing, as in Ansible."""

    def __init__(self, hint: Optional[str] = None, obj: Any = missing, name: Any = None, exc: Any = None) -> None:
        super().__init__(hint, obj, name, functools.partial(_Missing, name=name, owner=obj))  # type: ignore[arg-type]

    @classmethod
    def because(cls, name: str, problem: _Missing) -> _Undefined:
        """A variable whose own value reads an undefined one."""
        found = cls(name=name)
        found._undefined_exception = lambda _: problem  # type: ignore[assignment]
        return found

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __getitem__(self, name: Any) -> Any:
        return self


class _Context(Context):
    """Reads its variables from a :class:`Scope` and never copies it: copying would render every variable."""

    def get_all(self) -> Any:
        return ChainMap(self.vars, self.parent)

    def derived(self, locals: Optional[dict[str, Any]] = None) -> Context:
        known = {key: value for key, value in {**self.vars, **(locals or {})}.items() if value is not missing}
        scope = _scope(self).plus(known, final=True)
        scope.unread = _scope(self).unread
        return _Context(self.environment, scope, self.name, {})  # type: ignore[arg-type]


class Scope(Mapping[str, Any]):
    """The variables of one task: layers of which later ones win, each value rendered when it is first read.

    :param files: directories in which ``lookup('file')`` looks. :param templates: those of ``lookup('template')``.
    """

    def __init__(self, files: Sequence[Path] = (), templates: Sequence[Path] = ()) -> None:
        self.files, self.templates = files, templates
        self._values: dict[str, Any] = {}
        self._final: frozenset[str] = frozenset()  # names whose values are data, not templates
        self._done: dict[str, Any] = {}
        self.unread: list[Unready] = []  # handed out since the last rendering began
        self._open: list[str] = []  # names being rendered right now, outermost first

    def plus(self, values: Mapping[str, Any], *, final: bool = False) -> Scope:
        """A new scope with one layer on top; ``final`` values (facts, results) are never taken for templates."""
        scope = Scope(self.files, self.templates)
        scope._values = {**self._values, **values}
        scope._final = self._final | values.keys() if final else self._final - values.keys()
        return scope

    def raw(self, name: str) -> Any:
        """The value as written; ``None`` for final values and unknown names."""
        return None if name in self._final else self._values.get(name)

    def __getitem__(self, name: str) -> Any:
        if name not in self._values:
            return ENVIRONMENT.globals[name]
        value = self._values[name]
        if isinstance(value, Unready):
            self.unread.append(value)
            return _Unread(value)
        if name in self._final:
            return value
        if name not in self._done:
            if name in self._open:
                raise TemplateError(f"variable '{name}' refers to itself: {' → '.join([*self._open, name])}")
            self._open.append(name)
            try:
                self._done[name] = _render(value, self)
            except _Missing as problem:  # an error only when it is used
                return _Undefined.because(name, problem)
            finally:
                self._open.pop()
        return self._done[name]

    def __contains__(self, name: object) -> bool:
        return name in self._values or name in ENVIRONMENT.globals

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def _scope(context: Context) -> Scope:
    parent: Any = context.parent
    assert isinstance(parent, Scope)
    return parent


@pass_context
def _lookup(context: Context, kind: str, *terms: str, **options: Any) -> Any:
    """``lookup('env' | 'file' | 'template', name)``."""
    scope = _scope(context)
    name = kind.removeprefix("ansible.builtin.")
    if name == "env":
        found = [os.environ.get(term, options.get("default", "")) for term in terms]
    elif name == "file":
        found = [read(find(term, scope.files), TemplateError).rstrip() for term in terms]
    elif name == "template":
        found = [render_file(find(term, scope.templates), scope) for term in terms]
    else:
        raise TemplateError(f"lookup '{kind}' is not supported yet", hint=suggest(name, ("env", "file", "template")))
    return found[0] if len(found) == 1 else ",".join(found)


def find(name: str, directories: Sequence[Path]) -> Path:
    """The nearest file or directory of that name. :raises TemplateError: there is none (2)."""
    for directory in directories if not Path(name).is_absolute() else [Path("/")]:
        if (directory / name).exists():
            return directory / name
    places = ", ".join(shown(directory) for directory in directories) or "nowhere else"
    names = [path.name for directory in directories if directory.is_dir() for path in directory.iterdir()]
    near = nearest(Path(name).name, names)
    raise TemplateError(f"'{name}' does not exist", hint=f"did you mean '{near}'?" if near else f"looked in {places}")


def _environment() -> Environment:
    environment = Environment(undefined=_Undefined, trim_blocks=True, keep_trailing_newline=True)
    environment.context_class = _Context
    for ours, theirs in ((FILTERS, environment.filters), (TESTS, environment.tests)):
        theirs.update(ours)
        theirs.update({f"ansible.builtin.{name}": function for name, function in ours.items()})
    environment.globals.update({"lookup": _lookup, "omit": OMIT})
    return environment


ENVIRONMENT = _environment()


def is_template(value: Any) -> bool:
    """Whether a value holds Jinja anywhere."""
    if isinstance(value, str):
        return "{{" in value or "{%" in value or "{#" in value
    if isinstance(value, Mapping):
        return any(is_template(item) for pair in value.items() for item in pair)
    return isinstance(value, list) and any(is_template(item) for item in value)


def _single(tree: nodes.Template) -> Optional[nodes.Expr]:
    """The expression of ``{{ expression }}`` with nothing around it."""
    if len(tree.body) == 1 and isinstance(tree.body[0], nodes.Output) and len(tree.body[0].nodes) == 1:
        only = tree.body[0].nodes[0]
        return None if isinstance(only, nodes.TemplateData) else only
    return None


@functools.lru_cache(maxsize=8192)
def _compile(text: str) -> tuple[Template, bool]:
    """The template, and whether it is one expression, whose value it leaves in ``result``."""
    tree = ENVIRONMENT.parse(text)
    single = _single(tree)
    if single is None:
        return ENVIRONMENT.from_string(tree), False
    assign = nodes.Assign(nodes.Name("result", "store", lineno=1), single, lineno=1)
    return ENVIRONMENT.from_string(nodes.Template([assign], lineno=1)), True


def _run(template: Template, scope: Scope, single: bool = False) -> Any:
    context = template.new_context(scope, shared=True)  # type: ignore[arg-type]
    text = "".join(template.root_render_func(context))
    return _settled(context.vars["result"]) if single else text


def _settled(value: Any) -> Any:
    """Plain data: nothing undefined inside, generators as lists."""
    if isinstance(value, (Undefined, _Unread)):
        str(value)  # raises
    if isinstance(value, dict):
        return {key: _settled(item) for key, item in value.items()}
    if isinstance(value, str):
        return str(value)  # Markup
    if isinstance(value, (bytes, _Omit)) or not hasattr(value, "__iter__"):
        return value
    return [_settled(item) for item in value] if not isinstance(value, Mapping) else value


def _render(value: Any, scope: Scope) -> Any:
    if isinstance(value, str):
        return _run(_compile(value)[0], scope, _compile(value)[1]) if is_template(value) else value
    if isinstance(value, dict):
        return {_render(key, scope): _render(item, scope) for key, item in value.items()}
    return [_render(item, scope) for item in value] if isinstance(value, list) else value


def _explained(problem: Exception, scope: Mapping[str, Any], where: str) -> MnemoError:
    """The one sentence for whatever went wrong in a template."""
    if isinstance(problem, MnemoError):
        problem.where = problem.where or where
        return problem
    if isinstance(problem, _Missing):
        hint = suggest(problem.name, scope if problem.variable else problem.known, few=0)
        instead = "define it, pass --vars, or use default()" if problem.variable else ""
        return TemplateError(str(problem), where=where, hint=hint or instead)
    if isinstance(problem, TypeError) and "no loader" in str(problem):
        return TemplateError("include, import and extends in templates are not supported yet", where=where)
    if isinstance(problem, JinjaError) and not isinstance(problem, UndefinedError):
        return misspelt(problem, where)
    named = "" if isinstance(problem, UndefinedError) else f"{type(problem).__name__}: "
    return TemplateError(f"the template fails: {named}{problem}", where=where)


def misspelt(problem: JinjaError, where: str) -> TemplateError:
    """The error for text that is not a template."""
    message = str(problem.message)
    for noun, known in (("filter", ENVIRONMENT.filters), ("test", ENVIRONMENT.tests)):
        if message.startswith(f"No {noun} named"):
            name = message.split("'")[1]
            own = [one for one in known if not one.startswith("ansible.")]
            return TemplateError(f"there is no {noun} '{name}'", where=where, hint=suggest(name, own))
    return TemplateError(f"not a valid template: {message.rstrip('.')}", where=where)


def render(value: Any, scope: Scope, where: str = "") -> Any:
    """Render every template in a value; ``{{ expression }}`` alone keeps the type of the expression.

    :raises TemplateError: undefined variable, bad syntax or a failing expression (2).
    :raises Unready: it reads a variable that has no value yet.
    """
    scope.unread.clear()
    try:
        return _render(value, scope)
    except Unready:
        raise
    except Exception as problem:  # an expression may raise anything
        if scope.unread:  # a filter that met what has no value yet
            raise scope.unread[-1] from None
        raise _explained(problem, scope, where) from None


def condition(text: str, scope: Scope, where: str = "") -> bool:
    """Whether a ``when`` expression holds. Errors as :func:`render`."""
    value = render("{{ " + text + " }}", scope, where)
    if not isinstance(value, str):
        return bool(value)
    if value.lower() in ("true", "yes", "on", "1"):
        return True
    if value.lower() in ("false", "no", "off", "0", ""):
        return False
    raise TemplateError(f"'{text}' is the text {value!r}, not true or false", where=where, hint="compare it to a text")


def without_omitted(value: Any) -> Any:
    """The value without what ``default(omit)`` left out."""
    if isinstance(value, dict):
        return {key: without_omitted(item) for key, item in value.items() if item is not OMIT}
    return [without_omitted(item) for item in value if item is not OMIT] if isinstance(value, list) else value


def render_file(path: Path, scope: Scope) -> str:
    """Render a template file; its errors name the file's own line. Errors as :func:`render`."""
    template: Optional[Template] = None
    try:
        text = read(path, TemplateError)
        template = Template.from_code(
            ENVIRONMENT, ENVIRONMENT.compile(text, str(path), str(path)), ENVIRONMENT.globals, None
        )
        return str(_run(template, scope))
    except Unready:
        raise
    except TemplateSyntaxError as problem:
        raise misspelt(problem, f"{shown(path)}:{problem.lineno}") from None
    except Exception as problem:
        if scope.unread:
            raise scope.unread[-1] from None
        lines = [frame.lineno for frame in traceback.extract_tb(problem.__traceback__) if frame.filename == str(path)]
        line = template.get_corresponding_lineno(lines[-1] or 1) if template and lines else 1
        raise _explained(problem, scope, f"{shown(path)}:{line}") from None
