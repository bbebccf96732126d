"""What an inventory may say to ssh: honoured, meaningless to us, or refused."""

from __future__ import annotations

import pytest

from mnemo_ops.inventory.ssh_arguments import options


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", {}),
        ("-o ProxyJump=ops@jump:2222", {"proxyjump": "ops@jump:2222"}),
        ("-J a,b", {"proxyjump": "a,b"}),
        ("-oProxyJump=a -J b", {"proxyjump": "a"}),
        ("-o 'ProxyCommand=ssh -W %h:%p gate'", {"proxycommand": "ssh -W %h:%p gate"}),
        ("-o 'ProxyCommand ssh -W %h:%p gate'", {"proxycommand": "ssh -W %h:%p gate"}),
        ("-o ProxyCommand='ssh -o User=x -W %h:%p gate'", {"proxycommand": "ssh -o User=x -W %h:%p gate"}),
        ("-F none -i key -l ops -p 2222", {"configfile": "none", "identityfile": "key", "user": "ops", "port": "2222"}),
        ("-C -o ControlMaster=auto -o ControlPersist=60s -o ControlPath=/x/%h", {"compression": "yes"}),
        ('-o UserKnownHostsFile="/a b"', {"userknownhostsfile": "/a b"}),
        ("-o StrictHostKeyChecking=yes -o ServerAliveInterval=30", {}),
    ],
)
def test_what_is_honoured(text: str, found: dict[str, str]) -> None:
    assert options(text) == found


@pytest.mark.parametrize(
    "text",
    ["-v", "-D 1080", "host", "-o", "-o Tunnel=yes", "-o StrictHostKeyChecking=no", "-o ForwardAgent=yes", "-p x", "'"],
)
def test_what_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"ssh|quotation"):
        options(text)
