"""docker_container: one container, made again when it differs; its volumes stay."""

from __future__ import annotations

import re
from typing import Any, ClassVar, Dict, List, Literal, Mapping, Optional, Set, Union

from mnemo_ops.agent.base.lines import each_line, refuse_keys, refuse_lines, refuse_options
from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.base.state import ABSENT, Change, State
from mnemo_ops.agent.docker import cli as docker
from mnemo_ops.agent.docker import container_spec
from mnemo_ops.agent.docker.container_spec import PARTS
from mnemo_ops.agent.engine.resource import Resource
from mnemo_ops.agent.machine import Machine
from mnemo_ops.errors import NotYet, StepFailed

READS = ("HOME", "PATH")  # what docker itself reads of its environment, beside DOCKER_*


@dataclass(frozen=True)
class DockerContainer(Resource):
    """A container. What is not given is as the image has it; one that differs is replaced, and starts anew.

    A replacement is made before the old one is stopped: arguments Docker refuses leave the old one running.

    :param name: its name.
    :param image: image, pulled when it is missing; needed to make it.
    :param state: ``started``, ``healthy`` (started, and its healthcheck says so), ``present`` (there, running or not),
        ``stopped`` or ``absent``.
    :param pull: ``missing``, ``never``, or ``always``: a deed, done each time.
    :param recreate: replace it each time.
    :param restart: restart it each time.
    :param comparisons: argument to ``strict`` (nothing beyond what is given), ``allow_more_present``, ``ignore``; ``*``
        stands for all others.
    :param command: instead of the image's command.
    :param entrypoint: instead of the image's entrypoint.
    :param env: environment; never shown.
    :param env_file: file on the host with more of it, ``NAME=value`` in each line.
    :param labels: labels.
    :param published_ports: ``[address:]port:inside[/udp]``, ranges too; or a port inside alone.
    :param publish_all_ports: publish every port the image exposes.
    :param volumes: ``name:/inside`` or ``/path:/inside:ro``.
    :param mounts: the same as mappings with ``type``, ``source``, ``target``, ``read_only``.
    :param volumes_from: containers whose volumes it has, too.
    :param tmpfs: ``/inside:options``.
    :param devices: ``/dev/x:/dev/y:rwm``.
    :param networks: mappings with ``name``, ``aliases``, ``ipv4_address``.
    :param network_mode: host, none, bridge, a network, ``container:NAME``.
    :param etc_hosts: host to address.
    :param dns_servers: name servers.
    :param dns_search_domains: domains they are asked for.
    :param dns_opts: options of resolv.conf(5).
    :param hostname: its host name.
    :param domainname: its domain.
    :param user: user, or ``user:group``.
    :param groups: further groups.
    :param working_dir: directory it starts in.
    :param tty: has a terminal.
    :param interactive: standard input stays open.
    :param init: a first process that reaps others.
    :param privileged: may do everything on the host.
    :param read_only: cannot write to its own file system.
    :param capabilities: capabilities it has besides.
    :param cap_drop: capabilities it does not have.
    :param security_opts: security options.
    :param sysctls: kernel parameters of its own.
    :param ulimits: ``name:soft:hard``.
    :param memory: limit, ``512M``.
    :param memory_reservation: soft limit.
    :param memory_swap: memory and swap; ``unlimited``.
    :param shm_size: size of /dev/shm.
    :param cpus: processors it may use, 1.5.
    :param cpu_shares: weight.
    :param cpuset_cpus: which processors.
    :param pids_limit: how many processes.
    :param pid_mode: whose processes it sees.
    :param ipc_mode: whose shared memory it sees.
    :param userns_mode: user name space.
    :param runtime: container runtime.
    :param log_driver: log driver.
    :param log_options: its options.
    :param healthcheck: ``test``, ``interval``, ``timeout``, ``retries``, ``start_period``; ``test: NONE`` for none.
    :param healthy_wait_timeout: seconds ``healthy`` waits.
    :param restart_policy: when Docker starts it again.
    :param restart_retries: how often, with ``on-failure``.
    :param auto_remove: Docker removes it when it ends.
    :param stop_signal: what asks it to end.
    :param stop_timeout: seconds it gets to end.
    :param force_kill: kill it instead of asking.
    :param kill_signal: signal of ``force_kill``.
    :param detach: ``false``: wait for its end, a failure when it is not 0; done each time.
    :param output_logs: with ``detach: false``, what it said is in ``container.Output``.
    :param cleanup: with ``detach: false``, remove it afterwards.
    :param keep_volumes: ``false``, with ``absent``: its anonymous volumes go, with their data.
    """

    kind: ClassVar[str] = "docker_container"
    ALIASES: ClassVar[Mapping[str, str]] = {
        "ports": "published_ports",
        "log_opt": "log_options",
        "forcekill": "force_kill",
    }
    EXAMPLE: ClassVar[str] = """\
- name: a cache on the inside
  docker_container:
    name: cache
    image: redis:7
    command: [redis-server, --appendonly, "yes"]
    volumes: ["cache:/data"]
    networks: [{name: backend, aliases: [redis]}]
    restart_policy: unless-stopped
    memory: 256M
"""

    name: str
    image: Optional[str] = None
    state: Literal["absent", "present", "healthy", "stopped", "started"] = "started"
    pull: Union[Literal["never", "missing", "always"], bool] = "missing"
    recreate: bool = False
    restart: bool = False
    comparisons: Optional[Dict[str, Literal["strict", "allow_more_present", "ignore"]]] = None
    command: Optional[Union[str, List[str]]] = None
    entrypoint: Optional[Union[str, List[str]]] = None
    env: Optional[Dict[str, Any]] = None
    env_file: Optional[str] = None
    labels: Optional[Dict[str, Any]] = None
    published_ports: Optional[List[str]] = None
    publish_all_ports: Optional[bool] = None
    volumes: Optional[List[str]] = None
    mounts: Optional[List[Dict[str, Any]]] = None
    volumes_from: Optional[List[str]] = None
    tmpfs: Optional[List[str]] = None
    devices: Optional[List[str]] = None
    networks: Optional[List[Dict[str, Any]]] = None
    network_mode: Optional[str] = None
    etc_hosts: Optional[Dict[str, str]] = None
    dns_servers: Optional[List[str]] = None
    dns_search_domains: Optional[List[str]] = None
    dns_opts: Optional[List[str]] = None
    hostname: Optional[str] = None
    domainname: Optional[str] = None
    user: Optional[str] = None
    groups: Optional[List[str]] = None
    working_dir: Optional[str] = None
    tty: Optional[bool] = None
    interactive: Optional[bool] = None
    init: Optional[bool] = None
    privileged: Optional[bool] = None
    read_only: Optional[bool] = None
    capabilities: Optional[List[str]] = None
    cap_drop: Optional[List[str]] = None
    security_opts: Optional[List[str]] = None
    sysctls: Optional[Dict[str, Any]] = None
    ulimits: Optional[List[str]] = None
    memory: Optional[str] = None
    memory_reservation: Optional[str] = None
    memory_swap: Optional[str] = None
    shm_size: Optional[str] = None
    cpus: Optional[float] = None
    cpu_shares: Optional[int] = None
    cpuset_cpus: Optional[str] = None
    pids_limit: Optional[int] = None
    pid_mode: Optional[str] = None
    ipc_mode: Optional[str] = None
    userns_mode: Optional[str] = None
    runtime: Optional[str] = None
    log_driver: Optional[str] = None
    log_options: Optional[Dict[str, Any]] = None
    healthcheck: Optional[Dict[str, Any]] = None
    healthy_wait_timeout: float = 300
    restart_policy: Optional[Literal["no", "on-failure", "always", "unless-stopped"]] = None
    restart_retries: Optional[int] = None
    auto_remove: Optional[bool] = None
    stop_signal: Optional[str] = None
    stop_timeout: Optional[int] = None
    force_kill: bool = False
    kill_signal: Optional[str] = None
    detach: Optional[bool] = None
    output_logs: bool = False
    cleanup: bool = False
    keep_volumes: bool = True

    def __post_init__(self) -> None:
        refuse_options(name=self.name, image=self.image, networks=[one.get("name") for one in self.networks or ()])
        refuse_keys(env=self.env, labels=self.labels, sysctls=self.sysctls, log_options=self.log_options)
        hosts = self.etc_hosts or {}  # these are lines of files in the container
        refuse_lines(etc_hosts=[*hosts, *hosts.values()], dns_search_domains=self.dns_search_domains)
        refuse_lines(dns_opts=self.dns_opts, hostname=self.hostname, domainname=self.domainname)
        known = {*PARTS, "command", "image", "networks", "restart_policy", "*"}
        unknown = sorted(set(self.comparisons or ()) - known)
        if unknown:
            raise ValueError(f"comparisons: {', '.join(unknown)} is not compared here")
        if any("name" not in one for one in self.networks or ()):
            raise ValueError("each of networks needs a name")
        for one in self.networks or ():
            if set(one) - {"name", "aliases", "ipv4_address"}:
                raise ValueError(f"networks takes name, aliases and ipv4_address, not {', '.join(sorted(one))}")
        for one in self.mounts or ():
            if set(one) - {"type", "source", "target", "read_only"} or "target" not in one:
                raise ValueError("mounts takes target (needed), source, type and read_only")
        for key, value in docker.texts(self.env).items():
            if (key in READS or key.startswith("DOCKER_")) and not _is_line(value):
                raise ValueError(f"env: {key} must be one line: docker itself would read it otherwise")
        self._declared({})

    # -- what is declared --------------------------------------------------------------------------------------------

    def _given(self, env_file: Mapping[str, str]) -> Dict[str, Any]:
        found = {name: getattr(self, name) for name in PARTS if getattr(self, name) is not None}
        if env_file:
            found["env"] = {**env_file, **(self.env or {})}
        return found

    def _declared(self, env_file: Mapping[str, str]) -> Dict[str, Any]:
        found = {name: PARTS[name].declared(value) for name, value in self._given(env_file).items()}
        if self.entrypoint is not None:  # docker's command line moves all but its first word to the command
            found["command"] = [*container_spec.words(self.entrypoint), *container_spec.words(self.command)]
        elif self.command is not None:
            found["command"] = container_spec.words(self.command)
        if self.restart_policy is not None:
            retries = f":{self.restart_retries}" if self.restart_retries else ""
            found["restart_policy"] = self.restart_policy + retries
        if self.networks is not None:
            found["networks"] = {one["name"]: _network(one) for one in self.networks}
        if self.image is not None:
            found["image"] = self._reference
        ignored = {name for name in found if self._comparison(name) == "ignore"}
        return {name: value for name, value in found.items() if name not in ignored}

    def _comparison(self, name: str) -> str:
        known = self.comparisons or {}
        return known.get(name) or known.get("*") or "allow_more_present"

    @property
    def _reference(self) -> str:
        return docker.reference(self.image or "")

    @property
    def _running(self) -> Optional[str]:
        if self.state == "started" and self.detach is False:
            return "ran"
        return None if self.state == "present" else self.state

    def desired(self) -> State:
        if self.state == "absent":
            return ABSENT
        running = {} if self._running is None else {"state": self._running}
        return {**self._declared({}), **self._deeds(), **running}

    def _deeds(self) -> Dict[str, str]:
        """Done each time."""
        asked = {"restarted": self.restart, "recreated": self.recreate, "pulled": self.pull in (True, "always")}
        return {name: "now" for name, wanted in asked.items() if wanted}

    def target(self, observed: State) -> State:
        """With what the file of the environment holds."""
        wanted, file = self.desired(), (observed or {}).get("env_file")
        return wanted if wanted is None or not file else {**wanted, "env": file}

    # -- what is -----------------------------------------------------------------------------------------------------

    def observe(self, machine: Machine) -> State:
        if not docker.is_installed(machine):
            return ABSENT
        row = self._row(machine)
        if row is None:
            return ABSENT
        if self.state == "absent":
            return {"name": self.name, "state": self._condition(row)}
        file = self._env_file(machine)
        declared = self._declared(file)
        found = {name: self._seen(machine, row, name, value) for name, value in declared.items()}
        env = {"env_file": declared["env"]} if file and "env" in declared else {}
        return {**found, **env, "state": self._condition(row), "container": _shown(row)}

    def _row(self, machine: Machine, name: str = "") -> Optional[docker.Row]:
        rows = docker.containers(machine, f"name=^/?{re.escape(name or self.name)}$")
        return rows[0] if rows else None

    def _env_file(self, machine: Machine) -> Dict[str, str]:
        if self.env_file is None:
            return {}
        text = machine.read_text(machine.expanded(self.env_file))
        if text is None:
            raise NotYet(f"{self.env_file} does not exist")
        lines = [line.strip() for line in each_line(text)]
        return dict(line.partition("=")[::2] for line in lines if line and not line.startswith("#"))

    def _seen(self, machine: Machine, row: docker.Row, name: str, declared: Any) -> Any:
        if name == "image":
            known = docker.image_ids(machine).get(self._reference)
            named = docker.reference(row["Config"].get("Image") or "")
            is_it = row["Image"] == known or (known is None and named == self._reference)
            return self._reference if is_it else f"{named} {row['Image'][:19]}"
        if name == "restart_policy":
            policy = container_spec.at(row, "HostConfig.RestartPolicy") or {}
            retries = policy.get("MaximumRetryCount")
            return (policy.get("Name") or "no") + (f":{retries}" if retries else "")
        if name == "networks":
            return self._attached(row)
        if name == "command":
            entry = container_spec.at(row, "Config.Entrypoint") if self.entrypoint is not None else None
            return [*container_spec.words(entry), *container_spec.words(container_spec.at(row, "Config.Cmd"))]
        seen = PARTS[name].seen(container_spec.at(row, PARTS[name].place))
        return container_spec.fitting(declared, seen, self._comparison(name) == "strict")

    def _attached(self, row: docker.Row) -> Dict[str, Any]:
        found = container_spec.at(row, "NetworkSettings.Networks") or {}
        declared = {one["name"]: _network(one) for one in self.networks or ()}
        seen = {}
        for name in found if self._comparison("networks") == "strict" else declared:
            if name in found:
                aliases = set(found[name].get("Aliases") or ())
                address = (found[name].get("IPAMConfig") or {}).get("IPv4Address", "")
                wanted = declared.get(name, {"aliases": [], "ipv4_address": ""})
                kept = [alias for alias in wanted["aliases"] if alias in aliases]
                seen[name] = {"aliases": kept, "ipv4_address": address if wanted["ipv4_address"] else ""}
        return seen

    def _condition(self, row: docker.Row) -> str:
        state = row["State"]
        if state["Status"] not in ("running", "restarting", "paused"):
            return "stopped"
        health = (state.get("Health") or {}).get("Status")
        return "healthy" if self.state == "healthy" and health == "healthy" else "started"

    # -- changing ----------------------------------------------------------------------------------------------------

    def apply(self, machine: Machine, change: Change) -> State:
        if change.deletes:
            self._stop(machine)
            self._remove(machine, self.name, with_volumes=not self.keep_volumes)
            return None
        self._pull(machine)
        keys = set(Change.between(self.observe(machine), change.after).keys)  # an image's name may mean another now
        row = self._row(machine)
        replaces = row is None or bool(keys - {"state", "restarted", "pulled", "restart_policy", "networks"})
        if row is None or replaces:
            self._replace(machine, row is not None)
        else:
            self._adjust(machine, row, keys)
        return self._move(machine, restarts="restarted" in keys and not replaces)

    def _pull(self, machine: Machine) -> None:
        if self.image is None:
            if self._row(machine) is None:
                raise StepFailed(f"there is no container {self.name}, and no image to make it of")
            return
        missing = docker.image_ids(machine).get(self._reference) is None
        if self.pull in (True, "always") or (missing and self.pull in ("missing", False)):
            machine.note = f"docker: pull {self._reference}"
            docker.run(machine, "pull", "--quiet", self._reference)

    def _replace(self, machine: Machine, exists: bool) -> None:
        """The new one is whole before the old one goes; a killed run's is thrown away."""
        if self.image is None:
            raise StepFailed(f"the container {self.name} differs, and no image is given to make it again")
        self._remove(machine, f"{self.name}-mnemo-new")
        new = f"{self.name}-mnemo-new" if exists else self.name
        self._create(machine, new)
        for one in self.networks[0 if self.network_mode else 1 :] if self.networks else ():
            docker.run(machine, "network", "connect", *_joining(one), str(one["name"]), new)
        if exists:
            self._stop(machine)
            self._remove(machine, self.name)
            docker.run(machine, "rename", new, self.name)

    def _remove(self, machine: Machine, name: str, with_volumes: bool = False) -> None:
        if self._row(machine, name) is not None:  # with auto_remove it went when it stopped
            docker.run(machine, "rm", *(["--volumes"] if with_volumes else []), name)

    def _create(self, machine: Machine, name: str) -> None:
        given = self._given(self._env_file(machine))
        env = docker.texts(given.pop("env", {}))
        words = ["--name", name]
        if self.networks and self.network_mode is None:
            words += ["--network", str(self.networks[0]["name"]), *_joining(self.networks[0], "--network-alias")]
        if "healthcheck" in given:
            words += container_spec.health_options(given.pop("healthcheck"))
        for key, value in given.items():
            words += container_spec.options(key, value)
        if self.restart_policy is not None:
            words += ["--restart", self._declared({}).get("restart_policy", self.restart_policy)]
        entry = container_spec.words(self.entrypoint)
        words += ["--entrypoint", entry[0] if entry else ""] if self.entrypoint is not None else []
        long = {key: value for key, value in env.items() if not _is_line(value)}
        lines = "".join(f"{key}={value}\n" for key, value in env.items() if key not in long)
        words += ["--env-file", "/dev/stdin"] if lines else []  # not in the argument vector: everybody sees that
        words += [word for key in long for word in ("--env", key)]
        argv = ["docker", "create", *words, self._reference, *entry[1:], *container_spec.words(self.command)]
        machine.run(argv, data=lines.encode(), env=long or None)

    def _adjust(self, machine: Machine, row: docker.Row, keys: Set[str]) -> None:
        """What Docker can change in place."""
        if "restart_policy" in keys:
            docker.run(machine, "update", "--restart", str(self._declared({})["restart_policy"]), self.name)
        if "networks" in keys:
            declared = {one["name"]: one for one in self.networks or ()}
            seen, wanted = self._attached(row), self._declared({})["networks"]
            present = set(container_spec.at(row, "NetworkSettings.Networks") or {})
            for name in sorted({*seen, *declared}):
                if seen.get(name) != wanted.get(name):
                    if name in present:
                        docker.run(machine, "network", "disconnect", name, self.name)
                    if name in declared:
                        docker.run(machine, "network", "connect", *_joining(declared[name]), name, self.name)

    def _stop(self, machine: Machine) -> None:
        row = self._row(machine)
        if row is None or self._condition(row) == "stopped":
            return
        machine.note = f"docker: stop {self.name}"
        if self.force_kill:
            docker.run(machine, "kill", *(["--signal", self.kill_signal] if self.kill_signal else []), self.name)
            machine.wait_until(f"the end of {self.name}", lambda: self._has_stopped(machine), 60.0)
        else:
            docker.run(machine, "stop", *(["-t", str(self.stop_timeout)] if self.stop_timeout else []), self.name)

    def _has_stopped(self, machine: Machine) -> bool:
        row = self._row(machine)
        return row is None or self._condition(row) == "stopped"

    def _move(self, machine: Machine, restarts: bool) -> State:
        if self._running == "ran":
            return self._run_to_its_end(machine)
        if self.state == "stopped":
            self._stop(machine)
        elif self.state in ("started", "healthy"):
            docker.run(machine, "restart" if restarts else "start", self.name)
        if self.state == "healthy":
            machine.wait_until(f"{self.name} healthy", self._is_healthy(machine), self.healthy_wait_timeout, pause=0.5)
        return {**(self.observe(machine) or {}), **self._deeds()} if self._deeds() else None

    def _is_healthy(self, machine: Machine) -> Any:
        return lambda: self._condition(self._row(machine) or {"State": {"Status": ""}}) == "healthy"

    def _run_to_its_end(self, machine: Machine) -> State:
        docker.run(machine, "start", self.name)
        machine.note = f"docker: {self.name} runs to its end"
        code = int(docker.run(machine, "wait", self.name, timeout=86400.0).out.strip() or 0)
        said = machine.ask(["docker", "logs", self.name], check=False)
        found = {**(self.observe(machine) or {}), "state": "ran", "status": code}
        if self.output_logs:
            found["container"] = {**found["container"], "Output": said.out + said.err}
        if self.cleanup:
            self._remove(machine, self.name, with_volumes=not self.keep_volumes)
        if code != 0:
            raise StepFailed(f"{self.name} ended with {code}: {(said.err or said.out).strip()[-1500:]}")
        return {
            **found,
            **{key: "now" for key in ("restarted", "recreated", "pulled") if key in (self.desired() or {})},
        }


def _network(one: Mapping[str, Any]) -> Dict[str, Any]:
    return {"aliases": sorted(one.get("aliases") or ()), "ipv4_address": one.get("ipv4_address") or ""}


def _joining(one: Mapping[str, Any], alias: str = "--alias") -> List[str]:
    address = ["--ip", str(one["ipv4_address"])] if one.get("ipv4_address") else []
    return [*address, *(word for name in one.get("aliases") or () for word in (alias, str(name)))]


def _shown(row: docker.Row) -> docker.Row:
    """The inspected object without the values of its environment."""
    names = [f"{each.partition('=')[0]}=[secret]" for each in (row["Config"].get("Env") or ())]
    return {**row, "Config": {**row["Config"], "Env": names}}


def _is_line(value: str) -> bool:
    """Whether a file of variables can hold it: a return at its end would be lost, and a line has at most 64 KiB."""
    return not {"\n", "\r"} & {*value} and len(value) < 16000
