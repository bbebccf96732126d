"""Ansible's outcomes as lines of JSON in the file ``$BESIDE_OUTCOMES``: where the task stands, what became of it."""

from __future__ import annotations

import json
import os
from pathlib import Path

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
    name: outcomes
    type: aggregate
    short_description: outcomes of tasks as lines of JSON
    description: For the side-by-side test.
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "outcomes"

    def _write(self, result, status):
        task = result._task
        row = {"where": task.get_path(), "task": task.name, "action": task.action, "status": status}
        with Path(os.environ["BESIDE_OUTCOMES"]).open("a") as file:
            file.write(json.dumps({**row, "msg": str(result._result.get("msg", ""))[:2000]}) + "\n")

    def v2_runner_on_ok(self, result):
        self._write(result, "changed" if result._result.get("changed") else "ok")

    def v2_runner_on_failed(self, result, ignore_errors=False):
        self._write(result, "ignored" if ignore_errors else "failed")

    def v2_runner_on_skipped(self, result):
        self._write(result, "skipped")

    def v2_runner_on_unreachable(self, result):
        self._write(result, "unreachable")
