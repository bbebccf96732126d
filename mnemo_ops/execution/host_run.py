"""PlayRun: one play on one host. The controller renders and decides, the host does everything else in few batches.

A batch is sent only where the controller must know what became of it: a later task reads a result, a condition decides
whether a task changed or failed, a block may have to be rescued, a task is done elsewhere, the play ends.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from typing import Any

from mnemo_ops.agent.base.protocol import Event
from mnemo_ops.core.model import Block, Entry, Flush, Include, Node, Play
from mnemo_ops.core.options import EVERYTHING, Options
from mnemo_ops.core.secret_text import typed
from mnemo_ops.errors import MnemoError
from mnemo_ops.execution import controller_modules
from mnemo_ops.execution.batch import Outbox, Outcome, Outcomes
from mnemo_ops.execution.entry_run import EntryRun
from mnemo_ops.execution.handlers import Handling
from mnemo_ops.execution.host_control import Control, Reach
from mnemo_ops.execution.host_state import Failure, HostState
from mnemo_ops.execution.includes import chosen
from mnemo_ops.execution.play_sync import Crew
from mnemo_ops.execution.results import Round, Step, Work, acts, outcome
from mnemo_ops.execution.task_renderer import Renderer
from mnemo_ops.templates.render import Unready, condition


class PlayRun:
    """One play on one host.

    :param extra: of ``--vars``: they win over everything.
    """

    def __init__(
        self,
        play: Play,
        state: HostState,
        reach: Reach,
        crew: Crew,
        extra: Mapping[str, Any],
        options: Options = EVERYTHING,
    ) -> None:
        self._play, self._state, self._options, self._crew = play, state, options, crew
        state.begin()
        self._renderer = renderer = Renderer(play, state, extra, options, crew.magic(state))
        self._out = Outbox(reach.session(), state, renderer, options)
        control = Control(state, reach, self._out, options, crew)
        self._entries = EntryRun(state, reach, self._out, renderer, options, control)
        self._handling = Handling(play, state, self._out, renderer, options, self._entries)
        self._turns: Counter[str] = Counter()  # of tasks that one host does for all

    def run(self) -> Generator[Outcome, None, None]:
        """Yields each task with its events, in order, progress included.

        It ends after the first failure that is neither ignored nor rescued. What fails before it is sent (a template
        that cannot be rendered) is such a failure, too; nothing of its batch is sent then.

        :raises MnemoError: a task failed (its own code); the channel or the agent did (4, 1).
        """
        self._crew.arrived(self._state.host.name, self._state.way)
        self._renderer.read_vars_files()
        yield from self._nodes(self._play.tasks)
        if self._state.failure is None:
            yield from self._out.send()
        failure = self._state.failure
        if failure is not None and self._play.force_handlers:
            self._state.rescued()
            yield from self._handling.flush()
            yield from self._out.send()
        if failure is not None:
            raise failure.error(self._state.host)

    # -- the order of things -------------------------------------------------------------------------------------

    def _nodes(self, nodes: Sequence[Node], branch: int = 0) -> Outcomes:
        """:param branch: which of several lists at the same place, or which turn."""
        state, way = self._state, self._state.way
        for number, node in enumerate(nodes):
            if state.over:
                break
            state.move((*way, branch, number))
            yield from self._keep_up()
            if self._crew.ended:
                state.end()
            elif isinstance(node, Entry):
                yield from self._entry(node)
            elif isinstance(node, Block):
                yield from self._block(node)
            elif isinstance(node, Include):
                yield from self._include(node)
            elif (yield from self._out.asked(lambda node=node: self._wanted(node))):  # type: ignore[misc]
                yield from self._handling.flush()
            if _tells(node):
                state.part()
        state.move(way)

    def _keep_up(self) -> Outcomes:
        """Let others that wait for what this host knows of itself go on."""
        if self._crew.awaited(self._state.host.name, self._state.way):
            yield from self._out.send()
            self._crew.arrived(self._state.host.name, self._state.way)

    def _wanted(self, flush: Flush) -> bool:
        scope = self._renderer.plain()
        return all(condition(text, scope, flush.where) for text in flush.when)

    def _block(self, block: Block) -> Outcomes:
        state, first = self._state, self._state.number
        with state.in_block():
            self._out.rescuers += [first] if block.rescue else []
            yield from self._all(block.tasks, 0)
            del self._out.rescuers[len(self._out.rescuers) - bool(block.rescue) :]
            if state.failure is not None and state.failure.number <= first:  # it was never reached
                return
            if state.failure is not None and block.rescue:
                self._remember(state.failure)
                state.rescued()
                yield from self._all(block.rescue, 1)
            if block.always:
                with state.all_the_same():
                    yield from self._all(block.always, 2)

    def _all(self, nodes: Sequence[Node], branch: int) -> Outcomes:
        """Nodes to their end: nothing of them waits."""
        yield from self._nodes(nodes, branch)
        if self._state.failure is None:
            yield from self._out.send()

    def _remember(self, failure: Failure) -> None:
        """What a rescue may ask of what failed; what waits behind it is not sent."""
        self._state.take()
        found = failure.found
        if found is None:
            found = typed(outcome([failure.event], acts(failure.task)), failure.task.secrets)
        action = getattr(failure.task.resource, "kind", "")  # nothing, when it could not be rendered
        name = "" if failure.task.name == action else failure.task.name
        task = {"name": name, "action": action}
        self._state.set_variables({"ansible_failed_result": found, "ansible_failed_task": task})

    def _include(self, node: Include) -> Outcomes:
        entry = node.entry
        if not self._options.wants(entry.tags):
            return
        try:
            found = yield from self._out.asked(lambda: chosen(node, self._renderer))
        except Unready as problem:
            yield from self._entries.came_to_nothing(entry.name)
            self._skip(entry, "unknown", str(problem))
            return
        except MnemoError as problem:
            yield from self._out.send()
            task = self._entries.unsent(entry)
            if self._state.failure is None:
                yield from self._out.fail(task, Event.failure(task.id, problem))
            return
        if self._state.failure is not None or found is None:
            return
        if not found:
            self._skip(entry, "skipped", "when")
        for turn, (inner, overlay) in enumerate(found):
            with self._state.overlaid(overlay):
                yield from self._nodes(inner, turn)
                if self._state.failure is None and overlay:
                    yield from self._out.send()  # what is unsent may be rendered again, and needs these variables

    def _skip(self, entry: Entry, status: str, why: str) -> None:
        """Its turn to be shown comes with the batch."""
        step = Step(self._entries.unsent(entry)).end(status, why)
        self._out.put(Work(entry, [Round([step])]))

    # -- one entry -----------------------------------------------------------------------------------------------

    def _entry(self, entry: Entry) -> Outcomes:
        if entry.run_once:
            yield from self._once(entry)
        else:
            yield from self._entries.take(entry)

    def _once(self, entry: Entry) -> Outcomes:
        """A task for one host of all; the others wait for it, and know what it set."""
        yield from self._out.send()
        if self._state.failure is not None:
            return
        self._crew.arrived(self._state.host.name, self._state.way)
        key = f"{entry.where} {entry.name}"
        self._turns[key] += 1  # an include may come here again
        key += f" {self._turns[key]}"
        if self._crew.once(key, self._state.host):
            before = dict(self._state.results)
            yield from self._entries.take(entry)
            if self._state.failure is None:
                yield from self._out.send()
            new = {name: value for name, value in self._state.results.items() if before.get(name) is not value}
            self._crew.done_once(key, self._state, new, self._state.failure is not None)
            return
        names, failed = self._crew.results_of(key)
        self._state.set_variables(names)
        if failed:
            task = self._entries.unsent(entry)
            yield from self._out.fail(task, Event(task.id, "failed", why="run_once: it failed on another host"))


def _tells(node: Node) -> bool:
    """Whether a host may know more of itself afterwards."""
    return not isinstance(node, Entry) or bool(node.register) or node.kind in controller_modules.SETS
