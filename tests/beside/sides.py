"""The two sides: the same playbook through ``ansible-playbook`` and through ``mnemo-ops play``; what a server is."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from mnemo_ops.lab import server
from mnemo_ops.lab.app import lab_tls
from mnemo_ops.lab.directory import USER, LabDirectory

HERE = Path(__file__).parent
PEERS = HERE.parents[1] / ".venv-bench" / "bin"
OURS = Path(sys.executable).with_name("mnemo-ops")
NAME = "web1"  # of both servers, in the inventory and to themselves

Where = tuple[str, int]


@dataclass(frozen=True)
class Outcome:
    """One run of a playbook.

    :param why: what is said of the tasks that failed; when there are none, the end of the output.
    :param tasks: where each stands -> its name and what became of it, of all items.
    """

    code: int
    why: str
    tasks: dict[Where, tuple[str, set[str]]] = field(default_factory=dict)

    def at(self, *statuses: str) -> dict[Where, str]:
        return {where: name for where, (name, found) in self.tasks.items() if found & set(statuses)}


@dataclass(frozen=True)
class Lab:
    """Two servers. :param site: URL of what playbooks download. :param addresses: by server."""

    root: Path
    site: str
    addresses: dict[str, str]

    def ansible(self, playbook: Path) -> Outcome:
        log = self.root / "outcomes.jsonl"
        log.unlink(missing_ok=True)
        environment = {
            **os.environ,
            "ANSIBLE_CONFIG": str(HERE / "ansible.cfg"),
            "ANSIBLE_HOME": str(self.root / "ansible"),
            "BESIDE_OUTCOMES": str(log),
            "PATH": f"{PEERS}:{os.environ['PATH']}",
        }
        argv = [str(PEERS / "ansible-playbook"), "-i", str(self._inventory("old")), "-e", f"site={self.site}"]
        done = _run([*argv, str(playbook)], environment)
        rows = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        said = [f"{row['where']} {row['task']}: {row['msg']}" for row in rows if row["status"] == "failed"]
        return Outcome(done.returncode, "\n".join(said) or (done.stdout + done.stderr)[-3000:], _by_place(rows))

    def ours(self, playbook: Path, *options: str) -> Outcome:
        argv = [str(OURS), "play", str(playbook), "--inventory", str(self._inventory("new")), "--json", *options]
        done = _run([*argv, "--vars", f"site={self.site}"], dict(os.environ))
        document = json.loads(done.stdout or "{}")
        why = json.dumps(document["error"]) if "error" in document else done.stderr[-3000:]
        return Outcome(done.returncode, why, _by_place(document.get("tasks", [])))

    def snapshot(self, name: str) -> dict[str, dict[str, str]]:
        """What a server is (snapshot.py), asked over SSH."""
        argv = [*server.ssh_command(self.root, name), "sudo", "python3", "-"]
        script = (HERE / "snapshot.py").read_bytes()
        found: dict[str, dict[str, str]] = json.loads(
            subprocess.run(argv, input=script, capture_output=True, check=True, timeout=120).stdout
        )
        return found

    def differences(self) -> list[str]:
        """What is not alike on the two servers."""
        return differences(self.snapshot("old"), self.snapshot("new"))

    def _inventory(self, name: str) -> Path:
        lab = LabDirectory(self.root)
        known = f"-o UserKnownHostsFile={lab.known_hosts} -o GlobalKnownHostsFile=/dev/null"
        host = {
            "ansible_host": self.addresses[name],
            "ansible_user": USER,
            "ansible_ssh_private_key_file": str(lab.key),
            **(
                {"ansible_ssh_common_args": known}
                if name == "old"
                else {"mnemo_known_hosts_file": str(lab.known_hosts)}
            ),
        }
        groups = {
            "web": {"hosts": {NAME: None}},
            "site": {"children": {"web": None}, "vars": {"from_inventory": "said"}},
        }
        path = self.root / f"inventory-{name}.yml"
        path.write_text(yaml.safe_dump({"all": {"hosts": {NAME: host}, "children": groups}}))
        return path


def _run(argv: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    environment = {**environment, "ANSIBLE_VAULT_PASSWORD_FILE": str(HERE / "vault-password")}
    return subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=600, cwd=HERE, check=False)


def _by_place(rows: list[dict[str, Any]]) -> dict[Where, tuple[str, set[str]]]:
    found: dict[Where, tuple[str, set[str]]] = {}
    for row in rows:
        path, _, line = row["where"].rpartition(":")
        where = (str((HERE / path).resolve().relative_to(HERE / "playbooks")), int(line))
        found.setdefault(where, (row["task"], set()))[1].add(row["status"])
    return found


def differences(ansible: dict[str, dict[str, str]], ours: dict[str, dict[str, str]]) -> list[str]:
    """One line for each thing that is not alike."""
    lines = []
    for section in sorted(ansible.keys() | ours.keys()):
        one, other = ansible.get(section, {}), ours.get(section, {})
        for key in sorted(one.keys() | other.keys()):
            if one.get(key) != other.get(key):
                lines.append(f"{section}: {key}\n    ansible: {one.get(key)}\n    ours:    {other.get(key)}")
    return lines


def publish(folder: Path) -> None:
    """The web server's files: texts, a certificate with its key, a release of an application."""
    folder.mkdir()
    (folder / "motd.txt").write_text("welcome\n")
    (folder / "answer.json").write_text('{"version": "1.4.2", "channels": ["stable", "edge"]}\n')
    lab_tls(folder / "tls")
    pair = [folder / "tls" / name for name in ("fullchain.pem", "privkey.pem")]
    (folder / "tls.example.org.pem").write_text("".join(path.read_text() for path in pair))
    release = {
        "app-1.4.2/bin/app": (0o755, "#!/bin/sh\necho app 1.4.2\n"),
        "app-1.4.2/README": (0o644, "an application\n"),
        "app-1.4.2/share/defaults.ini": (0o640, "[app]\nworkers = 2\n"),
    }
    folders = sorted({str(parent) for name in release for parent in PurePosixPath(name).parents} - {"."})
    with tarfile.open(folder / "app-1.4.2.tar.gz", "w:gz") as archive:
        for name in folders:
            member = tarfile.TarInfo(name)
            member.type, member.mode, member.mtime = tarfile.DIRTYPE, 0o755, 1_700_000_000
            archive.addfile(member)
        for name, (mode, text) in release.items():
            member = tarfile.TarInfo(name)
            member.mode, member.size, member.mtime = mode, len(text), 1_700_000_000
            archive.addfile(member, io.BytesIO(text.encode()))
    digest = hashlib.sha256((folder / "app-1.4.2.tar.gz").read_bytes()).hexdigest()
    (folder / "app-1.4.2.tar.gz.sha256").write_text(f"{digest}  app-1.4.2.tar.gz\n")
