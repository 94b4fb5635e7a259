"""System calls about mappings. [mm/mmap.c, mm/mremap.c, mm/madvise.c, mm/msync.c]"""

import errno

from ...address_space.errors import SysError
from ...address_space.uapi import MapFlag
from ...address_space.vma import File, page_align
from ...x86 import PAGE_BYTES
from ..file_table import OpenFile
from ..mincore import mincore_pages
from ..process import Process
from ..vfs.folder import Folder
from ..vfs.open_flag import OpenFlag
from .arguments import as_int, as_uint
from .caller import Caller
from .msync import msync
from .protect_calls import deny_execute_only

__all__ = ["MemoryCalls"]

ZERO = 0x105  # the number of /dev/zero


class MemoryCalls(Caller):
    """The calls that map memory, move and unmap it, and advise about it."""

    def mmap(self, address: int, length: int, prot: int, flags: int, fd: int = -1,
             offset: int = 0) -> int:
        """Map memory or an open file; return where. [mmap(2)]"""
        prot, flags = self._words(prot, flags)

        def work(process: Process) -> int:
            if offset % PAGE_BYTES:
                raise SysError(errno.EINVAL)
            file, kind = None, flags
            if not flags & MapFlag.ANONYMOUS:
                file = _mappable(process.files.get(as_uint(fd)))
                kind |= 0 if file is not None else MapFlag.ANONYMOUS
            result = process.mm.mmap(address, length, prot, kind, file, offset)
            deny_execute_only(process, prot)
            return result
        return self._call(work)

    def munmap(self, start: int, length: int) -> int:
        """Unmap a range. [munmap(2)]"""
        return self._call(lambda process: process.mm.munmap(start, length))

    def mremap(self, address: int, old_length: int, new_length: int, flags: int = 0,
               new_address: int = 0) -> int:
        """Resize or move a mapping; return where it is. [mremap(2)]"""
        flags, = self._words(flags)

        return self._call(lambda process: process.mm.mremap(address, old_length, new_length, flags,
                                                            new_address))

    def madvise(self, start: int, length: int, advice: int) -> int:
        """Take an advice about a range. [madvise(2)]"""
        return self._call(lambda process: process.mm.madvise(start, length, as_int(advice)))

    def msync(self, start: int, length: int, flags: int) -> int:
        """Write back what is dirty of the files that a range maps. [msync(2)]"""
        start, length = self._words(start, length)

        return self._call(lambda process: msync(self.kernel.state, process.mm, start, length,
                                                as_int(flags)))

    def brk(self, address: int) -> int:
        """Move the end of the heap; return where it is. [brk(2)]"""
        return self._call(lambda process: process.mm.brk(address))

    def mincore(self, start: int, length: int, vector: int) -> int:
        """Store at ``vector`` a byte for each page: whether it is in memory. [mincore(2)]

        At a hole, or where a byte cannot be stored, those before it are stored already.
        """
        start, length, vector = self._words(start, length, vector)

        def work(process: Process) -> None:
            self._check_mincore(start, length, vector)
            mm, at, end, to = process.mm, start, start + page_align(length), vector
            while at < end:
                vma = mm.tree.lookup(at)
                if vma is None:
                    raise SysError(errno.ENOMEM)
                stop = min(end, vma.end, at + PAGE_BYTES * PAGE_BYTES)  # a page full of bytes
                data = mincore_pages(process.space, vma, at, stop)
                if self.user.copy_to_user(to, data):
                    raise SysError(errno.EFAULT)
                at, to = stop, to + len(data)
        return self._call(work)

    def _check_mincore(self, start: int, length: int, vector: int) -> None:
        """Raise ``SysError`` for ranges that cannot be."""
        if start % PAGE_BYTES:
            raise SysError(errno.EINVAL)
        if not self.user.access_ok(start, length):
            raise SysError(errno.ENOMEM)
        if not self.user.access_ok(vector, -(-length // PAGE_BYTES)):
            raise SysError(errno.EFAULT)


def _mappable(opened: OpenFile) -> File | None:
    """Return the file that an open one maps, None for zeros.

    Raise ``SysError``: ENODEV for a folder, a pipe or another device, EBADF. [mmap_zero]
    """
    if opened.flags & OpenFlag.PATH:
        raise SysError(errno.EBADF)
    if opened.stream is not None and opened.node is not None and opened.node.device == ZERO:
        return None
    if opened.stream is not None or isinstance(opened.node, Folder):
        raise SysError(errno.ENODEV)
    return opened.file
