"""include_vars: variables of a file of the controller."""

from __future__ import annotations

from typing import ClassVar, List, Mapping, Optional

from mnemo_ops.agent.base.record import dataclass, field
from mnemo_ops.agent.engine.resource import Resource


@dataclass(frozen=True)
class IncludeVars(Resource):
    """Variables of a file, or of all files of a directory, for this host from here on.

    :param file: YAML or JSON file, looked up in the role's ``vars`` and beside the playbook.
    :param dir: a directory, all files of which are read in the order of their names.
    :param name: one variable that holds them all, instead of one each.
    :param depth: how deep to go into the directory; 0: all of it.
    :param files_matching: only files whose name this regular expression fits.
    :param ignore_files: names of files to leave out.
    :param extensions: of the files to read.
    :param ignore_unknown_extensions: leave other files out instead of failing.
    """

    kind: ClassVar[str] = "include_vars"
    on_controller: ClassVar[bool] = True
    ALIASES: ClassVar[Mapping[str, str]] = {}
    FREE_FORM: ClassVar[str] = "file"
    EXAMPLE: ClassVar[str] = """\
- name: names that differ between systems
  include_vars: "{{ item }}"
  with_first_found: ["{{ ansible_distribution }}.yml", "{{ ansible_os_family }}.yml", default.yml]
"""

    file: Optional[str] = None
    dir: Optional[str] = None
    name: Optional[str] = None
    depth: int = 0
    files_matching: Optional[str] = None
    ignore_files: List[str] = field(default_factory=list)
    extensions: List[str] = field(default_factory=lambda: ["yaml", "yml", "json"])
    ignore_unknown_extensions: bool = False

    def __post_init__(self) -> None:
        if (self.file is None) == (self.dir is None):
            raise ValueError("give either file or dir")
