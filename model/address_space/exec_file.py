"""From the name that execve is given to the ELF file that runs, by way of scripts.

[exec_binprm, in fs/exec.c]
"""

import errno
from collections.abc import Callable
from dataclasses import replace

from .elf import ExecFile, open_named
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
    more than five in a row, EACCES for an empty name; and what ``open_exec`` raises.

    Parameters
    ----------
    arguments
        What execve was given; ``filename`` is opened, and stays what it is.
    open_exec
        Opens a file to be run, given its name; raises ``SysError`` if it cannot be.
    """
    name, argv = arguments.filename, list(arguments.argv)
    source = open_exec(name)
    for _ in range(MOST_SCRIPTS + 1):
        script = parse_script(source.read(0, SCRIPT_HEAD_BYTES), source.file.name)
        if script is None:
            return source, replace(arguments, argv=tuple(argv))
        own = [script.interpreter] if script.argument is None else [script.interpreter,
                                                                     script.argument]
        argv = [*own, name, *argv[1:]]
        name = script.interpreter
        source = open_named(open_exec, name, source.file)
    raise ExecError(errno.ELOOP, source.file.name, "a script",
                    f"run by {MOST_SCRIPTS} scripts, each by the next", "an ELF file by then")
