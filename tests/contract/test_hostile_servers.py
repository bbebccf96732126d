"""A web server that answers nonsense is a server that does not answer, and learns no login it should not have."""

from __future__ import annotations

import gzip
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from running import run, task
from world import World

from mnemo_ops.agent.base.protocol import Event
from mnemo_ops.agent.system import http
from mnemo_ops.transport import heard

pytestmark = pytest.mark.usefixtures("loopback")

OK, MOVED, WHO = b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 302 Found\r\nLocation: ", b"HTTP/1.1 401 No\r\nWWW-Authenticate: "
PACKED = gzip.compress(b"a" * 1000)
NONSENSE = {
    "gzip that is none": OK + b"Content-Encoding: gzip\r\n\r\n" + PACKED[:12] + b"\xff" * 40 + PACKED[-8:],
    "half an address": MOVED + b"http://[::1\r\n\r\n",
    "a port that is none": MOVED + b"http://127.0.0.1:abc/\r\n\r\n",
    "a file": MOVED + b"file:///etc/passwd\r\n\r\n",
    "an unknown digest": WHO + b'Digest realm="x", nonce="y", algorithm=ODD\r\n\r\n',
    "half a digest": WHO + b"Digest\r\n\r\n",
    "an unknown login": WHO + b"Negotiate \xff\xfe\r\n\r\n",
    "a length that is none": b"HTTP/1.1 abc OK\r\n\r\n",
    "less than announced": OK + b"Content-Length: 100\r\n\r\nhalf",
    "a chunk that is none": OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n",
}
ODD_JSON = [b"[" * 100_000, b"[" * 200 + b"]" * 200, b'{"a": NaN}', b"[1e999]", b"[-Infinity]", b"\xff"]


@pytest.fixture
def world(tmp_path: Path) -> World:
    (tmp_path / "host").mkdir()
    return World(tmp_path / "host")


@contextmanager
def saying(answer: bytes) -> Iterator[str]:
    """A server with one answer; its URL."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        over = threading.Event()

        def serve() -> None:
            while True:
                with server.accept()[0] as client:
                    if over.is_set():
                        return
                    client.recv(65536)
                    client.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}/x"
        finally:
            over.set()
            socket.create_connection(server.getsockname()).close()
            thread.join()


def done(world: World, kind: str, **args: Any) -> Event:
    return run(task(kind, register=True, **args), world.machine())


@pytest.mark.parametrize("answer", NONSENSE.values(), ids=NONSENSE)
def test_nonsense_is_a_failure_of_the_task(world: World, answer: bytes) -> None:
    login = {"url_username": "a", "url_password": "b"}
    with saying(answer) as url:
        events = [
            done(world, "uri", url=url, return_content=True, **login),
            done(world, "get_url", url=url, dest="/srv/x", **login),
            done(world, "unarchive", src=url, dest="/srv", remote_src=True),
            done(world, "authorized_key", user="old", key=url),
        ]
    assert [event.status for event in events] == ["failed"] * 4
    assert not (world.root / "srv/x").exists()


@pytest.mark.parametrize("body", ODD_JSON, ids=lambda body: str(body[:12]))
def test_json_that_nobody_could_pass_on_is_a_text(world: World, body: bytes) -> None:
    with saying(OK + b"Content-Type: application/json\r\n\r\n" + body) as url:
        event = done(world, "uri", url=url)
    assert event.status == "ok" and event.after is not None and "json" not in event.after
    heard.parsed(json.dumps(event.to_json()).encode())


@pytest.mark.parametrize("charset", ["idna", "base64", "nonesuch", "punycode"])
def test_any_charset_is_read_somehow(world: World, charset: str) -> None:
    with saying(OK + f"Content-Type: text/plain; charset={charset}\r\n\r\n".encode() + b"\xffabc") as url:
        event = done(world, "uri", url=url, return_content=True)
    assert event.status == "ok" and event.after is not None and "abc" in event.after["content"]


def test_an_answer_does_not_fill_the_memory(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "MOST", 1 << 20)
    with saying(OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(bytes(8 << 20))) as url:
        assert done(world, "uri", url=url).status == "failed"


ODD_URLS = [
    "http://[::1",
    "http://a:b@[",
    "http:///x",
    "http://a\udc80/x",
    "http://..../x",
    "http://" + "a" * 70,
]


@pytest.mark.parametrize("url", ODD_URLS, ids=ascii)
def test_what_is_no_url_is_a_failure_of_the_task(world: World, url: str) -> None:
    for event in (done(world, "uri", url=url), done(world, "get_url", url=url, dest="/srv/x")):
        assert event.status == "failed"


@pytest.mark.parametrize("headers", [{"X": "a\r\nY: b"}, {"X\r\nY": "a"}, {"X": "\u2028"}], ids=str)
def test_a_header_is_one(world: World, headers: dict[str, str]) -> None:
    with saying(OK + b"\r\n") as url:
        assert done(world, "uri", url=url, headers=headers).status == "failed"


@pytest.mark.parametrize(
    ("old", "new", "kept"),
    [
        ("https://h/a", "https://h/b", True),
        ("http://h/a", "https://h/b", True),
        ("https://h/a", "http://h/b", False),
        ("https://h/a", "https://i/b", False),
    ],
)
@pytest.mark.parametrize("follow", ["all", "urllib2"])
def test_a_login_is_not_sent_in_clear_where_it_was_not(old: str, new: str, kept: bool, follow: str) -> None:
    import urllib.request

    asked = urllib.request.Request(old, headers={"Authorization": "Bearer x"})
    again = http._redirects(http.Request(old, follow=follow)).redirect_request(asked, None, 302, "Found", {}, new)
    assert again.has_header("Authorization") is kept
