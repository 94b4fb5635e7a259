"""The rules of smaps one by one, on page tables of a few entries. What is expected is by hand."""

from dataclasses import dataclass, field, fields
from itertools import count

import pytest

from pagewalk.model.address_space.smaps_text import MemSizeStats
from pagewalk.model.address_space.tables.page_tables import PageTables
from pagewalk.model.address_space.tables.software_entry import (
    AMD64_ENTRIES,
    I686_ENTRIES,
    EntryKind,
    SwapPte,
)
from pagewalk.model.address_space.vma import File, Vma, VmFlag
from pagewalk.model.kernel.proc.smaps_walk import gather_stats
from pagewalk.model.kernel.state import SPECIAL
from pagewalk.model.physical.memory import PhysicalMemory
from pagewalk.model.x86 import IA32, X86_64, Entry

PAGE = 4096
START = 0x4000_0000
MODES = {"ia32": (IA32, I686_ENTRIES), "x86_64": (X86_64, AMD64_ENTRIES)}
RW = VmFlag.READ | VmFlag.WRITE
USED = Entry.P | Entry.US | Entry.A
WRITTEN = USED | Entry.RW | Entry.D


@dataclass
class Facts:
    """What the kernel knows; a frame of which nothing is said is anonymous, mapped once."""

    file: set[int] = field(default_factory=set)
    shmem: set[int] = field(default_factory=set)
    lazy: set[int] = field(default_factory=set)
    dirty: set[int] = field(default_factory=set)
    referenced: set[int] = field(default_factory=set)
    huge_zero: set[int] = field(default_factory=set)
    mapcounts: dict[int, int] = field(default_factory=dict)
    swapcounts: dict[tuple[int, int], int] = field(default_factory=dict)
    out: dict[File, set[int]] = field(default_factory=dict)

    def is_anon(self, pfn):
        return pfn not in self.file | self.shmem

    def is_swap_backed(self, pfn):
        return pfn not in self.file | self.lazy

    def is_dirty(self, pfn):
        return pfn in self.dirty

    def is_referenced(self, pfn):
        return pfn in self.referenced

    def is_huge_zero(self, pfn):
        return pfn in self.huge_zero

    def mapcount(self, pfn):
        return self.mapcounts.get(pfn, 1)

    def swapcount(self, slot):
        return self.swapcounts.get(slot, 1)

    def swapped_out(self, file, first, end):
        return self.out.get(file, set()) & set(range(first, end))


class World:
    """Page tables of one process; ``stats`` are those of one mapping at ``START``."""

    def __init__(self, mode, swap_format) -> None:
        self.mode, self.format = mode, swap_format
        memory = PhysicalMemory(8)
        memory.add(range(8 * PAGE))
        frames = count()
        self.alloc_table = lambda: next(frames)
        self.tables = PageTables(mode, memory, self, 0xC000_0000 if mode is IA32 else 1 << 47)
        self.huge = mode.levels[-2].page_bytes
        self.huge_depth = len(mode.levels) - 2

    def set(self, page, entry):
        """Give a small page an entry."""
        self.tables.write(self.tables.alloc(START + page * PAGE), entry)

    def set_huge(self, entry, vaddr=START, depth=None):
        depth = self.huge_depth if depth is None else depth
        self.tables.write(self.tables.alloc(vaddr, depth), entry)

    def software(self, kind, offset, swap_type=0):
        """An entry that is not present, whose type is that of a kind or of a swap area."""
        if kind is not EntryKind.SWAP:
            swap_type = self.format.type_of(kind)
        return self.format.encode_swap(SwapPte(swap_type, offset))

    def stats(self, facts=None, flags=RW, *, pages=16, file=None, pgoff=0, numa=True):
        vma = Vma(START, START + pages * PAGE, flags, pgoff, file)
        return self.gather([vma], facts, numa=numa)

    def gather(self, vmas, facts=None, numa=True):
        return gather_stats(vmas, self.tables, self.format, facts or Facts(), numa=numa)


@pytest.fixture(params=MODES)
def world(request):
    return World(*MODES[request.param])


def expect(stats, **figures):
    """Compare all figures, of which those that are not given are 0."""
    found = {one.name: getattr(stats, one.name) for one in fields(MemSizeStats)}
    assert {name: value for name, value in found.items() if value} == figures


def page(pfn, flags=WRITTEN):
    return pfn << 12 | flags


def test_nothing_there_counts_nothing(world):
    expect(world.stats())


def test_a_written_page_is_private_dirty_and_anonymous(world):
    world.set(0, page(0x100))
    expect(world.stats(), resident=PAGE, pss=PAGE, pss_anon=PAGE, pss_dirty=PAGE,
           private_dirty=PAGE, referenced=PAGE, anonymous=PAGE)


def test_entries_outside_the_mapping_do_not_count(world):
    world.set(-1, page(0x100))
    world.set(16, page(0x101))
    expect(world.stats())


