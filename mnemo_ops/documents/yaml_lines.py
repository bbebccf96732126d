"""YAML whose mappings and lists remember their file and lines, so that every later error can say where."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Collection, Hashable, Optional, Sequence, Type

import yaml
from yaml.constructor import ConstructorError

from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.core.paths import shown
from mnemo_ops.core.secret_text import SecretText, revealed, seal
from mnemo_ops.core.suggest import suggest
from mnemo_ops.errors import PlaybookError, UsageError, reason
from mnemo_ops.vault.cipher import Vaulted, is_encrypted, keyring

try:
    from yaml import CSafeLoader as _Base
except ImportError:  # PyYAML built without libyaml: the same language, slower
    from yaml import SafeLoader as _Base  # type: ignore[assignment]


@dataclass(frozen=True)
class Unsafe:
    """An ``!unsafe`` text of a file: data, whatever braces it holds."""

    text: str

    def reveal(self) -> str:
        return self.text


@dataclass(frozen=True)
class Tagged:
    """A value under a tag that its reader asked for: ``!override [...]``."""

    tag: str
    value: Any


# texts that are true or false, in any case
YES, NO = ("true", "yes", "on", "1", "y", "t"), ("false", "no", "off", "0", "n", "f")


class Placed(str):
    """A text that knows its place, for what is read far from where it was written."""

    where: str

    def __new__(cls, text: str, where: str) -> Placed:
        placed = super().__new__(cls, text)
        placed.where = where
        return placed


class Rows(list[Any]):
    """A list of a file; ``lines`` are those of its items, counted from 1."""

    def __init__(self, file: str, line: int, error: Type[UsageError] = PlaybookError) -> None:
        super().__init__()
        self.file, self.line, self.error = file, line, error
        self.lines: list[int] = []

    def where(self, index: int) -> str:
        return f"{self.file}:{self.lines[index]}"


class Table(dict[Any, Any]):
    """A mapping of a file; ``lines`` are those of its keys. Its readers raise ``error`` with file and line."""

    def __init__(self, file: str, line: int, error: Type[UsageError] = PlaybookError) -> None:
        super().__init__()
        self.file, self.line, self.error = file, line, error
        self.lines: dict[Any, int] = {}
        self.decimal: set[Any] = set()  # keys whose whole numbers were written without a leading zero

    def copy(self) -> Table:
        made = Table(self.file, self.line, self.error)
        made.update(self)
        made.lines, made.decimal = dict(self.lines), set(self.decimal)
        return made

    def where(self, key: Any = None) -> str:
        return f"{self.file}:{self.lines.get(key, self.line)}"

    def fail(self, message: str, key: Any = None, hint: str = "") -> UsageError:
        """The error to raise for ``key``."""
        return self.error(message, where=self.where(key), hint=hint)

    def _wrong(self, key: str, wanted: str) -> UsageError:
        return self.fail(f"'{key}' should be {wanted}, not {shape(self[key])}", key)

    def text(self, key: str, default: str = "") -> str:
        value = self.get(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            raise self._wrong(key, "a text")
        return str(value)

    def flag(self, key: str, default: bool = False) -> bool:
        value = self.get(key)
        if value is None:
            return default
        word = str(value).lower() if isinstance(value, (bool, int, str)) else ""
        if word not in (*YES, *NO):
            raise self._wrong(key, "true or false")
        return word in YES

    def texts(self, key: str) -> tuple[str, ...]:
        """A text or a list of texts."""
        value = self.get(key)
        items = [] if value is None else value if isinstance(value, list) else [value]
        if any(isinstance(item, bool) or not isinstance(item, (str, int, float)) for item in items):
            raise self._wrong(key, "a text or a list of texts")
        return tuple(str(item) for item in items)

    def choices(self, key: str) -> tuple[tuple[str, ...], ...]:
        """A text or a list of texts and of lists of texts: of such a list one will do."""
        value = self.get(key)
        items = [] if value is None else value if isinstance(value, list) else [value]
        found = [item if isinstance(item, list) else [item] for item in items]
        if any(not isinstance(text, str) for item in found for text in item) or [] in found:
            raise self._wrong(key, "a text or a list of texts")
        return tuple(tuple(item) for item in found)

    def rows(self, key: str) -> Rows:
        value = self.get(key)
        if value is None:
            return Rows(self.file, self.line, self.error)
        if not isinstance(value, Rows):
            raise self._wrong(key, "a list")
        return value

    def table(self, key: str) -> Table:
        value = self.get(key)
        if value is None:
            return Table(self.file, self.lines.get(key, self.line), self.error)
        if not isinstance(value, Table):
            raise self._wrong(key, "a mapping")
        return value

    def only(self, what: str, known: Collection[str], later: Collection[str] = ()) -> None:
        """Refuse any other key of ``what`` (with article); ``later``: those of Ansible we do not have yet."""
        for key in self:
            if key in known:
                continue
            if key in later:
                raise self.fail(f"'{key}' of {what} is not supported yet", key)
            raise self.fail(f"unknown key {key!r} in {what}", key, suggest(str(key), {*known, *later}))

    def names(self, what: str) -> None:
        """Refuse keys that cannot name a variable."""
        for key in self:
            if not isinstance(key, str) or not key.isidentifier():
                hint = "letters, digits and underscores, a letter first"
                raise self.fail(f"{key!r} is not a valid name for a variable in {what}", key, hint)


def place_of(data: Any, keys: Sequence[Any]) -> str:
    """``file:line`` of the deepest key on a way through mappings of a file; empty where none was read from one."""
    found = ""
    for key in keys:
        if not isinstance(data, dict) or key not in data:
            break
        found = data.where(key) if isinstance(data, Table) else found
        data = data[key]
    return found


def shape(value: Any) -> str:
    """What a value is, in YAML's words, for error messages."""
    if value is None or isinstance(value, Vaulted):
        return "empty" if value is None else "an encrypted value"
    if isinstance(value, SecretText):
        return "a secret value"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (dict, list)):
        return "a mapping" if isinstance(value, dict) else "a list"
    return repr(value) if len(repr(value)) <= 60 else repr(value)[:57] + "..."


