"""Arguments of a kind: what exists, what was meant, and whether the values fit. The dataclass fields are the schema."""

from __future__ import annotations

import functools
import re
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Type, Union

from mnemo_ops.agent.base import record
from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.engine.resource import Resource, resource_class
from mnemo_ops.core.suggest import nearest, suggest
from mnemo_ops.documents.yaml_lines import NO, YES, Table, shape
from mnemo_ops.errors import MnemoError, PlaybookError
from mnemo_ops.playbook import free_form
from mnemo_ops.playbook.modules import ALL, KINDS, kind_of
from mnemo_ops.templates.render import is_template

_REQUIRED = object()
# what a field may name on the controller, as its metadata says
SOURCES = ("file", "template", "script", "archive", "fragments")
# what becomes the content of a file, of a request or of a message: any character may stand there
_CONTENT = frozenset(
    ("body", "block", "content", "fail_msg", "line", "msg", "regexp", "replace", "search_string", "stdin")
)


@dataclass(frozen=True)
class Field:
    """An argument of a kind.

    :param default: what it is when not given. :param source: one of :data:`SOURCES`: a path on the controller.
    :param fills: the internal field the content of the source goes to. :param expression: Jinja without braces.
    """

    name: str
    hint: Any
    default: Any
    doc: str
    source: str = ""
    fills: str = ""
    expression: bool = False

    @property
    def required(self) -> bool:
        return self.default is _REQUIRED

    @property
    def type(self) -> str:
        return _in_words(self.hint)


@functools.cache
def fields_of(kind: str) -> Mapping[str, Field]:
    """The arguments users may give, in the order of the class."""
    cls: Any = resource_class(kind)
    hints = typing.get_type_hints(cls)
    docs = docs_of(cls)
    found: dict[str, Field] = {}
    for field in record.fields(cls):
        if field.metadata.get("internal"):
            continue
        default = field.default if field.default_factory is record.MISSING else field.default_factory()
        default = _REQUIRED if default is record.MISSING else default
        source = next((one for one in SOURCES if one in field.metadata), "")
        fills = field.metadata.get(source, "")
        expression = bool(field.metadata.get("expression"))
        doc = docs.get(field.name, "")
        found[field.name] = Field(field.name, hints[field.name], default, doc, source, fills, expression)
    return found


def docs_of(cls: type) -> dict[str, str]:
    parts = re.split(r"(?<!\S):(?:param|raises|returns)\s*([\w ]*):", cls.__doc__ or "")
    return {name: " ".join(text.split()) for name, text in zip(parts[1::2], parts[2::2])}


def _attribute(kind: str, name: str, default: Any) -> Any:
    return getattr(resource_class(kind), name, default)


# -- names ---------------------------------------------------------------------------------------------------------


def named(kind: str, args: Any, where: str) -> Table:
    """The arguments under their own names: free form and aliases resolved.

    :param args: what stands behind the kind in a playbook.
    :raises PlaybookError: an unknown or doubled argument, with its line and the nearest valid name (2).
    """
    table = _mapping(kind, args, where)
    known = fields_of(kind)
    aliases: Mapping[str, str] = _attribute(kind, "ALIASES", {})
    result = Table(table.file, table.line)
    for key, value in table.items():
        name = aliases.get(key, key)
        if name not in known and _attribute(kind, "OPEN", False) and (str(key).isidentifier() or is_template(key)):
            result[key], result.lines[key] = value, table.lines.get(key, table.line)
            continue
        if name not in known:
            hint = suggest(str(key), [*known, *aliases], few=25)
            raise table.fail(f"{kind} has no argument {key!r}", key, hint or f"invoke docs {kind}")
        if name in result:
            raise table.fail(f"{kind}: '{key}' and '{name}' are two names of one argument; give one of them", key)
        result[name], result.lines[name] = value, table.lines.get(key, table.line)
        if key in table.decimal:
            result.decimal.add(name)
    return result


def takes(kind: str, key: Any) -> bool:
    """Whether a kind has an argument of this name, its own or an alias."""
    return key in fields_of(kind) or key in _attribute(kind, "ALIASES", {})


def _mapping(kind: str, args: Any, where: str) -> Table:
    if isinstance(args, Table):
        return args
    file, _, line = where.rpartition(":")
    table = Table(file, int(line))
    if args is None:
        return table
    free: str = _attribute(kind, "FREE_FORM", "")
    found: Mapping[str, Any] | None = None
    if isinstance(args, str) and free:
        cmd, inline = free_form.split(args, _attribute(kind, "INLINE", ()))
        found = {**({free: cmd} if cmd else {}), **inline}
    elif isinstance(args, str):
        found = free_form.pairs(args)
    if found is None:
        hint = f"write {kind}: {{name: value}}; `invoke docs {kind}` lists the arguments"
        raise PlaybookError(f"the arguments of {kind} should be a mapping, not {shape(args)}", where=where, hint=hint)
    for name, value in found.items():
        table[name], table.lines[name] = value, int(line)
    return table


