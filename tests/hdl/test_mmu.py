# amaranth: UnusedElaboratable=no

"""The whole MMU against the golden walk, while ports, memory and software all go on at once."""

import pytest
from numpy.random import default_rng

from pagewalk.hdl.config import Config
from pagewalk.hdl.mmu import Mmu
from pagewalk.model.mmu.walk import Access, Control, walk
from pagewalk.model.x86 import (
    IA32,
    X86_64,
    AccessKind,
    Cr0,
    Cr4,
    Efer,
    Entry,
    ErrorCode,
    InvalidateOp,
)

from .bench import put, take
from .golden import access_fields, control_fields, response_fields
from .mmu_bench import ChangingPages, MmuBench, Requester, changing_control
from .tables import (
    PERMISSIVE,
    Tables,
    random_access,
    random_control,
    random_tables,
    random_vaddr,
)

MODES = pytest.mark.parametrize("mode", [X86_64, IA32], ids=lambda mode: mode.name)
VADDR = 0x1234_5678
READ, WRITE, FETCH = AccessKind
PCIDE = Cr4.PAE | Cr4.PGE | Cr4.PCIDE


@pytest.mark.slow
@MODES
@pytest.mark.parametrize(("ports", "busy", "seed"), [
    (("only",), False, 0), (("fetch", "data"), False, 1), (("fetch", "data"), True, 2),
    (("a", "b", "c"), True, 3)], ids=lambda value: value if isinstance(value, int) else len(value))
def test_ports_in_parallel_answer_as_the_golden_walk(mode, ports, busy, seed):
    rng = default_rng(seed)
    tables = random_tables(rng, mode)
    golden_memory = tables.memory.copy()
    lasting = random_control(rng, mode, tables.cr3)
    controls = [random_control(rng, mode, tables.cr3, lasting=lasting) for _ in range(20)]
    vaddrs = [random_vaddr(rng, mode) for _ in range(12)]
    slow = {"latency": lambda: int(rng.integers(1, 5)), "ready": lambda: rng.random() < 0.7}
    bench = MmuBench(tables, ports=ports, **slow if busy else {})
    # Not rng.choice: it makes floats of addresses that do not all fit one integer type.
    some = [[vaddrs[index] for index in rng.integers(len(vaddrs), size=60)] for _ in bench.ports]
    requesters = [Requester(port, [random_access(rng, vaddr) for vaddr in of_port],
                            lambda: int(rng.integers(3)) if busy else 0)
                  for port, of_port in zip(bench.ports, some, strict=True)]
    bench.run(*(one.ask for one in requesters), *(one.collect for one in requesters),
              background=[changing_control(bench, requesters, rng, controls)])
    for one in requesters:
        for number, access in enumerate(one.accesses):
            walked = walk(golden_memory, mode, one.controls[number], access)
            expected = response_fields(bench.config, walked, number & 0xF)
            assert one.results[number] == expected, (access, one.controls[number])
    # Flags are set, and hits lose none of them.
    assert (tables.memory.frames == golden_memory.frames).all()
    assert_events_add_up(bench, requesters)


def assert_events_add_up(bench, requesters):
    events, handshakes = bench.events, bench.handshakes
    misses = 0
    for name, requester in zip(bench.config.ports, requesters, strict=True):
        total = {event.removeprefix(f"{name}_"): events.total(event)
                 for event in events.names if event.startswith(f"{name}_")}
        hits = sum(count for event, count in total.items() if event.startswith("hit_"))
        assert hits + total["miss"] == total["lookup"] == len(requester.accesses)
        assert hits
        assert total["fault"] == sum(result["fault"] for result in requester.results)
        accepted = handshakes.cycles(f"{name}_req_valid", f"{name}_req_ready")
        offered = handshakes.cycles(f"{name}_req_valid")
        assert sorted(events.cycles(f"{name}_stall") + accepted) == offered
        misses += total["miss"]
    assert events.total("walk_start") == events.total("walk_end") == misses
    reads = [name for name in events.names if name.startswith("walk_read_")]
    kinds = [access[0] for access in bench.memory.log]
    assert sum(events.total(name) for name in reads) == kinds.count("read")
    assert events.total("walk_update") == kinds.count("exchange")
    assert events.total("flush") == events.total("walk_restart") == 0


