"""A set of an earlier version: one database, without owners and rights. All else is as the cluster of today has it."""

from __future__ import annotations

from typing import Any, List, Mapping

from mnemo_ops.agent.base.progress import Deed
from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.stack import postgres_digest
from mnemo_ops.agent.stack.cluster import facts as cluster_facts
from mnemo_ops.agent.stack.cluster import files
from mnemo_ops.agent.stack.cluster import globals as cluster_globals
from mnemo_ops.agent.stack.cluster.entrance import Entrance
from mnemo_ops.agent.stack.cluster.place import Place
from mnemo_ops.agent.stack.cluster.scratch import Scratch
from mnemo_ops.agent.stack.cluster.server import Server
from mnemo_ops.agent.stack.sql import identifier, literal

# provider -> its name and the option for its locale
_PROVIDERS = {"c": ("libc", ""), "i": ("icu", "ICU_LOCALE"), "b": ("builtin", "BUILTIN_LOCALE")}


@dataclass(frozen=True)
class Earlier(Scratch):
    """:param saved: facts of the one database."""

    saved: Mapping[str, Any]

    @classmethod
    def of(
        cls, entrance: Entrance, place: Place, saved: Mapping[str, Any], directory: str, name: str, file: str
    ) -> Earlier:
        """Beside a running cluster. :param name: of the database. :raises CommandFailed: Postgres' own words (6)."""
        server = entrance.server
        found = {**cluster_facts.look(server), "user": server.user, "files": {name: file}}
        secret = {
            "globals": cluster_globals.told(server, server.query),
            "files": files.read(server.machine, entrance.home.path),
        }
        return cls(server.machine, place, found, directory, secret, saved)

    def load(self, server: Server) -> Deed:
        (name,) = self.facts["files"]
        if name == "postgres":
            server.sql("DROP DATABASE postgres;")
        user = identifier(self.facts["user"])
        server.sql(f"{creation(name, self.saved)[:-1]} OWNER {user};")
        known = self.facts["roles"]
        # policies and user mappings name them, and would not be restored
        for role in self.saved.get("needed_roles", ()):
            if role not in known:
                server.sql(f"CREATE ROLE {identifier(role)} NOLOGIN;")
        words = ["--no-owner", "--no-acl", "--no-tablespaces", f"--role={self.facts['user']}", "-d", server.to(name)]
        yield from self._take(name, self._listed(name), 0, 0, *words)
        server.sql("ANALYZE;", name)
        return {}

    def prove(self, server: Server) -> List[str]:
        (name,) = self.facts["files"]
        with server.snapshot(name, "READ WRITE") as talk:  # it ends without a commit
            return postgres_digest.differences(talk, self.saved)


def creation(database: str, facts: Mapping[str, Any]) -> str:
    """An empty database with the encoding and the locale that the facts of a set say."""
    name, option = _PROVIDERS.get(facts["provider"] or "", ("", ""))
    words = f" LOCALE_PROVIDER {name}" if name else ""
    words += f" {option} {literal(facts['locale'])}" if option and facts.get("locale") else ""
    words += f" ICU_RULES {literal(facts['rules'])}" if facts.get("rules") else ""
    return (
        f"CREATE DATABASE {identifier(database)} TEMPLATE template0 ENCODING {literal(facts['encoding'])}"
        f" LC_COLLATE {literal(facts['collate'])} LC_CTYPE {literal(facts['ctype'])}{words};"
    )