# -- values --------------------------------------------------------------------------------------------------------


def check(kind: str, args: Table) -> None:
    """Everything about arguments that can be known before they are rendered. :raises PlaybookError: (2)."""
    for name, field in fields_of(kind).items():
        if field.required and name not in args:
            raise args.fail(f"{kind} needs the argument '{name}'", hint=f"invoke docs {kind}")
    _meant_as_octal(args)
    given = {name: value for name, value in args.items() if name in fields_of(kind)}
    values = {name: value for name, value in given.items() if not is_template(value)}
    values = {name: _checked(kind, name, value, args.where(name)) for name, value in values.items()}
    if len(values) == len(given):
        _make(kind, values, args.where())


def _meant_as_octal(args: Table) -> None:
    """Ansible takes ``mode: 644`` for the decimal number it is in YAML, 01204, which nobody ever meant."""
    for name in args.decimal & {"mode", "directory_mode"}:
        if re.fullmatch("[1-7][0-7]{2,3}", text := str(args[name])):
            hint = f"write '{text:0>4}' in quotes"
            raise args.fail(f"{name}: {text} is a decimal number: it would be the mode {args[name]:04o}", name, hint)


def build(kind: str, args: Mapping[str, Any], where: str) -> Resource:
    """The resource of rendered arguments, internal fields included. :raises PlaybookError: a value does not fit (2)."""
    known = fields_of(kind)
    for name, field in known.items():
        if field.required and name not in args:
            raise PlaybookError(f"{kind} needs the argument '{name}'", where=where, hint=f"invoke docs {kind}")
    values = {name: value for name, value in args.items() if name in known or not _attribute(kind, "OPEN", False)}
    for name in known.keys() & args.keys():
        if isinstance(args[name], bool) and _accepts(known[name].hint, str) and not _accepts(known[name].hint, bool):
            # as a text it is what "{{ x }}" renders to, in Ansible as here
            values[name] = _word(known[name].hint, args[name]) or str(args[name])
        values[name] = _checked(kind, name, values[name], where)
    return _make(kind, values, where)


def constant(kind: str, args: Mapping[str, Any], where: str) -> Resource | None:
    """The resource every host is asked for; ``None`` when something has to be rendered, or lies on the controller.

    :raises PlaybookError: a value does not fit (2).
    """
    if resource_class(kind).on_controller or is_template(args):
        return None
    if any(one.source and args.get(one.name) for one in fields_of(kind).values()):
        return None
    return build(kind, args, where)


def _make(kind: str, values: Mapping[str, Any], where: str) -> Resource:
    try:
        return resource_class(kind)(**values)
    except (ValueError, TypeError, MnemoError) as problem:
        raise PlaybookError(f"{kind}: {problem}", where=where, hint=f"invoke docs {kind}") from None


def refuse_nul(name: str, value: Any, where: str) -> None:
    """Paths, words of programs and their variables end at a NUL. :raises PlaybookError: there is one (2)."""
    if isinstance(value, str):
        if "\0" in value and name not in _CONTENT:
            raise PlaybookError(
                f"'{name}' holds a NUL character; no path and no argument of a program can hold one", where=where
            )
    elif isinstance(value, (Mapping, list, tuple)):
        for one in (*value, *value.values()) if isinstance(value, Mapping) else value:
            refuse_nul(name, one, where)


def _checked(kind: str, name: str, value: Any, where: str) -> Any:
    """The value as the field's type, converted as Ansible converts: ``a,b`` to a list, 5 to "5", "yes" to true."""
    refuse_nul(name, value, where)
    hint = fields_of(kind)[name].hint
    if _fits(hint, value):
        return list(value) if isinstance(value, list) else value
    if isinstance(value, bool) and (word := _word(hint, value)):
        return word
    from pydantic import ValidationError  # a quarter of a second nobody waits for whose values are what they should be

    wanted = f"'{name}' of {kind} should be {_in_words(hint)}, not {shape(value)}"
    if isinstance(value, (bool, float)) and not _accepts(hint, type(value)):
        raise PlaybookError(
            wanted, where=where, hint="write it in quotes, or use | string" if _accepts(hint, str) else ""
        )
    if _accepts(hint, list) and not isinstance(value, (list, dict, type(None))) and not _accepts(hint, str):
        value = [part.strip() for part in value.split(",")] if isinstance(value, str) else [value]
    try:
        return _adapter(kind, name).validate_python(value)
    except ValidationError as problem:
        words = [str(word) for word in _words(hint)]
        near = nearest(value, words) if isinstance(value, str) else ""
        inside = "" if not problem.errors()[0]["loc"] or not isinstance(value, (list, dict)) else _inside(problem)
        raise PlaybookError(wanted + inside, where=where, hint=f"did you mean '{near}'?" if near else "") from None


