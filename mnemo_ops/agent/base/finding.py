"""A finding of a look that changes nothing: what was seen, where, and what to do about it."""

from __future__ import annotations

from mnemo_ops.agent.base.record import dataclass

REFUSES, WARNS = "refuses", "warns"  # nothing is begun; or it is only told


@dataclass(frozen=True)
class Finding:
    """:param id: of the check (``volume.occupied``): it stays when the sentences get better.

    :param severity: :data:`REFUSES` or :data:`WARNS`. :param where: a host, and what on it; of a host's own look only
        the latter. :param evidence: what was seen there. :param remedy: the command or change to make; may be empty.
    """

    id: str
    severity: str
    where: str
    evidence: str
    remedy: str = ""
