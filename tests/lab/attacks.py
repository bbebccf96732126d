"""The attack table: every flow, struck by every fault, at every note it prints and at random moments.

A cell is one attack. Somebody writes all the time, and an earlier restore lies behind. Once the fault is lifted, within
:data:`HEALING` seconds: every acknowledged document is there, one host serves, nothing is left that has no name, the
last message was true, and the next run works. A cell whose fault did not demonstrably strike does not count.
"""

from __future__ import annotations

import json
import os
import random
import re
import select
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml
from outcomes import DIRECTORY, PROJECT, STATE, STORE, Host, Lab, Running, Said, eventually, read_back

from mnemo_ops.lab import server
from mnemo_ops.lab.load import ACKNOWLEDGED, Load

BUGS = ("a bug", "unexpected error")  # of the controller, of an agent
HEALING = 120.0  # seconds
PACE, SLOW = 0.2, 1.0  # seconds between two documents of a writer; while the host heals
RANDOM = 10  # moments for each way of killing
KILLS = ("controller", "job", "both", "interrupt")
FAULTS = ("port", "unhealthy", "full", "docker", "postgres", "cut")
FLOWS = ("backup", "restore", "undo", "migrate", "move", "deploy")
CAN = {  # which flows a fault can strike: those that start nginx, that fill the store, that have a peer
    "port": ("backup", "restore", "undo", "migrate"),
    "full": ("backup", "restore", "migrate"),
    "cut": ("migrate",),
}
GRAPH = "/data/graph"


@dataclass(frozen=True)
class Cell:
    """``at``: a note the flow prints, or a share of its time (0.35)."""

    flow: str
    fault: str
    at: str

    @property
    def name(self) -> str:
        return f"{self.flow}/{self.fault}/{self.at}"


@dataclass
class Outcome:
    cell: str
    struck: bool
    wrong: list[str] = field(default_factory=list)
    code: int | None = None
    message: str = ""
    documents: int = 0
    healed: float = 0.0
    seconds: float = 0.0
    commit: str = ""
    spent: dict[str, float] = field(default_factory=dict)
    """Seconds by what they went to; not kept."""


@dataclass(frozen=True)
class State:
    """What a flow changes: where the stack serves, which sets are whole there, how the graph's volume is stored."""

    here: str
    sets: frozenset[str]
    stored: str


@dataclass
class Rehearsal:
    """A flow that was let alone: its notes in order, and how long it took."""

    notes: list[str]
    seconds: float


