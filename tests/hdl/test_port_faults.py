"""A request port after a page fault, and with entries that EFER.NXE makes reserved."""

import pytest

from pagewalk.model.mmu.walk import Access, Control
from pagewalk.model.x86 import IA32, X86_64, Cr4, Efer, Entry, ErrorCode

from .bench import put, take
from .golden import access_fields, control_fields
from .port_bench import VADDR, PortBench, one_page
from .tables import PERMISSIVE, Tables

MODES = pytest.mark.parametrize("mode", [X86_64, IA32], ids=lambda mode: mode.name)


@pytest.mark.slow
@MODES
@pytest.mark.parametrize("delay", [1, 2, 5])
@pytest.mark.parametrize("wait", [0, 3])
def test_a_page_fault_is_told_and_holds_requests_back_until_it_is_taken(mode, delay, wait):
    """On a hit and on a walk alike, while requests are offered in every cycle."""
    tables = one_page(mode, PERMISSIVE & ~Entry.US)
    pcid = 0x123 if mode is X86_64 else 0
    control = Control(tables.cr3 | pcid, cr4=Cr4.PAE | Cr4.PCIDE | Cr4.PSE)
    read, user_read, absent = Access(VADDR), Access(VADDR, user=True), Access(VADDR + 0x1000)
    bench = PortBench(tables, delay=lambda: delay)
    results = bench.answers([(access, control) for access in (
        read, read, user_read, read, read, absent, read)], pause=lambda: wait)
    assert [result["error_code"] for result in results] == [
        0, 0, ErrorCode.P | ErrorCode.US, 0, 0, 0, 0]
    assert bench.walks == [read, read, absent]
    assert bench.page_faults == [(VADDR >> 12, pcid), ((VADDR >> 12) + 1, pcid)]
    answered = bench.trace.cycles("rsp_valid", "rsp_ready")
    accepted = bench.trace.cycles("req_valid", "req_ready")
    for number, fault in enumerate((answered[2], answered[5])):
        taken = bench.faults.cycles("taken")[number]
        told = [cycle for cycle in bench.faults.cycles("told") if fault < cycle <= taken]
        assert told == list(range(fault + 1, taken + 1))
        # The port is at work on the drop in the cycle after it.
        assert not set(accepted) & set(range(fault, taken + 2))
        assert accepted[(3, 6)[number]] == taken + 2 or wait


@pytest.mark.parametrize("cause", ["not canonical", "machine check"])
def test_only_a_page_fault_is_told(cause):
    access = Access(1 << 47 if cause == "not canonical" else VADDR, stack=True)
    bench = PortBench(Tables(X86_64))
    results = bench.answers([(access, Control(0xDEAD_0000))] * 3)
    assert all(result["fault"] for result in results)
    assert bench.faults.total("told") == 0


def test_without_nxe_an_entry_with_xd_is_no_hit_and_the_walk_decides():
    tables = Tables(X86_64)
    other = VADDR + 0x1000
    tables.map(VADDR, 0x7000, PERMISSIVE | Entry.XD)
    tables.map(other, 0x8000)
    on, off = Control(tables.cr3), Control(tables.cr3, efer=Efer.LME | Efer.LMA)
    requests = [(Access(VADDR), on), (Access(other), off), (Access(VADDR), on),
                (Access(VADDR), off), (Access(other), off), (Access(VADDR), on)]
    bench = PortBench(tables)
    results = bench.answers(requests)
    assert [result["error_code"] for result in results] == [
        0, 0, 0, ErrorCode.P | ErrorCode.RSVD, 0, 0]
    # The last walk is due to the page fault, which dropped the entry, and no other.
    assert [access.vaddr for access in bench.walks] == [VADDR, other, VADDR, VADDR]
    assert bench.events.total("miss") == 4


def test_a_walk_without_nxe_replaces_an_entry_with_xd_in_its_place():
    tables = Tables(X86_64)
    leaf = tables.map(VADDR, 0x7000, PERMISSIVE | Entry.XD)[-1]
    on, off = Control(tables.cr3), Control(tables.cr3, efer=Efer.LME | Efer.LMA)
    bench = PortBench(tables)
    steps = [(on, 0x7000), (on, 0x7000), (off, 0x9000), (off, 0x9000), (on, 0x9000)]

    async def software(ctx):
        for control, frame in steps:
            ctx.set(bench.dut.control, control_fields(bench.config, control))
            await put(ctx, bench.dut.requests.req, access_fields(Access(VADDR)))
            assert (await take(ctx, bench.dut.requests.rsp))["paddr"] & -0x1000 == frame
            tables.write(leaf, 0x9000 | PERMISSIVE)  # and no invalidation

    bench.run(software)
    assert len(bench.walks) == 2
