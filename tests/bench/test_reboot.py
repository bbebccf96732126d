"""A reboot as a controller sees it: a server that answers a little longer, refuses, lets nobody in, and is back."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from loopback import Sshd, free_port
from pace import PATIENCE, eventually

SECONDS = 2.5  # it is down for
PROGRAM = Path(sys.executable).with_name("mnemo-ops")


class Machine:
    """The way to an SSH server that goes down when it is told to, and is another boot when it is back.

    :param answers: how many connections are still accepted after it was told. :param shut: seconds after it is back
        in which nobody is let in. :param seconds: it is down for.
    """

    def __init__(self, server: Sshd, folder: Path, answers: int, shut: float = 0.0, seconds: float = SECONDS) -> None:
        self.server, self.folder, self.answers, self.shut, self.seconds = server, folder, answers, shut, seconds
        self.told, self.cut, self.boot = folder / "told", folder / "cut", folder / "boot"
        self.boot.write_text("1")
        self.refused = 0.0  # seconds it was down
        self._over = threading.Event()
        self._open: list[socket.socket] = []
        self._listener = self._listening(free_port())
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run)

    def _listening(self, port: int) -> socket.socket:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(20)
        listener.settimeout(0.01)
        return listener

    def _run(self) -> None:
        accepted = 0
        while not self._over.is_set():
            if self.cut.exists() or (self.told.exists() and accepted >= self.answers):
                self._go_down()
                accepted = 0
            with contextlib.suppress(TimeoutError):
                client = self._listener.accept()[0]
                accepted += self.told.exists()
                if self.told.exists() and accepted >= self.answers:
                    self._listener.close()  # before it is served: the next one is refused for sure
                onward = socket.create_connection(("127.0.0.1", self.server.port))
                self._open += [client, onward]
                threads = [
                    threading.Thread(target=self._pump, args=two) for two in ((client, onward), (onward, client))
                ]
                for thread in threads:
                    thread.start()
                if self._listener.fileno() < 0:
                    self._wait(threads)
        self._end_all()

    def _wait(self, threads: list[threading.Thread]) -> None:
        """The last connection goes on until it is cut or ends."""
        while any(thread.is_alive() for thread in threads) and not self.cut.exists() and not self._over.is_set():
            time.sleep(0.01)

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)
        for one in (source, target):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _end_all(self) -> None:
        self._listener.close()
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._open.clear()

    def _go_down(self) -> None:
        self._end_all()
        began, key = time.monotonic(), self.server.folder / "user_key.pub"
        self._over.wait(self.seconds)
        self.refused += time.monotonic() - began
        for one in (self.told, self.cut):
            one.unlink(missing_ok=True)
        self.boot.write_text(self.boot.read_text() + "1")
        self._listener = self._listening(self.port)
        if self.shut:
            key.rename(key.with_name("away"))
            threading.Timer(self.shut, lambda: key.with_name("away").rename(key)).start()

    def __enter__(self) -> Machine:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Sshd]:
    (tmp_path / "sshd").mkdir()
    with Sshd(tmp_path / "sshd") as running:
        yield running


def started(machine: Machine, text: str, folder: Path) -> subprocess.Popen[str]:
    machine.server.trust(machine.port)
    host = machine.server.host(machine.port)
    words = {
        "ansible_host": host.address,
        "ansible_port": host.port,
        "ansible_user": host.user,
        "ansible_ssh_private_key_file": host.key_file,
        "mnemo_known_hosts_file": host.known_hosts,
        "ansible_python_interpreter": sys.executable,
    }
    lines = "".join(f"      {name}: {value}\n" for name, value in words.items())
    (folder / "hosts.yml").write_text(f"all:\n  hosts:\n    server:\n{lines}")
    (folder / "play.yml").write_text(text)
    environment = {**os.environ, "NO_COLOR": "1", "HOME": str(folder)}
    words_ = [str(PROGRAM), "play", "--playbook", str(folder / "play.yml"), "--inventory", str(folder / "hosts.yml")]
    pipe = subprocess.PIPE
    return subprocess.Popen(words_, cwd=folder, env=environment, stdout=pipe, stderr=pipe, text=True)


def play(machine: Machine, text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    with started(machine, text, folder) as process:
        try:
            out, err = process.communicate(timeout=300)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def script(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(("#!/bin/sh", *lines)))
    path.chmod(0o755)
    return path


# how many connections it still accepts after it was told, and during which question it goes
MOMENTS = {
    "at-once": (0, ""),
    "after-the-first-look": (1, ""),
    "when-its-boot-is-asked": (9, "boot"),
    "when-its-test-is-asked": (0, "test"),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_reboot_is_waited_for_whenever_the_server_goes(moment: str, server: Sshd, tmp_path: Path) -> None:
    answers, during = MOMENTS[moment]
    with Machine(server, tmp_path, answers) as machine:
        once = f"test -e {tmp_path}/gone || {{ touch {tmp_path}/gone {machine.cut}; sleep 5; exit 1; }}"
        told = f"if test -e {machine.told}; then {once}; fi" if during == "boot" else ""
        boot = script(tmp_path / "tell", told, f"cat {machine.boot}")
        works = script(tmp_path / "works", once if during == "test" else "")
        text = f"""\
