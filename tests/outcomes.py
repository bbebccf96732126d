"""What the lab's tests say and see: commands as a person types them, hosts as a person would look at them."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pace import slowness

from mnemo_ops.lab import tier
from mnemo_ops.lab.directory import LabDirectory
from mnemo_ops.lab.load import Checked, Client, check

PROGRAM = Path(sys.executable).with_name("mnemo-ops")
PROJECT, DIRECTORY, STORE, STATE = "mnemosyne", "/srv/mnemosyne", "/var/backups/mnemosyne", "/var/lib/mnemo_ops"
EVERYTHING = {
    *("nginx", "api", "celery-worker", "celery-beat", "celery-flower", "postgres", "redis"),
    *("prometheus", "grafana", "backup"),
}

# looks at every process about thirty times a second until its stdin ends
SAMPLER = """
import glob, json, select, sys
seen = set()
while not select.select([sys.stdin], [], [], 0.03)[0]:
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            seen.add(open(path, "rb").read().replace(b"\\0", b" ").decode("utf-8", "replace"))
        except OSError:
            pass
print(json.dumps(sorted(seen)))
"""
# looks at files a few hundred times a second, without a process for each look: some moments are short
WATCHER = """
import glob, sys, time
end = time.monotonic() + float(sys.argv[2])
while time.monotonic() < end:
    for path in glob.glob(sys.argv[1]):
        try:
            if not sys.argv[3] or sys.argv[3] in open(path).read():
                sys.exit(print("seen"))
        except OSError:
            pass
    time.sleep(0.002)
