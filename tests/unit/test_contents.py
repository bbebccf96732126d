"""What a backup holds and what a restore replaces: numbers for programs, 80 columns for people, and nothing secret."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mnemo_ops.flows import contents

SUM = "5" * 64
HASH = "1234567890:0987654321"
PASSWORD = "SCRAM-SHA-256$4096:c2FsdA==$"
MADE: dict[str, Any] = {
    **{"id": "20260101T120000Z-00a1", "state": "complete", "checked": "sizes", "why": "", "created": 1767268800.0},
    **{"host": "old", "consistency": "quiesced", "bytes": 3_000_000, "migration": "", "verified": None},
    "parts": [{"name": "postgres.1.dump", "bytes": 3_000_000, "sha256": SUM}],
}


def database(**more: Any) -> dict[str, Any]:
    own = {"encoding": "UTF8", "collate": "C", "ctype": "C", "provider": "c", "locale": "", "rules": "", "bytes": 1000}
    return {**own, "extensions": {}, "public": True, **more}


VECTOR = {"16400": {"name": "vector", "version": "0.7.0", "schema": "public", "owner": "app"}}
CLUSTER: dict[str, Any] = {
    **{"kind": "postgres", "version": "16.4", "major": 16, "bytes": 3_000_000, "segment": 16, "checksums": True},
    **{"superuser": "app", "user": "app", "mode": "0700", "preloaded": PASSWORD, "data": "/pg", "programs": "/bin"},
    **{"roles": ["reader", "pg_monitor", "app"], "uid": 0, "gid": 0, "cron": "", "secrets": "postgres.secrets.age"},
    "databases": {
        "template0": database(),
        "shop": database(extensions=VECTOR),
        "other": database(),
        "shut": database(),
    },
    "files": {"shop": "postgres.1.dump", "other": "postgres.2.dump"},
    "left_out": ["pg_wal (a link)"],
    "rows": {
        "shop": {"rows of public.a": f"40000 ({HASH})", "rows of public.b": f"190 ({HASH})", "sequence public.s": "7"},
        "other": {"large objects": f"3 ({HASH})"},
    },
}
EARLIER: dict[str, Any] = {
    **{"kind": "postgres", "bytes": 9, "major": 15, "encoding": "UTF8", "collate": "C", "ctype": "C", "provider": ""},
    **{"locale": "", "rules": "", "extensions": {"vector": "0.5.1"}, "sequences": {"s": 1}, "needed_roles": ["ann"]},
    **{"tables": {"public.t": {"rows": 7, "hash": HASH}}, "matviews": {"v": {"definition": PASSWORD}}},
}
TREE = {"kind": "files", "bytes": 3_200_000_000, "sha256": SUM, "files": 1190, "left_out": ["run/s (a socket)"]}


def test_what_a_cluster_holds() -> None:
    found = contents.of_dataset("postgres", CLUSTER)
    assert {name: one for name, one in found.items() if name != "databases"} == {
        **{"name": "postgres", "kind": "postgres", "bytes": 3_000_000, "version": "16.4", "roles": ["app", "reader"]},
        "left_out": ["pg_wal (a link)"],
    }
    other, shop = found["databases"]
    assert shop == {
        **{"name": "shop", "bytes": 1000, "encoding": "UTF8", "extensions": {"vector": "0.7.0"}, "rows": 40190},
        "tables": {"public.a": 40000, "public.b": 190},
    }
    assert (other["name"], other["rows"], other["tables"]) == ("other", 0, {})


def test_what_a_backup_of_an_earlier_version_holds() -> None:
    found = contents.of_dataset("postgres", EARLIER)
    assert (found["version"], found["roles"]) == ("15", None)
    (only,) = found["databases"]
    assert (only["name"], only["rows"], only["tables"], only["extensions"]) == (
        *("", 7, {"public.t": 7}),
        {"vector": "0.5.1"},
    )


@pytest.mark.parametrize("rows", ["many", f"9{'0' * 5000} (x)", "", "-1 (x)", "7"])
def test_a_count_that_is_none_is_unknown(rows: str) -> None:
    """Longer than Python reads, say; no other count is made of it."""
    odd = {**CLUSTER, "files": {"shop": "x"}, "rows": {"shop": {"rows of t": rows, "rows of u": "1 (x)"}}}
    (shop,) = contents.of_dataset("postgres", odd)["databases"]
    assert (shop["rows"], shop["tables"]) == (None, {"t": None, "u": 1})
    for count in ("7", True, -1, 1 << 70, None, []):
        (only,) = contents.of_dataset("db", {**EARLIER, "tables": {"t": {"rows": count}, "u": 1}})["databases"]
        assert only["rows"] is None
        assert contents.of_dataset("files", {**TREE, "files": count})["files"] is None


def made(*datasets: tuple[str, Any], **more: Any) -> dict[str, Any]:
    rows = [contents.of_dataset(name, facts) for name, facts in datasets]
    about = {"format": 3, "tool": "1.0", "accepted_losses": [], "volumes": {"pg": {"driver": "local", "device": ""}}}
    return {**MADE, **about, "datasets": rows, **more}


def test_values_are_never_shown() -> None:
    found = made(("postgres", CLUSTER), ("db", EARLIER), ("uploads", TREE))
    text = "\n".join(contents.table(found, "old", parts=True, tables=True))
    for secret in (HASH, PASSWORD, "/pg", "ann", "sequence"):
        assert secret not in text and secret not in json.dumps(found)


def words(text: str, line: str) -> list[str]:
    """The words of the line that begins with one."""
    return next(one.split() for one in text.splitlines() if one.split()[:1] == [line])


def test_people_read_all_of_it() -> None:
    found = made(("postgres", CLUSTER), ("uploads", TREE), accepted_losses=["replication slots: a"])
    text = "\n".join(contents.table(found, "old"))
    assert words(text, "shop") == ["shop", "1.0", "kB", "UTF8", "2", "40190"]
    assert "vector 0.7.0" in text and "roles: app, reader" in text and "public.a" not in text and "1.dump" not in text
    assert (
        "16.4" in " ".join(words(text, "postgres")) and "replication slots: a" in text and "2026-01-01 12:00:00" in text
    )
    assert "not in the backup: run/s (a socket)" in text
    assert words(text, "uploads")[1:] == ["files,", "1190", "files,", "3.2", "GB"]
    assert "never restored" in text and "quiesced" in text and "mnemo_ops 1.0" in text
    with_all = "\n".join(contents.table(found, "old", parts=True, tables=True))
    assert "public.a: 40000 rows" in with_all and "postgres.1.dump" in with_all


@pytest.mark.parametrize("odd", ["x" * 5000, "a\nb", "\x1b[2J", "\u202egnp", "\ud800"])
def test_what_others_call_things_fits_and_does_nothing(odd: str) -> None:
    one = {odd: database(extensions={"1": {**VECTOR["16400"], "name": odd, "version": odd}})}
    hostile = {**CLUSTER, "version": odd, "roles": [odd] * 50, "databases": one, "files": one, "rows": {}}
    volumes = {odd: {"driver": odd, "device": ""}}
    found = made(("postgres", hostile), ("uploads", TREE), host=odd, tool=odd, consistency=odd, volumes=volumes)
    now = {
        "version": odd,
        "roles": [f"{odd}{number}" for number in range(50)],
        "databases": {f"{odd}x": {**one[odd], "rows": 1}},
    }
    both = contents.replaced({"postgres": {"now": now, "comes": hostile}})
    for line in [*contents.table(found, "old", parts=True), *contents.lines(both)]:
        assert len(line) <= contents.COLUMNS and "\x1b" not in line and "\u202e" not in line and "\n" not in line


@pytest.mark.parametrize("created", [-1e30, 1e30, 0.0, 1 << 99])
def test_no_time_is_too_odd(created: float) -> None:
    assert contents.table(made(("uploads", TREE), created=created), "old")


def test_what_cannot_be_used_is_shown_as_far_as_it_is_known() -> None:
    torn = {"id": "x", "state": "unreadable", "why": "no text", "created": 1767268800.0, "bytes": 5}
    newer = {**torn, "state": "newer", "format": 9, "why": "format 9 is none of ours"}
    for row in (torn, newer):
        text = "\n".join(contents.table(row, "old"))
        assert row["why"] in text and "5 B" in text and "2026-01-01" in text
    short = made(("uploads", TREE), state="damaged", why="uploads.tar.zst is missing")
    text = "\n".join(contents.table(short, "old"))
    assert "uploads.tar.zst is missing" in text and "1190 files" in text


# -- what a restore replaces ---------------------------------------------------------------------------------------


def now(*names: str, rows: Any = 40210, roles: Any = ("app", "pg_monitor")) -> dict[str, Any]:
    return {
        "version": "16.4",
        "roles": list(roles),
        "databases": {name: {**database(), "rows": rows} for name in names},
    }


def test_both_sides_of_a_restore() -> None:
    told = {
        "postgres": {"now": now("gone", "shop", roles=["app", "old", "pg_monitor"]), "comes": CLUSTER},
        "uploads": {"now": {"files": 1204, "bytes": 3_400_000_000}, "comes": TREE},
    }
    both = contents.replaced(told)
    assert both["uploads"]["before"] == {"files": 1204, "bytes": 3_400_000_000}
    assert (both["postgres"]["before"]["roles"], both["postgres"]["after"]["roles"]) == (
        ["app", "old"],
        ["app", "reader"],
    )
    assert both["postgres"]["before"]["bytes"] == 2000
    said = contents.lines(both)
    assert said == [
        "  postgres: 2 databases, 2.0 kB, about 80420 rows -> 2 databases, 3.0 MB, 40190",
        "      rows",
        "    shop: 1.0 kB, about 40210 rows -> 1.0 kB, 40190 rows",
        "    databases that go: gone",
        "    databases that come: other",
        "    roles that go: old",
        "    roles that come: reader",
        "  uploads: 1204 files, 3.4 GB -> 1190 files, 3.2 GB",
    ]


def test_what_nobody_can_tell_is_unknown_with_the_reason() -> None:
    both = contents.replaced({"postgres": {"now": {"why": "Postgres does not answer"}, "comes": CLUSTER}})
    (first, *_) = contents.lines(both)
    assert "unknown -> 2 databases" in first and "does not answer" in " ".join(contents.lines(both))
    odd = {"postgres": {"now": {"files": 1, "bytes": 1}, "comes": CLUSTER}, "graph": {"now": now("x"), "comes": TREE}}
    assert len(contents.lines(contents.replaced(odd))) >= 2


def test_a_backup_of_an_earlier_version_says_no_names() -> None:
    """No role goes, and which database comes is not in the set."""
    both = contents.replaced({"postgres": {"now": now("app"), "comes": EARLIER}})
    assert len(contents.lines(both)) == 1 and "1 database" in contents.lines(both)[0]


def test_a_closed_database_has_no_count() -> None:
    (first, *_) = contents.lines(contents.replaced({"db": {"now": now("shut", rows=None), "comes": CLUSTER}}))
    assert "1 database, 1.0 kB ->" in first
