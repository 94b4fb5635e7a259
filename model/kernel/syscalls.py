"""The system calls of a process: from the boundary to the parts that do the work.

Each returns what Linux leaves in the register: a result, or a negative errno. Data cross the
boundary by copies that may fail in the middle. [mm/mmap.c, fs/read_write.c, kernel/fork.c]
"""

import errno
from collections.abc import Callable

from ..address_space.errors import SysError
from ..address_space.vma import File
from .frames import PAGE_BYTES
from .kernel import Kernel
from .process import Process
from .uaccess import UserAccess

__all__ = ["SystemCalls"]


class SystemCalls:
    """The calls of whichever process runs.

    Every call may raise ``OomKilled``, when it does not return, as its process is gone.

    Parameters
    ----------
    kernel
        The kernel.

    Members
    -------
    user
        The copies to and from the process.
    open_files
        The files of each process by number, with where it reads or writes next.
    """

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.user = UserAccess(kernel)
        self.open_files: dict[int, dict[int, list[File | int]]] = {}

    @property
    def _process(self) -> Process:
        process = self.kernel.current
        if process is None:
            raise ValueError("No process runs that could call")
        return process

    def _call(self, work: Callable[[Process], int]) -> int:
        """Do the work of a call; return its result or a negative errno."""
        process = self._process
        try:
            with self.kernel.acting(process):
                result = work(process)
        except SysError as error:
            return -error.errno
        return result

    # ---- memory

    def mmap(self, address: int, length: int, prot: int, flags: int, fd: int = -1,
             offset: int = 0) -> int:
        """Map memory or an open file; return where. [mmap(2)]"""
        def work(process: Process) -> int:
            file = self._file(process, fd) if fd >= 0 else None
            result = process.mm.mmap(address, length, prot, flags, file, offset)
            self.kernel.release_shmem()  # MAP_FIXED may have replaced the last mapping of some
            return result
        return self._call(work)

    def munmap(self, start: int, length: int) -> int:
        """Unmap a range. [munmap(2)]"""
        def work(process: Process) -> int:
            process.mm.munmap(start, length)
            self.kernel.release_shmem()
            return 0
        return self._call(work)

    def mprotect(self, start: int, length: int, prot: int) -> int:
        """Give a range new rights. [mprotect(2)]"""
        def work(process: Process) -> int:
            process.mm.mprotect(start, length, prot)
            return 0
        return self._call(work)

    def mremap(self, address: int, old_length: int, new_length: int, flags: int = 0,
               new_address: int = 0) -> int:
        """Resize or move a mapping; return where it is. [mremap(2)]"""
        def work(process: Process) -> int:
            result = process.mm.mremap(address, old_length, new_length, flags, new_address)
            self.kernel.release_shmem()
            return result
        return self._call(work)

    def madvise(self, start: int, length: int, advice: int) -> int:
        """Take an advice about a range. [madvise(2)]"""
        def work(process: Process) -> int:
            process.mm.madvise(start, length, advice)
            return 0
        return self._call(work)

    def brk(self, address: int) -> int:
        """Move the end of the heap; return where it is. [brk(2)]"""
        return self._call(lambda process: process.mm.brk(address))

    # ---- processes

    def fork(self) -> int:
        """Copy the process; return the child's pid. [fork(2)]"""
        def work(process: Process) -> int:
            child = self.kernel.fork(process)
            files = self.open_files.get(process.pid, {})
            self.open_files[child.pid] = dict(files)  # they share where they read and write next
            return child.pid
        return self._call(work)

    def exit(self) -> None:
        """End the process. [_exit(2)]"""
        process = self._process
        self.open_files.pop(process.pid, None)
        self.kernel.exit(process)

    # ---- files

    def open(self, file: File) -> int:
        """Open a file whose bytes are registered; return its number. [open(2)]"""
        files = self.open_files.setdefault(self._process.pid, {})
        fd = next(number for number in range(len(files) + 1) if number not in files)
        files[fd] = [file, 0]
        return fd

    def _file(self, process: Process, fd: int) -> File:
        file = self._entry(process, fd)[0]
        assert isinstance(file, File)
        return file

    def _entry(self, process: Process, fd: int) -> list[File | int]:
        entry = self.open_files.get(process.pid, {}).get(fd)
        if entry is None:
            raise SysError(errno.EBADF)
        return entry

    def read(self, fd: int, buffer: int, count: int) -> int:
        """Copy what follows of a file to ``buffer``; return how many bytes. [read(2)]"""
        return self._call(lambda process: self._transfer(process, fd, buffer, count, write=False))

    def write(self, fd: int, buffer: int, count: int) -> int:
        """Copy ``buffer`` to a file from where it is on, not past its end; return how much.

        A file does not grow: at its end the call fails with ENOSPC. [write(2)]
        """
        return self._call(lambda process: self._transfer(process, fd, buffer, count, write=True))

    def _transfer(self, process: Process, fd: int, buffer: int, count: int, *,
                  write: bool) -> int:
        """Copy by way of the page cache, page by page, as far as the buffer can be accessed.

        Nothing copied is EFAULT. [filemap_read, generic_perform_write]
        """
        entry = self._entry(process, fd)
        file, position = entry
        assert isinstance(file, File)
        assert isinstance(position, int)
        if not (file.writable if write else file.readable):
            raise SysError(errno.EBADF)
        if not self.user.access_ok(buffer, count):
            raise SysError(errno.EFAULT)
        size = len(self.kernel.state.page_cache.space(file).content or b"")
        wanted = min(count, max(0, size - position))
        if write and count and not wanted:
            raise SysError(errno.ENOSPC)
        done = 0
        while done < wanted:
            at = position + done
            step = min(wanted - done, PAGE_BYTES - at % PAGE_BYTES)
            copied = self._copy(file, at, buffer + done, step, write=write)
            done += copied
            entry[1] = position + done
            if copied < step:
                break
        if wanted and not done:
            raise SysError(errno.EFAULT)
        return done

    def _copy(self, file: File, position: int, buffer: int, count: int, *, write: bool) -> int:
        """Copy within one page of a file, which reclaim leaves alone; return how many bytes."""
        state = self.kernel.state
        index, offset = divmod(position, PAGE_BYTES)
        pfn, _ = state.file_page(state.page_cache.space(file), index)
        try:
            paddr = pfn * PAGE_BYTES + offset
            if not write:
                return count - self.user.copy_to_user(
                    buffer, state.memory.read_bytes(paddr, count))
            data, left = self.user.copy_from_user(buffer, count)
            state.memory.write_bytes(paddr, data[: count - left])
            state.page_cache.set_dirty(pfn)
            return count - left
        finally:
            state.frames.put(pfn)
