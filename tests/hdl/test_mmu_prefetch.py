"""Pages that are walked ahead: which, what is made of them, and what they must not do."""

import pytest

from pagewalk.model.physical.memory import BusError
from pagewalk.model.x86 import IA32, LA57, X86_64, AccessKind, Entry

from .prefetch_bench import NEXT, OTHER, VADDR, WALKERS, PrefetchBench, frame, mapped
from .tables import PERMISSIVE, Tables, canonical

pytestmark = pytest.mark.slow

MODES = pytest.mark.parametrize("mode", [X86_64, IA32], ids=lambda mode: mode.name)
KINDS = pytest.mark.parametrize("kind", WALKERS)
CLEAN = Entry.P | Entry.RW | Entry.US


def play(tables, kind, body, **others):
    """Run ``body(bench, ctx)`` after the drop of the reset; return the bench."""
    bench = PrefetchBench(tables, **WALKERS[kind], **others)

    async def testbench(ctx):
        await bench.ready(ctx)
        await body(bench, ctx)

    bench.run(testbench)
    return bench


@MODES
@KINDS
def test_the_page_after_one_that_was_walked_is_held_by_the_second_level_alone(mode, kind):
    tables, (_, leaf) = mapped(mode, VADDR, NEXT)

    async def body(bench, ctx):
        await bench.read(ctx, VADDR)
        await bench.settle(ctx)
        tables.write(leaf, 0)  # it was read before that
        walks = bench.events.total("walk_start")
        assert await bench.read(ctx, NEXT) == (frame(NEXT), 5)
        assert await bench.read(ctx, NEXT, port=0) == (frame(NEXT), 5)
        assert bench.events.total("walk_start") == walks == 2

    bench = play(tables, kind, body)
    assert bench.total("start") == bench.total("fill") == 1
    assert bench.events.total("l2_hit_4k") == 2
    assert bench.events.total("l2_lookup") == 3  # one that nobody asked for does not count
    assert len(bench.reads()) == 2 * len(mode.levels)


@MODES
@KINDS
@pytest.mark.parametrize("lacks", ["leaf", "upper"])
def test_no_accessed_flag_is_set_and_nothing_is_kept_without_it(mode, kind, lacks):
    last = VADDR | 0x1FF_000 if mode is X86_64 else VADDR | 0x3FF_000  # of its page table
    tables, _ = mapped(mode, last)
    following = last + 0x1000
    path = tables.map(following, frame(following), PERMISSIVE & ~Entry.A if lacks == "leaf"
                      else PERMISSIVE, upper=PERMISSIVE if lacks == "leaf" else CLEAN)
    before = [tables.read(paddr) for paddr in path]

    async def body(bench, ctx):
        await bench.read(ctx, last)
        await bench.settle(ctx)
        assert [tables.read(paddr) for paddr in path] == before
        assert len(bench.reads()) == 2 * len(mode.levels)
        assert (await bench.read(ctx, following))[0] == frame(following)
        assert [access[0] for access in bench.memory.log].count("exchange") == 1

    bench = play(tables, kind, body)
    assert (bench.total("start"), bench.total("fill")) == (1, 0)
    assert bench.events.total("l2_miss") == 2


@MODES
@KINDS
def test_a_clean_page_is_held_as_it_is_and_walked_for_a_write(mode, kind):
    tables, (_, leaf) = mapped(mode, VADDR, NEXT, flags=PERMISSIVE & ~Entry.D)

    async def body(bench, ctx):
        assert (await bench.read(ctx, VADDR, kind=AccessKind.WRITE))[0] == frame(VADDR)
        await bench.settle(ctx)
        assert not tables.read(leaf) & Entry.D
        await bench.read(ctx, NEXT)
        assert bench.events.total("l2_hit_4k") == 1
        await bench.read(ctx, NEXT, port=0, kind=AccessKind.WRITE)
        assert tables.read(leaf) & Entry.D

    assert play(tables, kind, body).events.total("l2_hit_4k") == 1


@MODES
@KINDS
@pytest.mark.parametrize("wrong", ["absent", "reserved", "bus error", "no table"])
def test_a_page_that_cannot_be_walked_is_no_fault_and_drops_nothing(mode, kind, wrong):
    following = VADDR & -mode.pages[1].page_bytes | mode.pages[1].page_bytes
    last = following - 0x1000
    tables, _ = mapped(mode, last)
    path = tables.map(following, frame(following))
    if wrong == "absent":
        tables.write(path[-1], 0)
    elif wrong == "reserved":
        tables.write(path[-2], 1 << (51 if mode is X86_64 else 21) | PERMISSIVE | Entry.PS)
    elif wrong == "no table":
        tables.write(path[-2], 0xFFF_F000 | PERMISSIVE)

    def before(access):
        if wrong == "bus error" and access[1] == path[-1]:
            raise BusError(access[1])

    async def body(bench, ctx):
        await bench.read(ctx, last)
        await bench.settle(ctx)
        assert (await bench.read(ctx, last))[1] == 1  # the port's TLB still has it
        walks = bench.events.total("walk_start")
        await bench.read(ctx, last, port=0)
        assert bench.events.total("walk_start") == walks

    bench = play(tables, kind, body, before=before)
    assert (bench.total("start"), bench.total("fill")) == (1, 0)
    faults = ("walk_fault", "flush", "data_fault", "fetch_fault")
    assert not any(bench.events.total(name) for name in faults)


