"""A dump of a whole cluster: the globals, and an archive of each database, each with its proof in one snapshot."""

from __future__ import annotations

import secrets

from mnemo_ops.agent.base.progress import Deed
from mnemo_ops.agent.stack.cluster import facts as cluster_facts
from mnemo_ops.agent.stack.cluster import globals as cluster_globals
from mnemo_ops.agent.stack.cluster import proof
from mnemo_ops.agent.stack.cluster.server import Server

GLOBALS = "globals.sql"  # holds password hashes and the salt of the proof: it is to be encrypted
_SALT = "-- salt "


def dump(server: Server, directory: str, compress: str = "") -> Deed:
    """Write ``globals.sql`` and ``database-N.dump`` into a directory that is there.

    :param compress: for ``pg_dump -Z``, where other programs are to read it; else the best its own know.
    :returns: facts of the cluster (:func:`.facts.look`), ``user``, ``files`` (database to file) and ``proof``.
    :raises Refused: the cluster has what no dump carries (3).
    :raises StepFailed: Postgres' own words (6).
    """
    found = cluster_facts.look(server)
    cluster_facts.refuse(found)
    machine, salt = server.machine, secrets.token_hex(16)
    names = cluster_facts.carried(found)
    total = sum(found["databases"][name]["bytes"] for name in names)
    with machine.making(f"{directory}/{GLOBALS}") as sink:
        sink.write(f"{_SALT}{salt}\n".encode())
        sink.flush()
        words = ["--globals-only", "-l", server.entry, "-d", server.to(server.entry, client_encoding="UTF8")]
        machine.pipe(server.run("pg_dumpall", *words), sink=sink)
        sink.write(cluster_globals.forgotten(server).encode())
    proofs = {"": proof.of_cluster(server, salt)}
    compress, files, done = compress or compression(server), {}, 0
    for number, name in enumerate(names, 1):
        files[name] = f"database-{number}.dump"
        path = f"{directory}/{files[name]}"
        with server.snapshot(name) as talk:
            snapshot = proof.exported(talk)
            words = ["-Fc", "-Z", compress, f"--snapshot={snapshot}", "-d", server.to(name)]
            with machine.making(path) as sink:
                yield from machine.moving(
                    server.run("pg_dump", *words), path, done, total, f"dumping {name}", sink=sink
                )
            proofs[name] = proof.of_database(server, name, talk, salt)
        done += found["databases"][name]["bytes"]
    return {**found, "user": server.user, "files": files, "proof": proofs}


def salt_of(text: str) -> str:
    """The salt of the proof, from the globals of its set."""
    return text.partition("\n")[0][len(_SALT) :]


def compression(server: Server) -> str:
    """What its ``pg_dump`` knows: zstd where it was built with it, gzip everywhere."""
    probe = ["-Fc", "-Z", "zstd:3", "--schema-only", "-T", "*", "-d", server.to(server.entry)]
    return "zstd:3" if server.machine.ask(server.run("pg_dump", *probe), check=False).rc == 0 else "3"
