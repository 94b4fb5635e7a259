"""The architectural walk: the one right answer for one access with empty TLBs.

Written for reading, in plain ints, from Intel SDM volume 3A chapter 4; section numbers are given
at each rule, here, in ``entry_format``, ``rights`` and ``error_code``. The hardware decides the
same things on its own, in ``hdl/``. The paging modes are data: ``model.x86.MODES``.
"""

from dataclasses import dataclass, replace

from ..physical.memory import BusError, PhysicalMemory
from ..x86 import AccessKind, Cr0, Cr4, Level, PagingMode, Purpose, Vector
from .control import QUIET, Access, Control
from .entry_format import EntryFormat
from .error_code import error_code
from .flag_rules import FLAGS_ON_USE, FlagRules
from .rights import ALL_RIGHTS, Rights
from .widths import check_width, physical_bits

__all__ = ["Access", "Control", "Fault", "PageFault", "Step", "Walk", "check_vaddr", "is_canonical",
           "translate", "walk"]


@dataclass(frozen=True, slots=True)
class Step:
    """One level of a walk: where its entry is, and the entry as read and after A/D updates."""

    level: Level
    paddr: int
    entry: int
    updated: int


@dataclass(frozen=True, slots=True)
class Fault:
    """How a translation failed; ``vaddr`` is the address that a page fault loads into CR2."""

    vector: Vector
    error_code: int
    vaddr: int


@dataclass(frozen=True, slots=True)
class Walk:
    """A walk and its outcome: either ``fault``, or the physical address of the access.

    ``page`` is the level that mapped the page (None without paging); ``memory_type`` the index
    into the PAT that the leaf selects (PAT, PCD, PWT). [SDM 4.9.2] ``rights`` are those of the page
    over all levels, with the leaf's key; ``dirty`` says whether the leaf has D afterwards, and
    ``global_page`` whether it has G and CR4.PGE is set. Without paging a page permits everything.
    On a fault none of them means anything.
    """

    access: Access
    steps: tuple[Step, ...]
    paddr: int = 0
    page: Level | None = None
    memory_type: int = 0
    fault: Fault | None = None
    rights: Rights = ALL_RIGHTS
    dirty: bool = True
    global_page: bool = False


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
    flags: FlagRules = FLAGS_ON_USE,
) -> int:
    """Return the physical address of ``access`` as ``walk`` finds it, or raise ``PageFault``.

    Raise ``ValueError`` as ``walk`` does.
    """
    result = walk(memory, mode, control, access, paddr_bits, flags)
    if result.fault is not None:
        raise PageFault(result)
    return result.paddr


def walk(
    memory: PhysicalMemory,
    mode: PagingMode,
    control: Control,
    access: Access,
    paddr_bits: int = 40,
    flags: FlagRules = FLAGS_ON_USE,
) -> Walk:
    """Translate ``access`` with empty TLBs, setting accessed and dirty flags in ``memory``.

    ``paddr_bits`` is MAXPHYADDR. Every entry used on the way down gets A, on a faulting walk too;
    the leaf gets A (and D if written) only when the access is permitted [SDM 4.8]. ``flags`` has
    other rules for that. An access that is a ``Purpose.PROBE`` or ``LOOKUP`` sets nothing, one that
    is a ``CHECK`` no D; the fault is the one that the access would end in. Page-table memory that
    does not exist ends the walk in a machine check.

    Raise ``ValueError``, with ``memory`` as it was, for an address that is wider than the mode's
    linear addresses, unless paging is off, and for a MAXPHYADDR that is not from 32 to 52.
    """
    paddr_bits = physical_bits(mode, paddr_bits)
    if not control.cr0 & Cr0.PG:
        return Walk(access, (), paddr=access.vaddr & 0xFFFF_FFFF)
    check_vaddr(mode, access.vaddr)
    if not is_canonical(mode, access.vaddr):
        vector = Vector.SS if access.stack else Vector.GP
        return Walk(access, (), fault=Fault(vector, 0, access.vaddr))
    return _Walker(memory, mode, control, access, paddr_bits, flags).run()


def check_vaddr(mode: PagingMode, vaddr: int) -> None:
    """Raise ``ValueError`` for an address wider than the linear addresses of ``mode``."""
    if vaddr >> mode.vaddr_bits:
        check_width("Linear address", vaddr, mode.vaddr_bits)


def is_canonical(mode: PagingMode, vaddr: int) -> bool:
    """Return whether the bits above the translated ones extend their sign. [SDM vol. 1, 3.3.7.1]"""
    upper = vaddr >> (mode.translated_bits - 1)
    all_ones = (1 << (mode.vaddr_bits - mode.translated_bits + 1)) - 1
    return mode.translated_bits == mode.vaddr_bits or upper in (0, all_ones)


