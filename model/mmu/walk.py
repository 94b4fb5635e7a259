"""The architectural walk: the one right answer for one access with empty TLBs.

Written for reading, in plain ints, from Intel SDM volume 3A chapter 4; section numbers are given
at each rule. The hardware decides the same things on its own, in ``hdl/``.
"""

from dataclasses import dataclass

from ..physical.memory import BusError, PhysicalMemory
from ..x86 import (
    PAGE_SHIFT,
    AccessKind,
    Cr0,
    Cr4,
    Efer,
    Entry,
    ErrorCode,
    Leaf,
    Level,
    PagingMode,
    Vector,
)

__all__ = ["Access", "Control", "Fault", "PageFault", "Step", "Walk", "translate", "walk"]


@dataclass(frozen=True, slots=True)
class Control:
    """The registers that govern translation, with the values software wrote."""

    cr3: int
    cr0: int = Cr0.PG | Cr0.WP
    cr4: int = Cr4.PSE | Cr4.PAE | Cr4.PGE
    efer: int = Efer.LME | Efer.LMA | Efer.NXE
    pkru: int = 0


@dataclass(frozen=True, slots=True)
class Access:
    """One access.

    ``user`` is an access at CPL 3, ``implicit`` one to a system structure, which is a supervisor
    access at any CPL; ``ac`` is EFLAGS.AC; ``stack`` marks an access through SS, which ends in
    #SS and not #GP if its address is not canonical.
    """

    vaddr: int
    kind: AccessKind = AccessKind.READ
    user: bool = False
    implicit: bool = False
    ac: bool = False
    stack: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One level of a walk: the entry's physical address, as read and after A/D updates."""

    level: Level
    paddr: int
    entry: int
    updated: int


@dataclass(frozen=True, slots=True)
class Fault:
    """How a translation failed. ``vaddr`` is what a page fault loads into CR2."""

    vector: Vector
    error_code: int
    vaddr: int


@dataclass(frozen=True, slots=True)
class Walk:
    """A walk and its outcome: either ``fault``, or the physical address of the access.

    ``page`` is the level that mapped the page (None without paging); ``memory_type`` the index
    into the PAT that the leaf selects (PAT, PCD, PWT). [SDM 4.9.2]
    """

    access: Access
    steps: tuple[Step, ...]
    paddr: int = 0
    page: Level | None = None
    memory_type: int = 0
    fault: Fault | None = None


class PageFault(Exception):
    """A translation that faulted; ``walk.fault`` has vector, error code and address."""

    def __init__(self, walk: Walk) -> None:
        assert walk.fault is not None
        fault = walk.fault
        super().__init__(
            f"#{fault.vector.name} at {fault.vaddr:#x}, error code {fault.error_code:#x}"
        )
        self.walk = walk


def translate(
    memory: PhysicalMemory,
    mode: PagingMode,
    control: Control,
    access: Access,
    paddr_bits: int = 40,
) -> int:
    """Return the physical address of ``access`` as ``walk`` finds it, or raise ``PageFault``."""
    result = walk(memory, mode, control, access, paddr_bits)
    if result.fault is not None:
        raise PageFault(result)
    return result.paddr


def walk(
    memory: PhysicalMemory,
    mode: PagingMode,
    control: Control,
    access: Access,
    paddr_bits: int = 40,
) -> Walk:
    """Translate ``access`` with empty TLBs, setting accessed and dirty flags in ``memory``.

    ``paddr_bits`` is MAXPHYADDR. Every entry used on the way down gets A, on a faulting walk too;
    the leaf gets A (and D if written) only when the access is permitted [SDM 4.8]. Page-table
    memory that does not exist ends the walk in a machine check.
    """
    if not control.cr0 & Cr0.PG:
        return Walk(access, (), paddr=access.vaddr & 0xFFFF_FFFF)
    if not _canonical(mode, access.vaddr):
        vector = Vector.SS if access.stack else Vector.GP
        return Walk(access, (), fault=Fault(vector, 0, access.vaddr))
    return _Walker(memory, mode, control, access, min(paddr_bits, mode.max_paddr_bits)).run()


