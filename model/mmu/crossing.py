"""Accesses of several bytes: what lies in two pages is translated in both, the first one first."""

from dataclasses import dataclass, replace

from ..physical.memory import PhysicalMemory
from ..x86 import Cr0, PagingMode
from .control import Access, Control
from .flag_rules import FLAGS_ON_USE, FlagRules
from .walk import Fault, Walk, check_vaddr, is_canonical, walk

__all__ = ["Crossing", "second_vaddr", "walk_pages"]


@dataclass(frozen=True, slots=True)
class Crossing:
    """An access and the walks of its pages: of both, or up to the one that faulted.

    ``first`` is None where the second page alone was judged, as it is not canonical; ``second``
    where the access lies in one page, or the first one faulted.
    """

    first: Walk | None
    second: Walk | None = None

    @property
    def fault(self) -> Fault | None:
        """How the access failed; its ``vaddr`` is in the page that faulted."""
        last = self.second or self.first
        assert last is not None
        return last.fault


def walk_pages(
    memory: PhysicalMemory,
    mode: PagingMode,
    control: Control,
    access: Access,
    paddr_bits: int = 40,
    flags: FlagRules = FLAGS_ON_USE,
) -> Crossing:
    """Translate all ``access.size`` bytes of an access, with empty TLBs, as ``walk`` does one.

    The bytes behind the first page are those of the next one; behind the last address of all is
    address 0. Whether addresses are canonical is judged first, of both pages. Then the first page
    is walked, and gets its flags as for an access to it alone, even if the second one faults; and
    then, unless it faulted, the second. A page fault there has the address of that page's first
    byte. All of this is as in Bochs (``access_write_linear``); the SDM does not say it.

    Raise ``ValueError`` as ``walk`` does.
    """
    vaddr = second_vaddr(mode, control, access)
    if vaddr is None:
        return Crossing(walk(memory, mode, control, access, paddr_bits, flags))
    second = replace(access, vaddr=vaddr, size=1)
    if control.cr0 & Cr0.PG:
        check_vaddr(mode, access.vaddr)
        if is_canonical(mode, access.vaddr) and not is_canonical(mode, vaddr):
            return Crossing(None, walk(memory, mode, control, second, paddr_bits, flags))
    first = walk(memory, mode, control, access, paddr_bits, flags)
    if first.fault:
        return Crossing(first)
    return Crossing(first, walk(memory, mode, control, second, paddr_bits, flags))


def second_vaddr(mode: PagingMode, control: Control, access: Access) -> int | None:
    """Return the address of the first byte in the second page of ``access``, None without one."""
    page_bytes = 1 << mode.page_shift
    start = access.vaddr & (page_bytes - 1)
    if start + access.size <= page_bytes:
        return None
    bits = mode.vaddr_bits if control.cr0 & Cr0.PG else 32
    return (access.vaddr - start + page_bytes) & ((1 << bits) - 1)
