"""Facts: what the host is, under Ansible's names. Reads files, runs nothing, so that hello stays one round trip."""

from __future__ import annotations

import sys
import time
from typing import Any, Dict

from mnemo_ops.agent.base.lines import each_line
from mnemo_ops.agent.facts import hardware
from mnemo_ops.agent.facts import network as facts_network
from mnemo_ops.agent.machine import Machine

FAMILIES = {"debian": "Debian", "ubuntu": "Debian", "rhel": "RedHat", "fedora": "RedHat", "centos": "RedHat"}
NAMES = {
    "debian": "Debian",
    "ubuntu": "Ubuntu",
    "fedora": "Fedora",
    "rhel": "RedHat",
    "centos": "CentOS",
    "rocky": "Rocky",
    "almalinux": "AlmaLinux",
}


def gather(machine: Machine) -> Dict[str, Any]:
    """``ansible_facts``: strings, numbers and nested dicts; sizes in MiB where the name ends in ``_mb``."""
    now = machine.now()
    return {
        **_distribution(machine),
        **_names(machine),
        **_user(machine),
        **_python(),
        **hardware.gather(machine),
        **facts_network.gather(machine),
        "system": "Linux",
        "pkg_mgr": next(
            (name for name, tool in (("apt", "apt-get"), ("dnf", "dnf")) if machine.which(tool)), "unknown"
        ),
        "service_mgr": _service_manager(machine),
        "machine_id": (machine.read_text("/etc/machine-id") or "").strip(),
        "boot_id": _proc(machine, "sys/kernel/random/boot_id"),
        "init_started": _init_started(machine),
        "cmdline": _cmdline(machine),
        "selinux": _selinux(machine),
        "apparmor": {"status": "enabled" if machine.stat("/sys/kernel/security/apparmor") else "disabled"},
        "fips": _proc(machine, "sys/crypto/fips_enabled") == "1",
        "uptime_seconds": int(float((_proc(machine, "uptime") or "0").split()[0])),
        "is_chroot": _is_chroot(machine),
        "loadavg": dict(zip(("1m", "5m", "15m"), map(float, (_proc(machine, "loadavg") or "0 0 0").split()[:3]))),
        "date_time": _date_time(now),
        "module_setup": True,
        **_host_keys(machine),
    }


def _proc(machine: Machine, name: str) -> str:
    return (machine.read_text("/proc/" + name) or "").strip()


def _service_manager(machine: Machine) -> str:
    """The name of the first process; ``service`` where it tells nothing, as in Ansible."""
    first = "systemd" if machine.stat("/run/systemd/system") else _proc(machine, "1/comm")
    return "service" if first in ("", "init") or first.endswith("sh") else first


def _init_started(machine: Machine) -> int:
    """When process 1 began, in ticks of the kernel (proc(5), stat): a container reboots without a new boot id."""
    fields = _proc(machine, "1/stat").rpartition(")")[2].split()
    return int(fields[19]) if len(fields) > 19 else 0


def _distribution(machine: Machine) -> Dict[str, Any]:
    text = machine.read_text("/etc/os-release") or machine.read_text("/usr/lib/os-release") or ""
    release = _assignments(text)
    system = release.get("ID", "")
    like = [system, *release.get("ID_LIKE", "").split()]
    name = NAMES.get(system, system.capitalize())
    exact = (machine.read_text("/etc/debian_version") or "").strip() if system == "debian" else ""
    version = exact if exact.replace(".", "").isdigit() else release.get("VERSION_ID", "")
    major, _, minor = version.partition(".")
    codename = release.get("VERSION_CODENAME", "")
    family = next((FAMILIES[name] for name in like if name in FAMILIES), system.capitalize())
    return {
        "distribution": name,
        "distribution_version": version,
        "distribution_major_version": major,
        "distribution_minor_version": minor,
        "distribution_release": codename,
        "distribution_file_path": "/etc/os-release",
        "distribution_file_variety": family if system in ("debian", "rhel") else name,
        "distribution_file_parsed": True,
        "os_family": family,
        "lsb": {
            "id": name,
            "release": release.get("VERSION_ID", ""),
            "major_release": major,
            "codename": codename,
            "description": release.get("PRETTY_NAME", ""),
        },
    }


def _assignments(text: str) -> Dict[str, str]:
    pairs = (line.split("=", 1) for line in each_line(text) if "=" in line and not line.startswith("#"))
    return {key: value.strip().strip("\"'") for key, value in pairs}


