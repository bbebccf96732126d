"""A row: one thing that follows from a project, why it does, and what overrules it. From rows to datasets."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from mnemo_ops.agent.base.record import dataclass, replace
from mnemo_ops.agent.stack.stack import Dataset, Stack

DATASET = "dataset"
# in the order in which they are shown
TOPICS = (
    *("project", DATASET, "not data", "may be waived", "no backup holds", "writers", "stop order", "health"),
    *("port", "subnet", "fixed name", "around it"),
)


@dataclass(frozen=True)
class Row:
    """:param topic: of :data:`TOPICS`. :param what: the thing. :param value: what it is taken for.
    :param overrule: how ``mnemo.yml``, the inventory or the compose file says otherwise.
    :param dataset: the fields of a :class:`Dataset`, and ``docker``: its volume's name, where that is not ours to say.
    """

    topic: str
    what: str
    value: str
    reason: str
    overrule: str = ""
    dataset: Optional[Mapping[str, str]] = None


_FIELDS = ("name", "kind", "volume", "path", "service")


def datasets_of(rows: Sequence[Mapping[str, Any]]) -> Tuple[Dataset, ...]:
    """What must survive. :param rows: as an action reports them."""
    return tuple(Dataset(**{key: each[key] for key in _FIELDS}) for each in _told(rows))


def names_of(rows: Sequence[Mapping[str, Any]]) -> Dict[str, str]:
    """Compose key -> Docker's name of a volume that is not ours to name, as :class:`Stack` takes it."""
    return {each["volume"]: each["docker"] for each in _told(rows) if each["docker"]}


def derived(stack: Stack, told: Mapping[str, Any]) -> Stack:
    """The stack with what follows from its project. Databases go on running while a set of them is made.

    :param told: the report of an action: ``rows``, ``files`` and ``env_files``.
    """
    datasets = tuple(each for each in datasets_of(told["rows"]) if (each.volume or each.path) not in stack.waived)
    keep = tuple(sorted({each.service for each in datasets if each.kind == "postgres"}))
    names = {**names_of(told["rows"]), **stack.names}
    files = stack.files or tuple(told["files"])
    env_file = stack.env_file or next(iter(told["env_files"]), "")
    return replace(stack, datasets=datasets, keep=keep, names=names, files=files, env_file=env_file)


def _told(rows: Sequence[Mapping[str, Any]]) -> List[Mapping[str, str]]:
    return [each["dataset"] for each in rows if each.get("dataset")]
