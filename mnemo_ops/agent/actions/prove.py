"""Proofs on a running stack: rows as they were, every document with its file, a vector query, honest health."""

from __future__ import annotations

from typing import Any, ClassVar, Dict, List, Mapping

from mnemo_ops.agent.base.progress import Deed, Progress
from mnemo_ops.agent.base.record import dataclass, replace
from mnemo_ops.agent.engine.action import Action
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.stack import containers
from mnemo_ops.agent.stack.cluster import proof
from mnemo_ops.agent.stack.cluster.entrance import enter
from mnemo_ops.agent.stack.cluster.server import Server
from mnemo_ops.agent.stack.sql import literal
from mnemo_ops.agent.stack.stack import Stack, root
from mnemo_ops.errors import VerificationFailed

# every column of pgvector's type that has an approximate index
VECTORS = """SELECT coalesce(json_agg(json_build_object('table', format('%I.%I', n.nspname, c.relname),
 'column', quote_ident(a.attname), 'index', i.relname)), '[]')
FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_am m ON m.oid = i.relam
JOIN pg_class c ON c.oid = x.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = x.indkey[0]
JOIN pg_type t ON t.oid = a.atttypid WHERE m.amname IN ('hnsw', 'ivfflat') AND t.typname = 'vector';"""

# with its schema, which the search path need not name
OPERATORS = """SELECT json_agg(format('OPERATOR(%s.%s)', o.oprnamespace::regnamespace, o.oprname))
FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
JOIN pg_amop p ON p.amopfamily = (SELECT opcfamily FROM pg_opclass WHERE oid = x.indclass[0])
JOIN pg_operator o ON o.oid = p.amopopr WHERE i.relname = {index} AND p.amoppurpose = 'o';"""

# the table of a name without a schema: there is no search path that could say which
NAMED = """SELECT coalesce(json_agg(json_build_object('name', format('%I.%I', nspname, relname), 'kind', relkind)
 ORDER BY nspname <> 'public', nspname), '[]')
FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace, parse_ident({name}) AS words
WHERE relname = words[cardinality(words)] AND relkind IN ('r', 'p', 'f', 'm', 'v')
 AND CASE cardinality(words) WHEN 1 THEN nspname !~ '^pg_' AND nspname <> 'information_schema'
 ELSE nspname = words[1] END;"""


@dataclass(frozen=True)
class ProveStack(Action):
    """Compare the running databases with the digests of the set and use them as the application would.

    :param clusters: the postgres datasets of the manifest, by name.
    :param documents: table and columns that say where files are: ``table``, ``path``, ``size`` and ``sha256`` (columns;
        the last two may be empty), ``base`` (the dataset with the files).
    :param health: service -> ``port/path`` that must answer 200.
    :raises VerificationFailed: names every difference (7).
    """

    stack: Mapping[str, Any]
    clusters: Mapping[str, Mapping[str, Any]]
    documents: Mapping[str, str]
    health: Mapping[str, str]
    kind: ClassVar[str] = "prove_stack"

    def run(self, machine: Machine) -> Deed:
        stack = Stack.from_json(self.stack)
        found = containers.containers(machine, stack.project)
        spec = self._where(machine, stack)
        wrong: List[str] = []
        vectors = documents = 0
        for dataset in (each for each in stack.of_kind("postgres") if each.name in self.clusters):
            rows = self.clusters[dataset.name]["rows"]
            server = enter(machine, containers.one(found, dataset.service)).server
            yield Progress(note=f"comparing the tables of {dataset.name}")
            wrong += proof.of_rows(server, rows)
            yield Progress(note="a vector query through each index")
            servers = [replace(server, entry=name) for name in rows]  # any database may hold them
            with server.held():
                vectors += sum(_vectors(each, wrong) for each in servers)
            yield Progress(note="every document has its file")
            with server.held():
                documents += sum(_documents(machine, each, spec, wrong) for each in servers)
        for service, where in self.health.items():
            yield Progress(note=f"health of {service}")
            check_health(machine, found, service, where, wrong)
        if wrong:
            raise VerificationFailed("the new stack differs: " + "; ".join(wrong[:10]))
        return {"vector_indexes": vectors, "documents": documents}

    def _where(self, machine: Machine, stack: Stack) -> Mapping[str, str]:
        """``documents`` with the directory of its dataset on this host."""
        base = [each for each in stack.datasets if each.name == self.documents.get("base")]
        return {**self.documents, "base": root(machine, stack, base[0])} if base else self.documents


def _vectors(server: Server, wrong: List[str]) -> int:
    """Ask each index for the nearest neighbours of a stored vector; the vector itself must come first."""
    checked = 0
    for row in server.query(VECTORS):
        operator = server.query(OPERATORS.format(index=literal(row["index"])))[0]
        table, column = row["table"], row["column"]
        probe = f"(SELECT {column} FROM {table} WHERE {column} IS NOT NULL LIMIT 1)"
        ordered = f"SELECT ctid FROM {table} ORDER BY {column} {operator} {probe} LIMIT 5"
        plan = server.query(f"SET enable_seqscan = off; EXPLAIN (FORMAT json, COSTS off) {ordered};")
        if row["index"] not in str(plan):
            wrong.append(f"the index {row['index']} is not used by a vector query")
        near = f"SELECT to_json(array_agg(d)) FROM (SELECT {column} {operator} {probe} AS d FROM {table}"
        distances = server.query(f"SET enable_seqscan = off; {near} ORDER BY 1 LIMIT 5) q;") or []
        exact = server.query(f"SELECT to_json(min({column} {operator} {probe})) FROM {table};")
        if distances and (exact is None or abs(distances[0] - exact) > 1e-6):
            wrong.append(f"the nearest neighbour through {row['index']} is not the nearest one")
        checked += 1
    return checked


def _documents(machine: Machine, server: Server, spec: Mapping[str, str], wrong: List[str]) -> int:
    """Every row that names a file has it, with its size and checksum."""
    found = server.query(NAMED.format(name=literal(spec["table"]))) if spec else ()
    if not found:
        return 0
    table = found[0]["name"]
    if found[0]["kind"] == "v":
        wrong.append(f"{table} is a view: a superuser who reads it runs its owner's functions; name its table instead")
        return 0
    # concat, unlike json_build_object and ::text, runs no cast that the type's owner made
    columns = [f"'{key}', nullif(concat({spec[key]}), '')" for key in ("path", "size", "sha256") if spec.get(key)]
    rows: List[Dict[str, Any]] = server.query(
        f"SELECT coalesce(json_agg(json_build_object({', '.join(columns)})), '[]') FROM {table} "
        f"WHERE concat({spec['path']}) <> '';"
    )
    bad = [row["path"] for row in rows if not _whole(machine, f"{spec['base']}/{row['path']}", row)]
    if bad:
        wrong.append(f"{len(bad)} documents without their whole file, the first: {bad[0]}")
    return len(rows)


def _whole(machine: Machine, path: str, row: Mapping[str, Any]) -> bool:
    found = machine.stat(path)
    try:
        if found is None or (row.get("size") is not None and found.size != float(row["size"])):
            return False
    except ValueError:  # what no file can have
        return False
    return not row.get("sha256") or machine.sha256(path) == row["sha256"]


def check_health(machine: Machine, found: containers.Found, service: str, where: str, wrong: List[str]) -> None:
    container = containers.one(found, service)
    status, body = machine.http_get(f"http://{container.addresses[0]}:{where}", 10.0)
    if status != 200:
        wrong.append(f"{service} answers {status} on {where}: {body[:200].decode('utf-8', 'replace')}")
