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
    from mnemo_ops.ssh import known_hosts_file
    from mnemo_ops.trust import accept, offered_key

    keys = run.report.extra["keys"] = {}
    for host in run.hosts():
        name, found = offered_key(host)
        keys[host.name] = {"type": name, "fingerprint": found}
        if accept_host_key:
            file = known_hosts_file(host)
            before = file.read_bytes() if file.exists() else b""
            accept(host, accept_host_key)
            new = file.read_bytes() != before
            run.report.say(f"{host.name}: {'accepted' if new else 'already accepted:'} {name} {found} in {file}")
            run.report.host(host.name).add("changed" if new else "ok")
        else:
            run.report.say(f"{host.name}: {name} {found}")
            run.report.say(
                "  -> if the server's console shows the same: "
                f"invoke hosts.trust --limit {host.name} --accept-host-key {found}"
            )