class _EntryChanged(Exception):
    """Another processor wrote an entry after it was read: the walk must start over."""


class _Walker:
    """The state of one walk: the steps taken, and the rules that it goes by."""

    def __init__(
        self,
        memory: PhysicalMemory,
        mode: PagingMode,
        control: Control,
        access: Access,
        paddr_bits: int,
        flags: FlagRules,
    ) -> None:
        self.memory = memory
        self.mode = mode
        self.control = control
        self.access = access
        self.flags, self.quiet = flags, access.purpose in QUIET
        self.format = EntryFormat(mode, control, paddr_bits)

    def run(self) -> Walk:
        """Walk until no entry changed between its reading and its update. [SDM 4.8]"""
        while True:
            try:
                return self._walk()
            except _EntryChanged:
                continue

    def _walk(self) -> Walk:
        self.steps: list[Step] = []
        rights, flags = Rights(), self.mode.flags
        table = self.format.table_address(self.control.cr3)
        try:
            for level in self.mode.levels:
                index = (self.access.vaddr >> level.shift) & ((1 << level.index_bits) - 1)
                paddr = table + index * self.mode.entry_bytes
                entry = self.memory.read(paddr, self.mode.entry_bytes)
                present = bool(entry & flags.P)
                reserved = present and self.format.is_reserved(level, entry)
                if not present or reserved:
                    self._step(level, paddr, entry, 0)
                    return self._fault(present=present, reserved=reserved)
                rights = rights.below(self.mode, entry)
                if self.format.is_leaf(level, entry):
                    return self._leaf(level, paddr, entry, rights)
                self._step(level, paddr, entry, flags.A)
                table = self.format.table_address(entry)
        except BusError:
            return self._end(Fault(Vector.MC, 0, self.access.vaddr))
        raise AssertionError(f"{self.mode.name} has no last level that is always a leaf")

    def _leaf(self, level: Level, paddr: int, entry: int, rights: Rights) -> Walk:
        key_blocks = rights.key_blocks(self.mode, self.control, self.access)
        if key_blocks or not rights.permit(self.control, self.access):
            self._step(level, paddr, entry, 0)
            return self._fault(present=True, key=key_blocks)
        flags = self.mode.flags
        writes = self.access.kind is AccessKind.WRITE and self.access.purpose is Purpose.ACCESS
        dirty = 0 if self.quiet or not writes else flags.D
        self._step(level, paddr, entry, flags.A | dirty)
        if self.quiet:
            self.steps = [replace(step, updated=step.entry) for step in self.steps]
        elif self.flags.at_the_end:
            lacking = any(step.updated != step.entry for step in self.steps)
            if lacking and self.flags.ad == "fault":
                return self._fault(present=True)
            self._set_all()
        offset = self.access.vaddr & (level.page_bytes - 1)
        return Walk(
            self.access,
            tuple(self.steps),
            paddr=self.format.page_address(level, entry) | offset,
            page=level,
            memory_type=self.format.memory_type(level, entry),
            rights=rights,
            dirty=bool((entry | dirty) & flags.D),
            global_page=bool(entry & flags.G and self.control.cr4 & Cr4.PGE),
        )

    def _step(self, level: Level, paddr: int, entry: int, flags: int) -> None:
        """Record a step and set ``flags`` in its entry, unless they are set at the end."""
        updated = entry | flags
        if updated != entry and not self.flags.at_the_end and not self.quiet:
            self._set(paddr, entry, updated)
        self.steps.append(Step(level, paddr, entry, updated))

    def _set_all(self) -> None:
        """Set the flags of all steps, the root's first; an entry may have been used twice."""
        current: dict[int, int] = {}
        for step in self.steps:
            before = current.get(step.paddr, step.entry)
            current[step.paddr] = before | step.updated
            if current[step.paddr] != before:
                self._set(step.paddr, before, current[step.paddr])

    def _set(self, paddr: int, entry: int, updated: int) -> None:
        size = self.mode.entry_bytes
        if self.flags.ad == "write":
            self.memory.write(paddr, size, updated)
        elif self.memory.compare_exchange(paddr, size, entry, updated) != entry:
            raise _EntryChanged

    def _fault(self, *, present: bool, reserved: bool = False, key: bool = False) -> Walk:
        code = error_code(self.control, self.access, present=present, reserved=reserved, key=key)
        return self._end(Fault(Vector.PF, code, self.access.vaddr))

    def _end(self, fault: Fault) -> Walk:
        """End the walk in a fault: of flags that were to be set at the end none is."""
        steps = self.steps
        if self.flags.at_the_end or self.quiet:
            steps = [replace(step, updated=step.entry) for step in steps]
        return Walk(self.access, tuple(steps), fault=fault)