ENDS = {"x86_64 lower": (X86_64, 0x7FFF_FFFF_F000), "x86_64 upper": (X86_64, -0x1000 % (1 << 64)),
        "la57 lower": (LA57, 0xFF_FFFF_FFFF_F000), "la57 upper": (LA57, -0x1000 % (1 << 64)),
        "ia32": (IA32, 0xFFFF_F000)}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("page", [0, 1])
def test_nothing_follows_the_last_page_of_linear_addresses_or_of_a_half(end, page):
    mode, vaddr = ENDS[end]
    tables = Tables(mode)
    vaddr &= -mode.pages[page].page_bytes
    tables.map(vaddr, 0, page=page)
    for wrong in (0, canonical(mode, 1 << (mode.translated_bits - 1))):
        if tables.read(tables.entry_address(tables.cr3, mode.levels[0], wrong)) == 0:
            tables.map(wrong, 0x1_0000)

    async def body(bench, ctx):
        assert (await bench.read(ctx, vaddr | 0xFFF))[0] == 0xFFF
        await bench.settle(ctx)

    bench = play(tables, "one", body)
    assert bench.total("start") == 0
    assert len(bench.reads()) == len(mode.levels) - page


def test_in_32_bit_paging_the_upper_half_follows_the_lower():
    tables, _ = mapped(IA32, 0x7FFF_F000, 0x8000_0000)

    async def body(bench, ctx):
        await bench.read(ctx, 0x7FFF_F000)
        await bench.settle(ctx)
        await bench.read(ctx, 0x8000_0000)

    assert play(tables, "one", body).events.total("l2_hit_4k") == 1


@MODES
@KINDS
@pytest.mark.parametrize("small", [False, True], ids=["large", "small"])
def test_after_a_large_page_comes_the_first_page_beyond_it(mode, kind, small):
    """Of whatever size that is: all that is nearer is in the large page."""
    size, tables = mode.pages[1].page_bytes, Tables(mode)
    begin, end = VADDR & -size, (VADDR & -size) + size
    tables.map(begin, 4 * size, page=1)
    tables.map(end, 0x7000 if small else 6 * size, page=0 if small else 1)

    async def body(bench, ctx):
        assert (await bench.read(ctx, VADDR))[0] == 4 * size + VADDR - begin
        await bench.settle(ctx)
        walks = bench.events.total("walk_start")
        assert (await bench.read(ctx, end))[0] == (0x7000 if small else 6 * size)
        assert bench.events.total("walk_start") == walks

    bench = play(tables, kind, body)
    assert bench.total("fill") == 1
    large = "hit_2m" if mode is X86_64 else "hit_4m"
    assert bench.events.total("l2_hit_4k" if small else f"l2_{large}") == 1


@MODES
@KINDS
@pytest.mark.parametrize("page", [0, 1])
def test_a_page_that_is_held_is_not_walked_again(mode, kind, page):
    size = mode.pages[page].page_bytes
    begin = VADDR & -size
    tables = Tables(mode)
    for vaddr in (begin, begin + size):
        tables.map(vaddr, vaddr, page=page)

    async def body(bench, ctx):
        await bench.read(ctx, begin + size)
        await bench.settle(ctx)
        await bench.read(ctx, begin)
        await bench.settle(ctx)

    bench = play(tables, kind, body)
    assert bench.total("start") == 1  # of the page after both, which is not there
    assert bench.events.total("l2_miss") == 2


@MODES
@KINDS
def test_a_page_walked_ahead_has_none_walked_ahead_in_turn(mode, kind):
    vaddrs = [VADDR + 0x1000 * number for number in range(4)]
    tables, leaves = mapped(mode, *vaddrs)

    async def body(bench, ctx):
        await bench.read(ctx, VADDR)
        await bench.settle(ctx, 90)
        assert bench.reads().count(leaves[1]) == 1
        assert not {*leaves[2:]} & {*bench.reads()}
        await bench.read(ctx, NEXT)  # a hit
        await bench.settle(ctx)
        assert not {*leaves[2:]} & {*bench.reads()}

    play(tables, kind, body)


@MODES
@KINDS
def test_a_page_may_be_held_that_the_access_before_could_not_use(mode, kind):
    """Rights are judged by who asks for it."""
    tables, (_, leaf) = mapped(mode, VADDR, NEXT)
    tables.write(leaf, frame(NEXT) | PERMISSIVE & ~Entry.US)

    async def body(bench, ctx):
        await bench.read(ctx, VADDR, user=True)
        await bench.settle(ctx)
        assert (await bench.read(ctx, NEXT))[0] == frame(NEXT)
        assert bench.events.total("l2_hit_4k") == 1
        assert (await bench.read(ctx, NEXT, port=0, user=True))[0] == 5  # by a walk

    assert play(tables, kind, body).events.total("walk_start") == 3


@MODES
@KINDS
def test_a_walk_that_must_not_be_kept_or_faults_has_nothing_walked_ahead(mode, kind):
    tables, _ = mapped(mode, VADDR, NEXT, OTHER)
    tables.write(tables.map(VADDR, 0)[-1], 0)

    async def body(bench, ctx):
        await bench.read(ctx, VADDR)
        await bench.settle(ctx)

    bench = play(tables, kind, body)
    assert bench.events.total("data_fault") == 1
    assert bench.total("start") == 0