@pytest.mark.slow
@MODES
@pytest.mark.parametrize("seed", range(2))
def test_a_fault_on_a_hit_equals_the_fault_on_a_walk(mode, seed):
    rng = default_rng(seed)
    tables = random_tables(rng, mode)
    lasting = random_control(rng, mode, tables.cr3)
    open_control = Control(tables.cr3, cr0=Cr0.PG, cr4=lasting.cr4 & ~(Cr4.SMAP | Cr4.PKE),
                           efer=lasting.efer)
    bench = MmuBench(tables)
    faults_on_hits = []

    async def testbench(ctx):
        for _ in range(40):
            access = random_access(rng, random_vaddr(rng, mode))
            control = random_control(rng, mode, tables.cr3, lasting=lasting)
            await bench.access(ctx, open_control, Access(access.vaddr, WRITE))
            response, walks = await bench.access(ctx, control, access)
            await bench.invalidate(ctx, control, InvalidateOp.INVPCID_ALL)
            assert (response, 1) == await bench.access(ctx, control, access)
            if not walks and response["fault"]:
                faults_on_hits.append(access)

    bench.run(testbench)
    assert len(faults_on_hits) > 3


@pytest.mark.slow
@pytest.mark.parametrize("latency", [1, 3])
@pytest.mark.parametrize("clean", [False, True], ids=["dirty", "clean"])
def test_a_miss_takes_two_cycles_and_its_memory_latencies(latency, clean):
    tables = Tables(X86_64)
    flags = Entry.P | Entry.RW if clean else PERMISSIVE
    tables.map(VADDR, 0x7000, flags, upper=flags)
    bench = MmuBench(tables, latency=lambda: latency)

    async def testbench(ctx):
        await bench.access(ctx, Control(tables.cr3), Access(VADDR, WRITE))

    bench.run(testbench)
    accepted, = bench.handshakes.cycles("fetch_req_valid", "fetch_req_ready")
    answered, = bench.handshakes.cycles("fetch_rsp_valid", "fetch_rsp_ready")
    assert answered - accepted == 2 + (8 if clean else 4) * latency


def test_a_port_hits_in_every_cycle_while_another_waits_for_its_walk():
    tables = Tables(X86_64)
    tables.map(VADDR, 0x7000)
    control, access = Control(tables.cr3), Access(VADDR)
    bench = MmuBench(tables, latency=lambda: 40)
    hits = Requester(bench.ports[1], [access] * 30, lambda: 0)

    async def testbench(ctx):
        await bench.access(ctx, control, access, port=1)
        await put(ctx, bench.ports[0].req, access_fields(access))
        for _ in range(3):
            await ctx.tick()
        ctx.set(bench.ports[1].rsp.ready, 1)
        first = len(bench.handshakes.words)
        await hits.ask(ctx)
        accepted = bench.handshakes.cycles("data_req_valid", "data_req_ready")[1:]
        assert accepted == list(range(first, first + 30))
        assert not ctx.get(bench.ports[0].rsp.valid)

    bench.run(testbench)


def test_32_bit_paging_ignores_what_only_long_mode_has():
    tables = Tables(IA32)
    tables.map(VADDR, 0x7000)
    bench = MmuBench(tables)
    control = Control(tables.cr3, cr4=Cr4.PKE | Cr4.PCIDE, efer=Efer.NXE, pkru=0xFFFF_FFFF)

    async def testbench(ctx):
        fields = control_fields(bench.config, control) | {"nxe": 1}
        for pcid, access, code in ((1, Access(VADDR), 0), (2, Access(VADDR, user=True), 0),
                                   (3, Access(0, FETCH, user=True), ErrorCode.US)):
            ctx.set(bench.mmu.control, fields | {"pcid": pcid})
            await put(ctx, bench.ports[0].req, access_fields(access))
            response = await take(ctx, bench.ports[0].rsp)
            assert response["error_code"] == code
        assert bench.events.total("fetch_hit_4k") == 1

    bench.run(testbench)


