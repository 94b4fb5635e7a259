"""System calls that make processes and end them. [kernel/fork.c, fs/exec.c, kernel/exit.c]"""

from ...address_space.exec_arguments import ExecArguments
from ...address_space.exec_layout import Program
from .caller import Caller

__all__ = ["ProcessCalls"]


class ProcessCalls(Caller):
    """The calls about processes."""

    def fork(self) -> int:
        """Copy the process; return the child's pid. [fork(2)]"""
        return self._call(lambda process: self.kernel.fork(process).pid)

    def execve(self, program: Program, arguments: ExecArguments | None = None) -> int:
        """Replace what the process runs; its open files stay open. [execve(2)]

        ``arguments`` are as for ``Kernel.spawn``. Raise ``LateExecError``, for which Linux kills
        the process with SIGSEGV; here it is as it was.
        """
        return self._call(lambda process: self.kernel.exec(process, program, arguments))

    def exit(self) -> None:
        """End the process. [_exit(2)]"""
        self.kernel.exit(self._process)
