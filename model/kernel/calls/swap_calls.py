"""System calls about swap areas. [mm/swapfile.c]"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...address_space.errors import SysError
from ..process import Process
from ..swap.errors import (
    BadSwapHeader,
    SwapDeviceBusy,
    SwapFileTooSmall,
    TooManySwapDevices,
)
from ..swap.file import SwapFile
from ..swap.swap import MAX_SWAPFILES
from .arguments import as_int
from .caller import Caller

__all__ = ["SwapCalls", "SwapFlag"]


class SwapFlag:
    """How an area is used. [``SWAP_FLAG_*``] What asks to discard its pages has no effect here."""

    PREFER = 0x8000
    PRIO_MASK = 0x7FFF
    DISCARD = 0x1_0000
    DISCARD_ONCE = 0x2_0000
    DISCARD_PAGES = 0x4_0000

    VALID = PREFER | PRIO_MASK | DISCARD | DISCARD_ONCE | DISCARD_PAGES


class SwapCalls(Caller):
    """The calls of the administrator about swap areas.

    An area is named by the path of its file on the machine that runs the model, or given as the
    ``SwapFile`` that was opened.
    """

    def swapon(self, area: str | SwapFile, flags: int) -> int:
        """Use a swap area, with a priority of its own or after all that are there. [swapon(2)]

        Of a file that cannot be opened the call returns the errno of that.
        """
        def work(process: Process) -> None:
            if as_int(flags) & ~SwapFlag.VALID:
                raise SysError(errno.EINVAL)
            _require_administrator(process)
            with _errnos():
                if all(info is not None for info in self.kernel.state.swap.info) and (
                        len(self.kernel.state.swap.info) >= MAX_SWAPFILES):
                    raise SysError(errno.EPERM)
                self._swapon(area, flags)
        return self._call(work)

    def _swapon(self, area: str | SwapFile, flags: int) -> None:
        """Use an area; a file that is opened for it is closed again if it cannot be used."""
        priority = flags & SwapFlag.PRIO_MASK if flags & SwapFlag.PREFER else None
        if isinstance(area, SwapFile):
            self.kernel.swapon(area, priority)
            return
        device = SwapFile(area)
        try:
            self.kernel.swapon(device, priority)
        except BaseException:
            device.close()
            raise

    def swapoff(self, area: str | SwapFile) -> int:
        """Bring back what is in a swap area, and use it no more. [swapoff(2)]

        A process for whose swapoff there is no memory is killed. Where reclaim puts back again and
        again what comes out, the call ends with EINTR: Linux goes on until there is a signal.
        """
        def work(process: Process) -> None:
            _require_administrator(process)
            with _errnos(busy=errno.EINTR):
                device = area if isinstance(area, SwapFile) else self._device(area)
                self.kernel.swapoff(device, process)
                if not isinstance(area, SwapFile):
                    device.close()
        return self._call(work)

    def _device(self, path: str) -> SwapFile:
        """Return the area in use that is at a path; raise ``SysError(EINVAL)``, ``OSError``."""
        wanted = Path(path).stat()
        for info in filter(None, self.kernel.state.swap.info):
            used = Path(info.device.path)
            if used.exists() and os.path.samestat(used.stat(), wanted):
                return info.device
        raise SysError(errno.EINVAL)


def _require_administrator(process: Process) -> None:
    """Raise ``SysError(EPERM)`` unless a process is the administrator's. [CAP_SYS_ADMIN]"""
    if not process.mm.privileged:
        raise SysError(errno.EPERM)


@contextmanager
def _errnos(busy: int = errno.EBUSY) -> Iterator[None]:
    """Turn what areas fail with into errnos."""
    try:
        yield
    except SwapDeviceBusy as error:
        raise SysError(busy) from error
    except (BadSwapHeader, SwapFileTooSmall) as error:
        raise SysError(errno.EINVAL) from error
    except TooManySwapDevices as error:
        raise SysError(errno.EPERM) from error
    except OSError as error:
        raise SysError(error.errno or errno.EIO) from error
