"""Packages."""

from __future__ import annotations

from collections.abc import Callable

from example import APT, Example, package
from world import World

RPM = ("dnf", "rpm")
DEBCONF = ("debconf-set-selections",)


def broken(world: World) -> None:
    """Unpacked, not configured."""
    package("curl=8.14")(world)
    world.write("var/lib/dpkg/status", world.read("var/lib/dpkg/status").replace("ok installed", "ok unpacked"))


def left_over(world: World) -> None:
    """A library that came with a program which is gone."""
    package("libcurl=8.14")(world)
    world.write("var/lib/dpkg/status", world.read("var/lib/dpkg/status") + "Auto: yes\n")
    world.machine().run(["apt-get", "-y", "install", "zstd"])


def cached(world: World) -> None:
    package()(world)
    for version in ("1.5.2", "1.5.7"):
        world.write(f"var/cache/apt/archives/zstd_{version}_amd64.deb", "x")


def package_file(world: World) -> None:
    package()(world)
    world.write("srv/own.deb", '{"Package": "own", "Version": "1"}')


def admins_policy(world: World) -> None:
    package()(world)
    world.write("usr/sbin/policy-rc.d", "#!/bin/sh\nexit 0\n", 0o755)


def rpms(**installed: str) -> Callable[[World], None]:
    """A host of the other family."""

    def prepare(world: World) -> None:
        world.remove_programs(["apt-get", "apt-cache", "dpkg"])
        world.model("rpms", installed)

    return prepare


def answered(world: World) -> None:
    lines = b"mailer mailer/on boolean false\nmailer mailer/name string a b\nother other/x string y\n"
    world.machine().run(["debconf-set-selections"], data=lines)


EXAMPLES: tuple[Example, ...] = (
    Example("installs", "apt", {"name": ["zstd", "curl"]}, package(), tools=APT),
    Example("one-of-two", "apt", {"name": "zstd,curl", "install_recommends": False}, package("zstd=1.5.7"), tools=APT),
    Example("with-index", "apt", {"name": "zstd", "update_cache": True}, tools=APT),
    Example("index-only", "apt", {"update_cache": True, "cache_valid_time": 3600}, tools=APT),
    Example("version", "apt", {"name": "zstd=1.5.6"}, package(), tools=APT),
    Example("version-pattern", "apt", {"name": "zstd=1.5.7*"}, package("zstd=1.5.6"), tools=APT),
    Example("latest", "apt", {"name": ["zstd"], "state": "latest"}, package("zstd=1.5.6"), tools=APT),
    Example("absent", "apt", {"name": "zstd", "state": "absent"}, package("zstd=1.5.6"), tools=APT),
    Example("purge", "apt", {"name": "zstd", "state": "absent", "purge": True}, package("zstd=1.5.6"), tools=APT),
    Example("nothing-named", "apt", {"name": [], "update_cache": True}, tools=APT),
    Example("pattern", "apt", {"name": "*curl"}, package(), tools=APT),
    Example("pattern-absent", "apt", {"name": "*curl", "state": "absent"}, package("curl=8", "libcurl=8"), tools=APT),
    Example("at-least", "apt", {"name": "zstd>=1.5.7"}, package("zstd=1.5.6"), tools=APT),
    Example("downgrade", "apt", {"name": "zstd=1.5.6", "allow_downgrade": True}, package("zstd=1.5.7"), tools=APT),
    Example("release", "apt", {"name": "zstd", "default_release": "sid", "force": True}, package(), tools=APT),
    Example(
        "only-upgrade",
        "apt",
        {"name": ["zstd", "curl"], "state": "latest", "only_upgrade": True},
        package("zstd=1.5.6"),
        tools=APT,
    ),
    Example("build-dep", "apt", {"name": "zstd", "state": "build-dep"}, package(), tools=APT),
    Example("fixed", "apt", {"name": "zstd", "state": "fixed"}, broken, tools=APT),
    Example("upgrade", "apt", {"upgrade": True, "update_cache": True}, package("zstd=1.5.6", "curl=8.14"), tools=APT),
    Example("upgrade-dist", "apt", {"upgrade": "dist"}, package("zstd=1.5.6"), tools=APT),
    Example("autoremove", "apt", {"autoremove": True, "purge": True}, left_over, tools=APT),
    Example("remove-all", "apt", {"name": "curl", "state": "absent", "autoremove": True}, left_over, tools=APT),
    Example("autoclean", "apt", {"autoclean": True}, cached, tools=APT),
    Example("clean", "apt", {"clean": True}, cached, tools=APT),
    Example("file", "apt", {"deb": "/srv/own.deb"}, package_file, tools=(*APT, "dpkg-deb")),
    Example("quiet", "apt", {"name": "nginx", "policy_rc_d": 101}, admins_policy, tools=APT),
    Example("hold", "dpkg_selections", {"name": "curl", "selection": "hold"}, package("curl=8"), tools=("dpkg",)),
    Example("installs", "package", {"name": ["zstd", "curl"], "use": "apt"}, package("zstd=1.5.7"), tools=APT),
    Example("removed", "package", {"name": "curl", "state": "removed", "use": "apt"}, package("curl=8"), tools=APT),
    Example("with-dnf", "package", {"name": "zstd", "state": "latest"}, rpms(zstd="1.5.6"), tools=RPM),
    Example("all", "package_facts", {}, package("zstd=1.5.7"), tools=APT[:0]),
    Example("all-rpm", "package_facts", {"manager": ["rpm"]}, rpms(zstd="1.5.7")),
    Example("installs", "dnf", {"name": ["zstd", "curl"]}, rpms(zstd="1.5.6"), tools=RPM),
    Example("pattern", "dnf", {"name": "*curl", "state": "installed"}, rpms(), tools=RPM),
    Example("version", "dnf", {"name": "zstd-1.5.6"}, rpms(), tools=RPM),
    Example("latest", "dnf", {"name": "zstd,curl", "state": "latest"}, rpms(zstd="1.5.6"), tools=RPM),
    Example("everything", "dnf", {"name": "*", "state": "latest"}, rpms(zstd="1.5.6"), tools=RPM),
    Example(
        "absent", "dnf", {"name": "curl", "state": "absent", "autoremove": True}, rpms(curl="8", libcurl="8"), tools=RPM
    ),
    Example("file", "dnf", {"name": "/srv/own-1.rpm", "disable_gpg_check": True}, rpms(), tools=RPM),
    Example("index-only", "dnf", {"update_cache": True}, rpms(), tools=("dnf",)),
    Example(
        "answers",
        "debconf",
        {"name": "mailer", "question": "mailer/kind", "vtype": "select", "value": "No mail"},
        tools=DEBCONF,
    ),
    Example(
        "another-answer",
        "debconf",
        {"name": "mailer", "question": "mailer/on", "vtype": "boolean", "value": True, "unseen": True},
        answered,
        tools=DEBCONF,
    ),
    Example(
        "password",
        "debconf",
        {"name": "mailer", "question": "mailer/password", "vtype": "password", "value": "a-secret"},
        tools=DEBCONF,
    ),
    Example("only-looks", "debconf", {"name": "mailer"}, answered),
)
