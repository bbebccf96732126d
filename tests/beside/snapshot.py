"""What a server is, as one JSON document: packages, files, accounts, units, kernel settings, firewall.

Run on the server by its own Python: ``python3 - < snapshot.py``, as root. Standard library only.
"""

from __future__ import annotations

import grp
import hashlib
import json
import os
import pwd
import re
import stat
import subprocess
from typing import Dict, Iterator, List

TREES = ("/etc", "/srv", "/opt", "/home", "/root", "/usr/local", "/var/www", "/var/spool/cron")

# what differs by nature, and why
EXCLUDED = {
    r"/etc/ssh/ssh_host_.*": "every server makes host keys of its own",
    r"/etc/machine-id": "every server makes one",
    r"/etc/(hostname|hosts|resolv\.conf)": "bind mounts of the lab's engine: the server's own address and name",
    r"/etc/ld\.so\.cache": "records inode times of libraries",
    r"/etc/.*\.dpkg-old": "dpkg's leavings",
    r"/etc/ssl/private/ssl-cert-snakeoil\.key|/etc/ssl/certs/(ssl-cert-snakeoil\.pem|[0-9a-f]{8}\.\d)":
        "a key made at installation, and links named by its hash",
    r"/home/[^/]+/\.ansible(/.*)?|/root/\.ansible(/.*)?": "Ansible's workspace",
    r"/home/[^/]+/\.local/state/mnemo_ops(/.*)?": "our lock of a user",
    r"/home/ops/\.local(/state)?": "the way to it",
    r"/home/ops/\.ssh(/.*)?": "the lab's key",
    r"/etc/(passwd|group|shadow|gshadow|subuid|subgid)-": "what was there before a tool was last called",
    r"/etc/\.pwd\.lock": "made by the first tool that locks passwd",
    r".*/__pycache__(/.*)?": "compiled by whoever imported it first",
    r".*/\.git/(index|logs(/.*)?|FETCH_HEAD|ORIG_HEAD)": "git's clocks",
}  # fmt: skip
# kernel settings that count, measure or are random; everything else must be equal
MOVING = re.compile(
    r"(kernel/random/|kernel/ns_last_pid|kernel/pty/nr|kernel/hostname|fs/(dentry-state|file-nr|inode-|aio-nr|quota)"
    r"|fs/binfmt_misc|fs/nfs|net/netfilter/nf_conntrack_count|stable_secret|kernel/(hung_task_detect_count|usermodehelper)"
    r"|vm/stat_refresh|net/ipv4/tcp_fastopen_key|debug/|dev/|kernel/(keys|tainted|seccomp)|abi/)"
)
# units that come and go by clock, login or device, whatever anybody configures
FLEETING = re.compile(
    r"(session-.*|user@.*|user-.*|run-.*|mnemo-.*|init)\.(scope|service|slice|mount)|.*\.(device|swap)|dev-.*|sys-.*|proc-.*"
    r"|(apt-daily.*|dpkg-db-backup|systemd-tmpfiles-clean|e2scrub.*|fstrim|man-db|logrotate|motd-news|phpsessionclean"
    r"|systemd-(hostnamed|localed|timedated|userdbd|nsresourced)|ssh@.*|sshd@.*|emergency|rescue|polkit|getty@.*)\.service"
    r"|system-.*\.slice"
)


