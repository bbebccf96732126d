"""What follows from a compose project, as people read it: 80 columns, each row with its reason."""

from __future__ import annotations

from mnemo_ops.flows import derived

WHY = "PG_VERSION 16 in its 18/docker, where the server of notes-database-1 has its data; and other words"
OVER = 'stack.datasets: [{"name": "postgres", "kind": "KIND", "volume": "postgres"}]'
ROWS = [
    {"topic": "dataset", "what": "postgres", "value": "postgres, served by db", "reason": WHY, "overrule": OVER},
    {"topic": "dataset", "what": "config", "value": "config", "reason": "its files", "overrule": ""},
    {"topic": "writers", "what": "postgres", "value": "db\x1b[2J", "reason": "a\nb", "overrule": ""},
]


def test_a_table_of_80_columns() -> None:
    lines = derived.table("old", {"directory": "/srv/notes", "rows": ROWS})
    assert max(map(len, lines)) <= 80
    text = " ".join(" ".join(lines).split())
    assert WHY in text and OVER in text
    assert lines[0].startswith("old: ") and lines[0].endswith("/srv/notes")
    assert [line for line in lines if line.isupper()] == ["DATASET", "WRITERS"]
    assert "\x1b" not in text and "a\\nb" in text
