"""execve of a path: what runs, and which strings it gets. [do_execveat_common in fs/exec.c]"""

import errno
from dataclasses import replace

from ...address_space.elf import ExecFile, read_elf
from ...address_space.errors import SysError
from ...address_space.exec_arguments import ExecArguments
from ...address_space.exec_file import find_binary
from ...address_space.exec_layout import Program
from ..process import Process
from ..vfs.vnode import VfsNode
from .path_base import AtFlag
from .program_files import ProgramFiles

__all__ = ["ExecCalls"]

MAX_STRING = 32 * 4096
NAME_BYTES = 15


class ExecCalls(ProgramFiles):
    """The calls that replace what a process runs by a file of the file system."""

    def program_at(self, process: Process, arguments: ExecArguments, dirfd: int = AtFlag.FDCWD,
                   ) -> tuple[Program, ExecArguments, VfsNode]:
        """Return what ``arguments.filename`` leads to, through scripts: a program that can be run.

        With it come the arguments that it gets, and its node, for ``Process.exe``. Raise as
        ``find_binary`` and ``read_elf``.
        """
        nodes: list[VfsNode] = []

        def opener(name: bytes) -> ExecFile:
            nodes.append(self.exec_node(process, name, dirfd))
            return self.open_exec(process, name, dirfd)
        source, given = find_binary(arguments, opener)
        exe = nodes[-1]
        program = read_elf(source, self.kernel.mode, lambda name: self.open_exec(process, name))
        return program, given, exe

    def execveat(self, dirfd: int, path: int | bytes, argv: int, envp: int) -> int:
        """Replace what the process runs by a file; see ``execve``. [execveat(2), execve(2)]"""
        def work(process: Process) -> None:
            name = self._path(path)
            if not name:
                raise SysError(errno.ENOENT)
            arguments = ExecArguments(name, self._strings(argv), self._strings(envp))
            program, given, exe = self.program_at(process, arguments, dirfd)
            self.kernel.exec(process, program, given)
            process.exe = exe
            process.credentials = replace(process.credentials, suid=None, sgid=None)
            last = name.rpartition(b"/")[2]
            process.name = last[:NAME_BYTES].decode(errors="surrogateescape")
        return self._call(work)

    def _strings(self, address: int) -> list[bytes]:
        """Return the strings that a list of pointers leads to, which a 0 ends.

        Raise ``SysError``: EFAULT, E2BIG for a string of more than 128 Kbytes. [copy_strings]
        """
        address, = self._words(address)
        word_bytes, found = self.kernel.space.word_bytes, []
        while address:
            pointer = int.from_bytes(self._bytes(address, word_bytes), "little")
            if not pointer:
                break
            found.append(self._string(pointer))
            address += word_bytes
        return found

    def _string(self, address: int) -> bytes:
        text = b""
        while len(text) < MAX_STRING:
            at = address + len(text)
            size = 4096 - at % 4096
            data, left = self.user.copy_from_user(at, size)
            copied = data[: size - left]
            if b"\0" in copied:
                return text + copied.partition(b"\0")[0]
            if left:
                raise SysError(errno.EFAULT)
            text += copied
        raise SysError(errno.E2BIG)

    def _bytes(self, address: int, size: int) -> bytes:
        data, left = self.user.copy_from_user(address, size)
        if left:
            raise SysError(errno.EFAULT)
        return data
