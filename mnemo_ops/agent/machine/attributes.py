"""Access lists (acl(5)) and extended attributes (xattr(7)) of a file another is about to take the place of."""

from __future__ import annotations

import errno
import os
import struct
from typing import Dict, Union

from mnemo_ops.errors import StepFailed

ACL = "system.posix_acl_access"
CAPABILITY = "security.capability"
KEPT = (ACL, "user.", "security.", "trusted.")
# signatures of the content, and what a file system notes about its own inode
NOT_KEPT = (
    *("security.ima", "security.evm"),
    *("trusted.gfid", "trusted.glusterfs.", "trusted.overlay.", "trusted.SGI_"),
    *("trusted.hsm", "trusted.link", "trusted.lma", "trusted.lov", "trusted.som"),  # Lustre
)
_ENTRY = struct.Struct("<HHI")  # tag, permissions, id; linux/posix_acl_xattr.h
_HEADER = 4  # bytes: the version
_OWNER, _GROUP, _MASK, _OTHER = 0x01, 0x04, 0x10, 0x20


def attributes_of(file: Union[str, int]) -> Dict[str, bytes]:
    """What is kept of a file, by name; nothing where the file system has no attributes.

    What this process may not see (``trusted.`` without root) is not among it.

    :raises StepFailed: it may not read one of them (6).
    """
    try:
        names = os.listxattr(file)
    except AttributeError:  # a controller that is no Linux
        return {}
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.ENOSYS):
            return {}
        raise
    found: Dict[str, bytes] = {}
    for name in names:
        if name.startswith(KEPT) and not name.startswith(NOT_KEPT):
            try:
                found[name] = os.getxattr(file, name)
            except OSError as error:
                if error.errno != errno.ENODATA:  # removed meanwhile
                    raise _lost(name, file, error) from None
    return found


def give(handle: int, kept: Dict[str, bytes], mode: int, path: str) -> None:
    """Give an open file, which only its owner may use so far, these attributes and this mode.

    The access list arrives already limited to the mode: at no instant anybody may do more than it says.

    :param path: whose they are, for messages. :raises StepFailed: one cannot be kept (6).
    """
    own = attributes_of(handle)
    if ACL in own and ACL not in kept:  # from the directory's default list: the mode would give its names access
        os.removexattr(handle, ACL)
    for name in sorted(kept, key=lambda name: name == ACL):  # last: it may take away what setting the others needs
        value = limited(kept[name], mode) if name == ACL else kept[name]
        if own.get(name) != value:
            try:
                os.setxattr(handle, name, value)
            except OSError as error:
                raise _lost(name, path, error) from None
    os.fchmod(handle, mode)


def limited(acl: bytes, mode: int) -> bytes:
    """The access list after chmod(2): the mode's group bits are its mask, where it has one."""
    rows = list(_ENTRY.iter_unpack(acl[_HEADER:]))
    middle = _MASK if any(tag == _MASK for tag, _, _ in rows) else _GROUP
    bits = {_OWNER: mode >> 6 & 7, middle: mode >> 3 & 7, _OTHER: mode & 7}
    return acl[:_HEADER] + b"".join(_ENTRY.pack(tag, bits.get(tag, given), who) for tag, given, who in rows)


def own_mode(acl: bytes, mode: int) -> int:
    """The mode of a copy without the list: the group's own bits, not the mask, which is for everybody named."""
    rows: Dict[int, int] = {tag: given for tag, given, _ in _ENTRY.iter_unpack(acl[_HEADER:])}
    return mode & ~0o070 | (mode >> 3 & rows.get(_GROUP, 7)) << 3


def _lost(name: str, file: Union[str, int], error: OSError) -> StepFailed:
    drop = "setfacl -b" if name == ACL else f"setfattr -x {name}"
    hint = f"do it as root (become: true), or give it up first: {drop} {file}"
    return StepFailed(f"{file} would lose its attribute {name}: {error.strerror}; the file is unchanged", hint=hint)
