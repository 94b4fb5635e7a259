"""The flags of open files. [include/uapi/asm-generic/fcntl.h]"""

__all__ = ["OpenFlag"]


class OpenFlag:
    """What open is told, as x86 numbers it. [``O_*``]"""

    WRONLY = 1
    RDWR = 2
    ACCESS = 3
    CREAT = 0o100
    EXCL = 0o200
    NOCTTY = 0o400
    TRUNC = 0o1000
    APPEND = 0o2000
    NONBLOCK = 0o4000
    DSYNC = 0o10000
    ASYNC = 0o20000
    DIRECT = 0o40000
    LARGEFILE = 0o100000
    DIRECTORY = 0o200000
    NOFOLLOW = 0o400000
    NOATIME = 0o1000000
    CLOEXEC = 0o2000000
    SYNC = 0o4010000
    PATH = 0o10000000
    TMPFILE = 0o20200000

    VALID = 0o37777703
    GONE = CREAT | EXCL | NOCTTY | TRUNC
    """Those that do not stay with the open file."""