class Table:
    """Both hosts of a lab and the stack, which is on ``here``; ``there`` is empty and provisioned."""

    def __init__(self, lab: Lab, writers: int = 2, seed: int = 0) -> None:
        self.chance = random.Random(seed)
        self.lab, self.here, self.there = lab, lab.old, lab.new
        self.known: dict[str, Rehearsal] = {}
        self.runs = 0
        self.writers = writers
        self.level = "INFO"
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            # a shell starts what is to run in the background so, and what is started here would never hear Ctrl-C
            signal.signal(signal.SIGINT, signal.default_int_handler)

    # -- the flows -----------------------------------------------------------------------------------------------

    def words(self, flow: str) -> tuple[str, ...]:
        here, there = self.here.name, self.there.name
        common = ("--limit", here, "-v")
        if flow == "backup":
            return ("backup", *common)
        if flow == "restore":
            return ("restore", "--id", self.base(), "--yes", *common)
        if flow == "undo":
            return ("restore", "--undo", "--yes", *common)
        if flow == "migrate":
            return ("migrate", "--from", here, "--to", there, "--yes", "-v")
        if flow == "move":
            kind = "local" if self.stored() == "bind" else "bind"
            # a new one each time: what it came from a move keeps
            where = f"{GRAPH}/{self.lab.commands}"
            volumes = {"lightrag_data": {"type": "bind", "path": where}} if kind == "bind" else {}
            path = self.inventory("moved", volumes=volumes)
            return ("volumes", "--volume", "lightrag_data", "--to", kind, "--yes", "-i", str(path), *common)
        assert flow == "deploy", flow
        self.level = "DEBUG" if self.level == "INFO" else "INFO"
        env = self.lab.root / ".lab" / "secrets" / "attacked.env"
        text = (self.lab.root / ".lab" / "secrets" / "env.production").read_text()
        env.write_text(re.sub(r"(?m)^LOG_LEVEL=.*$", "", text) + f"\nLOG_LEVEL={self.level}\n")
        return ("deploy", "-i", str(self.inventory("deployed", env_file=str(env))), *common)

    def inventory(self, name: str, **stack: Any) -> Path:
        known = yaml.safe_load((self.lab.inventory.parent / "group_vars" / "all.yml").read_text())["stack"]
        changed = {**known, **stack}
        return self.lab.inventory_with(name, lambda data: data["hosts"][self.here.name].update(stack=changed))

    def stored(self) -> str:
        shown = self.here.sh("docker volume inspect mnemosyne_lightrag_data --format '{{.Options.device}}'")
        return "bind" if shown.startswith(GRAPH) else "local"

    def base(self) -> str:
        """The oldest complete set where the stack is."""
        rows = self.lab.run("backup.list", "--limit", self.here.name, "--json").document["sets"][self.here.name]
        return str(min(row["id"] for row in rows if row["state"] == "complete"))

    # -- how it should be before a cell --------------------------------------------------------------------------

    def prepare(self, cell: Cell) -> None:
        """The stack serves, the other host is empty, an earlier restore lies behind; little data."""
        if cell.flow != "move" and self.stored() == "bind":
            self.must(*self.words("move"))
        if not self.here.lines(f"ls {STORE} 2>/dev/null | grep -v partial || true"):
            self.must("backup", "--limit", self.here.name)
        if cell.flow != "move":  # a restore that can be undone speaks against moving what it lies beside
            if not self.undoable():
                self.must(*self.words("restore"))
        else:
            self.must("backup.prune", "--aside", "--limit", self.here.name, "--yes")
            self.here.sh("docker volume ls -q --filter label=mnemo.kept | xargs -r docker volume rm >/dev/null")
            if self.stored() == "local":
                self.here.sh(f"rm -rf {GRAPH}")
        self.write("before", 20)
        if cell.flow == "migrate":
            self.empty(self.there)
            if "image" in cell.at:  # such a note is there only where they are not
                self.there.sh("docker images -q | sort -u | xargs -r docker rmi -f >/dev/null")

    def undoable(self) -> bool:
        return self.here.sh(f"compgen -G '{DIRECTORY}/.mnemo-before-*' || true") != ""

    def must(self, *words: str) -> Said:
        said = self.lab.run(*words)
        assert said.code == 0, str(said)
        return said

    def write(self, name: str, documents: int) -> Path:
        load = Load(f"https://{self.here.address}", self.lab.root / f"{self.runs}-{name}", documents=documents).start()
        load.wait()
        assert load.acknowledged == documents
        return load.directory / ACKNOWLEDGED

    def empty(self, host: Host) -> None:
        """As a host that never had the stack, but for its images."""
        host.sh(
            f"docker ps -aq --filter label=com.docker.compose.project={PROJECT} | xargs -r docker rm -f >/dev/null;"
            f"docker volume ls -q | grep '^{PROJECT}_' | xargs -r docker volume rm >/dev/null;"
            f"docker network ls -q --filter label=com.docker.compose.project={PROJECT} | xargs -r docker network rm;"
            f"rm -rf {DIRECTORY} {STORE} {GRAPH} {STATE}/fences {STATE}/targets {STATE}/restores {STATE}/moves"
        )

    # -- rehearsals ----------------------------------------------------------------------------------------------

    def rehearse(self, flow: str) -> Rehearsal:
        """The notes of a flow, taken from its own output, and how long it takes when it is let alone."""
        if flow not in self.known or not self.known[flow].seconds:
            self.runs += 1
            self.prepare(Cell(flow, "", ""))
            said = self.must(*self.words(flow))
            self._learn(flow, said.out)
            self.known[flow].seconds = said.seconds
            if flow == "migrate":
                self.here, self.there = self.there, self.here
        return self.known[flow]

    def _learn(self, flow: str, printed: str) -> None:
        seen = self.known.setdefault(flow, Rehearsal([], 0.0))
        seen.notes = merged(seen.notes, self.notes(printed))

    def notes(self, printed: str) -> list[str]:
        return list(dict.fromkeys(notes(printed, self.here.name, self.there.name)))

    def cells(self, flow: str, seed: int, known: Sequence[str] = ()) -> list[Cell]:
        """Every cell of a flow. :param seed: chooses the random moments. :param known: notes it printed before."""
        chance = random.Random(f"{flow}-{seed}")
        seen = self.known.setdefault(flow, Rehearsal(list(known), 0.0))
        seen = self.rehearse(flow) if not known else seen
        seen.notes = merged(known, seen.notes)
        kinds = list(dict.fromkeys(map(kind, seen.notes)))
        phases = [note for note in kinds if not note.startswith("...")]
        found = [Cell(flow, fault, note) for fault in KILLS for note in kinds]
        found += [Cell(flow, fault, f"{chance.uniform(0.02, 0.98):.3f}") for fault in KILLS for _ in range(RANDOM)]
        found += [Cell(flow, fault, note) for fault in FAULTS if flow in CAN.get(fault, FLOWS) for note in phases[:-1]]
        return found

    # -- one attack ----------------------------------------------------------------------------------------------

    def attack(self, cell: Cell, others: Collection[Cell] = ()) -> Outcome:
        """Strike, lift the fault, and look.

        :param others: cells of the same flow and fault that are wanted, too: when the note of `cell` is not printed
            this time, the first of them that is printed later is struck.
        """
        began = time.monotonic()
        seen = self.rehearse(cell.flow) if is_share(cell.at) else self.known[cell.flow]
        self.runs += 1  # each has its own lists of what was acknowledged
        self.prepare(cell)
        load = Load(
            f"https://{self.here.address}", self.lab.root / f"{self.runs}-during", writers=self.writers, pause=PACE
        ).start()
        outcome = Outcome(cell.name, False)
        try:
            eventually("somebody writes", lambda: load.acknowledged > 3, 30, 0.1)
            before = self.state()
            outcome.spent["prepare"] = time.monotonic() - began
            running = self.lab.start(*self.words(cell.flow))
            with ExitStack() as lifted:
                outcome.cell, outcome.struck = self._strike(cell, others, seen, running, lifted)
                said = self._ended(running, cell)
            healing, load.pause = time.monotonic(), SLOW
            outcome.spent["run"] = healing - running.began
            outcome.code, outcome.message = said.code, last_words(said)
            self._healed(cell, outcome)
            outcome.healed = round(time.monotonic() - healing, 1)
        finally:
            load.stop()
        looking = time.monotonic()
        self._whole(
            cell,
            before,
            [self.lab.root / f"{self.runs}-{name}" / ACKNOWLEDGED for name in ("before", "during")],
            outcome,
        )
        outcome.spent["look"] = time.monotonic() - looking
        self._next_run(cell, before, outcome)
        outcome.documents = load.acknowledged
        outcome.seconds = round(time.monotonic() - began, 1)
        outcome.spent["next"] = time.monotonic() - looking - outcome.spent["look"]
        return outcome

    def _strike(
        self, cell: Cell, others: Collection[Cell], seen: Rehearsal, running: Running, lifted: ExitStack
    ) -> tuple[str, bool]:
        """The cell that was struck, and whether the fault struck while the flow was at work."""
        name = cell.name
        alike = [note for note in seen.notes if kind(note) == cell.at]
        with ExitStack() as shells:
            kills = cell.fault in ("job", "both")  # a shell to a host that is cut off has no end
            hosts = [self.here, *([self.there] if cell.flow == "migrate" else [])] if kills else []
            ready = [shells.enter_context(shell(host)) for host in hosts]
            if is_share(cell.at):
                time.sleep(max(0.0, float(cell.at) * seen.seconds - (time.monotonic() - running.began)))
            else:
                wanted = self._from(self.chance.choice(alike or [cell.at]), cell, others, seen.notes)
                found = self._said(wanted, running)
                if found is None:
                    return name, False
                name = wanted[found].name
            self._learn(cell.flow, running.printed())  # what it says later follows from the fault
            if running.process.poll() is not None:
                return name, False
            killed = [type_in(KILL_JOB) for type_in in ready]
            if cell.fault in ("controller", "both"):
                running.process.kill()
            if cell.fault == "interrupt":
                running.process.send_signal(signal.SIGINT)
            if cell.fault in FAULTS:
                starting = self.there if cell.flow == "migrate" else self.here
                return name, fault(self, cell.fault, lifted, starting, lambda: running.process.poll() is None)
        at_work = running.process.wait(150) != 0 if cell.fault != "job" else True
        return name, at_work and (not kills or any("killed" in one for one in killed))

    def _from(self, note: str, cell: Cell, others: Collection[Cell], order: Sequence[str]) -> dict[str, Cell]:
        """By their notes: of the cells that are wanted those from `note`, one of `cell`, on."""
        wanted = {other.at: other for other in others if other.fault == cell.fault}
        after = order[order.index(note) :] if note in order else []
        return {**{later: wanted[kind(later)] for later in after if kind(later) in wanted}, note: cell}

    def _said(self, wanted: Collection[str], running: Running) -> str | None:
        """The first of these notes that a flow prints; ``None``: it ended before."""
        end, printed = time.monotonic() + 120, ""
        while time.monotonic() < end:
            ended = running.process.poll() is not None
            if (now := running.printed()) != printed:
                printed = now
                found = [note for note in self.notes(printed) if note in wanted]
                if found:
                    return found[0]
            if ended:
                break
            time.sleep(0.01)
        return None

    def _ended(self, running: Running, cell: Cell) -> Said:
        try:
            return self.lab.ended(running, 400)
        except subprocess.TimeoutExpired:
            running.process.kill()
            said = self.lab.ended(running, 10)
            return Said(said.words, -99, said.out, said.err + "\nHUNG", said.seconds)

    # -- what must be true afterwards ----------------------------------------------------------------------------

    def _healed(self, cell: Cell, outcome: Outcome) -> None:
        end = time.monotonic() + HEALING
        with attached(self.here) as here, attached(self.there) as there:
            while True:
                late = time.monotonic() > end
                left = [f"{here.name}: {one}" for one in unnamed(here)]
                if not left or late:  # a look costs: there only where nothing is left here
                    left += [f"{there.name}: {one}" for one in unnamed(there)]
                serving = [host for host in (here, there) if host.serves()] if not left or late else []
                if (len(serving) == 1 and not left) or late:
                    break
                time.sleep(1)
        if outcome.code == -99:
            outcome.wrong.append("the command hung")
        if len(serving) != 1:
            states = {host.name: host.containers() for host in (self.here, self.there)}
            outcome.wrong.append(f"{len(serving)} hosts serve: {states}")
        outcome.wrong += [f"left: {one}" for one in left]
        striking = cell.fault in FAULTS and re.search("the host (re)?tries", outcome.message)
        if outcome.code == 1 or (outcome.code == 8 and not striking) or any(word in outcome.message for word in BUGS):
            outcome.wrong.append(f"ended with {outcome.code}: {outcome.message}")
        if len(serving) == 1 and serving[0].name != self.here.name:
            self.here, self.there = self.there, self.here

    def _whole(self, cell: Cell, before: State, files: Sequence[Path], outcome: Outcome) -> None:
        """Every acknowledged document serves, or an undo of the last restore brings it back."""
        if outcome.wrong:
            return
        missing = self._missing(files, outcome)
        self._true(cell, before, bool(missing), outcome)
        if not missing or outcome.wrong:
            return
        undone = self.lab.run("restore", "--undo", "--yes", "--limit", self.here.name)
        lost = missing & self._missing(files, outcome)
        if undone.code != 0 or lost:
            outcome.wrong.append(f"undo ended with {undone.code}; {len(lost)} of {len(missing)} documents are lost")

    def state(self) -> State:
        return State(
            self.here.name, frozenset(self.here.lines(f"ls -d {STORE}/*/manifest.json || true")), self.stored()
        )

    def _true(self, cell: Cell, before: State, gone: bool, outcome: Outcome) -> None:
        """Whether what was said of the end is so. :param gone: what was written is not what serves now."""
        said, after, ends = outcome.message, self.state(), list[tuple[bool, bool]]()
        well = outcome.code == 0
        if cell.flow == "backup" and after.here == before.here:
            new = {path.split("/")[-2] for path in after.sets - before.sets}
            ends = [(well, bool(new)), ("no backup was made" in said, not new)]
            ends += [(True, id in new) for id in re.findall(r"the backup (\S+) is complete", said)]
        if cell.flow in ("restore", "undo"):
            done = "is in place, and" in said or "but it is done" in said
            ends = [(well or done, gone), ("nothing was changed" in said, not gone)]
        if cell.flow == "migrate":
            moved = after.here != before.here
            stays = f"{before.here} serves" in said or f"{before.here} was not stopped" in said
            ends = [(well or "fenced for good" in said, moved), (stays, not moved)]
        if cell.flow == "move":
            moved = after.stored != before.stored
            ends = [
                (well or "is moved" in said, moved),
                ("in its old place" in said or "lies where it was" in said, not moved),
            ]
        if any(told and not so for told, so in ends):
            outcome.wrong.append(f"not so: {outcome.code} {said}; before {before}, after {after}, gone {gone}")

    def _missing(self, files: Sequence[Path], outcome: Outcome) -> set[str]:
        seen = [read_back(self.here, acknowledged) for acknowledged in files]
        wrong = [line for each in seen for line in each.wrong]
        if wrong:
            outcome.wrong.append(f"{len(wrong)} documents are not whole, the first: {wrong[0]}")
        return {id for each in seen for id in each.missing}

    def _next_run(self, cell: Cell, before: State, outcome: Outcome) -> None:
        if outcome.wrong:
            return
        if cell.flow == "migrate" and outcome.code == 0:
            return  # it is done; the next cell prepares the way back
        words = self.words(cell.flow if cell.flow != "undo" else "restore")
        moved = self.here.name != before.here  # the same command then says that it is done
        if moved:
            words = ("migrate", "--from", before.here, "--to", self.here.name, "--yes", "-v")
        said = self.lab.run(*words)
        if said.code != 0:
            outcome.wrong.append(f"the next run ended with {said.code}: {last_words(said)}")
        elif cell.flow == "migrate" and not moved:
            self.here, self.there = self.there, self.here


