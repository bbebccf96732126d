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
)
