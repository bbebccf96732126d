"""Two fresh servers for each playbook, alike in everything but their keys: one for Ansible, one for us."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from ipaddress import ip_network
from pathlib import Path

import pytest
from sides import NAME, Lab, publish

from mnemo_ops.lab import server
from mnemo_ops.lab.debian import RECIPES
from mnemo_ops.lab.engine import docker, kept

IMAGE = "debian13-beside"
# Ansible's apt would install python3-apt by itself, its become_user needs acl, its apt_repository gpg: both have them
_NEEDED = ("python3-apt", "python3-debian", "acl", "cron", "git", "unzip", "gpg")
_PLAIN = RECIPES["debian13"]
RECIPES[IMAGE] = replace(
    _PLAIN, name=IMAGE, packages=(*_PLAIN.packages, *_NEEDED), images={IMAGE: _PLAIN.images["debian13"]}
)
_ALIKE = f"""
hostname {NAME}
echo {NAME} > /etc/hostname
text=$(sed 's/\\b'$1'$/{NAME}/' /etc/hosts)
echo "$text" > /etc/hosts
touch -d 2020-01-01 /var/lib/apt/lists  # as on a server nobody has updated; the image may be a minute old
"""


def _nothing(line: str) -> None:
    pass


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker(pytest.mark.timeout(1200))


@pytest.fixture(scope="session")
def engine() -> Iterator[None]:
    """The Docker engine of this machine is not stopped between two labs."""
    with kept():
        yield


@pytest.fixture
def lab(engine: None, tmp_path: Path) -> Iterator[Lab]:
    """Fresh servers, ``old`` for Ansible and ``new`` for us, of one name; a web server beside them."""
    try:
        servers = server.up(tmp_path, ["old", "new"], _nothing, IMAGE)
        for each in servers:  # whoever reads the host's name finds the same
            docker("exec", server.container(tmp_path, each.name), "sh", "-ec", _ALIKE, "sh", each.name)
        bridge = str(ip_network(f"{servers[0].address}/24", strict=False)[1])
        with _web(bridge, tmp_path / "www") as site:
            yield Lab(tmp_path, site, {each.name: each.address for each in servers})
    finally:
        server.down(tmp_path, _nothing)


@contextmanager
def _web(address: str, folder: Path) -> Iterator[str]:
    """What playbooks download, on the lab's own bridge; its URL."""
    publish(folder)
    with http.server.ThreadingHTTPServer((address, 0), partial(_Quiet, directory=str(folder))) as served:
        thread = threading.Thread(target=served.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://{address}:{served.server_address[1]}"
        finally:
            served.shutdown()
            thread.join()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass
