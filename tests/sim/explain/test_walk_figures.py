"""Figures of a walk: those of the golden walk, for every probe of an image."""

import numpy as np
import pytest

from pagewalk.model.mmu.walk import Access, Control, walk
from pagewalk.model.physical.memory import PhysicalMemory
from pagewalk.model.x86 import IA32, X86_64, AccessKind, Cr4, Efer, Entry, ErrorCode, Vector
from pagewalk.sim.explain.error_bits import error_bits
from pagewalk.sim.explain.tlb_contents import table_entries, tlb_entry
from pagewalk.sim.explain.walk_figures import walk_figures
from pagewalk.sim.image import UNMAPPED, Image
from pagewalk.sim.memory_file.file_memory import FileMemory
from pagewalk.sim.memory_file.open_memory import open_memory

ACCESSES = [{}, {"kind": AccessKind.WRITE}, {"user": True},
            {"kind": AccessKind.FETCH, "user": True}]


@pytest.mark.slow
@pytest.mark.parametrize("mode", [IA32, X86_64], ids=lambda mode: mode.name)
def test_a_thousand_probes_are_those_of_the_golden_walk(mode):
    image = Image.shipped(mode).cut(limit=1000)
    view, = image.views
    file = open_memory(Image.shipped_path(mode))
    assert len(view.probes) == 1000
    for number, (va, pa) in enumerate(zip(view.probes.va.tolist(), view.probes.pa.tolist(),
                                          strict=True)):
        access = Access(va, ac=True, **ACCESSES[number % 4])
        golden = walk(view.memory(), mode, view.control, access, 52)
        found = walk_figures(mode, view.control,
                             walk(FileMemory(file), mode, view.control, access, 52), 52)
        assert [(one["paddr"], one["entry"], one["updated"]) for one in found["levels"]] == [
            (step.paddr, step.entry, step.updated) for step in golden.steps]
        if golden.fault is None:
            assert found["fault"] is found["error_code"] is None
            assert found["paddr"] == golden.paddr == pa
            assert found["tlb"]["paddr"] == pa & -found["page_bytes"]
            assert found["levels"][-1]["points_to"] == pa & -found["page_bytes"]
        else:
            assert found["paddr"] is found["tlb"] is None
            assert (found["fault"], found["error_code"]) == (golden.fault.vector.name,
                                                             golden.fault.error_code)
            assert access.kind is not AccessKind.READ or access.user or pa == UNMAPPED
            assert sum(bit["value"] << place for place, bit in enumerate(
                found["error_bits"])) == golden.fault.error_code & 0x3F
        assert all(one["points_to"] == other["paddr"] & ~0xFFF
                   for one, other in zip(found["levels"], found["levels"][1:], strict=False))


LEVELS = (0x2000, 0x3000, 0x4000)


def figures(access, *flags, cr4=Cr4.PAE | Cr4.PGE, efer=Efer.LMA | Efer.NXE, cr3=0x1000, pkru=0):
    memory = PhysicalMemory()
    memory.add(range(16))
    for paddr, value, word in zip((0x1000, *LEVELS), (*LEVELS, 0x9000), flags, strict=True):
        memory.write(paddr, 8, value | word)
    control = Control(cr3, cr4=cr4, efer=efer, pkru=pkru)
    done = walk(memory, X86_64, control, access, 52)
    return walk_figures(X86_64, control, done, 52), done, control


ALL = Entry.P | Entry.RW | Entry.US


def test_what_a_processor_may_keep():
    found, done, control = figures(Access(0xABC, AccessKind.WRITE), ALL, ALL & ~Entry.RW, ALL,
                                   ALL | Entry.G, cr4=Cr4.PAE | Cr4.PGE | Cr4.PCIDE, cr3=0x1005)
    assert found["fault"] == "PF"
    assert found["tlb"] is None
    assert found["structure_caches"] == []
    found, done, control = figures(Access(0xABC), ALL, ALL & ~Entry.RW, ALL | Entry.XD,
                                   ALL | Entry.PWT, cr4=Cr4.PAE | Cr4.PGE | Cr4.PCIDE, cr3=0x1005)
    assert found["tlb"] == {"vaddr": 0, "page_bytes": 4096, "paddr": 0x9000, "rights": "ur--",
                            "dirty": False, "global": False, "pcid": 5, "memory_type": 1, "key": 0}
    assert [(one["level"], one["table"], one["rights"]) for one in found["structure_caches"]] == [
        ("PML4E", 0x2000, "urwx"), ("PDPTE", 0x3000, "ur-x"), ("PDE", 0x4000, "ur--")]
    assert tlb_entry(X86_64, control, done).pcid == 5
    assert len([*table_entries(X86_64, control, done, 52)]) == 3


@pytest.mark.parametrize(("flag", "cr4", "pcid"), [
    (Entry.G, Cr4.PAE | Cr4.PGE, None), (Entry.G, Cr4.PAE, 0), (0, Cr4.PAE | Cr4.PGE, 0),
])
def test_global_pages_have_no_pcid(flag, cr4, pcid):
    found, _, _ = figures(Access(0), ALL, ALL, ALL, ALL | flag, cr4=cr4)
    assert (found["tlb"]["pcid"], found["tlb"]["global"]) == (pcid, pcid is None)


def test_a_write_leaves_the_page_dirty():
    found, _, _ = figures(Access(0, AccessKind.WRITE), ALL, ALL, ALL, ALL)
    assert found["tlb"]["dirty"]
    assert found["levels"][-1]["flags"] == ["P", "RW", "US"]
    assert found["levels"][-1]["updated"] == 0x9000 | ALL | Entry.A | Entry.D


BITS = {"P": ErrorCode.P, "W/R": ErrorCode.WR, "U/S": ErrorCode.US, "RSVD": ErrorCode.RSVD,
        "I/D": ErrorCode.ID, "PK": ErrorCode.PK}


@pytest.mark.parametrize("code", range(64))
def test_every_bit_of_the_error_code_has_its_name_and_value(code):
    found = error_bits(Access(0), code)
    assert {bit.name: bit.value for bit in found} == {
        name: bool(code & bit) for name, bit in BITS.items()}
    other = error_bits(Access(0), code ^ 0x3F)
    assert all(one.words != two.words for one, two in zip(found, other, strict=True))


def test_a_fetch_that_is_not_told_is_explained():
    bit = error_bits(Access(0, AccessKind.FETCH), 0)[4]
    assert bit.words.startswith("a fetch, but fetches are told only with CR4.SMEP")


def test_an_address_that_is_not_canonical_has_no_error_code_bits():
    found, _, _ = figures(Access(1 << 50), ALL, ALL, ALL, ALL)
    assert (found["fault"], found["error_bits"], found["cr2"], found["levels"]) == (
        Vector.GP.name, [], None, [])
    assert np.uint64(found["vaddr"]) == 1 << 50