# -- striking ------------------------------------------------------------------------------------------------------

KILL_JOB = (
    "for u in $(systemctl list-units --plain --no-legend 'mnemo-job-*' | cut -d' ' -f1); do "
    'systemctl kill -s KILL "$u" && echo killed; done; pkill -9 -f "[p]ython3.*mnemo_ops" && echo agent killed'
)


@contextmanager
def shell(host: Host) -> Iterator[Callable[[str], str]]:
    """A shell of root that is there already: what is typed into it strikes within milliseconds."""
    with host.meanwhile("bash") as process:
        assert process.stdin is not None and process.stdout is not None

        def type_in(line: str) -> str:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(f"{{ {line}\n}} 2>&1; echo; echo end-of-answer\n")
            process.stdin.flush()
            return "".join(iter(process.stdout.readline, "end-of-answer\n"))

        yield type_in


class Attached(Host):
    """A host that is looked at through one shell: a look every half second must not keep the machine busy."""

    type_in: Callable[[str], str]

    def sh(self, script: str, timeout: float = 120, check: bool = True) -> str:
        return self.type_in(script).strip()


@contextmanager
def attached(host: Host) -> Iterator[Attached]:
    with shell(host) as type_in:
        found = Attached(host.root, host.name, host.ssh)
        found.type_in = type_in
        yield found


