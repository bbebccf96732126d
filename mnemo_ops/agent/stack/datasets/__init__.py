"""The kinds of what must survive, a module each: how large it is, how it is saved, where it lies, how it is loaded."""

from __future__ import annotations

from typing import Dict, Type

from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.stack.containers import Found
from mnemo_ops.agent.stack.datasets.config import Config
from mnemo_ops.agent.stack.datasets.files import Files
from mnemo_ops.agent.stack.datasets.kind import Kind
from mnemo_ops.agent.stack.datasets.postgres import Postgres
from mnemo_ops.agent.stack.stack import Dataset, Stack

KINDS: Dict[str, Type[Kind]] = {"postgres": Postgres, "files": Files, "redis": Files, "config": Config}


def kind_of(machine: Machine, stack: Stack, dataset: Dataset, found: Found) -> Kind:
    """:param found: the containers of the stack."""
    return KINDS[dataset.kind](machine, stack, dataset, found)
