"""The Docker engine of this machine: found, started or installed; and the one way to call its client.

Nothing but Docker's own client talks to the engine. A ``dockerd`` that was started here is recognised by its
``--pidfile`` inside the cache directory, so nobody else's engine is ever stopped.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from mnemo_ops.errors import Refused, StepFailed

Report = Callable[[str], None]
QUIET = 5.0  # seconds


def cache_dir() -> Path:
    """``${XDG_CACHE_HOME:-~/.cache}/mnemo_ops``, created when missing."""
    directory = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mnemo_ops"
    directory.mkdir(parents=True, exist_ok=True)
    return directory


@contextmanager
def locked(path: Path, operation: int = fcntl.LOCK_EX) -> Iterator[None]:
    """Hold a ``flock`` on `path` (a directory, or a file that is created), waiting for it.

    :raises BlockingIOError: with ``LOCK_NB`` in `operation`, somebody else holds it.
    """
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDONLY | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, operation)
        yield
    finally:
        os.close(handle)


@contextmanager
def kept() -> Iterator[None]:
    """Meanwhile no :func:`stop_engine_if_ours` of any process stops the engine."""
    with locked(cache_dir() / "engine.use", fcntl.LOCK_SH):
        yield


@contextmanager
def working(report: Report, text: str) -> Iterator[None]:
    """Say what takes long, and every few seconds that it still does."""
    report(text)
    began, ended = time.monotonic(), threading.Event()

    def tell() -> None:
        while not ended.wait(QUIET):
            report(f"  ... {text}: {time.monotonic() - began:.0f} s")

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        ended.set()
        teller.join()


def command(
    argv: Sequence[str], *, input: bytes | None = None, timeout: float = 120, env: Mapping[str, str] | None = None
) -> str:
    """Run a program of this machine and return its standard output.

    :param timeout: seconds.
    :param env: variables added to the environment.
    :raises StepFailed: (exit code 6) it is missing, took too long, or ended with an error; carries its stderr.
    """
    environment = {**os.environ, "LC_ALL": "C.UTF-8", **(env or {})}
    shown = " ".join(argv[:4])
    stdin = subprocess.DEVNULL if input is None else None
    try:
        done = subprocess.run(argv, input=input, stdin=stdin, capture_output=True, timeout=timeout, env=environment)
    except FileNotFoundError as error:
        raise StepFailed(f"`{argv[0]}` is not installed on this machine") from error
    except subprocess.TimeoutExpired as error:
        raise StepFailed(f"`{shown} ...` did not end within {timeout:.0f} s") from error
    if done.returncode:
        output = (done.stderr or done.stdout).decode(errors="replace").strip()
        raise StepFailed(f"`{shown} ...` ended with {done.returncode}: {output[-2000:]}")
    return done.stdout.decode(errors="replace")


def docker(*args: str, input: bytes | None = None, timeout: float = 120) -> str:
    """Run Docker's client and return its standard output.

    :param timeout: seconds.
    :raises StepFailed: (exit code 6) it ended with an error; carries its stderr.
    """
    # the legacy builder needs no buildx plugin, which Debian does not install with docker.io
    return command(["docker", *args], input=input, timeout=timeout, env={"DOCKER_BUILDKIT": "0"})


def answers() -> bool:
    """Whether a Docker engine answers this user."""
    try:
        return bool(docker("version", "--format", "{{.Server.Version}}", timeout=20).strip())
    except StepFailed:
        return False


def ensure_engine(report: Report) -> None:
    """A Docker engine that answers: the running one, else started, else installed with apt and started.

    :raises Refused: (exit code 3) there is none and this user cannot start or install one; the hint says how.
    :raises StepFailed: (exit code 6) the installation failed, or the engine does not come up; carries its log.
    """
    _refuse_remote()
    if answers():
        return
    with locked(cache_dir() / "engine.lock"):
        if answers():
            return
        if not (shutil.which("docker") and shutil.which("dockerd")):
            install("docker.io", report)
        if not answers():  # the package may have started it
            _start(report)


def install(package: str, report: Report, recommended: bool = True) -> None:
    """Install a Debian package on this machine.

    :param recommended: with the packages it recommends.

    :raises Refused: (exit code 3) not root, or no apt here.
    """
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise Refused(f"the lab needs `{package}` on this machine", hint=f"sudo apt-get install {package}")
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    with working(report, f"installing {package}"):
        command(["apt-get", "update", "-q"], timeout=300, env=quiet)
        more = [] if recommended else ["--no-install-recommends"]
        command(["apt-get", "install", "-y", "-q", *more, package], timeout=900, env=quiet)


def stop_engine_if_ours(report: Report) -> None:
    """Stop the ``dockerd`` that was started by hand here, when no container runs on it and nobody uses it."""
    with suppress(BlockingIOError), locked(cache_dir() / "engine.use", fcntl.LOCK_EX | fcntl.LOCK_NB):
        _stop(report)


def _refuse_remote() -> None:
    host = os.environ.get("DOCKER_HOST", "unix://")
    if not host.startswith("unix://"):
        raise Refused(f"DOCKER_HOST is {host}; the lab runs on this machine only", hint="unset DOCKER_HOST")


def _start(report: Report) -> None:
    if os.geteuid() != 0:
        hint = "sudo systemctl start docker, or add yourself to the group docker"
        raise Refused("no Docker engine answers this user", hint=hint)
    if Path("/run/systemd/system").is_dir():
        report("starting docker.service")
        command(["systemctl", "start", "docker.service"])
        return
    report("starting dockerd")
    if _own_pid() is None:
        _pidfile().unlink(missing_ok=True)  # dockerd refuses to start when the number is in use by another program
        with _log().open("wb") as log:
            start = ["setsid", "--fork", "dockerd", f"--pidfile={_pidfile()}"]
            subprocess.run(start, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=True)
    if not _wait(answers, seconds=60):
        tail = _log().read_text(errors="replace")[-2000:]
        raise StepFailed(f"dockerd does not come up: {tail}", hint=f"less {_log()}")


def _stop(report: Report) -> None:
    with locked(cache_dir() / "engine.lock"):
        pid = _own_pid()
        if pid is None or docker("ps", "--quiet").strip():
            return
        report("stopping the Docker engine that the lab started")
        os.kill(pid, signal.SIGTERM)
        if not _wait(lambda: _own_pid() is None, seconds=60):
            raise StepFailed(f"dockerd (pid {pid}) does not stop", hint=f"tail {_log()}")


def _pidfile() -> Path:
    return cache_dir() / "dockerd.pid"


def _log() -> Path:
    return cache_dir() / "dockerd.log"


def _own_pid() -> int | None:
    try:
        pid = int(_pidfile().read_text())
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return None
    return pid if f"--pidfile={_pidfile()}".encode() in arguments else None


def _wait(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True
