"""Secrets do not print, in none of the forms they take on their way out."""

from __future__ import annotations

import base64
import io
import json
import pickle
import threading
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnemo_ops.agent.base.protocol import Event
from mnemo_ops.agent.engine.resource import Resource
from mnemo_ops.core.model import Task
from mnemo_ops.core.secret import MASK, MOST, SHORTEST, Mask, Secret, of_result
from mnemo_ops.execution.report import Report, Style

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


@pytest.mark.parametrize("before", ["", "u", "us", "user:", "admin:"])
@pytest.mark.parametrize("after", ["", "\n", "x", "\n\n"])
@pytest.mark.parametrize("value", ["hunter-22", "s3cr?t~>", "grüße!!", "a long one " * 20])
def test_a_secret_shows_neither_in_base64_nor_in_a_url(value: str, before: str, after: str) -> None:
    hide = mask(value).hide
    data = f"{before}{value}{after}".encode()
    for text in (base64.b64encode(data), base64.urlsafe_b64encode(data), base64.encodebytes(data)):
        if before and b"\n" in text.strip():
            continue  # in lines, and who knows where they end
        left = hide(f"Basic {text.decode()}").replace(MASK, "").split()
        assert len("".join(left[1:]).strip("=")) <= 2 + 4 * (len(before + after) + 2) // 3
    assert hide(f"?p={quote(value, safe='')}&x") == f"?p={MASK}&x"
    assert hide(value.encode().hex()) == MASK


TOKEN = "tok_5f2c9a1b7e3d4f6a8b0c"


def shown(data: dict[str, object], later: str, **options: bool) -> str:
    """What is printed of a text after a task that shows nothing registered this."""
    out = io.StringIO()
    report = Report("play", Style(verbose=True, diff=True, **options), out, out)
    report.task("web1", Task("1", "hidden", Resource(), "x:1", no_log=True), Event("1", "changed", None, data))
    report.task("web2", Task("2", "shown", Resource(), "x:2"), Event("2", "ok", after={"msg": later}, why=later))
    report.finish()
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "later"),
    [
        ({"stdout": TOKEN}, TOKEN),
        ({"stdout": f"one\n{TOKEN}\ntwo"}, f"is {TOKEN}"),
        ({"stdout": f'{{"token": "{TOKEN}"}}'}, TOKEN),
        ({"ansible_facts": {"made": TOKEN}}, f"made: {TOKEN}"),
        ({"results": [{"item": {"deep": [TOKEN]}}]}, TOKEN),
        ({"json": {"url": f"postgres://app:{TOKEN[:9]}-x@db/x"}}, f"{TOKEN[:9]}-x"),
        ({"stdout": TOKEN}, base64.b64encode(f"user:{TOKEN}".encode()).decode()),
    ],
)
@pytest.mark.parametrize("json_", [False, True])
def test_the_result_of_a_task_that_shows_nothing_is_shown_by_no_other(
    data: dict[str, object], later: str, json_: bool
) -> None:
    text = shown(data, later, json=json_)
    assert MASK in text and later not in text and TOKEN not in text


def test_ordinary_words_of_such_a_result_stay_readable() -> None:
    words = "changed nginx root /etc/nginx/conf.d/site.conf 0644 2026-11-29 22:10:18.123 1234567890 web-server debian12"
    data: dict[str, object] = {
        "a": words.split(),
        "path": "/srv/Xk29/cQz",
        "stdout": "nginx",
        "rc": 0,
        "start": "2026-11-29T1x",
    }
    assert f"msg {words} /srv/Xk29/cQz 2026-11-29T1x" in shown(data, f"msg {words} /srv/Xk29/cQz 2026-11-29T1x")


def test_a_result_may_be_deep() -> None:
    assert list(of_result({"stdout": "[" * 900 + f'"{TOKEN}"' + "]" * 900})) != []


def test_a_result_of_a_million_words_is_not_all_remembered() -> None:
    assert len(list(of_result({"stdout": "\n".join(f"tok-{number}-{number}x" for number in range(10**5))}))) == MOST


def test_what_one_host_teaches_hides_what_others_say_meanwhile() -> None:
    known, wrong = Mask(), list[str]()

    def work(name: int) -> None:
        for number in range(200):
            secret = f"s3cret-{name}-{number}"
            known.learn([secret])
            if secret in known.hide(f"x {secret}"):
                wrong.append(secret)

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
