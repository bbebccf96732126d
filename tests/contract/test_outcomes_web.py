"""What get_url and uri promise beyond the contract."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from example import files
from running import run, task
from web import FILES, Site, site
from world import World

from mnemo_ops.agent.base.protocol import Event

WEB = True  # these tests reach the web server of web.py


@pytest.fixture
def world(tmp_path: Path) -> World:
    (tmp_path / "host").mkdir()
    return World(tmp_path / "host")


def asked(world: World, path: str, **args: Any) -> dict[str, Any]:
    event = run(task("uri", register=True, url=site() + path, **args), world.machine())
    assert event.status == "ok" and event.after is not None, event
    return event.after


def got(world: World, path: str, **args: Any) -> Event:
    return run(task("get_url", register=True, url=site() + path, **args), world.machine())


def test_a_file_that_is_there_is_not_fetched_again(world: World) -> None:
    assert got(world, "/tool", dest="/srv/tool").status == "changed"
    assert (world.root / "srv/tool").read_bytes() == FILES["/tool"]
    Site.asked.clear()
    right = hashlib.sha1(FILES["/tool"]).hexdigest()
    assert got(world, "/tool", dest="/srv/tool").status == "ok"
    event = got(world, "/tool", dest="/srv/tool", checksum=f"sha1:{right.upper()}")
    assert event.status == "ok" and event.after is not None and event.after["checksum_dest"] == right
    assert Site.asked == []


def test_what_does_not_fit_its_checksum_never_gets_there(world: World) -> None:
    files(tool="old")(world)
    event = got(world, "/tool", dest="/srv/tool", checksum="sha256:" + "0" * 64)
    assert event.status == "failed" and "0" * 64 in event.why
    assert world.read("srv/tool") == "old" and [path.name for path in (world.root / "srv").iterdir()] == ["tool"]
    event = got(world, "/text2", dest="/srv/tool", checksum=f"sha256:{site()}/sums")
    assert event.status == "failed" and "text2" in event.why


def test_a_record_says_what_was_fetched(world: World) -> None:
    event = got(world, "/text", dest="/srv/x", mode="0600")
    assert event.after is not None and event.after["status_code"] == 200 and event.after["dest"] == "/srv/x"
    assert event.after["checksum_src"] == event.after["checksum_dest"] == hashlib.sha1(FILES["/text"]).hexdigest()
    assert (event.after["mode"], event.after["size"], event.after["state"]) == ("0600", len(FILES["/text"]), "file")


@pytest.mark.parametrize(("path", "words"), [("/none", "404"), ("http://127.0.0.1:1/x", "refused")])
def test_what_cannot_be_fetched_says_why(world: World, path: str, words: str) -> None:
    url = path if "://" in path else site() + path
    event = run(task("get_url", url=url, dest="/srv/x"), world.machine())
    assert event.status == "failed" and words in event.why and not (world.root / "srv/x").exists()
    event = run(task("get_url", url=site() + "/tool", dest="/srv/none/x"), world.machine())
    assert event.status == "failed" and "/srv/none" in event.why


def test_an_answer_is_read(world: World) -> None:
    found = asked(world, "/echo", method="post", body={"a": [1]}, body_format="json", headers={"X-Own": "1"})
    assert found["status"] == 200 and found["content_type"] == "application/json" and "content" not in found
    assert found["json"]["method"] == "POST" and json.loads(found["json"]["body"]) == {"a": [1]}
    assert found["json"]["headers"]["Content-Type"] == "application/json" and found["json"]["headers"]["X-Own"] == "1"
    assert found["cookies"] == {"a": "b"} and found["cookies_string"] == "a=b" and not found["redirected"]
    assert asked(world, "/text", return_content=True)["content"] == "grüße\n"
    assert asked(world, "/packed", return_content=True)["content"] == "unpacked"
    found = asked(world, "/echo", method="PUT", body={"a": "ü", "b": [1, 2]}, body_format="form-urlencoded")
    assert found["json"]["body"] == "a=%C3%BC&b=1&b=2"


def test_a_file_is_sent(world: World) -> None:
    digest = world.offer(b"payload")
    assert asked(world, "/echo", method="PUT", src="x", sha256=digest)["json"]["body"] == "payload"
    files(x="mine")(world)
    assert asked(world, "/echo", method="PUT", src="/srv/x", remote_src=True)["json"]["body"] == "mine"


def test_another_status_is_a_failure_and_a_record(world: World) -> None:
    event = run(task("uri", register=True, url=site() + "/none"), world.machine())
    assert event.status == "failed" and "404" in event.why
    assert event.before is not None and event.before["content"] == "nothing here" and event.before["status"] == 404
    assert asked(world, "/none", status_code=[404, 200])["status"] == 404
    event = run(task("uri", register=True, url="http://127.0.0.1:1/"), world.machine())
    assert event.status == "failed" and event.before is not None and event.before["status"] == -1
    assert "refused" in event.why
    assert "refused" in event.before["msg"] and event.before["content"] == ""


@pytest.mark.parametrize(
    ("follow", "method", "status", "ends"),
    [
        ("safe", "GET", 302, "GET"),
        ("safe", "POST", 302, ""),
        ("all", "POST", 302, "GET"),
        ("all", "POST", 307, "POST"),
        ("all", "PUT", 308, "PUT"),
        ("all", "POST", 303, "GET"),
        ("none", "GET", 302, ""),
        ("urllib2", "POST", 302, "GET"),
    ],
)
def test_redirects(world: World, follow: str, method: str, status: int, ends: str) -> None:
    body = None if method == "GET" else "x"
    args = {"follow_redirects": follow, "method": method, "body": body, "status_code": [200, status]}
    found = asked(world, f"/moved/{status}", **args)
    assert found["redirected"] == bool(ends) and found["status"] == (200 if ends else status)
    if ends:
        assert found["json"]["method"] == ends and found["json"]["body"] == ("x" if ends in ("POST", "PUT") else "")


def test_a_login_is_told_to_who_asks(world: World) -> None:
    who = {"url_username": "me", "url_password": "secret"}
    assert asked(world, "/login", **who)["json"] == {"in": True}
    assert asked(world, "/login", force_basic_auth=True, **who)["json"] == {"in": True}
    event = run(task("uri", url=site().replace("//", "//me:secret@") + "/login"), world.machine())
    assert event.status == "ok"
    event = run(task("uri", url=site() + "/login", url_username="me", url_password="no"), world.machine())
    assert event.status == "failed" and "401" in event.why
    world.write("root/.netrc", "machine 127.0.0.1 login me password secret\n")
    event = run(task("uri", url=site() + "/login", force_basic_auth=True), world.machine())
    assert event.status == "ok", event
    event = run(task("uri", url=site() + "/login", use_netrc=False), world.machine())
    assert event.status == "failed"


def test_no_checksum_that_is_none() -> None:
    for checksum in ("2cf24d", "sha256:xyz", "crc:12", "sha256:"):
        with pytest.raises(ValueError):
            task("get_url", url="http://x/y", dest="/x", checksum=checksum).resource()
