"""Memory of a process as others read it. [access_remote_vm in mm/memory.c]"""

from ...x86 import PAGE_BYTES, PAGE_SHIFT
from ..process import Process

__all__ = ["cmdline", "environ", "read_process"]


def read_process(process: Process, start: int, end: int) -> bytes:
    """Return the bytes of a range, up to the first page that is not there.

    Pages are made present for it. Raise ``OutOfMemory``, ``OomKilled``.
    """
    found, at = b"", start
    while at < end:
        stop = min(end, (at | PAGE_BYTES - 1) + 1)
        vma = process.mm.find_vma(at)
        if vma is None or vma.start > at:
            break
        process.space.populate(vma, at & -PAGE_BYTES, (at & -PAGE_BYTES) + PAGE_BYTES, False)
        leaf = process.space.tables.lookup(at)
        assert leaf is not None, "made present"
        frame = process.space.tables.pfn(leaf.entry) << PAGE_SHIFT
        paddr = frame + at % leaf.level.page_bytes
        found += process.space.state.memory.read_bytes(paddr, stop - at)
        at = stop
    return found


def cmdline(process: Process) -> bytes:
    """Return ``/proc/PID/cmdline``: the arguments as they are in memory now."""
    return read_process(process, process.mm.arg_start, process.mm.arg_end)


def environ(process: Process) -> bytes:
    """Return ``/proc/PID/environ``: the environment as it was given, where it is in memory."""
    return read_process(process, process.mm.env_start, process.mm.env_end)
