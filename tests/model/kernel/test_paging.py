"""Reclaim, swap and a swap file of ``mkswap`` at work together: a process larger than memory.

The process has one page table, a list; its page-table entries are page frames with accessed and
dirty bits, or swap entries. What it wrote is kept in a list beside it and compared at each read.
"""

import pytest
from numpy.random import default_rng

from pagewalk.model.kernel.reclaim.direct_reclaim import try_to_free_pages
from pagewalk.model.kernel.reclaim.kswapd import balance_pgdat
from pagewalk.model.kernel.reclaim.lru import LruFlag, Lruvec
from pagewalk.model.kernel.reclaim.scan import ScanControl
from pagewalk.model.kernel.reclaim.shrink import Pageout
from pagewalk.model.kernel.reclaim.workingset import workingset_refault
from pagewalk.model.kernel.swap.file import SwapFile
from pagewalk.model.kernel.swap.slots_cache import SWAP_SLOTS_CACHE_SIZE
from pagewalk.model.kernel.swap.swap import Swap, SwapEntry

from .swap_tools import mkswap, run

FRAMES = 128
LOW, HIGH = 8, 24  # watermarks, in free pages


class Process:
    def __init__(self, pages, device):
        self.swap = Swap(0, FRAMES)
        self.swap.swapon(device)
        self.lruvec = Lruvec(0, FRAMES)
        self.frames = [b""] * FRAMES
        self.free = list(range(FRAMES))
        self.table = [None] * pages
        self.owner = [None] * FRAMES
        self.bits = {"accessed": bytearray(FRAMES), "dirty": bytearray(FRAMES)}
        self.major_faults = self.dirty_pages_out = 0

    def access(self, page, value=None):
        """Write ``value``, or return what the page holds."""
        if self.table[page] is None or isinstance(self.table[page], SwapEntry):
            self.fault(page)
        pfn = self.table[page]
        self.bits["accessed"][pfn] = 1
        if value is None:
            return self.frames[pfn]
        self.bits["dirty"][pfn] = 1
        self.frames[pfn] = value
        return value

    def fault(self, page):
        entry = self.table[page]
        pfn = None if entry is None else self.swap.cache.lookup(entry)
        if pfn is None:
            pfn = self.alloc()
            flags = LruFlag(0)
            if entry is None:
                self.frames[pfn] = bytes(4096)
            else:
                self.major_faults += 1
                self.frames[pfn], shadow = self.swap.swap_readpage(entry, pfn)
                flags = workingset_refault(self.lruvec, shadow, file=False, swap=self.has_swap())
            self.lruvec.add(pfn, flags)
        if entry is not None:
            self.swap.swap_free(entry)
            self.try_to_free_swap(pfn)
        self.table[page], self.owner[pfn] = pfn, page
        self.bits["dirty"][pfn] = entry is None

    def alloc(self):
        if len(self.free) < LOW:
            sc = ScanControl(nr_to_reclaim=HIGH, kswapd=True)
            balance_pgdat(self.lruvec, sc, self, lambda: len(self.free) >= HIGH)
        if not self.free:
            assert try_to_free_pages([self.lruvec], ScanControl(), self)
        return self.free.pop()

    def exit(self):
        for page, held in enumerate(self.table):
            if isinstance(held, SwapEntry):
                pfn = self.swap.cache.page(held)
                self.swap.swap_free(held)
            else:
                pfn = held
            if pfn is not None:
                self.swap.free_swap(pfn)
                self.lruvec.delete(pfn)
                self.free.append(pfn)
            self.table[page] = None

    def accessed(self, pfn):
        accessed, self.bits["accessed"][pfn] = self.bits["accessed"][pfn], 0
        return accessed

    def is_executable(self, _pfn):
        return False

    def has_swap(self):
        return self.swap.nr_swap_pages > 0

    def add_to_swap(self, pfn):
        return self.swap.cache.entry(pfn) is not None or self.swap.add_to_swap(pfn) is not None

    def try_to_free_swap(self, pfn):
        if self.swap.swap_full:
            self.swap.free_swap(pfn)

    def try_to_unmap(self, pfn):
        entry = self.swap.cache.entry(pfn)
        self.swap.swap_duplicate(entry)
        self.table[self.owner[pfn]] = entry
        if self.bits["dirty"][pfn]:
            self.swap.cache.set_dirty(pfn)
        return True

    def is_dirty(self, pfn):
        return self.swap.cache.is_dirty(pfn)

    def pageout(self, pfn):
        self.dirty_pages_out += 1
        written = self.swap.swap_writepage(pfn, self.frames[pfn])
        return Pageout.SUCCESS if written else Pageout.CLEAN

    def is_locked(self, _pfn):
        return False

    def keeps_shadow(self, _pfn):
        return True

    def remove_mapping(self, pfn, shadow):
        self.swap.delete_from_swap_cache(pfn, shadow)
        self.frames[pfn] = b""
        self.free.append(pfn)

    def check(self):
        self.lruvec.check()
        self.swap.check()
        assert len(self.lruvec) + len(self.free) == FRAMES


def run_process(process, seed, count, write_share):
    """Let the process read and write at random; compare every read."""
    rng = default_rng(seed)
    pages = len(process.table)
    expected = [bytes(4096)] * pages
    accesses = zip((rng.random(count) ** 2 * pages).astype(int).tolist(),
                   (rng.random(count) < write_share).tolist(), strict=True)
    for number, (page, write) in enumerate(accesses):
        if write:
            expected[page] = process.access(page, number.to_bytes(4, "little") * 1024)
        else:
            # Not compared in the assert: pytest would work out at length how they differ.
            is_same = process.access(page) == expected[page]
            assert is_same, f"access {number}, seed {seed}: page {page} is not what was written"
        if number % 500 == 0:
            process.check()


@pytest.mark.slow
@pytest.mark.parametrize("slots", [4 * FRAMES, 10 * FRAMES])
@pytest.mark.parametrize("seed", range(2))
def test_process_of_four_times_memory_reads_what_it_wrote(tmp_path, seed, slots):
    path = mkswap(tmp_path / "swap", slots + 1, "-L", "paging")
    with SwapFile(path) as device:
        process = Process(4 * FRAMES, device)
        run_process(process, seed, 20_000, 0.3)
        assert process.major_faults > 5_000
        assert device.counters.pages_in == process.major_faults
        assert device.counters.pages_out == process.dirty_pages_out
        process.exit()
        process.check()
        assert len(process.free) == FRAMES
        assert process.swap.free_slots == process.swap.total_swap_pages == slots
        assert not len(process.swap.cache)
    assert "LABEL=paging" in run("file", path)


def test_process_that_only_reads_writes_no_page_twice_while_swap_is_not_half_full(tmp_path):
    # Slots that the processor keeps count as in use, so that half of them must be more.
    with SwapFile(mkswap(tmp_path / "swap", 6 * FRAMES + 4 * SWAP_SLOTS_CACHE_SIZE)) as device:
        process = Process(3 * FRAMES, device)
        run_process(process, 1, 10_000, 0)
        assert process.major_faults > 2_000
        assert device.counters.pages_out <= 3 * FRAMES


def test_forgotten_dirty_bit_is_noticed(tmp_path):
    class Forgetful(Process):
        def try_to_unmap(self, pfn):
            self.bits["dirty"][pfn] = False
            return super().try_to_unmap(pfn)

    with SwapFile(mkswap(tmp_path / "swap", 4 * FRAMES + 1)) as device:
        process = Forgetful(4 * FRAMES, device)
        with pytest.raises(AssertionError, match="is not what was written"):
            run_process(process, 1, 20_000, 0.3)
