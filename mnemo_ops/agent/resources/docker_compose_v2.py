"""docker_compose_v2: a compose stack, service by service."""

from __future__ import annotations

import posixpath
from typing import ClassVar, Dict, List, Literal, Mapping, Optional

from mnemo_ops.agent.base.record import dataclass, replace
from mnemo_ops.agent.base.state import ABSENT, Change, State
from mnemo_ops.agent.docker import compose_state
from mnemo_ops.agent.docker.compose_state import Project, Service
from mnemo_ops.agent.engine.resource import Resource
from mnemo_ops.agent.machine import Machine
from mnemo_ops.errors import NotYet, StepFailed

DEFAULT_FILES = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")


@dataclass(frozen=True)
class DockerComposeV2(Resource):
    """A stack as its compose file describes it. Volumes are never removed, and nothing is ever built.

    :param project_src: directory of the project on the host.
    :param project_name: name of the project; default: what compose makes of the file or the directory.
    :param files: compose files, relative to ``project_src``; default: the one compose finds.
    :param env_files: files with variables for the compose file, relative to ``project_src``.
    :param profiles: profiles to switch on.
    :param services: only these services (and, with ``dependencies``, what they need).
    :param state: ``present`` (runs as described), ``stopped`` (is there, does not run), ``restarted`` (a deed) or
        ``absent`` (containers and networks removed, volumes kept).
    :param pull: when ``up`` pulls images, ``policy`` leaves it to the compose file; an unchanged stack pulls nothing.
    :param build: ``never``, or ``policy``, which is the same here: images are built elsewhere and loaded.
    :param scale: service to number of containers, instead of what the files say.
    :param remove_images: with ``absent``: images without a name of their own (``local``), or all of the services'.
    :param remove_volumes: only ``false``: volumes hold data; docker_volume removes one on purpose.
    :param check_files_existing: accepted: a missing file is noticed anyway.
    :param recreate: ``auto``: what differs; ``never``: start what is there; ``always``: a deed, done each time.
    :param remove_orphans: remove containers of services that are no longer described.
    :param wait: until every service with a healthcheck is healthy; an unhealthy one is a failure.
    :param wait_timeout: seconds to wait.
    :param dependencies: start what the services depend on, too.
    :param timeout: seconds a container gets to stop.
    """

    kind: ClassVar[str] = "docker_compose_v2"
    ALIASES: ClassVar[Mapping[str, str]] = {}
    EXAMPLE: ClassVar[str] = """\
- name: the stack runs and is healthy
  docker_compose_v2:
    project_src: /srv/shop
    project_name: shop
    files: [docker-compose.prod.yml, mnemo.override.yml]
    env_files: [.env.production]
    pull: never
    wait: true
"""

    project_src: str
    project_name: Optional[str] = None
    files: Optional[List[str]] = None
    env_files: Optional[List[str]] = None
    profiles: Optional[List[str]] = None
    services: Optional[List[str]] = None
    state: Literal["present", "stopped", "restarted", "absent"] = "present"
    pull: Literal["policy", "always", "missing", "never"] = "policy"
    build: Literal["policy", "never"] = "policy"
    scale: Optional[Dict[str, int]] = None
    remove_images: Optional[Literal["all", "local"]] = None
    remove_volumes: Literal[False] = False
    check_files_existing: bool = True
    recreate: Literal["auto", "never", "always"] = "auto"
    remove_orphans: bool = False
    wait: bool = False
    wait_timeout: int = 600
    dependencies: bool = True
    timeout: Optional[int] = None

    @property
    def _word(self) -> str:
        """What the stack should be."""
        if self.state == "present":
            return "recreated" if self.recreate == "always" else "up"
        return self.state

    def desired(self) -> State:
        if self.state == "absent":
            return ABSENT
        return {"stack": self._word, **({"orphans": "none"} if self.remove_orphans else {})}

    def observe(self, machine: Machine) -> State:
        if not compose_state.is_installed(machine):
            return ABSENT
        project = self._project(machine)
        if self.state == "absent":
            name = self.project_name or project.name()
            return {"project": name} if compose_state.exists(machine, name) else ABSENT
        services, orphans = project.look()
        mine = self._mine(services)
        return self._report(mine, orphans) if any(each.containers for each in mine.values()) else ABSENT

    def _project(self, machine: Machine) -> Project:
        def inside(name: str) -> str:
            return posixpath.join(self.project_src, name)

        def there(path: str) -> bool:
            return machine.stat(path, follow=True) is not None

        files = [inside(name) for name in self.files or ()]
        env_files = [inside(name) for name in self.env_files or ()]
        missing = [path for path in (self.project_src, *files, *env_files) if not there(path)]
        if not missing and not files and not any(there(inside(name)) for name in DEFAULT_FILES):
            missing = [inside(DEFAULT_FILES[0])]
        options = [] if self.project_name is None else ["--project-name", self.project_name]
        if missing and self.state == "absent" and options:
            return Project(machine, options, [])  # compose takes a project down by its labels, too
        if missing:
            raise NotYet(f"{missing[0]} does not exist")
        profiles = [word for name in self.profiles or () for word in ("--profile", name)]
        words = [word for path in files for word in ("--file", path)]
        words += [word for path in env_files for word in ("--env-file", path)]
        return Project(machine, ["--project-directory", self.project_src, *options, *profiles], words)

    def _mine(self, services: Mapping[str, Service]) -> Dict[str, Service]:
        unknown = sorted(set(self.services or ()) - set(services))
        if unknown:
            raise StepFailed(f"the compose files describe no service {', '.join(unknown)}: only {', '.join(services)}")
        numbers = self.scale or {}
        return {
            name: replace(each, scale=numbers.get(name, each.scale))
            for name, each in services.items()
            if not self.services or name in self.services
        }

    def _report(self, services: Mapping[str, Service], orphans: List[str]) -> Dict[str, object]:
        """One word when everything is right, else what each service is that is not."""
        wanted = "stopped" if self.state == "stopped" else "up"
        words = {name: self._judge(each) for name, each in services.items()}
        wrong = {name: word for name, word in words.items() if word != wanted}
        return {"stack": wrong or wanted, "orphans": ", ".join(orphans) or "none", "services": words}

    def _judge(self, service: Service) -> str:
        word = service.word(ignore_differences=self.recreate == "never" or self.state == "restarted")
        if self.state == "stopped" and word not in ("absent", "outdated"):
            return "up" if service.running else "stopped"
        return "up" if word in ("starting", "unhealthy") and not self.wait else word

    def apply(self, machine: Machine, change: Change) -> State:
        project = self._project(machine)
        patience = [] if self.timeout is None else ["--timeout", str(self.timeout)]
        if self.state == "absent":
            images = [] if self.remove_images is None else ["--rmi", self.remove_images]
            project.run("down", "--remove-orphans", *images, *patience)
            return None
        if self.state == "restarted":
            project.run("restart", *patience, *([] if self.dependencies else ["--no-deps"]), *(self.services or ()))
        else:
            stays = "--no-start" if self.state == "stopped" else "--detach"
            project.run("up", stays, "--no-build", *patience, *self._choices(), *(self.services or ()))
        if self.state == "stopped":
            project.run("stop", *patience, *(self.services or ()))
        elif self.wait:
            self._settle(machine, project)
        return self._record(project)

    def _choices(self) -> List[str]:
        words = [] if self.pull == "policy" else ["--pull", self.pull]
        words += {"auto": [], "never": ["--no-recreate"], "always": ["--force-recreate"]}[self.recreate]
        words += ["--remove-orphans"] if self.remove_orphans else []
        words += [word for name, count in (self.scale or {}).items() for word in ("--scale", f"{name}={count}")]
        return [*words, *([] if self.dependencies else ["--no-deps"])]

    def _settle(self, machine: Machine, project: Project) -> None:
        """Wait while something is still starting; what is healthy or has failed does not change by waiting."""

        def starting() -> List[str]:
            return [name for name, each in self._mine(project.look()[0]).items() if each.word(True) == "starting"]

        names = ", ".join(starting())
        if names:
            machine.wait_until(f"{names} healthy", lambda: not starting(), self.wait_timeout, pause=0.5)

    def _record(self, project: Project) -> State:
        services, orphans = project.look()
        mine = {name: compose_state.as_compose_left_it(each) for name, each in self._mine(services).items()}
        record = self._report(mine, orphans)
        if isinstance(record["stack"], dict):
            wrong = {name: mine[name] for name in record["stack"]}
            raise StepFailed(f"the stack is not {self._word}: {project.last_words(wrong)}", hint="docker compose logs")
        deed = self._word in ("recreated", "restarted")
        return {**record, "stack": self._word} if deed else record
