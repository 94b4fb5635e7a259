"""System calls that open paths, and give open files other numbers. [fs/open.c, fs/file.c]"""

import errno
import stat
from functools import partial

from ...address_space.errors import SysError
from ...address_space.vma import File
from ..file_size import ftruncate
from ..file_table import OpenFile
from ..process import Process
from ..vfs.file_rights import remove_privileges
from ..vfs.folder import Folder
from ..vfs.open_flag import OpenFlag
from ..vfs.opening import open_how, open_node
from ..vfs.pipe import Pipe, PipeEnd
from ..vfs.stream import Stream, WouldBlock
from ..vfs.vnode import RegularFile, SpecialFile, VfsNode
from .arguments import as_int, as_position, as_uint
from .path_base import AtFlag, PathBase

__all__ = ["OpenCalls"]

CLOSE_RANGE_UNSHARE, CLOSE_RANGE_CLOEXEC = 2, 4


class OpenCalls(PathBase):
    """The calls that make open files."""

    def openat(self, dirfd: int, path: int | bytes, flags: int, mode: int = 0) -> int:
        """Open a path; return its number. [openat(2)]

        Without O_LARGEFILE a 32-bit program is refused a file of 2 Gbytes: EOVERFLOW.
        """
        def work(process: Process) -> int:
            how, limit = open_how(as_uint(flags), mode), process.mm.rlimits.open_files
            name = self._path(path)
            if not name:
                raise SysError(errno.ENOENT)
            process.files.require_room(limit)
            start = self._start(process, dirfd, name)
            found = open_node(self._resolver(process), start, name, how)
            writes = how.flags & OpenFlag.ACCESS and not how.flags & OpenFlag.PATH
            if writes or found.truncate:
                self._deny_running(found.node)
            if found.truncate:
                self._truncate(process, found.node, 0)
            opened = self._open_file(process, found.node, how.flags)
            install = partial(process.files.open, opened, limit,
                              close_on_exec=bool(how.flags & OpenFlag.CLOEXEC))
            if isinstance(opened.stream, PipeEnd) and opened.stream.partner is not None:
                raise WouldBlock(opened.stream.partner, resume=install,
                                 cancel=opened.stream.close)
            return install()
        return self._call(work)

    def _open_file(self, process: Process, node: VfsNode, flags: int) -> OpenFile:
        """Return a node open. Raise ``SysError``: EOVERFLOW, ENXIO, EACCES. [do_dentry_open]"""
        kept = flags & ~(OpenFlag.GONE | OpenFlag.CLOEXEC)
        access = flags & OpenFlag.ACCESS
        if flags & OpenFlag.PATH:
            return OpenFile(self._file(process, node, readable=False, writable=False), flags=kept,
                            node=node)
        if self.kernel.space.word_bytes == 4 and not flags & OpenFlag.LARGEFILE and (
                isinstance(node, RegularFile) and node.size >= 1 << 31):
            raise SysError(errno.EOVERFLOW)
        stream = _stream(node, flags) if isinstance(node, SpecialFile) else None
        if isinstance(node, RegularFile) and node.source is not None:
            node.source.check_readable()
        file = self._file(process, node, readable=access != OpenFlag.WRONLY,
                          writable=access in (OpenFlag.WRONLY, OpenFlag.RDWR))
        return OpenFile(file, flags=kept, node=node, stream=stream)

    def _deny_running(self, node: VfsNode) -> None:
        """Raise ``SysError(ETXTBSY)`` for a file that a process runs. [get_write_access]"""
        if any(process.exe is node for process in self.kernel.processes.values()):
            raise SysError(errno.ETXTBSY)

    def _truncate(self, process: Process, node: VfsNode, size: int) -> None:
        """Give a file so many bytes. [do_truncate]"""
        assert isinstance(node, RegularFile), "checked"
        ftruncate(self.kernel.state, self._cached(node), size, process.mm.rlimits)
        remove_privileges(node, process.credentials)
        node.touch()

    def truncate(self, path: int | bytes, length: int) -> int:
        """Give the file of a path so many bytes. [truncate(2), truncate64(2)]"""
        def work(process: Process) -> None:
            size = as_position(length)
            node = self._node(process, AtFlag.FDCWD, self._path(path))
            if isinstance(node, Folder):
                raise SysError(errno.EISDIR)
            if not isinstance(node, RegularFile):
                raise SysError(errno.EINVAL)
            self._check_write(process, node)
            self._deny_running(node)
            self._truncate(process, node, size)
        return self._call(work)

    # ---- numbers

    def dup(self, fd: int) -> int:
        """Give an open file one more number. [dup(2)]"""
        return self._call(lambda process: process.files.open(
            self._opened(process, fd), process.mm.rlimits.open_files))

    def dup2(self, old: int, new: int) -> int:
        """Give an open file a certain number, too. [dup2(2)]"""
        def work(process: Process) -> int:
            if as_uint(old) == as_uint(new):
                self._opened(process, old)
                return as_uint(old)
            return self._dup_to(process, old, new, close_on_exec=False)
        return self._call(work)

    def dup3(self, old: int, new: int, flags: int) -> int:
        """Do as ``dup2``, with O_CLOEXEC if it is asked for. [dup3(2)]"""
        def work(process: Process) -> int:
            if as_uint(flags) & ~OpenFlag.CLOEXEC or as_uint(old) == as_uint(new):
                raise SysError(errno.EINVAL)
            return self._dup_to(process, old, new, close_on_exec=bool(as_uint(flags)))
        return self._call(work)

    def _dup_to(self, process: Process, old: int, new: int, *, close_on_exec: bool) -> int:
        if as_uint(new) >= process.mm.rlimits.open_files:
            raise SysError(errno.EBADF)
        process.files.replace(as_uint(new), self._opened(process, old),
                              close_on_exec=close_on_exec)
        return as_uint(new)

    def close_range(self, first: int, last: int, flags: int = 0) -> int:
        """Close all numbers of a range, or have an exec close them. [close_range(2)]

        With CLOSE_RANGE_UNSHARE the process has its numbers for itself before.
        """
        first, last, flags = as_uint(first), as_uint(last), as_uint(flags)

        def work(process: Process) -> None:
            if flags & ~(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC) or first > last:
                raise SysError(errno.EINVAL)
            if flags & CLOSE_RANGE_UNSHARE:
                process.files = process.files.unshare()
            for fd in [fd for fd in process.files.numbers if first <= fd <= last]:
                if flags & CLOSE_RANGE_CLOEXEC:
                    process.files.set_close_on_exec(fd, True)
                else:
                    process.files.close(fd)
        return self._call(work)

    # ---- pipes

    def pipe2(self, numbers: int, flags: int = 0) -> int:
        """Make a pipe; store the numbers of both its ends. [pipe2(2)]"""
        numbers, = self._words(numbers)
        flags = as_int(flags)

        def work(process: Process) -> None:
            if flags & ~(OpenFlag.CLOEXEC | OpenFlag.NONBLOCK | OpenFlag.DIRECT):
                raise SysError(errno.EINVAL)
            pipe, limit = Pipe(), process.mm.rlimits.open_files
            node = self._pipe_node(process, pipe)
            close_on_exec, files = bool(flags & OpenFlag.CLOEXEC), process.files
            fds: list[int] = []
            try:
                for access in (0, OpenFlag.WRONLY):
                    opened = _pipe_file(node, pipe, access | flags & OpenFlag.NONBLOCK)
                    fds.append(files.open(opened, limit, close_on_exec=close_on_exec))
                data = b"".join(fd.to_bytes(4, "little") for fd in fds)
                if self.user.copy_to_user(numbers, data):
                    raise SysError(errno.EFAULT)
            except SysError:
                for fd in fds:
                    files.close(fd)
                raise
        return self._call(work)

    def _pipe_node(self, process: Process, pipe: Pipe) -> SpecialFile:
        """Return the node of a new pipe, which has no name. [get_pipe_inode]"""
        volume, who = self._fs(process).pipes, process.credentials
        if volume is None:
            raise SysError(errno.ENFILE)
        return SpecialFile(volume, stat.S_IFIFO | 0o600, uid=who.euid, gid=who.egid,
                           opener=lambda flags: _pipe_end(pipe, flags))


def _pipe_end(pipe: Pipe, flags: int) -> PipeEnd:
    access = flags & OpenFlag.ACCESS
    return PipeEnd(pipe, reads=access != OpenFlag.WRONLY, writes=access != 0)


def _pipe_file(node: VfsNode, pipe: Pipe, flags: int) -> OpenFile:
    """Return an open end of a pipe."""
    end, name = _pipe_end(pipe, flags), f"pipe:[{node.inode}]"
    file = File(name, node.volume.major, node.volume.minor, node.inode,
                readable=not flags & OpenFlag.WRONLY, writable=bool(flags & OpenFlag.WRONLY))
    return OpenFile(file, flags=flags, node=node, stream=end)


def _stream(node: SpecialFile, flags: int) -> Stream:
    """Return what reads and writes a special file.

    Those of the host are never opened: EACCES, and ENXIO for a socket. [may_open_dev]
    """
    if node.opener is None:
        raise SysError(errno.ENXIO if stat.S_ISSOCK(node.mode) else errno.EACCES)
    return node.opener(flags)
