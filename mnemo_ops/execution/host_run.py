"""Runner: one play on one host. The controller renders and decides, the host does everything else in few batches.

A batch is sent only where the controller must know what became of it: a later task reads a result, a condition decides
whether a task changed or failed, a block may have to be rescued, a task is done elsewhere, the play ends.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, Optional, TypeVar

from mnemo_ops.agent.base.protocol import Event
from mnemo_ops.agent.base.record import replace
from mnemo_ops.agent.engine.check_taint import leaves
from mnemo_ops.agent.engine.resource import resource_class
from mnemo_ops.core.model import Block, Entry, Flush, Include, Node, Play, Task
from mnemo_ops.core.options import EVERYTHING, Options
from mnemo_ops.errors import MnemoError
from mnemo_ops.execution import controller_modules
from mnemo_ops.execution.batch import Channel, Failure, Outbox, Outcome, Outcomes, counts
from mnemo_ops.execution.conditions import Judge, is_judged
from mnemo_ops.execution.handlers import Handling
from mnemo_ops.execution.host_control import Control, Reach
from mnemo_ops.execution.includes import chosen
from mnemo_ops.execution.play_sync import Crew, Way
from mnemo_ops.execution.results import Pending, Round, Step, Unknown, Work, acts, outcome
from mnemo_ops.execution.task_renderer import HostState, Renderer, constant, unsent
from mnemo_ops.templates.render import Unready, condition

T = TypeVar("T")


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
        self._play, self._state, self._reach, self._options, self._crew = play, state, reach, options, crew
        self._renderer = Renderer(play, state, extra, options, crew.magic(self._meet))
        self._out = Outbox(reach.session(), state, self._renderer, options)
        self._control = Control(state, reach, self._out, self._renderer, options, crew)
        self._judge = Judge(self._out, self._renderer, options, self._control.wait, crew.over)
        self._handling = Handling(play, self._out, self._renderer, options, self._take, self._asked)
        self._blocks = 0
        self._turns: Counter[str] = Counter()  # of tasks that one host does for all
        self._way: Way = (0,)
        self._apart = True  # other hosts may know more of themselves than when we met last

    def run(self) -> Generator[Outcome, None, None]:
        """Yields each task with its events, in order, progress included.

        It ends after the first failure that is neither ignored nor rescued. What fails before it is sent (a template
        that cannot be rendered) is such a failure, too; nothing of its batch is sent then.

        :raises MnemoError: a task failed (its own code); the channel or the agent did (4, 1).
        """
        self._crew.arrived(self._state.host.name, self._way)
        self._renderer.read_vars_files()
        yield from self._nodes(self._play.tasks)
        if self._out.failure is None:
            yield from self._out.send()
        if self._out.failure is not None and self._play.force_handlers:
            failure, self._out.failure = self._out.failure, None
            yield from self._handling.flush()
            yield from self._out.send()
            self._out.failure = failure
        if self._out.failure is not None:
            raise self._out.failure.error(self._state.host)

    # -- the order of things -------------------------------------------------------------------------------------

    def _nodes(self, nodes: Sequence[Node], branch: int = 0) -> Outcomes:
        """:param branch: which of several lists at the same place, or which turn."""
        way = self._way
        for number, node in enumerate(nodes):
            if self._out.failure is not None or self._control.ended:
                break
            self._way = (*way, branch, number)
            yield from self._keep_up()
            if self._crew.over():
                self._control.ended = True
            elif isinstance(node, Entry):
                yield from self._entry(node)
            elif isinstance(node, Block):
                yield from self._block(node)
            elif isinstance(node, Include):
                yield from self._include(node)
            elif (yield from self._asked(lambda node=node: self._wanted(node))):  # type: ignore[misc]
                yield from self._handling.flush()
            self._apart = self._apart or _tells(node)
        self._way = way

    def _keep_up(self) -> Outcomes:
        """Let others that wait for what this host knows of itself go on."""
        if self._crew.awaited(self._state.host.name, self._way):
            yield from self._out.send()
            self._crew.arrived(self._state.host.name, self._way)

    def _meet(self, name: str) -> None:
        """Before a look at ``hostvars``. :raises Pending: what would be seen is not sent yet."""
        own = self._state.host.name
        company = self._apart and name != own and self._crew.others(own)
        if self._out.waits if company else name == own and self._renderer.waiting:
            raise Pending("hostvars")
        if company:
            self._crew.meet(own, self._way)
            self._apart = False

    def _wanted(self, flush: Flush) -> bool:
        scope = self._renderer.plain()
        return all(condition(text, scope, flush.where) for text in flush.when)

    def _block(self, block: Block) -> Outcomes:
        first = self._out.number
        self._blocks += 1
        self._out.rescuers += [first] if block.rescue else []
        yield from self._nodes(block.tasks)
        if self._out.failure is None:
            yield from self._out.send()
        del self._out.rescuers[len(self._out.rescuers) - bool(block.rescue) :]
        if self._out.failure is not None and self._out.failure.number <= first:  # it was never reached
            self._blocks -= 1
            return
        if self._out.failure is not None and block.rescue:
            self._remember_failure(self._out.failure)
            self._out.failure = None
            yield from self._nodes(block.rescue, 1)
            if self._out.failure is None:
                yield from self._out.send()
        if block.always:
            failure, ended = self._out.failure, self._control.ended
            self._out.failure, self._control.ended = None, False
            yield from self._nodes(block.always, 2)
            if self._out.failure is None:
                yield from self._out.send()
            self._out.failure, self._control.ended = self._out.failure or failure, self._control.ended or ended
        self._blocks -= 1

    def _remember_failure(self, failure: Failure) -> None:
        self._out.drop()
        found = outcome([failure.event], acts(failure.task)) if failure.found is None else failure.found
        self._state.results["ansible_failed_result"] = found
        action = getattr(failure.task.resource, "kind", "")  # nothing, when it could not be rendered
        name = "" if failure.task.name == action else failure.task.name
        self._state.results["ansible_failed_task"] = {"name": name, "action": action}
        self._renderer.changed()

    def _include(self, node: Include) -> Outcomes:
        entry = node.entry
        if not self._options.wants(entry.tags):
            return
        try:
            found = yield from self._asked(lambda: chosen(node, self._renderer))
        except Unready as problem:
            yield from self._came_to_nothing(entry.name)
            self._skip(entry, "unknown", str(problem))
            return
        except MnemoError as problem:
            yield from self._out.send()
            task = self._unsent(entry)
            if self._out.failure is None:
                yield from self._out.fail(task, Event.failure(task.id, problem))
            return
        if self._out.failure is not None:
            return
        if not found:
            self._skip(entry, "skipped", "when")
        for turn, (inner, overlay) in enumerate(found):
            self._renderer.overlays.append(overlay)
            self._renderer.changed()
            yield from self._nodes(inner, turn)
            if self._out.failure is None and overlay:
                yield from self._out.send()  # what is not sent yet may be rendered again, and needs these variables
            self._renderer.overlays.remove(overlay)
            self._renderer.changed()

    def _skip(self, entry: Entry, status: str, why: str) -> None:
        """Its turn to be shown comes with the batch."""
        step = Step(self._unsent(entry)).end(status, why)
        self._out.put(Work(entry, [Round([step])]))

    def _asked(self, ask: Callable[[], T]) -> Any:
        """The answer; when it needs what the unsent batch registers, the batch is sent first."""
        try:
            return ask()
        except Pending:
            yield from self._out.send()
            return ask() if self._out.failure is None else None

    # -- one entry -----------------------------------------------------------------------------------------------

    def _id(self) -> str:
        return f"t{self._out.number}"

    def _unsent(self, entry: Entry) -> Task:
        self._out.number += 1
        return unsent(self._id(), entry)

    def _entry(self, entry: Entry) -> Outcomes:
        if entry.run_once:
            yield from self._once(entry)
        else:
            yield from self._take(entry)

    def _once(self, entry: Entry) -> Outcomes:
        """A task for one host of all; the others wait for it, and know what it set."""
        yield from self._out.send()
        if self._out.failure is not None:
            return
        self._crew.arrived(self._state.host.name, self._way)
        key = f"{entry.where} {entry.name}"
        self._turns[key] += 1  # an include may come here again
        key += f" {self._turns[key]}"
        if self._crew.once(key, self._state.host):
            before = dict(self._state.results)
            yield from self._take(entry)
            if self._out.failure is None:
                yield from self._out.send()
            new = {name: value for name, value in self._state.results.items() if before.get(name) is not value}
            self._crew.done_once(key, self._state, new, self._out.failure is not None)
            return
        names, failed = self._crew.results_of(key)
        self._state.results.update(names)
        self._renderer.changed()
        if failed:
            task = self._unsent(entry)
            yield from self._out.fail(task, Event(task.id, "failed", why="run_once: it failed on another host"))

    def _take(self, entry: Entry) -> Outcomes:
        """Add an entry to the batch; send the batch first when the entry reads what it registers."""
        if self._out.session.bare and entry.kind != "raw":
            yield from self._out.send()
            if self._out.failure is not None:
                return
            self._out.meet(self._reach.session())
        self._out.number += 1
        work = yield from self._asked(lambda: self._renderer.work(self._id(), entry))
        if work is None or self._out.failure is not None:
            return
        yield from self._undecided(work)
        if self._out.failure is not None:
            return
        if self._state.doubtful:
            self._unsure(work.steps)
        failed = next((step for step in work.steps if step.event and step.event.status == "failed"), None)
        if failed is not None and not failed.task.ignore_errors:
            if self._blocks:  # somebody is going to clean up: what comes before happens first
                yield from self._out.send()
            if self._out.failure is None:
                assert failed.event is not None
                yield from self._out.fail(failed.task, failed.event)
            return
        if resource_class(entry.kind).on_controller:
            yield from self._here(work)
            return
        if not work.sends:
            self._out.put(work)
        elif entry.delegate_to:
            yield from self._elsewhere(work)
        elif is_judged(entry):
            yield from self._out.send(held=work)
            yield from self._judged(work)
        elif entry.loop is not None and entry.loop.pause:
            yield from self._slowly(work, entry.loop.pause)
        else:
            self._out.put(work)

    def _undecided(self, work: Work) -> Outcomes:
        """What a check cannot decide is left undone like what it would do: what comes later may not know."""
        entry, kind = work.entry, resource_class(work.entry.kind)
        unknown = next((step for step in work.steps if step.event and step.event.status == "unknown"), None)
        if unknown is None or unknown.event is None:
            return
        if entry.kind == "set_fact":
            self._control.set_variables({name: Unknown(unknown.event.why) for name in entry.args})
        elif entry.kind == "include_vars":  # nobody knows which variables it would set
            yield from self._came_to_nothing(unknown.task.name)
            self._state.doubtful.add(entry.kind)
        elif not kind.on_controller and leaves(unknown.event, kind, constant(entry.changed_when)):
            yield from self._came_to_nothing(unknown.task.name)

    def _came_to_nothing(self, name: str) -> Outcomes:
        if not self._state.undone:
            yield from self._out.send()  # what comes before it does not come after it
            self._state.undone = self._state.undone or name

    def _unsure(self, steps: Sequence[Step]) -> None:
        """What fails in a check by a result that the real run may see otherwise is no failure yet."""
        for step in steps:
            if step.event is not None and step.event.status == "failed":
                why = f"after {self._state.undone}: {step.event.why}"
                step.event = Event(step.event.id, "unknown", why=why)

    def _slowly(self, work: Work, pause: float) -> Outcomes:
        """A loop that waits between two items."""
        for number, one in enumerate(work.rounds):
            if number and any(step.event is None for step in one.steps):
                yield from self._control.wait(one.steps[0].task, pause, "pause")
            self._out.put(Work(replace(work.entry, register=""), [one]))
            yield from self._out.send()
            if self._out.failure is not None:
                return
        self._out.register(work)

    # -- what the controller decides -----------------------------------------------------------------------------

    def _here(self, work: Work) -> Outcomes:
        """A kind that no host is asked for (debug, set_fact, ...)."""
        entry = work.entry
        if entry.kind in controller_modules.AFTER_ALL or self._blocks or is_judged(entry):
            yield from self._out.send()
            if self._out.failure is not None:
                return
        failed: Optional[Step] = None
        number = self._out.number
        for index, one in enumerate(work.rounds):
            if index and entry.kind in controller_modules.SETS:  # it may read what the item before has set
                again = self._renderer.work(f"t{number}", entry).rounds
                one = again[min(index, len(again) - 1)]  # a failure is one round
                work = replace(work, rounds=[*work.rounds[:index], one, *work.rounds[index + 1 :]])
            (step,) = one.steps
            if step.event is not None:
                continue
            try:
                step.event = yield from controller_modules.perform(self._control, step.task, one, entry)
            except Unready as problem:
                step.event = Event(step.task.id, "unknown", why=str(problem))
            except MnemoError as problem:
                step.event = Event.failure(step.task.id, problem)
            step.event = self._judge.verdict(step, work)
            if any(re.search(rf"\b{re.escape(name)}\b", f"{entry.args} {entry.when}") for name in self._state.doubtful):
                self._unsure([step])
            if step.event.status == "failed" and not step.task.ignore_errors:
                failed = failed or step
        if failed is None:
            self._out.put(work)
            return
        for step in work.steps:
            if step is failed:
                assert failed.event is not None
                yield from self._out.fail(failed.task, failed.event)
            elif step.event is not None:
                yield step.task, step.event
        self._out.register(work)

    def _judged(self, work: Work, session: Optional[Channel] = None) -> Outcomes:
        """``until``, ``failed_when``, ``changed_when``: what was held back is shown as they see it."""
        if self._out.failure is not None:
            return
        for step in work.steps:
            if step.event is not None and step.event.status not in ("skipped", "unknown"):
                yield from self._judge.decide(step, work, session)
            if step.event is None:
                continue
            if step.event.status == "failed" and not step.task.ignore_errors:
                yield from self._out.fail(step.task, step.event)
            else:
                yield step.task, step.event
                entry, unheard = work.entry, work.entry.changed_when or work.entry.delegate_to or self._options.check
                if step.event.status == "unknown" and counts(step.task, entry.changed_when):
                    self._out.doubt(step.task.notify, step.task.name)
                elif step.event.status == "changed" and unheard:
                    self._out.notified.extend(step.task.notify)
                    self._out.may_notify = True
        self._out.register(work)

    # -- sending -------------------------------------------------------------------------------------------------

    def _elsewhere(self, work: Work) -> Outcomes:
        """A task for this machine instead."""
        yield from self._out.send()
        if self._out.failure is None:
            here = self._reach.here()
            yield from self._out.send(held=work, session=here)
            yield from self._judged(work, here)


def _tells(node: Node) -> bool:
    """Whether a host may know more of itself afterwards."""
    return not isinstance(node, Entry) or bool(node.register) or node.kind in controller_modules.SETS
