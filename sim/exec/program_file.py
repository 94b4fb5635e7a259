"""The program that a user names: found in the file system, and looked at before anything runs."""

import errno
from dataclasses import replace

from ...model.address_space.elf import ExecFile, elf_mode, read_elf
from ...model.address_space.errors import ExecError, SysError
from ...model.address_space.exec_arguments import Credentials, ExecArguments
from ...model.address_space.exec_file import find_binary
from ...model.address_space.vma import File
from ...model.kernel.vfs.file_rights import EXEC, check_permission
from ...model.kernel.vfs.resolve import FsState, Resolver
from ...model.kernel.vfs.vnode import RegularFile
from ...model.x86 import PagingMode
from ..errors import InputError

__all__ = ["find_program", "look_at_program"]

DEFAULT_PATH = b"/usr/local/bin:/usr/bin:/bin"
EXPECTED = "an ELF program for x86-64 or i386, or a script of one"


def find_program(name: bytes, environment: dict[bytes, bytes], fs: FsState,
                 who: Credentials) -> bytes:
    """Return the path of a program: a name without a slash is looked for in PATH. [execvp(3)]

    Raise ``InputError`` if there is none of that name.
    """
    if b"/" in name:
        return name
    for folder in environment.get(b"PATH", DEFAULT_PATH).split(b":"):
        path = (folder or b".") + b"/" + name
        try:
            _open(path, fs, who)
        except SysError:
            continue
        return path
    raise InputError(f"{name.decode(errors='replace')}: is in no folder of PATH; expected "
                     f"{EXPECTED}")


def look_at_program(arguments: ExecArguments, fs: FsState, who: Credentials) -> PagingMode:
    """Return the paging mode of the machine that a program needs.

    Raise ``InputError`` for what cannot be run: a file that is not there or may not be run, that
    is no program, or one for another machine, or whose interpreter is not there.
    """
    asked = [arguments.filename]

    def opened(path: bytes) -> ExecFile:
        asked.append(path)
        return _open(path, fs, who)
    try:
        source, _ = find_binary(arguments, opened)
        mode = elf_mode(source)
        read_elf(source, mode, opened)
    except ExecError as error:
        raise InputError(f"{error.file}: cannot be run: {error.what} is {error.found}, expected "
                         f"{error.expected}") from None
    except SysError as error:
        name = asked[-1].decode(errors="replace")
        raise InputError(f"{name}: cannot be run: {error}; expected {EXPECTED}") from None
    return mode


def _open(path: bytes, fs: FsState, who: Credentials) -> ExecFile:
    """Return a file of the host to be run; raise ``SysError``. [do_open_execat]"""
    if not path:
        raise SysError(errno.ENOENT)
    node = Resolver(replace(fs), who).node(fs.folder, path)
    if not isinstance(node, RegularFile) or node.source is None:
        raise SysError(errno.EACCES)
    check_permission(node, EXEC, who)
    node.source.check_readable()
    return ExecFile(File(path.decode(errors="replace")), node.source.read)
