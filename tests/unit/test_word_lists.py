"""The page of the play language holds the lists the loader goes by."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mnemo_ops.errors import PlaybookError
from mnemo_ops.playbook.modules import KINDS
from mnemo_ops.reference import tables as word_lists

PAGE = Path(__file__).parents[2] / "docs/playbooks.md"


def filled(page: str) -> str:
    found = word_lists.lists()
    return re.sub(
        r"<!-- (\w+) -->\n.*?<!-- end -->",
        lambda one: f"<!-- {one[1]} -->\n{found[one[1]]}<!-- end -->",
        page,
        flags=re.S,
    )


@pytest.mark.parametrize("name", word_lists.lists())
def test_the_page_has_every_list(name: str) -> None:
    assert f"<!-- {name} -->" in PAGE.read_text()


def test_the_page_is_in_step() -> None:
    """When this fails: python tests/unit/test_word_lists.py"""
    assert PAGE.read_text() == filled(PAGE.read_text())


def test_every_kind_has_one_line() -> None:
    lines = word_lists.kinds().splitlines()
    assert [line.split()[0] for line in lines] == sorted(KINDS)
    assert all(len(line.split()) > 2 for line in lines)


@pytest.mark.parametrize("word", ["include_tasks", "import_playbook", "block", "when", "loop_control"])
def test_words_of_the_language_have_their_own_page(word: str) -> None:
    with pytest.raises(PlaybookError) as caught:
        word_lists.page(word)
    assert f"'{word}'" in caught.value.message and "docs/playbooks.md" in caught.value.hint


def test_line_breaks_among_the_choices_are_written_out() -> None:
    line = next(row for row in word_lists.page("template").splitlines() if "newline_sequence" in row)
    assert line == r"  newline_sequence: \n, \r or \r\n; default '\n'"


def test_no_page_is_a_list_of_all_names() -> None:
    with pytest.raises(PlaybookError) as caught:
        word_lists.page("fetch")
    assert caught.value.hint.startswith("`invoke docs all`")


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text()))
