"""A directory of files, as an archive that is compared with its listing. Redis, stopped in good order, is one, too."""

from __future__ import annotations

import json
from typing import List, Sequence

from mnemo_ops.agent.base.progress import Deed, Progress
from mnemo_ops.agent.files import listing as tree
from mnemo_ops.agent.stack.datasets.kind import Facts, Key, Kind
from mnemo_ops.agent.stack.manifest import Saved, listing_of
from mnemo_ops.agent.stack.packing import pack, unpack
from mnemo_ops.agent.stack.restore_record import AFTER, sibling
from mnemo_ops.agent.stack.stack import root
from mnemo_ops.errors import VerificationFailed


class Files(Kind):
    """Of a volume, or below the stack's directory."""

    exclude: Sequence[str] = ()

    def size(self) -> int:
        return int(self.now()["bytes"])

    def now(self) -> Facts:
        return tree.extent(self.machine, root(self.machine, self.stack, self.dataset), self.exclude)

    def place(self, facts: Facts) -> str:
        return root(self.machine, self.stack, self.dataset)

    def save(self, directory: str, recipients: Sequence[str]) -> Deed:
        name, where = self.dataset.name, root(self.machine, self.stack, self.dataset)
        path, total = f"{directory}/{Saved(name, {'kind': self.dataset.kind}).file}", self.size()
        rows = yield from pack(self.machine, where, self.exclude, self.through(recipients), path, total, name)
        listing = "".join(json.dumps(row, sort_keys=True) + "\n" for row in rows).encode()
        if self.listed:
            self.machine.write(f"{directory}/{listing_of(name)}", listing, 0o600)
        return {**tree.summary(rows), "kind": self.dataset.kind, "attributes": True}  # older sets were made without

    listed = True

    def through(self, recipients: Sequence[str]) -> List[str]:
        """The program that writes the archive."""
        return ["zstd", "-q", "-T0", "-3"]

    def back(self, archive: str, key: str) -> List[str]:
        """The program that reads it again."""
        return ["zstd", "-q", "-d", "-c", archive]

    def load(self, saved: Saved, directory: str, stamp: str, key: Key) -> Deed:
        name, beside = self.dataset.name, sibling(self.place(saved.facts), AFTER, stamp)
        self.machine.remove(beside)
        self.machine.mkdir(beside, 0o755)
        yield from unpack(self.machine, self.back(f"{directory}/{saved.file}", key.file), beside, f"unpacking {name}")
        yield Progress(note=f"comparing {name}")
        lines = saved.differences(self.machine, directory, beside)
        if lines:
            raise VerificationFailed(f"{name} differs from the manifest: " + "; ".join(lines))
        return {}