def fault(
    table: Table, name: str, lifted: ExitStack, starting: Host, at_work: Callable[[], bool] = lambda: True
) -> bool:
    """Let something be wrong until ``lifted`` closes; whether it is.

    :param starting: where the stack is to start. :param at_work: false once it is too late.
    """
    here, there = table.here, table.there
    if name == "port":
        listen = (
            "import select,socket,sys\ns=socket.socket();s.setsockopt(1,2,1)\nwhile 1:\n"
            " try:\n  s.bind(('0.0.0.0',443));s.listen();break\n"
            " except OSError:\n  if select.select([sys.stdin],[],[],.01)[0]: sys.exit()\n"
            "print('taken',flush=True);sys.stdin.read()"
        )
        taken = lifted.enter_context(starting.meanwhile(f"timeout 300 python3 -c {shlex.quote(listen)}"))
        assert taken.stdout is not None
        while not select.select([taken.stdout], [], [], 0.1)[0]:
            if not at_work():
                return False
        return taken.stdout.readline().strip() == "taken"
    if name == "unhealthy":  # what the check of the worker looks for is not there
        inside = "docker exec -u 0 mnemosyne-celery-worker mv"
        away = here.sh(f"{inside} /usr/bin/grep /usr/bin/grep.away && echo away", check=False)
        lifted.callback(here.sh, f"{inside} /usr/bin/grep.away /usr/bin/grep", check=False)
        return away.endswith("away")
    if name == "full":
        where = f"{STORE}/.fill"
        here.sh(
            f"mkdir -p {STORE}; mount -t tmpfs -o size=1M,mode=700 tmpfs {STORE}; head -c 2M /dev/zero > {where}",
            check=False,
        )
        lifted.callback(here.sh, f"umount -l {STORE}")
        return here.sh(f"df --output=avail {STORE} | tail -1").strip() == "0"
    if name == "docker":
        here.sh("systemctl stop docker.socket docker.service", timeout=200)
        lifted.callback(here.sh, "systemctl start docker.socket docker.service", timeout=200)
        return here.sh("systemctl is-active docker || true") == "inactive"
    if name == "postgres":
        # its process, as the kernel does when memory ends: after `docker kill` Docker itself would not start it again
        kill = "kill -9 $(docker inspect -f '{{.State.Pid}}' mnemosyne-postgres) && echo killed"
        return here.sh(kill, check=False).endswith("killed")
    server.disconnect(table.lab.root, there.name)
    lifted.callback(server.connect, table.lab.root, there.name)
    time.sleep(60)  # longer than a lease
    return True


