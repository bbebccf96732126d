"""What speaks against a migration: each reason alone, and all of them in one report."""

from __future__ import annotations

from typing import Any

import mnemosyne
import pytest

from mnemo_ops.checks import preflight
from mnemo_ops.checks.findings import shown
from mnemo_ops.checks.preflight import Side

CHOSEN = mnemosyne.settings()
STORE = CHOSEN.store
GB = 10**9


def disk(path: str, free: int, *holds: str, inodes: int = 10**6) -> dict[str, Any]:
    return {"path": path, "free": free, "inodes": inodes, "holds": holds}


API: dict[str, Any] = {"api": {"state": "running", "health": "", "image": "a:1", "content": "a"}}
OTHER: dict[str, Any] = {"worker": {**API["api"], "content": "b"}}


def side(name: str, **survey: Any) -> Side:
    """A host with nothing on it, but for what is said."""
    bare: dict[str, Any] = {
        "machine_id": f"id-of-{name}",
        "clock": 1000.0,
        "tools": {},
        "directory": [],
        "mounted": False,
        "disks": [disk(STORE, 100 * GB, "store", "=db", "=uploads")],
        "fence": None,
        "target": None,
        "leases": {},
        "listening": [],
        "published": [],
        "containers": {},
        "docker": None,
        "troubles": [],
    }
    return Side(name, {"architecture": "x86_64"}, {**bare, **survey})


def serving(name: str, **survey: Any) -> Side:
    running = {
        "containers": {"api": {"state": "running", "health": "healthy", "image": "a", "content": "a"}},
        "container_names": ["mnemosyne-api"],
        "volumes": ["mnemosyne_postgres_data"],
        "directory": ["docker-compose.prod.yml"],
        "postgres": {"db": {"bytes": GB, "largest_table": GB}},
        "sizes": {"uploads": GB},
        "forgotten": [],
        "own_subnets": ["172.20.0.0/16"],
    }
    return side(name, **{**running, **survey})


def found(old: Side, new: Side) -> str:
    return "\n".join(f"{shown(each)} [{each.id}]" for each in preflight.problems(old, new, CHOSEN))


def test_a_serving_host_and_a_bare_one_may_begin() -> None:
    assert not found(serving("old"), side("new"))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (serving("old", postgres={"db": None}), side("new"), "old: its database db does not answer"),
        (serving("old", forgotten=["api: /data on /data"]), side("new"), "neither a dataset nor waived"),
        (
            serving("old", tools={"age": False, "tar": True}),
            side("new"),
            "old: it lacks age\n    -> invoke bootstrap --limit old",
        ),
        (serving("old"), side("new", disks=[disk(STORE, 4 * GB, "store", "=db", "=uploads")]), "[host.space]"),
        (serving("old", disks=[disk(STORE, GB, "store"), disk("/v", 0, "=db")]), side("new"), "old: 1000000000 bytes"),
        (
            serving("old"),
            side("new", disks=[disk(STORE, 9 * GB, "store", "=db"), disk("/data/uploads", GB, "=uploads")]),
            f"new: {GB} bytes free in /data/uploads; uploads needs {int(GB * 1.2)}",
        ),
        (serving("old", disks=[disk(STORE, 9 * GB, "store", inodes=10)]), side("new"), "only 10 inodes left"),
        (serving("old", mounted=True), side("new", mounted=True), "new: /srv/mnemosyne is itself a mount point"),
        (serving("old"), side("new", names=["mnemosyne-api"]), "new: it has other containers named mnemosyne-api"),
        (serving("old"), side("new", listening=["443/tcp"]), "already has port 443/tcp"),
        (serving("old", published=["53/udp"]), side("new", listening=["53/udp"]), "already has port 53/udp"),
        (serving("old"), side("new", subnets={"lan": ["172.20.5.0/24"]}), "new: the network lan (172.20.5.0/24)"),
        (serving("old"), side("new", volumes=["mnemosyne_postgres_data"]), "new: it already holds a stack"),
        (side("old"), side("new"), "old: it runs no stack"),
        (serving("old", containers={**API, **OTHER}), side("new"), "old: services run different images by one name"),
        (serving("old", emptied=["web: SECRET"]), side("new"), "old: started with values that its files do not give"),
        (serving("old", unnamed=["crawler"]), side("new"), "old: crawler runs, and would not on new"),
        (serving("old", outer_networks=["proxy"]), side("new", networks=["bridge"]), "docker network create proxy"),
        (serving("old"), side("new", occupied={"/data/photos": "of-somebody"}), "/data/photos holds of-somebody"),
        (serving("old"), side("new", troubles=["Docker does not answer"]), "new: Docker does not answer"),
    ],
)
def test_each_reason_is_a_sentence_with_names(old: Side, new: Side, said: str) -> None:
    assert said in found(old, new)


def test_the_wrong_direction_is_recognised() -> None:
    said = found(side("old"), serving("new"))
    assert "old: it runs no stack" in said
    assert "did you swap --from and --to?" in said


def test_the_way_back_names_the_run_that_moved_it() -> None:
    fence = {"run": "r1", "state": "final", "target": "id-of-old"}
    assert "new: this is the other direction: run r1" in found(serving("old"), side("new", fence=fence, volumes=["v"]))
    assert not found(serving("old"), side("new", fence=fence)), "an emptied host may be moved to again"


def test_one_machine_under_two_names() -> None:
    assert preflight.same_machine(side("a", machine_id="x"), side("b", machine_id="x"))
    assert not preflight.same_machine(side("a"), side("b"))


def test_every_reason_is_in_one_report() -> None:
    old = serving("old", postgres={"db": None}, forgotten=["api: /x on /x"])
    new = side("new", listening=["80/tcp"], names=["mnemosyne-api"])
    assert len(preflight.problems(old, new, CHOSEN)) == 4


def test_what_no_set_holds_is_a_reason_until_it_is_accepted() -> None:
    old = serving(
        "old", postgres={"a": {"bytes": GB, "losses": ["roles: app"]}, "b": {"bytes": 1, "losses": ["databases: b"]}}
    )
    assert len(preflight.problems(old, side("new"), CHOSEN)) == 2
    assert preflight.problems(old, side("new"), CHOSEN, accept_loss=True) == []


def test_clocks_are_compared_by_when_each_host_was_asked() -> None:
    old = serving("old", clock=1000.0)
    late = Side("new", {"architecture": "x86_64"}, {**side("new").survey, "clock": 1100.0}, asked=100.0)
    assert not found(old, late), "it was only asked later"
    assert "differ by 100.0 s" in found(old, Side("new", late.facts, late.survey))


@pytest.mark.parametrize(("hosts", "there"), [(["old", "third"], "third"), (None, "the machine abab")])
def test_who_was_moved_away_from_is_not_to_be_started(hosts: Any, there: str) -> None:
    """The advice was to start the older copy beside the one that serves."""
    fence = {"run": "r1", "state": "final", "target": "ab" * 16, **({"hosts": hosts} if hosts else {})}
    stopped = serving("old", fence=fence)
    stopped.survey["containers"]["api"]["state"] = "exited"  # type: ignore[index]
    said = found(stopped, side("new"))
    assert "docker start" not in said and there in said and "--from" in said
    assert "docker start mnemosyne-api" in found(
        Side("old", stopped.facts, {**stopped.survey, "fence": None}), side("new")
    )
