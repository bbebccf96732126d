"""Jinja2 as Ansible has it: a scope of variables rendered when read, its environment, compiled templates."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

import yaml
from jinja2 import BaseLoader, Environment, Template, TemplateNotFound, nodes
from jinja2.nativetypes import NativeCodeGenerator
from jinja2.runtime import Context
from jinja2.utils import missing

from mnemo_ops.core.secret_text import SecretText, derived, parts_of
from mnemo_ops.documents.yaml_lines import Unsafe, read
from mnemo_ops.errors import TemplateError
from mnemo_ops.templates.file_search import look_for
from mnemo_ops.templates.filters import FILTERS, TESTS
from mnemo_ops.templates.filters.times import now
from mnemo_ops.templates.lookups.scope import LookupScope
from mnemo_ops.templates.lookups.table import lookup, query
from mnemo_ops.templates.undefined import OMIT, Absent, Missing, NoValue, Unread, joined, settled, undef
from mnemo_ops.vault.cipher import Vaulted

Options = tuple[tuple[str, Any], ...]
# of a template file: what ``#jinja2:`` in its first line, and the arguments of the kind and of the lookup, may set
FILE_OPTIONS = (
    "block_start_string", "block_end_string", "variable_start_string", "variable_end_string", "comment_start_string",
    "comment_end_string", "newline_sequence", "trim_blocks", "lstrip_blocks",
)  # fmt: skip
_HEADER = "#jinja2:"
_JINJA = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)


class Scope(LookupScope):
    """The variables of one task: layers of which later ones win, each value rendered when it is first read.

    :param files: directories in which ``lookup('file')`` looks. :param templates: those of ``lookup('template')``.
    """

    ABSENT = "{!r} of that host is not known; its facts are, after a play of this run that has it among its hosts"

    def __init__(self, files: Sequence[Path] = (), templates: Sequence[Path] = ()) -> None:
        self.files, self.templates = files, templates
        self._values: dict[str, Any] = {}
        self._final: frozenset[str] = frozenset()  # names whose values are data, not templates
        self._done: dict[str, Any] = {}
        self.unread: list[NoValue] = []  # handed out since the last rendering began
        self.failed: list[Exception] = []  # lookups, since then
        self._open: list[str] = []  # names being rendered right now, outermost first

    def plus(self, values: Mapping[str, Any], *, final: bool = False) -> Scope:
        """A new scope with one layer on top; ``final`` values (facts, results) are never taken for templates."""
        scope = Scope(self.files, self.templates)
        scope._values = {**self._values, **values}
        scope._final = self._final | values.keys() if final else self._final - values.keys()
        return scope

    def inside(self, values: Mapping[str, Any]) -> Scope:
        """The scope of a block or an included file, with what was set outside of it."""
        scope = self.plus({key: value for key, value in values.items() if value is not missing}, final=True)
        scope.unread, scope.failed = self.unread, self.failed
        return scope

    def raw(self, name: str) -> Any:
        """The value as written; ``None`` for final values and unknown names."""
        return None if name in self._final else self._values.get(name)

    def secrets(self) -> frozenset[str]:
        """What is secret of the values that were read."""
        return parts_of([self._done, *(self._values[name] for name in self._final)])

    def run_file(self, path: Path, options: Mapping[str, Any], values: Mapping[str, Any]) -> Any:
        """As :func:`run_file` with more variables, for the lookup."""
        return run_file(path, self.inside(values), options)

    def __getitem__(self, name: str) -> Any:
        if name not in self._values:
            return ENVIRONMENT.globals[name]
        value = self._values[name]
        if isinstance(value, NoValue):
            self.unread.append(value)
            return Unread(value)
        if name in self._final:
            return value
        if name not in self._done:
            if name in self._open:
                raise TemplateError(f"variable '{name}' refers to itself: {' → '.join([*self._open, name])}")
            self._open.append(name)
            try:
                self._done[name] = evaluate(value, self)
            except Missing as problem:  # an error only when it is used
                return Absent.because(name, problem)
            finally:
                self._open.pop()
        return self._done[name]

    def __contains__(self, name: object) -> bool:
        return name in self._values or name in ENVIRONMENT.globals

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


class _Context(Context):
    """Reads its variables from a :class:`Scope` and never copies it: copying would render every variable."""

    parent: Scope  # type: ignore[assignment]

    def get_all(self) -> Any:
        return self.parent.inside(self.vars)

    def call(self, function: Any, /, *args: Any, **options: Any) -> Any:
        """What a function or a method gives, as secret as what it was given."""
        found = super().call(function, *args, **options)
        own = getattr(function, "__self__", None)
        given = [value for name, value in options.items() if name not in ("_loop_vars", "_block_vars")]
        return derived(found, own if isinstance(own, SecretText) else "", *args, *given)

    def derived(self, locals: Optional[dict[str, Any]] = None) -> Context:
        context = _Context(self.environment, self.parent.inside({**self.vars, **(locals or {})}), self.name, {})  # type: ignore[arg-type]
        context.eval_ctx = self.eval_ctx
        context.blocks.update((name, list(blocks)) for name, blocks in self.blocks.items())
        return context


class _Template(Template):
    def new_context(
        self, vars: Any = None, shared: bool = False, locals: Optional[Mapping[str, Any]] = None
    ) -> Context:
        loader = self.environment.loader
        places = loader.directories if isinstance(loader, _Loader) else ()
        scope = vars if isinstance(vars, Scope) else Scope((), places).plus(vars or {}, final=True)
        return _Context(self.environment, scope.inside(locals) if locals else scope, self.name, self.blocks)  # type: ignore[arg-type]


class _Generator(NativeCodeGenerator):
    """Hands every part on as it is, those that are known before, too: :func:`joined` makes a text, or keeps a value."""

    def _output_child_to_const(self, node: nodes.Expr, frame: Any, finalize: Any) -> Any:
        if not isinstance(node, nodes.TemplateData):
            raise nodes.Impossible()
        return super()._output_child_to_const(node, frame, finalize)

    def visit_Concat(self, node: nodes.Concat, frame: Any) -> None:
        """``a ~ b``, as secret as they are."""
        self.write("environment.spliced((")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write("))")

    def visit_Mod(self, node: nodes.BinExpr, frame: Any) -> None:
        """``a % b``: of texts, as secret as they are."""
        self.write("environment.formatted(")
        self.visit(node.left, frame)
        self.write(", ")
        self.visit(node.right, frame)
        self.write(")")


def _defined(value: Any) -> Any:
    """Where a template writes what is undefined, it fails there, so that the error can name the line."""
    if isinstance(value, (Absent, Unread)):
        str(value)
    return value


class _Loader(BaseLoader):
    """What ``include``, ``import`` and ``extends`` name."""

    def __init__(self, directories: tuple[Path, ...]) -> None:
        self.directories = directories

    def get_source(self, environment: Environment, template: str) -> tuple[str, str, Callable[[], bool]]:
        path = look_for(template, self.directories)
        if path is None or not path.is_file():
            raise TemplateNotFound(template)
        written = path.stat().st_mtime_ns
        return read(path, TemplateError), str(path), lambda: path.exists() and path.stat().st_mtime_ns == written


_TYPES = (
    "boolean", "callable", "false", "float", "integer", "mapping", "none", "number", "sameas", "sequence",
    "string", "true",
)  # fmt: skip


def _of_value(test: Any) -> Callable[..., bool]:
    """A test on the type of a value, which a value nobody has yet would answer as what it is itself."""

    @functools.wraps(test)
    def asked(value: Any, *args: Any) -> bool:
        if isinstance(value, Unread):
            str(value)  # raises
        return bool(test(value, *args))

    return asked


def _spliced(parts: Sequence[Any]) -> str:
    return derived("".join(map(str, parts)), parts)  # type: ignore[no-any-return]


def _formatted(text: Any, given: Any) -> Any:
    return derived(text % given, text, given)


def _as_secret(function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter whose result is as secret as what it was made of."""
    first = int(hasattr(function, "jinja_pass_arg"))  # the context is no data

    @functools.wraps(function)
    def filtered(*given: Any, **options: Any) -> Any:
        return derived(function(*given, **options), *given[first:], *options.values())

    return filtered


