"""find: files that match."""

from __future__ import annotations

import fnmatch
import posixpath
import re
from typing import Any, Callable, ClassVar, Dict, Iterator, List, Literal, Mapping, Optional, Tuple, Union

from mnemo_ops.agent.base.lines import each_line
from mnemo_ops.agent.base.record import dataclass, field
from mnemo_ops.agent.base.state import State
from mnemo_ops.agent.engine.resource import Resource
from mnemo_ops.agent.files.mode import resolve
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.resources.stat import Algorithm, facts

_AGES = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_SIZES = {"b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_NUMBER = re.compile(r"(-?\d+)([a-z]?)[a-z]*", re.IGNORECASE)


@dataclass(frozen=True)
class Find(Resource):
    """Files below directories, for ``register``: ``result.files`` (each with ``path``, ``size``, ``mode`` ...),
    ``matched`` and ``examined``.

    :param paths: directories to look in; one that does not exist is named in ``skipped_paths``.
    :param patterns: names to find: globs, or with ``use_regex`` expressions for the whole name; none: all.
    :param excludes: names to leave out.
    :param use_regex: ``patterns`` and ``excludes`` are Python regular expressions.
    :param file_type: ``file``, ``directory``, ``link`` or ``any``.
    :param contains: expression a line of the file begins with; with ``read_whole_file``: found anywhere in it.
    :param read_whole_file: look for ``contains`` in the text as a whole.
    :param encoding: of the files ``contains`` looks into.
    :param age: at least this old, ``2d``; negative: at most. Units s, m, h, d, w.
    :param age_stamp: which time ``age`` means.
    :param size: at least this large, ``10m``; negative: at most. Units b, k, m, g, t; 1024.
    :param mode: permission bits.
    :param exact_mode: exactly these; ``false``: at least.
    :param recurse: below subdirectories, too.
    :param depth: at most so many levels; 1 is the directory itself.
    :param hidden: names that begin with a dot, too.
    :param follow: go through links to directories.
    :param limit: stop after so many.
    :param get_checksum: the checksum of each file.
    :param checksum_algorithm: which one.
    """

    kind: ClassVar[str] = "find"
    ALIASES: ClassVar[Mapping[str, str]] = {
        "path": "paths",
        "name": "paths",
        "pattern": "patterns",
        "exclude": "excludes",
        "checksum": "checksum_algorithm",
        "checksum_algo": "checksum_algorithm",
    }
    EXAMPLE: ClassVar[str] = """\
- name: dumps nobody needs any more
  find: {paths: [/srv/dumps], patterns: ["*.sql.zst"], age: 4w}
  register: old
"""

    paths: List[str]
    patterns: List[str] = field(default_factory=list)
    excludes: Optional[List[str]] = None
    use_regex: bool = False
    file_type: Literal["any", "directory", "file", "link"] = "file"
    contains: Optional[str] = None
    read_whole_file: bool = False
    encoding: Optional[str] = None
    age: Optional[Union[str, int]] = None
    age_stamp: Literal["atime", "ctime", "mtime"] = "mtime"
    size: Optional[Union[str, int]] = None
    mode: Optional[Union[str, int]] = None
    exact_mode: bool = True
    recurse: bool = False
    depth: Optional[int] = None
    hidden: bool = False
    follow: bool = False
    limit: Optional[int] = None
    get_checksum: bool = False
    checksum_algorithm: Algorithm = "sha1"

    def __post_init__(self) -> None:
        _number(self.age, _AGES, "age")
        _number(self.size, _SIZES, "size")
        for pattern in [*(self.patterns if self.use_regex else ()), *(self.excludes or () if self.use_regex else ())]:
            _expression(pattern)
        _expression(self.contains or "")
        if self.mode is not None:
            resolve(self.mode, 0, False)

    def desired(self) -> State:
        return {}

    def observe(self, machine: Machine) -> State:
        found: List[Dict[str, Any]] = []
        skipped: Dict[str, str] = {}
        examined = 0
        tests = self._tests(machine)
        for root in self.paths:
            stat = machine.stat(root, follow=True)
            if stat is None or stat.kind != "directory":
                skipped[root] = f"'{root}' is not a directory"
                continue
            for path in self._below(machine, root, (machine.realpath(root),)):
                if self.limit is not None and len(found) >= self.limit:
                    break
                examined += 1
                row = facts(machine, path, self.follow and self.file_type != "link")
                if row is not None and all(test(row) for test in tests):
                    if self.get_checksum and row["isreg"]:
                        row["checksum"] = machine.digest(path, self.checksum_algorithm)
                    found.append(row)
        said = "Not all paths examined, check warnings for details" if skipped else "All paths examined"
        return {"files": found, "matched": len(found), "examined": examined, "skipped_paths": skipped, "msg": said}

    def _below(self, machine: Machine, root: str, above: Tuple[str, ...]) -> Iterator[str]:
        """Paths below a directory; what is nearest comes first. ``above``: where it comes from."""
        deeper = []
        for name in machine.names(root):
            path = posixpath.join(root, name)
            if name.startswith(".") and not self.hidden:
                continue
            yield path
            stat = machine.stat(path, follow=self.follow)
            if stat is not None and stat.kind == "directory" and machine.realpath(path) not in above:
                deeper.append(path)
        if self.recurse and (self.depth is None or len(above) < self.depth):
            for path in deeper:
                yield from self._below(machine, path, (*above, machine.realpath(path)))

    def _tests(self, machine: Machine) -> List[Callable[[Mapping[str, Any]], bool]]:
        """What a path must pass, the cheap first."""
        kinds = {"file": "isreg", "directory": "isdir", "link": "islnk"}
        tests: List[Callable[[Mapping[str, Any]], bool]] = []
        if self.file_type != "any":
            tests.append(lambda row: bool(row[kinds[self.file_type]]))
        tests.append(lambda row: self._named(posixpath.basename(row["path"])))
        if self.age is not None:
            seconds, now = _number(self.age, _AGES, "age"), machine.now()
            tests.append(lambda row: _beyond(now - row[self.age_stamp], seconds))
        if self.size is not None:
            least = _number(self.size, _SIZES, "size")
            tests.append(lambda row: not row["isreg"] or _beyond(row["size"], least))
        if self.mode is not None:
            wanted = resolve(self.mode, 0, False)
            tests.append(lambda row: self._has_mode(int(row["mode"], 8), wanted))
        if self.contains is not None and self.file_type == "file":
            tests.append(lambda row: self._contains(machine, row["path"]))
        return tests

    def _named(self, name: str) -> bool:
        def fits(pattern: str) -> bool:
            if self.use_regex:
                return re.fullmatch(pattern, name) is not None
            return fnmatch.fnmatchcase(name, pattern)

        if self.patterns and not any(fits(pattern) for pattern in self.patterns):
            return False
        return not any(fits(pattern) for pattern in self.excludes or ())

    def _has_mode(self, mode: int, wanted: int) -> bool:
        return mode == wanted if self.exact_mode else mode & wanted == wanted

    def _contains(self, machine: Machine, path: str) -> bool:
        pattern = re.compile(self.contains or "")
        text = (machine.read(path) or b"").decode(self.encoding or "utf-8", "surrogateescape")
        if self.read_whole_file:
            return pattern.search(text) is not None
        return any(pattern.match(line) for line in each_line(text.replace("\r\n", "\n")))


def _expression(text: str) -> None:
    try:
        re.compile(text)
    except re.error as problem:
        raise ValueError(f"{text!r} is not a regular expression: {problem}") from None


def _number(given: Optional[Union[str, int]], units: Mapping[str, int], what: str) -> int:
    """Seconds or bytes; 0 when not given. :raises ValueError: not a number with a unit."""
    match = _NUMBER.fullmatch(str(given or 0))
    if match is None or (match[2] and match[2].lower() not in units):
        raise ValueError(f"{what} {given!r} should be a number with one of the units {', '.join(units)}")
    return int(match[1]) * units.get(match[2].lower(), 1)


def _beyond(value: float, limit: int) -> bool:
    return value >= limit if limit >= 0 else value <= -limit
