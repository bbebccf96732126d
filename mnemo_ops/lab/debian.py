"""The server images: plain Debian with systemd and sshd, without Docker, which the product installs itself."""

from __future__ import annotations

from pathlib import Path

from mnemo_ops.lab.image import Recipe

_PACKAGES = ("systemd", "systemd-sysv", "dbus", "openssh-server", "sudo", "ca-certificates",
             "iproute2", "iptables", "procps", "kmod", "e2fsprogs")  # fmt: skip

_COMMANDS = (
    "useradd --create-home --shell /bin/bash ops",
    "echo 'ops ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/ops && chmod 0440 /etc/sudoers.d/ops",
    # a server makes its own identity at its first boot
    "rm -f /etc/ssh/ssh_host_* && : > /etc/machine-id",
    # the kernel is this machine's: a server neither loads modules into it nor tunes it while booting
    "systemctl mask systemd-modules-load.service systemd-sysctl.service",
)

# systemd learns from `container` where it runs, and halts in order on that signal
_IMAGE = ("ENV container=docker", "STOPSIGNAL SIGRTMIN+3", 'CMD ["/usr/local/sbin/mnemo-lab-init"]')


def _server(name: str, suite: str, *more: str) -> Recipe:
    return Recipe(
        name=name,
        suite=suite,
        variant="apt",
        packages=(*_PACKAGES, *more),
        tree=Path(__file__).parent / "files" / "server",
        commands=_COMMANDS,
        images={name: _IMAGE},
    )


RECIPES = {
    recipe.name: recipe
    for recipe in (
        _server("debian13", "trixie", "python3"),
        _server("debian12", "bookworm", "python3"),
        _server("debian13-nopython", "trixie"),
    )
}
