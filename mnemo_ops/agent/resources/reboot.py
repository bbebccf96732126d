"""reboot: the host starts again, and the play goes on when it is back."""

from __future__ import annotations

from typing import ClassVar, List, Mapping, Optional

from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.engine.resource import Resource


@dataclass(frozen=True)
class Reboot(Resource):
    """A deed the controller performs: it reboots the host, waits until another boot answers, and connects again.

    :param pre_reboot_delay: seconds until it goes down; shutdown(8) knows whole minutes: rounded down to them.
    :param post_reboot_delay: seconds to wait after it went down, before the first try.
    :param reboot_timeout: seconds it may take to come back, and again until ``test_command`` succeeds.
    :param connect_timeout: seconds each try to connect may take.
    :param msg: what users who are logged in are told.
    :param test_command: what must succeed before the play goes on.
    :param boot_time_command: prints something else after each boot.
    :param reboot_command: what reboots it; default: shutdown(8).
    :param search_paths: where the program of ``reboot_command`` is looked for.
    """

    kind: ClassVar[str] = "reboot"
    on_controller: ClassVar[bool] = True
    ALIASES: ClassVar[Mapping[str, str]] = {
        "pre_reboot_delay_sec": "pre_reboot_delay",
        "post_reboot_delay_sec": "post_reboot_delay",
        "reboot_timeout_sec": "reboot_timeout",
        "connect_timeout_sec": "connect_timeout",
    }
    EXAMPLE: ClassVar[str] = """\
- name: into the new kernel
  reboot: {reboot_timeout: 900, msg: a new kernel}
"""

    pre_reboot_delay: int = 0
    post_reboot_delay: int = 0
    reboot_timeout: int = 600
    connect_timeout: Optional[int] = None
    msg: str = "Reboot initiated by Ansible"
    test_command: str = "whoami"
    boot_time_command: str = "cat /proc/sys/kernel/random/boot_id"
    reboot_command: Optional[str] = None
    search_paths: Optional[List[str]] = None
