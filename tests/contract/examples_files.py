"""Files."""

from __future__ import annotations

from example import Example, controller_file, files, links

EXAMPLES: tuple[Example, ...] = (
    Example(
        "directory", "file", {"path": "/srv/a/b", "state": "directory", "mode": "0750", "owner": 1234, "group": 1234}
    ),
    Example("symbolic", "file", {"path": "/srv/x", "mode": "u=rw,g=r,o="}, files(x="text")),
    Example("owner", "file", {"path": "/srv/x", "state": "file", "owner": "old", "group": "adm"}, files(x="text")),
    Example(
        "recurse",
        "file",
        {"path": "/srv", "recurse": True, "state": "directory", "owner": "old", "mode": "u=rwX,go=rX"},
        files(x="1", d__y="2", d__e__z="3"),
    ),
    Example("absent", "file", {"path": "/srv/d", "state": "absent"}, files(d__x="1", d__e__y="2")),
    Example("touch", "file", {"path": "/srv/new", "state": "touch", "mode": "0600"}, deed=True),
    Example(
        "touch-once",
        "file",
        {
            "path": "/srv/new",
            "state": "touch",
            "mode": "0600",
            "access_time": "preserve",
            "modification_time": "preserve",
        },
    ),
    Example("link", "file", {"path": "/srv/link", "state": "link", "src": "target"}, links()),
    Example(
        "relink", "file", {"path": "/srv/link", "state": "link", "src": "target", "owner": 77}, links(link="other")
    ),
    Example("dangling", "file", {"path": "/srv/link", "state": "link", "src": "nowhere", "force": True}),
    Example("link-for-file", "file", {"path": "/srv/other", "state": "link", "src": "target", "force": True}, links()),
    Example("hard", "file", {"path": "/srv/hard", "state": "hard", "src": "target"}, links()),
    Example("text", "copy", {"content": "new\n", "dest": "/srv/x", "mode": "0640", "owner": 1234}, files(x="old\n")),
    Example("data", "copy", {"content": {"a": [1, 2]}, "dest": "/srv/x.json"}),
    Example("large-text", "copy", {"content": "y" * 70000, "dest": "/srv/x"}, files(x="z" * 70000)),
    Example("sent", "copy", {"src": "tls/cert.pem", "dest": "/srv/tls/"}, controller_file(b"\0\xff binary" * 9000)),
    Example("sent-into-directory", "copy", {"src": "cert.pem", "dest": "/srv"}, controller_file(b"one")),
    Example("backup", "copy", {"content": "new", "dest": "/srv/x", "backup": True}, files(x="old")),
    Example("on-host", "copy", {"src": "/srv/a", "dest": "/srv/b", "remote_src": True}, files(a="text", b="other")),
    Example("mode-only", "copy", {"content": "same", "dest": "/srv/x", "mode": "0644"}, files(x="same")),
    Example(
        "only-when-missing",
        "copy",
        {"content": "new", "dest": "/srv/x", "force": False, "mode": "0644"},
        files(x="old"),
    ),
    Example("over-a-link", "copy", {"content": "new", "dest": "/srv/link"}, links(link="target")),
    Example(
        "validated",
        "copy",
        {"content": "good", "dest": "/srv/x", "validate": "looker %s"},
        lambda world: (
            files(x="old")(world),
            world.script("looker", "open(sys.argv[0].rsplit('/', 3)[0] + sys.argv[1])"),
        )[0],
    ),
    Example(
        "rendered",
        "template",
        {"src": "env.j2", "content": "A=1\n", "dest": "/srv/env", "mode": "0600"},
        files(env="A=0\n"),
    ),
    Example("into-directory", "template", {"src": "t/env.j2", "content": "A=1\n", "dest": "/srv/new/"}),
    Example(
        "tree-on-host",
        "copy",
        {"src": "/srv/d", "dest": "/srv/new", "remote_src": True, "mode": "0640", "directory_mode": "0750"},
        files(d__x="1", d__e__y="2"),
    ),
    Example(
        "content-on-host",
        "copy",
        {"src": "/srv/d/", "dest": "/srv/e", "remote_src": True, "owner": 1234},
        files(d__x="1", d__e__y="2", e__x="old", e__own="3"),
    ),
    Example(
        "preserved", "copy", {"src": "/srv/a", "dest": "/srv/b", "remote_src": True, "mode": "preserve"}, files(a="1")
    ),
    Example("through-a-link", "copy", {"content": "new", "dest": "/srv/link", "follow": True}, links(link="target")),
    Example("link-owner", "file", {"path": "/srv/link", "follow": False, "owner": 77}, links(link="target")),
    Example(
        "time",
        "file",
        {"path": "/srv/x", "state": "file", "modification_time": "202001020304.05", "access_time": "preserve"},
        files(x="1"),
    ),
    Example(
        "directory-time",
        "file",
        {"path": "/srv/d", "state": "directory", "modification_time": "2020", "modification_time_format": "%Y"},
    ),
    Example("now", "file", {"path": "/srv/x", "modification_time": "now"}, files(x="1"), deed=True),
    Example(
        "encoded", "template", {"src": "x.j2", "content": "grüße\n", "dest": "/srv/x", "output_encoding": "latin-1"}
    ),
)
