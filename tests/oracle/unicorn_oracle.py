"""Unicorn, an x86 emulator made from QEMU, as a paging oracle: one access, run as an instruction.

The emulator gets page tables and registers, and executes a load, a store or an instruction fetch at
the linear address. What it does then is the answer: an exception with vector, error code and CR2,
or the physical address that reached its memory; and the accessed and dirty flags. Its page-table
walk shares nothing with this project.

Not to be had from it, and so left out: implicit supervisor accesses, #SS, PCIDs, machine checks
(all tables must exist), memory types, paging that is off, and any MAXPHYADDR but 40.

One thing is corrected, and nothing else: the emulator sets A in a PDPTE before it looks whether
that maps a 1-Gbyte page, and so also in a 1-Gbyte leaf whose access faults, as in no other leaf.
Error codes are as they come: the walk in Unicorn 2.1 is QEMU 5's, which has P beside RSVD.
"""

from copy import copy
from dataclasses import dataclass

import numpy as np
from unicorn import (
    UC_ARCH_X86,
    UC_HOOK_INTR,
    UC_HOOK_MEM_INVALID,
    UC_HOOK_MEM_READ,
    UC_HOOK_MEM_WRITE,
    UC_MEM_WRITE,
    UC_MODE_32,
    UC_MODE_64,
    UC_PROT_READ,
    UC_PROT_WRITE,
    Uc,
    UcError,
)
from unicorn import x86_const as x86

from pagewalk.model.mmu.walk import Access, Control
from pagewalk.model.physical.memory import PhysicalMemory
from pagewalk.model.x86 import PAGE_SHIFT, AccessKind, Cr0, Cr4, Efer, Entry, PagingMode

MAXPHYADDR = 40
FRAME_BYTES = 1 << PAGE_SHIFT

# The oracle's own frames: instructions, a table that maps them, and one that points to that table
# where paging has five levels. A 1-Gbyte page can begin here, and ia32 entries can point here.
CODE = 0xC000_0000
TABLE = CODE + FRAME_BYTES
UPPER_TABLE = TABLE + FRAME_BYTES
# Instructions, by where they stand in the frame.
LOAD, STORE, SET_PKRU, TO_USER, TO_USER_64, NEVER_REACHED = range(0, 0x60, 0x10)
CODES = {
    LOAD: b"\x8A\x03",  # mov al, [rbx]
    STORE: b"\x88\x03",  # mov [rbx], al
    SET_PKRU: b"\x0F\x01\xEF",  # wrpkru
    TO_USER: b"\x0F\x07",  # sysret
    TO_USER_64: b"\x48\x0F\x07",  # sysret with REX.W
}

CR0_PE = 1 << 0
EFLAGS_ALWAYS, EFLAGS_AC = 1 << 1, 1 << 18
EFER_SCE = 1 << 0  # permits SYSRET
MSR_EFER, MSR_STAR = 0xC000_0080, 0xC000_0081


@dataclass(frozen=True)
class Answer:
    """What an access came to: an exception, or the physical address.

    ``vector`` is 0 without exception; ``cr2`` is None if the register was left alone.
    """

    vector: int = 0
    error_code: int = 0
    cr2: int | None = None
    paddr: int = 0


