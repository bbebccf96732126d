"""A model of disks: a device is a file whose first line says what is on it ("TYPE UUID BYTES"); mounts in mountinfo."""

# ruff: noqa: PTH119, PTH123, PTH202
from __future__ import annotations

import os
import sys

from state import fail, load, options, save


def main(root: str, argv: list[str]) -> None:
    tool, words = os.path.basename(argv[0]), argv[1:]
    if tool == "mount":
        mount(root, words)
    elif tool == "umount":
        umount(root, words[0])
    elif tool == "chattr":
        chattr(root, words)
    elif tool == "findfs":
        found = by_uuid(root, words[0])
        print(root + found if found else fail(f"findfs: unable to resolve '{words[0]}'"))
    elif tool == "blkid":
        blkid(words[-1])
    elif tool == "tune2fs":
        print(f"Block count:              {int(signature(words[-1])[2]) // 4096}\nBlock size:               4096")
    elif tool == "xfs_info":
        print(f"meta-data=x isize=512\ndata     =      bsize=4096   blocks={size(root, words[-1]) // 4096}, imaxpct=25")
    elif tool in ("resize2fs", "xfs_growfs"):
        device = words[-1] if tool == "resize2fs" else source(root, words[-1])
        kind, uuid, _ = signature(device)
        put(device, kind, uuid)
    else:
        make(tool, words)


def signature(device: str) -> list[str]:
    with open(device) as file:
        return file.readline().split()


def size(root: str, where: str) -> int:
    return int(signature(where if os.path.isfile(where) else source(root, where))[2])  # noqa: PTH113


def source(root: str, point: str) -> str:
    return next(root + line.split()[-2] for line in mountinfo(root) if line.split()[4] == point)


def put(device: str, kind: str, uuid: str) -> None:
    """The file keeps its size."""
    length = os.path.getsize(device)
    with open(device, "r+") as file:
        file.write(f"{kind} {uuid} {length}\n")


def by_uuid(root: str, source: str) -> str:
    """The device with this ``UUID=``; empty: there is none."""
    tag, _, uuid = source.partition("=")
    names = os.listdir(f"{root}/dev") if tag == "UUID" and os.path.isdir(f"{root}/dev") else []  # noqa: PTH112, PTH208
    return next((f"/dev/{name}" for name in sorted(names) if signature(f"{root}/dev/{name}")[1:2] == [uuid]), "")


def chattr(root: str, words: list[str]) -> None:
    """Only ``+i`` and ``-i``; remembered, for a test could not remove what really is immutable."""
    flag, path = words
    paths = {*load(root, "immutable", []), path[len(root) :]}
    save(root, "immutable", sorted(paths if flag == "+i" else paths - {path[len(root) :]}))


def blkid(device: str) -> None:
    found = signature(device)
    if len(found) != 3:
        sys.exit(2)
    print(f"DEVNAME={device}\nUUID={found[1]}\n{'PTTYPE' if found[0] in ('gpt', 'dos') else 'TYPE'}={found[0]}")


def make(tool: str, words: list[str]) -> None:
    found, rest = options(words, {"-L", "-U", "-m"})
    uuid = (found.get("-U") or found.get("-m") or ["7f3c"])[0].replace("uuid=", "")
    kind = {"mkswap": "swap", "pvcreate": "LVM2_member"}.get(tool, tool.rpartition(".")[2])
    put(rest[-1], kind, uuid)


def mountinfo(root: str) -> list[str]:
    with open(f"{root}/proc/self/mountinfo") as file:
        return file.read().splitlines()


def mount(root: str, words: list[str]) -> None:
    found, rest = options(words, {"-o", "-t", "-T"})
    given = found.get("-o", [""])[0].split(",")
    point = rest[-1]
    lines = mountinfo(root)
    there = [line for line in lines if line.split()[4] == point]
    if "remount" in given:
        if not there:
            fail(f"mount: {point}: mount point not mounted or bad option.", 32)
        if "vers=3" in given:
            fail(f"mount: {point}: cannot change this while it is mounted.", 32)
        return
    if len(rest) == 1:
        with open(found.get("-T", [f"{root}/etc/fstab"])[0]) as file:
            rows = [line.split() for line in file if line.strip() and not line.startswith("#")]
        entry = next((row for row in rows if row[1] == point), None)
        if entry is None:
            fail(f"mount: {point}: can't find in /etc/fstab.", 1)
        src, fstype = entry[0], entry[2]
    else:
        src, fstype = rest[0], found["-t"][0]
    if not os.path.isdir(root + point):  # noqa: PTH112
        fail(f"mount: {point}: mount point does not exist.", 32)
    src = by_uuid(root, src) or src
    if src.startswith("/dev/missing"):
        fail(f"mount: {point}: special device {src} does not exist.", 32)
    write(root, [*lines, f"40 1 8:1 / {point} rw,relatime shared:1 - {fstype} {src} rw"])


def umount(root: str, point: str) -> None:
    lines = mountinfo(root)
    if not any(line.split()[4] == point for line in lines):
        fail(f"umount: {point}: not mounted.", 32)
    write(root, [line for line in lines if line.split()[4] != point])


def write(root: str, lines: list[str]) -> None:
    with open(f"{root}/proc/self/mountinfo", "w") as file:
        file.write("".join(line + "\n" for line in lines))