class _Loader(_Base):
    """Safe YAML as Ansible reads it; dates stay text."""

    file = ""
    error: Type[UsageError] = PlaybookError
    tags: Collection[str] = ()
    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in rules if tag != "tag:yaml.org,2002:timestamp"]
        for first, rules in _Base.yaml_implicit_resolvers.items()
    }

    def table(self, node: yaml.MappingNode) -> Table:
        table = Table(self.file, node.start_mark.line + 1, self.error)
        own = [pair for pair in node.value if pair[0].tag != "tag:yaml.org,2002:merge"]
        for key_node, _ in own:
            self._key(table, key_node)
        self.flatten_mapping(node)
        for key_node, value_node in node.value:
            key = self.construct_object(key_node, deep=True)
            table.lines.setdefault(key, key_node.start_mark.line + 1)
            table[key] = self.construct_object(value_node, deep=True)
            if value_node.tag == "tag:yaml.org,2002:int" and value_node.value[0] != "0":
                table.decimal.add(key)
        return table

    def _key(self, table: Table, node: yaml.Node) -> None:
        where = f"{self.file}:{node.start_mark.line + 1}:{node.start_mark.column + 1}"
        if isinstance(node, yaml.MappingNode):
            raise self.error("a value that begins with '{{' must be quoted", where=where, hint='write "{{ name }}"')
        key = self.construct_object(node, deep=True)
        if not isinstance(key, Hashable):
            raise self.error("a list cannot be a key", where=where)
        if key in table.lines:
            raise self.error(f"duplicate key '{key}'; it is already on line {table.lines[key]}", where=where)
        table.lines[key] = node.start_mark.line + 1

    def items(self, node: yaml.SequenceNode) -> Rows:
        rows = Rows(self.file, node.start_mark.line + 1, self.error)
        for item in node.value:
            rows.lines.append(item.start_mark.line + 1)
            rows.append(self.construct_object(item, deep=True))
        return rows

    def number(self, node: yaml.ScalarNode) -> float:
        value = float(self.construct_yaml_float(node))
        if not math.isfinite(value):
            raise ConstructorError(None, None, "infinity and not-a-number cannot be sent to a host", node.start_mark)
        return value

    def vaulted(self, node: yaml.ScalarNode) -> Vaulted:
        lines = [line.strip() for line in str(self.construct_scalar(node)).strip().splitlines()]
        if not is_encrypted("\n".join(lines)):
            raise ConstructorError(None, None, "the value of '!vault' is not encrypted", node.start_mark)
        return Vaulted("\n".join(lines), f"{self.file}:{node.start_mark.line + 1}")

    def unsafe(self, node: yaml.ScalarNode) -> Unsafe:
        if not isinstance(node, yaml.ScalarNode):
            raise ConstructorError(None, None, "'!unsafe' needs a text", node.start_mark)
        return Unsafe(str(self.construct_scalar(node)))

    def other(self, suffix: str, node: yaml.Node) -> Tagged:
        if suffix not in self.tags:
            raise ConstructorError(None, None, f"the tag '!{suffix}' is not supported yet", node.start_mark)
        tag = self.resolve(type(node), node.value, (True, False))  # type: ignore[no-untyped-call]
        inner = type(node)(tag, node.value, node.start_mark, node.end_mark)
        return Tagged(suffix, self.construct_object(inner, deep=True))


