"""Records do what the standard library's dataclasses do, as far as the project uses them."""

from __future__ import annotations

import dataclasses
import time
from typing import Any, Callable, ClassVar, Dict, List, Tuple

import pytest

from mnemo_ops.agent.base import record


def _classes(library: Any) -> Dict[str, Any]:
    """The same classes, made by one library or the other."""

    @library.dataclass(frozen=True)
    class Point:
        kind: ClassVar[str] = "point"
        x: int
        y: int = 2

    @library.dataclass(frozen=True)
    class Named(Point):
        name: str = ""
        tags: List[str] = library.field(default_factory=list, metadata={"internal": True})

    @library.dataclass(frozen=True, kw_only=True)
    class Box:
        corners: Tuple[Point, ...] = ()
        by_name: Dict[str, Any] = library.field(default_factory=dict, repr=False)

    @library.dataclass
    class Loose:
        size: int

        def __post_init__(self) -> None:
            self.size += 1

    return {each.__name__: each for each in (Point, Named, Box, Loose)}


TWO = pytest.mark.parametrize("library", [dataclasses, record], ids=lambda library: library.__name__)
CASES: Dict[str, Callable[[Any, Any], object]] = {
    "positions and defaults": lambda m, lib: vars(m["Point"](1)),
    "bases first": lambda m, lib: [each.name for each in lib.fields(m["Named"])],
    "annotations": lambda m, lib: [each.type for each in lib.fields(m["Named"](1))],
    "metadata": lambda m, lib: [dict(each.metadata) for each in lib.fields(m["Named"])],
    "all positions": lambda m, lib: repr(m["Named"](1, 2, "a", ["b"])).rpartition(".")[2],
    "a field that is not shown": lambda m, lib: repr(m["Box"](by_name={"a": 1})).rpartition(".")[2],
    "equal": lambda m, lib: [m["Point"](1) == m["Point"](1, 2), m["Point"](1) == m["Point"](2), m["Point"](1) != 3],
    "a subclass is another thing": lambda m, lib: m["Point"](1) == m["Named"](1),
    "hash": lambda m, lib: len({m["Point"](1), m["Point"](1, 2), m["Point"](3)}),
    "no hash": lambda m, lib: m["Loose"].__hash__,
    "own lists": lambda m, lib: m["Named"](1).tags is m["Named"](1).tags,
    "afterwards": lambda m, lib: m["Loose"](1).size,
    "replaced": lambda m, lib: vars(lib.replace(m["Named"](1, name="a"), y=7)),
    "in plain words": lambda m, lib: lib.asdict(m["Box"](corners=(m["Point"](1),), by_name={"a": [m["Named"](2)]})),
    "a default is an attribute": lambda m, lib: [m["Point"].y, hasattr(m["Point"], "x"), hasattr(m["Named"], "tags")],
    "is one": lambda m, lib: [lib.is_dataclass(m["Box"]), lib.is_dataclass(m["Box"]()), lib.is_dataclass(3)],
}
MISTAKES: Dict[str, Callable[[Any, Any], object]] = {
    "missing": lambda m, lib: m["Point"](),
    "missing and unknown": lambda m, lib: m["Point"](z=1),
    "unknown": lambda m, lib: m["Point"](1, z=1),
    "twice": lambda m, lib: m["Point"](1, x=1),
    "too many": lambda m, lib: m["Point"](1, 2, 3),
    "by position": lambda m, lib: m["Box"](()),
    "assigned": lambda m, lib: setattr(m["Point"](1), "x", 2),
    "deleted": lambda m, lib: delattr(m["Point"](1), "x"),
    "replaced by an unknown": lambda m, lib: lib.replace(m["Point"](1), z=2),
}


@pytest.mark.parametrize("case", CASES)
def test_like_the_standard_library(case: str) -> None:
    ask = CASES[case]
    assert ask(_classes(record), record) == ask(_classes(dataclasses), dataclasses)


@TWO
@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes(case: str, library: Any) -> None:
    with pytest.raises((TypeError, AttributeError)):
        MISTAKES[case](_classes(library), library)


def test_a_message_names_the_field() -> None:
    point = _classes(record)["Point"]
    with pytest.raises(TypeError, match=r"Point\(\) needs x"):
        point()
    with pytest.raises(TypeError, match=r"Point\(\) got an unexpected keyword argument 'z'"):
        point(1, z=1)


@TWO
def test_a_shared_default_is_refused(library: Any) -> None:
    with pytest.raises(ValueError, match="default_factory"):

        @library.dataclass
        class Shared:
            names: List[str] = []


def test_made_many_times_faster() -> None:
    spent = {dataclasses: 9.0, record: 9.0}
    for _ in range(15):  # the best of each: whoever is interrupted pays for it
        for library in spent:
            began = time.process_time()
            for _ in range(4):
                _classes(library)
            spent[library] = min(spent[library], time.process_time() - began)
    assert spent[record] < spent[dataclasses] / 5, spent
