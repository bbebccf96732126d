"""The system's own settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from example import Example
from world import World


def written(files: dict[str, str]) -> Callable[[World], None]:
    def prepare(world: World) -> None:
        for path, text in files.items():
            world.write(path, text)

    return prepare


def editors(mode: str = "auto") -> Callable[[World], None]:
    group = {"link": "/bin/editor", "mode": mode, "value": "/bin/nano", "paths": {"/bin/nano": 40, "/bin/vim": 30}}
    return lambda world: world.model("alternatives", {"editor": group})


CHOICE = ("update-alternatives",)
KERNEL = {"proc/sys/vm/swappiness": "60\n", "proc/sys/net/ipv4/ip_local_port_range": "32768\t60999\n"}
SWAPPINESS: dict[str, Any] = {"name": "vm.swappiness", "value": 10}
CONF = {
    "etc/sysctl.conf": "# mine\nvm.swappiness = 30\nvm.swappiness=40\nkernel.x = 1\n",
    "proc/sys/kernel/x": "1\n",
    **KERNEL,
}
NAMED = {"etc/hostname": "old\n", "proc/sys/kernel/hostname": "old\n"}
ZONES = {"usr/share/zoneinfo/Europe/Vienna": "TZif", "usr/share/zoneinfo/Etc/UTC": "TZif"}
MODULES = {
    "proc/modules": "loop 1 0 - Live 0x0\n",
    "proc/sys/kernel/osrelease": "6.1.0\n",
    "lib/modules/6.1.0/modules.builtin": "kernel/net/ipv4/tcp-cubic.ko\n",
    "etc/modules-load.d/old.conf": "loop\n# nbd\n",
    "etc/modprobe.d/old.conf": "options loop max_loop=8\noptions nbd nbds_max=1\n",
}
CRONTAB = {"var/spool/cron/crontabs/root": 'MAILTO="root"\n0 1 * * * /own\n#Ansible: old\n@daily /old\n'}
LOCALES = {
    "etc/locale.gen": "# which ones\n#  de_AT.UTF-8 UTF-8\nen_US.UTF-8 UTF-8\n",
    "usr/share/i18n/SUPPORTED": "de_AT.UTF-8 UTF-8\nfr_FR ISO-8859-1\n",
    "usr/lib/locale/list": "en_US.utf8\n",
}
SYSCTL, CRON, MODPROBE, LOCALE = ("sysctl",), ("crontab",), ("modprobe",), ("locale-gen", "locale")

EXAMPLES: tuple[Example, ...] = (
    Example("new", "sysctl", SWAPPINESS, written(KERNEL), tools=SYSCTL),
    Example("another", "sysctl", {**SWAPPINESS, "sysctl_set": True}, written(CONF), tools=SYSCTL),
    Example("file-only", "sysctl", {**SWAPPINESS, "reload": False}, written(CONF), tools=()),
    Example(
        "own-file",
        "sysctl",
        {"name": "net.ipv4.ip_local_port_range", "value": "1024 65000", "sysctl_file": "/etc/sysctl.d/60-x.conf"},
        written(KERNEL),
        tools=SYSCTL,
    ),
    Example("not-there", "sysctl", {"name": "no.such", "value": True, "ignoreerrors": True}, tools=SYSCTL),
    Example("absent", "sysctl", {"name": "vm.swappiness", "state": "absent"}, written(CONF), tools=SYSCTL),
    Example("named", "hostname", {"name": "web1.example.com"}, written(NAMED), tools=("hostnamectl",)),
    Example("zone", "timezone", {"name": "Europe/Vienna", "hwclock": "local"}, written(ZONES), tools=("timedatectl",)),
    Example("loaded", "modprobe", {"name": "nbd", "params": "nbds_max=4"}, written(MODULES), tools=MODPROBE),
    Example(
        "at-boot",
        "modprobe",
        {"name": "nbd", "params": "nbds_max=4 max_part=2", "persistent": "present"},
        written(MODULES),
        tools=MODPROBE,
    ),
    Example(
        "gone",
        "modprobe",
        {"name": "loop", "state": "absent", "persistent": "absent"},
        written(MODULES),
        tools=MODPROBE,
    ),
    Example("first", "cron", {"name": "nightly", "hour": "2", "minute": "30", "job": "/nightly"}, tools=CRON),
    Example(
        "another-time", "cron", {"name": "old", "special_time": "hourly", "job": "/old"}, written(CRONTAB), tools=CRON
    ),
    Example(
        "disabled",
        "cron",
        {"name": "old", "disabled": True, "job": "/old", "backup": True},
        written(CRONTAB),
        tools=CRON,
    ),
    Example(
        "somebodys-own",
        "cron",
        {"name": "own", "hour": "1", "minute": "0", "job": "/own"},
        written(CRONTAB),
        tools=CRON,
    ),
    Example(
        "variable",
        "cron",
        {"name": "PATH", "env": True, "job": "/bin", "insertafter": "MAILTO"},
        written(CRONTAB),
        tools=CRON,
    ),
    Example("of-a-user", "cron", {"name": "x", "user": "old", "job": "/x", "weekday": "1-5"}, tools=CRON),
    Example("absent", "cron", {"name": "old", "state": "absent"}, written(CRONTAB), tools=CRON),
    Example("in-a-file", "cron", {"name": "x", "user": "old", "job": "/x", "cron_file": "app", "day": "*/2"}),
    Example(
        "in-a-file-with-others",
        "cron",
        {"name": "x", "user": "old", "job": "/x", "cron_file": "app"},
        written({"etc/cron.d/app": "#Ansible: y\n@daily old /y\n"}),
    ),
    Example(
        "file-absent",
        "cron",
        {"name": "x", "cron_file": "app", "state": "absent"},
        written({"etc/cron.d/app": "#Ansible: x\n@daily old /x\n"}),
    ),
    Example("new", "locale_gen", {"name": ["de_AT.UTF-8"]}, written(LOCALES), tools=LOCALE),
    Example("supported", "locale_gen", {"name": "fr_FR"}, written(LOCALES), tools=LOCALE),
    Example("absent", "locale_gen", {"name": "en_US.UTF-8", "state": "absent"}, written(LOCALES), tools=LOCALE),
    Example("new", "alternatives", {"name": "pager", "path": "/bin/less", "link": "/bin/pager"}, tools=CHOICE),
    Example("chosen", "alternatives", {"name": "editor", "path": "/bin/vim"}, editors(), tools=CHOICE),
    Example(
        "one-more",
        "alternatives",
        {"name": "editor", "path": "/bin/ed", "state": "present", "priority": 5},
        editors(),
        tools=CHOICE,
    ),
    Example(
        "best",
        "alternatives",
        {"name": "editor", "path": "/bin/vim", "state": "auto", "priority": 90},
        editors("manual"),
        tools=CHOICE,
    ),
    Example(
        "absent", "alternatives", {"name": "editor", "path": "/bin/nano", "state": "absent"}, editors(), tools=CHOICE
    ),
)
