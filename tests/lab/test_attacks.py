"""Flows under attack (tests/lab/attacks.py): K1 to K3 always, a sample of the table, and all of it in `make soak`."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from attacks import FLOWS, Cell, Kept, Outcome, Table, commit, fault, pick, summary, unnamed
from outcomes import DIRECTORY, Lab, eventually, read_back

from mnemo_ops.lab.load import ACKNOWLEDGED, Load

pytestmark = [pytest.mark.lab, pytest.mark.timeout(1200)]

SAMPLE = 100.0  # seconds of attacks in `make test`; the one that is at work then is finished
# another sample with each commit, and the same for whoever looks again
SEED = int(os.environ.get("MNEMO_ATTACK_SEED") or int(commit() or "0", 16) % 100_000)
KEPT = Path(os.environ.get("MNEMO_ATTACKS") or Path(__file__).parents[2] / "docs" / "attacks.jsonl")
TRIES = 3  # of a cell whose fault came too late


@pytest.fixture(scope="module")
def table(lab: Lab) -> Iterator[Table]:
    """A stack on old, new provisioned and empty, a set, and a restore of it."""
    for words in (("bootstrap",), ("deploy", "--limit", "old"), ("backup", "--limit", "old")):
        said = lab.run(*words)
        assert said.code == 0, str(said)
    yield Table(lab, seed=SEED)


# moments of a second restore; each is asked for the first time it shows in what the job says it does
MOMENTS = (
    *("checksum of", "unpacking lightrag", "comparing uploads", "restoring", "comparing the tables"),
    *("stopping nginx", "stopping api", "swapping", "starting the stack", "removing what"),
)


def restored_and_written(table: Table, documents: int = 60) -> Path:
    table.runs += 1
    table.must(*table.words("restore"))
    return table.write("since", documents)


def nothing_is_lost(table: Table, acknowledged: Path) -> None:
    eventually("the stack serves", table.here.serves, 120)
    eventually("no lease is left", lambda: table.here.leases() == [], 120)
    seen = read_back(table.here, acknowledged)
    assert not seen.wrong, seen.wrong[:3]
    if seen.missing:  # it came to its end before it was struck: what was there comes back
        table.must("restore", "--undo", "--yes", "--limit", table.here.name)
        seen = read_back(table.here, acknowledged)
    assert seen.whole, f"{len(seen.missing)} of {seen.acknowledged} are lost"
    eventually("nothing without a name is left", lambda: unnamed(table.here) == [], 60)


def k1(table: Table, moment: str, how: str) -> None:
    acknowledged = restored_and_written(table)
    running = table.lab.start(*table.words("restore"))
    struck = table.here.told(moment)
    if how == "interrupt":
        running.process.send_signal(2)
    else:
        table.here.sh("systemctl kill -s KILL 'mnemo-job-*-restore.service'", check=False)
        running.process.kill()
    said = table.lab.ended(running)
    print(f"K1 at '{moment}' ({how}): struck {struck}, ended with {said.code}")
    assert struck, f"'{moment}' was never seen"
    nothing_is_lost(table, acknowledged)
    table.must(*table.words("restore"))


@pytest.mark.parametrize(("moment", "how"), [("stopping api", "interrupt"), ("swapping", "kill")])
def test_k1_a_second_restore_that_is_interrupted_changes_nothing_or_is_finished(
    table: Table, moment: str, how: str
) -> None:
    k1(table, moment, how)


@pytest.mark.soak
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("how", ["interrupt", "kill"])
def test_k1_at_every_moment(table: Table, moment: str, how: str) -> None:
    k1(table, moment, how)


def test_k2_a_second_restore_whose_start_fails_leaves_the_data_from_before_serving(table: Table) -> None:
    k2(table)


@pytest.mark.soak
@pytest.mark.parametrize("number", range(9))
def test_k2_again(table: Table, number: int) -> None:
    k2(table)


def k2(table: Table) -> None:
    from contextlib import ExitStack

    acknowledged = restored_and_written(table)
    running = table.lab.start(*table.words("restore"), "--json")
    assert table.here.told("stopping nginx")
    with ExitStack() as lifted:
        assert fault(table, "port", lifted, table.here)
        said = table.lab.ended(running)
        assert said.code == 6, str(said)
        assert "data from before are in place again" in said.error["message"], said.error
        assert "mnemosyne-nginx" in said.error["message"]
        assert table.here.running() >= {"api", "postgres", "redis", "celery-worker"}
    nothing_is_lost(table, acknowledged)


def test_k3_what_was_written_after_a_restore_comes_back_by_a_second_undo(table: Table) -> None:
    k3(table)


@pytest.mark.soak
@pytest.mark.parametrize("number", range(9))
def test_k3_again(table: Table, number: int) -> None:
    k3(table)


def k3(table: Table) -> None:
    acknowledged = restored_and_written(table, 40)
    undo = ("restore", "--undo", "--yes", "--limit", table.here.name)
    before = table.here.digest()
    for words in (undo[:-3], ("restore", "--id", table.base())):
        shown = table.must(*words, "--check", "--limit", table.here.name)
        assert "nothing was changed" in shown.out.lower() or "would" in shown.out, shown.out
    assert table.here.digest() == before
    said = table.must(*undo)
    assert "previous data are kept" in said.out
    assert len(read_back(table.here, acknowledged).missing) == 40
    table.must(*undo)
    assert read_back(table.here, acknowledged).whole
    assert table.here.serves() and table.here.leases() == []


def test_docker_that_starts_again_in_mid_swap_starts_nothing_on_half_of_it(table: Table) -> None:
    """Every container came up on a half-exchanged set of directories, and what clients wrote there was removed."""
    acknowledged = restored_and_written(table)
    writers = Load(f"https://{table.here.address}", table.lab.root / f"{table.runs}-mid", writers=2, pause=0.1).start()
    try:
        running = table.lab.start(*table.words("restore"))
        half = f'grep -qs swapping /var/lib/mnemo_ops/restores/2*.json && compgen -G "{DIRECTORY}/.mnemo-before-*"'
        kill = "systemctl kill -s KILL 'mnemo-job-*-restore.service'"
        table.here.sh(f"timeout 600 bash -c 'until {half} >/dev/null; do sleep 0.002; done' && {kill}", timeout=660)
        running.process.kill()
        table.lab.ended(running)
        table.here.sh("systemctl restart docker", timeout=200)
        eventually("the stack serves", table.here.serves, 150)
    finally:
        writers.stop()
    nothing_is_lost(table, acknowledged)
    during = table.lab.root / f"{table.runs}-mid" / ACKNOWLEDGED
    seen = read_back(table.here, during)
    lost = set(seen.missing)
    if lost:  # directories are exchanged within milliseconds: the restore was finished, served, and was undone above
        table.must("restore", "--undo", "--yes", "--limit", table.here.name)
        lost &= set(read_back(table.here, during).missing)
    assert not lost and not seen.wrong, f"{len(lost)} of {seen.acknowledged} are lost, {seen.wrong[:2]}"


# -- the table -----------------------------------------------------------------------------------------------------


def attacked(table: Table, cell: Cell, kept: Kept, others: Sequence[Cell] = ()) -> Outcome:
    outcome = table.attack(cell, others)
    outcome.commit = commit()
    kept.add(outcome)
    kept.learn(cell.flow, table.known[cell.flow].notes)
    word = "struck" if outcome.struck else "NOT STRUCK"
    spent = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in outcome.spent.items())
    print(f"{outcome.cell}: {word}, ended with {outcome.code}, healed after {outcome.healed} s, {outcome.seconds} s")
    print(f"  {spent}, {outcome.documents} documents; {outcome.message}")
    for line in outcome.wrong:
        print(f"  WRONG {line}")
    return outcome


def test_a_sample_of_the_table(table: Table, tmp_path: Path) -> None:
    chance = random.Random(SEED)
    print(f"seed {SEED}: MNEMO_ATTACK_SEED={SEED} pytest -s tests/lab/test_attacks.py -k sample")
    kept, end, outcomes = Kept(tmp_path / "cells"), time.monotonic() + SAMPLE, list[Outcome]()
    while time.monotonic() < end or not any(each.struck for each in outcomes):
        flow = chance.choice(("backup", "restore", "undo"))
        cells = table.cells(flow, SEED, Kept(KEPT).notes(flow))
        cell = chance.choice(cells)
        outcomes.append(attacked(table, cell, kept, cells))
        assert not outcomes[-1].wrong, f"MNEMO_ATTACK_SEED={SEED}: {cell.name}: {outcomes[-1].wrong}"
    print(f"{len(outcomes)} cells, {sum(each.struck for each in outcomes)} struck")


@pytest.mark.soak
@pytest.mark.timeout(12 * 3600)
@pytest.mark.parametrize("flow", FLOWS)
def test_the_whole_table(table: Table, flow: str) -> None:
    """Goes on where an earlier run of it ended: cells that struck are kept with their commit."""
    kept, chance, tries = Kept(KEPT), random.Random(SEED), Counter[str]()
    wrong: list[str] = []
    while left := [cell for cell in kept.left(table.cells(flow, 1, kept.notes(flow))) if tries[cell.name] < TRIES]:
        cell = pick(left, chance)
        outcome = attacked(table, cell, kept, left)
        tries[cell.name] += 1
        tries[outcome.cell] += TRIES if outcome.wrong else 0
        wrong += [f"{outcome.cell}: {line}" for line in outcome.wrong]
    print(summary(kept, flow, table.cells(flow, 1, kept.notes(flow))))
    assert not wrong, "\n".join(wrong)
