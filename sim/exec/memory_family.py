"""A program's calls about memory."""

from ...model.x86 import PAGE_SHIFT
from .call_context import Call, CallContext

__all__ = ["DIRECT_MEMORY", "MEMORY_CALLS"]

DIRECT_MEMORY = {
    "brk": ("brk", 1), "munmap": ("munmap", 2), "mprotect": ("mprotect", 3),
    "mremap": ("mremap", 5), "madvise": ("madvise", 3), "msync": ("msync", 3),
    "mincore": ("mincore", 3), "mlock": ("mlock", 2), "munlock": ("munlock", 2),
    "mlock2": ("mlock2", 3), "mlockall": ("mlockall", 1), "munlockall": ("munlockall", 0),
    "getrlimit": ("getrlimit", 2), "ugetrlimit": ("getrlimit", 2), "setrlimit": ("setrlimit", 2),
    "prlimit64": ("prlimit64", 4),
}
"""Calls that go to the kernel model as they are; see ``DIRECT_FILES``."""


def _mmap(context: CallContext, *arguments: int) -> int:
    """Map memory; 32-bit programs give the address of the six arguments. [old_mmap]"""
    if context.word_bytes == 4:
        arguments = tuple(context.words(context.load(arguments[0], 24)))
    start, length, prot, flags, fd, offset = arguments
    return context.calls.mmap(start, length, prot, flags, fd, offset)


def _mmap2(context: CallContext, *arguments: int) -> int:
    """Map memory, at an offset in pages. [mmap2(2)]"""
    start, length, prot, flags, fd, pages = arguments
    return context.calls.mmap(start, length, prot, flags, fd, pages << PAGE_SHIFT)


MEMORY_CALLS: dict[str, Call] = {"mmap": _mmap, "mmap2": _mmap2}
"""Calls that come in another form; see ``FILE_CALLS``."""
