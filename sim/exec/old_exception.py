"""What Unicorn remembers of the last exception, after the kernel has dealt with that one.

It takes #DE or #GP after another for a double fault, and a third for the end, as nothing tells it
that the first was handled: no gate of its own was gone through. It has no register for that, so
its place among the saved registers is found by raising #DE once.
"""

import ctypes
from typing import Any

from .emulator import Emulator

__all__ = ["OldException"]

CODE, CODE_BYTES = 0x1000, 0x1000  # in a page that is there while #DE is raised
DIVIDE = b"\x31\xc9\xf7\xf1"  # xor ecx, ecx; div ecx
NONE, DIVIDE_ERROR = b"\xff\xff\xff\xff", bytes(4)


class OldException:
    """Makes an emulator forget which exception it had last.

    Parameters
    ----------
    emulator
        Has no hooks and no frames yet, and is as before.
    """

    def __init__(self, emulator: Emulator) -> None:
        self._uc = uc = emulator.uc
        fresh = uc.context_save()
        uc.mem_map(CODE, CODE_BYTES)
        uc.mem_write(CODE, DIVIDE)
        hook = uc.hook_add(emulator.constant("UC_HOOK_INTR"), lambda one, *_: one.emu_stop())
        uc.emu_start(CODE, CODE + len(DIVIDE))
        uc.hook_del(hook)
        before, after = _bytes(fresh), _bytes(uc.context_save())
        found = [at for at in range(0, len(before), 4)
                 if before[at : at + 4] == NONE and after[at : at + 4] == DIVIDE_ERROR]
        if len(found) != 1:
            raise AssertionError(f"The last exception is kept in one place, not in {found}")
        self._at = found[0]
        uc.context_restore(fresh)
        uc.mem_unmap(CODE, CODE_BYTES)

    def forget(self) -> None:
        """Have none be remembered; all registers stay."""
        context = self._uc.context_save()
        ctypes.memmove(context.context.value + self._at, NONE, len(NONE))
        self._uc.context_restore(context)


def _bytes(context: Any) -> bytes:
    """Return the registers as they are saved, with what is before them."""
    return ctypes.string_at(context.context, context.size)
