"""What a playbook passes on from somebody else stays one word of a program, and one line of a file."""

from __future__ import annotations

from typing import Any

import pytest

from mnemo_ops.agent.engine.resource import build

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJnWJHJrZDqzOVbMT1F/8L0d8cVbOJ5IUsZ1sgzKHS4o"
OPTION = "--option=value"
WORDS: list[tuple[str, dict[str, Any]]] = [
    ("alternatives", {"name": OPTION, "path": "/bin/true"}),
    ("alternatives", {"name": "editor", "path": OPTION}),
    ("alternatives", {"name": "editor", "path": "/bin/true", "link": OPTION}),
    ("apt", {"name": "-oDPkg::Pre-Invoke::=id"}),
    ("apt", {"name": ["curl", "-oDPkg::Pre-Invoke::=id"]}),
    ("dnf", {"name": ["curl", "--installroot=/tmp/x"]}),
    ("docker_container", {"name": OPTION, "image": "api"}),
    ("docker_container", {"name": "web", "image": "--volume=/:/host", "command": ["api", "id"]}),
    ("docker_container", {"name": "web", "image": "api", "networks": [{"name": OPTION}]}),
    ("docker_image", {"name": OPTION}),
    ("docker_image", {"name": "api", "repository": OPTION}),
    ("docker_login", {"registry_url": OPTION, "username": "a", "password": "b"}),
    ("docker_network", {"name": OPTION}),
    ("docker_network", {"name": "front", "connected": [OPTION]}),
    ("docker_volume", {"volume_name": "--driver=other"}),
    ("filesystem", {"dev": OPTION, "fstype": "ext4"}),
    ("getent", {"database": OPTION}),
    ("git", {"repo": "/r", "dest": "/d", "refspec": "--upload-pack=id"}),
    ("group", {"name": "--root=/tmp/x"}),
    ("hostname", {"name": OPTION}),
    ("modprobe", {"name": "-C/tmp/x"}),
    ("modprobe", {"name": "dummy", "params": "-C/tmp/x"}),
    ("mount", {"path": "/data", "src": OPTION, "fstype": "ext4", "state": "ephemeral"}),
    ("mount", {"path": OPTION, "src": "/dev/a", "fstype": "ext4", "state": "mounted"}),
    ("package", {"name": OPTION}),
    ("pip", {"name": ["requests", "--index-url=https://packages.invalid"]}),
    ("sysctl", {"name": "--load=/tmp/x", "value": 1}),
    ("timezone", {"name": OPTION}),
    ("user", {"name": "--root=/tmp/x"}),
    ("user", {"name": "ada", "skeleton": OPTION}),
    ("user", {"name": "ada", "umask": OPTION}),
]
MORE = "x\nmore x"
JOB = {"name": "a", "job": "b", "user": "root", "cron_file": "c"}
CRON = ("name", "job", "user", "minute", "hour", "day", "month", "weekday")
LINES: list[tuple[str, dict[str, Any]]] = [
    ("authorized_key", {"user": "ada", "key": KEY, "comment": f"ada\n{KEY}"}),
    ("authorized_key", {"user": "ada", "key": KEY, "key_options": f"no-pty\n{KEY}"}),
    *[("cron", {**JOB, field: MORE}) for field in CRON],
    ("debconf", {"name": MORE, "question": "a", "vtype": "string", "value": "b"}),
    ("debconf", {"name": "a", "question": MORE, "vtype": "string", "value": "b"}),
    ("docker_engine", {"source": "docker", "repository_url": "https://packages.invalid\nTrusted: yes", "key": "k"}),
    ("docker_engine", {"source": "docker", "repository_url": "https://packages.invalid", "key": "k", "suite": MORE}),
    ("dpkg_selections", {"name": MORE, "selection": "hold"}),
    ("group", {"name": MORE}),
    ("hostname", {"name": MORE}),
    ("ini_file", {"path": "/x", "section": "a]\n[b", "option": "c", "value": "d"}),
    ("ini_file", {"path": "/x", "section": "a", "option": MORE, "value": "d"}),
    ("locale_gen", {"name": ["de_AT.UTF-8", MORE]}),
    ("modprobe", {"name": MORE, "persistent": "present"}),
    ("modprobe", {"name": "dummy", "params": MORE, "persistent": "present"}),
    ("sysctl", {"name": "vm.swappiness", "value": "1\nkernel.core_pattern=|/tmp/x"}),
    ("user", {"name": MORE, "password": "$6$x"}),
    ("user", {"name": "ada", "generate_ssh_key": True, "ssh_key_comment": f"ada\n{KEY}"}),
]  # fmt: skip
WEB = {"name": "web", "image": "api"}
KEYS: list[tuple[str, dict[str, Any]]] = [
    *[("docker_container", {**WEB, field: {key: "x"}}) for field in ("env", "labels", "sysctls", "log_options")
      for key in ("A=B", "A\nB", "A\n", "", "#A")],
    *[("docker_container", {**WEB, "env": {key: "a\nb"}}) for key in ("PATH", "HOME", "DOCKER_HOST")],
    ("docker_container", {**WEB, "etc_hosts": {"a\n10.0.0.1 b": "10.0.0.2"}}),
    ("docker_container", {**WEB, "etc_hosts": {"a": "10.0.0.2\n10.0.0.1 b"}}),
    ("docker_container", {**WEB, "dns_search_domains": ["a\nnameserver 10.0.0.1"]}),
    ("docker_container", {**WEB, "hostname": "a\nb"}),
    *[(kind, {name: "a", field: {key: "x"}}) for key in ("A=B", "A\nB", "") for field in ("labels", "driver_options")
      for kind, name in (("docker_network", "name"), ("docker_volume", "volume_name"))],
    *[("cron", {"name": name, "job": "x", "env": True}) for name in ("A=B", 'A"', "#A", "A B", "")],
    ("cron", {"name": "A", "job": "a\"b'c", "env": True}),
    ("cron", {**JOB, "user": "root id;"}),
    ("cron", {**JOB, "weekday": "* root id;"}),
    ("nfs_export", {"path": "/srv", "clients": ["10.0.0.1"], "options": "rw)\n/ *(rw"}),
    ("nfs_export", {"path": "/srv", "clients": ["10.0.0.1"], "options": "rw) *(rw"}),
    ("sysctl", {"name": "a=b", "value": "1"}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "args"), KEYS, ids=str)
def test_a_key_is_one(kind: str, args: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        build(kind, args)


@pytest.mark.parametrize(("kind", "args"), WORDS, ids=str)
def test_a_word_is_no_option(kind: str, args: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="-"):
        build(kind, args)


@pytest.mark.parametrize(("kind", "args"), LINES, ids=str)
def test_a_line_is_one(kind: str, args: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"one line|name"):
        build(kind, args)
