"""Page faults of two processes, and what Linux does about each."""

from dataclasses import dataclass

import numpy as np

from ...model.address_space.maps_text import maps_line
from ...model.address_space.uapi import MapFlag, Prot
from ...model.kernel.fault_cause import FaultCause
from ...model.kernel.kernel import Kernel
from ...model.kernel.page_fault import FaultResult, SiCode
from ...model.kernel.process import Process
from ...model.mmu.walk import Access, walk
from ...model.x86 import PAGE_BYTES, X86_64, AccessKind
from .exercise import Exercise, Question

__all__ = ["fault_exercise"]

MEMORY_BYTES = 8 << 20
ACCESSES = 7
PROTECTIONS = (Prot.READ | Prot.WRITE, Prot.READ, Prot.READ | Prot.EXEC)
VERBS = {AccessKind.READ: "load from", AccessKind.WRITE: "store to"}
DONE = {FaultCause.ZERO_PAGE: "zeros", FaultCause.DEMAND_ZERO: "new",
        FaultCause.COPY_ON_WRITE: "copy", FaultCause.REUSE: "reuse"}
SIGNALS = {SiCode.SEGV_MAPERR: "maperr", SiCode.SEGV_ACCERR: "accerr"}
GIVEN = """\
A process has these private, anonymous mappings, as /proc/PID/maps shows them, and no page yet:

{maps}

A page fault is handled by one of:
  zeros   the page of zeros, which all share, is mapped for reading
  new     a new page of zeros is mapped
  copy    the process gets a page of its own in place of one that it shares, be it that of zeros
  reuse   the page is made writable, as nobody else has it any more
  maperr  SIGSEGV, as nothing is mapped there
  accerr  SIGSEGV, as the mapping does not permit it
The program goes on after a SIGSEGV. A fork copies the page tables of a mapping if it was ever
written to; if not, the child begins without any page of it.

In this order:

{events}"""


@dataclass(slots=True)
class _Machine:
    """A kernel, the processes by their names, and what they do."""

    kernel: Kernel
    processes: dict[str, Process]

    def access(self, name: str, access: Access) -> tuple[int, FaultResult] | None:
        """Make an access; return the error code of its fault and what came of it, if it faults."""
        kernel = self.kernel
        kernel.switch(self.processes[name])
        fault = walk(kernel.state.memory, kernel.mode, kernel.control, access).fault
        if fault is None:
            return None
        result = kernel.handle_page_fault(fault.vaddr, fault.error_code)
        if result.signal is None:
            again = walk(kernel.state.memory, kernel.mode, kernel.control, access)
            assert again.fault is None, "one fault is enough for anonymous memory"
        return fault.error_code, result


def fault_exercise(rng: np.random.Generator) -> Exercise:
    """Return accesses of a process, and of the child that it forks between them."""
    kernel = Kernel.boot(X86_64, MEMORY_BYTES)
    parent = kernel.spawn("parent")
    machine = _Machine(kernel, {"parent": parent})
    pages = _map(rng, parent)
    maps = "".join(f"    {maps_line(parent.mm, vma)}" for vma in parent.mm.tree).rstrip("\n")
    fork_at = int(rng.integers(1, ACCESSES - 2))
    events: list[str] = []
    questions: list[Question] = []
    for number in range(ACCESSES):
        if number == fork_at:
            machine.processes["child"] = kernel.fork(parent)
            events.append("the parent forks: from now on there is a child")
        name = str(rng.choice([*machine.processes]))
        kind = AccessKind(int(rng.integers(2)))
        vaddr = int(rng.choice(pages)) | int(rng.integers(PAGE_BYTES // 8)) << 3
        events.append(f"({chr(ord('A') + number)}) {name}: {VERBS[kind]} {vaddr:#x}")
        told = machine.access(name, Access(vaddr, kind, user=True))
        questions += _questions(chr(ord("A") + number), told)
    return Exercise("faults", "Faults of two processes", GIVEN.format(
        maps=maps, events="\n".join(f"    {event}" for event in events)), tuple(questions))


def _map(rng: np.random.Generator, process: Process) -> list[int]:
    """Make mappings with gaps between, the first writable; return their pages, one of a gap."""
    at, pages = int(rng.integers(0x400, 0x800)) * PAGE_BYTES, []
    for protection in (Prot.READ | Prot.WRITE, int(rng.choice(PROTECTIONS))):
        count = int(rng.integers(1, 3))
        process.mm.mmap(at, count * PAGE_BYTES, protection,
                        MapFlag.PRIVATE | MapFlag.ANONYMOUS | MapFlag.FIXED)
        pages += [at + number * PAGE_BYTES for number in range(count)]
        at += (count + int(rng.integers(1, 4))) * PAGE_BYTES
    return [*pages, *pages, pages[-1] + PAGE_BYTES]


def _questions(letter: str, told: tuple[int, FaultResult] | None) -> tuple[Question, Question]:
    code, what = "none", "none"
    if told is not None:
        code = f"{told[0]:#x}"
        result = told[1]
        if result.signal is not None:
            what = SIGNALS[SiCode(result.signal.code)]
        else:
            assert result.cause is not None
            what = DONE[result.cause]
    return (Question(f"({letter}): which error code does the page fault have? Or 'none'.", code),
            Question(f"({letter}): how is the fault handled? Or 'none', if there is none.", what))