# How software tells the MMU about a changed page, while PCID 1 is in use: the operands, and
# whether pages are dropped that the operation does not name, and global ones.
FLUSHES = {
    "INVLPG": ({"op": InvalidateOp.INVLPG}, False, True),
    "INVPCID address": ({"op": InvalidateOp.INVPCID_ADDRESS, "pcid": 1}, False, False),
    "INVPCID context": ({"op": InvalidateOp.INVPCID_CONTEXT, "pcid": 1}, True, False),
    "INVPCID all": ({"op": InvalidateOp.INVPCID_ALL}, True, True),
    "INVPCID non-global": ({"op": InvalidateOp.INVPCID_ALL_NON_GLOBAL}, True, False),
    "MOV CR3": ({"op": InvalidateOp.MOV_CR3, "new": 0x5001}, True, False),
    "MOV CR4.PGE": ({"op": InvalidateOp.MOV_CR4, "old": Cr4.PGE}, True, True),
    "MOV CR4.SMEP": ({"op": InvalidateOp.MOV_CR4, "new": Cr4.SMEP}, True, True),
    "MOV CR0.PG": ({"op": InvalidateOp.MOV_CR0, "old": Cr0.PG}, True, True),
}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_no_answer_after_an_invalidation_is_older_than_it(seed):
    rng, pages = default_rng(seed), ChangingPages(VADDR, 6)
    bench = MmuBench(pages.tables, latency=lambda: int(rng.integers(1, 6)))
    left = [100, 100]

    def requester(port):
        asked = [int(number) for number in rng.integers(6, size=left[port])]
        accesses = [Access(pages.vaddr(number)) for number in asked]

        async def collect(ctx):
            for number in asked:
                pages.check(number, await take(ctx, bench.ports[port].rsp))
                left[port] -= 1

        return Requester(bench.ports[port], accesses, lambda: int(rng.integers(2))).ask, collect

    async def software(ctx):
        bench.control(ctx, pages.control)
        while any(left):
            for _ in range(int(rng.integers(20))):
                await ctx.tick()
            number = int(rng.integers(6))
            operands, others, with_global = FLUSHES[str(rng.choice(list(FLUSHES)))]
            if rng.random() < 0.3:
                pages.move_table()
            pages.change(number)
            await put(ctx, bench.mmu.invalidate, operands | {"vaddr": pages.vaddr(number)})
            pages.flushed(number, others, with_global)

    bench.run(*requester(0), *requester(1), software)
    accepted = bench.handshakes.cycles("invalidate_valid", "invalidate_ready")
    assert bench.events.cycles("flush") == accepted
    assert len(accepted) > 10


@pytest.mark.slow
@pytest.mark.parametrize("flush", FLUSHES)
@pytest.mark.parametrize("of_table", [False, True], ids=["leaf", "table"])
def test_a_change_at_any_moment_of_a_walk_is_seen_after_the_invalidation(flush, of_table):
    pages = ChangingPages(VADDR, 1)
    bench = MmuBench(pages.tables, latency=lambda: 4)
    delays = range(0, 24, 2)
    operands, *_ = FLUSHES[flush]
    first_versions, responses = set(), []

    async def software(ctx):
        for delay in delays:
            await bench.invalidate(ctx, pages.control, InvalidateOp.INVPCID_ALL)
            await put(ctx, bench.ports[0].req, access_fields(Access(VADDR)))
            for _ in range(delay):
                await ctx.tick()
            if of_table:
                pages.move_table()
            pages.change(0)
            await put(ctx, bench.mmu.invalidate, operands | {"vaddr": VADDR})
            first_versions.add(pages.versions[0] - (responses[-1]["paddr"] >> 12))
            await put(ctx, bench.ports[0].req, access_fields(Access(VADDR)))
            while len(responses) % 2:
                await ctx.tick()
            assert responses[-1]["paddr"] >> 12 == pages.versions[0]

    async def collect(ctx):
        while len(responses) < 2 * len(delays):
            responses.append(await take(ctx, bench.ports[0].rsp))

    bench.run(collect, software)
    assert first_versions == {0, 1}  # some changes came before the walk read the entry, some after


LOCAL, GLOBAL = 0x1234_5000, 0xFFFF_8000_1234_5000


def two_address_spaces():
    """Return tables and two roots: a page of each at one address, and a global one in both."""
    tables, roots = Tables(X86_64), []
    for frame in (0xA000, 0xB000):
        tables.cr3 = tables.new_table()
        tables.map(LOCAL, frame)
        tables.map(GLOBAL, 0x6000, PERMISSIVE | Entry.G)
        roots.append(tables.cr3)
    return tables, *roots


