"""The stack of a program that starts, and the strings at its top. [fs/exec.c]

Linux fills it at the highest address that there is, and moves it down when it knows where it is to
be; here it is there at once.
"""

import errno
from collections.abc import Sequence

from ..x86 import PAGE_BYTES, PAGE_SHIFT
from .errors import SysError
from .exec_arguments import ExecArguments
from .mm_state import MmState
from .mprotect import mprotect_vma
from .stack import expand_downwards
from .vma import Vma, VmFlag

__all__ = ["ExecStack"]

STACK_EXPAND = 128 << 10
MAX_STRING_BYTES = 32 * PAGE_BYTES  # [MAX_ARG_STRLEN]
LEAST_LIMIT = 128 << 10  # [ARG_MAX]
MOST_LIMIT = 6 << 20  # three quarters of _STK_LIM
INCOMPLETE = VmFlag.RAND_READ | VmFlag.SEQ_READ
"""Marks of a stack that exec is still filling. [VM_STACK_INCOMPLETE_SETUP]"""


class ExecStack:
    """A stack of one page, for ``put_strings`` and then ``finish``.

    Parameters
    ----------
    mm
        The address space, with nothing mapped.
    top
        Where the stack ends, page-aligned.

    Members
    -------
    pointer
        The address of the lowest string: that of the first argument. [bprm->p]
    filename
        The address of the name that execve was given. [bprm->exec]
    """

    def __init__(self, mm: MmState, top: int) -> None:
        self._mm = mm
        self.vma = Vma(top - PAGE_BYTES, top, VmFlag.STACK | INCOMPLETE | mm.soft_dirty,
                       (top >> PAGE_SHIFT) - 1)
        mm.charge(1)
        mm.tree.insert(self.vma)
        mm.account(self.vma.flags, 1)
        self.pointer = self.filename = top - mm.space.word_bytes

    def put_strings(self, arguments: ExecArguments) -> None:
        """Store the strings: from the top down name, environment and arguments, each from the last.

        Raise ``SysError(E2BIG)``: for a string of more than 128 Kbytes, and if strings and the
        pointers to them are more than a quarter of RLIMIT_STACK or 6 Mbytes, but not before they
        are 128 Kbytes, or do not fit into the stack's limit. [do_execveat_common]
        """
        lowest = self.pointer - self._limit(arguments)
        self._copy([arguments.filename], lowest)
        self.filename = self.pointer
        self._copy(arguments.envp, lowest)
        self._copy(arguments.all_argv, lowest)

    def _limit(self, arguments: ExecArguments) -> int:
        """Return how many bytes the strings may have. [bprm_stack_limits]"""
        limit = max(min(MOST_LIMIT, self._mm.rlimits.stack // 4), LEAST_LIMIT)
        pointers = (len(arguments.all_argv) + len(arguments.envp)) * self._mm.space.word_bytes
        if limit <= pointers:
            raise SysError(errno.E2BIG)
        return limit - pointers

    def _copy(self, strings: Sequence[bytes], lowest: int) -> None:
        """Store strings, the last first, page by page. [copy_strings]"""
        known = None
        for string in reversed(strings):
            data, end = string + b"\0", self.pointer
            self.pointer -= len(data)
            if len(data) > MAX_STRING_BYTES or self.pointer < lowest:
                raise SysError(errno.E2BIG)
            while end > self.pointer:
                page = end - 1 & -PAGE_BYTES
                start = max(self.pointer, page)
                if page != known:
                    self._get_page(page)
                    known = page
                self._mm.page_tables.store(start, data[start - self.pointer : end - self.pointer])
                end = start

    def _get_page(self, page: int) -> None:
        """Have a page of the stack in memory, to be written to. [get_arg_page]"""
        try:
            if page < self.vma.start:
                expand_downwards(self._mm, self.vma, page)
            self._mm.prepare_anon_vma(self.vma)
            self._mm.page_tables.populate(self.vma, page, page + PAGE_BYTES, True)
        except SysError as error:
            raise SysError(errno.E2BIG) from error

    def finish(self, executable: bool | None) -> None:
        """Give the stack its rights, and room for 128 Kbytes more. [setup_arg_pages]

        Raise ``SysError(EFAULT)`` if it cannot have the room. ``executable`` is what the program
        says of its stack, None if nothing: then it is as all data of the program.
        """
        mm, flags = self._mm, VmFlag.STACK
        if executable or (executable is None and mm.read_implies_exec):
            flags |= VmFlag.EXEC
        # Changing the flags as mprotect does loses the soft-dirty mark, which Linux does not put
        # back.
        mprotect_vma(mm, self.vma, self.vma.start, self.vma.end, flags | INCOMPLETE | mm.def_flags)
        self.vma.flags &= ~INCOMPLETE
        limit, wanted = mm.rlimits.stack & -PAGE_BYTES, self.vma.start - STACK_EXPAND
        base = self.vma.end - limit if self.vma.end - wanted > limit else wanted
        mm.start_stack = mm.arg_start = self.pointer
        try:
            expand_downwards(mm, self.vma, base)
        except SysError as error:
            raise SysError(errno.EFAULT) from error
