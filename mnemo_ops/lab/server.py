"""The lab's servers: containers that boot systemd and sshd as Debian servers do, with a data root for their own Docker.

Nothing here trusts the network: a server's host keys are read through its container. Measured on 2 cores: two servers
boot side by side in 2.4 s, `up` of a running lab 0.4 s, Docker over SSH 20 s, reboot with it 3-5 s, `down` 3 s.

Unlike a real server: kernel, clock and loop devices are this machine's, and a nested container on Docker's default
bridge finds no DNS (on a network of its own, as Compose makes, it does).
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mnemo_ops.errors import Refused, StepFailed, UsageError
from mnemo_ops.lab.debian import RECIPES
from mnemo_ops.lab.directory import PORT, USER, LabDirectory, Server, check_names, remove
from mnemo_ops.lab.engine import Report, answers, docker, ensure_engine, kept, locked, stop_engine_if_ours
from mnemo_ops.lab.image import ensure_images
from mnemo_ops.lab.network import ensure_network, free_addresses

_BOOT_SECONDS = 120.0
_STOP_SECONDS = 60

# a whole machine's rights without --privileged, which fails where CAP_SYS_RESOURCE is missing
_RIGHTS = ("--cap-add=ALL", "--security-opt=seccomp=unconfined",
           "--security-opt=apparmor=unconfined", "--security-opt=systempaths=unconfined",
           "--device-cgroup-rule=a *:* rwm", "--cgroupns=private", "--tmpfs=/run", "--tmpfs=/run/lock",
           "--tty")  # systemd writes its console there # fmt: skip

_SYS_TIME = 1 << 25  # capabilities(7)
_ALL_IS_AVAILABLE = 23  # the engine from which ALL means what is available, and the name of what is not is an error


def rights() -> tuple[str, ...]:
    """Options of ``docker create`` for a container that boots as a server does."""
    major = int(docker("version", "--format", "{{.Server.Version}}").split(".")[0])
    given = _RIGHTS if major >= _ALL_IS_AVAILABLE else (*_RIGHTS, "--cap-drop=SYS_RESOURCE")
    # the clock is this machine's: the first `timedatectl set-timezone` would turn it by the zone's hours
    bounds = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapBnd:"))
    return (*given, "--cap-drop=SYS_TIME") if int(bounds.split()[1], 16) & _SYS_TIME else given


# one exec per `up`: let the lab's key in, tell the server's own keys
_EXCHANGE = f"""
install -d -o {USER} -g {USER} -m 700 /home/{USER}/.ssh
grep -qsxF "$1" /home/{USER}/.ssh/authorized_keys || echo "$1" >> /home/{USER}/.ssh/authorized_keys
chown {USER}: /home/{USER}/.ssh/authorized_keys
cat /etc/ssh/ssh_host_*_key.pub
"""


@dataclass(frozen=True)
class _Container:
    """A server's container as Docker has it."""

    name: str
    address: str
    image: str
    state: str
    networks: str

    def server(self) -> Server:
        return Server(self.name, self.address, PORT, USER, "running" if self.state == "running" else "stopped")


def up(root: Path, names: Sequence[str], report: Report, image: str = "debian13") -> list[Server]:
    """Bring up the servers `names` of the lab of `root`; those that run already are left alone.

    :param image: one of ``debian13``, ``debian12``, ``debian13-nopython``.
    :return: all servers of the lab.
    :raises UsageError: (exit code 2) a name or the image is not possible.
    :raises Refused: (exit code 3) no Docker engine can be had, a server exists with another image, or one is virtual.
    :raises StepFailed: (exit code 6) a server does not come up; carries its console. Calling again continues.
    """
    check_names(names)
    if image not in RECIPES:
        raise UsageError(f"no server image `{image}`", hint=f"one of {', '.join(RECIPES)}")
    lab = LabDirectory(root)
    lab.only("container")
    with kept():
        ensure_engine(report)
        reference = ensure_images(RECIPES[image], report)[image]
        with locked(root):
            _refuse_other_image(_containers(lab), names, image)
            _create(lab, names, image, reference)
            _boot_all(lab, names, report)
    return status(root)


def down(root: Path, report: Report) -> None:
    """Remove the lab of `root`: containers, network, data roots and files; and the engine, when the lab started it.

    Works on half a lab and on none. What others keep in ``.lab/`` stays.

    :raises StepFailed: (exit code 6) something cannot be removed; calling again continues.
    """
    lab = LabDirectory(root)
    if not answers() and not lab.generated():
        return
    ensure_engine(report)
    with locked(root):
        found = docker("ps", "--all", "--quiet", "--filter", f"label={lab.label}").split()
        if found:
            report(f"removing {len(found)} servers")
            docker("rm", "--force", "--volumes", *found, timeout=300)
        for network in docker("network", "ls", "--quiet", "--filter", f"label={lab.label}").split():
            docker("network", "rm", network)
        _remove_files(lab)
    stop_engine_if_ours(report)


def status(root: Path) -> list[Server]:
    """The servers of the lab of `root`, by name; where no engine runs none of them does."""
    lab = LabDirectory(root)
    names = {path.parent.name for path in lab.path.glob("*/docker")}
    if not answers():
        return [Server(name, "", PORT, USER, "stopped") for name in sorted(names)]
    found = {name: container.server() for name, container in _containers(lab).items()}
    return [found.get(name) or Server(name, "", PORT, USER, "absent") for name in sorted(names | found.keys())]


def ssh_command(root: Path, name: str) -> list[str]:
    """The argument vector of an ssh to a server; append the remote command."""
    lab = LabDirectory(root)
    return lab.ssh(_find(lab, name).address)


def container(root: Path, name: str) -> str:
    """The name of a server's container."""
    return LabDirectory(root).container(name)


