"""A database that does not load is loaded a second time, but not where that is of no use; its first error is told."""

from __future__ import annotations

from typing import Any

import pytest

from mnemo_ops.agent.base.progress import Deed
from mnemo_ops.agent.stack.cluster import second_try
from mnemo_ops.errors import CommandFailed

FIRST = "pg_restore: error: function unaccent(unknown, text) does not exist"


def load(first: str, then: BaseException | None) -> list[str]:
    """What happened, in order."""
    done: list[str] = []

    def step(name: str, error: BaseException | None) -> Deed:
        yield from ()
        done.append(name)
        if error:
            raise error
        return {}

    def patiently(*_: Any) -> Deed:
        return step("again", None)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(second_try, "_patiently", patiently)
        server: Any = None
        list(
            second_try.load(
                server,
                "shop",
                [],
                lambda lines: step("first", CommandFailed(first)),
                lambda lines: b"",
                lambda: step("anew", then),
            )
        )
    return done


def test_it_is_made_anew_and_loaded_again() -> None:
    assert load(FIRST, None) == ["first", "anew", "again"]


@pytest.mark.parametrize(
    "then",
    [CommandFailed("psql: could not connect"), UnicodeDecodeError("utf-8", b"\xe9", 0, 1, "no")],
    ids=["the server is gone", "another encoding"],
)
def test_the_first_error_is_told_when_the_second_try_fails(then: BaseException) -> None:
    with pytest.raises(CommandFailed, match="unaccent"):
        load(FIRST, then)


def test_a_full_disk_is_not_filled_twice() -> None:
    """A restore of a large database took twice as long to say so, while nobody was served."""
    with pytest.raises(CommandFailed, match="No space left"):
        load("ERROR:  could not extend file: No space left on device", AssertionError("made anew"))