def _names(machine: Machine) -> Dict[str, Any]:
    node = _proc(machine, "sys/kernel/hostname")
    fqdn = node if "." in node else _canonical(machine, node)
    return {
        "hostname": node.split(".")[0],
        "nodename": node,
        "fqdn": fqdn,
        "domain": fqdn.partition(".")[2],
        "kernel": _proc(machine, "sys/kernel/osrelease"),
        "kernel_version": _proc(machine, "sys/kernel/version"),
        "architecture": machine.architecture,
        "machine": machine.architecture,
        "userspace_bits": "64" if sys.maxsize > 2**32 else "32",
        "userspace_architecture": machine.architecture,
    }


def _canonical(machine: Machine, node: str) -> str:
    """As getfqdn finds it in /etc/hosts; a name server is not asked: it may be slow, and facts are not."""
    for line in each_line(machine.read_text("/etc/hosts") or ""):
        names = line.partition("#")[0].split()[1:]
        if node in names:
            return next((name for name in names if "." in name), node)
    return node


def _user(machine: Machine) -> Dict[str, Any]:
    rows = machine.accounts("passwd").values()
    row = next((row for row in rows if row[2] == str(machine.effective_uid)), ["", "", "", "0", "", "", ""])
    uid, gid = machine.effective_uid, machine.effective_gid
    return {
        "user_id": machine.user_name,
        "user_uid": uid,
        "user_gid": int(row[3]),
        "user_gecos": row[4],
        "user_dir": row[5],
        "user_shell": row[6],
        "real_user_id": uid,
        "effective_user_id": uid,
        "real_group_id": gid,
        "effective_group_id": gid,
        "env": machine.inherited,
    }


def _python() -> Dict[str, Any]:
    info = sys.version_info
    names = ("major", "minor", "micro", "releaselevel", "serial")
    return {
        "python_version": ".".join(str(part) for part in info[:3]),
        "python": {
            "executable": sys.executable,
            "type": sys.implementation.name,
            "version": dict(zip(names, info)),
            "version_info": list(info),
            "has_sslcontext": True,
        },
    }


def _cmdline(machine: Machine) -> Dict[str, Any]:
    found: Dict[str, Any] = {}
    for word in _proc(machine, "cmdline").split():
        name, equals, value = word.partition("=")
        found[name] = value if equals else True
    return found


def _is_chroot(machine: Machine) -> bool:
    """Whether the first process sees another root."""
    try:
        theirs, ours = machine.stat("/proc/1/root/.", follow=True), machine.stat("/", follow=True)
    except PermissionError:
        return False
    return theirs is not None and ours is not None and theirs.inode != ours.inode


def _selinux(machine: Machine) -> Dict[str, str]:
    enforcing = machine.read_text("/sys/fs/selinux/enforce")
    if enforcing is None:
        return {"status": "disabled"}
    return {"status": "enabled", "mode": "enforcing" if enforcing.strip() == "1" else "permissive"}


def _host_keys(machine: Machine) -> Dict[str, str]:
    found = {}
    for kind in ("rsa", "ecdsa", "ed25519"):
        words = (machine.read_text(f"/etc/ssh/ssh_host_{kind}_key.pub") or "").split()
        if len(words) > 1:
            found[f"ssh_host_key_{kind}_public_keytype"], found[f"ssh_host_key_{kind}_public"] = words[:2]
    return found


def _date_time(now: float) -> Dict[str, str]:
    """Local time, except for the ``iso8601`` ones that end in Z."""
    here, there, micro = time.localtime(now), time.gmtime(now), f"{int(now % 1 * 1e6):06d}"
    forms = {"date": "%Y-%m-%d", "time": "%H:%M:%S", "tz": "%Z", "tz_offset": "%z", "weekday": "%A"}
    forms.update(weekday_number="%w", weeknumber="%W", iso8601_basic_short="%Y%m%dT%H%M%S")
    forms.update(year="%Y", month="%m", day="%d", hour="%H", minute="%M", second="%S")
    basic = time.strftime("%Y%m%dT%H%M%S", here)
    return {
        **{name: time.strftime(form, here) for name, form in forms.items()},
        "epoch": str(int(now)),
        "epoch_int": str(int(now)),
        "iso8601": time.strftime("%Y-%m-%dT%H:%M:%SZ", there),
        "iso8601_micro": time.strftime("%Y-%m-%dT%H:%M:%S.", there) + micro + "Z",
        "iso8601_basic": basic + micro,
        "tz_dst": time.tzname[1],
    }
