"""A dump of a whole cluster: an archive of each database with its proof in one snapshot, and what is secret of it."""

from __future__ import annotations

import secrets
from typing import Any, Dict, Mapping

from mnemo_ops.agent.base.progress import Deed
from mnemo_ops.agent.stack.cluster import facts as cluster_facts
from mnemo_ops.agent.stack.cluster import files, proof
from mnemo_ops.agent.stack.cluster import globals as cluster_globals
from mnemo_ops.agent.stack.cluster.entrance import Entrance
from mnemo_ops.agent.stack.postgres_digest import QUESTION


def dump(entrance: Entrance, directory: str, name: str, compress: str = "") -> Deed:
    """Write ``NAME.N.dump``, the archive of each database, into a directory that is there.

    :param name: of the dataset.
    :param compress: for ``pg_dump -Z``, where other programs are to read it; else the best its own know.
    :returns: ``facts`` of the cluster (``files``: database to file; ``rows``: proof of what each holds), ``secret``:
        its globals with the hashes of passwords, its configuration, the proof of all else and the salt of that.
    :raises StepFailed: Postgres' own words (6).
    """
    server, home = entrance.server, entrance.home
    machine, salt = server.machine, secrets.token_hex(16)
    # each program takes a tenth of a second to come into a container, and nobody may write meanwhile
    with server.snapshot(server.entry) as talk:
        found = cluster_facts.of_cluster(talk.query)
        names = cluster_facts.carried(found)
        out = [database for database in found["databases"] if database not in names]
        proofs = {"": proof.of_cluster(talk.query, salt, out=out)}
        roles = cluster_globals.told(server, talk.query)
    secret: Dict[str, Any] = {"salt": salt, "globals": roles, "files": files.read(machine, home.path), "proof": proofs}
    compress, archives, rows, done = compress or compression(found), {}, {}, 0
    for number, database in enumerate(names, 1):
        archives[database] = f"{name}.{number}.dump"
        path = f"{directory}/{archives[database]}"
        with server.snapshot(database) as talk:
            words = ["-Fc", "-Z", compress, f"--snapshot={proof.exported(talk)}", "-d", server.to(database)]
            with server.working(talk, QUESTION):  # the rows are hashed while they are dumped
                with machine.making(path) as sink:
                    run = server.run("pg_dump", *words)
                    yield from machine.moving(run, path, done, found["bytes"], f"dumping {database}", sink=sink)
                rows[database] = proof.rows(talk, told=True)
            cluster_facts.add(found, database, talk.query)
            proofs[database] = proof.of_database(server, database, talk, salt)
        done += found["databases"][database]["bytes"]
    where = {key: getattr(home, key) for key in ("data", "programs", "uid", "gid")}
    return {"facts": {**found, **where, "user": server.user, "files": archives, "rows": rows}, "secret": secret}


def compression(facts: Mapping[str, Any]) -> str:
    """What the server's own ``pg_dump`` knows: zstd since 16 where it was built with it, gzip everywhere."""
    return "zstd:3" if facts["major"] >= 16 and facts["zstd"] else "3"
