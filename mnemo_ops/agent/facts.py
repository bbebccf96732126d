"""Facts: what the host is, under Ansible's names. Reads files, runs nothing, so that hello stays one round trip."""

from __future__ import annotations

import ipaddress
import struct
import sys
import time
from typing import Any, Dict

from mnemo_ops.agent.machine import Machine

FAMILIES = {"debian": "Debian", "ubuntu": "Debian", "rhel": "RedHat", "fedora": "RedHat", "centos": "RedHat"}
NAMES = {
    "debian": "Debian",
    "ubuntu": "Ubuntu",
    "fedora": "Fedora",
    "rhel": "RedHat",
    "rocky": "Rocky",
    "almalinux": "AlmaLinux",
}


def gather(machine: Machine) -> Dict[str, Any]:
    """``ansible_facts``: strings, numbers and nested dicts; sizes in MiB where the name ends in ``_mb``."""
    release = _os_release(machine)
    system = release.get("ID", "")
    like = [system, *release.get("ID_LIKE", "").split()]
    kernel = (machine.read_text("/proc/sys/kernel/osrelease") or "").strip()
    hostname = (machine.read_text("/proc/sys/kernel/hostname") or "").strip()
    version = release.get("VERSION_ID", "")
    now = machine.now()
    return {
        "system": "Linux",
        "distribution": NAMES.get(system, system.capitalize()),
        "distribution_version": version,
        "distribution_major_version": version.split(".")[0],
        "distribution_release": release.get("VERSION_CODENAME", ""),
        "os_family": next((FAMILIES[name] for name in like if name in FAMILIES), system.capitalize()),
        "pkg_mgr": next(
            (name for name, tool in (("apt", "apt-get"), ("dnf", "dnf")) if machine.which(tool)), "unknown"
        ),
        "service_mgr": "systemd" if machine.stat("/run/systemd/system") else "unknown",
        "virtualization_type": _virtualization(machine),
        "architecture": machine.architecture,
        "kernel": kernel,
        "hostname": hostname.split(".")[0],
        "nodename": hostname,
        "fqdn": hostname,
        "machine_id": (machine.read_text("/etc/machine-id") or "").strip(),
        "boot_id": (machine.read_text("/proc/sys/kernel/random/boot_id") or "").strip(),
        "processor_vcpus": (machine.read_text("/proc/cpuinfo") or "").count("processor\t"),
        "memtotal_mb": _memory(machine, "MemTotal"),
        "memfree_mb": _memory(machine, "MemAvailable"),
        "swaptotal_mb": _memory(machine, "SwapTotal"),
        "default_ipv4": _default_ipv4(machine),
        "python_version": ".".join(str(part) for part in sys.version_info[:3]),
        "python": {"executable": sys.executable},
        "user_id": machine.user_name,
        "user_uid": machine.effective_uid,
        "date_time": {"epoch": str(int(now)), "iso8601": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))},
        "clock": now,
    }


def _os_release(machine: Machine) -> Dict[str, str]:
    text = machine.read_text("/etc/os-release") or machine.read_text("/usr/lib/os-release") or ""
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))
    return {key: value.strip().strip("\"'") for key, value in pairs}


def _virtualization(machine: Machine) -> str:
    """``container`` where systemd says so (systemd.exec(5), /run/systemd/container), else empty: not looked further."""
    return "container" if machine.stat("/run/systemd/container") or machine.stat("/.dockerenv") else ""


def _memory(machine: Machine, name: str) -> int:
    for line in (machine.read_text("/proc/meminfo") or "").splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) // 1024
    return 0


def _default_ipv4(machine: Machine) -> Dict[str, str]:
    """Interface, gateway and address of the default route (proc_net(5)); empty without one."""
    for line in (machine.read_text("/proc/net/route") or "").splitlines()[1:]:
        field = line.split()
        if len(field) > 7 and field[1] == "00000000" and field[7] == "00000000":
            address = machine.ipv4_of(field[0])
            found = {"interface": field[0], "gateway": _dotted(field[2])}
            return {**found, "address": address} if address else found
    return {}


def _dotted(little_endian_hex: str) -> str:
    return str(ipaddress.IPv4Address(struct.pack("<I", int(little_endian_hex, 16))))
