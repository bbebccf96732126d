"""Explain error codes."""

from __future__ import annotations

import inspect
import textwrap

from mnemo_ops.cli.options import Run, command
from mnemo_ops.errors import MnemoError, UsageError, classes


@command(
    "explain", help={"code": "the code that the error shows, such as MN0500; `all` lists every code"}, only=("verbose",)
)
def explain(run: Run, code: str) -> None:
    """Explain an error: its cause, the state now and the remedy: `mnemo-ops explain MN0500`."""
    known = {cls.code: cls for cls in classes()}
    if code == "all":
        for each, cls in sorted(known.items()):
            run.report.show(f"{each}  exit {cls.exit_code:<3}  {_lines(cls)[0]}")
        return
    if code.upper() not in known:
        raise UsageError(f"there is no error code {code}", hint="`invoke explain all` lists the codes")
    cls = known[code.upper()]
    run.report.show("\n".join([f"{cls.code} {cls.__name__}, exit code {cls.exit_code}", "", *_lines(cls)]))


def _lines(cls: type[MnemoError]) -> list[str]:
    """The docstring without what is said of parameters."""
    text = inspect.cleandoc(cls.__doc__ or "").partition("\n\n:param")[0]
    rows = [textwrap.wrap(row, 78, subsequent_indent="  ", break_on_hyphens=False) or [""] for row in text.splitlines()]
    return [line for row in rows for line in row]