# -- reading -------------------------------------------------------------------------------------------------------


def notes(printed: str, here: str, there: str) -> list[str]:
    """What a flow said it does, without what differs from run to run; the hosts are HERE and THERE."""
    found, names = [], {here: "HERE", there: "THERE"}
    for line in printed.splitlines():
        step = re.match(r"\[ *[\d.]+ s\] (.*)", line)
        note = re.match(r"  \.\.\. +\S+ +(.*: .*)", line)  # without a colon it only says that it is still at work
        if not (step or note):
            continue
        text = step[1] if step else f"... {note[1]}" if note else ""
        text = re.sub(r"\d{8}T\d{6}Z-[0-9a-f]{4}", "RUN", text)
        text = re.sub(rf"{GRAPH}/\d+", GRAPH, text)
        text = re.sub(r"\d+ files", "N files", text)
        text = re.sub(r"(:|\.\.\.)[0-9a-f]{7,12}\b", "", text)  # of an image
        text = re.sub(r"\b[\d.]+(/[\d.]+)? ?(s|B|kB|KB|MB|GB)\b.*", "", text).strip()
        found.append(re.sub(rf"\b({here}|{there})\b", lambda name: names[name[0]], text))
    return found


_THINGS = re.compile(
    r"\b(nginx|api|backup|celery-(?:worker|beat|flower)|grafana|prometheus|postgres|redis|lightrag|uploads|config)\b"
    r"((\.\d+)?\.(files|dump|tar\.zst|tar\.age|secrets\.age))?(, (?=\w))?"
)