def _environment() -> Environment:
    environment = Environment(undefined=Absent, trim_blocks=True)
    environment.context_class, environment.template_class = _Context, _Template
    environment.code_generator_class = _Generator
    environment.concat = joined  # type: ignore[method-assign]
    environment.spliced, environment.formatted = _spliced, _formatted  # type: ignore[attr-defined]
    environment.finalize = _defined
    environment.tests.update({name: _of_value(environment.tests[name]) for name in _TYPES})
    for ours, theirs in ((FILTERS, environment.filters), (TESTS, environment.tests)):
        theirs.update(ours)
    environment.filters.update({name: _as_secret(function) for name, function in environment.filters.items()})
    for theirs in (environment.filters, environment.tests):
        theirs.update({f"ansible.builtin.{name}": function for name, function in list(theirs.items())})
    environment.globals.update({"lookup": lookup, "query": query, "q": query, "now": now, "undef": undef, "omit": OMIT})
    return environment


ENVIRONMENT = _environment()
_EXACT = ENVIRONMENT.overlay(keep_trailing_newline=True)


@functools.lru_cache(maxsize=256)
def _seeing(directories: tuple[Path, ...], options: Options = ()) -> Environment:
    """The environment of templates that may include others."""
    return ENVIRONMENT.overlay(loader=_Loader(directories), **dict(options))


# -- texts in YAML -------------------------------------------------------------------------------------------------


def is_template(value: Any) -> bool:
    """Whether a value is known only when it is rendered: it holds Jinja anywhere, is encrypted, or ``!unsafe``."""
    if isinstance(value, str):
        return "{{" in value or "{%" in value or "{#" in value
    if isinstance(value, Mapping):
        return any(is_template(item) for pair in value.items() for item in pair)
    if isinstance(value, (Vaulted, Unsafe)):
        return True
    return isinstance(value, list) and any(is_template(item) for item in value)


