"""However a deploy is interrupted, its last words say what becomes of the host."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from test_migrate import OLD, Fleet

from mnemo_ops.errors import ChannelLost, Interrupted, MnemoError, StepFailed
from mnemo_ops.execution.report import Report, Style
from mnemo_ops.flows import deploy
from mnemo_ops.flows.engine import Flow


@pytest.mark.parametrize("at", ["finish_deploy", "between"])
@pytest.mark.parametrize(
    ("problem", "raised", "drops"),
    [
        (KeyboardInterrupt(), Interrupted, False),
        (ChannelLost("the connection broke"), ChannelLost, False),
        (StepFailed("it does not start"), StepFailed, True),
    ],
)
def test_who_starts_the_stack_is_said_from_the_lease_on(
    tmp_path: Path, at: str, problem: BaseException, raised: type[MnemoError], drops: bool
) -> None:
    """Ctrl-C while the lease was being written ended with "interrupted" and nothing else."""

    def fail(*_: Any) -> dict[str, Any]:
        raise problem

    fleet: Any = Fleet(**({at: fail} if at == "finish_deploy" else {}))
    flow = Flow(fleet, Report("deploy", Style()), tmp_path)
    with pytest.raises(raised) as caught, deploy._finished_by_the_host(flow, OLD, False):
        fail()
    assert ("starts the stack by itself" in caught.value.message) != drops
    assert any("drop_lease" in each for each in fleet.asked) == drops
