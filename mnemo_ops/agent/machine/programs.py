"""Programs: argument vectors, no shell; messages in English; nothing waits for ever."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import subprocess
import time
from typing import IO, Any, Callable, Dict, Generator, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

from mnemo_ops.agent.base.progress import Deed, Progress
from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.machine.reading import CHUNK
from mnemo_ops.agent.machine.writing import Writing
from mnemo_ops.errors import Broken, CommandFailed

SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

PIPE_SIZE = 1031  # F_SETPIPE_SZ of fcntl(2)
SMALL = 1 << 14  # bytes; what is larger goes into a pipe as it is, without being copied once more

Tick = Callable[[], None]


@dataclass(frozen=True)
class Completed:
    """A program that ended. ``out`` and ``err`` are decoded as UTF-8 with replacement."""

    argv: Tuple[str, ...]
    rc: int
    out: str
    err: str


class Conversation:
    """A program that is asked line by line (psql): question in, everything up to an end mark out."""

    MARK = "mnemo-end-of-answer"

    def __init__(self, process: subprocess.Popen[bytes], argv: Sequence[str], errors: IO[bytes]) -> None:
        self._process, self._argv, self._errors = process, argv, errors

    def query(self, text: str, timeout: Optional[float] = None) -> Any:
        """The JSON value of a query. Errors as :meth:`ask`."""
        return json.loads(self.ask(text, timeout) or "null")

    def ask(self, text: str, timeout: Optional[float] = None) -> str:
        """What psql prints for this SQL; ``timeout`` in seconds.

        :raises CommandFailed: it ended instead of answering (6). :raises Broken: it does not answer in time (6).
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        name, before = os.path.basename(self._argv[0]), os.fstat(self._errors.fileno()).st_size
        with contextlib.suppress(BrokenPipeError):  # its last words say more than the broken pipe
            self._process.stdin.write(f"{text}\n\\echo {self.MARK}\n".encode())
            self._process.stdin.flush()
        end, late = f"\n{self.MARK}\n".encode(), None if timeout is None else time.monotonic() + timeout
        said = bytearray(b"\n")
        while not said.endswith(end):
            left = None if late is None else max(0.0, late - time.monotonic())
            if not select.select([self._process.stdout], [], [], left)[0]:
                self._process.kill()
                raise Broken(f"{name} did not answer within {timeout:.0f} s")
            chunk = os.read(self._process.stdout.fileno(), CHUNK)
            if not chunk:
                code = self._process.wait()
                self._errors.seek(before)
                why = self._errors.read().decode("utf-8", "replace").strip() or "no output"
                raise CommandFailed(f"{name} {_verb(self._argv)}ended with {code}: {why[-2000:]}")
            said += chunk
        return said[: -len(end)].decode("utf-8", "replace").strip()

    def kill(self) -> None:
        """Whoever waits for an answer hears that it ended."""
        self._process.kill()

    def __enter__(self) -> Conversation:
        return self

    def __exit__(self, *_: object) -> None:
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        self._process.wait()


