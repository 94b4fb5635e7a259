"""The fixmap: addresses that are fixed when the kernel is built, each for one purpose.

[arch/x86/include/asm/fixmap.h, enum fixed_addresses; arch/x86/mm/pgtable.c, __native_set_fixmap]
"""

from dataclasses import dataclass
from itertools import accumulate

from ...x86 import PAGE_BYTES, PAGE_SHIFT, Entry
from .mapping_ops import KernelPageTableOps

__all__ = ["FIXMAP_AMD64", "FIXMAP_I686", "FixedAddresses", "Fixmap", "FixmapError", "Slot"]

BTMAPS = 8 * 64  # FIX_BTMAPS_SLOTS * NR_FIX_BTMAPS: the boot-time mappings of early_ioremap


class FixmapError(ValueError):
    """A slot that the fixmap does not have, or an address that is in none."""


@dataclass(frozen=True, slots=True)
class Slot:
    """``count`` pages of the fixmap for one purpose, numbered up from ``first``."""

    name: str
    first: int
    count: int


@dataclass(frozen=True)
class FixedAddresses:
    """Which slots a kernel has. Slot numbers count pages down from ``top``, FIXADDR_TOP.

    Parameters
    ----------
    top
        The address of slot 0.
    permanent
        Names and page counts of the slots that stay, in the order of the enumeration.
    temporary
        Names and page counts of the slots that follow the boot-time mappings, which follow the
        permanent slots.
    table_entries
        PTRS_PER_PTE: the boot-time mappings are moved up if they would lie in two page tables.
    """

    top: int
    permanent: tuple[tuple[str, int], ...]
    temporary: tuple[tuple[str, int], ...]
    table_entries: int

    @property
    def slots(self) -> tuple[Slot, ...]:
        """Every slot, lowest number (highest address) first."""
        count = self.permanent_count
        crosses = (count ^ (count + BTMAPS - 1)) & -self.table_entries
        btmap = count + BTMAPS - count % BTMAPS if crosses else count
        after = (("FIX_BTMAP", BTMAPS), *self.temporary)
        return (*_numbered(0, self.permanent), *_numbered(btmap, after))

    @property
    def permanent_count(self) -> int:
        """How many pages stay mappable after boot: __end_of_permanent_fixed_addresses."""
        return sum(count for _, count in self.permanent)

    @property
    def start(self) -> int:
        """FIXADDR_START: under it lies no permanent slot."""
        return self.top - (self.permanent_count << PAGE_SHIFT)

    @property
    def total_start(self) -> int:
        """FIXADDR_TOT_START: under it lies no slot at all."""
        last = self.slots[-1]
        return self.top - ((last.first + last.count) << PAGE_SHIFT)

    def slot(self, name: str) -> Slot:
        """Return the slot called ``name``; raise ``FixmapError``."""
        for slot in self.slots:
            if slot.name == name:
                return slot
        raise FixmapError(f"Fixmap has no slot {name}")

    def address(self, name: str, index: int = 0) -> int:
        """Return the address of page ``index`` of a slot; raise ``FixmapError``. [fix_to_virt]"""
        slot = self.slot(name)
        if not 0 <= index < slot.count:
            raise FixmapError(f"{name} has pages 0 to {slot.count - 1}, not {index}")
        return self.top - ((slot.first + index) << PAGE_SHIFT)

    def slot_of(self, vaddr: int) -> tuple[Slot, int]:
        """Return the slot that an address is in, and which page of it; raise ``FixmapError``.

        [virt_to_fix]
        """
        number = (self.top - (vaddr & -PAGE_BYTES)) >> PAGE_SHIFT
        for slot in self.slots:
            if slot.first <= number < slot.first + slot.count:
                return slot, number - slot.first
        raise FixmapError(f"{vaddr:#x} is in no slot of the fixmap")


def _numbered(first: int, slots: tuple[tuple[str, int], ...]) -> list[Slot]:
    starts = accumulate((count for _, count in slots), initial=first)
    return [Slot(name, start, count) for (name, count), start in zip(slots, starts, strict=False)]


class Fixmap:
    """The fixmap in use: its slots are mapped to physical pages, and cleared again."""

    def __init__(self, addresses: FixedAddresses, tables: KernelPageTableOps) -> None:
        self.addresses = addresses
        self._tables = tables

    def set_fixmap(self, name: str, paddr: int, flags: int, index: int = 0) -> int:
        """Map the page of ``paddr`` at page ``index`` of a slot; return the slot's address.

        ``flags`` are the entry's bits; without P among them the slot is cleared. Raise
        ``FixmapError`` for a slot that does not exist. [__native_set_fixmap]
        """
        vaddr = self.addresses.address(name, index)
        if flags & Entry.P:
            self._tables.set_page(vaddr, paddr >> PAGE_SHIFT, flags)
        else:
            self._tables.clear_page(vaddr)
        self._tables.flush_range(vaddr, vaddr + PAGE_BYTES)
        return vaddr

    def clear_fixmap(self, name: str, index: int = 0) -> None:
        """Unmap page ``index`` of a slot; raise ``FixmapError`` if it does not exist."""
        self.set_fixmap(name, 0, 0, index)


# NR_CPUS is 32, KM_MAX_IDX 16, MAX_IO_APICS 64: CONFIG_HIGHMEM4G, _PCI_MMCONFIG, _ACPI_APEI_GHES.
FIXMAP_I686 = FixedAddresses(
    top=0xFFFF_F000,
    permanent=(
        ("FIX_HOLE", 1),
        ("FIX_DBGP_BASE", 1),
        ("FIX_EARLYCON_MEM_BASE", 1),
        ("FIX_APIC_BASE", 1),
        ("FIX_IO_APIC_BASE", 64),
        ("FIX_KMAP", 32 * 16),
        ("FIX_PCIE_MCFG", 1),
        ("FIX_APEI_GHES_IRQ", 1),
        ("FIX_APEI_GHES_NMI", 1),
    ),
    temporary=(("FIX_WP_TEST", 1),),
    table_entries=1024,
)
"""The fixmap of Debian's 6.1 for i686 (flavour 686)."""

# Slots under VSYSCALL_PAGE have no use: the fixmap only starts there so that the page comes to
# lie at VSYSCALL_ADDR. CONFIG_PARAVIRT_XXL, _ACPI_APEI_GHES, _INTEL_TXT.
FIXMAP_AMD64 = FixedAddresses(
    top=0xFFFF_FFFF_FF7F_F000,
    permanent=(
        ("FIX_UNUSED", 511),
        ("VSYSCALL_PAGE", 1),
        ("FIX_DBGP_BASE", 1),
        ("FIX_EARLYCON_MEM_BASE", 1),
        ("FIX_APIC_BASE", 1),
        ("FIX_IO_APIC_BASE", 128),
        ("FIX_PARAVIRT_BOOTMAP", 1),
        ("FIX_APEI_GHES_IRQ", 1),
        ("FIX_APEI_GHES_NMI", 1),
    ),
    temporary=(("FIX_TBOOT_BASE", 1),),
    table_entries=512,
)
"""The fixmap of Debian's 6.1 for amd64."""