def kind(note: str) -> str:
    """A note whatever dataset, part or services it names: a cell is struck at one of those, which one is chance."""
    verb = re.match(r"(\.\.\. [\w ]+: )", note)
    return note[: verb.end()] + re.sub(r"(X)+", "X", _THINGS.sub("X", note[verb.end() :])) if verb else note


def is_share(at: str) -> bool:
    return re.fullmatch(r"0\.\d+", at) is not None


def merged(known: Sequence[str], seen: Sequence[str]) -> list[str]:
    """What was not known goes behind what came before it."""
    found, at = list(known), 0
    for note in seen:
        if note not in found:
            found.insert(at, note)
        at = found.index(note) + 1
    return found


def last_words(said: Said) -> str:
    """The last error, all of its lines without the advice, in one."""
    lines = said.err.splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith("ERROR") or "Traceback" in line]
    told = lines[starts[-1] :] if starts else lines[-1:]
    ends = [number for number, line in enumerate(told) if line.startswith("  -> ")]
    return " ".join(line.strip() for line in told[: ends[0] if ends else None])


def unnamed(host: Host) -> list[str]:
    """What is left of runs and is of no record: what a restore keeps is named by it, an unfinished copy by its mark."""
    records = host.sh(f"cat {STATE}/restores/*.json 2>/dev/null || true")
    stamps = re.findall(r"\d{8}T\d{6}Z-[0-9a-f]{4}", records)
    return [
        line
        for line in host.leftovers()
        if not any(f".mnemo-{side}-{stamp}" in line for stamp in stamps for side in ("before", "after", "stray"))
    ]


