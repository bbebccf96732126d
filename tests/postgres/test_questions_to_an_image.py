"""What an image is asked before anything is stopped, said to a Postgres of this machine."""

from __future__ import annotations

import os
import subprocess
from typing import Any

import pytest
from engine import PROGRAMS, engine

from mnemo_ops.agent.actions import cluster
from mnemo_ops.agent.stack.cluster.earlier import creation

LOCALE: dict[str, Any] = {"encoding": "UTF8", "collate": "C", "ctype": "C", "provider": "c", "locale": "", "rules": ""}


@pytest.mark.parametrize(("collate", "errors"), [("POSIX", 0), ("C-no\n\nsuch", 1)])
def test_it_says_what_it_has_and_which_locale_it_lacks(collate: str, errors: int) -> None:
    with engine() as made:
        place = made.place(PROGRAMS, "tried")
        script = cluster._TRY.replace("/mnemo/data", place.data)
        words = ["/bin/sh", "-c", script, "sh", str(PROGRAMS), "", "-D", place.data, "--locale=C", "--no-sync"]
        who = {"user": place.uid, "group": place.gid, "extra_groups": []} if os.geteuid() == 0 else {}
        asked = (*cluster._ASKED, creation("one", LOCALE), creation("two", {**LOCALE, "collate": collate}))
        said = subprocess.run(
            words,
            input="".join(f"{each}\n\n" for each in asked),
            **{"env": {"LC_ALL": "C", "PATH": "/bin"}, "capture_output": True, "text": True, "check": True, **who},
        )
    assert "plpgsql" in cluster._NAMED.findall(said.stdout)
    assert len(cluster._ERROR.findall(said.stderr)) == errors
