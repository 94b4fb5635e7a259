"""New address spaces: empty ones, and those of programs that start. [mm_alloc, begin_new_exec]"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count

import numpy as np

from ..address_space.auxv import AuxFacts, Processor
from ..address_space.exec_arguments import Credentials, ExecArguments
from ..address_space.exec_layout import Program
from ..address_space.exec_program import ProgramStart, exec_program
from ..address_space.fork import copy_mappings
from ..address_space.limits import Rlimits, UserSpace
from ..address_space.mm import Mm
from ..address_space.page_table_ops import PageTableOps
from .fork_pages import copy_page_range
from .make_present import fault_in
from .state import KernelState
from .user_tables import UserTables

__all__ = ["NewSpaces"]

RANDOM_BYTES = 16


class NewSpaces:
    """Makes the address spaces of a machine, each with a number of its own.

    Parameters
    ----------
    state
        What all processes share.
    space
        Returns the settings of address spaces as they are then. [vm.mmap_min_addr, ...]
    processor
        What programs are told of the processor.
    rng
        Randomises where the parts of a program are; None for no randomness. [randomize_va_space]
    entropy
        Draws the random bytes that a program is given, which are zeros without it.
        [get_random_bytes]
    """

    def __init__(self, state: KernelState, space: Callable[[], UserSpace], processor: Processor,
                 rng: np.random.Generator | None, entropy: np.random.Generator | None) -> None:
        self._state, self._space, self._processor = state, space, processor
        self._rng, self._entropy = rng, entropy
        self._numbers = count(1)

    def make(self, make_mm: Callable[[PageTableOps], Mm]) -> UserTables:
        """Return an address space with the mappings of ``make_mm``, which are none yet."""
        return UserTables(self._state, next(self._numbers), make_mm, fault_in)

    def empty(self, rlimits: Rlimits, *, privileged: bool) -> UserTables:
        """Return an address space with nothing mapped."""
        layout = self._state.platform.user.layout(self._rng, stack_rlimit=rlimits.stack)
        return self._with_base(layout.mmap_base, rlimits, privileged=privileged)

    def _with_base(self, mmap_base: int, rlimits: Rlimits, *, privileged: bool) -> UserTables:
        make_mm = partial(Mm, self._space(), mmap_base, rlimits=rlimits, commit=self._state.commit,
                          files=self._state.files, privileged=privileged, rng=self._rng)
        return self.make(lambda tables: make_mm(page_tables=tables))

    def copy(self, old: UserTables) -> UserTables:
        """Return one with the same mappings, whose pages are shared until either writes.

        Raise ``SysError(ENOMEM)``, ``OutOfMemory``. [dup_mmap]
        """
        space = self.make(old.mm.child)
        with _undone(space):
            copy_mappings(old.mm, space.mm)
            copy_page_range(old, space)
        return space

    def of_program(self, program: Program, arguments: ExecArguments | None, rlimits: Rlimits,
                   credentials: Credentials, *, privileged: bool, read_implies_exec: bool = False,
                   ) -> tuple[UserTables, ProgramStart]:
        """Return an address space with a program in it, and where that begins.

        Raise as ``exec_program``, and ``OutOfMemory``.

        Parameters
        ----------
        arguments
            By default the name of its file, as the only argument too.
        read_implies_exec
            Whether what ran before in the process could execute what it could read.
        """
        if arguments is None:
            name = os.fsencode(program.file.name)
            arguments = ExecArguments(name, (name,))
        random = bytes(RANDOM_BYTES) if self._entropy is None else self._entropy.bytes(RANDOM_BYTES)
        layout = self._state.platform.user.layout(self._rng, stack_rlimit=rlimits.stack)
        space = self._with_base(layout.mmap_base, rlimits, privileged=privileged)
        with _undone(space):
            space.mm.read_implies_exec = read_implies_exec
            start = exec_program(space.mm, program, layout, arguments,
                                 AuxFacts(self._processor, credentials, random), rng=self._rng)
        return space, start


@contextmanager
def _undone(space: UserTables) -> Iterator[None]:
    """Free an address space that is no process's yet if it cannot be completed."""
    try:
        yield
    except BaseException:
        space.end()
        raise