@pytest.mark.parametrize("dirty", [False, True])
def test_a_page_of_a_file_is_clean_unless_the_entry_or_the_kernel_says_it_is_dirty(world, dirty):
    world.set(0, page(0x100, USED))
    facts = Facts(file={0x100}, dirty={0x100} if dirty else set())
    expect(world.stats(facts), resident=PAGE, pss=PAGE, pss_file=PAGE, referenced=PAGE,
           **({"private_dirty": PAGE, "pss_dirty": PAGE} if dirty else {"private_clean": PAGE}))


def test_a_page_that_nobody_may_access_counts_as_the_kernel_has_it(world):
    world.set(0, world.format.encode_prot_none(0x100, Entry.D))
    expect(world.stats(), resident=PAGE, pss=PAGE, pss_anon=PAGE, pss_dirty=PAGE,
           private_dirty=PAGE, anonymous=PAGE)


def test_use_is_seen_by_the_entry_or_known_to_the_kernel(world):
    for number, flags in enumerate((USED, USED & ~Entry.A, USED & ~Entry.A)):
        world.set(number, page(0x100 + number, flags))
    assert world.stats(Facts(referenced={0x101})).referenced == 2 * PAGE


def test_shares_are_fixed_point_and_lose_less_than_a_byte_each(world):
    for number in range(3):
        world.set(number, page(0x100 + number, USED))
    facts = Facts(shmem={0x100, 0x101, 0x102}, mapcounts={0x100: 3, 0x101: 3, 0x102: 3})
    expect(world.stats(facts), resident=3 * PAGE, referenced=3 * PAGE, shared_clean=3 * PAGE,
           pss=PAGE - 1, pss_shmem=PAGE - 1)
    facts = Facts(mapcounts={0x100: 7, 0x101: 2})
    assert world.stats(facts).pss == ((PAGE << 12) // 7 + (PAGE << 12) // 2 + (PAGE << 12)) >> 12


def test_shares_of_several_mappings_are_rounded_once(world):
    vmas = [Vma(START + at * PAGE, START + (at + 1) * PAGE, RW, 0) for at in range(7)]
    for number in range(7):
        world.set(number, page(0x100 + number))
    facts = Facts(mapcounts={0x100 + number: 7 for number in range(7)})
    assert sum(world.gather([vma], facts).pss for vma in vmas) == 7 * (PAGE // 7) == PAGE - 1
    assert world.gather(vmas, facts).pss == ((PAGE << 12) // 7 * 7) >> 12
    facts = Facts(mapcounts={0x100 + number: 3 for number in range(7)})
    assert sum(world.gather([vma], facts).pss for vma in vmas) == 7 * 1365
    assert world.gather(vmas, facts).pss == ((PAGE << 12) // 3 * 7) >> 12 == 7 * 1365 + 2


def test_a_locked_mapping_has_its_share_locked(world):
    world.set(0, page(0x100))
    world.set(1, page(0x101))
    stats = world.stats(Facts(mapcounts={0x101: 2}), RW | VmFlag.LOCKED)
    assert (stats.pss_locked, stats.pss, stats.resident) == (1.5 * PAGE, 1.5 * PAGE, 2 * PAGE)


def test_a_freed_page_is_lazy_until_it_is_written_again(world):
    for number, flags in enumerate((USED, USED, USED | Entry.D, USED)):
        world.set(number, page(0x100 + number, flags))
    facts = Facts(lazy={0x100, 0x101, 0x102}, dirty={0x101})
    stats = world.stats(facts)
    assert (stats.lazyfree, stats.anonymous) == (PAGE, 4 * PAGE)


def test_special_pages_and_page_frames_of_drivers_count_nothing(world):
    world.set(0, page(0x100, USED | SPECIAL))
    expect(world.stats())
    world.set(0, page(0x100))
    expect(world.stats(flags=RW | VmFlag.PFNMAP | VmFlag.IO))


def test_what_is_out_counts_by_how_many_entries_hold_the_slot(world):
    for number, offset in enumerate((5, 6, 7)):
        world.set(number, world.software(EntryKind.SWAP, offset, swap_type=1))
    stats = world.stats(Facts(swapcounts={(1, 5): 3, (1, 6): 2}))
    expect(stats, swap=3 * PAGE, swap_pss=((PAGE << 12) // 3 + (PAGE << 11) + (PAGE << 12)) >> 12)


@pytest.mark.parametrize("kind", [EntryKind.MIGRATION_READ, EntryKind.MIGRATION_WRITE,
                                  EntryKind.MIGRATION_READ_EXCLUSIVE])
def test_a_page_that_migrates_is_whole_and_counts_as_unused(world, kind):
    world.set(0, world.software(kind, 0x100))
    expect(world.stats(Facts(mapcounts={0x100: 3})), resident=PAGE, pss=PAGE, pss_anon=PAGE,
           private_clean=PAGE, anonymous=PAGE)


def test_a_poisoned_page_counts_by_its_entries(world):
    world.set(0, world.software(EntryKind.HWPOISON, 0x100))
    expect(world.stats(Facts(mapcounts={0x100: 2}, dirty={0x100})), resident=PAGE, pss=PAGE // 2,
           pss_anon=PAGE // 2, pss_dirty=PAGE // 2, shared_dirty=PAGE, anonymous=PAGE)


def test_entries_that_name_no_page_count_nothing():
    world = World(*MODES["x86_64"])
    world.set(0, world.software(EntryKind.PTE_MARKER, 1))
    world.set(1, world.software(EntryKind.SWAPIN_ERROR, 0))
    world.set(2, Entry.A | Entry.D)  # what an erratum may leave in an empty entry
    expect(world.stats())


# ---- huge pages

HUGE_PFN = 0x400  # aligned for both modes


def huge_stats(world, facts=None, **options):
    return world.stats(facts, pages=world.huge // PAGE, **options)


def test_a_huge_page_counts_in_full_and_by_kind(world):
    world.set_huge(page(HUGE_PFN, WRITTEN | Entry.PS))
    size = world.huge
    same = {"resident": size, "pss": size, "pss_dirty": size, "private_dirty": size,
            "referenced": size}
    expect(huge_stats(world), anonymous=size, anonymous_thp=size, pss_anon=size, **same)
    expect(huge_stats(world, Facts(shmem={HUGE_PFN})), shmem_thp=size, pss_shmem=size, **same)
    expect(huge_stats(world, Facts(file={HUGE_PFN})), file_thp=size, pss_file=size, **same)


def test_the_huge_zero_page_counts_nothing(world):
    world.set_huge(page(HUGE_PFN, USED | Entry.PS))
    expect(huge_stats(world, Facts(huge_zero={HUGE_PFN})))


def test_parts_of_a_huge_page_that_have_entries_of_their_own_are_shared(world):
    world.set_huge(page(HUGE_PFN, WRITTEN | Entry.PS))
    stats = huge_stats(world, Facts(mapcounts={HUGE_PFN + 1: 2, HUGE_PFN + 2: 4}))
    assert (stats.shared_dirty, stats.private_dirty) == (2 * PAGE, world.huge - 2 * PAGE)
    assert stats.pss == world.huge - 2 * PAGE + PAGE // 2 + PAGE // 4


def test_a_huge_page_that_nobody_may_access_counts_unless_nodes_are_balanced(world):
    shift = world.huge.bit_length() - 1
    world.set_huge(world.format.encode_prot_none(HUGE_PFN, Entry.D | Entry.PS, shift))
    assert huge_stats(world, numa=False).anonymous_thp == world.huge
    expect(huge_stats(world, numa=True))


def test_a_huge_page_that_is_being_split_counts(world):
    shift = world.huge.bit_length() - 1
    entry = world.format.encode_prot_none(HUGE_PFN, Entry.D | Entry.PS, shift) & ~Entry.G
    world.set_huge(entry)
    assert huge_stats(world).anonymous_thp == world.huge


def test_a_huge_page_that_migrates_is_whole():
    world = World(*MODES["x86_64"])
    world.set_huge(world.software(EntryKind.MIGRATION_WRITE, HUGE_PFN))
    stats = huge_stats(world, Facts(mapcounts={HUGE_PFN: 2}))
    assert (stats.pss, stats.private_clean, stats.anonymous_thp) == (world.huge,) * 3
    world.set_huge(world.software(EntryKind.SWAP, HUGE_PFN))
    expect(huge_stats(world))


@pytest.mark.parametrize("mapcount", [1, 2])
def test_hugetlbfs_has_figures_of_its_own(world, mapcount):
    file = File("/anon_hugepage", huge_page_bytes=world.huge)
    world.set_huge(page(HUGE_PFN, WRITTEN | Entry.PS))
    stats = huge_stats(world, Facts(file={HUGE_PFN}, mapcounts={HUGE_PFN: mapcount}),
                       flags=RW | VmFlag.HUGETLB, file=file)
    expect(stats, **{"private_hugetlb" if mapcount == 1 else "shared_hugetlb": world.huge})


def test_hugetlbfs_has_pages_of_a_gigabyte():
    world, size = World(*MODES["x86_64"]), 1 << 30
    world.set_huge(page(1 << 18, WRITTEN | Entry.PS), depth=1)
    stats = world.stats(flags=RW | VmFlag.HUGETLB, pages=size // PAGE,
                        file=File("/anon_hugepage", huge_page_bytes=size))
    expect(stats, private_hugetlb=size)


# ---- shared memory

SHARED = File("/dev/zero (deleted)", is_shmem=True)


@pytest.mark.parametrize(("flags", "swapped"), [
    (RW | VmFlag.SHARED, 3), (VmFlag.READ | VmFlag.SHARED, 3), (VmFlag.READ, 3), (RW, 1)])
def test_what_is_out_of_shared_memory_counts_where_no_private_page_hides_it(world, flags,
                                                                            swapped):
    world.set(0, page(0x100))
    world.set(1, world.software(EntryKind.SWAP, 9))
    facts = Facts(out={SHARED: {19, 20, 21, 23, 36}})
    stats = world.stats(facts, flags, file=SHARED, pgoff=20)
    assert stats.swap == (swapped + 1) * PAGE
    assert stats.swap_pss == PAGE


def test_other_files_have_nothing_in_swap(world):
    file = File("/f")
    expect(world.stats(Facts(out={file: {0}}), file=file))