class UnicornOracle:
    """An emulated processor in paging mode ``mode``, its TLBs empty before each access.

    ``early_accessed`` counts how often A was taken back from a 1-Gbyte leaf.
    """

    def __init__(self, mode: PagingMode) -> None:
        self.mode = mode
        self.early_accessed = 0
        self._long = mode.entry_bytes == 8
        self._five = len(mode.levels) == 5
        self._uc = Uc(UC_ARCH_X86, UC_MODE_64 if self._long else UC_MODE_32)
        self._uc.ctl_set_cpu_model(x86.UC_CPU_X86_ICELAKE_SERVER)  # has SMEP, SMAP and PKU
        self._mapped: set[int] = set()
        self._load_own_frames()
        self._pkru_at = self._locate_pkru()
        contexts = self._contexts_by_user()
        self._states = [context.__getstate__() for context in contexts]
        self._context = copy(contexts[0])
        self._add_hooks()
        self._error_code_at = self._locate_error_code()

    def access(self, memory: PhysicalMemory, control: Control, access: Access) -> Answer:
        """Do ``access`` by the tables in ``memory``, whose entries get their A and D.

        EFER.LME and LMA are what the mode needs. Raise ``ValueError`` for what cannot be done.
        """
        root = control.cr3 & (1 << (MAXPHYADDR if self._long else 32)) - FRAME_BYTES
        self._check(memory, control, access, root)
        self._copy_in(memory)
        lent, code = self._code_mapping(root, access)
        kept = self._read_entry(lent)
        self._write_entry(lent, self._top_table | Entry.P | Entry.US | Entry.A)
        self._set_registers(control, access)
        answer = self._execute(access, code)
        self._write_entry(lent, kept)
        if answer.vector and self._long:
            self._take_back_early_accessed(memory, root, access.vaddr)
        self._copy_out(memory)
        return answer

    def _check(
        self, memory: PhysicalMemory, control: Control, access: Access, root: int
    ) -> None:
        known = (
            control.cr0 & Cr0.PG
            and bool(control.cr4 & Cr4.PAE) == self._long
            and bool(control.cr4 & Cr4.LA57) == self._five
            and not control.cr4 & Cr4.PCIDE
            and not access.implicit
            and not access.stack
            and root >> PAGE_SHIFT in memory
        )
        if not known:
            raise ValueError(f"Unicorn cannot do {access} under {control}")
        for paddr in (CODE, TABLE, UPPER_TABLE):
            if paddr >> PAGE_SHIFT in memory:
                raise ValueError(f"Frame {paddr >> PAGE_SHIFT:#x} is the oracle's own")

    # Memory

    def _load_own_frames(self) -> None:
        self._uc.mem_map(CODE, 3 * FRAME_BYTES)
        for offset, code in CODES.items():
            self._uc.mem_write(CODE + offset, code)
        # Entry 0 is for supervisor code, entry 1 for user code.
        for user in range(2):
            entry = CODE | Entry.P | Entry.A | user * Entry.US | self._long * Entry.PS
            self._write_entry(TABLE + user * self.mode.entry_bytes, entry)
        self._write_entry(UPPER_TABLE, TABLE | Entry.P | Entry.US | Entry.A)
        self._top_table = UPPER_TABLE if self._five else TABLE

    def _read_entry(self, paddr: int) -> int:
        return int.from_bytes(self._uc.mem_read(paddr, self.mode.entry_bytes), "little")

    def _write_entry(self, paddr: int, entry: int) -> None:
        self._uc.mem_write(paddr, entry.to_bytes(self.mode.entry_bytes, "little"))

    def _copy_in(self, memory: PhysicalMemory) -> None:
        for pfn, row in zip(*(array.tolist() for array in memory.index()), strict=True):
            if pfn not in self._mapped:
                # Not to be executed from, so that a fetch ends in `_on_invalid`.
                self._uc.mem_map(pfn << PAGE_SHIFT, FRAME_BYTES, UC_PROT_READ | UC_PROT_WRITE)
                self._mapped.add(pfn)
            self._uc.mem_write(pfn << PAGE_SHIFT, memory.frames[row].tobytes())

    def _copy_out(self, memory: PhysicalMemory) -> None:
        for pfn, row in zip(*(array.tolist() for array in memory.index()), strict=True):
            data = self._uc.mem_read(pfn << PAGE_SHIFT, FRAME_BYTES)
            memory.frames[row] = np.frombuffer(data, "<u8")

    def _code_mapping(self, root: int, access: Access) -> tuple[int, int]:
        """Return an entry of the root that ``access`` does not use, and where it can map code."""
        top, holder = self.mode.levels[0], self.mode.levels[-3 if self._long else -1]
        used = {access.vaddr >> level.shift & (1 << level.index_bits) - 1
                for level in self.mode.levels}
        free = min(set(range(len(used) + 1)) - used)
        return root + free * self.mode.entry_bytes, free << top.shift | access.user << holder.shift

    def _take_back_early_accessed(self, memory: PhysicalMemory, root: int, vaddr: int) -> None:
        """Put the PDPTE of an access that faulted back, if it maps a 1-Gbyte page."""
        table = root
        for level in self.mode.levels[:-2]:
            paddr = table + (vaddr >> level.shift & 0x1FF) * 8
            if paddr >> PAGE_SHIFT not in memory:
                return
            before = memory.read(paddr, 8)
            if not before & Entry.P:
                return
            table = before & (1 << MAXPHYADDR) - FRAME_BYTES
        if before & Entry.PS and self._read_entry(paddr) != before:
            self._write_entry(paddr, before)
            self.early_accessed += 1

    # Registers

    def _locate_pkru(self) -> int:
        """Find PKRU in a saved context; Unicorn has no name for it."""
        self._uc.reg_write(x86.UC_X86_REG_CR4, Cr4.PKE | self._long * Cr4.PAE)
        sightings = []
        for value in (0x1234_5678, 0x89AB_CDEF):
            self._uc.reg_write(x86.UC_X86_REG_EAX, value)
            self._run(CODE, SET_PKRU)
            self._uc.reg_write(x86.UC_X86_REG_EAX, 0)
            sightings.append((bytes(self._uc.context_save()), value))
        return the_place(sightings)

    def _contexts_by_user(self):
        """Return the processor's state at CPL 0 and, after a SYSRET, at CPL 3."""
        supervisor = self._uc.context_save()
        self._uc.msr_write(MSR_EFER, EFER_SCE | self._uc.msr_read(MSR_EFER))
        self._uc.msr_write(MSR_STAR, 0x10 << 48)  # any selectors
        self._uc.reg_write(x86.UC_X86_REG_ECX, CODE + NEVER_REACHED)
        start = CODE + (TO_USER_64 if self._long else TO_USER)
        self._uc.emu_start(start, CODE + NEVER_REACHED)
        return supervisor, self._uc.context_save()

    def _set_registers(self, control: Control, access: Access) -> None:
        (image, *rest), at = self._states[access.user], self._pkru_at
        image = image[:at] + control.pkru.to_bytes(4, "little") + image[at + 4:]
        self._context.__setstate__((image, *rest))  # how a context is unpickled
        self._uc.context_restore(self._context)
        long_mode = Efer.LME | Efer.LMA if self._long else 0
        self._uc.msr_write(MSR_EFER, long_mode | control.efer & Efer.NXE)
        self._old_cr2 = ~access.vaddr & (1 << self.mode.vaddr_bits) - 1
        self._uc.reg_write_batch([
            (x86.UC_X86_REG_EFLAGS, EFLAGS_ALWAYS | access.ac * EFLAGS_AC),
            (x86.UC_X86_REG_AL, 0xA5),  # a store that is not undone shows
            (x86.UC_X86_REG_RBX if self._long else x86.UC_X86_REG_EBX, access.vaddr),
            (x86.UC_X86_REG_CR2, self._old_cr2),
            (x86.UC_X86_REG_CR3, control.cr3),
            (x86.UC_X86_REG_CR4, control.cr4),
            # Last, as PG comes on with it: the emulator then empties its TLBs.
            (x86.UC_X86_REG_CR0, control.cr0 | CR0_PE),
        ])

    # Execution

    def _add_hooks(self) -> None:
        self._at_exception = self._uc.context_save()
        self._uc.hook_add(UC_HOOK_INTR, self._on_exception)
        self._uc.hook_add(UC_HOOK_MEM_READ | UC_HOOK_MEM_WRITE, self._on_data)
        self._uc.hook_add(UC_HOOK_MEM_INVALID, self._on_invalid)

    def _on_exception(self, uc, vector, _) -> None:
        # Now, not after the run, which ends with a look-up of its own that may fault as well.
        self._vector, self._cr2 = vector, uc.reg_read(x86.UC_X86_REG_CR2)
        uc.context_update(self._at_exception)
        uc.emu_stop()

    def _on_data(self, uc, kind, paddr, size, _value, _) -> None:
        self._paddr = paddr
        if kind == UC_MEM_WRITE:  # about to write to a table
            self._overwritten = paddr, bytes(uc.mem_read(paddr, size))

    def _on_invalid(self, _uc, _kind, paddr, _size, _value, _) -> bool:
        """Take note of an access where there is no memory, as with most pages."""
        self._paddr = paddr
        return False  # ends the run with an error

    def _run(self, code: int, offset: int) -> None:
        self._uc.emu_start(code + offset, code + offset + len(CODES[offset]))

    def _execute(self, access: Access, code: int) -> Answer:
        self._vector, self._paddr, self._overwritten = 0, None, None
        try:
            if access.kind is AccessKind.FETCH:
                self._uc.emu_start(access.vaddr, code + NEVER_REACHED)
            else:
                self._run(code, LOAD if access.kind is AccessKind.READ else STORE)
        except UcError:
            if self._paddr is None:
                raise
        assert (self._paddr is None) == bool(self._vector), "Neither exception nor access, or both"
        if self._overwritten is not None:
            self._uc.mem_write(*self._overwritten)
        if self._paddr is not None:
            return Answer(paddr=self._paddr)
        cr2 = None if self._cr2 == self._old_cr2 else self._cr2
        return Answer(self._vector, self._error_code(), cr2)

    def _error_code(self) -> int:
        at = self._error_code_at
        return int.from_bytes(bytes(self._at_exception)[at:at + 4], "little")

    def _locate_error_code(self) -> int:
        """Find an exception's error code in a saved context, by faults in empty tables."""
        self._error_code_at = 0  # anything, for now
        memory = PhysicalMemory()
        memory.add([1])
        mode_bits = self._long * Cr4.PAE | self._five * Cr4.LA57
        control = Control(cr3=1 << PAGE_SHIFT, cr4=Cr4.SMEP | mode_bits)
        sightings = []
        for kind, user, error_code in [
            (AccessKind.READ, False, 0x00), (AccessKind.WRITE, False, 0x02),
            (AccessKind.READ, True, 0x04), (AccessKind.FETCH, True, 0x14),
        ]:
            self.access(memory, control, Access(0x1234_5678, kind, user=user))
            sightings.append((bytes(self._at_exception), error_code))
        return the_place(sightings)


def the_place(sightings: list[tuple[bytes, int]]) -> int:
    """Return the one aligned offset at which each image has the 32-bit value beside it."""
    (first, _), *_ = sightings
    places = [
        at for at in range(0, len(first) - 3, 4)
        if all(image[at:at + 4] == value.to_bytes(4, "little") for image, value in sightings)
    ]
    assert len(places) == 1, f"Value found at {places} in the saved contexts"
    return places[0]
