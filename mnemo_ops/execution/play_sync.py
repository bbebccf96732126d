"""Crew: the hosts of a play, side by side: what they know of each other, what one does for all, when all stop."""

from __future__ import annotations

import contextlib
import enum
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Optional

from mnemo_ops.core.model import Host, Play
from mnemo_ops.core.options import Options
from mnemo_ops.execution import fact_names
from mnemo_ops.execution.host_state import HostState, Way
from mnemo_ops.execution.results import Pending
from mnemo_ops.templates.render import Scope

WORDS_OF_ANSIBLE = {"full": "2.19.0", "major": 2, "minor": 19, "revision": 0, "string": "2.19.0"}


class End(enum.Enum):
    """What ended a play on all of its hosts at once."""

    BATCH = "end_batch"
    PLAY = "end_play"
    FAILED = "any_errors_fatal"  # everybody stops after the task he is in


class Crew:
    """One play on some hosts. Its methods are called from the threads of the hosts.

    :param batch: hosts of this play at a time (``serial``). :param hosts: all of the play.
    :param states: of every host of the inventory that took part so far.
    :param aside: entered by who waits for another host: meanwhile more of them may work.
    """

    def __init__(
        self,
        play: Play,
        batch: Sequence[Host],
        hosts: Sequence[Host],
        states: Mapping[str, HostState],
        options: Options,
        interrupted: Callable[[], bool] = lambda: False,
        aside: Callable[[], AbstractContextManager[Any]] = contextlib.nullcontext,
    ) -> None:
        self._play, self._batch, self._hosts, self._states, self._options = play, batch, hosts, states, options
        self._ended: set[str] = set()  # hosts that take no further task, however that came
        self._done: dict[str, tuple[Mapping[str, Any], bool]] = {}
        self._at: dict[str, Way] = {}  # host -> where it is, everything before it done
        self._awaited: list[Way] = []  # places somebody waits for the others to come to
        self._changed = threading.Condition()
        self._aside = aside
        self._interrupted = interrupted  # Ctrl-C: whoever waits stops waiting
        self.ends: set[End] = set()

    def magic(self, state: HostState) -> Mapping[str, Any]:
        """Ansible's own variables of the play, as one of its hosts has them."""
        names = [host.name for host in self._batch]
        every = [host.name for host in self._hosts]
        return {
            "hostvars": HostVars(self._states, lambda name: self._look(state, name)),
            "ansible_play_hosts": every,
            "play_hosts": names,
            "ansible_play_batch": names,
            "ansible_play_hosts_all": every,
            "ansible_play_name": self._play.name,
            "ansible_run_tags": sorted(self._options.tags) or ["all"],
            "ansible_skip_tags": sorted(self._options.skip_tags),
            "ansible_verbosity": self._options.verbosity,
            "ansible_diff_mode": self._options.diff,
            "ansible_version": WORDS_OF_ANSIBLE,
        }

    def once(self, key: str, host: Host) -> bool:
        """Whether this host is the one: the first of the batch that is still there; the others wait for it."""
        with self._aside(), self._changed:
            while key not in self._done and not self.ended:
                leader = next((one.name for one in self._batch if one.name not in self._ended), host.name)
                if leader == host.name:
                    return True
                self._changed.wait(0.5)
        return False

    def arrived(self, host: str, way: Way) -> None:
        """Everything before this place is done on a host, and what it set can be read."""
        with self._changed:
            self._at[host] = max(way, self._at.get(host, way))
            self._changed.notify_all()

    def awaited(self, host: str, way: Way) -> bool:
        """Whether others wait for a host that came as far as this to say so."""
        return any(self._at.get(host, ()) < place <= way for place in self._awaited)

    def meet(self, host: str, way: Way) -> None:
        """Wait until every host of the batch came as far, or left: then what they set before can be read."""
        self.arrived(host, way)
        with self._aside(), self._changed:
            self._awaited.append(way)
            while not self.ended and any(self._at.get(name, ()) < way for name in self.others(host)):
                self._changed.wait(0.5)
            self._awaited.remove(way)

    def _look(self, state: HostState, name: str) -> None:
        """Before a look at ``hostvars``. :raises Pending: what would be seen is not sent yet."""
        own = state.host.name
        company = state.apart and name != own and self.others(own)
        if state.unsent if company else name == own and state.waiting:
            raise Pending("hostvars")
        if company:
            self.meet(own, state.way)
            state.met()

    def others(self, host: str) -> set[str]:
        """Hosts of the batch that are still at it."""
        return {one.name for one in self._batch} - self._ended - {host}

    def done_once(self, key: str, state: HostState, names: Mapping[str, Any], failed: bool) -> None:
        with self._changed:
            self._done[key] = names, failed
            self._changed.notify_all()

    def results_of(self, key: str) -> tuple[Mapping[str, Any], bool]:
        with self._changed:
            return self._done.get(key, ({}, False))

    @property
    def ended(self) -> bool:
        """Whether no host takes a further task."""
        return bool(self.ends) or self._interrupted()

    def end_host(self, host: str, end: Optional[End] = None) -> None:
        """A host takes no further task, however that came: nobody waits for it any more.

        :param end: it ends the play for all others, too.
        """
        with self._changed:
            self._ended.add(host)
            self.ends |= {end} if end else set()
            self._changed.notify_all()

    def failed(self, host: str) -> None:
        """A host is out; with ``any_errors_fatal`` everybody is."""
        self.end_host(host, End.FAILED if self._play.any_errors_fatal else None)


class HostVars(Mapping[str, Any]):
    """``hostvars``: what is known of each host, once all of them came as far as the one that asks."""

    def __init__(self, states: Mapping[str, HostState], meet: Callable[[str], None]) -> None:
        self._states, self._meet = states, meet

    def __getitem__(self, name: str) -> Scope:
        self._meet(name)
        state = self._states[name]
        scope = Scope().plus(state.host.vars).plus(fact_names.variables(state.facts), final=True)
        return scope.plus(state.included).plus(dict(state.results), final=True)

    def __iter__(self) -> Iterator[str]:
        return iter(self._states)

    def __len__(self) -> int:
        return len(self._states)


def batches(hosts: Sequence[Host], serial: Sequence[Any]) -> Iterator[Sequence[Host]]:
    """Hosts as ``serial`` divides them: each number once, the last one again and again; percent of all hosts."""
    start, turn = 0, 0
    while start < len(hosts):
        word = serial[min(turn, len(serial) - 1)] if serial else len(hosts)
        share = isinstance(word, str) and word.endswith("%")
        count = int(len(hosts) * int(str(word).rstrip("%")) / 100) if share else int(word)
        yield hosts[start : start + max(count, 1)]
        start, turn = start + max(count, 1), turn + 1
