"""The same 40 tasks by the product and by its peers, each in its own words and with its own fast settings."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
PEERS = ROOT / ".venv-bench"
PLAY = Path(__file__).parent / "side_by_side"
OURS = "mnemo-ops"


@dataclass(frozen=True)
class Place:
    """A host under a name of its own."""

    name: str
    address: str
    port: int


@dataclass(frozen=True)
class Run:
    """One run of a program: wall and CPU seconds (its waited children's too), its largest process in MiB."""

    seconds: float
    cpu: float
    mib: float
    said: str


def run(argv: Sequence[str], environment: Mapping[str, str], folder: Path) -> Run:
    """:raises RuntimeError: it failed."""
    log = folder / "said"
    with log.open("wb") as out:
        began = time.perf_counter()
        env = {**os.environ, **environment}
        env.pop("PYTHONDONTWRITEBYTECODE", None)  # each keeps its compiled modules, as when it is installed
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=env, cwd=PLAY)
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)  # it is gone: nobody else may wait for it
    said = log.read_text("utf-8", "replace")
    if process.returncode:
        raise RuntimeError(f"{argv[0]} ended with {process.returncode}:\n{said[-4000:]}")
    return Run(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, said)


@dataclass(frozen=True)
class Rival:
    """A program that converges play.yml.

    :param unchanged: its words when it changed nothing, for ``hosts`` hosts, as a regular expression.
    """

    name: str
    argv: Sequence[str]
    unchanged: str
    environment: Mapping[str, str] = field(default_factory=dict)


def rivals(places: Sequence[Place], key: Path, known_hosts: Path, folder: Path) -> list[Rival]:
    """All of them, for these hosts; their inventories are written into ``folder``."""
    common = {"ansible_user": "root", "ansible_ssh_private_key_file": str(key)}
    common["ansible_python_interpreter"] = "/usr/bin/python3"
    ours = {**common, "mnemo_known_hosts_file": str(known_hosts)}
    theirs = {**common, "ansible_ssh_common_args": f"-F none -o UserKnownHostsFile={known_hosts}"}
    for name, variables in (("ours", ours), ("theirs", theirs)):
        hosts = {one.name: {"ansible_host": one.address, "ansible_port": one.port, **variables} for one in places}
        (folder / f"{name}.yml").write_text(yaml.safe_dump({"all": {"hosts": hosts}}))
    rows = [(one.name, {"ssh_hostname": one.address, "ssh_port": one.port}) for one in places]
    shared = {"ssh_user": "root", "ssh_key": str(key), "ssh_known_hosts_file": str(known_hosts)}
    shared["ssh_config_file"] = "/dev/null"
    (folder / "hosts.py").write_text(f"hosts = ({rows!r}, {shared!r})\n")

    ansible = {
        "ANSIBLE_FORKS": str(len(places)),
        "ANSIBLE_PIPELINING": "True",
        "ANSIBLE_HOME": str(folder / "ansible"),
        "ANSIBLE_LOCALHOST_WARNING": "False",
    }
    strategies = next(PEERS.glob("lib/python3*/site-packages/ansible_mitogen/plugins/strategy"), PEERS)
    mitogen = {**ansible, "ANSIBLE_STRATEGY_PLUGINS": str(strategies), "ANSIBLE_STRATEGY": "mitogen_linear"}
    playbook = [str(PEERS / "bin/ansible-playbook"), "-i", str(folder / "theirs.yml"), "play.yml"]
    program = Path(sys.executable).parent / "mnemo-ops"
    nothing = rf"(?s)(changed=0 .*?){{{len(places)}}}"
    return [
        Rival(OURS, [str(program), "play", "play.yml", "-i", str(folder / "ours.yml")], nothing),
        Rival("pyinfra", [str(PEERS / "bin/pyinfra"), "-y", str(folder / "hosts.py"), "deploy.py"], "No changes"),
        Rival("ansible + mitogen", playbook, nothing, mitogen),
        Rival("ansible-core", playbook, nothing, ansible),
    ]
