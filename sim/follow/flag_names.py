"""Names of the numbers that system calls are given. [uapi]"""

from collections.abc import Mapping

from ...model.address_space.uapi import Madvise, MapFlag, MremapFlag, MsyncFlag, Prot

__all__ = ["FLAGS", "NUMBERS", "flags_text", "number_text"]


def _names(prefix: str, holder: type, leave_out: str = "") -> dict[int, str]:
    """Return the numbers of a class by value, the first name of each."""
    found: dict[int, str] = {}
    for name, value in vars(holder).items():
        if name.isupper() and isinstance(value, int) and name not in leave_out.split():
            found.setdefault(value, prefix + name)
    return found


FLAGS: Mapping[str, tuple[str, Mapping[int, str]]] = {
    "open": ("O_RDONLY", {
        1: "O_WRONLY", 2: "O_RDWR", 0o100: "O_CREAT", 0o200: "O_EXCL", 0o400: "O_NOCTTY",
        0o1000: "O_TRUNC", 0o2000: "O_APPEND", 0o4000: "O_NONBLOCK", 0o100000: "O_LARGEFILE",
        0o200000: "O_DIRECTORY", 0o400000: "O_NOFOLLOW", 0o2000000: "O_CLOEXEC",
        0o10000000: "O_PATH", 0o20200000: "O_TMPFILE"}),
    "access": ("F_OK", {1: "X_OK", 2: "W_OK", 4: "R_OK"}),
    "at": ("0", {0x100: "AT_SYMLINK_NOFOLLOW", 0x200: "AT_REMOVEDIR", 0x400: "AT_SYMLINK_FOLLOW",
                 0x800: "AT_NO_AUTOMOUNT", 0x1000: "AT_EMPTY_PATH"}),
    "prot": ("PROT_NONE", _names("PROT_", Prot, "NONE")),
    "map": ("0", _names("MAP_", MapFlag, "TYPE HUGE_SHIFT HUGE_MASK HUGE_2MB HUGE_1GB LEGACY "
                                         "SHARED_VALIDATE")),
    "mremap": ("0", _names("MREMAP_", MremapFlag)),
    "msync": ("0", _names("MS_", MsyncFlag)),
    "wait": ("0", {1: "WNOHANG", 2: "WUNTRACED", 4: "WEXITED", 8: "WCONTINUED",
                   0x100_0000: "WNOWAIT"}),
    "clone": ("0", {
        17: "SIGCHLD", 0x100: "CLONE_VM", 0x200: "CLONE_FS", 0x400: "CLONE_FILES",
        0x800: "CLONE_SIGHAND", 0x4000: "CLONE_VFORK", 0x8000: "CLONE_PARENT",
        0x1_0000: "CLONE_THREAD", 0x4_0000: "CLONE_SYSVSEM", 0x8_0000: "CLONE_SETTLS",
        0x10_0000: "CLONE_PARENT_SETTID", 0x20_0000: "CLONE_CHILD_CLEARTID",
        0x40_0000: "CLONE_DETACHED", 0x100_0000: "CLONE_CHILD_SETTID"}),
    "futex": ("FUTEX_WAIT", {1: "FUTEX_WAKE", 3: "FUTEX_REQUEUE", 4: "FUTEX_CMP_REQUEUE",
                             5: "FUTEX_WAKE_OP", 9: "FUTEX_WAIT_BITSET", 10: "FUTEX_WAKE_BITSET",
                             128: "FUTEX_PRIVATE_FLAG", 256: "FUTEX_CLOCK_REALTIME"}),
}
"""Sets of flags: what none is called, and the name of each."""

NUMBERS: Mapping[str, Mapping[int, str]] = {
    "whence": {0: "SEEK_SET", 1: "SEEK_CUR", 2: "SEEK_END", 3: "SEEK_DATA", 4: "SEEK_HOLE"},
    "madvise": _names("MADV_", Madvise),
    "sigmask": {0: "SIG_BLOCK", 1: "SIG_UNBLOCK", 2: "SIG_SETMASK"},
    "clock": {0: "CLOCK_REALTIME", 1: "CLOCK_MONOTONIC", 2: "CLOCK_PROCESS_CPUTIME_ID",
              3: "CLOCK_THREAD_CPUTIME_ID"},
}
"""Numbers of which one is given."""


def flags_text(kind: str, value: int) -> str:
    """Return a set of flags as names, what has none in hex. The largest names come first."""
    none, names = FLAGS[kind]
    told, left = [], value
    for bits in sorted(names, key=int.bit_count, reverse=True):
        if bits and left & bits == bits:
            told.append((bits, names[bits]))
            left &= ~bits
    text = [name for _, name in sorted(told)] + ([f"{left:#x}"] if left else [])
    return "|".join(text) if text else none


def number_text(kind: str, value: int) -> str:
    """Return a number by its name, or as it is."""
    return NUMBERS[kind].get(value, str(value))
