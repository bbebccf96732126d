"""A directory tree as other programs see it: nothing of ours, so that it can judge what we say.

``python3 FILE DIRECTORY`` prints it on a host, a line each.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

# raw names and values of every attribute: getfacl and getfattr are not installed everywhere
ATTRIBUTES = """
import os
for where, directories, files in os.walk(b"."):
    for name in [b"."] * (where == b".") + directories + files:
        path = os.path.join(where, name)
        for one in sorted(os.listxattr(path, follow_symlinks=False)):
            print(path, one, os.getxattr(path, one, follow_symlinks=False).hex())
"""


def said(top: Path, *argv: str, fine: tuple[int, ...] = (0,)) -> bytes:
    """What a program says with the tree as its directory."""
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "TZ": "UTC"}
    done = subprocess.run(argv, cwd=top, env=environment, capture_output=True, check=False)
    assert done.returncode in fine, done.stderr
    return done.stdout


def each(*argv: str) -> tuple[str, ...]:
    return ("-exec", *argv, "{}", "+")


def photograph(top: Path) -> dict[str, list[bytes]]:
    """Program -> what it says, sorted. Sockets are not looked at: no archive holds them."""
    find = ("find", ".", "!", "-type", "s")
    seen = {
        # type, mode, owners, time, target of a link; of a file its size and how many names it has
        "find": said(top, *find, "-printf", r"%p %y %m %U %G %T@ %l\0"),
        "sizes": said(top, "find", ".", "-type", "f", "-printf", r"%p %s %n\0"),
        "stat": said(top, *find, *each("stat", "--printf", r"%n %F %a %u %g %t:%T %Y\0")),
        "sha256sum": said(top, "find", ".", "-type", "f", *each("sha256sum", "-z")),
        "attributes": said(top, sys.executable, "-c", ATTRIBUTES),
        "getcap": said(top, "getcap", "-r", "-n", "."),
        "one file": one_file(top),
        "lsattr": flags(top),
    }
    if shutil.which("getfacl") and shutil.which("getfattr"):
        seen["getfacl"] = said(top, *find, "!", "-type", "l", *each("getfacl", "-n"))
        seen["getfattr"] = said(top, *find, *each("getfattr", "-h", "-d", "-e", "hex", "-m", "-"))
    return {what: sorted(text.split(b"\0" if b"\0" in text else b"\n")) for what, text in seen.items()}


def one_file(top: Path) -> bytes:
    """The names that are the same inode."""
    rows = said(top, "find", ".", "!", "-type", "d", "-links", "+1", "-printf", r"%i %p\0").split(b"\0")
    files: dict[bytes, list[bytes]] = {}
    for row in filter(None, rows):
        number, _, name = row.partition(b" ")
        files.setdefault(number, []).append(name)
    return b"\0".join(b" = ".join(sorted(names)) for names in files.values())


def flags(top: Path) -> bytes:
    """Without those that the file system sets by itself (extents, an index, inline data), and that no copy gets."""
    lines = said(top, "lsattr", "-R", "-a", ".", fine=(0, 1)).split(b"\n")
    rows = [line.split(b" ", 1) for line in lines if b" ./" in line]
    return b"\0".join(b"%b %b" % (name, bytes(sorted(set(word) - set(b"-eINia")))) for word, name in rows)


def room(path: Path) -> int:
    """Bytes a file takes on the disk."""
    return int(said(path.parent, "du", "-B1", "--", path.name).split()[0])


if __name__ == "__main__":
    for what, lines in photograph(Path(sys.argv[1])).items():
        print(*(f"{what}: {line!r}" for line in lines), sep="\n")
