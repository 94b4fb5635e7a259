"""Unicorn, the emulator of a processor: how it is opened, hooked and started.

It is under the GPL, so it is neither linked nor imported before it is asked for; the extra ``exec``
installs it. Its Python binding has no way to give it hooks in C, nor to tell how a run ended
without an exception: for these its library is called directly.
"""

import ctypes
from typing import Any

from ...hdl.outside_tool import ToolMissing
from ...model.physical.memory import PhysicalMemory
from ...model.x86 import PAGE_BYTES

__all__ = ["OWN_PADDR", "Emulator", "load_unicorn"]

MISSING = "unicorn is missing: install it with 'pip install pagewalk[exec]'"
OWN_PADDR = 1 << 36  # beyond any memory
OWN_PAGES = 3
MAPPED_ALL = 7  # UC_PROT_ALL


def load_unicorn() -> Any:
    """Return the module ``unicorn``; raise ``ToolMissing`` if it is not installed."""
    try:
        import unicorn
        from unicorn import unicorn_const, x86_const
    except ImportError:
        raise ToolMissing(MISSING) from None
    assert unicorn_const is not None
    assert x86_const is not None
    return unicorn


class Emulator:
    """An x86 processor that asks hooks for each translation. Its physical memory is the frames'.

    A frame is at 4096 times its row in ``PhysicalMemory.frames``, whatever its number; pages of the
    emulator's own are at ``OWN_PADDR``, the GDT first.

    Parameters
    ----------
    is_long
        Whether the processor has 64 bits.

    Members
    -------
    uc
        The binding's object.
    own_page, own_address
        The bytes of the pages at ``OWN_PADDR``, and where they are.
    """

    def __init__(self, is_long: bool) -> None:
        self._unicorn = unicorn = load_unicorn()
        self.uc = unicorn.Uc(unicorn.UC_ARCH_X86,
                             unicorn.UC_MODE_64 if is_long else unicorn.UC_MODE_32)
        self.uc.ctl_set_tlb_mode(unicorn.UC_TLB_VIRTUAL)
        self.library = _native_library()
        self.handle = self.uc._uch
        self.own_page = (ctypes.c_uint8 * (OWN_PAGES * PAGE_BYTES))()
        self.own_address = ctypes.addressof(self.own_page)
        self.uc.mem_map_ptr(OWN_PADDR, OWN_PAGES * PAGE_BYTES, MAPPED_ALL, self.own_address)
        self._mapped = 0  # frames
        self._word = ctypes.c_uint64()
        self._word_at = ctypes.byref(self._word)

    def register(self, name: str) -> int:
        """Return the number of a register, such as ``"rip"``; raise ``KeyError``."""
        number: int = vars(self._unicorn.x86_const)[f"UC_X86_REG_{name.upper()}"]
        return number

    def constant(self, name: str) -> int:
        """Return a number that Unicorn calls by a name; raise ``KeyError``."""
        known = vars(self._unicorn) | vars(self._unicorn.x86_const)
        number: int = known[name]
        return number

    def map_frames(self, memory: PhysicalMemory) -> bool:
        """Make the frames the emulator's memory; return whether they were not yet, or elsewhere."""
        if len(memory) == self._mapped:  # they move when some are added
            return False
        if self._mapped:
            self.uc.mem_unmap(0, self._mapped * PAGE_BYTES)
        frames = memory.frames
        self.uc.mem_map_ptr(0, frames.nbytes, MAPPED_ALL, frames.ctypes.data)
        self._mapped = len(memory)
        return True

    def read_word(self, register: int) -> int:
        """Return a register of at most 64 bits by its number, faster than the binding does."""
        self._word.value = 0
        self.library.uc_reg_read(self.handle, register, self._word_at)
        return self._word.value

    def write_word(self, register: int, value: int) -> None:
        """Write such a register."""
        self._word.value = value
        self.library.uc_reg_write(self.handle, register, self._word_at)

    def hook(self, kind: str, function: object, data: object, *extra: int) -> int:
        """Have a function in C called with a pointer to ``data`` as its last argument.

        ``kind`` is the name of a hook. The caller keeps both alive. Return a handle of the hook.
        """
        added = ctypes.c_size_t()
        status = self.library.uc_hook_add(
            self.handle, ctypes.byref(added), self.constant(kind),
            ctypes.cast(function, ctypes.c_void_p), ctypes.byref(data),  # type: ignore[arg-type]
            ctypes.c_uint64(1), ctypes.c_uint64(0), *map(ctypes.c_int, extra))
        if status:
            raise self._unicorn.UcError(status)
        return added.value

    def unhook(self, handle: int) -> None:
        """Take a hook away."""
        status = self.library.uc_hook_del(self.handle, ctypes.c_size_t(handle))
        if status:
            raise self._unicorn.UcError(status)

    def start(self, pc: int) -> int:
        """Emulate from an address on; return Unicorn's number for why that ended, 0 if asked to."""
        status: int = self.library.uc_emu_start(self.handle, pc, 0, 0, 0)
        return status

    def address(self, function: str) -> int:
        """Return where a function of Unicorn's library is."""
        place = ctypes.cast(getattr(self.library, function), ctypes.c_void_p).value
        assert place is not None
        return place

    def empty_tlb(self) -> None:
        """Forget all translations of addresses. Unicorn cannot forget that of one page."""
        self.uc.ctl(self._unicorn.UC_CTL_TLB_FLUSH, self._unicorn.UC_CTL_IO_WRITE)

    def empty_code(self) -> None:
        """Forget all translated instructions."""
        self.uc.ctl_flush_tb()


def _native_library() -> Any:
    from unicorn.unicorn_py3.unicorn import uclib

    return uclib