"""


@dataclass(frozen=True)
class Said:
    """A command that has ended: exit code, what it printed, and its document when it was asked for one."""

    words: tuple[str, ...]
    code: int
    out: str
    err: str
    seconds: float

    @property
    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found

    @property
    def error(self) -> dict[str, str]:
        found: dict[str, str] = self.document["error"]
        return found

    @property
    def told(self) -> str:
        """Of the error: where, what, and what to do."""
        return f"{self.error['where']}: {self.error['message']} -> {self.error['hint']}"

    def __str__(self) -> str:
        return f"{' '.join(self.words)} -> {self.code} in {self.seconds:.1f} s\n{self.out}\n{self.err}"


@dataclass
class Running:
    """A command at work."""

    words: tuple[str, ...]
    process: subprocess.Popen[bytes]
    log: Path
    began: float

    def end(self, timeout: float) -> Said:
        code = self.process.wait(timeout)
        texts = [self.log.with_suffix(end).read_text() for end in (".out", ".err")]
        return Said(self.words, code, texts[0], texts[1], time.monotonic() - self.began)

    def printed(self) -> str:
        return self.log.with_suffix(".out").read_text() + self.log.with_suffix(".err").read_text()


@dataclass
class Host:
    """A server of the lab, asked over SSH: nothing here goes through mnemo_ops."""

    root: Path
    name: str
    ssh: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ssh = tier.ssh_command(self.root, self.name)

    @property
    def address(self) -> str:
        return self.ssh[-1].partition("@")[2]

    def sh(self, script: str, timeout: float = 300, check: bool = True) -> str:
        """What a script prints, run by root; names of files may be of any bytes."""
        argv, text = [*self.ssh, "sudo bash -s"], {"encoding": "utf-8", "errors": "surrogateescape"}
        done = subprocess.run(argv, input=script, capture_output=True, timeout=timeout, **text)
        assert not check or done.returncode == 0, f"{self.name}: {script}\n{done.stdout}{done.stderr}"
        return done.stdout.strip()

    def lines(self, script: str) -> list[str]:
        return self.sh(script).splitlines()

    @contextmanager
    def meanwhile(self, command: str) -> Iterator[subprocess.Popen[str]]:
        """A command of root that runs meanwhile and must end by itself when its stdin does."""
        pipe = subprocess.PIPE
        process = subprocess.Popen([*self.ssh, f"sudo {command}"], stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        try:
            yield process
        finally:
            if process.stdin is not None and not process.stdin.closed:
                process.communicate(timeout=60)

    @contextmanager
    def sampled(self) -> Iterator[set[str]]:
        """Every command line that a process of this host had meanwhile, filled in at the end."""
        seen: set[str] = set()
        with self.meanwhile(f"python3 -c {shlex.quote(SAMPLER)}") as process:
            yield seen
            out, err = process.communicate(timeout=60)
            assert process.returncode == 0, err
            seen.update(json.loads(out))

    def appears(self, pattern: str, text: str = "", seconds: float = 600) -> bool:
        """Whether there is such a path by then, a file with this text: it is waited for on the host itself."""
        words = shlex.join(["python3", "-c", WATCHER, pattern, str(seconds), text])
        return self.sh(words, timeout=seconds + 60) == "seen"

    def told(self, text: str) -> bool:
        """Whether a job on it says that."""
        return self.appears(f"{STATE}/jobs/*/state.json", text)

    # -- the stack -----------------------------------------------------------------------------------------------

    def containers(self) -> dict[str, str]:
        """Service -> state, health in brackets."""
        words = '{{index .Config.Labels "com.docker.compose.service"}} {{.State.Status}} {{if .State.Health}}'
        words += "{{.State.Health.Status}}{{end}}"
        found = self.lines(
            f"docker ps -aq | xargs -r docker inspect --format '{words}'" if self.has_docker() else "true"
        )
        return {line.split()[0]: " ".join(line.split()[1:]) for line in found}

    def has_docker(self) -> bool:
        return self.sh("command -v docker || true") != ""

    def running(self) -> set[str]:
        return {name for name, state in self.containers().items() if state.startswith("running")}

    def serves(self) -> bool:
        """Every service runs, those with a check are healthy, and clients are answered through TLS."""
        found = self.containers()
        well = all(state in ("running", "running healthy") for state in found.values())
        return well and set(found) == EVERYTHING and self.answers()

    def answers(self) -> bool:
        client = Client(f"https://{self.address}", verify_tls=False)
        try:
            return client.request("GET", "/health")[0] == 200
        except OSError:
            return False
        finally:
            client.close()

    def restart_policies(self) -> dict[str, str]:
        found = self.lines(
            "docker ps -aq | xargs -r docker inspect --format '{{.Name}} {{.HostConfig.RestartPolicy.Name}}'"
        )
        return dict(line.split() for line in found)

    def rows(self, query: str = "SELECT count(*) FROM documents") -> str:
        return self.sh(f"docker exec mnemosyne-postgres psql -qAtU mnemosyne -d mnemosyne -c {shlex.quote(query)}")

    def databases(self) -> list[str]:
        return sorted(self.rows("SELECT datname FROM pg_database WHERE NOT datistemplate").splitlines())

    def volumes(self) -> list[str]:
        return self.lines("docker volume ls -q") if self.has_docker() else []

    # -- what mnemo_ops leaves -----------------------------------------------------------------------------------

    def authorized_keys(self) -> list[str]:
        return self.lines("cat /root/.ssh/authorized_keys /home/*/.ssh/authorized_keys 2>/dev/null || true")

    def leases(self) -> list[str]:
        return self.lines(f"ls {STATE}/leases 2>/dev/null || true")

    def leftovers(self) -> list[str]:
        """Traces of a run that has ended: none of them may stay."""
        return self.lines(
            f"ls -d {STATE}/leases/* {STATE}/jobs/* {STATE}/keys/* {STATE}/handouts/* {STATE}/agent-*.zip 2>/dev/null;"
            "ls -d /run/mnemo_ops/* 2>/dev/null;"
            "ls -d /etc/systemd/system/mnemo-* 2>/dev/null;"
            "systemctl list-units --all --plain --no-legend 'mnemo-*';"
            "grep -l mnemo-2 /root/.ssh/authorized_keys /home/*/.ssh/authorized_keys 2>/dev/null;"
            # the agent of a run is python3 with stage one on its command line
            "pgrep -af 'mnemo_ops' | grep -v pgrep;"
            f"find {STORE} {STATE} /srv /var/lib/docker/volumes -maxdepth 3"
            r" \( -name '*.partial' -o -name '*.raw' -o -name '.mnemo-*' ! -name .mnemo-x \) 2>/dev/null;"
            f"ls -d {STORE}/images-* 2>/dev/null; true"
        )

    def is_clean(self) -> bool:
        """No traces of a run are left, within half a minute; else the assertion names them."""
        end = time.monotonic() + 30
        while found := self.leftovers():
            late = time.monotonic() - end
            assert late < 0 or late < 30 * (slowness() - 1), f"left on {self.name}: {found}"
            time.sleep(0.5)
        return True

    def sets(self) -> list[str]:
        return self.lines(f"ls {STORE} 2>/dev/null || true")

    def digest(self) -> str:
        """One line for each thing of a host that a refused command must not have touched."""
        docker = (
            "docker ps -a --no-trunc --format '{{.ID}} {{.Names}} {{.State}}' | sort; docker volume ls -q | sort;"
            "docker ps -aq | xargs -r docker inspect"
            " --format '{{.Name}} {{.State.StartedAt}} {{.HostConfig.RestartPolicy}}' | sort;"
            "docker network ls --format '{{.ID}} {{.Name}}' | sort; docker image ls -q --no-trunc | sort;"
        )
        return self.sh(
            (docker if self.has_docker() else "")
            # the card beside the lock says who looked last; an agent leaves its own code compiled to the next
            + f"find /srv {STORE} {STATE} /etc/systemd/system /etc/sysctl.d /root/.ssh /home -xdev ! -name lock.owner"
            f" ! -path '{STATE}/code*'"
            " -printf '%p %M %U %s %l ' \\( -type f -exec sha256sum {} \\; -o -printf '\\n' \\) 2>/dev/null | sort;"
            "find /var/lib/docker/volumes/*uploads* /var/lib/docker/volumes/*lightrag* -type f -exec sha256sum {} +"
            " 2>/dev/null | sort; dpkg-query -W | sha256sum; getent passwd group | sha256sum; true"
        )


@dataclass
class Lab:
    """Two servers, an inventory, and everything that was ever said to them."""

    root: Path
    journal: list[Said] = field(default_factory=list)
    commands: int = 0

    @property
    def inventory(self) -> Path:
        return LabDirectory(self.root).inventory

    @property
    def old(self) -> Host:
        return Host(self.root, "old")

    @property
    def new(self) -> Host:
        return Host(self.root, "new")

    def run(self, *words: str, timeout: float = 900, **env: str) -> Said:
        """A command from its start to its end."""
        return self.ended(self.start(*words, **env), timeout)

    def start(self, *words: str, **env: str) -> Running:
        logs = self.root / "said"
        logs.mkdir(exist_ok=True)
        self.commands += 1
        log = logs / f"{self.commands:02}-{words[0]}"
        environment = {**os.environ, "MNEMO_INVENTORY": str(self.inventory), "NO_COLOR": "1", **env}
        with log.with_suffix(".out").open("wb") as out, log.with_suffix(".err").open("wb") as err:
            process = subprocess.Popen(
                [str(PROGRAM), *words], cwd=self.root, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=err
            )
        return Running(words, process, log, time.monotonic())

    def ended(self, running: Running, timeout: float = 900) -> Said:
        said = running.end(timeout)
        self.journal.append(said)
        print(f"{' '.join(said.words)} -> {said.code} in {said.seconds:.1f} s")
        return said

    def inventory_with(self, name: str, change: Callable[[dict[str, Any]], object]) -> Path:
        """A copy of the inventory beside the original, with the same group_vars, changed."""
        import yaml

        data = yaml.safe_load(self.inventory.read_text())
        change(data["all"])
        path = self.inventory.with_name(f"{name}.yml")
        path.write_text(yaml.safe_dump(data))
        return path


def eventually(what: str, true: Callable[[], bool], seconds: float, pause: float = 0.5) -> float:
    """Wait for it, the longer the busier this machine is; seconds it took."""
    began = time.monotonic()
    while not true():
        took = time.monotonic() - began
        assert took < seconds or took < seconds * slowness(), f"not within {took:.0f} s: {what}"
        time.sleep(pause)
    return time.monotonic() - began


def read_back(host: Host, acknowledged: Path) -> Checked:
    """What is there of what was acknowledged, once nginx found the api: each of its workers asks where that is now."""
    seen: list[Checked] = []

    def answered() -> bool:
        seen.append(check(f"https://{host.address}", acknowledged))
        return not any(": 502" in line for line in seen[-1].wrong)

    eventually("nginx finds the api", answered, 20)
    return seen[-1]


def changed(said: Said) -> Mapping[str, int]:
    """Host -> number of changed tasks, of a document."""
    return {name: tally["changed"] for name, tally in said.document["hosts"].items()}


def changed_tasks(said: Said) -> Sequence[tuple[str, str]]:
    return sorted((row["host"], row["task"]) for row in said.document["tasks"] if row["status"] == "changed")