def _inside(problem: Any) -> str:
    first = problem.errors()[0]
    places = [str(part) for part in first["loc"] if not str(part).endswith("]")]
    return f" ({'.'.join(places)}: {first['msg'][0].lower() + first['msg'][1:]})"


@functools.cache
def _adapter(kind: str, name: str) -> Any:
    from pydantic import ConfigDict, TypeAdapter

    return TypeAdapter(fields_of(kind)[name].hint, config=ConfigDict(coerce_numbers_to_str=True))


def alternatives(hint: Any) -> Sequence[Any]:
    return typing.get_args(hint) if typing.get_origin(hint) in (Union, types.UnionType) else (hint,)


def _accepts(hint: Any, wanted: Type[Any]) -> bool:
    for one in alternatives(hint):
        origin = typing.get_origin(one) or one
        if origin is Any or origin is wanted or (origin is Literal and any(type(w) is wanted for w in _words(one))):
            return True
        if wanted is list and origin in (tuple, Sequence, set, frozenset):
            return True
    return False


def _fits(hint: Any, value: Any) -> bool:
    """Whether a value is of one of the types as it stands; where this cannot say yes, pydantic has to look."""
    for one in alternatives(hint):
        origin = typing.get_origin(one)
        if type(value) is one:
            return one in (str, bool, int, float, type(None))
        if origin is Literal and any(type(word) is type(value) and word == value for word in _words(one)):
            return True
        if origin is list and isinstance(value, list) and all(type(item) is str for item in value):
            return typing.get_args(one) == (str,)
    return False


def _word(hint: Any, value: bool) -> str:
    """The one of its words that YAML takes for this truth; empty when there is none, or there are several."""
    meant = [str(word) for word in _words(hint) if word in (YES if value else NO)]
    return meant[0] if len(meant) == 1 else ""


def _words(hint: Any) -> list[Any]:
    """Values of its ``Literal`` alternatives."""
    found = [one for one in alternatives(hint) if typing.get_origin(one) is Literal]
    return [word for one in found for word in typing.get_args(one)]


def truth(value: Any) -> Any:
    """A flag that may still be a template: true, false, or ``None`` when nobody can tell yet."""
    if is_template(value):
        return None
    return value if isinstance(value, bool) else str(value).lower() in YES


def _visible(word: str) -> str:
    """A line break as people write it."""
    return word.replace("\r", "\\r").replace("\n", "\\n")


_NAMES = {str: "a text", int: "a whole number", float: "a number", bool: "true or false", Any: "any value"}


def _in_words(hint: Any) -> str:
    """A type in the words of a playbook."""
    parts = list(dict.fromkeys(_visible(str(word)) for word in _words(hint)))
    for one in alternatives(hint):
        origin = typing.get_origin(one) or one
        if origin in _NAMES:
            parts.append(_NAMES[origin])
        elif origin not in (Literal, type(None)):
            inner = [argument for argument in typing.get_args(one) if argument is not Ellipsis]
            many = f" of {_in_words(inner[-1]).replace('a text', 'texts')}" if inner and inner[-1] is not Any else ""
            parts.append(("a mapping" if issubclass(origin, Mapping) else "a list") + many)
    return " or ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


# -- documentation -------------------------------------------------------------------------------------------------


def summary(kind: str) -> str:
    """What a kind is, in one line."""
    return " ".join((resource_class(kind).__doc__ or "").split("\n\n")[0].split())


def describe(kind: str) -> str:
    """The page of ``invoke docs KIND``. :raises PlaybookError: there is no such kind (2)."""
    name = kind_of(kind)
    if not name:
        raise PlaybookError(f"there is no module '{kind}'", hint=suggest(kind, KINDS, few=0) or ALL)
    lines = [f"{name}: {summary(name)}", ""]
    aliases: Mapping[str, str] = _attribute(name, "ALIASES", {})
    for field in fields_of(name).values():
        given = "optional" if field.default is None else f"default {shape(field.default)}"
        default = "required" if field.required else given
        also = ", ".join(alias for alias, target in aliases.items() if target == field.name)
        lines.append(f"  {field.name}: {field.type}; {default}" + (f"; also called {also}" if also else ""))
        lines.extend([f"      {field.doc}"] if field.doc else [])
    example: str = _attribute(name, "EXAMPLE", "")
    return "\n".join([*lines, "", "Example:", "", *("  " + line for line in str(example).splitlines())]).rstrip() + "\n"
