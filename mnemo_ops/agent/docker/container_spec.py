"""A container as a playbook declares it and as ``docker inspect`` shows it, in one shape, so that the two compare."""

from __future__ import annotations

import hashlib
import re
import shlex
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Sequence

from mnemo_ops.agent.docker import cli as docker

UNITS = {"": 1, "B": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40, "P": 1 << 50}
SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
HEALTH = {
    "interval": "Interval",
    "timeout": "Timeout",
    "start_period": "StartPeriod",
    "start_interval": "StartInterval",
}
Normal = Callable[[Any], Any]


class Part(NamedTuple):
    """An argument: its option of ``docker create``, its place in the inspected object, and its common shape."""

    option: str
    place: str
    declared: Normal
    seen: Normal


def size(value: Any) -> int:
    """Bytes of ``512M``, ``1g`` or a number. :raises ValueError: it is none of them."""
    if str(value).lower() in ("unlimited", "-1"):
        return -1
    found = re.fullmatch(r"([0-9.]+)\s*([BKMGTP]?)(?:i?B)?", str(value).strip(), re.IGNORECASE)
    if found is None:
        raise ValueError(f"{value!r} is not a size; write it like 512M")
    return int(float(found[1]) * UNITS[found[2].upper()])


def duration(value: Any) -> int:
    """Nanoseconds of ``1m30s``; a bare number is seconds."""
    parts = re.findall(r"([0-9.]+)(ns|us|ms|s|m|h)", str(value))
    return int(sum(float(number) * SECONDS[unit] for number, unit in parts) * 1e9) if parts else int(float(value) * 1e9)


def words(value: Any) -> List[str]:
    return shlex.split(value) if isinstance(value, str) else [docker.text(word) for word in value or ()]


def digest(value: Any) -> str:
    """Values of an environment are compared and reported as what nobody can read."""
    return "sha256:" + hashlib.sha256(docker.text(value).encode()).hexdigest()[:16]


def hidden(values: Mapping[str, Any]) -> Dict[str, str]:
    return {str(name): digest(value) for name, value in values.items()}


def _texts(values: Any) -> List[str]:
    return sorted({docker.text(value) for value in values or ()})


def _capabilities(values: Any) -> List[str]:
    return sorted({str(value).upper().replace("CAP_", "") for value in values or ()})


def _volumes(values: Any) -> List[str]:
    """``vol:/path`` is ``vol:/path:rw``; a path alone is an anonymous volume, which inspect lists elsewhere."""
    return sorted({each if each.count(":") > 1 else each + ":rw" for each in values or () if ":" in each})


def _devices(values: Any) -> List[str]:
    found = []
    for value in values or ():
        host, _, rest = value.partition(":")
        inside, _, rights = rest.partition(":")
        found.append(f"{host}:{inside or host}:{rights or 'rwm'}")
    return sorted(found)


def ports(values: Sequence[Any]) -> List[str]:
    """``address:port:inside/protocol`` for each, ranges one by one; no address is any, no port a free one."""
    found = []
    for value in values:
        text, _, protocol = str(value).partition("/")
        address, rest = "", text
        bracketed = re.fullmatch(r"\[(.*)\]:(.*)", text)
        if bracketed:
            address, rest = bracketed[1], bracketed[2]
        elif text.count(":") == 2:
            address, _, rest = text.partition(":")
        outside, _, inside = rest.rpartition(":")
        inner = _range(inside)
        outer = _range(outside) if outside else [""] * len(inner)
        address = "" if address in ("0.0.0.0", "::") else address
        found += [f"{address}:{one}:{two}/{protocol or 'tcp'}" for one, two in zip(outer, inner)]
    return sorted(found)


def _range(text: str) -> List[str]:
    first, _, last = text.partition("-")
    return [str(number) for number in range(int(first), int(last or first) + 1)]


def _bindings(value: Any) -> List[str]:
    found = []
    for inside, bindings in (value or {}).items():
        for one in bindings or ():
            address = "" if one.get("HostIp") in ("0.0.0.0", "::", None) else one["HostIp"]
            outside = one.get("HostPort") or ""
            found.append(f"{address}:{'' if outside == '0' else outside}:{inside}")
    return sorted(found)