def reboot(root: Path, name: str) -> None:
    """An orderly reboot; returns when the server is up again."""
    docker("restart", "--time", str(_STOP_SECONDS), container(root, name), timeout=_STOP_SECONDS + 60)
    _wait(LabDirectory(root), name)


def power_cut(root: Path, name: str) -> None:
    """Everything on the server stops at once."""
    docker("kill", container(root, name))


def power_on(root: Path, name: str) -> None:
    """Start a server that is off; returns when it is up."""
    docker("start", container(root, name))
    _wait(LabDirectory(root), name)


def disconnect(root: Path, name: str) -> None:
    """Pull the network cable."""
    lab = LabDirectory(root)
    docker("network", "disconnect", lab.network, lab.container(name))


def connect(root: Path, name: str) -> None:
    """Put the network cable back; the server has the address it had."""
    lab = LabDirectory(root)
    docker("network", "connect", "--ip", _find(lab, name).address, lab.network, lab.container(name))


def _refuse_other_image(known: Mapping[str, _Container], names: Sequence[str], image: str) -> None:
    for name in known.keys() & set(names):
        if known[name].image != image:
            raise Refused(f"server {name} exists with image {known[name].image}, not {image}", hint="invoke lab.down")


def _create(lab: LabDirectory, names: Sequence[str], image: str, reference: str) -> None:
    """Make the containers that are missing; they do not run yet."""
    subnet = ensure_network(lab.network, lab.label)
    known = _containers(lab)
    addresses = free_addresses(subnet, {server.address for server in known.values()})
    missing = [name for name in names if name not in known]
    for name, address in zip(missing, addresses, strict=False):
        lab.data_root(name).mkdir(parents=True, exist_ok=True)
        labels = (lab.label, f"mnemo.name={name}", f"mnemo.address={address}", f"mnemo.image={image}")
        docker(
            "create", "--name", lab.container(name), "--hostname", name, *(f"--label={label}" for label in labels),
            "--network", lab.network, "--ip", address, *rights(),
            "--mount", f"type=bind,source={lab.data_root(name)},target=/var/lib/docker", reference,
        )  # fmt: skip


def _boot_all(lab: LabDirectory, names: Sequence[str], report: Report) -> None:
    """Start the servers `names` side by side; write down who is where and with which keys."""
    servers = _containers(lab)
    wanted = [server for server in servers.values() if server.name in names or server.state == "running"]
    boot = partial(_boot, lab, lab.public_key(), report)
    with ThreadPoolExecutor(max_workers=8) as pool:
        keys = dict(pool.map(boot, wanted))
    lab.write_known_hosts(keys)
    lab.write_inventory(server.server() for server in servers.values())


def _boot(lab: LabDirectory, public_key: str, report: Report, server: _Container) -> tuple[str, list[str]]:
    """Start a server unless it runs; return ``name,address`` and its host keys."""
    started = time.monotonic()
    if not server.networks:
        connect(lab.root, server.name)
    if server.state != "running":
        docker("start", lab.container(server.name))
    _wait(lab, server.name)
    keys = docker("exec", lab.container(server.name), "sh", "-ec", _EXCHANGE, "sh", public_key)
    if server.state != "running":
        report(f"{server.name} is up at {server.address} ({time.monotonic() - started:.1f} s)")
    return f"{server.name},{server.address}", keys.splitlines()


def _wait(lab: LabDirectory, name: str) -> None:
    """Until systemd has finished booting and, with the cable in, sshd answers."""
    server = _find(lab, name)
    deadline = time.monotonic() + _BOOT_SECONDS
    why = ""
    while time.monotonic() < deadline:
        try:
            # is-system-running ends with an error for every word but "running"
            exec_ = ("exec", lab.container(name), "sh", "-c", "systemctl is-system-running 2>&1 || true")
            why = f"systemd is {docker(*exec_).strip()}"
        except StepFailed as error:
            why = str(error)
            break
        if why.split()[-1] in ("running", "degraded") and (not server.networks or _sshd_answers(server.address)):
            return
        time.sleep(0.1)
    console = docker("logs", "--tail", "40", lab.container(name))
    raise StepFailed(f"server {name} does not come up: {why}\n{console}", hint=f"docker logs {lab.container(name)}")


def _sshd_answers(address: str) -> bool:
    try:
        with socket.create_connection((address, PORT), timeout=2) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def _containers(lab: LabDirectory) -> dict[str, _Container]:
    fields = (*(f'{{{{.Label "mnemo.{key}"}}}}' for key in ("name", "address", "image")), "{{.State}}", "{{.Networks}}")
    listed = docker("ps", "--all", "--filter", f"label={lab.label}", "--format", "\t".join(fields))
    found = (_Container(*line.split("\t")) for line in listed.splitlines())
    return {server.name: server for server in sorted(found, key=lambda server: server.name)}


def _find(lab: LabDirectory, name: str) -> _Container:
    servers = _containers(lab)
    if name not in servers:
        raise UsageError(f"the lab has no server `{name}`", hint=f"invoke lab.up --hosts {name}")
    return servers[name]


def _remove_files(lab: LabDirectory) -> None:
    data = list(lab.path.glob("*/docker"))
    if data and os.geteuid() != 0:  # the servers' files belong to root: remove them as the servers' root
        reference = docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", "mnemo-lab/debian*").split()[0]
        inside = [f"/lab/{path.parent.name}" for path in data]
        docker("run", "--rm", "--volume", f"{lab.path}:/lab", reference, "rm", "-rf", *inside, timeout=300)
    remove(lab.generated())
    if lab.path.is_dir() and not any(lab.path.iterdir()):
        lab.path.rmdir()
