"""Edits of text files, and what only looks at files."""

from __future__ import annotations

from example import Example, files

INI = "[main]\nkey=1\n#other=2\n\n[last]\n"

EXAMPLES: tuple[Example, ...] = (
    Example("added", "lineinfile", {"path": "/srv/x", "line": "new"}, files(x="old\n")),
    Example(
        "replaced",
        "lineinfile",
        {"path": "/srv/x", "regexp": "^#?(k)=", "line": "\\1=1", "backrefs": True, "mode": "0640", "owner": 1234},
        files(x="a\n#k=0\nb\n"),
    ),
    Example(
        "removed", "lineinfile", {"path": "/srv/x", "search_string": "a", "state": "absent"}, files(x="a\nb\nba\n")
    ),
    Example("created", "lineinfile", {"path": "/srv/new/x", "line": "a", "create": True, "mode": "0600"}),
    Example(
        "mode-only",
        "lineinfile",
        {"path": "/srv/x", "line": "a", "mode": "u=rw,g=r,o=", "backup": True},
        files(x="a\n"),
    ),
    Example("backup", "lineinfile", {"path": "/srv/x", "line": "b", "backup": True}, files(x="a\n")),
    Example(
        "validated",
        "lineinfile",
        {"path": "/srv/x", "line": "b", "validate": "looker %s"},
        lambda world: (
            files(x="a\n")(world),
            world.script("looker", "open(sys.argv[0].rsplit('/', 3)[0] + sys.argv[1])"),
        )[0],
    ),
    Example("not-at-rest", "replace", {"path": "/srv/x", "regexp": "^a", "replace": "aa"}, files(x="a\n"), deed=True),
    Example("matches", "replace", {"path": "/srv/x", "regexp": "^a$", "replace": "b"}, files(x="a\nba\na\n")),
    Example("inserted", "blockinfile", {"path": "/srv/x", "block": "1\n2"}, files(x="a")),
    Example("new-file", "blockinfile", {"path": "/srv/n/x", "block": "1\n2\n", "create": True, "marker": "// {mark}"}),
    Example("no-block", "blockinfile", {"path": "/srv/x", "marker": "{mark}"}, files(x="a\nBEGIN\nb\nEND\nc\n")),
    Example("option", "ini_file", {"path": "/srv/x", "section": "main", "option": "other", "value": "3"}, files(x=INI)),
    Example("new-ini", "ini_file", {"path": "/srv/n/x", "section": "a", "option": "b", "value": "c", "mode": "0600"}),
    Example("no-section", "ini_file", {"path": "/srv/x", "section": "main", "state": "absent"}, files(x=INI)),
    Example("there", "stat", {"path": "/srv/x", "checksum_algorithm": "sha256"}, files(x="text")),
    Example("not-there", "stat", {"path": "/srv/x"}),
    Example("content", "slurp", {"src": "/srv/x"}, files(x="text")),
    Example(
        "everything", "find", {"paths": ["/srv", "/none"], "recurse": True, "file_type": "any"}, files(x="1", d__y="2")
    ),
)