def mount(value: Mapping[str, Any]) -> str:
    kind = str(value.get("type", "volume"))
    parts = [
        f"type={kind}",
        *([f"source={value['source']}"] if value.get("source") else []),
        f"target={value['target']}",
    ]
    # a row of CSV: what a comma divides is in quotes
    parts = ['"' + one.replace('"', '""') + '"' if {",", '"', "\n"} & {*one} else one for one in parts]
    return ",".join([*parts, *(["readonly"] if value.get("read_only") else [])])


def _mounted(values: Any) -> List[str]:
    names = {"Type": "type", "Source": "source", "Target": "target", "ReadOnly": "read_only"}
    return sorted(mount({names[key]: each.get(key) for key in names}) for each in values or ())


def healthcheck(value: Mapping[str, Any]) -> Dict[str, Any]:
    test = value.get("test")
    if isinstance(test, (list, tuple)):
        first, rest = (test[0], test[1:]) if test else ("NONE", [])
        test = "NONE" if first == "NONE" else " ".join(rest) if first == "CMD-SHELL" else shlex.join(rest or test)
    found: Dict[str, Any] = {} if test is None else {"test": test}
    found.update({key: duration(value[key]) for key in HEALTH if value.get(key) is not None})
    return {**found, **({"retries": int(value["retries"])} if value.get("retries") is not None else {})}


def _health(value: Any) -> Dict[str, Any]:
    value = value or {}
    found = {"test": value.get("Test"), "retries": value.get("Retries")}
    found.update({key: f"{value[name]}ns" for key, name in HEALTH.items() if value.get(name)})
    return healthcheck(found)


def _pairs(separator: str) -> Normal:
    """Texts ``a=b`` as a mapping."""
    return lambda values: dict(value.partition(separator)[::2] for value in values or ())


def _same(value: Any) -> Any:
    return value


def _number(value: Any) -> Any:
    return value or 0


_text: Normal = lambda value: docker.text(value) if value is not None else ""  # noqa: E731
_map: Normal = lambda value: docker.texts(value or {})  # noqa: E731
_on: Normal = bool
_LIST = (_texts, _texts)
_SIZE = (size, _number)
_NUMBER = (_number, _number)
_TEXT = (_text, _text)
_FLAG = (_on, _on)

