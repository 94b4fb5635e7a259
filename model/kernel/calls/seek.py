"""Where an open file is read or written next. [fs/read_write.c]"""

import errno

from ...address_space.errors import SysError
from ...x86 import PAGE_BYTES, PAGE_SHIFT
from ..file_table import OpenFile
from ..page_cache import CachedFile

__all__ = ["Whence", "seek"]


class Whence:
    """What a position is counted from, or what is looked for from it on. [``SEEK_*``]"""

    SET = 0
    CUR = 1
    END = 2
    DATA = 3
    HOLE = 4


def seek(opened: OpenFile, space: CachedFile, offset: int, whence: int, most: int) -> int:
    """Change the position of an open file, at most to ``most``; return it.

    Of files with a disk all is data up to the end. Raise ``SysError``: EINVAL for another
    ``whence``, a negative position or one beyond ``most``; ENXIO if no such place follows.
    [ksys_lseek, generic_file_llseek_size, shmem_file_llseek]
    """
    end = space.inode.size
    if whence in (Whence.DATA, Whence.HOLE):
        if not 0 <= offset < end:
            raise SysError(errno.ENXIO)
        if space.content is None:
            offset = _seek_hole_data(space, offset, end, whence == Whence.DATA)
        elif whence == Whence.HOLE:
            offset = end
    elif whence == Whence.END:
        offset += end
    elif whence == Whence.CUR:
        if not offset:
            return opened.position
        offset += opened.position
    elif whence != Whence.SET:
        raise SysError(errno.EINVAL)
    if not 0 <= offset <= most:
        raise SysError(errno.EINVAL)
    opened.position = offset
    return offset


def _seek_hole_data(space: CachedFile, start: int, end: int, wants_data: bool) -> int:
    """Return the first byte of data, or of a hole, from ``start`` on; the end is a hole.

    Raise ``SysError(ENXIO)`` if there is no data. [mapping_seek_hole_data]
    """
    there = space.pages.keys() - space.unwritten | space.slots.keys()
    index = start >> PAGE_SHIFT
    if wants_data:
        index = min((one for one in there if one >= index), default=-1)
    else:
        while index in there:
            index += 1
    found = max(start, index * PAGE_BYTES)
    if index < 0 or (wants_data and found >= end):
        raise SysError(errno.ENXIO)
    return min(found, end)
