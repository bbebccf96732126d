"""Whatever starts python on a host is isolated: nothing of where it is started is imported (-I), nor of site (-S)."""

from __future__ import annotations

import ast
import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from test_deeds import SYSTEMCTL, SYSTEMD_RUN

import mnemo_ops
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.process import code_cache, handout, job, lease
from mnemo_ops.transport import bundle

ROOT = Path(mnemo_ops.__file__).parent
RUN = "20261129T220719Z-f5d5"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, text in (("systemd-run", SYSTEMD_RUN), ("systemctl", SYSTEMCTL)):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    made = Machine(str(tmp_path), search_path=f"{tools}:/usr/bin:/bin", state_dir="/state")
    made.program = lambda: code_cache.merged([bundle.bundle(), bundle.pack(bundle.deeds())])
    return made


def vectors(machine: Machine, root: Path) -> dict[str, list[str]]:
    """Every argument vector that starts python on a host."""
    lease.hold(machine, f"key-{RUN}", RUN, [])
    unit = (root / "state/units/mnemo-lease.service").read_text()
    (line,) = [line for line in unit.splitlines() if line.startswith("ExecStart=")]
    job.start(machine, "j1", {"kind": "forget", "args": {"run_id": RUN}})
    started = (root / "bin/systemd-run.mnemo-job-j1.argv").read_text()
    return {
        "a lease's unit": shlex.split(line.partition("=")[2]),
        "a job": started.split(),
        "a forced command": shlex.split(handout.command(machine, RUN, root=True)),
        "a forced command with sudo": shlex.split(handout.command(machine, RUN, root=False))[2:],
        "an agent": bundle.command(bundle.bundle(), sys.executable),
    }


def test_units_jobs_commands_and_agents_are_isolated(machine: Machine, tmp_path: Path) -> None:
    for what, argv in vectors(machine, tmp_path).items():
        assert argv[:2] == [sys.executable, "-IS"], f"{what}: {argv[:4]}"


def test_a_unit_runs_with_modules_of_others_lying_around(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("json", "re", "sitecustomize", "usercustomize", "mnemo_ops"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported from where it was started')")
    monkeypatch.chdir(tmp_path)
    argv = vectors(machine, tmp_path)["a lease's unit"]
    argv[argv.index("/state/" + Path(argv[-1]).name)] = str(tmp_path / argv[-1].lstrip("/"))
    path = tmp_path / f"other/leases/key-{RUN}.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"run": RUN, "undo": [], "deadline": 0.0}))
    env = {"PATH": machine.search_path, "PYTHONPATH": str(tmp_path), "MNEMO_STATE_DIR": str(tmp_path / "other")}
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and f"lease key-{RUN} expired" in done.stdout, done.stderr
    assert not path.exists()


def test_nobody_starts_python_in_another_way() -> None:
    """Read from the sources: after the interpreter comes -IS, or what has it."""
    wrong = []
    for path in sorted((ROOT / "agent").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, (ast.List, ast.Tuple)) or len(node.elts) < 2:
                continue
            first, second = (ast.unparse(each) for each in node.elts[:2])
            starts = first in ("machine.python", "self.python", "sys.executable") or first.strip("'").startswith(
                "python"
            )
            if starts and second not in ("'-IS'", "*ISOLATED") and "-" in second + ast.unparse(node):
                wrong.append(f"{path.relative_to(ROOT)}:{node.lineno}: {ast.unparse(node)[:60]}")
    assert wrong == []