class Programs(Writing):
    """``ask`` reads, ``run`` changes, ``pipe`` and ``moving`` move data, ``talk`` holds a conversation."""

    search_path: str
    variables: Mapping[str, str] = {}  # the environment the task at hand gives its programs

    def which(self, name: str) -> Optional[str]:
        """Full path of a program, or ``None``: the tool is not installed."""
        if "/" in name:
            return name if _runs(name) else None
        places = (os.path.join(directory, name) for directory in self.environment()["PATH"].split(":") if directory)
        return next(filter(_runs, places), None)

    def environment(self, extra: Optional[Mapping[str, str]] = None) -> Dict[str, str]:
        """A small, predictable environment: messages in English, nothing inherited but the user."""
        base = {key: os.environ[key] for key in ("HOME", "USER", "LOGNAME") if key in os.environ}
        base.update({"PATH": self.search_path, "LC_ALL": "C.UTF-8", "LANG": "C.UTF-8"})
        base.update(self.variables)
        base.update(extra or {})
        return base

    def _call(
        self,
        argv: Sequence[str],
        data: Optional[bytes],
        env: Optional[Mapping[str, str]],
        timeout: float,
        cwd: Optional[str],
        check: bool,
    ) -> Completed:
        try:
            process = subprocess.Popen(
                list(argv),
                stdin=subprocess.PIPE if data is not None else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=self.environment(env),
                cwd=cwd,
                start_new_session=True,  # a signal to the agent must not cut a package manager in half
            )
        except FileNotFoundError:
            raise Broken(f"{argv[0]} is not installed on this host") from None
        try:
            out, err = process.communicate(data, timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise Broken(f"{argv[0]} did not answer within {timeout:.0f} s") from None
        done = Completed(
            tuple(argv), process.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace")
        )
        if check and done.rc != 0:
            said = (done.err.strip() or done.out.strip() or "no output")[-2000:]
            raise CommandFailed(f"{os.path.basename(argv[0])} {_verb(argv)}ended with {done.rc}: {said}")
        return done

    def ask(
        self,
        argv: Sequence[str],
        *,
        data: Optional[bytes] = None,
        env: Optional[Mapping[str, str]] = None,
        timeout: float = 60.0,
        check: bool = True,
    ) -> Completed:
        """Run a program that only reads; ``timeout`` in seconds.

        :raises Broken: it is missing or does not answer (6). :raises CommandFailed: it ended with an error (6).
        """
        return self._call(argv, data, env, timeout, None, check)

    def run(
        self,
        argv: Sequence[str],
        *,
        data: Optional[bytes] = None,
        env: Optional[Mapping[str, str]] = None,
        timeout: float = 3600.0,
        cwd: Optional[str] = None,
        check: bool = True,
    ) -> Completed:
        """Run a program that changes something; ``timeout`` in seconds. Errors as :meth:`ask`."""
        self.writing()
        return self._call(argv, data, env, timeout, cwd, check)

    def run_each(
        self, argvs: Sequence[Sequence[str]], *, timeout: float = 3600.0, check: bool = True
    ) -> List[Completed]:
        """As :meth:`run`, several side by side; the first error once all have ended."""
        from concurrent.futures import ThreadPoolExecutor  # few need it

        self.writing()
        if not argvs:
            return []
        with ThreadPoolExecutor(len(argvs)) as pool:
            running = [pool.submit(self._call, argv, None, None, timeout, None, check) for argv in argvs]
        return [one.result() for one in running]

    def talk(self, argv: Sequence[str]) -> Conversation:
        """Start a program to be asked line by line; use as a context manager, it ends with the block.

        :raises Broken: it is missing (6).
        """
        errors = self.spool()  # a pipe that nobody empties would stop it
        try:
            process = subprocess.Popen(
                list(argv),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=self.environment(),
                start_new_session=True,  # as in _call
            )
        except FileNotFoundError:
            errors.close()
            raise Broken(f"{argv[0]} is not installed on this host") from None
        _widen(process.stdout)
        return Conversation(process, argv, errors)

    def pipe(
        self,
        argv: Sequence[str],
        *,
        source: Optional[IO[bytes]] = None,
        sink: Optional[IO[bytes]] = None,
        env: Optional[Mapping[str, str]] = None,
        tick: Tick = lambda: None,
    ) -> str:
        """Run a program that moves data: stdin from ``source``, stdout into ``sink`` (files), no size in memory.

        ``tick`` is called about four times a second while it runs; what it raises ends the program.

        :returns: what it said on stderr. :raises CommandFailed: it ended with an error (6).
        """
        running = self._moving(argv, source, sink, env)
        while True:
            try:
                next(running)
                tick()
            except StopIteration as end:
                return str(end.value)
            except BaseException:
                running.close()
                raise

    def moving(
        self,
        argv: Sequence[str],
        path: str,
        done: int,
        total: int,
        note: str,
        *,
        source: Optional[IO[bytes]] = None,
        sink: Optional[IO[bytes]] = None,
        into: Sequence[str] = (),
    ) -> Deed:
        """Run a program that writes ``path``, yield how far it is; ``done``, ``total`` in bytes. As :meth:`pipe`.

        :param into: a program that writes what the first one says, where that does not tell of a full disk.
        """

        def written() -> int:
            found = self.stat(path)
            return done + (found.size if found else 0)

        for _ in self._moving(argv, source, sink, None, into=into):
            yield Progress(written(), total, note)
        return {}

    def watched(
        self, argv: Sequence[str], done: Callable[[], int], total: int, note: str, fine: Sequence[int] = (0,)
    ) -> Deed:
        """As :meth:`moving`, asking ``done()`` how far it is. :param fine: exit codes that are no error."""
        for _ in self._moving(argv, None, None, None, fine):
            yield Progress(done(), total, note)
        return {}

    def joined(
        self,
        argv: Sequence[str],
        into: Sequence[str],
        note: str,
        *,
        source: Optional[IO[bytes]] = None,
        done: Callable[[], int] = lambda: 0,
        total: int = 0,
    ) -> Deed:
        """Run two programs, the output of the first being the input of the second; no shell sees their words.

        :raises CommandFailed: one of them ended with an error (6).
        """
        for _ in self._moving(argv, source, None, None, into=into):
            yield Progress(done(), total, note)
        return {}

    def fed(self, argv: Sequence[str], chunks: Iterator[Union[bytes, memoryview]], total: int, note: str) -> Deed:
        """Run a program that reads what ``chunks`` makes; ``total`` in bytes.

        :raises CommandFailed: it ended with an error, or before it had read everything (6).
        """
        here, there = os.pipe()
        _widen(there)
        broken, done, told = False, 0, 0.0
        source, sink = os.fdopen(here, "rb"), os.fdopen(there, "wb", SMALL)
        running = self._moving(argv, source, None, None)
        try:
            with source:
                next(running, None)
            for chunk in chunks:
                sink.write(chunk)
                done += len(chunk)
                if time.monotonic() - told > 0.25:
                    told = time.monotonic()
                    yield Progress(done, total, note)
            sink.close()
        except BrokenPipeError:  # why, the program says itself
            broken = True
        except BaseException:
            running.close()
            raise
        finally:
            with contextlib.suppress(BrokenPipeError):
                sink.close()
        for _ in running:
            yield Progress(done, total, note)
        if broken:
            raise CommandFailed(f"{os.path.basename(argv[0])} ended before it had read everything")
        return {}

    def _moving(
        self,
        argv: Sequence[str],
        source: Optional[IO[bytes]],
        sink: Optional[IO[bytes]],
        env: Optional[Mapping[str, str]],
        fine: Sequence[int] = (0,),
        into: Sequence[str] = (),
    ) -> Generator[None, None, str]:
        """A program that runs for long: yields about four times a second; its value is what it said on stderr.

        :param into: the program that reads what it writes.
        """
        self.writing()
        every = [argv, into] if into else [argv]
        running: List[subprocess.Popen[bytes]] = []
        with self.spool() as errors:
            end: Optional[IO[bytes]] = sink if sink is not None else errors
            try:
                for number, words in enumerate(every, 1):
                    process = subprocess.Popen(
                        list(words),
                        stdin=running[-1].stdout if running else source if source is not None else subprocess.DEVNULL,
                        stdout=end if number == len(every) else subprocess.PIPE,
                        stderr=errors,
                        env=self.environment(env),
                    )
                    if running and running[-1].stdout is not None:
                        running[-1].stdout.close()  # the first is to notice when the second is gone
                    running.append(process)
                for process in running:
                    while process.poll() is None:
                        yield
                        with contextlib.suppress(subprocess.TimeoutExpired):
                            process.wait(0.25)
            except BaseException as problem:
                for process in running:
                    process.kill()
                    process.wait()
                    if process.stdout is not None:
                        process.stdout.close()
                if isinstance(problem, FileNotFoundError):
                    raise Broken(f"{problem.filename} is not installed on this host") from None
                raise
            errors.seek(0)
            said = errors.read().decode("utf-8", "replace").strip()
        ends = [(words, process.returncode) for words, process in zip(every, running)]
        wrong = [(words, code) for words, code in ends if code not in fine]
        # one that writes to a program that is gone only follows it
        wrong = [(words, code) for words, code in wrong if code != -signal.SIGPIPE] or wrong
        if wrong:
            words, code = wrong[0]
            raise CommandFailed(f"{os.path.basename(words[0])} {_verb(words)}ended with {code}: {said[-2000:]}")
        return said


def _widen(pipe: Any) -> None:
    """So that neither end waits for the other."""
    with contextlib.suppress(OSError):
        fcntl.fcntl(pipe, PIPE_SIZE, CHUNK)


def _runs(path: str) -> bool:
    return os.path.isfile(path) and os.access(path, os.X_OK)


def _verb(argv: Sequence[str]) -> str:
    """The sub-command for an error message; never options or values, they may be secret."""
    return f"{argv[1]} " if len(argv) > 1 and argv[1].replace("-", "").isalpha() and len(argv[1]) < 20 else ""
