"""Programs."""

from __future__ import annotations

from example import Example, files, script

EXAMPLES: tuple[Example, ...] = (
    Example("runs", "command", {"cmd": "say 'a b'"}, script("say", "print(sys.argv[1])"), deed=True, tools=("say",)),
    Example(
        "creates",
        "command",
        {"argv": ["make"], "creates": "/srv/made*"},
        script("make", "open(os.path.dirname(sys.argv[0]) + '/../../srv/made.1', 'w')"),
        tools=("make",),
    ),
    Example(
        "removes",
        "command",
        {"cmd": "drop", "removes": "/srv/x"},
        lambda world: (
            files(x="1")(world),
            world.script("drop", "os.unlink(os.path.dirname(sys.argv[0]) + '/../../srv/x')"),
        )[0],
        tools=("drop",),
    ),
    Example(
        "through-a-shell",
        "shell",
        {"cmd": "echo a && echo b > out", "chdir": "/srv", "creates": "out"},
    ),
    Example("again", "shell", {"cmd": "read word && test $word = text", "stdin": "text"}, deed=True),
    Example("again", "raw", {"free_form": "say a"}, script("say", "print(sys.argv[1])"), deed=True, tools=("say",)),
    Example("answers", "ping", {}),
    Example("memory", "setup", {"filter": ["mem*"], "gather_subset": ["!all"]}),
    Example("path", "wait_for", {"path": "/srv/x"}, files(x="1")),
    Example("pause", "wait_for", {"timeout": 0}, deed=True),
    Example("text", "wait_for", {"path": "/srv/x", "search_regex": "b (c+)"}, files(x="a\nb cc")),
    Example("gone", "wait_for", {"path": "/srv/x", "state": "absent", "timeout": 1}),
    Example("user", "getent", {"database": "passwd", "key": "old"}, tools=("getent",)),
    Example("nobody", "getent", {"database": "group", "key": "none", "fail_key": False}, tools=("getent",)),
    Example("all", "getent", {"database": "group"}, tools=("getent",)),
)
