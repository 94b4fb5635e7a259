"""What software owes the TLB: which invalidations follow from changes of page tables.

The kernel does not flush here: it says what must be invalidated, in order. Whoever has the MMU
enters the kernel within ``TlbState.collecting``, and carries out the list that it gets before the
next access. One processor. [arch/x86/mm/tlb.c]
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count

from ..physical.errors import BrokenInvariant
from ..x86 import PAGE_BYTES, PAGE_SHIFT, Cr3, Cr4, InvalidateOp

__all__ = ["TLB_NR_DYN_ASIDS", "Invalidation", "MmContext", "MmuGather", "TlbState"]

TLB_NR_DYN_ASIDS = 6
SINGLE_PAGE_FLUSH_CEILING = 33  # tlb_single_page_flush_ceiling


@dataclass(frozen=True, slots=True)
class Invalidation:
    """One operation that invalidates: INVLPG of ``vaddr``, INVPCID, or a register written.

    ``old`` and ``new`` are the values of CR3 or CR4 before and as written: a ``new`` CR3 may have
    bit 63, which keeps what is cached of its PCID.
    """

    op: InvalidateOp
    vaddr: int = 0
    old: int = 0
    new: int = 0
    pcid: int = 0


@dataclass(slots=True)
class MmContext:
    """What the TLB knows an address space by. [mm_context_t]

    ``ctx_id`` is never used again; ``tlb_gen`` counts the changes that need a flush.
    """

    root: int
    ctx_id: int = field(default_factory=count(1).__next__)
    tlb_gen: int = 1


class TlbState:
    """The address space in CR3, and what of it and of others the TLB may hold. [struct tlb_state]

    Parameters
    ----------
    root
        The kernel's own tables, for when no process runs.
    cr4
        CR4, which says whether there are PCIDs.

    Members
    -------
    flushes
        How many invalidations were ever owed, by operation.
    """

    def __init__(self, root: int, cr4: int) -> None:
        self.cr4 = cr4
        self.has_pcid = bool(cr4 & Cr4.PCIDE)
        self.loaded = self.kernel = MmContext(root)
        self.cr3 = root << PAGE_SHIFT
        self._collectors: list[list[Invalidation]] = []
        self._left: list[Invalidation] = []  # what nobody has collected
        self.flushes: dict[InvalidateOp, int] = {}
        # Of each ASID whose contexts the TLB may hold: which, and up to which change. [ctxs]
        self._contexts = [(0, 0)] * (TLB_NR_DYN_ASIDS if self.has_pcid else 1)
        self._asid = self._next_asid = 0
        self._contexts[0] = self.kernel.ctx_id, self.kernel.tlb_gen

    @contextmanager
    def collecting(self) -> Iterator[list[Invalidation]]:
        """Give a list that gets each invalidation owed within the ``with`` block, oldest first.

        The list is the caller's: it must carry out the operations before the next access, and
        remove them from the list if it does so before the block ends. Nothing is lost: what is left
        in the list when the block raises goes to the block around it, or else, as what becomes owed
        while nobody collects, to the next one to collect, who gets it first.
        """
        owed, self._left = self._left, []
        self._collectors.append(owed)
        try:
            yield owed
        except BaseException:
            self._around(owed).extend(owed)
            raise
        finally:
            self._collectors = [one for one in self._collectors if one is not owed]

    def _around(self, owed: list[Invalidation]) -> list[Invalidation]:
        """Return what collects once ``owed`` does so no more."""
        others = [one for one in self._collectors if one is not owed]
        return others[-1] if others else self._left

    def _owe(self, op: InvalidateOp, *, vaddr: int = 0, old: int = 0, new: int = 0) -> None:
        owed = self._collectors[-1] if self._collectors else self._left
        owed.append(Invalidation(op, vaddr, old, new))
        self.flushes[op] = self.flushes.get(op, 0) + 1

    def switch(self, context: MmContext) -> None:
        """Run in another address space. [switch_mm_irqs_off]

        With PCIDs what the TLB holds of it stays, if it is not too old; the address space that
        ran longest ago among six loses its PCID.
        """
        if context is self.loaded and self._contexts[self._asid] == (context.ctx_id,
                                                                     context.tlb_gen):
            return
        asid, flush = self._choose_asid(context)
        self.loaded, self._asid = context, asid
        self._contexts[asid] = context.ctx_id, context.tlb_gen
        before, self.cr3 = self.cr3, context.root << PAGE_SHIFT | (
            asid + 1 if self.has_pcid else 0)
        keep = 0 if flush else Cr3.NO_FLUSH
        self._owe(InvalidateOp.MOV_CR3, old=before, new=self.cr3 | keep)

    def _choose_asid(self, context: MmContext) -> tuple[int, bool]:
        """Return the ASID to use, and whether it must be flushed. [choose_new_asid]"""
        if self.has_pcid:
            for asid, (ctx_id, tlb_gen) in enumerate(self._contexts):
                if ctx_id == context.ctx_id:
                    return asid, tlb_gen < context.tlb_gen
            asid = self._next_asid
            self._next_asid = (asid + 1) % TLB_NR_DYN_ASIDS
            return asid, True
        return 0, True

    def flush_range(self, context: MmContext, start: int, end: int,
                    stride: int = PAGE_BYTES) -> None:
        """Invalidate addresses of an address space, every ``stride`` bytes. [flush_tlb_mm_range]

        Each change of the address space is a generation. If the address space does not run, the
        change is only counted: its PCID has an older generation then, and ``switch`` flushes it
        whole. If it runs, it is flushed at once and stays up to date; were it more than this one
        change behind, single pages would not be enough.
        """
        context.tlb_gen += 1
        if context is not self.loaded:
            return
        behind = self._contexts[self._asid][1] < context.tlb_gen - 1
        self._contexts[self._asid] = context.ctx_id, context.tlb_gen
        if behind or (end - start) // stride > SINGLE_PAGE_FLUSH_CEILING:
            self._owe(InvalidateOp.MOV_CR3, old=self.cr3, new=self.cr3)
            return
        for vaddr in range(start, end, stride):
            self._owe(InvalidateOp.INVLPG, vaddr=vaddr)

    def flush_mm(self, context: MmContext) -> None:
        """Invalidate all of an address space. [flush_tlb_mm]"""
        self.flush_range(context, 0, (SINGLE_PAGE_FLUSH_CEILING + 1) * PAGE_BYTES)

    def flush_kernel_range(self, start: int, end: int) -> None:
        """Invalidate kernel addresses, which may be global pages. [flush_tlb_kernel_range]"""
        if (end - start) >> PAGE_SHIFT > SINGLE_PAGE_FLUSH_CEILING:
            without = self.cr4 ^ Cr4.PGE
            self._owe(InvalidateOp.MOV_CR4, old=self.cr4, new=without)
            self._owe(InvalidateOp.MOV_CR4, old=without, new=self.cr4)
            return
        for vaddr in range(start, end, PAGE_BYTES):
            self._owe(InvalidateOp.INVLPG, vaddr=vaddr)

    def check(self) -> None:
        """Raise ``BrokenInvariant`` if CR3 is not that of the address space that runs."""
        if self.cr3 >> PAGE_SHIFT != self.loaded.root:
            raise BrokenInvariant(f"CR3 is {self.cr3:#x}, but the root is in frame "
                                  f"{self.loaded.root:#x}")
        if self._contexts[self._asid] != (self.loaded.ctx_id, self.loaded.tlb_gen):
            raise BrokenInvariant("The address space that runs is not flushed up to date")
        ids = [ctx_id for ctx_id, _ in self._contexts if ctx_id]
        if len(ids) != len(set(ids)):
            raise BrokenInvariant(f"An address space has two PCIDs: {self._contexts}")


class MmuGather:
    """What goes from one address space at once: the TLB is told first, then frames are freed.

    The order is what the class is for. A frame that was freed while the TLB still maps it could
    be another process's by the next access; and telling the TLB once for many pages is cheap.
    Use it in a ``with`` statement. [struct mmu_gather, tlb_finish_mmu]

    Parameters
    ----------
    tlb, context
        The TLB, and the address space.
    put_page
        Drops a reference to a frame.
    """

    def __init__(self, tlb: TlbState, context: MmContext, put_page: Callable[[int], None]) -> None:
        self._tlb = tlb
        self._context = context
        self._put_page = put_page
        self._start: int | None = None
        self._end = 0
        self._stride = 0  # bytes of the smallest page that changed
        self._pages: list[tuple[Callable[[int], None], int]] = []

    def __enter__(self) -> "MmuGather":
        return self

    def __exit__(self, *exception: object) -> None:
        self.finish()

    def flush_entry(self, vaddr: int, page_bytes: int = PAGE_BYTES) -> None:
        """Note that the entry of ``vaddr`` has changed. [tlb_remove_tlb_entry]"""
        start = vaddr if self._start is None else min(self._start, vaddr)
        self._start, self._end = start, max(self._end, vaddr + page_bytes)
        self._stride = min(self._stride or page_bytes, page_bytes)

    def flush_tables(self, vaddr: int) -> None:
        """Note that a table of ``vaddr`` is freed: any INVLPG drops what is cached of tables.

        [SDM 4.10.4.1, pte_free_tlb]
        """
        if self._start is None:
            self.flush_entry(vaddr)

    def remove_page(self, pfn: int, put_page: Callable[[int], None] | None = None) -> None:
        """Drop a reference to a frame, once the TLB knows no more of it. [tlb_remove_page]

        ``put_page`` does so for a page of another kind. [tlb_remove_page_size]
        """
        self._pages.append((put_page or self._put_page, pfn))

    def finish(self) -> None:
        """Invalidate, then let the frames go. [tlb_flush_mmu]"""
        if self._start is not None:
            self._tlb.flush_range(self._context, self._start, self._end, self._stride)
            self._start, self._end, self._stride = None, 0, 0
        pages, self._pages = self._pages, []
        for put_page, pfn in pages:
            put_page(pfn)
