"""pip: Python packages, for the system or in an environment of their own."""

from __future__ import annotations

import json
import shlex
from typing import Any, ClassVar, Dict, List, Literal, Mapping, Optional, Tuple, Union

from mnemo_ops.agent.base.lines import each_line, refuse_options
from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.base.state import ABSENT, Change, State
from mnemo_ops.agent.engine.resource import Resource
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.system import python_versions
from mnemo_ops.errors import Broken, NotYet


@dataclass(frozen=True)
class Pip(Resource):
    """Python packages that are installed, or not. What pip alone understands (addresses, markers, hashes) is asked of
    pip itself; where it is too old to tell (before 22.2), such a task installs each time.

    :param name: packages as pip writes them: ``NAME``, ``NAME==1.2``, ``NAME>=1,<2``, an address.
    :param version: the one version of the one package in ``name``.
    :param requirements: path of a file of requirements on the host.
    :param virtualenv: directory of the environment; made when it is missing.
    :param virtualenv_command: what makes it, like ``python3 -m venv``.
    :param virtualenv_python: the Python it is made for; not with ``venv``.
    :param virtualenv_site_packages: it sees the system's packages, too.
    :param state: ``present``, ``latest``, ``absent`` or the deed ``forcereinstall``.
    :param editable: install from a directory as it is.
    :param extra_args: more arguments for pip.
    :param chdir: directory to run pip in.
    :param executable: another pip.
    :param break_system_packages: install although the distribution manages the system's packages.
    """

    kind: ClassVar[str] = "pip"
    ALIASES: ClassVar[Mapping[str, str]] = {}
    EXAMPLE: ClassVar[str] = """\
- name: what the app needs
  pip: {requirements: /srv/app/requirements.txt, virtualenv: /srv/app/venv, virtualenv_command: python3 -m venv}
"""

    name: Optional[Union[List[str], str]] = None
    version: Optional[str] = None
    requirements: Optional[str] = None
    virtualenv: Optional[str] = None
    virtualenv_command: str = "virtualenv"
    virtualenv_python: Optional[str] = None
    virtualenv_site_packages: bool = False
    state: Literal["present", "latest", "absent", "forcereinstall"] = "present"
    editable: bool = False
    extra_args: Optional[str] = None
    chdir: Optional[str] = None
    executable: Optional[str] = None
    break_system_packages: bool = False

    def __post_init__(self) -> None:
        refuse_options(name=self.name)
        if self.name is None and self.requirements is None and self.virtualenv is None:
            raise ValueError("give name, requirements or virtualenv")
        if self.name is not None and self.requirements is not None:
            raise ValueError("name and requirements exclude each other")
        if self.executable is not None and self.virtualenv is not None:
            raise ValueError("executable and virtualenv exclude each other")
        if self.version is not None and (len(self._names()) != 1 or self.state in ("latest", "absent")):
            raise ValueError("version goes with one name, and not with latest or absent")
        if self.virtualenv_python is not None and self.virtualenv_command.endswith("venv"):
            raise ValueError("venv makes an environment for its own Python: say virtualenv_command: PYTHON -m venv")

    def _names(self) -> List[str]:
        names = python_versions.words(self.name) if isinstance(self.name, str) else self.name or []
        return [f"{name}=={self.version}" for name in names] if self.version else names

    def desired(self) -> State:
        wanted: Dict[str, Any] = {"environment": "made"} if self.virtualenv else {}
        if self.name is not None or self.requirements is not None:
            wanted["packages"] = self.state
        return wanted

    def observe(self, machine: Machine) -> State:
        pip = self._pip(machine)
        if self.virtualenv is None and pip is None:
            return ABSENT
        found: Dict[str, Any] = {"name": self.name, "requirements": self.requirements, "virtualenv": self.virtualenv}
        if self.virtualenv is not None:
            found["environment"] = "made" if pip else "not made"
        if "packages" in (self.desired() or {}):
            found["packages"] = self._seen(machine, pip) if pip else "no environment"
        return found

    def _pip(self, machine: Machine) -> Optional[List[str]]:
        if self.virtualenv is not None:
            program = f"{self.virtualenv}/bin/pip"
            return [machine.path(program)] if machine.stat(program, follow=True) else None
        found = machine.which(self.executable or "pip3") or (None if self.executable else machine.which("pip"))
        return [found] if found else None

    def _seen(self, machine: Machine, pip: List[str]) -> str:
        """What is there, in the word of the state when that is what it should be."""
        if self.state == "forcereinstall":
            return "installed or not"
        if self.editable:
            return self._asked(machine, pip)
        lines = self._names() if self.requirements is None else self._lines(machine, self.requirements)
        wanted = [python_versions.parsed(line) for line in lines]
        there = {python_versions.canonical(row["name"]): row["version"] for row in self._list(machine, pip)}
        if self.state == "absent":
            left = [each.name for each in wanted if each is not None and each.name in there]
            return "installed: " + ", ".join(left) if left else "absent"
        wrong = [
            f"{each.name} {there.get(each.name, 'absent')}" for each in wanted if each and not self._fits(each, there)
        ]
        if wrong:
            return ", ".join(wrong)
        if self.state == "latest":
            older = {python_versions.canonical(row["name"]) for row in self._list(machine, pip, "--outdated")}
            old = [each.name for each in wanted if each is not None and each.name in older]
            return "older than offered: " + ", ".join(old) if old else "latest"
        return self._asked(machine, pip) if None in wanted else "present"

    def _fits(self, each: python_versions.Requirement, there: Mapping[str, str]) -> bool:
        return each.fits(there.get(each.name))

    def _list(self, machine: Machine, pip: List[str], *words: str) -> List[Dict[str, str]]:
        asked = [*pip, "list", "--disable-pip-version-check", "--format=json", *words]
        rows: List[Dict[str, str]] = json.loads(machine.ask(asked, env=self._env(), timeout=300).out or "[]")
        return rows

    def _lines(self, machine: Machine, path: str) -> List[str]:
        """The requirements of a file and of those it names. :raises NotYet: it is not there yet (6)."""
        full = path if path.startswith("/") else f"{(self.chdir or '').rstrip('/')}/{path}"
        text = machine.read_text(full)
        if text is None:
            raise NotYet(f"there is no file {full}")
        found: List[str] = []
        for line in each_line(text.replace("\\\n", " ")):
            line = line.split(" #")[0].strip()
            option, _, rest = line.partition(" ")
            if option in ("-r", "--requirement"):
                found += self._lines(machine, f"{full.rpartition('/')[0]}/{rest.strip()}")
            elif line and not line.startswith("#"):
                found.append(line)
        return found

    def _asked(self, machine: Machine, pip: List[str]) -> str:
        words = [*pip, "install", "--disable-pip-version-check", "--quiet", "--no-cache-dir", "--dry-run", "--report=-"]
        done = machine.ask([*words, *self._what(machine)], env=self._env(), timeout=600, check=False)
        if done.rc != 0:
            return "unknown"
        new = [row["metadata"]["name"] for row in json.loads(done.out)["install"]]
        return "needs " + ", ".join(new) if new else self.state

    def _what(self, machine: Machine) -> List[str]:
        if self.requirements is not None:
            return ["-r", machine.path(self.requirements) if self.requirements.startswith("/") else self.requirements]
        return [word for name in self._names() for word in (["-e", name] if self.editable else [name])]

    def _env(self) -> Dict[str, str]:
        return {"PIP_BREAK_SYSTEM_PACKAGES": "1"} if self.break_system_packages else {}

    def apply(self, machine: Machine, change: Change) -> State:
        if "environment" in change.keys:
            self._make(machine)
        if "packages" not in change.keys:
            return None
        pip = self._pip(machine)
        if pip is None:
            raise Broken("pip is not installed on this host", hint="install python3-pip, or say virtualenv")
        before = self._list(machine, pip)
        words, extra = self._verb(), shlex.split(self.extra_args or "")
        machine.note = f"pip {words[0]}"
        cwd = machine.for_program(self.chdir) if self.chdir else None
        machine.run([*pip, *words, *extra, *self._what(machine)], env=self._env(), cwd=cwd)
        record = {**(self.observe(machine) or {}), "changed_packages": before != self._list(machine, pip)}
        unsure = self.state == "forcereinstall" or record.get("packages") == "unknown"
        return {**record, "packages": self.state} if unsure else record

    def _verb(self) -> Tuple[str, ...]:
        return {
            "present": ("install",),
            "latest": ("install", "--upgrade"),
            "forcereinstall": ("install", "--upgrade", "--force-reinstall"),
            "absent": ("uninstall", "--yes"),
        }[self.state]

    def _make(self, machine: Machine) -> None:
        python = ["-p", self.virtualenv_python] if self.virtualenv_python else []
        site = ["--system-site-packages"] if self.virtualenv_site_packages else []
        machine.note = f"making the environment {self.virtualenv}"
        machine.run([*shlex.split(self.virtualenv_command), *site, *python, machine.for_program(str(self.virtualenv))])
