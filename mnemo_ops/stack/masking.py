"""What of a stack's env file must not show, and what messages are full of."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mnemo_ops.agent.base import secrecy
from mnemo_ops.stack import definition
from mnemo_ops.stack.env_file import read
from mnemo_ops.stack.settings import Settings, compose_names


def secrets_of(chosen: Settings, names: Iterable[str] = ()) -> tuple[list[str], list[str]]:
    """Values of the env file on this machine that nobody may see printed, and variables whose values cannot be hidden.

    :param names: more of what messages are full of: hosts, users. Both are empty when the file is not here.
    """
    if not Path(chosen.env_file).is_file():
        return [], []
    rows = read(chosen.env_file)
    words = secrecy.ordinary((*names, *names_of(chosen)), rows)
    found = secrecy.secrets(rows)
    open_ = [name for name, value in found if not secrecy.can_hide(value, words) and not value.isdigit()]
    return [value for _, value in found if secrecy.can_hide(value, words)], list(dict.fromkeys(open_))


def names_of(chosen: Settings) -> list[str]:
    """What messages about a stack are full of: its name, paths, volumes, services and containers."""
    datasets = [name for row in definition.datasets(chosen) for name in (row.name, row.volume, row.service) if name]
    services = compose_names(chosen, "services")
    containers = [
        each["container_name"] for each in services.values() if isinstance(each, dict) and "container_name" in each
    ]
    own = [chosen.project, chosen.directory, chosen.store]
    return [*filter(None, own), *chosen.volumes, *datasets, *map(str, (*services, *containers))]
