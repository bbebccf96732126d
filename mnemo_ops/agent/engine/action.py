"""Action: a deed of a flow (dump, load, copy, stop, fence): not a state, but with a state's manners."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, ClassVar, Dict, Mapping, Type

from mnemo_ops.agent.base.progress import Deed, Report
from mnemo_ops.agent.base.record import fields

if TYPE_CHECKING:
    from mnemo_ops.agent.machine import Machine

# kind -> module below agent/actions
KINDS: Dict[str, str] = {
    "adopt_lease": "journal",
    "ask_fence": "copy_target",
    "check_exports": "nfs_proof_server",
    "clean_target": "copy_target",
    "clear_proof": "nfs_proof_server",
    "compose_up": "services",
    "compare_cluster": "cluster",
    "drop_fence": "services",
    "drop_key": "transfer",
    "drop_lease": "services",
    "drop_partial": "backup",
    "drop_proof": "nfs_proof_mount",
    "drop_scratch": "swap",
    "end_lease": "leases",
    "fence": "services",
    "fetch": "transfer",
    "finish_deploy": "services",
    "forget": "journal",
    "grant_key": "transfer",
    "hold_proof": "nfs_proof_server",
    "host_keys": "transfer",
    "image_user": "images",
    "list_projects": "adopt",
    "list_runs": "leases",
    "list_sets": "catalogue",
    "load_images": "images",
    "load_set": "load",
    "look_at_locks": "leases",
    "look_at_project": "adopt",
    "look_at_volumes": "volumes",
    "make_key": "transfer",
    "make_set": "backup",
    "mark_target": "copy_target",
    "move_volume": "volume_move",
    "place_restore": "swap",
    "prove_mounts": "nfs_proof_mount",
    "prove_stack": "prove",
    "prune_sets": "prune",
    "pull_images": "images",
    "read_files": "adopt",
    "read_proof": "nfs_proof_server",
    "release": "transfer",
    "remove_file": "journal",
    "restart_stale": "stale_files",
    "return_volume": "volume_move",
    "revoke_key": "transfer",
    "save_images": "images",
    "set_files": "backup",
    "set_restart": "services",
    "settle_fence": "services",
    "sign_set": "backup",
    "show_set": "catalogue",
    "show_stack": "project",
    "smoke": "smoke",
    "start_containers": "services",
    "stop_all": "services",
    "stop_copy": "copy_target",
    "survey": "survey",
    "try_image": "cluster",
    "undo_restore": "swap",
    "undo_swap": "swap",
    "unfence": "services",
    "write_journal": "journal",
}


class Action:
    """A frozen dataclass per kind.

    ``ready`` is the read-only preflight and may be called at any time; ``run`` does the deed, yields :class:`Progress`
    and returns its report (bytes, sha256, counts), of which ``transport/answers.py`` says the form. Running it again
    after it was cut must be safe.
    """

    kind: ClassVar[str]
    last: ClassVar[bool] = False  # of what undoes something: it is done also when what comes before it cannot be

    def __post_init__(self) -> None:
        """:raises Refused: a field is not of the form that its type names (3)."""
        said = _said()
        for one in fields(type(self)):
            if one.type in said.FORMS:
                with said.by(f"{self.kind}.{one.name}"):
                    self.__dict__[one.name] = said.FORMS[one.type](self.__dict__[one.name])

    def ready(self, machine: Machine) -> Report:
        """Facts the deed depends on. :raises Refused: it cannot succeed; says why and what to do (3)."""
        return {}

    def run(self, machine: Machine) -> Deed:
        raise NotImplementedError

    def leaves(self, machine: Machine) -> str:
        """Of what undoes something: what stays when it is never done, and the command for it; empty for nothing."""
        return ""


def _said() -> Any:
    """:mod:`mnemo_ops.agent.base.validators`, which travels with the deeds: most agents are asked for none."""
    return importlib.import_module("mnemo_ops.agent.base.validators")


def action_class(kind: str) -> Type[Action]:
    """The class of a kind of :data:`KINDS`; raises :class:`KeyError` for any other name."""
    module = importlib.import_module("mnemo_ops.agent.actions." + KINDS[kind])
    for value in vars(module).values():
        if isinstance(value, type) and issubclass(value, Action) and value.__dict__.get("kind") == kind:
            return value
    raise KeyError(kind)


def build(kind: str, args: Mapping[str, Any]) -> Action:
    """The action a request of the wire names."""
    return action_class(kind)(**args)
