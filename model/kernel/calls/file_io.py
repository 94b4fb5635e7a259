"""The data that ``read`` and ``write`` move. [fs/read_write.c, mm/filemap.c]"""

import errno

from ...address_space.errors import SysError
from ...address_space.kernel_files import Seal
from ...address_space.vma import File
from ...x86 import PAGE_BYTES
from ..fault_cause import NotPromised
from ..file_size import max_bytes
from ..file_table import OpenFile
from ..kernel import Kernel
from ..page_cache import CachedFile
from ..truncate import truncate_range
from ..vfs.file_rights import remove_privileges
from ..vfs.folder import Folder
from ..vfs.open_flag import OpenFlag
from .kernel_bytes import UserCopies
from .stream_io import read_stream, write_stream
from .user_vector import MAX_RW_COUNT, UserVector

__all__ = ["FileIo"]

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

    def __init__(self, kernel: Kernel, user: UserCopies) -> None:
        self._kernel = kernel
        self._user = user

    def read(self, opened: OpenFile, buffer: int, count: int, position: int | None = None) -> int:
        """Copy what follows in a file to ``buffer``; return how many bytes. [vfs_read]

        With a ``position`` it is read there, and where the file is read next stays. Raise
        ``SysError``: EBADF for a file not open for reading, EFAULT if nothing could be copied,
        EINVAL for a count or a position that are negative as signed, EIO for a file without bytes,
        ESPIPE for a position in a stream, EISDIR; and what a stream raises.
        """
        at = opened.position if position is None else position
        count = self._check(opened, opened.file.readable, at, buffer, count, position)
        if opened.stream is not None:
            return read_stream(opened, opened.stream, UserVector(self._user, [(buffer, count)]))
        done = self._read(opened, at, buffer, count) if count else 0
        if position is None:
            opened.position += done
        return done

    def write(self, opened: OpenFile, buffer: int, count: int, position: int | None = None) -> int:
        """Copy ``buffer`` to a file, which grows to hold it; return how many bytes. [vfs_write]

        Raise ``SysError``: EFBIG beyond what a file may have, EPERM for what is sealed, ENOSPC for
        shared memory that cannot be promised; otherwise as ``read``. What was opened with O_APPEND
        is written to at its end.
        """
        at = opened.position if position is None else position
        count = self._check(opened, opened.file.writable, at, buffer, count, position)
        if opened.stream is not None:
            return write_stream(opened, opened.stream, UserVector(self._user, [(buffer, count)]))
        if opened.flags & OpenFlag.APPEND:
            at = self._space(opened.file).inode.size
        done = self._write(opened.file, at, buffer, count) if count else 0
        if position is None:
            opened.position = at + done
        if opened.node is not None and done:
            process = self._kernel.current
            assert process is not None, "a copy has a process"
            remove_privileges(opened.node, process.credentials)
            opened.node.touch()
        return done

    def read_kernel(self, file: File, position: int, size: int) -> bytes:
        """Return bytes of a file for the kernel itself, all of which it has. [kernel_read]"""
        state, space, found = self._kernel.state, self._space(file), b""
        while len(found) < size:
            index, offset = divmod(position + len(found), PAGE_BYTES)
            step = min(size - len(found), PAGE_BYTES - offset)
            pfn, _ = state.file_page(space, index)
            found += state.memory.read_bytes(pfn * PAGE_BYTES + offset, step)
            state.frames.put(pfn)
        return found

    def _check(self, opened: OpenFile, permitted: bool, at: int, buffer: int, count: int,
               position: int | None) -> int:
        """Return how many bytes a call may move at most. [rw_verify_area]"""
        if opened.stream is not None and position is not None and not opened.flags & OpenFlag.PATH:
            raise SysError(errno.ESPIPE)
        if not permitted:
            raise SysError(errno.EBADF)
        if not self._user.access_ok(buffer, count):
            raise SysError(errno.EFAULT)
        signed_max = (1 << 8 * self._kernel.space.word_bytes - 1) - 1
        if count > signed_max or at + count > MAX_POSITION:
            raise SysError(errno.EINVAL)
        if isinstance(opened.node, Folder):
            raise SysError(errno.EISDIR)
        return min(count, MAX_RW_COUNT)

    def _space(self, file: File) -> CachedFile:
        """Return the pages of a file; raise ``SysError(EIO)`` for one without bytes."""
        try:
            return self._kernel.state.page_cache.space(file)
        except KeyError:
            raise SysError(errno.EIO) from None

    def _read(self, opened: OpenFile, position: int, buffer: int, count: int) -> int:
        """Copy page by page, up to the first that is not copied whole. [filemap_read]

        Each counts as used: of shared memory if it is read from its start, of other files unless
        the last read ended in it.
        """
        space, done = self._space(opened.file), 0
        wanted = min(count, max(0, space.inode.size - position))
        while done < wanted:
            index, offset = divmod(position + done, PAGE_BYTES)
            step = min(wanted - done, PAGE_BYTES - offset)
            again = (opened.read_up_to - 1) // PAGE_BYTES == index
            left = self._read_page(space, index, offset, buffer + done, step,
                                   used=not (offset if space.content is None else again))
            done += step - left
            opened.read_up_to = position + done
            if left:
                break
        if wanted and not done:
            raise SysError(errno.EFAULT)
        return done

    def _read_page(self, space: CachedFile, index: int, offset: int, buffer: int, size: int, *,
                   used: bool) -> int:
        """Copy a part of one page; return how many bytes were not copied.

        The page counts as ``used``; a hole in shared memory stays one. [shmem_file_read_iter]
        """
        state = self._kernel.state
        if space.is_hole(index):
            return self._user.copy_to_user(buffer, bytes(size), offset)
        pfn, _ = state.file_page(space, index)
        try:
            if used:
                state.mark_accessed(pfn)
            data = state.memory.read_bytes(pfn * PAGE_BYTES + offset, size)
            return self._user.copy_to_user(buffer, data, offset)
        finally:
            state.frames.put(pfn)

    def _write(self, file: File, position: int, buffer: int, count: int) -> int:
        """Copy page by page until nothing more can be copied. [generic_perform_write]

        Where the first byte can be read but the routine copies none, Linux 6.1 tries for ever:
        here that is the end, too.
        """
        space, done, copied = self._space(file), 0, 1
        wanted = self._room(space, position, count)
        while done < wanted and copied:
            index, offset = divmod(position + done, PAGE_BYTES)
            step = min(wanted - done, PAGE_BYTES - offset)
            try:
                copied = self._write_page(space, index, offset, buffer + done, step)
            except (NotPromised, SysError) as error:
                if done:
                    break
                if self._user.copy_from_user(buffer, 1)[1]:  # which comes first
                    raise SysError(errno.EFAULT) from None
                raise SysError(errno.ENOSPC if isinstance(error, NotPromised) else errno.EPERM
                               ) from error
            done += copied
        if not done:
            raise SysError(errno.EFAULT)
        return done

    def _room(self, space: CachedFile, position: int, count: int) -> int:
        """Return how many bytes a file may take from ``position`` on.

        Raise ``SysError(EFBIG)`` if none. [generic_write_check_limits]
        """
        process = self._kernel.current
        assert process is not None, "a copy has a process"
        most = min(max_bytes(self._kernel.state, space), process.mm.rlimits.file_size)
        if position >= most:
            raise SysError(errno.EFBIG)
        return min(count, most - position)

    def _write_page(self, space: CachedFile, index: int, offset: int, buffer: int,
                    size: int) -> int:
        """Copy to a part of one page; return how many bytes were copied.

        The file has a new page only if there are any, and a page of shared memory counts as used.
        Raise ``NotPromised``, ``SysError(EPERM)``. [shmem_write_begin, shmem_write_end]
        """
        state, start = self._kernel.state, index * PAGE_BYTES
        if space.content is None:
            _check_seals(space, start + offset + size)
        is_new = index not in space.pages.keys() | space.slots.keys() and (
            space.content is None or not space.holds(index))
        pfn, _ = state.file_page(space, index)
        try:
            data, left = self._user.copy_from_user(buffer, size, offset)
            copied = size - left
            if copied and space.content is None:
                state.mark_accessed(pfn)
            state.memory.write_bytes(pfn * PAGE_BYTES + offset, data[:copied])
            if copied:
                state.page_cache.set_dirty(pfn)
        finally:
            state.frames.put(pfn)
        if copied and start + offset + copied > space.inode.size:
            space.set_size(start + offset + copied)
        if is_new and not copied:
            truncate_range(state, space, start, start + PAGE_BYTES)
        return copied


def _check_seals(space: CachedFile, end: int) -> None:
    """Raise ``SysError(EPERM)`` if seals forbid to write up to a position. [shmem_write_begin]"""
    grows = end > space.inode.size
    if space.inode.seals & (Seal.ANY_WRITE | (Seal.GROW if grows else 0)):
        raise SysError(errno.EPERM)
