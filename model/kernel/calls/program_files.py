"""What a program is given to begin with: its standard files, and the file that it is itself."""

import errno
from typing import BinaryIO

from ...address_space.elf import ExecFile
from ...address_space.errors import SysError
from ..process import Process
from ..vfs.file_rights import EXEC, check_permission
from ..vfs.host_stream import given_file
from ..vfs.open_flag import OpenFlag
from ..vfs.vnode import RegularFile, VfsNode
from .open_calls import OpenCalls
from .path_base import AtFlag

__all__ = ["ProgramFiles"]


class ProgramFiles(OpenCalls):
    """Opens files for programs that start; ``SystemCalls`` has it, too."""

    def give_files(self, process: Process, stdin: BinaryIO | None, stdout: BinaryIO | None,
                   stderr: BinaryIO | None) -> None:
        """Open standard input, output and error for a process; None for one that it lacks.

        Raise ``SysError(ENOSYS)`` for a process without a file system.
        """
        clock = self._fs(process).root.volume.clock
        for number, file in enumerate((stdin, stdout, stderr)):
            if file is None:
                continue
            node = given_file(file, clock)
            flags = OpenFlag.WRONLY if number else 0
            opened = self._open_file(process, node, flags | OpenFlag.LARGEFILE)
            process.files.replace(number, opened)

    def open_exec(self, process: Process, path: bytes, dirfd: int = AtFlag.FDCWD) -> ExecFile:
        """Return a file to be run, for ``find_binary`` and ``read_elf``.

        Raise ``SysError``: EACCES for what is no regular file or may not be run, and as paths do.
        [do_open_execat]
        """
        node = self.exec_node(process, path, dirfd)
        if node.source is not None:
            node.source.check_readable()
        file = self._file(process, node, readable=True, writable=False)

        def read(offset: int, size: int) -> bytes:
            size = max(0, min(size, node.size - offset))
            with self.kernel.acting(None):
                return self.io.read_kernel(file, offset, size)
        return ExecFile(file, read)

    def exec_node(self, process: Process, path: bytes, dirfd: int = AtFlag.FDCWD) -> RegularFile:
        """Return the node of a file to be run; raise as ``open_exec``.

        One that is open to be written to is ETXTBSY. [deny_write_access]
        """
        if not path:
            raise SysError(errno.ENOENT)
        node: VfsNode = self._node(process, dirfd, path)
        if not isinstance(node, RegularFile):
            raise SysError(errno.EACCES)
        check_permission(node, EXEC, process.credentials)
        if any(opened.node is node and opened.file.writable
               for one in self.kernel.processes.values() for opened in one.files.opened):
            raise SysError(errno.ETXTBSY)
        return node
