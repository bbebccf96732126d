"""The source's own configuration, put in place; what another major does not know of it stays there as a comment."""

from __future__ import annotations

import base64
from typing import Any, Dict, List, Mapping, Sequence

from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.stack.cluster import files
from mnemo_ops.agent.stack.cluster.place import Place
from mnemo_ops.agent.stack.cluster.server import Server

# read anew from the files, and not applied. Of what only a start may change, another value is an error, too.
# The last ones are judged by the database of who asks; a server starts with any of them
_REFUSED = """SELECT coalesce(json_agg(json_build_array(f.name, f.sourcefile, f.sourceline) ORDER BY f.seqno), '[]')
FROM pg_file_settings f LEFT JOIN pg_settings s ON lower(s.name) = lower(f.name)
WHERE f.name IS NOT NULL AND f.error IS NOT NULL AND s.context IS DISTINCT FROM 'postmaster'
 AND lower(f.name) NOT IN ('default_text_search_config', 'default_table_access_method', 'default_tablespace',
  'temp_tablespaces', 'client_encoding');"""


def put(machine: Machine, place: Place, every: Mapping[str, Any]) -> None:
    """Instead of what ``initdb`` wrote. :param every: as :func:`.files.read` returned it."""
    for name in {each.partition("/")[0] for each in files.names(machine, place.data)}:
        machine.remove(f"{place.data}/{name}")
    files.put(machine, place.data, every, place.uid, place.gid)


def leave_out(machine: Machine, place: Place, every: Mapping[str, Any], server: Server, major: int) -> List[str]:
    """Make comments of the lines with which the server would not start. Its own files are never read again.

    :param every: what was :func:`put`. :param server: which runs there on what ``initdb`` wrote. :param major: its.
    :returns: ``NAME (FILE, line N)``. :raises CommandFailed: Postgres' own words (6).
    """
    left: List[str] = []
    now: Dict[str, List[bytes]] = {
        name: base64.b64decode(one["content"]).split(b"\n") for name, one in every.items() if "content" in one
    }
    # a server that meets a name it does not know looks at no value: hence again
    while found := _refused(server, place.data, now):
        for name, file, line in found:
            left.append(f"{name} ({file}, line {line})")
            now[file][line - 1] = b"# not of Postgres %d: %s" % (major, now[file][line - 1])
        changed = {file: b"\n".join(now[file]) for _, file, _ in found}
        edited = {file: {**every[file], "content": base64.b64encode(text).decode()} for file, text in changed.items()}
        files.put(machine, place.data, edited, place.uid, place.gid)
    return left


def _refused(server: Server, data: str, ours: Mapping[str, Any]) -> List[Sequence[Any]]:
    """Name, file and line; a file that is included from elsewhere is not ours."""
    rows = [(name, path[len(data) + 1 :], line) for name, path, line in server.query(_REFUSED) if path]
    return [row for row in rows if row[1] in ours]
