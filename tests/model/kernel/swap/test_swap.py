import os
from uuid import UUID

import pytest

from pagewalk.model.kernel.swap.errors import (
    BadSwapEntry,
    SwapDeviceBusy,
    SwapFileShrunk,
    TooManySwapDevices,
)
from pagewalk.model.kernel.swap.file import SwapFile
from pagewalk.model.kernel.swap.swap import MAX_SWAPFILES, Swap, SwapEntry
from pagewalk.model.physical.errors import BrokenInvariant

from ..disks import NoDisk
from ..swap_tools import mkswap, run

HEADER = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"


@pytest.fixture
def swap():
    swap = Swap(0, 100_000)
    yield swap
    swap.check()


def nothing(_type):
    pass


def take(swap, count):
    return [swap.get_swap_page() for _ in range(count)]


# Four boots had written 592 pages to swap by then (prechurn/vmstat.txt, pswpout).
@pytest.mark.parametrize(("pages", "cluster", "size"), [
    pytest.param(65536, 512, 262140, id="amd64-A"),
    pytest.param(131072, 512, 524284, id="amd64-B"),
    pytest.param(131072, 256, 524284, id="i686-A, i686-B")])
def test_proc_swaps_counts_the_slots_that_the_processor_keeps_as_linux_does(pages, cluster, size):
    swap = Swap(0, 100_000, cluster=cluster)
    swap.swapon(NoDisk(pages, name="/dev/vda", partition=True))
    assert [entry.offset for entry in take(swap, 592)] == [*range(1, 593)]
    assert swap.proc_swaps() == (
        f"{HEADER}/dev/vda                                partition\t{size}\t\t2584\t\t-2\n")
    assert len(swap.slots_cache) == 54
    swap.check()


# The areas and numbers of slots in use are those of real boots; the lines are their /proc/swaps.
@pytest.mark.slow
@pytest.mark.parametrize(("pages", "used", "line"), [
    (131072, 0, HEADER),  # amd64-A, boot/swaps.txt: before swapon
    (131072, 66112,  # i686-A, hog-swaps.txt
     "/dev/vda                                partition\t524284\t\t264448\t\t-2\n"),
    (65536, 3714,  # amd64-A, posthog/swaps.txt
     "/dev/vda                                partition\t262140\t\t14856\t\t-2\n"),
])
def test_proc_swaps_is_that_of_linux(swap, pages, used, line):
    if line is not HEADER:
        swap.swapon(NoDisk(pages, name="/dev/vda", partition=True))
        while swap.total_swap_pages - swap.nr_swap_pages < used:
            swap.get_swap_pages(1)
        line = HEADER + line
    assert swap.proc_swaps() == line


def test_proc_swaps_of_long_names_and_large_areas(swap):
    swap.swapon(NoDisk(11, name="/a b\\"), 5)
    swap.swapon(NoDisk(2_500_001, name=40 * "x", partition=True))
    swap.get_swap_pages(3)
    assert swap.proc_swaps() == (
        HEADER + "/a\\040b\\134" + 29 * " " + "file\t\t40\t\t12\t\t5\n"
        + 40 * "x" + " partition\t10000000\t0\t\t-2\n")


def test_area_of_higher_priority_is_filled_first(swap):
    for priority, pages in ((5, 11), (None, 4), (9, 6)):
        swap.swapon(NoDisk(pages), priority)
    assert [entry.type for entry in take(swap, 18)] == [2] * 5 + [0] * 10 + [1] * 3
    assert swap.get_swap_page() is None
    assert (swap.nr_swap_pages, swap.total_swap_pages) == (0, 18)


def test_areas_of_one_priority_take_turns(swap):
    for pages in (6, 4, 8):
        swap.swapon(NoDisk(pages), 3)
    swap.swapon(NoDisk(10), 1)
    assert [entry.type for entry in take(swap, 15)] == [0, 1, 2] * 3 + [0, 2] * 2 + [2, 2]
    assert swap.get_swap_page() == SwapEntry(3, 1)
    swap.put_swap_page(SwapEntry(1, 2))  # a full area is there again, behind its equals
    assert swap.get_swap_page() == SwapEntry(1, 2)


