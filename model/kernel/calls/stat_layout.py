"""How the attributes of a file lie in the memory of a program. [fs/stat.c]"""

from dataclasses import dataclass
from struct import Struct

from ..vfs.vnode import VfsNode

__all__ = ["FileStat", "new_encode_dev", "old_stat_bytes", "stat_bytes", "statx_bytes"]

NSEC = 10 ** 9
BLOCK_BYTES = 4096
OVERFLOW16 = 65534  # what a number of a user reads as that 16 bits do not hold
STAT = Struct("<QQQIII4xQqqq6Q24x")  # struct stat of x86-64
STAT32 = Struct("<IIHHHHIIII6I8x")  # struct stat of i386
STAT64 = Struct("<Q4xIIIIIQ4xqIQ6IQ")  # struct stat64 of i386
STATX = Struct("<IIQIIIH2xQQQQqI4x16xqI4xqI4xIIIIQ104x")
STATX_MASK = 0x17FF  # STATX_BASIC_STATS and STATX_MNT_ID
MOUNT_ROOT = 0x2000  # an attribute, in those that are known [STATX_ATTR_MOUNT_ROOT]


@dataclass(frozen=True, slots=True)
class FileStat:
    """The attributes of a file; times in nanoseconds, ``blocks`` of 512 bytes. [struct kstat]"""

    major: int
    minor: int
    inode: int
    mode: int
    links: int
    uid: int
    gid: int
    device: int
    size: int
    blocks: int
    accessed: int
    modified: int
    changed: int

    @classmethod
    def of(cls, node: VfsNode) -> "FileStat":
        """Return those of a node. [generic_fillattr]"""
        size, blocks = node.size, node.blocks
        if blocks is None or size > node.own_size:
            blocks = -(-size // BLOCK_BYTES) * (BLOCK_BYTES // 512)
        return cls(node.volume.major, node.volume.minor, node.inode, node.mode, node.links,
                   node.uid, node.gid, node.device, size, blocks, node.accessed, node.modified,
                   node.changed)


def new_encode_dev(major: int, minor: int) -> int:
    """Return the number of a device as programs see it. [new_encode_dev]"""
    return minor & 0xFF | major << 8 | (minor & ~0xFF) << 12


def stat_bytes(found: FileStat, word_bytes: int) -> bytes:
    """Return ``struct stat`` of 64-bit programs, ``struct stat64`` of 32-bit ones.

    [cp_new_stat, cp_new_stat64]
    """
    dev = new_encode_dev(found.major, found.minor)
    times = [part for time in (found.accessed, found.modified, found.changed)
             for part in divmod(time, NSEC)]
    if word_bytes == 8:
        return STAT.pack(dev, found.inode, found.links, found.mode, found.uid, found.gid,
                         found.device, found.size, BLOCK_BYTES, found.blocks, *times)
    times = [part & 0xFFFF_FFFF for part in times]
    return STAT64.pack(dev, found.inode & 0xFFFF_FFFF, found.mode, found.links, found.uid,
                       found.gid, found.device, found.size, BLOCK_BYTES, found.blocks, *times,
                       found.inode)


def old_stat_bytes(found: FileStat) -> bytes | None:
    """Return ``struct stat`` of 32-bit programs, None for what it does not hold. [cp_new_stat]"""
    if found.size >> 31 or found.inode >> 32 or found.links >> 16:
        return None
    times = [part & 0xFFFF_FFFF for time in (found.accessed, found.modified, found.changed)
             for part in divmod(time, NSEC)]
    ids = [one if not one >> 16 else OVERFLOW16 for one in (found.uid, found.gid)]
    return STAT32.pack(new_encode_dev(found.major, found.minor), found.inode, found.mode,
                       found.links, *ids, found.device, found.size, BLOCK_BYTES, found.blocks,
                       *times)


def statx_bytes(found: FileStat) -> bytes:
    """Return ``struct statx``, with all that is basic; nothing says when a file was made.

    [cp_statx]
    """
    device = (found.device >> 8 & 0xFFF, found.device & 0xFF | found.device >> 12 & 0xFFF00)
    times = (divmod(time, NSEC) for time in (found.accessed, found.changed, found.modified))
    return STATX.pack(STATX_MASK, BLOCK_BYTES, 0, found.links, found.uid, found.gid, found.mode,
                      found.inode, found.size, found.blocks, MOUNT_ROOT,
                      *(part for time in times for part in time), *device, found.major,
                      found.minor, 1)