def _canonical(mode: PagingMode, vaddr: int) -> bool:
    """All bits above the translated ones equal the highest translated bit. [SDM vol. 1, 3.3.7.1]"""
    upper = vaddr >> (mode.translated_bits - 1)
    all_ones = (1 << (mode.vaddr_bits - mode.translated_bits + 1)) - 1
    return mode.translated_bits == mode.vaddr_bits or upper in (0, all_ones)


class _EntryChanged(Exception):
    """Another processor wrote an entry after it was read: the walk must start over."""


class _Walker:
    """The state of one walk: rights combined so far and the steps taken."""

    def __init__(
        self,
        memory: PhysicalMemory,
        mode: PagingMode,
        control: Control,
        access: Access,
        paddr_bits: int,
    ) -> None:
        self.memory = memory
        self.mode = mode
        self.control = control
        self.access = access
        self.paddr_bits = paddr_bits
        self.user_access = access.user and not access.implicit

    def run(self) -> Walk:
        """Walk until no entry changed between its reading and its update. [SDM 4.8]"""
        while True:
            try:
                return self._walk()
            except _EntryChanged:
                continue

    def _walk(self) -> Walk:
        self.steps: list[Step] = []
        # R/W and U/S are the AND, XD the OR over all levels. [SDM 4.6.1]
        self.writable = True
        self.user_page = True
        self.execute_disable = False
        table = self.control.cr3 & self._address_bits()
        try:
            for level in self.mode.levels:
                index = (self.access.vaddr >> level.shift) & ((1 << level.index_bits) - 1)
                paddr = table + index * self.mode.entry_bytes
                entry = self.memory.read(paddr, self.mode.entry_bytes)
                present, reserved = bool(entry & Entry.P), self._reserved(level, entry)
                if not present or reserved:
                    self._step(level, paddr, entry, 0)
                    return self._fault(present=present, reserved=present and reserved)
                self._combine(entry)
                if self._is_leaf(level, entry):
                    return self._leaf(level, paddr, entry)
                self._step(level, paddr, entry, Entry.A)
                table = entry & self._address_bits()
        except BusError:
            fault = Fault(Vector.MC, 0, self.access.vaddr)
            return Walk(self.access, tuple(self.steps), fault=fault)
        raise AssertionError(f"{self.mode.name} has no last level that is always a leaf")

    def _leaf(self, level: Level, paddr: int, entry: int) -> Walk:
        key_blocks = self._key_blocks(entry)
        if key_blocks or not self._permitted():
            self._step(level, paddr, entry, 0)
            return self._fault(present=True, key=key_blocks)
        dirty = Entry.D if self.access.kind is AccessKind.WRITE else 0
        self._step(level, paddr, entry, Entry.A | dirty)
        offset = self.access.vaddr & (level.page_bytes - 1)
        pat_bit = Entry.PAT if level.shift == PAGE_SHIFT else Entry.PAT_LARGE
        memory_type = (
            4 * bool(entry & pat_bit) + 2 * bool(entry & Entry.PCD) + bool(entry & Entry.PWT)
        )
        return Walk(
            self.access,
            tuple(self.steps),
            paddr=self._page_address(level, entry) | offset,
            page=level,
            memory_type=memory_type,
        )

    def _step(self, level: Level, paddr: int, entry: int, flags: int) -> None:
        """Record a step and set ``flags`` in its entry."""
        updated, size = entry | flags, self.mode.entry_bytes
        if updated != entry:
            if self.memory.compare_exchange(paddr, size, entry, updated) != entry:
                raise _EntryChanged
        self.steps.append(Step(level, paddr, entry, updated))

    def _combine(self, entry: int) -> None:
        self.writable &= bool(entry & Entry.RW)
        self.user_page &= bool(entry & Entry.US)
        self.execute_disable |= self.mode.entry_bytes == 8 and bool(entry & Entry.XD)

    def _is_leaf(self, level: Level, entry: int) -> bool:
        """PS makes a leaf; in 32-bit paging only with CR4.PSE. [SDM 4.3, table 4-3]"""
        if level.leaf is not Leaf.IF_PS:
            return level.leaf is Leaf.ALWAYS
        enabled = self.mode.entry_bytes == 8 or self.control.cr4 & Cr4.PSE
        return bool(enabled and entry & Entry.PS)

    def _address_bits(self) -> int:
        """Bits of an entry, or of CR3, that hold the address of a table or 4-Kbyte page."""
        top = min(self.paddr_bits, 8 * self.mode.entry_bytes)
        return (1 << top) - (1 << PAGE_SHIFT)

    def _page_address(self, level: Level, entry: int) -> int:
        low = entry & self._address_bits() & -level.page_bytes
        if self.mode.entry_bytes == 4 and level.shift > PAGE_SHIFT:
            # PSE-36: bits 20:13 are physical-address bits 39:32. [SDM table 4-4]
            return low | (entry >> 13 & 0xFF) << 32
        return low

    def _reserved(self, level: Level, entry: int) -> bool:
        """Whether a present entry has a reserved bit set. [SDM 4.3 and 4.5, "reserved bits"]"""
        large = level.shift > PAGE_SHIFT and self._is_leaf(level, entry)
        if self.mode.entry_bytes == 4:
            # Bits 21:(M-19) of a 4-Mbyte page, M the physical-address width up to 40.
            return large and bool(entry & _ones(21, self.paddr_bits - 19))
        mask = _ones(51, self.paddr_bits)
        if not self.control.efer & Efer.NXE:
            mask |= Entry.XD
        if level.leaf is Leaf.NEVER:
            mask |= Entry.PS
        if large:
            mask |= _ones(level.shift - 1, 13)
        return bool(entry & mask)

    def _permitted(self) -> bool:
        """The rights of SDM 4.6.1, from the combined entries; protection keys apart."""
        kind, cr0, cr4 = self.access.kind, self.control.cr0, self.control.cr4
        if kind is AccessKind.FETCH and self.execute_disable:
            return False
        if self.user_access:
            return self.user_page and (kind is not AccessKind.WRITE or self.writable)
        if kind is AccessKind.FETCH:
            return not (self.user_page and cr4 & Cr4.SMEP)
        if self.user_page and cr4 & Cr4.SMAP and (self.access.implicit or not self.access.ac):
            return False
        return kind is AccessKind.READ or self.writable or not cr0 & Cr0.WP

    def _key_blocks(self, entry: int) -> bool:
        """Whether PKRU forbids this data access to a user-mode address. [SDM 4.6.2]"""
        if self.mode.entry_bytes == 4 or not self.control.cr4 & Cr4.PKE or not self.user_page:
            return False
        if self.access.kind is AccessKind.FETCH:
            return False
        key = (entry & Entry.KEY) >> 59
        access_disable = self.control.pkru >> (2 * key) & 1
        write_disable = self.control.pkru >> (2 * key + 1) & 1
        binding = self.user_access or self.control.cr0 & Cr0.WP
        is_write = self.access.kind is AccessKind.WRITE
        return bool(access_disable or (write_disable and is_write and binding))

    def _fault(self, *, present: bool, reserved: bool = False, key: bool = False) -> Walk:
        """End in a page fault with the error code of SDM 4.7."""
        code = ErrorCode(0)
        if present:
            code |= ErrorCode.P
        if self.access.kind is AccessKind.WRITE:
            code |= ErrorCode.WR
        if self.user_access:
            code |= ErrorCode.US
        if reserved:
            code |= ErrorCode.RSVD
        cr4 = self.control.cr4
        no_execute = cr4 & Cr4.PAE and self.control.efer & Efer.NXE
        if self.access.kind is AccessKind.FETCH and (cr4 & Cr4.SMEP or no_execute):
            code |= ErrorCode.ID
        if key:
            code |= ErrorCode.PK
        fault = Fault(Vector.PF, int(code), self.access.vaddr)
        return Walk(self.access, tuple(self.steps), fault=fault)


def _ones(high: int, low: int) -> int:
    """Return a mask of bits ``high`` down to ``low``, none if ``low`` is above ``high``."""
    return (1 << (high + 1)) - (1 << low) if low <= high else 0
