"""What invalidating operations leave in the walk cache of the whole MMU. [SDM 4.10.4.1]"""

import pytest

from pagewalk.hdl.shapes import InvalidateOp
from pagewalk.model.mmu.walk import Access, Control
from pagewalk.model.x86 import IA32, X86_64, Cr0, Cr3, Cr4

from .mmu_bench import MmuBench
from .tables import PERMISSIVE, Tables

VADDR = 0x1234_5678
BESIDE = VADDR + 0x1000
PCIDE = Cr4.PAE | Cr4.PGE | Cr4.PCIDE

# An operation while PCID 1 is in use, and whether the tables of PCIDs 1 and 2 stay.
OPERATIONS = {
    "INVLPG": (InvalidateOp.INVLPG, {"vaddr": VADDR}, (0, 1)),
    "INVLPG elsewhere": (InvalidateOp.INVLPG, {"vaddr": 0x7000_0000_0000}, (0, 1)),
    "INVLPG not canonical": (InvalidateOp.INVLPG, {"vaddr": 1 << 63 | VADDR}, (1, 1)),
    "INVPCID address 1": (InvalidateOp.INVPCID_ADDRESS, {"vaddr": VADDR, "pcid": 1}, (0, 1)),
    "INVPCID address 2": (InvalidateOp.INVPCID_ADDRESS, {"vaddr": VADDR, "pcid": 2}, (1, 0)),
    "INVPCID address not canonical": (
        InvalidateOp.INVPCID_ADDRESS, {"vaddr": 1 << 47, "pcid": 1}, (1, 1)),
    "INVPCID context 1": (InvalidateOp.INVPCID_CONTEXT, {"pcid": 1}, (0, 1)),
    "INVPCID context 2": (InvalidateOp.INVPCID_CONTEXT, {"pcid": 2}, (1, 0)),
    "INVPCID all": (InvalidateOp.INVPCID_ALL, {}, (0, 0)),
    "INVPCID non-global": (InvalidateOp.INVPCID_ALL_NON_GLOBAL, {}, (0, 0)),
    "MOV CR3 to 2": (InvalidateOp.MOV_CR3, {"new": 0x5002}, (1, 0)),
    "MOV CR3 to 2 without a flush": (
        InvalidateOp.MOV_CR3, {"new": Cr3.NO_FLUSH | 0x5002}, (1, 1)),
    "MOV CR4.PGE": (InvalidateOp.MOV_CR4, {"old": PCIDE, "new": PCIDE & ~Cr4.PGE}, (0, 0)),
    "MOV CR4.PCIDE": (InvalidateOp.MOV_CR4, {"old": PCIDE, "new": PCIDE & ~Cr4.PCIDE}, (0, 0)),
    "MOV CR4.SMEP": (InvalidateOp.MOV_CR4, {"old": PCIDE, "new": PCIDE | Cr4.SMEP}, (0, 1)),
    "MOV CR4.SMAP": (InvalidateOp.MOV_CR4, {"old": PCIDE, "new": PCIDE | Cr4.SMAP}, (1, 1)),
    "MOV CR0.PG": (InvalidateOp.MOV_CR0, {"old": Cr0.PG}, (0, 0)),
    "MOV CR0.WP": (InvalidateOp.MOV_CR0, {"old": Cr0.PG | Cr0.WP, "new": Cr0.PG}, (1, 1)),
}


@pytest.mark.slow
@pytest.mark.parametrize("walkers", [1, 3])
@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_drops_the_tables_of_the_pcids_it_names(name, walkers):
    op, operands, kept = OPERATIONS[name]
    tables, controls = Tables(X86_64), []
    for pcid in (1, 2):
        tables.cr3 = tables.new_table()
        tables.map(VADDR, pcid << 12)
        tables.map(BESIDE, pcid << 12)
        controls.append(Control(tables.cr3 | pcid, cr4=PCIDE))
    bench = MmuBench(tables, walkers=walkers)

    async def testbench(ctx):
        for control in controls:
            await bench.access(ctx, control, Access(VADDR))
        await bench.invalidate(ctx, controls[0], op, **operands)
        for control, one in zip(controls, kept, strict=True):
            before = len(bench.memory.log)
            response, walks = await bench.access(ctx, control, Access(BESIDE))
            assert (response["paddr"] >> 12, walks) == (control.cr3 & 0xFFF, 1)
            assert len(bench.memory.log) - before == (1 if one else 4)
        assert bench.events.total("flush") == (kept != (1, 1))

    bench.run(testbench)


@pytest.mark.slow
@pytest.mark.parametrize("mode", [X86_64, IA32], ids=lambda mode: mode.name)
def test_an_address_that_is_not_canonical_drops_no_page(mode):
    """In 32-bit paging every address is canonical."""
    tables = Tables(mode)
    vaddr = VADDR | 1 << mode.vaddr_bits - 1 if mode is IA32 else VADDR
    tables.map(vaddr, 0x7000)
    control = Control(tables.cr3, cr4=Cr4.PGE)
    bench = MmuBench(tables)

    async def testbench(ctx):
        await bench.access(ctx, control, Access(vaddr))
        for op in (InvalidateOp.INVPCID_ADDRESS, InvalidateOp.INVLPG):
            await bench.invalidate(ctx, control, op, vaddr=VADDR | 1 << mode.vaddr_bits - 1)
            _, walks = await bench.access(ctx, control, Access(vaddr))
            assert walks == (mode is IA32)

    bench.run(testbench)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(3))
def test_after_a_change_of_an_upper_entry_invlpg_of_any_address_is_enough_for_walks(number):
    tables = Tables(X86_64)
    path = tables.map(VADDR, 0x7000)
    tables.map(BESIDE, 0x8000)
    control, tables.cr3 = Control(tables.cr3), tables.new_table()
    tables.map(VADDR, 0x9000)
    other = tables.map(BESIDE, 0xA000)
    bench = MmuBench(tables)

    async def frame(ctx, vaddr):
        response, _ = await bench.access(ctx, control, Access(vaddr))
        return response["paddr"] >> 12

    async def testbench(ctx):
        assert await frame(ctx, VADDR) == 7
        tables.write(path[number], tables.read(other[number]) & -0x1000 | PERMISSIVE)
        assert await frame(ctx, BESIDE) == 8  # by the table cached
        await bench.invalidate(ctx, control, InvalidateOp.INVLPG, vaddr=BESIDE)
        assert await frame(ctx, BESIDE) == 0xA
        assert await frame(ctx, VADDR) == 7  # a page of its own in the TLB

    bench.run(testbench)
