"""What tours show, worked out anew from the objects of the model: columns, entries, mappings."""

import re

import numpy as np

from pagewalk.model.mmu.walk import Access, Control, walk
from pagewalk.model.physical.page import PageState
from pagewalk.model.x86 import Purpose

PAGE = 4096


def numbers(text):
    """Return the numbers in a sentence; names such as 2K and /proc have none."""
    return [int(found, 0) for found in re.findall(r"(?<![\w.])(?:0x[0-9a-f]+|-?\d+)(?!\w)", text)]


def free_counts(allocator):
    """Return the free blocks by zone, order and migrate type, counted over all pages."""
    mem_map = allocator.mem_map
    counts = {}
    for zone in allocator.populated:
        heads = (mem_map.state == PageState.BUDDY) & (mem_map.zone == zone.buddy.zone)
        places = zip(mem_map.order[heads].tolist(), mem_map.migratetype[heads].tolist(),
                     strict=True)
        table = np.zeros((11, 5), int)
        for order, kind in places:
            table[order, kind] += 1
        counts[zone.name] = table
    return counts


def free_pages(allocator):
    return sum(int(table.sum(1) @ (1 << np.arange(11))) for table in
               free_counts(allocator).values())


def on_lists(allocator):
    """Return how many pages are on lists of the processor."""
    mem_map = allocator.mem_map
    return int((1 << mem_map.order[mem_map.state == PageState.PCP].astype(int)).sum())


def frames(kernel, process, start, end):
    """Return the frame of each page of a range that a walk finds, by the golden walk, and size."""
    state, found = kernel.state, {}
    control = kernel.control
    control = Control(process.space.tables.root * PAGE, control.cr0, control.cr4, control.efer,
                      control.pkru)
    for vaddr in range(start, end, PAGE):
        done = walk(state.memory, kernel.mode, control,
                    Access(vaddr, user=True, purpose=Purpose.PROBE))
        if done.fault is None:
            found[vaddr] = done.paddr // PAGE, done.page.page_bytes
    return found


def zeros(kernel):
    huge = kernel.state.thp.zero_pfn
    return {kernel.state.zero_pfn, *(range(huge, huge + 512) if huge is not None else ())}


def resident(kernel, process):
    """Return how many pages of a process are in memory, those of zeros not counted."""
    return sum(len(own_pages(kernel, process, vma)) for vma in process.mm.tree)


def own_pages(kernel, process, vma):
    return {vaddr: place for vaddr, place in frames(kernel, process, vma.start, vma.end).items()
            if place[0] not in zeros(kernel)}


def all_users(kernel):
    """Return how many processes map each frame."""
    users = {}
    for process in kernel.processes.values():
        for vma in process.mm.tree:
            for pfn, _ in own_pages(kernel, process, vma).values():
                users[pfn] = users.get(pfn, 0) + 1
    return users


def check_buddyinfo(allocator, text):
    counts = free_counts(allocator)
    rows = re.findall(r"Node 0, zone +(\w+) ([ \d]+)\n", text)
    assert {zone: [int(one) for one in row.split()] for zone, row in rows} == {
        zone: table.sum(1).tolist() for zone, table in counts.items()}


