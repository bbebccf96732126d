"""JSON Schema of playbooks and inventories for editors, made from what the loader itself goes by."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Optional

from mnemo_ops.agent.engine.resource import resource_class
from mnemo_ops.inventory import connection_vars
from mnemo_ops.playbook import module_args
from mnemo_ops.playbook.context import INHERITED
from mnemo_ops.playbook.keywords import KEYWORDS
from mnemo_ops.playbook.load import IMPORT, KEYS
from mnemo_ops.playbook.modules import COLLECTIONS, KINDS, SYNONYMS
from mnemo_ops.playbook.task import ACTION, HANDLER, LOOP_CONTROL, TASK
from mnemo_ops.playbook.task_list import BLOCK, INCLUDE, INCLUDE_ROLE, ROLE, ROLE_FLAGS
from mnemo_ops.reference.json_forms import ANY, ARGUMENT, FORMS, NAME, TEXT, Schema, either, of_type, ref

DIALECT = "http://json-schema.org/draft-07/schema#"  # the newest that editors' YAML servers know whole
NAMES = {**{kind: kind for kind in sorted(KINDS)}, **SYNONYMS}


def _mapping(properties: Schema, required: Iterable[str] = ()) -> Schema:
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


# -- kinds ---------------------------------------------------------------------------------------------------------


def _kind(kind: str) -> Schema:
    """The arguments of a kind, as a mapping or in one line."""
    cls = resource_class(kind)
    found = {name: _argument(field) for name, field in module_args.fields_of(kind).items()}
    aliases = {alias: ref(f"{kind}/properties/{name}") for alias, name in _aliases(kind).items()}
    return {
        "description": module_args.summary(kind),
        "type": ["object", "string", "null"],
        **({} if getattr(cls, "FREE_FORM", "") else {"pattern": r"^\s*[A-Za-z_]\w*="}),
        "properties": {**found, **aliases},
        "additionalProperties": getattr(cls, "OPEN", False),
    }


def _aliases(kind: str) -> Mapping[str, str]:
    found: Mapping[str, str] = getattr(resource_class(kind), "ALIASES", {})
    return found


def _argument(field: module_args.Field) -> Schema:
    default = {} if field.required or field.default is None else {"default": field.default}
    return {**(ANY if field.expression else of_type(field.hint)), "description": field.doc, **default}


def _complete(kind: str) -> Optional[Schema]:
    """What must be among the arguments of a kind, under one of its names; ``None``: nothing must."""
    needed = [name for name, field in module_args.fields_of(kind).items() if field.required]
    names = [[name, *(alias for alias, meant in _aliases(kind).items() if meant == name)] for name in needed]
    one_of_each = [either(*({"required": [name]} for name in alike)) for alike in names]
    return {"type": ["object", "string"], "allOf": one_of_each} if needed else None


# -- tasks and plays -----------------------------------------------------------------------------------------------


def _words(names: Iterable[str], more: Optional[Schema] = None) -> Schema:
    """A mapping of keywords; one without a value says nothing."""
    found = {
        name: {**either({"type": "null"}, ref(KEYWORDS[name].form)), "description": KEYWORDS[name].doc}
        for name in names
    }
    return _mapping({**found, **(more or {})})


def _long(word: str, collections: Iterable[str] = COLLECTIONS) -> str:
    """A pattern for a word with the name of a collection before it."""
    return f"^({'|'.join(re.escape(name) for name in collections)}){word}$"


def _task(keys: Iterable[str]) -> Schema:
    keys = list(keys)
    complete = {name: one for name, kind in NAMES.items() if (one := _complete(kind))}
    return {
        **_words(keys, {name: ref(kind) for name, kind in NAMES.items()}),
        "patternProperties": {_long(name): ref(kind) for name, kind in NAMES.items()},
        "not": {"propertyNames": {"enum": keys}},  # one key is the kind
        "if": {"not": {"required": ["args"]}},
        "then": {"properties": complete, "patternProperties": {_long(name): one for name, one in complete.items()}},
    }


def _older(keys: Iterable[str]) -> dict[str, Schema]:
    """Tasks whose kind stands behind a word."""
    return {word: _words((*keys, word)) for word in ACTION}


def _by_word(cases: Mapping[str, Schema], otherwise: Schema) -> Schema:
    """By the word that is there: an editor then names a mistake in that one form, not in all of them."""
    for word, then in reversed(list(cases.items())):
        short_or_long = either({"const": word}, {"pattern": _long(word, COLLECTIONS[:2])})
        has = {"not": {"propertyNames": {"not": short_or_long}}}
        otherwise = {"if": has, "then": then, "else": otherwise}
    return otherwise


def _include(word: str, keys: Iterable[str], what: Schema) -> Schema:
    return {**_words(keys, {word: what}), "patternProperties": {_long(word, COLLECTIONS[:2]): what}}


def _includes() -> dict[str, Schema]:
    apply = _words(INHERITED)
    role = {**dict.fromkeys(INCLUDE_ROLE, TEXT), **dict.fromkeys(ROLE_FLAGS, ref("flag")), "apply": apply}
    return {
        "import_tasks": _include("import_tasks", INHERITED, either(TEXT, _mapping({"file": TEXT}, ["file"]))),
        "include_tasks": _include(
            "include_tasks", INCLUDE, either(TEXT, _mapping({"file": TEXT, "apply": apply}, ["file"]))
        ),
        "import_role": _include("import_role", INHERITED, _mapping(role)),
        "include_role": _include("include_role", INCLUDE, _mapping(role)),
    }


def playbook() -> Schema:
    """The schema of a playbook, and of a file of tasks or handlers."""
    includes = _includes()
    lists = {"block": _words(BLOCK), **includes}
    tasks = _by_word({**lists, **_older(TASK)}, ref("task"))
    files = {word: includes[word] for word in ("import_tasks", "include_tasks")}
    handlers = _by_word({**files, **_older(HANDLER)}, ref("handler"))
    plays = {
        "hosts": {**_words(KEYS), "required": ["hosts"]},
        "import_playbook": _include("import_playbook", IMPORT, TEXT),
    }
    role = {**_words(ROLE, {"name": TEXT}), "additionalProperties": ANY}  # its own variables
    control = {"loop_var": NAME, "index_var": NAME, "label": ANY, "pause": {"type": "number"}, "extended": ref("flag")}
    return {
        "$schema": DIALECT,
        "title": "A playbook, or a file of tasks",
        "type": "array",
        # a file of handlers looks like one of tasks
        "items": _by_word({**plays, **lists, **_older(HANDLER)}, _task(HANDLER)),
        "definitions": {
            **{kind: _kind(kind) for kind in sorted(KINDS)},
            **FORMS,
            "task": _task(TASK),
            "handler": {**_task(HANDLER), "required": ["name"]},
            "tasks": {"type": "array", "items": tasks},
            "handlers": {"type": "array", "items": handlers},
            "roles": {"type": "array", "items": either(TEXT, role)},
            "loop_control": _mapping({name: control[name] for name in LOOP_CONTROL}),
            "module_defaults": {
                **_mapping({name: ref(kind) for name, kind in NAMES.items()}),
                "patternProperties": {_long(name): ref(kind) for name, kind in NAMES.items()},
            },
        },
    }


# -- inventories ---------------------------------------------------------------------------------------------------


def inventory(variables: Mapping[str, Schema]) -> Schema:
    """The schema of an inventory in YAML. :param variables: forms of variables that are not about connections."""
    hosts = either({"type": ["object", "null"], "additionalProperties": ref("host_variables")}, {"type": "string"})
    below = {"type": ["object", "null"], "additionalProperties": ref("hosts")}
    group = _mapping({"hosts": hosts, "children": below, "vars": ref("host_variables")})
    known = {"type": ["object", "null"], "properties": {**_connection(), **variables}}
    return {
        "$schema": DIALECT,
        "title": "An inventory",
        "type": "object",
        "additionalProperties": ref("hosts"),
        "definitions": {**FORMS, "hosts": {**group, "type": ["object", "null"]}, "host_variables": known},
    }


def alone(form: Schema, title: str) -> Schema:
    """A form as a document of its own."""
    return {"$schema": DIALECT, "title": title, **form, "definitions": FORMS}


def _connection() -> dict[str, Schema]:
    port = either({"type": "integer", "minimum": 1, "maximum": 65535}, {"type": "string", "pattern": r"^\d+$|\{\{"})
    forms = {
        "ansible_port": port,
        "ansible_connection": either({"enum": list(connection_vars.CONNECTIONS)}, ref("jinja")),
        **dict.fromkeys(("ansible_timeout", "ansible_ssh_retries"), ref("whole")),
    }
    known = {name: {**forms.get(name, ARGUMENT), "description": doc} for name, doc in connection_vars.KNOWN.items()}
    return {
        **known,
        **{old: {**known[new], "description": f"older name of {new}"} for old, new in connection_vars.ALIASES.items()},
        **{name: {"enum": list(values)} for name, values in connection_vars.FIXED.items()},
        **{name: {"not": {}, "description": "not supported yet"} for name in connection_vars.LATER},
    }
