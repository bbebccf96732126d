"""The stack's own directory: compose files, settings, keys. An encrypted archive; its listing stays inside."""

from __future__ import annotations

from typing import List, Sequence

from mnemo_ops.agent.stack.datasets.files import Files
from mnemo_ops.errors import Refused


class Config(Files):
    """All of the directory that is no dataset of its own."""

    listed = False  # a listing names every file

    @property
    def exclude(self) -> Sequence[str]:  # type: ignore[override]
        return self.stack.excluded()

    def through(self, recipients: Sequence[str]) -> List[str]:
        if not recipients:
            raise Refused("the config part holds secrets, and there is no key to encrypt it with")
        return ["age", "-e", *(word for key in recipients for word in ("-r", key))]

    def back(self, archive: str, key: str) -> List[str]:
        return ["age", "-d", "-i", key, archive]
