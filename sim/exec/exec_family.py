"""A program's call that has another take its place. [fs/exec.c]"""

import errno
import signal

from ...model.address_space.elf import ExecFile, read_elf
from ...model.address_space.errors import SysError
from ...model.address_space.exec_arguments import ExecArguments
from ...model.address_space.exec_file import find_binary
from ...model.address_space.exec_program import LateExecError
from .call_context import Call, CallContext, ProgramKilled, ProgramReplaced

__all__ = ["EXEC_CALLS"]

MAX_STRING = 32 * 4096  # [MAX_ARG_STRLEN]
MOST_STRINGS = 1 << 16  # of a program here; more do not fit in a quarter of its stack
PAGE = 4096
IGNORE = 1


def _execve(context: CallContext, path: int, argv: int, envp: int, *_: int) -> int:
    """Replace the program; raise ``ProgramReplaced`` once there is no way back. [execve(2)]"""
    process, calls = context.process, context.calls

    def opened(name: bytes) -> ExecFile:
        return calls.open_exec(process, name)
    asked = ExecArguments(_text(context, path), _strings(context, argv), _strings(context, envp))
    source, arguments = find_binary(asked, opened)
    program = read_elf(source, calls.kernel.mode, opened)
    try:
        result = calls.execve(program, arguments)
    except LateExecError:
        raise ProgramKilled(signal.SIGSEGV, ", as execve failed when it was too late") from None
    if result:
        return result
    process.name = asked.filename.rpartition(b"/")[2][:15].decode(errors="replace")
    _fresh(context)
    raise ProgramReplaced


def _fresh(context: CallContext) -> None:
    """Give the new program its registers, and no handlers. [flush_signal_handlers]"""
    cpu, start = context.cpu, context.process.start
    assert start is not None, "a program was loaded"
    for number in context.tls:
        cpu.set_descriptor(number, 0)
    context.tls.clear()
    cpu.restore()
    cpu.pc, cpu.sp = start.ip, start.sp
    context.actions = {number: action for number, action in context.actions.items()
                       if context.words(action)[0] == IGNORE}


def _strings(context: CallContext, address: int) -> tuple[bytes, ...]:
    """Return the strings that a list of pointers leads to; none at all for no list."""
    found: list[bytes] = []
    size = context.word_bytes
    while address:
        pointer, = context.words(context.load(address + len(found) * size, size))
        if not pointer:
            break
        if len(found) == MOST_STRINGS:
            raise SysError(errno.E2BIG)
        found.append(_text(context, pointer))
    return tuple(found)


def _text(context: CallContext, address: int) -> bytes:
    """Return a string; raise ``SysError``: EFAULT, E2BIG. [strnlen_user]"""
    text = b""
    while len(text) < MAX_STRING:
        at = address + len(text)
        piece = context.load(at, PAGE - at % PAGE)
        before, zero, _ = piece.partition(b"\0")
        text += before
        if zero:
            return text
    raise SysError(errno.E2BIG)


EXEC_CALLS: dict[str, Call] = {"execve": _execve}
"""Each gets the context and all six arguments."""
