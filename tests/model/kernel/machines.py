"""A machine with processes, and a processor that makes their accesses by the golden walk."""

from collections.abc import Iterable

from pagewalk.model.address_space.uapi import MapFlag, Prot
from pagewalk.model.kernel.kernel import Kernel
from pagewalk.model.kernel.page_fault import FaultOutcome, Signal
from pagewalk.model.kernel.process import Process
from pagewalk.model.kernel.tlb_flush import Invalidation
from pagewalk.model.mmu.control import Access
from pagewalk.model.mmu.walk import walk
from pagewalk.model.x86 import IA32, X86_64, AccessKind, InvalidateOp

MODES = [IA32, X86_64]
PAGE = 4096
MIB = 1 << 20
RW = Prot.READ | Prot.WRITE
ANON = MapFlag.PRIVATE | MapFlag.ANONYMOUS
SHARED = MapFlag.SHARED | MapFlag.ANONYMOUS


class Killed(Exception):
    """A process got a signal, and is gone."""

    def __init__(self, signal: Signal) -> None:
        super().__init__(str(signal))
        self.signal = signal


def owed(kernel: Kernel) -> list[Invalidation]:
    """What the TLB is owed by calls since the last time, which nobody collected as they were made.

    A test makes many calls, and the TLB is told before its next access.
    """
    with kernel.invalidations() as invalidations:
        return invalidations


class LazyTlb:
    """A TLB that forgets nothing unless it must: what is not flushed is seen.

    It keeps whole walks by PCID and page; a cached translation serves what it permits. One of a
    large page is kept in pieces, which ``large`` names with the size of the page.
    """

    def __init__(self) -> None:
        self.entries: dict[tuple[int, int], dict[AccessKind, int]] = {}
        self.large: dict[tuple[int, int], int] = {}

    def carry_out(self, invalidations: Iterable[Invalidation], pcid: int) -> int:
        """Do what is owed, and return the PCID then."""
        for one in invalidations:
            if one.op is InvalidateOp.INVLPG:
                self.entries.pop((pcid, one.vaddr >> 12), None)
                for key, size in self.large.items():
                    if key[0] == pcid and not (key[1] << 12 ^ one.vaddr) & -size:
                        self.entries.pop(key, None)
            elif one.op is InvalidateOp.MOV_CR3:
                pcid = one.new & 0xFFF
                if not one.new >> 63:
                    self._flush(pcid)
            else:
                self.entries.clear()
        return pcid

    def _flush(self, pcid: int) -> None:
        self.entries = {key: value for key, value in self.entries.items() if key[0] != pcid}


class Cpu:
    """Makes accesses of the current process, and has faults handled until they succeed."""

    def __init__(self, kernel: Kernel, tlb: LazyTlb | None = None) -> None:
        self.kernel = kernel
        self.tlb = tlb if tlb is not None else LazyTlb()
        self.pcid = 0
        self.results = []

    def translate(self, vaddr: int, kind: AccessKind) -> int:
        kernel = self.kernel
        for _ in range(8):
            self.pcid = self.tlb.carry_out(owed(kernel), self.pcid)
            cached = self.tlb.entries.setdefault((self.pcid, vaddr >> 12), {})
            if kind in cached:
                return cached[kind] | vaddr & 0xFFF
            found = walk(kernel.state.memory, kernel.mode, kernel.control,
                         Access(vaddr, kind, user=True))
            if found.fault is None:
                cached[kind] = found.paddr & ~0xFFF
                if found.page.page_bytes > PAGE:
                    self.tlb.large[self.pcid, vaddr >> 12] = found.page.page_bytes
                if kind is AccessKind.WRITE:
                    cached[AccessKind.READ] = cached[kind]
                return found.paddr
            del self.tlb.entries[self.pcid, vaddr >> 12]
            assert found.fault.vector == 14, found.fault
            result = kernel.handle_page_fault(vaddr, found.fault.error_code)
            self.results.append(result)
            if result.outcome is not FaultOutcome.RETRY:
                self.on_signal(result.signal)
        raise AssertionError(f"address {vaddr:#x} faults for ever")

    def on_signal(self, signal: Signal) -> None:
        """End the process, as signals do that it does not handle."""
        process = self.kernel.current
        if process is not None:
            self.kernel.exit(process)
        raise Killed(signal)

    def load(self, vaddr: int, count: int = 1) -> bytes:
        data = b""
        while len(data) < count:
            size = min(count - len(data), PAGE - (vaddr & 0xFFF))
            paddr = self.translate(vaddr, AccessKind.READ)
            data += self.kernel.state.memory.read_bytes(paddr, size)
            vaddr += size
        return data

    def store(self, vaddr: int, data: bytes) -> None:
        while data:
            size = min(len(data), PAGE - (vaddr & 0xFFF))
            paddr = self.translate(vaddr, AccessKind.WRITE)
            self.kernel.state.memory.write_bytes(paddr, data[:size])
            vaddr, data = vaddr + size, data[size:]


def machine(mode, megabytes: int = 16, **options) -> tuple[Kernel, Cpu, Process]:
    """A machine and one process that runs on it, with nothing mapped."""
    kernel = Kernel.boot(mode, megabytes * MIB, **options)
    process = kernel.spawn("first")
    kernel.switch(process)
    return kernel, Cpu(kernel), process


def counted(kernel: Kernel) -> tuple[int, int]:
    """Free frames, with those on per-CPU lists, and free slots of swap."""
    kernel.state.allocator.drain_all_pages()
    free = sum(zone.free_pages for zone in kernel.state.allocator.populated)
    return free, kernel.state.swap.free_slots


__all__ = ["ANON", "MIB", "MODES", "PAGE", "RW", "SHARED", "Cpu", "Killed", "LazyTlb", "counted",
           "machine", "owed"]
