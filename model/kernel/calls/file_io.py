"""The data that ``read`` and ``write`` move. [fs/read_write.c, mm/filemap.c]"""

import errno

from ...address_space.errors import SysError
from ...address_space.vma import File
from ...x86 import PAGE_BYTES
from ..file_table import OpenFile
from ..kernel import Kernel
from ..page_cache import CachedFile
from .uaccess import UserAccess

__all__ = ["FileIo"]

MAX_RW_COUNT = 0x7FFF_F000  # INT_MAX, but whole pages
MAX_POSITION = (1 << 63) - 1


class FileIo:
    """Copies between files and the process that runs.

    Parameters
    ----------
    kernel
        The kernel, with which the files are registered.
    user
        The copies to and from the process.
    """

    def __init__(self, kernel: Kernel, user: UserAccess) -> None:
        self._kernel = kernel
        self._user = user

    def read(self, opened: OpenFile, buffer: int, count: int, position: int | None = None) -> int:
        """Copy what follows in a file to ``buffer``; return how many bytes. [vfs_read]

        With a ``position`` it is read there, and where the file is read next stays. Raise
        ``SysError``: EBADF for a file not open for reading, EFAULT if nothing could be copied,
        EINVAL for a count or a position that are negative as signed, EIO for a file without bytes.
        """
        at = opened.position if position is None else position
        count = self._check(opened.file.readable, at, buffer, count)
        done = self._read(opened.file, at, buffer, count) if count else 0
        if position is None:
            opened.position += done
        return done

    def write(self, opened: OpenFile, buffer: int, count: int, position: int | None = None) -> int:
        """Copy ``buffer`` to a file, not past its end; return how many bytes. [vfs_write]

        A file does not grow: at its end it is ``SysError(ENOSPC)``. Otherwise as ``read``.
        """
        at = opened.position if position is None else position
        count = self._check(opened.file.writable, at, buffer, count)
        done = self._write(opened.file, at, buffer, count) if count else 0
        if position is None:
            opened.position += done
        return done

    def _check(self, permitted: bool, position: int, buffer: int, count: int) -> int:
        """Return how many bytes a call may move at most. [rw_verify_area]"""
        if not permitted:
            raise SysError(errno.EBADF)
        if not self._user.access_ok(buffer, count):
            raise SysError(errno.EFAULT)
        signed_max = (1 << 8 * self._kernel.space.word_bytes - 1) - 1
        if count > signed_max or position + count > MAX_POSITION:
            raise SysError(errno.EINVAL)
        return min(count, MAX_RW_COUNT)

    def _room(self, file: File, position: int, count: int) -> tuple[CachedFile, int]:
        """Return the pages of a file, and how many bytes it has from ``position`` on."""
        try:
            space = self._kernel.state.page_cache.space(file)
        except KeyError:
            raise SysError(errno.EIO) from None
        return space, min(count, max(0, len(space.content or b"") - position))

    def _read(self, file: File, position: int, buffer: int, count: int) -> int:
        """Copy page by page, up to the first that is not copied whole. [filemap_read]"""
        space, wanted = self._room(file, position, count)
        state, done = self._kernel.state, 0
        while done < wanted:
            index, offset = divmod(position + done, PAGE_BYTES)
            step = min(wanted - done, PAGE_BYTES - offset)
            pfn, _ = state.file_page(space, index)
            try:
                data = state.memory.read_bytes(pfn * PAGE_BYTES + offset, step)
                left = self._user.copy_to_user(buffer + done, data, offset)
            finally:
                state.frames.put(pfn)
            done += step - left
            if left:
                break
        if wanted and not done:
            raise SysError(errno.EFAULT)
        return done

    def _write(self, file: File, position: int, buffer: int, count: int) -> int:
        """Copy page by page until nothing more can be copied. [generic_perform_write]

        Where the first byte can be read but the routine copies none, Linux 6.1 tries for ever:
        here that is the end, too.
        """
        space, wanted = self._room(file, position, count)
        if not wanted:
            raise SysError(errno.ENOSPC)
        state, done, copied = self._kernel.state, 0, 1
        while done < wanted and copied:
            index, offset = divmod(position + done, PAGE_BYTES)
            step = min(wanted - done, PAGE_BYTES - offset)
            pfn, _ = state.file_page(space, index)
            try:
                data, left = self._user.copy_from_user(buffer + done, step, offset)
                copied = step - left
                state.memory.write_bytes(pfn * PAGE_BYTES + offset, data[:copied])
                if copied:
                    state.page_cache.set_dirty(pfn)
            finally:
                state.frames.put(pfn)
            done += copied
        if not done:
            raise SysError(errno.EFAULT)
        return done
