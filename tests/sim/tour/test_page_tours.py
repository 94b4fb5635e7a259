"""The sentences of the tours of pages: buddy allocator, SLUB, kmap."""

import re
from types import SimpleNamespace

import numpy as np
import pytest

from pagewalk.model.mmu.walk import Access, walk
from pagewalk.model.physical.page import PageState
from pagewalk.model.x86 import Purpose
from pagewalk.sim.tour.buddy_tour import ORDER, BuddyTour
from pagewalk.sim.tour.kmap_tour import KmapTour
from pagewalk.sim.tour.slab_tour import OBJECT_BYTES, SlabTour

from .play import play
from .witness import PAGE, free_counts, on_lists

pytestmark = pytest.mark.slow
OFFSET = 0xFFFF_8880_0000_0000


def buddies(tour):
    """The free blocks by order of the highest zone, and every allocated block."""
    mem_map, pages = tour.pages.mem_map, tour.pages
    table = free_counts(pages)["DMA32"]
    heads = np.flatnonzero(mem_map.state == PageState.ALLOCATED)
    allocated = {int(head) + mem_map.base: int(mem_map.order[head]) for head in heads}
    zone = pages.populated[-1]
    blocks = mem_map.pageblock[zone.span.start_pfn // 512 : zone.span.end_pfn // 512]
    return SimpleNamespace(free=table.sum(1).tolist(), allocated=allocated,
                           pages=int(table.sum(1) @ (1 << np.arange(11))), listed=on_lists(pages),
                           unmovable=int((blocks == 0).sum()))


def test_buddy():
    taken = []

    def new(was, now):
        pfn, = now.allocated.keys() - was.allocated.keys()
        assert now.allocated[pfn] in (0, ORDER)
        return pfn

    def split(was, now, _):
        taken.append(new(was, now))
        grown = [order for order in range(11) if now.free[order] > was.free[order]]
        top, = [order for order in range(11) if now.free[order] < was.free[order]]
        assert grown == [*range(ORDER, top)]
        return [ORDER, top, len(grown), min(grown), max(grown), was.pages - now.pages, taken[0]]

    def buddy(was, now, _):
        taken.append(new(was, now))
        return [taken[1], taken[0], taken[1] ^ taken[0]]

    def first(was, now, _):
        assert was.allocated.keys() - now.allocated.keys() == {taken[0]}
        assert now.free[ORDER] == was.free[ORDER] + 1
        return [taken[0], ORDER, taken[1]]

    def merge(was, now, _):
        grown, = [order for order in range(11) if now.free[order] > was.free[order]]
        return [taken[1], grown - ORDER, grown, taken[0] & -1 << grown]

    def single(was, now, _):
        return [was.pages - now.pages, new(was, now), now.listed - was.listed]

    def drain(was, now, _):
        assert was.listed == 14
        assert now.listed == 0
        return [was.listed + 1, now.pages]

    def steal(was, now, _):
        return [new(was, now), now.unmovable - was.unmovable]

    tour = BuddyTour()
    start = buddies(tour)
    play(tour, buddies, [split, buddy, first, merge, single, drain, steal])
    assert start.pages == 2 ** 16 - 2 ** 12  # 256 Mbytes without the 16 of zone DMA


def slabs(tour):
    """Of each slab of the cache its first address, and how many objects in use lie in it."""
    found = {}
    for slab in tour.cache.store.slabs.values():
        start, size = OFFSET + slab.frames[0] * PAGE, len(slab.frames) * PAGE
        found[start] = sum(start <= pointer < start + size for pointer in tour.objects)
    return SimpleNamespace(slabs=found, objects=[*tour.objects], name=tour.cache.name,
                           pages=sum(len(slab.frames) for slab in tour.cache.store.slabs.values()))


def test_slab():
    size, count = 704, 8192 // 704  # 700 bytes, in words of 8; slabs of two pages

    def object_of(was, now):
        pointer, = {*now.objects} - {*was.objects}
        return pointer

    def kmalloc(_, now, __):
        pointer, = now.slabs  # a fresh slab: its first object
        assert now.name == "kmalloc-1k"
        return [OBJECT_BYTES, 1024, 1024 - OBJECT_BYTES, pointer]

    def freed(was, now, _):
        pointer, = {*was.objects} - {*now.objects}
        return [pointer, sum(now.slabs.values())]

    play(SlabTour(), slabs, [
        kmalloc, lambda _, __, ___: [size, 2, count],
        lambda was, now, _: [(next(iter(now.slabs)) - OFFSET) // PAGE, object_of(was, now), count],
        lambda was, now, _: [len(now.objects) - len(was.objects), now.objects[1] - now.objects[0]],
        lambda was, now, _: [len(now.slabs), object_of(was, now)],
        freed, lambda was, now, _: [was.objects[-1], now.objects[-1]],
        lambda was, now, _: [len(was.objects), now.pages],
        lambda was, now, _: [was.pages - now.pages, now.pages]])


def test_blocks_about_slabs_and_lists():
    tour = SlabTour()
    for step in tour.steps():
        info, text = (block.text for block in step.after)
        state = slabs(tour)
        found = re.findall(r"slab at frame (0x\w+): (\d+) of (\d+) objects", text)
        assert state.slabs == {OFFSET + int(frame, 16) * PAGE: int(used)
                               for frame, used, _ in found}
        words = info.splitlines()[2].split()
        per_slab = 8192 // int(words[3])
        assert words[0] == state.name
        assert [int(one) for one in (*words[1:6], *words[13:15])] == [
            per_slab * len(found), per_slab * len(found), 704 if words[0] == "tour" else 1024,
            per_slab, 2, len(found), len(found)]
    buddy = BuddyTour()
    for step in buddy.steps():
        mem_map = buddy.pages.mem_map
        rows = re.findall(r"zone +(\w+) count: (\d+)\n", step.after[2].text)
        assert [(name, int(count)) for name, count in rows] == [
            (zone.name, int((1 << mem_map.order[(mem_map.state == PageState.PCP) & (
                mem_map.zone == zone.buddy.zone)].astype(int)).sum()))
            for zone in buddy.pages.populated]


def windows(tour):
    """The frame that the kernel's page tables have at each address of the windows."""
    found, mode = {}, tour.kernel.mode
    for vaddr in range(0xFEC0_0000, 0x1_0000_0000 - PAGE, PAGE):
        done = walk(tour.kernel.state.memory, mode, tour.kernel.control,
                    Access(vaddr, purpose=Purpose.PROBE))
        if done.fault is None:
            found[vaddr] = done.paddr // PAGE
    return SimpleNamespace(map=found, pfns=[*tour.pfns])


def test_kmap():
    tour = KmapTour()
    pfns = tour.pfns

    def at(state, pfn):
        return sorted(vaddr for vaddr, mapped in state.map.items() if mapped == pfn)

    def new(was, now):
        vaddr, = now.map.keys() - was.map.keys()
        return vaddr

    def take(_, now, events):
        assert len(events) == 3
        assert now.pfns == [*range(0x3FC00, 0x3FC02)]
        lowest = min(zone.span.start_pfn for zone in tour.kernel.state.allocator.populated
                     if zone.name == "HighMem")
        return [*now.pfns, lowest - 1, lowest * PAGE >> 20]

    def kmap(was, now, _):
        assert now.map[new(was, now)] == pfns[0]
        return [pfns[0], new(was, now), 4 << 20 >> 12, 0xFEC0_0000]

    def kunmap(was, now, _):
        assert was.map == now.map
        assert tour.pkmap.counts[1] == 1
        return [pfns[0], 1, 0]

    def flush(was, now, _):
        assert set(pfns) <= set(was.map.values())
        assert not set(pfns) & set(now.map.values())
        cr4 = tour.kernel.control.cr4
        assert cr4 >> 7 & 1  # PGE
        return [0, cr4 ^ 1 << 7, cr4]

    play(tour, windows, [
        take, kmap, lambda was, now, _: [pfns[1], new(was, now)], kunmap,
        lambda _, now, __: at(now, pfns[0]),
        lambda was, now, _: [pfns[0], new(was, now)],
        lambda was, now, _: [new(was, now), at(was, pfns[0])[1] - new(was, now)],
        lambda was, now, _: sorted(was.map.keys() - now.map.keys()), flush])


def test_the_slots_of_kmap_are_mapped_as_shown():
    tour = KmapTour()
    for step in tour.steps():
        state = windows(tour)
        _, slots, local = (block.text for block in step.after)
        shown = [int(one, 16) for one in re.findall(r"0x\w+", slots + local)]
        assert sorted(shown) == sorted(vaddr for vaddr, pfn in state.map.items()
                                       if pfn in tour.pfns)
        for slot, vaddr, count in re.findall(r"slot (\d+): (0x\w+), count (\d+)", slots):
            assert int(vaddr, 16) == 0xFEC0_0000 + int(slot) * PAGE
            assert int(count) in (1, 2)
