"""A whole Postgres cluster: dumped by its own programs, filled anew and proven beside the one that is there."""

from __future__ import annotations

from contextlib import suppress
from functools import cached_property
from typing import Any, Callable, ContextManager, Dict, List, Mapping, Optional, Sequence

from mnemo_ops.agent.base.progress import Deed, Progress
from mnemo_ops.agent.base.record import replace
from mnemo_ops.agent.stack import containers
from mnemo_ops.agent.stack.cluster import facts as cluster_facts
from mnemo_ops.agent.stack.cluster import files, passwords, proof, sealed
from mnemo_ops.agent.stack.cluster.dump import dump, told
from mnemo_ops.agent.stack.cluster.earlier import Earlier
from mnemo_ops.agent.stack.cluster.entrance import Entrance, enter
from mnemo_ops.agent.stack.cluster.home import Home, home_of, programs
from mnemo_ops.agent.stack.cluster.place import Place
from mnemo_ops.agent.stack.cluster.scratch import Scratch
from mnemo_ops.agent.stack.datasets.kind import Facts, Key, Kind
from mnemo_ops.agent.stack.manifest import Saved
from mnemo_ops.agent.stack.orchestrator import PATIENCE
from mnemo_ops.agent.stack.restore_record import AFTER, SCRATCH, container, sibling
from mnemo_ops.agent.stack.stack import mountpoint
from mnemo_ops.errors import Broken, MnemoError, Refused, VerificationFailed

_AVAILABLE = "SELECT json_agg(name) FROM pg_available_extensions;"


