"""What a program finds on its stack: argc, argv, envp, the auxiliary vector. [create_elf_tables]"""

import errno
from collections.abc import Sequence
from itertools import accumulate

import numpy as np

from ..x86 import PAGE_BYTES
from .auxv import AuxFacts, AuxPlaces, aux_vector
from .errors import SysError
from .exec_arguments import ExecArguments
from .exec_layout import LoadedProgram
from .exec_stack import ExecStack
from .mm import Mm
from .vma import VmFlag

__all__ = ["create_elf_tables"]

STACK_RND_BYTES = 8192


def create_elf_tables(mm: Mm, stack: ExecStack, arguments: ExecArguments, loaded: LoadedProgram,
                      facts: AuxFacts, rng: np.random.Generator | None) -> None:
    """Store under the strings what a program looks at first, and note where all that is.

    From the top down: the name of the processor, 16 random bytes, the auxiliary vector, pointers to
    the environment and to the arguments with a null pointer behind each, and argc, which
    ``mm.start_stack`` is the address of then, a multiple of 16. Raise ``SysError(EFAULT)`` where
    the stack cannot be.

    Parameters
    ----------
    rng
        Moves all by up to 8 Kbytes if given. [arch_align_stack]
    """
    pointer = stack.pointer - (int(rng.integers(STACK_RND_BYTES)) if rng is not None else 0) & -16
    platform = facts.processor.platform + b"\0"
    pointer -= len(platform)
    u_platform = pointer
    _store(mm, pointer, platform)
    pointer -= len(facts.random)
    _store(mm, pointer, facts.random)
    vector = aux_vector(facts, AuxPlaces(
        loaded.phdr, loaded.phnum, loaded.base, loaded.entry, random=pointer,
        execfn=stack.filename, platform=u_platform), mm.space.word_bytes)
    argv, envp = arguments.all_argv, arguments.envp
    mm.arg_end = mm.env_start = stack.pointer + sum(len(one) + 1 for one in argv)
    mm.env_end = stack.filename
    mm.auxv = _words(mm, [number for entry in vector for number in entry])
    table = _words(mm, [len(argv), *_places(stack.pointer, argv), 0,
                        *_places(mm.env_start, envp), 0])
    mm.start_stack = pointer - len(mm.auxv) - len(table) & -16
    _store(mm, mm.start_stack, table + mm.auxv)


def _places(start: int, strings: Sequence[bytes]) -> list[int]:
    """Return where strings are, each behind the zero byte of the one before."""
    return list(accumulate((len(one) + 1 for one in strings[:-1]), initial=start)
                ) if strings else []


def _words(mm: Mm, values: Sequence[int]) -> bytes:
    size = mm.space.word_bytes
    return b"".join(mm.space.word(value).to_bytes(size, "little") for value in values)


def _store(mm: Mm, address: int, data: bytes) -> None:
    """Store as the program itself would, page by page; a stack may grow for it. [copy_to_user]"""
    end = address + len(data)
    for page in range(address & -PAGE_BYTES, end, PAGE_BYTES):
        vma = mm.find_vma_or_expand(page) if page >= 0 else None
        if vma is None or not vma.flags & VmFlag.WRITE:
            raise SysError(errno.EFAULT)
        mm.prepare_anon_vma(vma)
        first, last = max(address, page), min(end, page + PAGE_BYTES)
        mm.page_tables.store(first, data[first - address : last - address])
