"""Secrets do not print, in none of the forms they take on their way out."""

from __future__ import annotations

import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnemo_ops.secret import MASK, SHORTEST, Mask, Secret

ODD = 'pa"ss\\word\n\tgrüße'


def test_a_secret_prints_as_such_everywhere() -> None:
    secret = Secret("hunter2222")
    shown = (
        str(secret),
        repr(secret),
        f"{secret}",
        f"{secret!r:>10}",
        repr([secret]),
        repr({"a": secret}),
    )
    assert not [text for text in shown if "hunter" in text]
    assert secret.reveal() == "hunter2222"


def test_secrets_compare_and_travel() -> None:
    assert Secret("a") == Secret("a") != Secret("b")
    assert pickle.loads(pickle.dumps(Secret("a"))) == Secret("a")


def mask(*values: str) -> Mask:
    found = Mask()
    found.learn(values)
    return found


def test_longer_values_first_and_short_ones_not_at_all() -> None:
    hide = mask("secret-1", "secret-1-longer", "yes").hide
    assert hide("secret-1-longer secret-1 yes") == f"{MASK} {MASK} yes"


def test_learning_adds() -> None:
    known = mask("first-secret")
    known.learn(["second-secret"])
    assert known.hide("first-secret second-secret") == f"{MASK} {MASK}"


@pytest.mark.parametrize("form", [str, repr, json.dumps, lambda text: json.dumps(text, ensure_ascii=False)])
def test_quoted_values_are_known_too(form: object) -> None:
    assert callable(form)
    assert mask(ODD).hide(f"cmd {form(ODD)} end") in (f"cmd {MASK} end", f"cmd '{MASK}' end", f'cmd "{MASK}" end')


def test_a_key_is_hidden_line_by_line() -> None:
    key = "-----BEGIN KEY-----\nMC4CAQAwBQYDK2VwBCIEIP\nx\n-----END KEY-----"
    hide = mask(key).hide
    assert "MC4CAQ" not in hide("+MC4CAQAwBQYDK2VwBCIEIP")
    assert hide("x marks the spot") == "x marks the spot"


def test_data_stays_what_it_is() -> None:
    data = {"n": 1234567, "t": True, "none": None, "list": ["1234567", 1.5], "1234567": {"deep": "a 1234567"}}
    hidden = mask("1234567").hide_all(data)
    assert hidden == {"n": 1234567, "t": True, "none": None, "list": [MASK, 1.5], MASK: {"deep": f"a {MASK}"}}
    assert json.loads(json.dumps(hidden)) == hidden


@given(st.text(min_size=SHORTEST), st.text(), st.text())
def test_no_value_survives(secret: str, before: str, after: str) -> None:
    shown = mask(secret).hide(before + secret + after)
    assert secret not in shown.replace(MASK, "\0") or secret in MASK