@functools.lru_cache(maxsize=4096)
def literal(text: str) -> str:
    """A text of a YAML file as Jinja should read it: there, a backslash in a string of ``{{ }}`` is a backslash."""
    if "\\" not in text or "{{" not in text:
        return text
    parts, inside = [], False
    for _, kind, part in _EXACT.lex(text):
        inside = kind == "variable_begin" or (inside and kind != "variable_end")
        if inside and kind == "string":
            quote = part[0]
            part = quote + part[1:-1].replace("\\", "\\\\").replace(quote, "\\" + quote) + quote
        parts.append(part)
    return "".join(parts)


@functools.lru_cache(maxsize=8192)
def compiled(text: str, directories: tuple[Path, ...] = ()) -> Template:
    """:param directories: where it may include from."""
    return (_seeing(directories) if directories else ENVIRONMENT).from_string(text)


def run(template: Template, scope: Scope) -> Any:
    """What a template gives: a value when it is one expression, else a text."""
    return settled(joined(template.root_render_func(template.new_context(scope, shared=True))))  # type: ignore[arg-type]


def evaluate(value: Any, scope: Scope) -> Any:
    """A value of a YAML file with everything in it rendered."""
    if isinstance(value, str):
        return _evaluate_text(value, scope) if is_template(value) else value
    if isinstance(value, (Vaulted, Unsafe)):
        return value.reveal()
    if isinstance(value, dict):
        return {evaluate(key, scope): evaluate(item, scope) for key, item in value.items()}
    return [evaluate(item, scope) for item in value] if isinstance(value, list) else value


def _evaluate_text(text: str, scope: Scope) -> Any:
    directories = tuple(scope.templates) if "{%" in text else ()
    value = _ended(text, run(compiled(literal(text), directories), scope))
    return _sealed(text, value)


def _sealed(text: str, value: Any) -> Any:
    """What a template gives, as secret as the template is: an expression alone says nothing itself."""
    if not isinstance(text, SecretText) or not isinstance(value, str) or not _JINJA.sub("", text.reveal()).strip():
        return value
    return SecretText(value) if value.strip() else value


def _ended(text: str, value: Any, newline: str = "\n") -> Any:
    """The newlines at the end of a template are those of the file, or of a block of YAML: no part of an expression."""
    if not isinstance(value, str) or not text.endswith("\n"):
        return value
    return value + newline * (_newlines(text) - _newlines(value))


def _newlines(text: str) -> int:
    return len(text) - len(text.rstrip("\n"))


# -- files ---------------------------------------------------------------------------------------------------------


def file_options(args: Mapping[str, Any]) -> dict[str, Any]:
    """Those of :data:`FILE_OPTIONS` that arguments hold and that are known."""
    found = {name: args[name] for name in FILE_OPTIONS if name in args and not is_template(args[name])}
    if "newline_sequence" in found:  # '\\n' in single quotes is meant, too
        found["newline_sequence"] = found["newline_sequence"].replace("\\n", "\n").replace("\\r", "\r")
    return found


def parsed_file(path: Path, options: Mapping[str, Any]) -> nodes.Template:
    """The syntax tree of a template file. :raises TemplateSyntaxError: it is not a template."""
    text, own = source_of(path)
    return _parsed(text, _sorted({**options, **own}))


@functools.lru_cache(maxsize=256)  # each host asks for the same files
def _parsed(text: str, options: Options) -> nodes.Template:
    return _seeing((), options).parse(text)


def _sorted(options: Mapping[str, Any]) -> Options:
    return tuple(sorted(options.items()))


def source_of(path: Path) -> tuple[str, dict[str, Any]]:
    """A template file without its ``#jinja2:`` line, and what that line sets.

    :raises TemplateError: the line, or the file, is wrong (2).
    """
    text = read(path, TemplateError)
    if not text.startswith(_HEADER):
        return text, {}
    line, _, rest = text.partition("\n")
    found = {}
    for pair in line.removeprefix(_HEADER).split(","):
        name, colon, value = pair.strip().partition(":")
        if not colon or name.strip() not in FILE_OPTIONS:
            raise TemplateError(f"'{pair.strip()}' in the line '#jinja2:' is not an option of templates")
        found[name.strip()] = yaml.safe_load(value)
    return SecretText(rest) if isinstance(text, SecretText) else rest, found


def run_file(path: Path, scope: Scope, options: Mapping[str, Any]) -> Any:
    """What a template file gives. :param options: of :data:`FILE_OPTIONS`."""
    text, own = source_of(path)
    directories = tuple(dict.fromkeys((*scope.templates, path.parent)))
    template = _compiled_file(text, str(path), directories, _sorted({**options, **own}))
    value = _ended(text, run(template, scope), template.environment.newline_sequence)
    return _sealed(text, value)


@functools.lru_cache(maxsize=256)
def _compiled_file(text: str, path: str, directories: tuple[Path, ...], options: Options) -> Template:
    environment = _seeing(directories, options)
    return environment.template_class.from_code(environment, environment.compile(text, path, path), environment.globals)