class Postgres(Kind):
    """The server of one container."""

    @property
    def _container(self) -> containers.Container:
        mine = [each for each in self.found if each.service == self.dataset.service]
        if not mine:
            raise Broken(f"the service {self.dataset.service} has no container", hint="docker compose ps -a lists them")
        return mine[0]

    @cached_property
    def _entrance(self) -> Entrance:
        return enter(self.machine, containers.one(self.found, self.dataset.service))

    def size(self) -> int:
        return int(cluster_facts.of_cluster(self._entrance.server.query)["bytes"])

    def now(self) -> Facts:
        return cluster_facts.now(self._entrance.server)

    def losses(self, accept: bool) -> List[str]:
        containers.refuse_stopped(self.found, self.dataset.service)
        entrance = self._entrance
        files.read(self.machine, entrance.home.path)  # refuses what is no configuration while nobody is stopped
        found = cluster_facts.look(entrance.server)
        cluster_facts.refuse(found, accept)
        return cluster_facts.losses(found)

    def shut(self) -> ContextManager[Callable[[], None]]:
        server = self._entrance.server
        return server.shut(cluster_facts.carried(cluster_facts.of_cluster(server.query)))

    def save(self, directory: str, recipients: Sequence[str]) -> Deed:
        entrance = self._entrance
        if others := entrance.server.clients():
            raise Broken(f"the database still has other clients: {', '.join(others)}", hint="stop them and try again")
        made = yield from dump(entrance, directory, self.dataset.name)
        entrance.server.sessions.end()  # a server may be told to end, and wait for them
        self._secret.update(made["secret"])
        facts = {**made["facts"], "kind": "postgres", "secrets": f"{self.dataset.name}.secrets.age"}
        if links := files.linked(self.machine, entrance.home.path):
            facts["left_out"] = links
        return facts

    @cached_property
    def _secret(self) -> Dict[str, Any]:
        """Of what was saved, until it is sealed."""
        return {}

    def seal(self, facts: Facts, directory: str, recipients: Sequence[str]) -> Deed:
        yield from told(self._entrance.server, facts, self._secret, directory)
        yield Progress(note="encrypting the secrets of Postgres")
        sealed.seal(self.machine, self._secret, f"{directory}/{facts['secrets']}", recipients)
        return {}

    def held(self) -> ContextManager[None]:
        containers.refuse_stopped(self.found, self.dataset.service)
        return self._entrance.server.held()

    def _home(self, facts: Facts) -> Home:
        there = self._container
        if entrance := self._entered():
            return entrance.home
        if "data" not in facts:
            hint = f"docker logs --tail 50 {there.name}, on the host"
            raise Refused(f"to restore a backup of an earlier version, Postgres in {there.name} must answer", hint=hint)
        home = home_of(self.machine, there, facts)
        if self.dataset.volume:
            self._refuse_elsewhere(home, self.stack.volume(self.dataset.volume))
        found = self.machine.stat(home.path) if there.running else None  # it was somebody's already
        return home if found is None else replace(home, uid=found.uid, gid=found.gid)

    def _refuse_elsewhere(self, home: Home, volume: str) -> None:
        """:raises Refused: the data would go into another volume, such as a nameless one of the image (3)."""
        if not f"{home.path}/".startswith(mountpoint(self.machine, volume) + "/"):
            raise Refused(
                f"Postgres of {self._container.name} would keep its data in {home.data}, outside of {volume}",
                hint=f"in the compose file, mount {volume} around {home.data} (images from 18 on keep their data "
                "in /var/lib/postgresql/MAJOR/docker), or set PGDATA",
            )

    def _entered(self) -> Optional[Entrance]:
        """Nothing where no server lets us in: a restore may be what mends it."""
        with suppress(MnemoError):
            return self._entrance if self._container.running else None
        return None

    def place(self, facts: Facts) -> str:
        return self.machine.realpath(self._home(facts).path)

    def compare(self, facts: Facts) -> None:
        containers.refuse_stopped(self.found, self.dataset.service)
        entrance = self._entered()
        if entrance is None:  # a broken cluster, say; the scratch server says the same
            return
        server = entrance.server
        with server.held():
            here = server.query("SELECT current_setting('server_version_num')::int / 10000;")
            available = server.query(_AVAILABLE)
        if here < facts["major"]:
            raise Refused(
                f"the backup is of Postgres {facts['major']}, the server here is {here}: it cannot be older",
                hint=f"give the service an image with Postgres {facts['major']} or newer",
            )
        if missing := sorted(set(extensions_of(facts)) - {*available, "plpgsql"}):
            raise Refused(
                f"the Postgres server lacks extensions of the backup: {', '.join(missing)}",
                hint="use the stack's own image",
            )
        if lacking := cluster_facts.lacking(facts, server.query):
            raise Refused(
                f"the Postgres server lacks files that databases of the backup load: {', '.join(lacking)}",
                hint="put them into the image ($sharedir and $libdir are what pg_config of the image says)",
            )

    def answers(self) -> None:
        name = self._container.name

        def enters() -> bool:
            with suppress(MnemoError):
                return bool(enter(self.machine, containers.named(self.machine, [name])[0]).server.user)
            return False

        self.machine.wait_until(f"Postgres in {name} answers", enters, PATIENCE)

    def load(self, saved: Saved, directory: str, stamp: str, key: Key) -> Deed:
        machine, home = self.machine, self._home(saved.facts)
        where = machine.realpath(home.path)
        made, beside = sibling(where, SCRATCH, stamp), sibling(where, AFTER, stamp)
        for path in (made, beside):
            machine.remove(path)
        machine.mkdir(made, 0o700)
        machine.chown(made, home.uid, home.gid)
        # the image may be another one than that of the backup, and keep its programs elsewhere
        there = home.programs if self._entered() else programs(machine, home.image, home.programs)
        place = Place(home.image, made, container(stamp), home.uid, home.gid, programs=there)
        scratch: Scratch
        if saved.earlier:
            env = self._container.env
            name = env.get("POSTGRES_DB") or env.get("POSTGRES_USER", "postgres")  # the one it was of
            scratch = Earlier.of(self._entrance, place, saved.facts, directory, name, saved.file)
        else:
            name = saved.facts["secrets"]
            secret = sealed.opened(machine, f"{directory}/{name}", key.file, key.headers.get(name, ""))
            scratch = Scratch(machine, place, saved.facts, directory, secret)
        done = yield from scratch.fill(self._keep)
        if done["differences"]:
            raise VerificationFailed("Postgres differs from the backup: " + "; ".join(proof.few(done["differences"])))
        machine.rename(place.data, beside)
        machine.remove(made)
        return {"kept": done["kept"], "unknown": done["unknown"]}

    def _keep(self, restored: Mapping[str, str]) -> Mapping[str, str]:
        """The services of today have the passwords of today; on a host where none run, all are of one day."""
        entrance = self._entered()
        if entrance is None:
            return {}
        today = passwords.hashes(entrance.server)
        return {
            role: today[role]
            for role in passwords.locked_out(today, restored, passwords.known(self.machine, self.found))
        }


def extensions_of(facts: Facts) -> List[str]:
    """Names of all extensions of all databases; an earlier version had one database."""
    if "databases" not in facts or "files" not in facts:
        return list(facts["extensions"])
    every = [one.get("extensions", {}) for one in facts["databases"].values()]
    return [each["name"] for one in every for each in one.values()]
