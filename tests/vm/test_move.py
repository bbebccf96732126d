"""A volume moves to a real NFS server, which takes root for nobody, and back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from outcomes import Host, Lab, Said, changed

pytestmark = pytest.mark.soak  # it needs an NFS server of its own

KEY, GRAPH, EXPORT = "lightrag_data", "mnemosyne_lightrag_data", "/srv/nfs/lightrag_data"
SECONDS = 900  # for a command under emulation
WHERE = f"docker volume inspect --format '{{{{.Mountpoint}}}}' {GRAPH}"
CONTENT = f"""
docker volume create --label mnemo.role={KEY} {GRAPH} && cd "$({WHERE})"
mkdir -m 700 below; head -c 3M /dev/urandom > below/vectors; ln below/vectors same; ln -s nowhere link
echo text > 'a b'; chmod 600 below/vectors; chown -hR 999:999 .; touch -d 2001-02-03T04:05:06 'a b'
"""
SHOWN = (
    "find . ! -name '.mnemo-*' -printf '%p %y %m %U:%G %n %l ' "
    r"\( -type f -printf '%s %TY%Tm%Td ' -exec sha256sum {} \; -o -printf '\n' \) | sort"
)


def inventory(machines: Lab, name: str, volumes: dict[str, Any]) -> Path:
    def change(everything: dict[str, Any]) -> None:
        nfs = {"server": "storage", "clients": ["app"], "exports": {KEY: {"owner": 999}}}
        everything["vars"] = {**everything.get("vars", {}), "nfs": nfs, "stack": {"volumes": volumes}}

    return machines.inventory_with(name, change)


@pytest.fixture(scope="module")
def lent(machines: Lab) -> Iterator[Path]:
    """An inventory whose graph is to lie on the server that lends its directory; nothing of it is left afterwards."""
    storage, app = Host(machines.root, "storage"), Host(machines.root, "app")
    for host in (storage, app):  # an initrd nobody boots takes minutes under emulation
        host.sh("sed -i s/yes/no/ /etc/initramfs-tools/update-initramfs.conf")
    path = inventory(machines, "lent", {KEY: {"type": "nfs", "server": "storage"}})
    said = machines.run("nfs-setup", "-i", str(path), "--json", timeout=SECONDS)
    assert said.code == 0, str(said)
    app.sh(CONTENT)
    yield path
    app.sh(f"docker volume ls -q | grep {KEY} | xargs -r docker volume rm; rm -rf /var/lib/mnemo_ops/moves")
    storage.sh("rm -f /etc/exports.d/mnemo-*; exportfs -ra; systemctl disable --now nfs-server; rm -rf /srv/nfs")
    storage.sh("rm -f /etc/nfs.conf.d/mnemo.conf")


def move(machines: Lab, path: Path, *words: str) -> Said:
    fixed = ("--volume", KEY, "--limit", "app", "-i", str(path), "--yes", "--json")
    return machines.run("volumes", *fixed, *words, timeout=SECONDS)


def left(app: Host) -> str:
    return app.sh(
        "grep ' nfs4 ' /proc/mounts; ls -d /run/mnemo-move-* 2>/dev/null; docker volume ls -q -f label=mnemo.staged"
    )


def test_what_could_not_keep_its_owner_is_refused(machines: Lab, storage: Host, app: Host, lent: Path) -> None:
    where = app.sh(WHERE)
    app.sh(f"touch {where}/of-root")
    said = move(machines, lent, "--to", "nfs")
    assert said.code == 3 and "of-root" in said.error["message"] and "999:999" in said.error["message"], str(said)
    assert storage.sh(f"ls -A {EXPORT}") == "" and left(app) == ""
    app.sh(f"rm {where}/of-root")


def test_to_the_server_and_back_with_what_was_written(machines: Lab, storage: Host, app: Host, lent: Path) -> None:
    local = f"cd $({WHERE}) && {SHOWN}"
    before = app.sh(local)
    said = move(machines, lent, "--to", "nfs")
    assert said.code == 0 and said.document["moved"], str(said)
    assert storage.sh(f"cd {EXPORT} && {SHOWN}") == before and left(app) == ""
    options = app.sh(f"docker volume inspect --format '{{{{.Options.type}}}} {{{{.Options.device}}}}' {GRAPH}")
    assert options == f"nfs :{EXPORT}"
    again = move(machines, lent, "--to", "nfs")
    assert again.code == 0 and changed(again)["app"] == 0, str(again)
    storage.sh(f"cd {EXPORT} && echo more > since && chown 999:999 since && rm link")
    before = storage.sh(f"cd {EXPORT} && {SHOWN}")
    said = move(machines, inventory(machines, "back", {}), "--undo")
    assert said.code == 0, str(said)
    assert app.sh(local) == before and "since" in before and left(app) == ""
