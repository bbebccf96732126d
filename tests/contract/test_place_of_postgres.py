"""Where a cluster goes that is made for a container which never ran: into the volume that is declared, or nowhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from acting import STACK, bare
from postgres_model import FACTS
from world import World

from mnemo_ops.agent.stack.containers import Container
from mnemo_ops.agent.stack.datasets.postgres import Postgres
from mnemo_ops.agent.stack.stack import Stack
from mnemo_ops.errors import Refused

NAMELESS = "ab" * 32  # Docker makes such a one for what an image declares and nobody mounts


def made(data: str, **mounts: str) -> Container:
    rows: tuple[Any, ...] = tuple(
        {"Type": "volume", "Name": name, "Source": f"/var/lib/docker/volumes/{name}/_data", "Destination": place}
        for name, place in mounts.items()
    )
    return Container(
        **{"id": "1", "name": "p-db-1", "service": "db", "state": "created", "health": "", "restart": "no"},
        **{"image": "pg:18", "image_id": "sha256:1", "env": {"PGDATA": data}, "mounts": rows, "addresses": ()},
        **{"exit_code": 0, "grace": 0, "depends": {}, "published": False, "started": ""},
    )


@pytest.mark.parametrize(
    ("data", "mounts", "below"),
    [
        ("/pg/data", {"p_pg": "/pg/data"}, ""),
        ("/pg/18/docker", {"p_pg": "/pg"}, "/18/docker"),
        ("/pg/18/docker", {"p_pg": "/pg/data", NAMELESS: "/pg"}, None),
    ],
    ids=["as before 18", "as 18 wants it", "18 with the mount of before"],
)
def test_where_the_data_go(data: str, mounts: dict[str, str], below: str | None, tmp_path: Path) -> None:
    world = World(tmp_path)
    bare(world)
    machine, stack = world.machine(), Stack.from_json(STACK)
    for name in mounts:
        machine.run(["docker", "volume", "create", name])
    kind = Postgres(machine, stack, stack.of_kind("postgres")[0], (made(data, **mounts),))
    if below is None:
        with pytest.raises(Refused, match="p_pg"):
            kind.place(FACTS)
    else:
        assert kind.place(FACTS) == f"/var/lib/docker/volumes/p_pg/_data{below}"
