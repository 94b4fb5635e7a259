"""The sentences of the tours of swap, of the TLB, and of copies by the kernel."""

import re
from types import SimpleNamespace

import pytest

from pagewalk.sim.tour.copies_tour import TEXT, CopiesTour
from pagewalk.sim.tour.swap_tour import SwapTour
from pagewalk.sim.tour.tlb_tour import TlbTour

from .play import play
from .witness import PAGE, frames, resident, swapped

pytestmark = pytest.mark.slow


def swap(tour):
    kernel, process = tour.kernel, tour.process
    alive = process.pid in kernel.processes
    areas = [area for area in kernel.state.swap.info if area is not None]
    used = [count for area in areas for count in area.swap_map[1:]]
    every = range(kernel.state.frames.start_pfn, kernel.state.frames.end_pfn)
    return SimpleNamespace(
        rss=resident(kernel, process) if alive else 0,
        swapped=sum(swapped(process, vma) for vma in process.mm.tree) if alive else 0,
        out=tour.swap.counters.pages_out, back=tour.swap.counters.pages_in,
        major=process.maj_flt, slots=len(used), held=len(used) - used.count(0),
        cached=[pfn for pfn in every if kernel.state.swap.cache.entry(pfn) is not None])


def test_swap():
    tour = SwapTour()

    def out(was, now, _):
        assert was.rss == now.swapped
        return [now.out - was.out, now.swapped, now.rss, now.held - now.swapped]

    def load(was, now, _):
        pfn, _ = frames(tour.kernel, tour.process, tour.start, tour.start + PAGE)[tour.start]
        assert now.cached == [pfn]
        return [tour.kernel.state.memory.read(pfn * PAGE, 1), now.back - was.back,
                now.major - was.major]

    def thrash(was, now, events):
        assert now.rss + now.swapped == was.rss + was.swapped + 4096
        pages, = {int(length) // PAGE for length in re.findall(r"NULL, (\d+)", events[0])}
        total = sum(zone.managed_pages for zone in tour.kernel.state.allocator.populated)
        start = next(iter(tour.process.mm.tree)).start
        here = frames(tour.kernel, tour.process, start, start + pages * PAGE)
        wrong = [vaddr for vaddr, (pfn, _) in here.items() if tour.kernel.state.memory.read(
            pfn * PAGE, 1) != (vaddr - start) // PAGE & 0xFF]
        return [pages, total, now.out - was.out, now.back - was.back, now.major - was.major,
                len(wrong)]

    play(tour, swap, [
        lambda _, now, __: [now.slots + 1, now.slots],
        lambda _, now, __: [now.rss], out, load,
        lambda was, now, _: [now.back - was.back, len(now.cached) - len(was.cached)],
        thrash, lambda was, now, _: [was.swapped, now.slots]])


def test_files_about_swap():
    tour = SwapTour()
    for step in tour.steps():
        files = {block.name: block.text for block in step.after}
        now = swap(tour)
        size, used = map(int, files["/proc/swaps"].splitlines()[1].split()[2:4])
        assert (size // 4, used // 4) == (now.slots, now.held)
        counts = dict(line.split() for line in files["/proc/vmstat"].splitlines())
        assert int(counts["pswpout"]) == now.out
        assert int(counts["pswpin"]) == now.back
        assert int(counts["pgmajfault"]) == now.major
        assert int(counts["pgscan_kswapd"]) == tour.kernel.state.lruvec.vmstat["pgscan_kswapd"]
        assert int(counts["pgscan_direct"]) == tour.kernel.state.lruvec.vmstat["pgscan_direct"]


def tlb(tour):
    process = tour.kernel.current
    return SimpleNamespace(
        entries={(entry.pcid, entry.vaddr): entry.paddr for entry in tour.tlb.sets[0]},
        pages={vaddr: pfn * PAGE for vma in process.mm.tree for vaddr, (pfn, _) in
               frames(tour.kernel, process, vma.start, vma.end).items()},
        pcid=tour.kernel.control.cr3 & 0xFFF, root=process.space.tables.root, owed=[*tour.owed],
        vmas=[(vma.start, vma.end) for vma in process.mm.tree])


def test_tlb():
    tour = TlbTour()
    start = tour.start

    def misses(was, now, _):
        new = now.entries.keys() - was.entries.keys()
        assert {vaddr for _, vaddr in new} == now.pages.keys()
        return [len(new), 4 * len(new), now.pcid]

    def invlpg(was, now, _):
        assert was.entries.keys() - now.entries.keys() == {(was.pcid, start)}
        return [was.owed[0].vaddr, len(now.entries), len(was.entries)]

    def unmap(was, now, _):
        gone = was.entries.keys() - now.entries.keys()
        assert {vaddr for _, vaddr in gone} == was.pages.keys() - now.pages.keys()
        return [len(gone), len(now.entries)]

    def switch(was, now, _):
        new = {one for one in now.entries if one[0] == now.pcid}
        assert now.pcid != was.pcid
        assert (was.pcid, start) in now.entries
        return [now.root * PAGE | now.pcid | 1 << 63, now.pcid, 4 * len(new), start]

    def back(was, now, _):
        assert now.entries == was.entries  # nothing was dropped, and nothing walked
        return [now.root * PAGE | now.pcid | 1 << 63, 63, start, 0]

    def behind(_, now, __):
        assert now.vmas == []
        return [0, now.root * PAGE | now.pcid,
                sum(pcid == now.pcid for pcid, _ in now.entries), now.pcid]

    def stale(_, now, __):
        assert now.owed[0].vaddr == start
        return [start]

    play(tour, tlb, [misses, lambda _, now, __: [len(now.entries), 0], stale, invlpg, unmap, switch,
                     back, behind])


def test_the_tlb_has_what_walks_find():
    tour = TlbTour()
    for step in tour.steps():
        now = tlb(tour)
        shown = re.findall(r"PCID (\d+): (0x\w+) -> (0x\w+) (\S+)\n", step.after[0].text)
        assert len(shown) == len(now.entries) == step.after[0].text.count("\n")
        for pcid, vaddr, paddr, rights in shown:
            owner = tour.first if int(pcid) == 1 else tour.second
            vaddr = int(vaddr, 16)
            pfn, _ = frames(tour.kernel, owner, vaddr, vaddr + PAGE)[vaddr]
            assert now.entries[int(pcid), vaddr] == int(paddr, 16) == pfn * PAGE
            writable = owner.mm.tree.lookup(vaddr).flags & 2
            pending = any(one.vaddr == vaddr for one in tour.owed)
            assert rights == ("urw-" if writable or pending else "ur--")
        assert [int(one, 16) for one in re.findall("INVLPG (0x\\w+)", step.after[1].text)] == [
            one.vaddr for one in tour.owed]


def program(tour):
    """The mappings of the process, and its bytes that are in memory."""
    process, kernel = tour.process, tour.kernel
    data = {vaddr: kernel.state.memory.read_bytes(pfn * PAGE, PAGE) for vma in process.mm.tree
            for vaddr, (pfn, _) in frames(kernel, process, vma.start, vma.end).items()}
    return SimpleNamespace(vmas=[(vma.start, vma.end) for vma in process.mm.tree], data=data,
                           place=frames(kernel, process, tour.start, tour.start + PAGE))


def faults(events):
    return [one for one in events if "page fault" in one]


def test_copies():
    tour = CopiesTour()
    size = len(TEXT)
    second = tour.start + PAGE

    def create(_, now, __):
        smap = tour.kernel.control.cr4 >> 21 & 1
        assert now.data[tour.start].startswith(b"tour\0" + TEXT)
        return [now.vmas[0][0], smap, *tour.process.files.numbers]

    def read(was, now, events):
        assert second not in was.data
        assert len(faults(events)) == 1
        assert now.data[second] == TEXT.ljust(PAGE, b"\0")
        return [second, size]

    def partial(was, now, _):
        end = now.vmas[-1][1]
        here = next(at for at in range(PAGE) if now.data[second][at:] == TEXT[: PAGE - at])
        assert was.data[second][here:] == bytes(PAGE - here)
        return [PAGE - here, second + here, end - second - here, size]

    def pointer(was, now, events):
        assert was.data == now.data
        assert "EFAULT" in events[0]
        return [0xFFFF_8880_0000_0000, (1 << 47) - PAGE, len(faults(events)), -14]

    def read_only(was, now, events):
        assert was.data == now.data
        assert all("error code 0x3" in one for one in faults(events))
        return [-14]

    def fork(was, now, events):
        assert "copied the page" in faults(events)[0]
        old, new = was.place[tour.start][0], now.place[tour.start][0]
        assert old != new
        assert now.data[tour.start].startswith(TEXT)
        return [tour.start, size, was.data[tour.start][0]]

    play(tour, program, [
        create, lambda _, __, events: [size, tour.start + len(b"tour\0"), len(faults(events))],
        read, partial, pointer, read_only, fork])
