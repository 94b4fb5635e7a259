"""The ``pagewalk`` command, as a shell starts it.

``dispatch`` does the work. It is loaded late, so that an interrupt is met from the very start.
"""

import os
import signal
import sys
import threading
import warnings
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType

from .exit_codes import INTERRUPTED

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv``, by default that of the process; return the exit code.

    The codes are those of ``EXIT_CODES``. With the command line of the process, the process is the
    command's own: Ctrl-C ends it with one line and code 130 at any time, without a traceback.
    """
    if argv is None:
        _fill_descriptors()
        if (threading.current_thread() is threading.main_thread()
                and signal.getsignal(signal.SIGINT) is signal.default_int_handler):
            return _interruptible()
    from .dispatch import dispatch

    return dispatch(argv)


def _interruptible() -> int:
    """Run the command line of the process, whose interrupts are ours from now on.

    While modules load, nothing has to be cleaned up. Then an interrupt is an exception; where
    Python can only print one, as in a finalizer, it ends the process. When the work is done, it is
    too late for an interrupt.
    """
    signal.signal(signal.SIGINT, _end_at_once)
    from .dispatch import dispatch

    usual = sys.unraisablehook

    def report(lost: "sys.UnraisableHookArgs") -> None:
        if issubclass(lost.exc_type, KeyboardInterrupt):
            _end_at_once()
        usual(lost)

    sys.unraisablehook = report
    try:
        signal.signal(signal.SIGINT, _interrupt)
        return dispatch(None)
    except KeyboardInterrupt:
        return _interrupted()
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """Begin to clean up; whoever interrupts that, too, does not want to wait for it."""
    signal.signal(signal.SIGINT, _end_at_once)
    warnings.simplefilter("ignore")  # as those of Amaranth, of hardware that is not finished
    raise KeyboardInterrupt


def _end_at_once(_number: int = 0, _frame: FrameType | None = None) -> None:
    os._exit(_interrupted())


def _interrupted() -> int:
    with suppress(OSError):
        os.write(2, b"pagewalk: error: interrupted\n")
    return INTERRUPTED


def _fill_descriptors() -> None:
    """Let a standard stream that is closed lead nowhere.

    Its descriptor would be that of the next file to be opened, which then got what programs print.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest that is free
