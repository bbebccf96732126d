"""First contact with a host: accepting its key on purpose."""

from __future__ import annotations

from mnemo_ops.cli.options import Run, command


@command(
    "hosts.trust",
    help={"accept_host_key": "the fingerprint you compared, SHA256:..."},
    only=("inventory", "limit", "json", "verbose"),
)
def trust(run: Run, accept_host_key: str = "") -> None:
    """Accept a host's key: prints its fingerprint, adds it when you name the same one."""
    from mnemo_ops.trust import accept, offered_key

    for host in run.hosts():
        name, found = offered_key(host)
        if accept_host_key:
            path = accept(host, accept_host_key)
            run.report.say(f"{host.name}: accepted {name} {found} into {path}")
            run.report.host(host.name).add("changed")
        else:
            run.report.say(f"{host.name}: {name} {found}")
            run.report.say(
                "  -> if the server's console shows the same: "
                f"invoke hosts.trust --limit {host.name} --accept-host-key {found}"
            )
