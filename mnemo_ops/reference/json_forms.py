"""JSON Schema of single values: what a keyword takes, and what a field of a dataclass does."""

from __future__ import annotations

import typing
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from mnemo_ops.agent.base import record
from mnemo_ops.inventory import connection_vars
from mnemo_ops.playbook import module_args as schema
from mnemo_ops.playbook.context import HERE, SELF
from mnemo_ops.playbook.load import STRATEGIES

Schema = dict[str, Any]
_WORDS = ("yes", "no", "on", "off", "true", "false", "Yes", "No", "On", "Off", "True", "False", "YES", "NO")
TEXT = {"type": ["string", "number"]}
NAME = {"type": "string", "pattern": r"^[A-Za-z_]\w*$"}
ARGUMENT = {"type": ["string", "integer"]}  # a text: numbers are taken for one, fractions are not
FRACTION = {"type": "string", "pattern": r"^\s*[-+]?\d+(\.\d+)?\s*$"}
ANY: Schema = {}


def either(*schemas: Schema) -> Schema:
    return {"anyOf": list(schemas)}


def many(schema: Schema) -> Schema:
    return either(schema, {"type": "array", "items": schema})


def ref(name: str) -> Schema:
    return {"$ref": f"#/definitions/{name}"}


def _one_of(words: Iterable[str], *prefixes: str) -> Schema:
    return {"enum": [prefix + word for prefix in ("", *prefixes) for word in words]}


VARIABLES = {"type": "object", "propertyNames": NAME}
CONDITION = either({"type": ["boolean", "integer"]}, {"type": "string", "not": {"pattern": r"^$|\{\{|\{%"}})
# by the forms of keywords.py, and what else is used often; definitions of both schemas
FORMS: dict[str, Schema] = {
    "jinja": {"type": "string", "pattern": r"\{\{|\{%"},
    "truth": either(ref("flag"), {"enum": [0, 1]}),
    "whole": either({"type": "integer"}, FRACTION, ref("jinja")),
    "any": ANY,
    "text": TEXT,
    "texts": many(TEXT),
    "choices": many(many(TEXT)),
    "identifier": NAME,
    "flag": {"enum": [True, False, *_WORDS]},  # editors read YAML 1.2, where `yes` is a text
    "late_flag": either(ref("flag"), ref("jinja")),
    "number": either({"type": "number"}, FRACTION, ref("jinja")),
    "mapping": {"type": "object"},
    "action": either(TEXT, {"type": "object", "properties": {"module": TEXT}, "required": ["module"]}),
    "variables": VARIABLES,
    "conditions": many(CONDITION),
    "items": either({"type": "array"}, ref("jinja")),
    "environment": many(either({"type": "object"}, ref("jinja"))),
    "batches": many(either({"type": "integer", "minimum": 1}, {"type": "string", "pattern": r"^\d+%?$"})),
    "sudo": _one_of(("sudo",), "ansible.builtin."),
    "strategy": _one_of(STRATEGIES, "ansible.builtin."),
    "connection": _one_of(connection_vars.CONNECTIONS, "ansible.builtin."),
    "order": _one_of(("inventory",)),
    "here": _one_of((*HERE, *SELF)),
}


SIMPLE: dict[Any, Schema] = {
    type(None): {"type": "null"},
    bool: ref("truth"),
    int: ref("whole"),
    float: ref("number"),
    str: ARGUMENT,
    Any: ANY,
}


def of_type(hint: Any) -> Schema:
    """Values a field of this type takes, as Ansible converts them: ``a,b`` as a list, 5 as a text; or a template."""
    found = [form for one in schema.alternatives(hint) for form in _forms(one)]
    return ANY if ANY in found else either(*found, ref("jinja"))


def _forms(one: Any) -> list[Schema]:
    origin, inner = typing.get_origin(one) or one, typing.get_args(one)
    if origin is Literal:
        return [{"enum": list(inner)}]
    if origin in SIMPLE:
        return [SIMPLE[origin]]
    if record.is_dataclass(origin):
        return [of_dataclass(origin)]
    if issubclass(origin, Mapping):
        return [{"type": "object", "additionalProperties": of_type(inner[-1]) if inner else ANY}]
    return [{"type": "array", "items": of_type(inner[0]) if inner else ANY}, ARGUMENT]


def of_dataclass(cls: Any) -> Schema:
    """A mapping of a variable whose keys are the fields of a dataclass."""
    hints, docs = typing.get_type_hints(cls), schema.docs_of(cls)
    fields = {one.name: {**of_type(hints[one.name]), "description": docs.get(one.name, "")} for one in _public(cls)}
    needed = [one.name for one in _public(cls) if one.default is one.default_factory is record.MISSING]
    return {"type": "object", "properties": fields, "required": needed, "additionalProperties": False}


def _public(cls: Any) -> list[Any]:
    return [one for one in record.fields(cls) if not one.metadata.get("internal")]
