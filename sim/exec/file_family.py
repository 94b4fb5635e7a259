"""A program's calls about files, those that the kernel model has under another form."""

import errno

from ...model.kernel.calls.path_base import AtFlag
from ...model.kernel.vfs.open_flag import OpenFlag
from .call_context import Call, CallContext

__all__ = ["DIRECT_FILES", "FILE_CALLS"]

CREAT = 0o1101  # O_CREAT, O_WRONLY, O_TRUNC
KEEP = 0xFFFF_FFFF
XATTR_CREATE, XATTR_REPLACE = 1, 2
NOFOLLOW = AtFlag.SYMLINK_NOFOLLOW
CWD = AtFlag.FDCWD

DIRECT_FILES = {
    "read": ("read", 3), "write": ("write", 3), "readv": ("readv", 3), "writev": ("writev", 3),
    "close": ("close", 1), "lseek": ("lseek", 3), "fstat": ("fstat", 2),
    "fstat64": ("fstat", 2), "newfstatat": ("newfstatat", 4), "fstatat64": ("newfstatat", 4),
    "statx": ("statx", 5), "ioctl": ("ioctl", 3), "fcntl": ("fcntl", 3), "fcntl64": ("fcntl", 3),
    "dup": ("dup", 1), "dup2": ("dup2", 2), "dup3": ("dup3", 3), "pipe2": ("pipe2", 2),
    "getdents64": ("getdents64", 3), "getdents": ("getdents", 3), "poll": ("poll", 3),
    "readlinkat": ("readlinkat", 4), "getcwd": ("getcwd", 2), "chdir": ("chdir", 1),
    "fchdir": ("fchdir", 1), "umask": ("umask", 1), "fsync": ("fsync", 1),
    "fdatasync": ("fsync", 1), "mkdirat": ("mkdirat", 3), "unlinkat": ("unlinkat", 3),
    "symlinkat": ("symlinkat", 3), "linkat": ("linkat", 5), "renameat2": ("renameat2", 5),
    "faccessat2": ("faccessat2", 4), "fchmodat": ("fchmodat", 3), "fchmod": ("fchmod", 2),
    "fchownat": ("fchownat", 5), "fchown": ("fchown", 3), "memfd_create": ("memfd_create", 2),
    "getxattr": ("getxattr", 1), "fgetxattr": ("fgetxattr", 1), "listxattr": ("listxattr", 1),
    "close_range": ("close_range", 3), "flock": ("flock", 2), "mknodat": ("mknodat", 3),
    "statfs": ("statfs", 2), "fstatfs": ("fstatfs", 2), "statfs64": ("statfs64", 3),
    "fstatfs64": ("fstatfs64", 3), "syncfs": ("syncfs", 1), "fchown32": ("fchown", 3),
    "copy_file_range": ("copy_file_range", 6), "removexattr": ("getxattr", 1),
    "fremovexattr": ("fgetxattr", 1),
}
"""Calls that go to the kernel model as they are: its name for them, and how many arguments."""


def _halves(context: CallContext, low: int, high: int) -> int:
    """Return an offset, which takes two registers of 32 bits."""
    return low if context.word_bytes == 8 else high << 32 | low


def _places(context: CallContext, *words: int) -> tuple[int, int]:
    """Return two offsets, each of which takes two registers of 32 bits."""
    if context.word_bytes == 8:
        return words[0], words[1]
    return words[1] << 32 | words[0], words[3] << 32 | words[2]


def _id(value: int) -> int:
    """Return an ID of 16 bits, of which -1 is one that stays. [low2highuid]"""
    return KEEP if value & 0xFFFF == 0xFFFF else value & 0xFFFF


def _set_flags(flags: int) -> int:
    """Return a negative errno for flags that setxattr does not know. [setxattr_copy]"""
    return -errno.EINVAL if flags & ~(XATTR_CREATE | XATTR_REPLACE) & 0xFFFF_FFFF else 0


def _signed(context: CallContext, value: int) -> int:
    """Return what a register holds as a signed number."""
    half = 1 << 8 * context.word_bytes - 1
    return (value ^ half) - half


