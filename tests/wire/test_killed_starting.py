"""Who starts a job or takes a lease may be killed between any two writes: nothing stays that nobody removes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.process import job, lease

RUN = "20261129T220719Z-0001"
# a systemd that keeps what runs as files: a timer that was started, a look that is to come
SYSTEMCTL = """#!/bin/sh
for unit; do :; done
units="$(dirname "$0")/units"
[ "$1" = --no-block ] && shift
case $1 in
is-active) [ -e "$units/$unit" ] ;;
enable) touch "$units/$unit" "$units/../enabled" ;;
disable) rm -f "$units/../enabled" ;;
stop) rm -f "$units/$unit" ;;
esac
"""
SYSTEMD_RUN = """#!/bin/sh
look=
while [ "$1" != -- ]; do [ "$1" = --unit ] && unit=$2; [ "$1" = --on-active ] && look=.timer; shift; done
touch "$(dirname "$0")/units/$unit$look"
"""


class Killed(BaseException):
    """SIGKILL: nothing is caught, nothing tidied."""


class Mortal(Machine):
    """A machine whose process dies before its write number ``left``."""

    left = 1000

    def writing(self) -> None:
        super().writing()
        self.left -= 1
        if self.left < 0:
            raise Killed


def host(root: Path, left: int = 1000) -> Mortal:
    tools = root / "usr/bin"
    if not tools.is_dir():
        (tools / "units").mkdir(parents=True)
        (root / "etc/systemd/system").mkdir(parents=True)
        for name, text in (("systemctl", SYSTEMCTL), ("systemd-run", SYSTEMD_RUN)):
            (tools / name).write_text(text)
            (tools / name).chmod(0o755)
    made = Mortal(str(root), search_path=f"{tools}:/usr/bin:/bin", state_dir="/var/lib/mnemo_ops")
    made.program = lambda: b"a program"
    made.left = left
    return made


def started(machine: Machine) -> None:
    job.start(machine, f"{RUN}-set", {"kind": "forget", "args": {"password": "hunter2222"}})


def held(machine: Machine) -> None:
    lease.hold(machine, "a", RUN, [], seconds=-1.0)


def running(root: Path) -> set[str]:
    return {path.name for path in (root / "usr/bin/units").iterdir()}


def left(root: Path) -> set[str]:
    """As `leftovers` of the lab tells it."""
    state = root / "var/lib/mnemo_ops"
    found = [*state.glob("leases/*"), *state.glob("jobs/*"), *state.glob("agent-*"), *root.glob("etc/systemd/system/*")]
    return {path.name for path in found} | running(root)


@pytest.mark.parametrize("deed", [started, held])
def test_systemd_removes_what_is_left(
    deed: Callable[[Machine], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "LINGERING", 0.0)
    whole = host(tmp_path / "whole")
    deed(whole)
    assert f"{lease.UNIT}.timer" in running(tmp_path / "whole")
    assert not [name for name in running(tmp_path / "whole") if "look" in name], "it is not needed any more"
    writes = 1000 - whole.left
    assert writes > 8
    for number in range(writes):
        root = tmp_path / str(number)
        with pytest.raises(Killed):
            deed(host(root, number))
        looks = [name for name in running(root) if "look" in name]
        if not looks and f"{lease.UNIT}.timer" not in running(root):
            # no secret and no unit: the next command that ends on this host takes it away
            assert not [name for name in left(root) if not name.startswith("agent-")], number
            lease.tidy(host(root))
        for name in looks:  # its time has come, and it goes away by itself
            (root / "usr/bin/units" / name).unlink()
            lease.expire(host(root), job.sweep)
        if f"{lease.UNIT}.timer" in running(root):
            lease.expire(host(root), job.sweep)
        assert left(root) <= {f"mnemo-job-{RUN}-set"}, number


@pytest.mark.parametrize("deed", [started, held])
def test_what_a_power_cut_leaves_is_looked_after(deed: Callable[[Machine], None], tmp_path: Path) -> None:
    """A look that is to come is gone with the power: what was written before the timer was there stayed for ever."""
    whole = host(tmp_path / "whole")
    deed(whole)
    for number in range(1000 - whole.left):
        root = tmp_path / str(number)
        with pytest.raises(Killed):
            deed(host(root, number))
        state = root / "var/lib/mnemo_ops"
        kept = [*state.glob("leases/*"), *state.glob("jobs/*")]
        assert not kept or (root / "usr/bin/enabled").exists(), number


def test_a_timer_that_is_active_is_enabled_wherever_a_tidying_was_killed(tmp_path: Path) -> None:
    """The next lease finds it active and asks for no more: after a reboot nobody would look."""

    def tidied(machine: Machine) -> None:
        lease.hold(machine, "a", RUN, [])
        lease.release(machine, "a")
        lease.tidy(machine)

    whole = host(tmp_path / "whole")
    tidied(whole)
    assert not left(tmp_path / "whole") and not (tmp_path / "whole/usr/bin/enabled").exists()
    for number in range(1000 - whole.left):
        root = tmp_path / str(number)
        with pytest.raises(Killed):
            tidied(host(root, number))
        lease.hold(host(root), "b", RUN, [])
        assert f"{lease.UNIT}.timer" in running(root) and (root / "usr/bin/enabled").exists(), number


def test_a_look_makes_the_timer_that_is_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody stopped it, and who wanted it again was killed: the look looks again, and after a reboot, too."""
    lease.hold(host(tmp_path), "a", RUN, [])
    (tmp_path / f"usr/bin/units/{lease.UNIT}.timer").unlink()
    monkeypatch.setattr(lease, "_install", lambda *_: (_ for _ in ()).throw(Killed()))
    with pytest.raises(Killed):
        lease.hold(host(tmp_path), "b", RUN, [])
    monkeypatch.undo()
    assert f"{lease.UNIT}.timer" not in running(tmp_path)
    assert lease.expire(host(tmp_path), job.sweep) == []
    assert f"{lease.UNIT}.timer" in running(tmp_path)
    assert {"mnemo-lease.service", "mnemo-lease.timer", "a.json"} <= left(tmp_path)
