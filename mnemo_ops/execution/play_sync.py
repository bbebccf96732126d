"""Crew: the hosts of a play, side by side: what they know of each other, what one does for all, when all stop."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from mnemo_ops.core.model import Host, Play
from mnemo_ops.core.options import Options
from mnemo_ops.execution import fact_names
from mnemo_ops.execution.task_renderer import HostState
from mnemo_ops.templates.render import Scope

Way = tuple[int, ...]  # a place in a play: numbers of nodes, outer to inner; greater is later

WORDS_OF_ANSIBLE = {"full": "2.19.0", "major": 2, "minor": 19, "revision": 0, "string": "2.19.0"}


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
        self._out: set[str] = set()  # hosts that failed or ended
        self._done: dict[str, tuple[Mapping[str, Any], bool]] = {}
        self._at: dict[str, Way] = {}  # host -> where it is, everything before it done
        self._awaited: list[Way] = []  # places somebody waits for the others to come to
        self._changed = threading.Condition()
        self._aside = aside
        self._over = False
        self._interrupted = interrupted  # Ctrl-C: whoever waits stops waiting
        self.stopped = False  # everybody stops after the task he is in

    def magic(self, meet: Callable[[str], None]) -> Mapping[str, Any]:
        """Ansible's own variables of the play. :param meet: called before a look at a host, with its name."""
        names = [host.name for host in self._batch]
        every = [host.name for host in self._hosts]
        return {
            "hostvars": HostVars(self._states, meet),
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
            while key not in self._done and not self.over():
                leader = next((one.name for one in self._batch if one.name not in self._out), host.name)
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
            while not self.over() and any(self._at.get(name, ()) < way for name in self.others(host)):
                self._changed.wait(0.5)
            self._awaited.remove(way)

    def others(self, host: str) -> set[str]:
        """Hosts of the batch that are still at it."""
        return {one.name for one in self._batch} - self._out - {host}

    def done_once(self, key: str, state: HostState, names: Mapping[str, Any], failed: bool) -> None:
        with self._changed:
            self._done[key] = names, failed
            self._changed.notify_all()

    def results_of(self, key: str) -> tuple[Mapping[str, Any], bool]:
        with self._changed:
            return self._done.get(key, ({}, False))

    def over(self) -> bool:
        return self._over or self._interrupted()

    def end(self, host: str, word: str) -> None:
        """``end_host``, or ``end_batch`` and ``end_play`` for all."""
        with self._changed:
            self._out.add(host)
            self._over = self._over or word in ("end_play", "end_batch")
            self._changed.notify_all()
        if word == "end_play":
            self.ended = True

    ended = False  # end_play: no further batch either

    def left(self, host: str) -> None:
        """A host is through, however that ended: nobody waits for it any more."""
        with self._changed:
            self._out.add(host)
            self._changed.notify_all()

    def failed(self, host: str) -> None:
        """A host is out; with ``any_errors_fatal`` everybody is."""
        with self._changed:
            self._out.add(host)
            if self._play.any_errors_fatal:
                self._over = self.stopped = True
            self._changed.notify_all()


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
