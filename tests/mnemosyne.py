"""Mnemosyne as ``stacks/mnemosyne`` declares it, for tests that want a whole stack."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mnemo_ops.core.model import Host
from mnemo_ops.stack import definition
from mnemo_ops.stack import settings as owners
from mnemo_ops.stack.settings import Settings

SOURCE = str(Path(__file__).parents[1] / "stacks" / "mnemosyne")


def host(name: str = "old", address: str = "192.0.2.1", **stack: Any) -> Host:
    return Host(name, address, vars={"stack": {"source": SOURCE, **stack}})


def settings(**stack: Any) -> Settings:
    """:param stack: more of the inventory."""
    return owners.settings(host(**stack))


def wired(**stack: Any) -> dict[str, Any]:
    """As actions are told of it."""
    return definition.wire(definition.stack_of(settings(**stack)))
