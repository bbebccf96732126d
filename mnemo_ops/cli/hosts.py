"""Accept the SSH host keys of new hosts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mnemo_ops.cli.options import Run, command
from mnemo_ops.errors import MnemoError

if TYPE_CHECKING:
    from mnemo_ops.core.model import Host
    from mnemo_ops.transport.host_keys import Offered


@command(
    "hosts.trust",
    help={"accept_host_key": "fingerprints that you compared with the servers' consoles, SHA256:..., comma separated"},
    only=("inventory", "limit", "json", "verbose"),
)
def trust(run: Run, accept_host_key: str = "") -> None:
    """Show hosts' key fingerprints and accept those you name; jump hosts come first."""
    wanted = [one for one in accept_host_key.split(",") if one]
    run.report.extra["keys"] = keys = dict[str, Any]()
    problems: list[MnemoError] = []
    for host in run.hosts():
        try:
            _trust(run, host, wanted, keys)
        except MnemoError as problem:  # the other hosts can still be seen to
            problems.append(problem)
            run.report.host(host.name).add("failed")
    for other in problems[1:]:
        run.report.say(f"  failed   {other}")
    if problems:
        raise problems[0]


def _trust(run: Run, host: Host, wanted: list[str], keys: dict[str, Any]) -> None:
    """Hop by hop: the next can be asked once the one before is accepted."""
    from mnemo_ops.transport.host_keys import accept, offered_keys

    shown: set[str] = set()
    while True:
        found = offered_keys(host)
        for one in found:
            if one.hop.name in shown:
                continue
            shown.add(one.hop.name)
            keys[one.hop.name] = {"type": one.key.get_name(), "fingerprint": one.fingerprint}
            if not wanted:
                _show(run, one)
            elif one.new or one is found[-1]:
                file = accept(one, wanted)
                how = "accepted" if one.new else "already accepted:"
                run.report.say(f"{one.hop.name}: {how} {one.key.get_name()} {one.fingerprint} in {file}")
                run.report.host(host.name).add("changed" if one.new else "ok")
        if not wanted or not found[-1].new:
            return


def _show(run: Run, one: Offered) -> None:
    run.report.say(f"{one.hop.name}: {one.key.get_name()} {one.fingerprint}{'' if one.new else ' (accepted)'}")
    if one.new:
        run.report.say(
            "  -> if the server's console shows the same: "
            f"invoke hosts.trust --limit {one.hop.inventory_name} --accept-host-key {one.fingerprint}"
        )