def test_areas_without_priority_come_in_the_order_of_swapon_and_move_up(swap):
    areas = [swap.swapon(NoDisk(10)) for _ in range(4)]
    assert [area.prio for area in areas] == [-2, -3, -4, -5]
    swap.swapoff(1, nothing)
    assert [area.prio for area in areas] == [-2, -3, -3, -4]
    again = swap.swapon(NoDisk(10))
    assert (again.type, again.prio) == (1, -5)
    swap.check()


def test_swap_areas_are_limited_by_the_entry(swap):
    for _ in range(MAX_SWAPFILES):
        swap.swapon(NoDisk(10))
    with pytest.raises(TooManySwapDevices, match=f"there are {MAX_SWAPFILES} swap areas already$"):
        swap.swapon(NoDisk(10))
    swap.swapoff(7, nothing)
    assert swap.swapon(NoDisk(10)).type == 7


@pytest.mark.parametrize("priority", [-1, 32768])
def test_priority_has_fifteen_bits(swap, priority):
    with pytest.raises(ValueError, match=f"^Swap priority must be .* 32767, not {priority}$"):
        swap.swapon(NoDisk(10), priority)


def test_an_area_in_use_is_not_taken_again(swap):
    disk = NoDisk(12, name="disk")
    swap_type = swap.swapon(disk).type
    with pytest.raises(SwapDeviceBusy, match=r"^disk: the swap area is in use already$"):
        swap.swapon(disk, 5)
    assert swap.total_swap_pages == 11
    swap.swapoff(swap_type, nothing)
    assert swap.swapon(disk).pages == 11


def test_swapoff_asks_for_the_pages_and_drops_what_only_the_cache_holds(swap):
    swap.swapon(NoDisk(10))
    in_cache, in_table = swap.add_to_swap(5), swap.get_swap_page()
    swap.swap_duplicate(in_table)
    swap.put_swap_page(in_table)
    with pytest.raises(SwapDeviceBusy, match=r"1 slots are in use$"):
        swap.swapoff(0, nothing)
    swap.check()
    assert swap.cache.page(in_cache) is None  # dropped all the same
    assert swap.swapcount(in_table) == 1
    assert swap.proc_swaps().endswith("36\t\t4\t\t-2\n")
    swap.swapoff(0, lambda _type: swap.swap_free(in_table))
    assert (swap.nr_swap_pages, swap.total_swap_pages, swap.proc_swaps()) == (0, 0, HEADER)
    with pytest.raises(BadSwapEntry, match=r"there is no such swap area$"):
        swap.swapoff(0, nothing)


def test_swapoff_goes_round_until_no_slot_is_in_use(swap):
    swap.swapon(NoDisk(10))
    entries = [swap.get_swap_page() for _ in range(3)]
    for entry in entries:
        swap.swap_duplicate(entry)
        swap.put_swap_page(entry)
    swap.swapoff(0, lambda _type: swap.swap_free(entries.pop()))
    assert entries == []
    swap.swapon(NoDisk(10))
    swap.swapoff(0, lambda _type: pytest.fail("asked for nothing"))


def test_swapoff_that_fails_leaves_the_area_in_use(swap):
    swap.swapon(NoDisk(10))
    entry = swap.add_to_swap(5)
    swap.swap_duplicate(entry)

    def fail(_type):
        raise MemoryError

    with pytest.raises(MemoryError):
        swap.swapoff(0, fail)
    assert swap.cache.page(entry) == 5
    assert swap.get_swap_page() is not None


def test_slots_of_the_cache_are_given_out_again_once_swap_is_half_full(swap):
    swap.swapon(NoDisk(11))
    entries = [swap.add_to_swap(pfn) for pfn in range(5)]
    assert not swap.swap_full
    for entry in entries[1:]:
        swap.swap_duplicate(entry)
    entries += [swap.add_to_swap(pfn) for pfn in range(5, 10)]
    assert swap.get_swap_page() is None  # as in Linux: full, though a slot could be had
    swap.swap_free(entries[3])
    swap.swap_free(entries[1])
    swap.delete_from_swap_cache(1)
    swap.delete_from_swap_cache(9)
    swap.check()
    assert swap.swap_full
    assert swap.get_swap_page() == entries[1]
    assert swap.get_swap_page() == entries[3]
    assert swap.cache.entry(3) is None
    assert swap.cache.entry(2) == entries[2]  # between the two, but it has a reference
    assert swap.nr_swap_pages == 1