def run(*argv: str) -> List[str]:
    done = subprocess.run(argv, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"})
    return done.stdout.splitlines()


def name_of(path: str) -> str:
    """Backups carry a process id and a time, ours and Ansible's alike."""
    return re.sub(r"\.\d+\.\d{4}-\d\d-\d\d@\d\d:\d\d:\d\d~$", ".BACKUP~", path)


def digest(path: str) -> str:
    with open(path, "rb") as file:
        data = file.read()
    if path.startswith("/var/spool/cron/crontabs/"):  # crontab(1) writes down when it was called, and for which file
        data = re.sub(rb"(?m)^# (DO NOT EDIT|\().*\n", b"", data)
    return hashlib.sha256(data).hexdigest()


def owner(info: os.stat_result) -> str:
    try:
        user = pwd.getpwuid(info.st_uid).pw_name
    except KeyError:
        user = str(info.st_uid)
    try:
        group = grp.getgrgid(info.st_gid).gr_name
    except KeyError:
        group = str(info.st_gid)
    return f"{user}:{group}"


def looked(path: str) -> str:
    info = os.lstat(path)
    mode = f"{stat.S_IMODE(info.st_mode):04o} {owner(info)}"
    if stat.S_ISLNK(info.st_mode):
        return f"link {owner(info)} -> {os.readlink(path)}"
    if stat.S_ISDIR(info.st_mode):
        return f"directory {mode}"
    if stat.S_ISREG(info.st_mode):
        return f"file {mode} {info.st_nlink} {digest(path)}"
    return f"special {mode}"


def walk(top: str) -> Iterator[str]:
    if not os.path.isdir(top):
        return
    yield top
    for directory, folders, files in os.walk(top):
        for each in folders + files:
            yield os.path.join(directory, each)


def files() -> Dict[str, str]:
    excluded = re.compile("|".join(f"(?:{pattern})" for pattern in EXCLUDED))
    paths = (path for top in TREES for path in walk(top) if not excluded.fullmatch(path))
    return {name_of(path): looked(path) for path in paths}


def packages() -> Dict[str, str]:
    manual = set(run("apt-mark", "showmanual"))
    rows = (line.split("\t") for line in run("dpkg-query", "-W", "-f", "${Package}\t${Version}\t${db:Status-Abbrev}\n"))
    return {row[0]: f"{row[1]} {row[2].strip()} {'manual' if row[0] in manual else 'auto'}" for row in rows}


def units() -> Dict[str, str]:
    enabled = {row[0]: row[1] for line in run("systemctl", "list-unit-files", "--no-legend") if (row := line.split())}
    found = {name: f"{state} -" for name, state in enabled.items()}
    for line in run("systemctl", "list-units", "--all", "--no-legend", "--plain"):
        name, loaded, active, sub = line.split()[:4]
        found[name] = f"{enabled.get(name, loaded)} {active} {sub}"
    return {name: state for name, state in found.items() if not FLEETING.fullmatch(name)}


def kernel() -> Dict[str, str]:
    found = {}
    for directory, _, names in os.walk("/proc/sys"):
        for each in names:
            path = os.path.join(directory, each)
            if not MOVING.search(path):
                try:
                    with open(path, "rb") as file:
                        found[path[len("/proc/sys/") :]] = file.read(4096).decode("utf-8", "replace").strip()
                except OSError:
                    continue
    return found


def rows(lines: List[str]) -> Dict[str, str]:
    return {line.partition(":")[0]: line.partition(":")[2] for line in lines}


def firewall() -> Dict[str, str]:
    saved = [*run("iptables-save"), *run("ip6tables-save")]
    ours = (line for line in saved if not re.search(r"^#|DOCKER_|127\.0\.0\.11", line))  # the lab's engine's resolver
    text = "\n".join(re.sub(r"\[\d+:\d+\]", "", line) for line in ours)
    return {"rules": text}


def mounts() -> Dict[str, str]:
    found = {}
    with open("/proc/self/mounts") as file:
        for line in file:
            source, target, kind, options = line.split()[:4]
            if target.startswith(("/mnt", "/srv", "/opt", "/home", "/media")):
                found[target] = f"{source} {kind} {options}"
    return found


if __name__ == "__main__":
    print(json.dumps({
        "packages": packages(),
        "files": files(),
        "users": rows(run("getent", "passwd")),
        "passwords": rows(run("getent", "shadow")),
        "groups": rows(run("getent", "group")),
        "units": units(),
        "sysctl": kernel(),
        "firewall": firewall(),
        "mounts": mounts(),
    }))  # fmt: skip
