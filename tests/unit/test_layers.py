"""In which order services stop, and start the other way round: read from the containers, never from a list."""

from __future__ import annotations

from typing import Any

from mnemo_ops.agent.stack.containers import Container, layers


def container(service: str, *needs: str, published: bool = False, number: int = 1) -> Container:
    more: dict[str, Any] = {"state": "running", "health": "", "restart": "always", "image": "i", "image_id": "i"}
    depends = dict.fromkeys(needs, "service_started")
    return Container(
        id=f"{service}{number}", name=f"p-{service}-{number}", service=service, env={}, mounts=(), addresses=(),
        exit_code=0, grace=0, depends=depends, published=published, started="", **more,
    )  # fmt: skip


def order(*found: Container, stores: tuple[str, ...] = ("db", "redis")) -> list[list[str]]:
    return [[each.name for each in layer] for layer in layers(found, stores)]


def test_who_lets_clients_in_goes_first_and_what_stores_last() -> None:
    found = [
        *(container("db"), container("redis"), container("api", "db", "redis")),
        *(container("web", "api", published=True), container("worker", "redis"), container("beat", "worker")),
    ]
    assert [set(layer) for layer in order(*found)] == [
        {"p-web-1"},
        {"p-beat-1", "p-api-1"},
        {"p-worker-1"},
        {"p-db-1", "p-redis-1"},
    ]


def test_a_service_that_says_nothing_stops_before_what_stores_and_after_the_front() -> None:
    assert order(container("db"), container("mailer"), container("web", published=True)) == [
        ["p-web-1"],
        ["p-mailer-1"],
        ["p-db-1"],
    ]


def test_replicas_stop_together() -> None:
    found = [container("db"), *(container("worker", "db", number=number) for number in (1, 2, 3))]
    assert order(*found) == [["p-worker-1", "p-worker-2", "p-worker-3"], ["p-db-1"]]


def test_a_store_that_is_published_or_needs_others_is_still_a_store() -> None:
    found = [container("db", "setup", published=True), container("setup"), container("api", "db")]
    assert order(*found) == [["p-api-1"], ["p-db-1"], ["p-setup-1"]]


def test_a_circle_and_what_is_not_there_are_no_trouble() -> None:
    found = [container("a", "b"), container("b", "a", "gone")]
    assert order(*found) == [["p-a-1", "p-b-1"]]
    assert order() == []