FILE_CALLS: dict[str, Call] = {
    "open": lambda c, path, flags, mode, *_: _open(c, CWD, path, flags, mode),
    "openat": lambda c, fd, path, flags, mode, *_: _open(c, fd, path, flags, mode),
    "creat": lambda c, path, mode, *_: _open(c, CWD, path, CREAT, mode),
    "stat": lambda c, path, to, *_: c.calls.newfstatat(CWD, path, to, 0),
    "lstat": lambda c, path, to, *_: c.calls.newfstatat(CWD, path, to, NOFOLLOW),
    "stat64": lambda c, path, to, *_: c.calls.newfstatat(CWD, path, to, 0),
    "lstat64": lambda c, path, to, *_: c.calls.newfstatat(CWD, path, to, NOFOLLOW),
    "access": lambda c, path, mode, *_: c.calls.faccessat2(CWD, path, mode),
    "faccessat": lambda c, fd, path, mode, *_: c.calls.faccessat2(fd, path, mode),
    "readlink": lambda c, path, to, size, *_: c.calls.readlinkat(CWD, path, to, size),
    "pipe": lambda c, to, *_: c.calls.pipe2(to, 0),
    "mkdir": lambda c, path, mode, *_: c.calls.mkdirat(CWD, path, mode),
    "rmdir": lambda c, path, *_: c.calls.unlinkat(CWD, path, AtFlag.REMOVEDIR),
    "unlink": lambda c, path, *_: c.calls.unlinkat(CWD, path, 0),
    "symlink": lambda c, text, path, *_: c.calls.symlinkat(text, CWD, path),
    "link": lambda c, old, new, *_: c.calls.linkat(CWD, old, CWD, new, 0),
    "utimensat": lambda c, fd, path, times, flags, *_: c.calls.utimensat(
        fd, path, times, flags, wide=c.word_bytes == 8),
    "utimensat_time64": lambda c, fd, path, times, flags, *_: c.calls.utimensat(
        fd, path, times, flags),
    "rename": lambda c, old, new, *_: c.calls.renameat2(CWD, old, CWD, new, 0),
    "renameat": lambda c, at, old, to, new, *_: c.calls.renameat2(at, old, to, new, 0),
    "mknod": lambda c, path, mode, *_: c.calls.mknodat(CWD, path, mode),
    "chown": lambda c, path, uid, gid, *_: c.calls.fchownat(CWD, path, uid, gid),
    "lchown": lambda c, path, uid, gid, *_: c.calls.fchownat(CWD, path, uid, gid, NOFOLLOW),
    "chown32": lambda c, path, uid, gid, *_: c.calls.fchownat(CWD, path, uid, gid),
    "lchown32": lambda c, path, uid, gid, *_: c.calls.fchownat(CWD, path, uid, gid, NOFOLLOW),
    "old_chown": lambda c, path, uid, gid, *_: c.calls.fchownat(
        CWD, path, _id(uid), _id(gid)),
    "old_lchown": lambda c, path, uid, gid, *_: c.calls.fchownat(
        CWD, path, _id(uid), _id(gid), NOFOLLOW),
    "old_fchown": lambda c, fd, uid, gid, *_: c.calls.fchown(fd, _id(uid), _id(gid)),
    "old_stat": lambda c, path, to, *_: c.calls.oldstat(CWD, path, to, 0),
    "old_lstat": lambda c, path, to, *_: c.calls.oldstat(CWD, path, to, NOFOLLOW),
    "old_fstat": lambda c, fd, to, *_: c.calls.oldstat(fd, b"", to, AtFlag.EMPTY_PATH),
    "chmod": lambda c, path, mode, *_: c.calls.fchmodat(CWD, path, mode),
    "_llseek": lambda c, fd, high, low, to, whence, *_: c.calls.llseek(
        fd, high << 32 | low, to, whence),
    "pread64": lambda c, fd, to, size, low, high, *_: c.calls.pread(
        fd, to, size, _halves(c, low, high)),
    "pwrite64": lambda c, fd, source, size, low, high, *_: c.calls.pwrite(
        fd, source, size, _halves(c, low, high)),
    "preadv": lambda c, fd, vector, count, low, high, *_: c.calls.preadv(
        fd, vector, count, _halves(c, low, high)),
    "pwritev": lambda c, fd, vector, count, low, high, *_: c.calls.pwritev(
        fd, vector, count, _halves(c, low, high)),
    "preadv2": lambda c, fd, vector, count, low, high, flags: c.calls.preadv2(
        fd, vector, count, _halves(c, low, high), flags),
    "pwritev2": lambda c, fd, vector, count, low, high, flags: c.calls.pwritev2(
        fd, vector, count, _halves(c, low, high), flags),
    "sendfile": lambda c, to, source, at, count, *_: c.calls.sendfile(
        to, source, at, count, offset_bytes=c.word_bytes),
    "sendfile64": lambda c, to, source, at, count, *_: c.calls.sendfile(to, source, at, count),
    "fallocate": lambda c, fd, mode, *places: c.calls.fallocate(fd, mode, *_places(c, *places)),
    "sync": lambda *_: 0,
    "readahead": lambda c, fd, *_: _advised(c, fd),
    "sync_file_range": lambda c, fd, *_: _advised(c, fd),
    "truncate": lambda c, path, size, *_: c.calls.truncate(path, _signed(c, size)),
    "truncate64": lambda c, path, low, high, *_: c.calls.truncate(path, high << 32 | low),
    "ftruncate": lambda c, fd, size, *_: c.calls.ftruncate(fd, _signed(c, size)),
    "ftruncate64": lambda c, fd, low, high, *_: c.calls.ftruncate(fd, high << 32 | low),
    "lgetxattr": lambda c, path, *_: c.calls.getxattr(path, follow=False),
    "llistxattr": lambda c, path, *_: c.calls.listxattr(path, follow=False),
    "setxattr": lambda c, path, _, _value, _size, flags, *_rest: (
        _set_flags(flags) or c.calls.getxattr(path)),
    "lsetxattr": lambda c, path, _, _value, _size, flags, *_rest: (
        _set_flags(flags) or c.calls.getxattr(path, follow=False)),
    "fsetxattr": lambda c, fd, _, _value, _size, flags, *_rest: (
        _set_flags(flags) or c.calls.fgetxattr(fd)),
    "lremovexattr": lambda c, path, *_: c.calls.getxattr(path, follow=False),
    "flistxattr": lambda c, fd, *_: _advised(c, fd),
    "fadvise64": lambda c, fd, *_: _advised(c, fd),
    "fadvise64_64": lambda c, fd, *_: _advised(c, fd),
}
"""Calls that come in another form: each gets the context and all six arguments."""


def _open(context: CallContext, folder: int, path: int, flags: int, mode: int) -> int:
    """Open a path, of 64-bit programs always as a large file. [force_o_largefile]"""
    large = OpenFlag.LARGEFILE if context.word_bytes == 8 else 0
    return context.calls.openat(folder, path, flags | large, mode)


def _advised(context: CallContext, fd: int) -> int:
    """Take an advice about a file, which changes nothing that a program sees."""
    opened = fd & 0xFFFF_FFFF in context.process.files.numbers
    return 0 if opened else -errno.EBADF
