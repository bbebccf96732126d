"""Lookups in files of the controller, and what its programs print."""

from __future__ import annotations

import io
import os
import posixpath
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Optional

from mnemo_ops.core.secret_text import SecretText
from mnemo_ops.core.suggest import suggest
from mnemo_ops.documents.yaml_lines import read
from mnemo_ops.errors import TemplateError
from mnemo_ops.templates.file_search import find, look_for, matching
from mnemo_ops.templates.filters.lists import flatten
from mnemo_ops.templates.lookups.scope import LookupScope
from mnemo_ops.vault.cipher import keyring

if TYPE_CHECKING:
    from configparser import ConfigParser


_SECRET = re.compile("pass|secret|token|key|credential", re.IGNORECASE)


def _env(scope: LookupScope, terms: list[Any], default: Any = "") -> list[Any]:
    """What is called like a secret is one."""
    found = {str(term): os.environ.get(str(term)) for term in terms}
    secret = {name: SecretText(value) for name, value in found.items() if value and _SECRET.search(name)}
    keyring().learn(secret.values())
    return [default if found[str(term)] is None else secret.get(str(term), found[str(term)]) for term in terms]


def _file(scope: LookupScope, terms: list[Any], lstrip: bool = False, rstrip: bool = True) -> list[Any]:
    found = []
    for term in terms:
        text = read(find(str(term), scope.files), TemplateError)
        text = text.lstrip() if lstrip else text
        found.append(text.rstrip() if rstrip else text)
    return found


def _template(
    scope: LookupScope, terms: list[Any], template_vars: Optional[Mapping[str, Any]] = None, **options: Any
) -> Any:
    """``convert_data`` and ``jinja2_native`` say what happens anyway: a lone expression keeps its type."""
    for name in ("convert_data", "jinja2_native"):
        options.pop(name, None)
    return [scope.run_file(find(str(term), scope.templates), options, template_vars or {}) for term in terms]


def _pipe(scope: LookupScope, terms: list[Any]) -> list[Any]:
    return [shell_output(str(term)).rstrip() for term in terms]


def _lines(scope: LookupScope, terms: list[Any]) -> list[Any]:
    return [line for term in terms for line in shell_output(str(term)).splitlines()]


def shell_output(command: str) -> str:
    """Stdout of a shell command on the controller. :raises TemplateError: it does not end with 0 (2)."""
    done = subprocess.run(["/bin/sh", "-c", command], stdout=subprocess.PIPE, check=False)
    if done.returncode:
        raise TemplateError(f"lookup: the command {command!r} ended with exit code {done.returncode}")
    return done.stdout.decode(errors="replace")


def _fileglob(scope: LookupScope, terms: list[Any]) -> list[Any]:
    """Files only; a pattern without a directory is looked for in the nearest one that has a match."""
    found: list[Any] = []
    for term in map(str, terms):
        each = (matching(term, directory) for directory in scope.files or [Path()])
        found += next((names for names in each if names), [])
    return found


def _first_found(scope: LookupScope, terms: list[Any], **options: Any) -> list[Any]:
    """The first file there is; what is searched and how may stand in the term or in the options."""
    skip = bool(options.get("skip", False))
    beside = [directory / folder for directory in scope.files for folder in ("vars", "tasks")]  # of a role, a playbook
    places = (*scope.files, *scope.templates, *beside)
    for term in flatten(terms, levels=1) if terms else [{}]:
        given = {**options, **term} if isinstance(term, Mapping) else {**options, "files": [term]}
        unknown = given.keys() - {"files", "paths", "skip"}
        if unknown:
            name = min(unknown)
            raise TemplateError(f"lookup 'first_found' has no '{name}'", hint=suggest(name, ("files", "paths", "skip")))
        skip = bool(given.get("skip", skip))
        for name in _candidates(_parts(given.get("files"), ",;"), _parts(given.get("paths"), ",;:")):
            path = look_for(name, places)
            if path is not None:
                return [str(path)]
    if skip:
        return []
    raise TemplateError("lookup 'first_found': none of the files exists", hint="skip: true allows that")


def _parts(value: Any, separators: str) -> list[str]:
    texts = value if isinstance(value, list) else [] if value is None else [value]
    return [part.strip() for text in texts for part in re.split(f"[{separators}]", str(text)) if part.strip()]


def _candidates(files: list[str], paths: list[str]) -> list[str]:
    if files and paths:
        return [posixpath.join(path, file) for path in paths for file in files]
    return files or paths


def _options(term: Any, known: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """``key name=value ...``, the form of old playbooks, as key and options."""
    words, options = [], dict(known)
    for word in str(term).split(" "):
        name, sign, value = word.partition("=")
        if sign and name in known:
            options[name] = value
        elif word:
            words.append(word)
    return " ".join(words), options


def _csvfile(
    scope: LookupScope,
    terms: list[Any],
    file: str = "ansible.csv",
    delimiter: str = "TAB",
    col: Any = 1,
    keycol: Any = 0,
    default: Any = None,
    encoding: str = "utf-8",
) -> list[Any]:
    """The column ``col`` of the row whose column ``keycol`` is the term."""
    import csv

    found = []
    known = {"file": file, "delimiter": delimiter, "col": col, "keycol": keycol, "default": default}
    for term in terms:
        key, given = _options(term, known)
        text = find(given["file"], scope.files).read_text(encoding)
        sign = "\t" if given["delimiter"] in ("TAB", "t", "\\t") else str(given["delimiter"])
        rows = (row for row in csv.reader(io.StringIO(text), delimiter=sign) if row)
        match = next((row for row in rows if row[int(given["keycol"])] == key), None)
        value = match[int(given["col"])] if match else given["default"]
        found += [] if value is None else [value]
    return found


def _ini(
    scope: LookupScope,
    terms: list[Any],
    file: str = "ansible.ini",
    section: str = "global",
    type: str = "ini",
    re: Any = False,
    default: Any = "",
    encoding: str = "utf-8",
    case_sensitive: bool = False,
    allow_no_value: bool = False,
) -> list[Any]:
    """Values of an ini file, or of one without sections (``type='properties'``)."""
    from configparser import ConfigParser, Error  # start-up time for a lookup few use

    found: list[Any] = []
    known = {"file": file, "section": section, "type": type, "re": re, "default": default}
    for term in terms:
        key, given = _options(term, known)
        parser = ConfigParser(interpolation=None, allow_no_value=allow_no_value)
        if case_sensitive:
            parser.optionxform = str  # type: ignore[method-assign,assignment]
        text = find(given["file"], scope.files).read_text(encoding)
        place = "properties" if given["type"] == "properties" else given["section"]
        try:
            parser.read_string(f"[properties]\n{text}" if place == "properties" else text, given["file"])
        except Error as problem:
            raise TemplateError(f"lookup 'ini': {problem.message}") from None
        found += _values(parser, place, key, given)
    return found


def _values(parser: ConfigParser, section: str, key: str, given: Mapping[str, Any]) -> list[Any]:
    rows = dict(parser[section]) if parser.has_section(section) else {}
    if str(given["re"]).lower() in ("true", "yes", "1"):
        return [value for name, value in rows.items() if re.search(key, name)]
    return [rows.get(parser.optionxform(key), given["default"])]


LOOKUPS: dict[str, Callable[..., list[Any]]] = {
    "csvfile": _csvfile,
    "env": _env,
    "file": _file,
    "fileglob": _fileglob,
    "first_found": _first_found,
    "ini": _ini,
    "lines": _lines,
    "pipe": _pipe,
    "template": _template,
    "unvault": lambda scope, terms: _file(scope, terms, rstrip=False),
}