_Loader.add_constructor("tag:yaml.org,2002:map", _Loader.table)
_Loader.add_constructor("tag:yaml.org,2002:seq", _Loader.items)
_Loader.add_constructor("tag:yaml.org,2002:float", _Loader.number)
_Loader.add_constructor("!vault", _Loader.vaulted)
_Loader.add_constructor("!vault-encrypted", _Loader.vaulted)
_Loader.add_constructor("!unsafe", _Loader.unsafe)
_Loader.add_multi_constructor("!", _Loader.other)


def read(path: Path, error: Type[UsageError] = PlaybookError, where: str = "") -> str:
    """Text of a file, decrypted when it is a vault.

    :raises UsageError: (``error``) it is missing, unreadable or not UTF-8 (2). :raises VaultError: it stays closed (2).
    """
    try:
        text = path.read_text("utf-8")
        return SecretText(keyring().reveal(text, shown(path))) if is_encrypted(text) else text
    except UnicodeDecodeError as problem:
        line = problem.object.count(b"\n", 0, problem.start) + 1
        raise error("this is not UTF-8 text", where=f"{shown(path)}:{line}") from None
    except OSError as problem:
        raise error(f"{shown(path)} cannot be read: {reason(problem)}", where=where) from None


def load(path: Path, error: Type[UsageError] = PlaybookError, where: str = "", tags: Collection[str] = ()) -> Any:
    """The document in a YAML file: :class:`Table`, :class:`Rows` or a scalar; ``None`` when it is empty.

    :param where: who asked for this file, for the error when it cannot be read.
    :param tags: names of tags whose values are :class:`Tagged`; any other unknown tag is an error.
    :raises UsageError: (``error``) with file, line and column (2).
    """
    return loads(read(path, error, where), shown(path), error, tags)


def loads(text: str, file: str, error: Type[UsageError] = PlaybookError, tags: Collection[str] = ()) -> Any:
    """As :func:`load`, for text already read from ``file``."""
    loader: Optional[_Loader] = None
    try:
        loader = _Loader(revealed(text))
        loader.file, loader.error, loader.tags = file, error, tags
        data = loader.get_single_data()
        if isinstance(text, SecretText):
            keyring().learn(seal(data))
        return data
    except yaml.MarkedYAMLError as problem:
        # what was left open is found at its end, which may be far below
        left_open = problem.context is not None and ("quoted scalar" in problem.context or "flow" in problem.context)
        mark = (left_open and problem.context_mark) or problem.problem_mark or problem.context_mark
        place = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else file
        said = ", ".join(part for part in (problem.context, problem.problem) if part)
        raise error(f"not valid YAML: {said}", where=place) from None
    except (yaml.YAMLError, ValueError, RecursionError) as problem:  # control characters; impossible numbers; depth
        raise error(f"not valid YAML: {reason(problem).splitlines()[0]}", where=file) from None
    finally:
        if loader is not None:
            loader.dispose()