PARTS: Dict[str, Part] = {
    "env": Part("", "Config.Env", hidden, lambda value: hidden(_pairs("=")(value))),
    "labels": Part("--label", "Config.Labels", _map, _map),
    "hostname": Part("--hostname", "Config.Hostname", *_TEXT),
    "domainname": Part("--domainname", "Config.Domainname", *_TEXT),
    "user": Part("--user", "Config.User", *_TEXT),
    "working_dir": Part("--workdir", "Config.WorkingDir", *_TEXT),
    "tty": Part("--tty", "Config.Tty", *_FLAG),
    "interactive": Part("--interactive", "Config.OpenStdin", *_FLAG),
    "stop_signal": Part("--stop-signal", "Config.StopSignal", *_TEXT),
    "stop_timeout": Part("--stop-timeout", "Config.StopTimeout", *_NUMBER),
    "healthcheck": Part("", "Config.Healthcheck", healthcheck, _health),
    "published_ports": Part("--publish", "HostConfig.PortBindings", ports, _bindings),
    "volumes": Part("--volume", "HostConfig.Binds", _volumes, _volumes),
    "mounts": Part("--mount", "HostConfig.Mounts", lambda value: sorted(map(mount, value)), _mounted),
    "network_mode": Part("--network", "HostConfig.NetworkMode", *_TEXT),
    "privileged": Part("--privileged", "HostConfig.Privileged", *_FLAG),
    "read_only": Part("--read-only", "HostConfig.ReadonlyRootfs", *_FLAG),
    "init": Part("--init", "HostConfig.Init", *_FLAG),
    "auto_remove": Part("--rm", "HostConfig.AutoRemove", *_FLAG),
    "publish_all_ports": Part("--publish-all", "HostConfig.PublishAllPorts", *_FLAG),
    "tmpfs": Part("--tmpfs", "HostConfig.Tmpfs", _pairs(":"), _map),
    "devices": Part("--device", "HostConfig.Devices", _devices, lambda rows: sorted(
        f"{row['PathOnHost']}:{row['PathInContainer']}:{row['CgroupPermissions']}" for row in rows or ())),
    "capabilities": Part("--cap-add", "HostConfig.CapAdd", _capabilities, _capabilities),
    "cap_drop": Part("--cap-drop", "HostConfig.CapDrop", _capabilities, _capabilities),
    "security_opts": Part("--security-opt", "HostConfig.SecurityOpt", *_LIST),
    "groups": Part("--group-add", "HostConfig.GroupAdd", *_LIST),
    "sysctls": Part("--sysctl", "HostConfig.Sysctls", _map, _map),
    "ulimits": Part("--ulimit", "HostConfig.Ulimits", lambda values: sorted(
        ":".join([*each.split(":"), each.split(":")[-1]][:3]) for each in values), lambda rows: sorted(
        f"{row['Name']}:{row['Soft']}:{row['Hard']}" for row in rows or ())),
    "etc_hosts": Part("--add-host", "HostConfig.ExtraHosts", _map, _pairs(":")),
    "dns_servers": Part("--dns", "HostConfig.Dns", *_LIST),
    "dns_search_domains": Part("--dns-search", "HostConfig.DnsSearch", *_LIST),
    "dns_opts": Part("--dns-option", "HostConfig.DnsOptions", *_LIST),
    "log_driver": Part("--log-driver", "HostConfig.LogConfig.Type", *_TEXT),
    "log_options": Part("--log-opt", "HostConfig.LogConfig.Config", _map, _map),
    "memory": Part("--memory", "HostConfig.Memory", *_SIZE),
    "memory_reservation": Part("--memory-reservation", "HostConfig.MemoryReservation", *_SIZE),
    "memory_swap": Part("--memory-swap", "HostConfig.MemorySwap", *_SIZE),
    "shm_size": Part("--shm-size", "HostConfig.ShmSize", *_SIZE),
    "cpus": Part("--cpus", "HostConfig.NanoCpus", lambda value: round(float(value) * 1e9), _number),
    "cpu_shares": Part("--cpu-shares", "HostConfig.CpuShares", *_NUMBER),
    "cpuset_cpus": Part("--cpuset-cpus", "HostConfig.CpusetCpus", *_TEXT),
    "pids_limit": Part("--pids-limit", "HostConfig.PidsLimit", _same, _same),
    "pid_mode": Part("--pid", "HostConfig.PidMode", *_TEXT),
    "ipc_mode": Part("--ipc", "HostConfig.IpcMode", *_TEXT),
    "userns_mode": Part("--userns", "HostConfig.UsernsMode", *_TEXT),
    "runtime": Part("--runtime", "HostConfig.Runtime", *_TEXT),
    "volumes_from": Part("--volumes-from", "HostConfig.VolumesFrom", *_LIST),
}  # fmt: skip


def at(row: Any, place: str) -> Any:
    """What lies at ``Config.Env`` of an inspected object."""
    for name in place.split("."):
        row = (row or {}).get(name)
    return row


def options(name: str, value: Any) -> List[str]:
    """The options of ``docker create`` for an argument."""
    option = PARTS[name].option
    if isinstance(value, bool):
        return [f"{option}={docker.text(value)}"]
    if isinstance(value, Mapping):
        joint = ":" if name == "etc_hosts" else "="
        return [word for key, one in value.items() for word in (option, f"{key}{joint}{docker.text(one)}")]
    if not isinstance(value, (list, tuple)):
        return [option, str(size(value)) if PARTS[name].declared is size else docker.text(value)]
    texts = [mount(one) if name == "mounts" else docker.text(one) for one in value]
    texts = [text.replace(":", "=", 1) for text in texts] if name == "ulimits" else texts
    return [word for text in texts for word in (option, text)]


def health_options(value: Mapping[str, Any]) -> List[str]:
    found = healthcheck(value)
    if found.get("test") == "NONE":
        return ["--no-healthcheck"]
    flags = [] if "test" not in found else ["--health-cmd", str(found["test"])]
    flags += [
        word for key in HEALTH if key in found for word in (f"--health-{key.replace('_', '-')}", f"{found[key]}ns")
    ]
    return [*flags, *(["--health-retries", str(found["retries"])] if "retries" in found else [])]


def fitting(declared: Any, seen: Any, strict: bool) -> Any:
    """What was seen, reduced to what was declared unless ``strict``: there may be more than was asked for."""
    if strict or not isinstance(declared, (dict, list)):
        return seen
    if isinstance(declared, dict):
        return {key: (seen or {}).get(key) for key in declared}
    return [each for each in declared if each in (seen or ())]
