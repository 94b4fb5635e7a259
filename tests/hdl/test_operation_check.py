"""Operations that raise #GP(0): the hardware against the golden rules, and each rule by hand."""

import pytest
from numpy.random import default_rng

from pagewalk.hdl.config import Config
from pagewalk.hdl.operation_check import OperationCheck
from pagewalk.model.mmu.register_checks import raises_gp
from pagewalk.model.mmu.walk import Access, Control
from pagewalk.model.x86 import IA32, LA57, MODES, X86_64, AccessKind, Cr0, Cr4, InvalidateOp

from .bench import evaluate
from .golden import control_fields
from .mmu_bench import MmuBench
from .tables import PERMISSIVE, Tables, bits

ADDRESS, CONTEXT, ALL, ALL_NON_GLOBAL, INVLPG, MOV_CR3, MOV_CR4, MOV_CR0 = InvalidateOp
PCIDE = Control(0x1000, cr4=Cr4.PAE | Cr4.PCIDE)
PLAIN = Control(0x1000, cr4=Cr4.PAE)
WITH_PCID = Control(0x1005, cr4=Cr4.PAE)
FAR = 1 << 47

CASES = [
    (X86_64, PCIDE, ADDRESS, {"descriptor": 5}, False),
    (X86_64, PCIDE, ADDRESS, {"descriptor": 5, "vaddr": FAR}, True),
    (X86_64, PLAIN, ADDRESS, {"descriptor": 5}, True),
    (X86_64, PLAIN, ADDRESS, {}, False),
    (X86_64, PLAIN, CONTEXT, {"descriptor": 1}, True),
    (X86_64, PCIDE, CONTEXT, {"descriptor": 1, "vaddr": FAR}, False),
    (X86_64, PLAIN, ALL, {"descriptor": 5, "vaddr": FAR}, False),
    (X86_64, PCIDE, ALL, {"descriptor": 0x1000}, True),
    (X86_64, PCIDE, ALL_NON_GLOBAL, {"kind": 4}, True),
    (X86_64, PCIDE, ALL, {"kind": 1 << 63}, True),
    (IA32, PLAIN, CONTEXT, {"descriptor": 5}, True),
    (X86_64, PLAIN, INVLPG, {"vaddr": FAR}, False),
    (LA57, PCIDE, ADDRESS, {"vaddr": FAR}, False),
    (X86_64, PCIDE, MOV_CR3, {"new": 1 << 63 | 0x5005}, False),
    (X86_64, PLAIN, MOV_CR3, {"new": 1 << 63 | 0x5000}, True),
    (X86_64, PLAIN, MOV_CR3, {"new": 1 << 39}, False),
    (X86_64, PLAIN, MOV_CR3, {"new": 1 << 40}, True),
    (X86_64, PCIDE, MOV_CR3, {"new": 1 << 62}, True),
    (IA32, PLAIN, MOV_CR3, {"new": 0xFFFF_FFFF}, False),
    (X86_64, PLAIN, MOV_CR4, {"old": Cr4.PAE, "new": Cr4.PAE | Cr4.PCIDE}, False),
    (X86_64, WITH_PCID, MOV_CR4, {"old": Cr4.PAE, "new": Cr4.PAE | Cr4.PCIDE}, True),
    (X86_64, PCIDE, MOV_CR4, {"old": Cr4.PAE | Cr4.PCIDE, "new": Cr4.PAE}, False),
    (IA32, PLAIN, MOV_CR4, {"new": Cr4.PCIDE}, True),
    (X86_64, PLAIN, MOV_CR4, {"old": Cr4.PAE, "new": Cr4.PGE}, True),
    (IA32, PLAIN, MOV_CR4, {"old": Cr4.PAE, "new": Cr4.PGE}, False),
    (X86_64, PLAIN, MOV_CR4, {"old": Cr4.PAE, "new": Cr4.PAE | Cr4.LA57}, True),
    (LA57, PLAIN, MOV_CR4, {"old": Cr4.PAE | Cr4.LA57, "new": Cr4.PAE}, True),
    (X86_64, PLAIN, MOV_CR4, {"old": Cr4.PAE, "new": Cr4.PAE | 1 << 32}, True),
    (X86_64, PLAIN, MOV_CR0, {"new": Cr0.PG}, True),
    (X86_64, PLAIN, MOV_CR0, {"new": Cr0.PG | Cr0.PE}, False),
    (IA32, PLAIN, MOV_CR0, {"new": Cr0.NW}, True),
    (IA32, PLAIN, MOV_CR0, {"new": Cr0.NW | Cr0.CD}, False),
    (X86_64, PCIDE, MOV_CR0, {"old": Cr0.PG | Cr0.PE, "new": Cr0.PE}, True),
    (IA32, PCIDE, MOV_CR0, {"old": Cr0.PG | Cr0.PE, "new": Cr0.PE}, False),
    (X86_64, PLAIN, MOV_CR0, {"old": Cr0.PG | Cr0.PE, "new": Cr0.PE}, False),
    (X86_64, PLAIN, MOV_CR0, {"new": 1 << 32}, True),
]


