"""Change: the diff, the dry run, the "changed" flag and the check after applying, in one value."""

from __future__ import annotations

from mnemo_ops.agent.base.state import ABSENT, Change


def test_no_difference_is_falsy() -> None:
    assert not Change.between({"a": 1}, {"a": 1})
    assert not Change.between(ABSENT, ABSENT)


def test_what_nobody_declared_is_nobodys_business() -> None:
    change = Change.between({"a": 1, "mountpoint": "/x"}, {"a": 1})
    assert not change
    assert change.before == {"a": 1}


def test_a_declared_key_that_is_missing_differs() -> None:
    change = Change.between({}, {"a": 1})
    assert change
    assert change.before == {"a": None}
    assert change.keys == ("a",)


def test_existing_without_properties_is_not_absence() -> None:
    assert not Change.between({}, {})
    assert Change.between(ABSENT, {})
    assert Change.between({}, ABSENT)


def test_creation_names_every_declared_key() -> None:
    change = Change.between(ABSENT, {"b": 1, "a": 2})
    assert change.creates and not change.deletes
    assert change.keys == ("b", "a")
    assert change.reduced() == change


def test_deletion_has_no_keys() -> None:
    change = Change.between({"a": 1}, ABSENT)
    assert change.deletes and not change.creates
    assert change.keys == ()
    assert change.reduced() == change


def test_an_update_is_neither_creation_nor_deletion_and_reduces_to_what_differs() -> None:
    change = Change.between({"a": 1, "b": 2}, {"a": 1, "b": 3})
    assert change and not change.creates and not change.deletes
    assert change.keys == ("b",)
    assert change.reduced() == Change({"b": 2}, {"b": 3})


def test_a_value_of_none_is_a_value() -> None:
    assert not Change.between({"a": None}, {"a": None})
    assert Change.between({"a": 1}, {"a": None}).keys == ("a",)