def pick(cells: Sequence[Cell], chance: random.Random) -> Cell:
    """Every fault as often as another, however many cells it has."""
    chosen = chance.choice(sorted({cell.fault for cell in cells}))
    return chance.choice([cell for cell in cells if cell.fault == chosen])


# -- keeping -------------------------------------------------------------------------------------------------------


def commit() -> str:
    said = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=Path(__file__).parent
    )
    return said.stdout.strip()


class Kept:
    """Cells that were run, a line of JSON each, and the notes of each flow: a table that takes hours goes on."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def _rows(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.path.read_text().splitlines()] if self.path.exists() else []

    def done(self) -> dict[str, dict[str, Any]]:
        """The last outcome of each cell; one that came too late says nothing of those before."""
        found: dict[str, dict[str, Any]] = {}
        for row in self._rows():
            if "cell" not in row:
                continue
            flow, fault, at = row["cell"].split("/", 2)
            name = Cell(flow, fault, kind(at)).name
            if row["struck"] or row["wrong"] or name not in found:
                found[name] = row
        return found

    def notes(self, flow: str) -> list[str]:
        found: list[str] = []
        for row in self._rows():
            found = merged(found, row["notes"] if row.get("flow") == flow else [])
        return found

    def left(self, cells: Sequence[Cell]) -> list[Cell]:
        """Those that were not struck yet, or not well."""
        done = self.done()
        return [cell for cell in cells if not is_well(done.get(cell.name))]

    def add(self, outcome: Outcome) -> None:
        row = {key: value for key, value in asdict(outcome).items() if key != "spent"}
        self._append({**row, "message": outcome.message[:200], "wrong": [line[:300] for line in outcome.wrong]})

    def learn(self, flow: str, seen: Sequence[str]) -> None:
        """Keep what a flow printed that is new."""
        if merged(known := self.notes(flow), seen) != known:
            self._append({"flow": flow, "notes": list(seen)})

    def _append(self, row: dict[str, Any]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as file:  # two labs may share it: one write
            os.write(file.fileno(), (json.dumps(row) + "\n").encode())


def is_well(row: dict[str, Any] | None) -> bool:
    return row is not None and bool(row["struck"]) and not row["wrong"]


def summary(kept: Kept, flow: str, cells: Sequence[Cell]) -> str:
    """A row of the table in docs/soak.md."""
    done = kept.done()
    rows = [done[cell.name] for cell in cells if cell.name in done]
    struck, green = sum(row["struck"] for row in rows), sum(is_well(row) for row in rows)
    hours = sum(row["seconds"] for row in rows) / 3600
    return f"| {flow} | {len(cells)} | {len(rows)} | {struck} | {green} | {hours:.1f} |"
