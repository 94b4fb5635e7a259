"""A program that starts: everything that exec puts into its address space. [load_elf_binary]"""

from dataclasses import dataclass

import numpy as np

from .auxv import AuxFacts
from .elf_tables import create_elf_tables
from .errors import SysError
from .exec_arguments import ExecArguments
from .exec_layout import Program, load_program, map_vdso
from .exec_stack import ExecStack
from .mm import Mm
from .uapi import Prot
from .user_layout import UserLayout
from .vma import page_align

__all__ = ["LateExecError", "ProgramStart", "exec_program"]


class LateExecError(SysError):
    """An exec that failed when there was no way back.

    Linux kills the process with SIGSEGV, whatever ``errno`` is. [point_of_no_return]
    """


@dataclass(frozen=True, slots=True)
class ProgramStart:
    """The registers that a program starts with; all others are 0. [START_THREAD]

    Members
    -------
    ip, sp
        The addresses of the first instruction, and of argc on the stack, a multiple of 16.
    """

    ip: int
    sp: int


def exec_program(
    mm: Mm,
    program: Program,
    layout: UserLayout,
    arguments: ExecArguments,
    facts: AuxFacts,
    *,
    rng: np.random.Generator | None = None,
) -> ProgramStart:
    """Fill an empty address space as exec does: stack, program, loader, vdso, heap.

    Return where the program begins. Raise ``SysError`` as ``ExecStack.put_strings`` does, and
    ``LateExecError`` for what happens after that: see ``ExecStack.finish``, ``load_program`` and
    ``create_elf_tables``; ENOMEM if there is no room for the vdso.

    Parameters
    ----------
    mm, program
        The address space, and what is to run in it.
    layout
        Where the parts go; ``mm`` must have been made with its ``mmap_base``.
    arguments, facts
        What the program finds on its stack.
    rng
        Draws the place of the vdso above the stack, which is the lowest one without it, and how far
        the stack pointer is moved down.
    """
    stack = ExecStack(mm, page_align(layout.align_stack(layout.stack_top)))
    stack.put_strings(arguments)
    try:
        _set_personality(mm, program)
        stack.finish(program.executable_stack)
        loaded = load_program(mm, program, layout.load_bias)
        map_vdso(mm, layout, rng)
        create_elf_tables(mm, stack, arguments, loaded, facts, rng)
    except SysError as error:
        raise LateExecError(error.errno) from error
    _set_places(mm, program, loaded.bias, layout)
    return ProgramStart(loaded.start, mm.start_stack)


def _set_personality(mm: Mm, program: Program) -> None:
    """Decide whether what the program may read, it may execute.

    32-bit programs have that who do not say what stack they want, and all that follow in the same
    process. [elf_read_implies_exec, set_personality_64bit]
    """
    if mm.space.word_bytes == 8:
        mm.read_implies_exec = False
    elif program.executable_stack is None:
        mm.read_implies_exec = True


def _set_places(mm: Mm, program: Program, bias: int, layout: UserLayout) -> None:
    """Note where code, data and heap are; without code it starts at -1 and ends at 0."""
    word, headers = mm.space.word, program.headers
    code = [one for one in headers if one.prot & Prot.EXEC]
    mm.start_code = word(bias + min((one.vaddr for one in code), default=-1))
    mm.end_code = word(bias + max((one.vaddr + one.file_size for one in code), default=0))
    mm.start_data = word(bias + max((one.vaddr for one in headers), default=0))
    mm.end_data = word(bias + max((one.vaddr + one.file_size for one in headers), default=0))
    end = word(bias + max((one.vaddr + one.memory_size for one in headers), default=0))
    if program.is_pie and program.interpreter is None:
        end = layout.build.et_dyn_base  # a loader that is run itself would leave the heap no room
    mm.start_brk = mm.brk_end = layout.start_brk(end)
