"""Filters that write data as text and read it back: JSON, YAML, base64, URLs; and conversions."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Iterable, Mapping
from typing import Any, Callable, Optional
from urllib.parse import unquote_plus, urlsplit

import yaml
from jinja2 import Undefined
from jinja2.exceptions import UndefinedError

from mnemo_ops.core.secret_text import SecretText, derived, revealed, seal
from mnemo_ops.templates.undefined import copied

_TRUE = frozenset({"true", "yes", "on", "1"})
_NAMES = "361e6d51-faec-444a-9079-341386da8e2e"  # the name space to_uuid documents as its default
_URL = ("fragment", "hostname", "netloc", "password", "path", "port", "query", "scheme", "username")


def to_bool(value: Any) -> bool:
    return value if isinstance(value, bool) else value == 1 or str(value).lower() in _TRUE


def ternary(value: Any, true_val: Any, false_val: Any, none_val: Any = None) -> Any:
    if value is None and none_val is not None:
        return none_val
    return true_val if bool(value) else false_val


def mandatory(value: Any, msg: Optional[str] = None) -> Any:
    if isinstance(value, Undefined):
        raise UndefinedError(msg or f"mandatory variable {value._undefined_name!r} is not defined")
    return value


def plain(value: Any) -> Any:
    """What JSON and YAML have no word for, as what they have: mappings, generators."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Iterable):
        return list(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON or YAML")


def to_json(value: Any, vault_to_text: bool = False, preprocess_unsafe: bool = False, **options: Any) -> str:
    given = value = copied(value)
    if options.get("sort_keys"):
        value = json.loads(json.dumps(value, default=plain))  # keys are texts then, which can be sorted
    return derived(json.dumps(value, default=plain, **options), given)  # type: ignore[no-any-return]


def to_nice_json(value: Any, indent: int = 4, sort_keys: bool = True, **options: Any) -> str:
    return to_json(value, indent=indent, sort_keys=sort_keys, separators=(",", ": "), **options)


class _Dumper(yaml.SafeDumper):
    """Lists and mappings of a file are plain data, and nothing is written as a reference to what was there before."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_plain(self, value: Any) -> yaml.Node:
        return self.represent_data(plain(value))


_Dumper.add_multi_representer(dict, yaml.SafeDumper.represent_dict)
_Dumper.add_multi_representer(list, yaml.SafeDumper.represent_list)
_Dumper.add_multi_representer(str, yaml.SafeDumper.represent_str)
_Dumper.add_multi_representer(object, _Dumper.represent_plain)


def to_yaml(value: Any, default_flow_style: Optional[bool] = None, **options: Any) -> str:
    style = {"allow_unicode": True, "default_flow_style": default_flow_style, **options}
    # PyYAML reads a text character by character, and each of a secret text would be one itself
    value = copied(value)
    text: str = yaml.dump(revealed(value), Dumper=_Dumper, **style)
    # a text alone gets an end mark from YAML's own writer
    text = text.removesuffix("...\n") if isinstance(value, str) else text
    return derived(text, value)  # type: ignore[no-any-return]


def to_nice_yaml(value: Any, indent: int = 4, **options: Any) -> str:
    return to_yaml(value, **{"default_flow_style": False, "indent": indent, **options})


class _Loader(yaml.SafeLoader):
    """Dates stay text, as in files."""

    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in rules if tag != "tag:yaml.org,2002:timestamp"]
        for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def from_yaml(value: Any) -> Any:
    return _read(value, lambda text: yaml.load(text, _Loader)) if isinstance(value, str) else value


def from_yaml_all(value: Any) -> Any:
    return _read(value, lambda text: list(yaml.load_all(text, _Loader))) if isinstance(value, str) else value


def from_json(value: Any, **options: Any) -> Any:
    return _read(value, lambda text: json.loads(text, **options))


def _read(text: Any, parse: Callable[[Any], Any]) -> Any:
    """What a secret document holds is secret, but for names."""
    found = parse(revealed(text))
    if isinstance(text, SecretText):
        seal(found)
    return found


def b64encode(value: Any, encoding: str = "utf-8") -> str:
    return base64.b64encode(str(value).encode(encoding)).decode("ascii")


def b64decode(value: str, encoding: str = "utf-8") -> str:
    return base64.b64decode(value).decode(encoding)


def to_uuid(value: str, namespace: str = _NAMES) -> str:
    return str(uuid.uuid5(uuid.UUID(namespace), value))


def split_url(value: str, query: str = "") -> Any:
    if query and query not in _URL:
        raise ValueError(f"urlsplit: a URL has no '{query}'; it has {', '.join(_URL)}")
    parts = urlsplit(value)
    return getattr(parts, query) if query else {name: getattr(parts, name) for name in _URL}


FILTERS: dict[str, Callable[..., Any]] = {
    "b64decode": b64decode,
    "b64encode": b64encode,
    "bool": to_bool,
    "from_json": from_json,
    "from_yaml": from_yaml,
    "from_yaml_all": from_yaml_all,
    "mandatory": mandatory,
    "ternary": ternary,
    "to_json": to_json,
    "to_nice_json": to_nice_json,
    "to_nice_yaml": to_nice_yaml,
    "to_uuid": to_uuid,
    "to_yaml": to_yaml,
    "type_debug": lambda value: type(revealed(value)).__name__,
    "urldecode": unquote_plus,
    "urlsplit": split_url,
}
