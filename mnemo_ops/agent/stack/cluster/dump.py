"""A dump of a whole cluster: an archive of each database with its proof in one snapshot, and what is secret of it."""

from __future__ import annotations

import secrets
from contextlib import suppress
from typing import Any, Dict, Mapping

from mnemo_ops.agent.base.progress import Deed, Progress
from mnemo_ops.agent.stack.cluster import facts as cluster_facts
from mnemo_ops.agent.stack.cluster import files, proof
from mnemo_ops.agent.stack.cluster import globals as cluster_globals
from mnemo_ops.agent.stack.cluster.entrance import Entrance
from mnemo_ops.agent.stack.cluster.server import Server
from mnemo_ops.errors import MnemoError


def dump(entrance: Entrance, directory: str, name: str, compress: str = "") -> Deed:
    """Write ``NAME.N.dump``, the archive of each database, into a directory that is there.

    :param name: of the dataset.
    :param compress: for ``pg_dump -Z``, where other programs are to read it; else the best its own know.
    :returns: ``facts`` of the cluster (``files``: database to file; ``rows``: proof of what each holds), ``secret``:
        its globals with the hashes of passwords, its configuration, the salt and the proof of all else, as far as it
        must be asked now: :func:`told` says the rest.
    :raises StepFailed: Postgres' own words (6).
    """
    from concurrent.futures import ThreadPoolExecutor  # few need it

    server, home = entrance.server, entrance.home
    machine, salt = server.machine, secrets.token_hex(16)
    # each program takes a tenth of a second to come into a container, and nobody may write meanwhile
    with server.held(), ThreadPoolExecutor(2) as pool:
        roles = pool.submit(cluster_globals.roles, server)
        with server.snapshot(server.entry) as talk:
            found = cluster_facts.of_cluster(talk.query)
            names = cluster_facts.carried(found)
            out = [database for database in found["databases"] if database not in names]
            proofs, everybody = {"": proof.of_cluster(talk.query, salt, out=out)}, cluster_globals.for_all(talk.query)
        compress, archives, rows, done = compress or compression(found), {}, {}, 0
        for number, database in enumerate(names, 1):
            archives[database] = f"{name}.{number}.dump"
            path = f"{directory}/{archives[database]}"
            with server.snapshot(database) as talk:
                words = ["-Fc", "-Z", compress, f"--snapshot={proof.exported(talk)}", "-d", server.to(database)]
                session = talk.ask("SELECT pg_backend_pid();")
                counted = pool.submit(proof.rows, talk)
                try:
                    with machine.making(path) as sink:
                        run = server.run("pg_dump", *words)
                        yield from machine.moving(run, path, done, found["bytes"], f"dumping {database}", sink=sink)
                except BaseException:
                    with suppress(MnemoError):  # counting may take long, and would go on without us
                        server.sql(f"SELECT pg_terminate_backend({session});")
                    talk.kill()
                    counted.exception()
                    raise
                rows[database] = counted.result()
                cluster_facts.add(found, database, talk.query)
                proofs[database] = proof.within(talk)
                if not _readable(found, database):
                    proofs[database].update(proof.entries(server, database, salt, proof.exported(talk)))
            done += found["databases"][database]["bytes"]
        said = roles.result() + everybody
    secret: Dict[str, Any] = {"salt": salt, "globals": said, "files": files.read(machine, home.path), "proof": proofs}
    where = {key: getattr(home, key) for key in ("data", "programs", "uid", "gid")}
    return {"facts": {**found, **where, "user": server.user, "files": archives, "rows": rows}, "secret": secret}


def told(server: Server, facts: Mapping[str, Any], secret: Mapping[str, Any], directory: str) -> Deed:
    """What the archives of :func:`dump` say of each database besides its rows, into its proof: nobody need wait.

    :raises StepFailed: Postgres' own words (6).
    """
    for database in (each for each in facts["files"] if _readable(facts, each)):
        yield Progress(note=f"reading the schema of {database}")
        with server.machine.open(f"{directory}/{facts['files'][database]}") as archive:
            entries = proof.archived(server, archive, facts["major"], secret["salt"])
            secret["proof"][database].update(entries)
    return {}


def _readable(facts: Mapping[str, Any], database: str) -> bool:
    """Whether its archive is in the encoding of a proof."""
    return bool(facts["databases"][database]["encoding"] == "UTF8")


def compression(facts: Mapping[str, Any]) -> str:
    """What the server's own ``pg_dump`` knows: zstd since 16 where it was built with it, gzip everywhere."""
    return "zstd:3" if facts["major"] >= 16 and facts["zstd"] else "3"
