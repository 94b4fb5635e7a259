"""``/proc/PID/maps`` as Linux prints it. [show_map_vma in fs/proc/task_mmu.c]"""

from ..x86 import PAGE_SHIFT
from .mm_state import MmState
from .vma import Vma, VmFlag

__all__ = ["maps_line", "maps_text", "vma_name"]


def maps_text(mm: MmState) -> str:
    """Return the file: one line for each mapping, the lowest first."""
    return "".join(maps_line(mm, vma) for vma in mm.tree)


def maps_line(mm: MmState, vma: Vma) -> str:
    """Return the line of one mapping, with its newline.

    The name, if there is one, starts at column 73 with 64-bit words and at column 49 with 32-bit
    ones, counted from 0, or after a blank if the rest is longer. Addresses and offsets have at
    least 8 digits. [show_map_vma]
    """
    offset = major = minor = inode = 0
    if vma.file is not None:
        offset = vma.pgoff << PAGE_SHIFT
        major, minor, inode = vma.file.major, vma.file.minor, vma.file.inode
    rights = "".join(
        letter if vma.flags & flag else "-"
        for letter, flag in (("r", VmFlag.READ), ("w", VmFlag.WRITE), ("x", VmFlag.EXEC))
    )
    kind = "s" if vma.flags & VmFlag.MAYSHARE else "p"
    line = (f"{vma.start:08x}-{vma.end:08x} {rights}{kind} {offset:08x} "
            f"{major:02x}:{minor:02x} {inode} ")
    name = vma_name(mm, vma)
    if name:
        line = line.ljust(24 + 6 * mm.space.word_bytes) + " " + name
    return line + "\n"


def vma_name(mm: MmState, vma: Vma) -> str:
    """Return the name that a mapping is shown with, empty for anonymous memory.

    Any memory that is no file's and touches the range of ``brk``, such as the bss just below it, is
    shown as heap.
    """
    if vma.file is not None:
        return vma.file.name.replace("\n", "\\012")
    if vma.special is not None:
        return vma.special.name
    if vma.start <= mm.brk_end and vma.end >= mm.start_brk:
        return "[heap]"
    if vma.start <= mm.start_stack <= vma.end:
        return "[stack]"
    return ""