def stimulus(config, control, op, *, kind=0, vaddr=0, descriptor=0, old=0, new=0):
    """Return the inputs for an operation; the low bits of INVPCID's type are in ``op``."""
    return {"control": control_fields(config, control), "operation": {
        "op": op.value, "vaddr": vaddr, "pcid": descriptor & 0xFFF, "reserved": descriptor >> 12,
        "type": kind >> 2, "old": old, "new": new}}


def of_type(op, operands):
    """Return operands with the low bits of the type, which the operation has."""
    return {**operands, "kind": operands.get("kind", 0) | (op.value if op <= ALL_NON_GLOBAL else 0)}


@pytest.mark.parametrize(("mode", "control", "op", "operands", "refused"), CASES)
def test_each_condition_of_the_manual(mode, control, op, operands, refused):
    operands, config = of_type(op, operands), Config(mode=mode, checks=True)
    assert raises_gp(mode, control, op, **operands) == refused
    found, = evaluate(OperationCheck(config), [stimulus(config, control, op, **operands)],
                      ("refused",))
    assert found["refused"] == refused


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
@pytest.mark.parametrize("paddr_bits", [36, 40, 52])
def test_random_operations_are_refused_as_by_the_golden_rules(mode, paddr_bits):
    rng = default_rng(paddr_bits)
    config = Config(mode=mode, paddr_bits=paddr_bits, checks=True)
    asked, expected = [], []
    for _ in range(1500):
        op = InvalidateOp(int(rng.integers(8)))
        few = [1 << int(rng.integers(64)) for _ in range(4)]
        cr4 = Cr4.PAE | Cr4.PCIDE * bits(rng, 1)
        control = Control(0x1000 | bits(rng, 12) * bits(rng, 1), cr4=cr4)
        usual = {MOV_CR4: cr4, MOV_CR0: Cr0.PG | Cr0.PE}.get(op, 0)
        operands = of_type(op, {
            "kind": (few[0] & ~3) * (rng.random() < 0.2),
            "vaddr": (bits(rng, 47) | few[1] * bits(rng, 1)) & (1 << mode.vaddr_bits) - 1,
            "descriptor": bits(rng, 12) * bits(rng, 1) | few[2] * (rng.random() < 0.2),
            "old": (usual ^ few[3]) & 0xFFFF_FFFF, "new": usual ^ few[1] ^ few[2] * bits(rng, 1)})
        asked.append(stimulus(config, control, op, **operands))
        expected.append(raises_gp(mode, control, op, paddr_bits=paddr_bits, **operands))
    found = evaluate(OperationCheck(config), asked, ("refused",))
    assert [bool(one["refused"]) for one in found] == expected
    assert 200 < sum(expected) < 1300


@pytest.mark.parametrize("refused", [False, True])
def test_what_is_refused_drops_nothing_and_what_is_dropped_is_told(refused):
    tables = Tables(X86_64)
    tables.map(0x5000, 0x7000, PERMISSIVE)
    bench = MmuBench(tables, parameters={"checks": True, "dropped": True})
    control = Control(tables.cr3, cr4=Cr4.PAE)
    told = []

    async def watch(ctx):
        mmu = bench.mmu
        async for _, _, *now in ctx.tick().sample(
                mmu.invalidate_refused, mmu.invalidate.ready, mmu.dropped):
            told.append(now)

    async def testbench(ctx):
        assert (await bench.access(ctx, control, Access(0x5000), 1))[1] == 1
        await bench.invalidate(ctx, control, CONTEXT, pcid=0, reserved=int(refused))
        assert (await bench.access(ctx, control, Access(0x5000), 1))[1] == int(not refused)
        await bench.access(ctx, control, Access(0x9000, AccessKind.WRITE), 1)  # a page fault
        for _ in range(4):
            await ctx.tick()

    bench.run(testbench, background=[watch])
    assert sum(is_refused and ready for is_refused, ready, _ in told) == int(refused)
    drops = [(drop.by_address, drop.by_pcid, drop.globals, drop.vpn)
             for _, _, drop in told if drop.valid]
    context, fault = (0, 1, 0, 0), (1, 1, 1, 9)
    assert drops == ([fault] if refused else [context, fault])