def assert_walks(bench, steps):
    """Do each step: an access, and the frame and number of walks due; or a flush."""
    async def testbench(ctx):
        for number, (control, what, expected) in enumerate(steps):
            if isinstance(what, InvalidateOp):
                await bench.invalidate(ctx, control, what, **expected)
            else:
                response, walks = await bench.access(ctx, control, Access(what))
                assert (response["paddr"], walks) == expected, f"step {number}"

    bench.run(testbench)


def test_with_pcids_mov_cr3_drops_one_address_space_and_no_global_page():
    tables, first, second = two_address_spaces()
    one, two = Control(first | 1, cr4=PCIDE), Control(second | 2, cr4=PCIDE)
    keep = 1 << 63
    assert_walks(MmuBench(tables), [
        (one, LOCAL, (0xA000, 1)), (one, GLOBAL, (0x6000, 1)),
        (one, InvalidateOp.MOV_CR3, {"new": keep | second | 2}),
        (two, LOCAL, (0xB000, 1)), (two, GLOBAL, (0x6000, 0)),  # global: hits under any PCID
        (two, InvalidateOp.MOV_CR3, {"new": keep | first | 1}),
        (one, LOCAL, (0xA000, 0)), (one, GLOBAL, (0x6000, 0)),  # bit 63 kept all
        (one, InvalidateOp.MOV_CR3, {"new": second | 2}),
        (two, LOCAL, (0xB000, 1)), (two, GLOBAL, (0x6000, 0)),  # the new PCID was dropped
        (two, InvalidateOp.MOV_CR3, {"new": keep | first | 1}),
        (one, LOCAL, (0xA000, 0)),  # the old one was not
    ])


def test_without_pcids_mov_cr3_drops_all_but_global_pages_whatever_its_low_bits():
    tables, first, second = two_address_spaces()
    # Without CR4.PCIDE the low bits are PWT and PCD, and bit 63 means nothing.
    one, two = (Control(root, cr4=PCIDE & ~Cr4.PCIDE) for root in (first | 0x18, second))
    assert_walks(MmuBench(tables), [
        (one, LOCAL, (0xA000, 1)), (one, GLOBAL, (0x6000, 1)), (one, LOCAL, (0xA000, 0)),
        (one, InvalidateOp.MOV_CR3, {"new": second}),
        (two, LOCAL, (0xB000, 1)), (two, GLOBAL, (0x6000, 0)),
        (two, InvalidateOp.MOV_CR3, {"new": 1 << 63 | first | 0x18}),
        (one, LOCAL, (0xA000, 1)), (one, GLOBAL, (0x6000, 0)),
    ])


@pytest.mark.slow
@pytest.mark.parametrize("flush", [
    (InvalidateOp.INVLPG, {"vaddr": LOCAL}),
    (InvalidateOp.INVPCID_ADDRESS, {"vaddr": LOCAL, "pcid": 0}),
    (InvalidateOp.INVPCID_CONTEXT, {"pcid": 0}),
    (InvalidateOp.MOV_CR4, {"new": Cr4.SMEP}),
], ids=lambda flush: flush[0].name)
@pytest.mark.parametrize("mode", [X86_64, IA32], ids=lambda mode: mode.name)
def test_without_pcids_the_low_bits_of_cr3_keep_nothing_from_a_flush(mode, flush):
    tables = Tables(mode)
    tables.map(LOCAL, 0xA000)
    # The bit of CR4 is ignored in 32-bit paging.
    control = Control(tables.cr3 | 0x18, cr4=Cr4.PCIDE if mode is IA32 else Cr4.PAE)
    assert_walks(MmuBench(tables), [
        (control, LOCAL, (0xA000, 1)), (control, LOCAL, (0xA000, 0)), (control, *flush),
        (control, LOCAL, (0xA000, 1))])


@pytest.mark.parametrize("config", [None, "x86_64", X86_64], ids=str)
def test_an_mmu_is_made_from_a_config(config):
    with pytest.raises(TypeError, match=r"^MMU parameters must be a Config, not .*$"):
        Mmu(config)


def test_an_mmu_tells_its_config():
    config = Config(entries=2)
    assert Mmu(config).config is config
