"""Modes: Ansible's notations, and the bits they mean."""

from __future__ import annotations

import pytest

from mnemo_ops.agent.files.mode import declared, resolve


@pytest.mark.parametrize(
    ("mode", "text"),
    [
        *[(0o644, "0644"), ("644", "0644"), ("0644", "0644"), ("0o755", "0755"), ("1777", "1777"), (0, "0000")],
        *[("u=rw,g=r,o=", "u=rw,g=r,o="), ("a+X", "a+X"), ("+x", "+x"), ("u=rwx-x", "u=rwx-x")],
    ],
)
def test_a_mode_is_written_in_one_way(mode: int | str, text: str) -> None:
    assert declared(mode) == text


@pytest.mark.parametrize("mode", ["", "rw", "0888", "u=rw,", "u~x", "preserve", "77777", -1, 0o10000, True])
def test_what_is_not_a_mode_is_refused(mode: int | str) -> None:
    with pytest.raises(ValueError, match="mode"):
        declared(mode)


@pytest.mark.parametrize(
    ("mode", "current", "is_directory", "bits"),
    [
        (0o600, 0o777, False, 0o600),
        ("0600", 0o777, False, 0o600),
        ("u=rw,g=r,o=", 0o777, False, 0o640),
        ("u=rwX,go=rX", 0o600, False, 0o644),
        ("u=rwX,go=rX", 0o700, False, 0o755),
        ("u=rwX,go=rX", 0o600, True, 0o755),
        ("a+X", 0o644, False, 0o644),
        ("+x", 0o644, False, 0o755),
        ("go-rwx", 0o755, False, 0o700),
        ("g=u", 0o740, False, 0o770),
        ("o-w+x", 0o646, False, 0o645),
        ("g+s", 0o755, True, 0o2755),
        ("u+s", 0o755, False, 0o4755),
        ("+t", 0o777, True, 0o1777),
        ("o=", 0o1777, True, 0o770),
        ("g=rx", 0o2770, True, 0o750),
    ],
)
def test_the_bits_a_mode_means(mode: int | str, current: int, is_directory: bool, bits: int) -> None:
    assert resolve(mode, current, is_directory) == bits


@pytest.mark.parametrize("mode", [0o640, "u=rwX,g=rX,o=", "a+X", "g=u", "ug-x"])
@pytest.mark.parametrize("current", range(0, 0o10000, 37))
def test_applying_a_mode_twice_changes_nothing_more(mode: int | str, current: int) -> None:
    once = resolve(mode, current, is_directory=False)
    assert resolve(mode, once, is_directory=False) == once
