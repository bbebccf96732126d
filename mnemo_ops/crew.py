"""Crew: the hosts of a play, side by side: what they know of each other, what one does for all, when all stop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from mnemo_ops.model import Host, Play
from mnemo_ops.rendering import HostState
from mnemo_ops.selection import Options
from mnemo_ops.template import Scope

WORDS_OF_ANSIBLE = {"full": "2.19.0", "major": 2, "minor": 19, "revision": 0, "string": "2.19.0"}


class Crew:
    """One play on some hosts. Its methods are called from the threads of the hosts.

    :param batch: hosts of this play at a time (``serial``). :param hosts: all of the play.
    :param states: of every host of the inventory that took part so far.
    """

    def __init__(
        self,
        play: Play,
        batch: Sequence[Host],
        hosts: Sequence[Host],
        states: Mapping[str, HostState],
        options: Options,
        interrupted: Callable[[], bool] = lambda: False,
    ) -> None:
        self._play, self._batch, self._hosts, self._states, self._options = play, batch, hosts, states, options
        self._out: set[str] = set()  # hosts that failed or ended
        self._done: dict[str, tuple[Mapping[str, Any], bool]] = {}
        self._changed = threading.Condition()
        self._over = False
        self._interrupted = interrupted  # Ctrl-C: whoever waits stops waiting
        self.stopped = False  # everybody stops after the task he is in

    def magic(self) -> Mapping[str, Any]:
        names = [host.name for host in self._batch]
        every = [host.name for host in self._hosts]
        return {
            "hostvars": HostVars(self._states),
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
        with self._changed:
            while key not in self._done and not self.over():
                leader = next((one.name for one in self._batch if one.name not in self._out), host.name)
                if leader == host.name:
                    return True
                self._changed.wait(0.5)
        return False

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
    """``hostvars``: what is known of each host right now."""

    def __init__(self, states: Mapping[str, HostState]) -> None:
        self._states = states

    def __getitem__(self, name: str) -> Scope:
        state = self._states[name]
        facts = {f"ansible_{key.removeprefix('ansible_')}": value for key, value in state.facts.items()}
        scope = Scope().plus(state.host.vars).plus({**facts, "ansible_facts": state.facts}, final=True)
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