def check_pagetypes(allocator, text):
    counts, kinds = free_counts(allocator), ["Unmovable", "Movable", "Reclaimable", "HighAtomic",
                                             "Isolate"]
    rows = re.findall(r"zone +(\w+), type +(\w+) ([ \d]+)\n", text)
    assert len(rows) == 5 * len(counts)
    for zone, kind, row in rows:
        assert [int(one) for one in row.split()] == counts[zone][:, kinds.index(kind)].tolist()
    mem_map = allocator.mem_map
    for zone in allocator.populated:
        row, = re.findall(rf"^Node 0, zone +{zone.name} ([ \d]+)\n", text, re.MULTILINE)
        first = -(-zone.span.start_pfn // 512) - mem_map.base // 512
        types = mem_map.pageblock[first : (zone.span.end_pfn - mem_map.base) // 512]
        # A first pageblock that begins below the zone counts where its memory is.
        counted = [int(one) for one in row.split()]
        assert np.bincount(types, minlength=5).tolist() == [
            counted[0] - (zone.span.start_pfn % 512 > 0), *counted[1:]]


def figures(text):
    """Return the figures of a file such as meminfo, in pages."""
    return {name: int(value) // 4 for name, value in
            re.findall(r"^([\w()]+): +(\d+) kB$", text, re.MULTILINE)}


def check_meminfo(kernel, text):
    """Check each line of meminfo that a tour shows against counts of another kind."""
    state, users = kernel.state, all_users(kernel)
    anon = {pfn for pfn in users if state.is_anon(pfn)}
    high = [zone for zone in state.allocator.populated if zone.is_highmem]
    tables = free_counts(state.allocator)
    managed = sum(zone.managed_pages for zone in high)
    high_free = sum(int(tables[zone.name].sum(1) @ (1 << np.arange(11))) for zone in high)
    huge = {pfn for process in kernel.processes.values() for vma in process.mm.tree
            for pfn, size in own_pages(kernel, process, vma).values() if size > PAGE}
    areas = [area for area in state.swap.info if area is not None]
    every = range(state.frames.start_pfn, state.frames.end_pfn)
    cached = [pfn for pfn in every if state.page_cache.owner(pfn) is not None]
    slots = [count for area in areas for count in area.swap_map[1:]]
    known = {
        "MemTotal": state.allocator.totalram_pages, "MemFree": free_pages(state.allocator),
        "Cached": len(cached), "Shmem": sum(map(state.page_cache.is_shmem, cached)),
        "AnonPages": len(anon), "Mapped": len(users) - len(anon), "AnonHugePages": len(huge),
        "HighTotal": managed, "HighFree": high_free,
        "LowTotal": state.allocator.totalram_pages - managed,
        "LowFree": free_pages(state.allocator) - high_free,
        "SwapTotal": sum(len(area.device) - 1 for area in areas),
        "SwapCached": sum(state.swap.cache.entry(pfn) is not None
                          for pfn in every),
        "SwapFree": slots.count(0),
        "PageTables": sum(tables_below(kernel, process) for process in kernel.processes.values()),
    }
    shown = figures(text)
    assert shown == {name: known[name] for name in shown}
    return shown


def tables_below(kernel, process):
    """Return how many tables of the two lowest levels a process has, those set aside included."""
    depths = len(kernel.mode.levels)
    count = 0

    def look(table, depth):
        nonlocal count
        count += depth >= depths - 2
        if depth == depths - 1:
            return
        level, size = kernel.mode.levels[depth], kernel.mode.entry_bytes
        count_of = (kernel.state.task_size - 1 >> level.shift) + 1 if depth == 0 else (
            1 << level.index_bits)
        for index in range(count_of):
            entry = kernel.state.memory.read(table * PAGE + size * index, size)
            if entry & 1 and entry & 1 << 7:
                count += 1  # the deposit of a huge page
            elif entry & 1:
                look((entry & (1 << 52) - 1) // PAGE, depth + 1)

    look(process.space.tables.root, 0)
    return count


def check_maps(process, text):
    lines = [line.split(maxsplit=5) for line in text.splitlines()]
    vmas = list(process.mm.tree)
    assert [line[0] for line in lines] == [f"{vma.start:08x}-{vma.end:08x}" for vma in vmas]
    for line, vma in zip(lines, vmas, strict=True):
        rights = "".join(letter if vma.flags >> bit & 1 else "-" for bit, letter in
                         enumerate("rwx"))
        assert line[1] == rights + ("s" if vma.flags & 0x80 else "p")


def check_smaps(kernel, process, text):
    users = all_users(kernel)
    parts = re.findall(r"^([0-9a-f]+)-([0-9a-f]+) .*\n((?:[A-Z].*\n)*)", text, re.MULTILINE)
    vmas = list(process.mm.tree)
    assert [(int(start, 16), int(end, 16)) for start, end, _ in parts] == [
        (vma.start, vma.end) for vma in vmas]
    for (_, _, lines), vma in zip(parts, vmas, strict=True):
        pages = own_pages(kernel, process, vma)
        here = [pfn for pfn, _ in pages.values()]
        anon = [pfn for pfn in here if kernel.state.is_anon(pfn)]
        shared = [pfn for pfn in here if users[pfn] > 1]
        known = {
            "Size": (vma.end - vma.start) // PAGE, "Rss": len(here),
            "Pss": int(sum(1 / users[pfn] for pfn in here) * 4) / 4,
            "Shared_Dirty": len({*shared} & {*anon}),
            "Private_Dirty": len({*anon} - {*shared}), "Private_Clean": len({*here} - {*anon}),
            "Anonymous": len(anon),
            "AnonHugePages": sum(size > PAGE for _, size in pages.values()),
            "Swap": swapped(process, vma),
        }
        shown = {name: int(value) / 4 for name, value in
                 re.findall(r"^(\w+): +(\d+) kB$", lines, re.MULTILINE)}
        assert shown == {name: known[name] for name in shown}
        assert "Rss" in shown


def swapped(process, vma):
    """Return how many entries of a mapping are those of slots: not 0, and not present."""
    leaves = (process.space.tables.lookup(vaddr) for vaddr in range(vma.start, vma.end, PAGE))
    return sum(leaf is not None and leaf.entry != 0 and not leaf.entry & 1 for leaf in leaves)


def check_blocks(tour, blocks):
    """Check all blocks whose names are those of files; return the others by name."""
    others = {}
    for block in blocks:
        process = re.match(r"/proc/(\d+)/(\w+)", block.name)
        if process:
            owner = tour.kernel.processes[int(process[1])]
            if process[2] == "maps":
                check_maps(owner, block.text)
            else:
                check_smaps(tour.kernel, owner, block.text)
        elif block.name == "/proc/meminfo":
            assert check_meminfo(tour.kernel, block.text)
        elif block.name == "/proc/buddyinfo":
            check_buddyinfo(pages_of(tour), block.text)
        elif block.name == "/proc/pagetypeinfo":
            check_pagetypes(pages_of(tour), block.text)
        else:
            others[block.name] = block.text
    return others


def pages_of(tour):
    return tour.kernel.state.allocator if hasattr(tour, "kernel") else tour.pages
