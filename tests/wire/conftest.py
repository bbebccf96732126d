"""The real agent, zipped, under a real python3, with a state directory of its own."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Optional

import pytest
from agents import HOST, REAL, RawAgent, with_probe

from mnemo_ops.agent.base.validators import row
from mnemo_ops.transport import answers, bundle
from mnemo_ops.transport.local_pipe import LocalPipe
from mnemo_ops.transport.session import AgentSession, Lock

Open = Callable[..., AgentSession]


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The agents' state directory (they inherit the variable)."""
    path = tmp_path / "state"
    monkeypatch.setenv("MNEMO_STATE_DIR", str(path))
    return path


@pytest.fixture(autouse=True)
def probed(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blob = with_probe(REAL)
    monkeypatch.setattr(bundle, "bundle", lambda: blob)
    for forms in (answers.ACT, answers.READY):
        monkeypatch.setitem(forms, "dawdle", row(steps=answers.amount))  # type: ignore[arg-type]


@pytest.fixture
def open_session() -> Iterator[Open]:
    """Sessions to agents on this machine; closed after the test."""
    with contextlib.ExitStack() as stack:

        def start(lock: Optional[Lock] = None, python: str = sys.executable, argv: Any = None) -> AgentSession:
            command = argv or bundle.command(bundle.bundle(), python)
            return stack.enter_context(AgentSession(HOST, lambda blob: LocalPipe(command), lock))

        yield start


@pytest.fixture
def raw_agent() -> Iterator[Callable[..., RawAgent]]:
    with contextlib.ExitStack() as stack:

        def start(**options: Any) -> RawAgent:
            agent = RawAgent(**options)
            stack.callback(agent.close)
            return agent

        yield start