def test_swap_without_areas_is_full(swap):
    assert swap.get_swap_page() is None
    assert swap.add_to_swap(7) is None
    assert swap.cache.entry(7) is None


def test_clean_page_is_not_written_again(tmp_path, swap):
    with SwapFile.create(tmp_path / "swap", 10, uuid=UUID(int=1)) as device:
        swap.swapon(device)
        entry = swap.add_to_swap(7)
        swap.swap_duplicate(entry)
        assert swap.swap_writepage(7, b"a" * 4096)
        assert not swap.swap_writepage(7, b"b" * 4096)
        swap.delete_from_swap_cache(7, shadow=42)
        assert swap.swap_readpage(entry, 8) == (b"a" * 4096, 42)
        assert not swap.swap_writepage(8, b"b" * 4096)
        swap.cache.set_dirty(8)
        assert swap.swap_writepage(8, b"c" * 4096)
        swap.delete_from_swap_cache(8)
        assert swap.swap_readpage(entry, 9) == (b"c" * 4096, None)
        assert (device.counters.pages_out, device.counters.pages_in) == (2, 2)


def test_slot_that_is_free_forgets_its_page(swap):
    swap.swapon(NoDisk(3))
    entry = swap.add_to_swap(7)
    swap.swap_duplicate(entry)
    swap.delete_from_swap_cache(7, shadow=42)
    swap.swap_free(entry)
    swap.get_swap_page()
    assert swap.get_swap_page() == entry
    assert swap.cache.add(8, entry) is None
    swap.delete_from_swap_cache(8)


def test_page_with_references_to_its_slot_keeps_it(swap):
    swap.swapon(NoDisk(10))
    entry = swap.add_to_swap(7)
    swap.swap_duplicate(entry)
    assert not swap.free_swap(7)
    swap.swap_free(entry)
    assert swap.free_swap(7)
    assert not swap.free_swap(7)


def test_shrunk_file_loses_nothing_that_was_in_memory(tmp_path, swap):
    path = mkswap(tmp_path / "swap", 12)
    with SwapFile(path) as device:
        swap.swapon(device)
        entries = {pfn: swap.add_to_swap(pfn) for pfn in range(100, 111)}
        for pfn, entry in entries.items():
            swap.swap_duplicate(entry)
            swap.swap_writepage(pfn, bytes([pfn]) * 4096)
        for pfn in range(100, 105):
            swap.delete_from_swap_cache(pfn, shadow=pfn)
        os.truncate(path, 4 * 4096)
        for pfn in range(105, 111):
            swap.cache.set_dirty(pfn)
            with pytest.raises(SwapFileShrunk, match=f"write .* page {pfn:#x}: "):
                swap.swap_writepage(pfn, bytes(4096))
            assert swap.cache.is_dirty(pfn)
            assert swap.cache.page(entries[pfn]) == pfn
        with pytest.raises(SwapFileShrunk, match="read slot 4 for page 0x7: "):
            swap.swap_readpage(entries[103], 7)
        swap.check()
        assert swap.cache.page(entries[103]) is None
        assert swap.swapcount(entries[103]) == 1
        assert swap.swap_readpage(entries[102], 8) == (bytes([102]) * 4096, 102)
        os.truncate(path, 12 * 4096)  # put right: the pages in memory are written as ever
        assert swap.swap_writepage(110, bytes([110]) * 4096)
        assert swap.swap_readpage(entries[103], 7)[1] == 103
    assert "version 1, size 11 pages" in run("file", path)


def test_check_finds_a_wrong_count_and_a_wrong_order():
    swap = Swap(0, 10)
    low, high = swap.swapon(NoDisk(10), 1), swap.swapon(NoDisk(10), 2)
    swap.check()
    low.prio = 3
    with pytest.raises(BrokenInvariant, match="by rank"):
        swap.check()
    low.prio = high.prio
    swap.check()
    swap.nr_swap_pages -= 1
    with pytest.raises(BrokenInvariant, match="17 free of 18 slots, not 18 of 18"):
        swap.check()
