"""Facts on processors, memory, mounts and what the host runs in (proc(5), sysfs(5))."""

from __future__ import annotations

from typing import Any, Dict, List

from mnemo_ops.agent.base.lines import each_line
from mnemo_ops.agent.machine import Machine

# asking a dead server for its size would hang
REMOTE = ("nfs", "cifs", "smb", "ceph", "glusterfs", "fuse", "9p", "virtiofs", "afs", "lustre", "autofs")
# words of the BIOS -> Ansible's name of the hypervisor
HYPERVISORS = {
    "KVM": "kvm", "QEMU": "kvm", "Amazon EC2": "kvm", "DigitalOcean": "kvm", "Google": "kvm", "Hetzner": "kvm",
    "OpenStack": "kvm", "VMware": "VMware", "VirtualBox": "virtualbox", "Virtual Machine": "VirtualPC", "Xen": "xen",
    "Parallels": "parallels", "Bochs": "bochs",
}  # fmt: skip


def gather(machine: Machine) -> Dict[str, Any]:
    return {**_processors(machine), **_memory(machine), **_bios(machine), "mounts": _mounts(machine)}


def _processors(machine: Machine) -> Dict[str, Any]:
    blocks: List[Dict[str, str]] = []
    for block in (machine.read_text("/proc/cpuinfo") or "").split("\n\n"):
        pairs = (line.partition(":") for line in each_line(block))
        found = {key.strip(): value.strip() for key, _, value in pairs}
        if "processor" in found:
            blocks.append(found)
    shown = ("processor", "vendor_id", "model name")
    first = blocks[0] if blocks else {}
    sockets = len({block.get("physical id", "0") for block in blocks}) if "physical id" in first else len(blocks)
    cores, siblings = int(first.get("cpu cores", 1)), int(first.get("siblings", 1))
    return {
        "processor": [block[key] for block in blocks for key in shown if key in block],
        "processor_count": sockets,
        "processor_cores": cores,
        "processor_threads_per_core": max(siblings // max(cores, 1), 1),
        "processor_vcpus": len(blocks),
        "processor_nproc": machine.processors,
    }


def _memory(machine: Machine) -> Dict[str, Any]:
    lines = (line.split() for line in each_line(machine.read_text("/proc/meminfo") or ""))
    mb = {line[0].rstrip(":"): int(line[1]) // 1024 for line in lines if len(line) > 1}
    total, free, swap, swap_free = (mb.get(key, 0) for key in ("MemTotal", "MemFree", "SwapTotal", "SwapFree"))
    unused = free + mb.get("Cached", 0) + mb.get("Buffers", 0)
    return {
        "memtotal_mb": total,
        "memfree_mb": free,
        "swaptotal_mb": swap,
        "swapfree_mb": swap_free,
        "memory_mb": {
            "real": {"total": total, "used": total - free, "free": free},
            "nocache": {"free": unused, "used": total - unused},
            "swap": {"total": swap, "free": swap_free, "used": swap - swap_free, "cached": mb.get("SwapCached", 0)},
        },
    }


def _mounts(machine: Machine) -> List[Dict[str, Any]]:
    """Of disks and of servers, as Ansible lists them; sizes in bytes, those of servers are not asked for."""
    uuids = {machine.realpath(f"/dev/disk/by-uuid/{uuid}"): uuid for uuid in machine.names("/dev/disk/by-uuid")}
    found = []
    for line in each_line(machine.read_text("/proc/self/mounts") or ""):
        device, mount, fstype, options, dump, passno = (word.replace("\\040", " ") for word in line.split(" "))
        if fstype == "none" or not (device.startswith("/") or ":/" in device):
            continue
        row = {
            "mount": mount,
            "device": device,
            "fstype": fstype,
            "options": options,
            "dump": int(dump),
            "passno": int(passno),
            "uuid": uuids.get(machine.realpath(device) if device.startswith("/") else device, "N/A"),
        }
        found.append(row if fstype.startswith(REMOTE) else {**row, **machine.space(mount)})
    return found


def _bios(machine: Machine) -> Dict[str, Any]:
    names = "product_name product_version product_uuid product_serial sys_vendor bios_vendor bios_version bios_date"
    said = {name: _told(machine, name) for name in names.split()}
    said["system_vendor"] = said.pop("sys_vendor")
    return {**said, **_virtualization(machine, f"{said['system_vendor']} {said['product_name']} {said['bios_vendor']}")}


def _told(machine: Machine, name: str) -> str:
    try:
        return (machine.read_text(f"/sys/class/dmi/id/{name}") or "").strip() or "NA"
    except PermissionError:  # serial numbers are root's
        return "NA"


def _virtualization(machine: Machine, bios: str) -> Dict[str, Any]:
    """A container where its engine or systemd says so (/run/systemd/container), a machine as its BIOS names it."""
    engine = (machine.read_text("/run/systemd/container") or "").strip()
    if machine.stat("/.dockerenv"):
        engine = "docker"
    if engine or machine.stat("/run/systemd/container"):
        return _virtual("guest", engine or "container", [*([engine] if engine else []), "container"])
    guest = next((name for word, name in HYPERVISORS.items() if word in bios), "")
    if guest:
        return _virtual("guest", guest, [guest])
    is_host = "\nkvm " in "\n" + (machine.read_text("/proc/modules") or "")
    return _virtual("host", "kvm", []) if is_host else _virtual("NA", "NA", [])


def _virtual(role: str, type: str, guest: List[str]) -> Dict[str, Any]:
    return {
        "virtualization_role": role,
        "virtualization_type": type,
        "virtualization_tech_guest": guest,
        "virtualization_tech_host": [type] if role == "host" else [],
    }
