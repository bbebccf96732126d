"""The models without a process for each call: what their stubs would say, in a hundredth of the time.

Only a model behind a name of a world is called so; scripts, real programs and whatever streams are processes as ever.
"""

from __future__ import annotations

import importlib
import io
import os
import shutil
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mnemo_ops.agent.machine import programs

MODELS = Path(__file__).parent / "models"
STUBS: dict[str, str] = {}  # path of a stub -> the model behind it
_alone = threading.Lock()  # the standard streams and the environment are those of the whole process


class Called:
    """A model that was called, in the place of the process it would be."""

    pid = 0

    def __init__(self, model: str, argv: list[str], env: Mapping[str, str]) -> None:
        self.model, self.argv, self.env, self.returncode = model, argv, env, 0

    def communicate(self, data: bytes | None = None, timeout: float | None = None) -> tuple[bytes, bytes]:
        out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
        before = sys.stdin, sys.stdout, sys.stderr
        with _alone, pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "environ", dict(self.env))
            sys.stdin, sys.stdout, sys.stderr = io.TextIOWrapper(io.BytesIO(data or b""), "utf-8"), out, err
            try:
                importlib.import_module(self.model).main(self.argv[0].rsplit("/", 3)[0], list(self.argv))
            except SystemExit as end:
                self.returncode = end.code if isinstance(end.code, int) else int(end.code is not None)
            except BaseException:
                self.returncode = 1
                traceback.print_exc()
            finally:
                sys.stdin, sys.stdout, sys.stderr = before
        return out.buffer.getvalue(), err.buffer.getvalue()  # type: ignore[attr-defined]


def _start(argv: Sequence[str], *, env: Mapping[str, str] | None = None, **more: Any) -> Any:
    found = shutil.which(argv[0], path=(env or {}).get("PATH"))
    path = Path(found) if found else None
    model = STUBS.get(str(path.readlink())) if path is not None and path.is_symlink() else None
    if model is None or more.get("stdout") != subprocess.PIPE or more.get("cwd") is not None:
        return subprocess.Popen(argv, env=env, **more)
    return Called(model, [str(path), *argv[1:]], os.environ if env is None else env)


@contextmanager
def called() -> Iterator[None]:
    """Meanwhile programs that are models are called, not started."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [*sys.path, str(MODELS)])
        patch.setattr(programs, "subprocess", SimpleNamespace(**{**vars(subprocess), "Popen": _start}))
        yield
