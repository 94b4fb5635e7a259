"""From the name that execve is given to the ELF file that runs, by way of scripts.

[exec_binprm, in fs/exec.c]
"""

import errno
from collections.abc import Callable
from dataclasses import replace

from .elf import ExecFile
from .errors import ExecError
from .exec_arguments import ExecArguments
from .script import SCRIPT_HEAD_BYTES, parse_script

__all__ = ["find_binary"]

MOST_SCRIPTS = 5


def find_binary(arguments: ExecArguments,
                open_exec: Callable[[bytes], ExecFile]) -> tuple[ExecFile, ExecArguments]:
    """Return the file that is to run, and the arguments that it gets.

    A script runs the program that its first line names, with the argument there if there is one,
    the script's own name in place of the first argument, and the other arguments. That program may
    be a script. Raise ``ExecError``: ENOEXEC for a script whose first line names nothing, ELOOP for
    more than five in a row; and what ``open_exec`` raises.

    Parameters
    ----------
    arguments
        What execve was given; ``filename`` is opened, and stays what it is.
    open_exec
        Opens a file to be run, given its name, which may be empty; raises ``SysError`` if it
        cannot be.
    """
    name, argv = arguments.filename, list(arguments.argv)
    for _ in range(MOST_SCRIPTS + 1):
        source = open_exec(name)
        script = parse_script(source.read(0, SCRIPT_HEAD_BYTES), source.file.name)
        if script is None:
            return source, replace(arguments, argv=tuple(argv))
        own = [script.interpreter] if script.argument is None else [script.interpreter,
                                                                     script.argument]
        argv = [*own, name, *argv[1:]]
        name = script.interpreter
    open_exec(name)
    raise ExecError(errno.ELOOP, source.file.name, "a script",
                    f"run by {MOST_SCRIPTS} scripts, each by the next", "an ELF file by then")
