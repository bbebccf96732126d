"""A directory tree with one of everything: names, owners, modes, times, holes, links, devices, attributes, flags.

``python3 FILE DIRECTORY`` makes it on a host, as root; it needs nothing of ours.
"""

from __future__ import annotations

import os
import socket
import stat
import struct
import subprocess
import sys
from contextlib import chdir
from pathlib import Path

NOBODY = 0xFFFFFFFF
ACL, DEFAULT = "system.posix_acl_access", "system.posix_acl_default"
LONG = "n" * 255
NAMES = (b"new\nline", b"caf\xe9", b"\xff\x01", b"-rf", b"*", b"[x]?", b" a\tb ", b"back\\slash\\n", LONG.encode())
OF_OURS = (".mnemo-notes", ".mnemo-after-x", ".mnemo-0123456789ab", ".mnemo-new-x", "x.mnemo-link", ".mnemo-flags")
ALL_NAMES = ("a/first", "b/second", "third")  # of one file
MEBI = 1 << 20
SECOND = 10**9


def access_list(*entries: tuple[int, int, int]) -> bytes:
    """As the kernel keeps it: tag, permissions, number (linux/posix_acl_xattr.h)."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *one) for one in entries)


def shared(user: int, bits: int = 6) -> bytes:
    rest = ((4, 4, NOBODY), (16, 6, NOBODY), (32, 0, NOBODY))
    return access_list((1, 6, NOBODY), (2, bits, user), (2, 4, 4242), *rest)


def capable(bit: int) -> bytes:
    return struct.pack("<5I", 0x02000001, 1 << bit, 0, 0, 0)


def write(path: Path, text: str = "content", mode: int = 0o644) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def chattr(flags: str, path: Path) -> None:
    subprocess.run(["chattr", flags, "--", path], check=True)


def sparse(path: Path, size: int, *data: tuple[int, bytes]) -> None:
    with path.open("wb") as file:
        file.truncate(size)
        for offset, text in data:
            file.seek(offset)
            file.write(text)


def set_time(path: Path, nanoseconds: int) -> None:
    os.utime(path, ns=(nanoseconds, nanoseconds), follow_symlinks=False)


def everything(top: Path) -> None:
    for name in ("empty", "closed", "deep/" + "/".join("d" * 60 for _ in range(5)), "a", "b", "inherits", "quiet"):
        (top / name).mkdir(parents=True)
    for number, name in enumerate(NAMES):
        write(Path(os.fsdecode(os.fsencode(top) + b"/" + name)), str(number))
        write(Path(os.fsdecode(os.fsencode(top) + b"/a/" + name)), str(number))
    for name in OF_OURS:
        write(top / name, name)
        write(top / "a" / name, name)
    write(top / "nothing", "")
    write(top / "block", "x" * 512)
    (top / "large").write_bytes(bytes(range(251)) * 13000)
    write(top / "deep" / "/".join("d" * 60 for _ in range(5)) / LONG)
    for number, name in enumerate(("odd", "odder", "oddest")):
        os.chown(write(top / name), (1, 70000, 4294967294)[number], (4242, 2097152, 7)[number])
    for name, mode in (("setuid", 0o4755), ("setgid", 0o2755), ("sticky", 0o1600), ("none", 0)):
        os.chown(write(top / name), 1000, 1000)
        (top / name).chmod(mode)
    (top / "b").chmod(0o3777)
    (top / "closed").chmod(0)
    # holes
    sparse(top / "hole", MEBI)
    sparse(top / "begin", 2 * MEBI + 5, (2 * MEBI, b"end"))
    sparse(top / "middle", 4 * MEBI, (0, b"begin"), (4 * MEBI - 3, b"end"))
    sparse(top / "end", 4 * MEBI + 1, (0, b"begin"), (MEBI, b"x" * 8192))
    # several names
    os.link(write(top / "a/first", "of several"), top / "b/second")
    os.link(top / "a/first", top / "third")
    write(top / "twin 1", "alike")
    write(top / "twin 2", "alike")
    os.chown(top / "a", 4242, 4242)  # a file of root in it, of several names, might be one that its user put there
    # links
    long = "/".join(["x" * 200] * 15)
    targets = {"to": "a", "up": "../..", "far": "/etc/passwd", "nowhere": "no\nwhere", "long": long, "-l": "-rf"}
    for name, target in {**targets, "odd target": os.fsdecode(b"caf\xe9 -> *")}.items():
        (top / name).symlink_to(target)
    os.lchown(top / "far", 4242, 4243)
    os.link(top / "to", top / "same link", follow_symlinks=False)
    # neither file nor directory
    os.mkfifo(top / "pipe", 0o640)
    os.mknod(top / "null", 0o620 | stat.S_IFCHR, os.makedev(1, 3))
    os.mknod(top / "whiteout", 0o600 | stat.S_IFCHR, os.makedev(0, 0))
    os.mknod(top / "disk", 0o660 | stat.S_IFBLK, os.makedev(259, 70000))
    os.chown(top / "disk", 0, 6)
    with chdir(top / "a"), socket.socket(socket.AF_UNIX) as end:  # the name of a socket is short
        end.bind("socket")
    # attributes
    os.setxattr(write(top / "a/shared"), ACL, shared(65534))
    os.setxattr(top / "inherits", DEFAULT, shared(65534))
    os.setxattr(top / "inherits", ACL, shared(1234, 7))
    write(top / "inherits/heir")
    os.setxattr(write(top / "a/capable", mode=0o755), "security.capability", capable(10))
    for name, value in {
        "user.a": b"\0\n=\xff",
        "user.b=%3D": b"x",
        "trusted.t": b"",
        "security.s": bytes(3000),
    }.items():
        os.setxattr(write(top / f"a/{name}"), name, value)
    os.setxattr(top / "b", "user.of_directory", b"x")
    os.setxattr(top, "trusted.top", b"x")
    os.setxattr(top / "nowhere", "trusted.of_link", b"x", follow_symlinks=False)
    os.setxattr(top / "null", "trusted.of_device", b"x")
    # times: of files, links and directories, before 1970 and after 2038
    every = sorted((path for path in top.rglob("*") if not path.is_socket()), reverse=True)
    for number, path in enumerate([*every, top]):
        set_time(path, 1234567890 * SECOND + number * 1000003 + number)
    set_time(top / "twin 2", (top / "twin 1").stat().st_mtime_ns)
    set_time(top / "nothing", -86400 * SECOND * 400 - 250)
    set_time(top / "block", 5000000000 * SECOND + 1)
    set_time(top / "large", 1700000000 * SECOND)
    chattr("+d", top / "a/first")
    chattr("+SA", top / "odd")
    chattr("+DAd", top / "quiet")


if __name__ == "__main__":
    everything(Path(sys.argv[1]))