- hosts: all
  gather_facts: false
  become: false
  tasks:
    - reboot:
        reboot_timeout: 200
        reboot_command: touch {machine.told}
        boot_time_command: {boot}
        test_command: {works}
      register: back
    - copy: {{dest: {tmp_path}/after, content: "{{{{ back.rebooted }}}}"}}
"""
        done = play(machine, text, tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        assert machine.refused >= SECONDS and (tmp_path / "after").read_text() == "True"


def test_nobody_is_let_in_while_it_starts(server: Sshd, tmp_path: Path) -> None:
    """pam_nologin(8): a login that is refused, of a host that let us in before."""
    with Machine(server, tmp_path, 0, shut=2.0) as machine:
        text = f"""\
- hosts: all
  gather_facts: false
  become: false
  tasks:
    - reboot:
        reboot_timeout: 200
        reboot_command: touch {machine.told}
        boot_time_command: cat {machine.boot}
"""
        done = play(machine, text, tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_connection_is_waited_for_when_the_server_goes_after_the_first_look(server: Sshd, tmp_path: Path) -> None:
    with Machine(server, tmp_path, 1) as machine:
        text = f"""\
- hosts: all
  gather_facts: false
  become: false
  tasks:
    - command: touch {machine.told}
    - wait_for_connection: {{timeout: 200}}
    - command: cat {machine.boot}
      register: boot
    - assert: {{that: boot.stdout == "11"}}
"""
        done = play(machine, text, tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr


def test_what_does_not_come_back_is_unreachable_after_its_time(server: Sshd, tmp_path: Path) -> None:
    with Machine(server, tmp_path, 0, seconds=300) as machine:
        text = f"""\
- hosts: all
  gather_facts: false
  become: false
  tasks:
    - reboot:
        reboot_timeout: 1
        reboot_command: touch {machine.told}
        boot_time_command: cat {machine.boot}
"""
        done = play(machine, text, tmp_path)
        assert done.returncode == 4, done.stdout + done.stderr


def test_ctrl_c_ends_the_waiting(server: Sshd, tmp_path: Path) -> None:
    with Machine(server, tmp_path, 0, seconds=300) as machine:
        text = f"""\
- hosts: all
  gather_facts: false
  become: false
  tasks:
    - reboot:
        reboot_command: touch {machine.told}
        boot_time_command: cat {machine.boot}
"""
        with started(machine, text, tmp_path) as process:
            eventually(machine.told.exists)
            time.sleep(1)  # it waits by now
            process.send_signal(signal.SIGINT)
            try:
                _, err = process.communicate(timeout=PATIENCE)
            finally:
                process.kill()
            assert process.returncode == 130, err
