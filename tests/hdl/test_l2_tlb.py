"""The second-level TLB against plain Python, one operation at a time, and its cycles."""

from itertools import product

import pytest
from numpy.random import default_rng

from pagewalk.model.mmu.walk import Access, Control
from pagewalk.model.x86 import IA32, LA57, X86_64, AccessKind, Cr0, Cr4, Efer

from .l2_bench import geometry, random_translation, run
from .l2_reference import PAGE_BITS, RefL2
from .tables import bits

PCIDS = (0, 1, 0xFFF)


def page_numbers(mode, sets):
    """Return page numbers of two sets, that differ in each part that a page size leaves over."""
    edges = [*PAGE_BITS[mode.name], mode.translated_bits - 13]
    return [first + sum(chosen) for first in (0, 1) for chosen in product(
        *((0, sets << edge if edge < edges[-1] else 1 << edge) for edge in edges))]


def random_access(rng, vpns):
    kind = (AccessKind.READ, AccessKind.READ, AccessKind.WRITE, AccessKind.FETCH)[
        int(rng.integers(4))]
    vaddr = vpns[int(rng.integers(len(vpns)))] << 12 | bits(rng, 12)
    user, implicit, ac = (bool(rng.random() < chance) for chance in (0.6, 0.1, 0.5))
    return Access(vaddr, kind, user=user, implicit=implicit, ac=ac)


def random_control(rng, mode):
    pcid = PCIDS[int(rng.integers(len(PCIDS)))] if mode.has_pcids else 0
    cr4 = sum(bit for bit in (Cr4.SMEP, Cr4.SMAP, Cr4.PKE) if rng.random() < 0.3)
    return Control(
        bits(rng, 20) << 12 | pcid, Cr0.PG | (Cr0.WP if rng.random() < 0.7 else 0),
        cr4 | Cr4.PAE | Cr4.PGE | (Cr4.PCIDE if mode.has_pcids else 0),
        Efer.NXE if rng.random() < 0.8 else 0, bits(rng, 32) & bits(rng, 32))


def random_drop(rng, mode, vpns):
    return {"by_address": int(rng.random() < 0.5), "by_pcid": int(rng.random() < 0.7),
            "globals": int(rng.random() < 0.4), "tables_by_address": bits(rng, 1),
            "vpn": vpns[int(rng.integers(len(vpns)))],
            "pcid": PCIDS[int(rng.integers(len(PCIDS)))] if mode.has_pcids else 0}


async def operate(rtl, reference, rng, vpns, count):
    """Do ``count`` random operations to both; return how often each outcome was seen."""
    mode, seen = rtl.config.mode, {}

    def note(what):
        seen[what] = seen.get(what, 0) + 1

    for _ in range(count):
        if rng.random() < 0.12:
            condition = random_drop(rng, mode, vpns)
            cycles = reference.drop(condition)
            assert await rtl.drop(condition) == cycles, condition
            note(("drop", cycles))
            continue
        access, control = random_access(rng, vpns), random_control(rng, mode)
        expected, cycles = reference.lookup(access, control)
        request, response, took = await rtl.lookup(access, control)
        assert took == cycles, (access, control)
        note(("hit" if expected else "miss", cycles))
        if expected:
            assert response == {
                "port": request["port"], "miss": request["miss"], "translation": expected,
                "fault": 0, "vector": 0, "error_code": 0, "stale": 0}
            continue
        assert response is None
        result = {"translation": random_translation(rng, rtl.config), "vector": 14,
                  "fault": int(rng.random() < 0.1), "stale": int(rng.random() < 0.1),
                  "error_code": 0x15}
        assert await rtl.respond(request, **result) == {
            "port": request["port"], "miss": request["miss"], **result}
        if not result["fault"] and not result["stale"]:
            vpn = access.vaddr % (1 << mode.translated_bits) >> 12
            reference.fill(vpn, control.cr3 & 0xFFF, result["translation"])
            note("fill")
    return seen


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "policy", "ways"), [
    (X86_64, "plru", 4), (IA32, "plru", 2), (IA32, "lru", 4), (LA57, "lru", 2),
    (LA57, "fifo", 4), (X86_64, "fifo", 1), (X86_64, "random", 4), (IA32, "lru", 3),
], ids=lambda value: getattr(value, "name", value))
def test_random_operations_find_and_take_what_the_reference_does(mode, policy, ways):
    shape = geometry(mode, sets=4, ways=ways, policy=policy)
    reference = RefL2(mode, 4, ways, policy)
    vpns = page_numbers(mode, 4)
    seen = {}

    async def body(rtl):
        seen.update(await operate(rtl, reference, default_rng(ways), vpns, 400))

    run(shape, body)
    sizes = len(mode.pages)
    assert {("hit", 4 + number) for number in range(sizes)} <= seen.keys()
    assert {("drop", cycles) for cycles in (3, 4, 10)} <= seen.keys()
