"""The oracle does what its docstring says: one access, and no other trace of it in memory."""

from dataclasses import replace

import pytest
from numpy.random import default_rng

from pagewalk.model.mmu.walk import Access, Control
from pagewalk.model.physical.memory import PhysicalMemory
from pagewalk.model.x86 import IA32, X86_64, AccessKind, Cr0, Cr4, Entry, Vector

from .unicorn_oracle import CODE, Answer, UnicornOracle, the_place

READ, WRITE, FETCH = AccessKind
P_RW_US, A, D = 0x007, 0x020, 0x040
VADDR = 0x0000_0080_8060_4FFF  # entry 1, 2, 3 and 4 of tables 1 to 4; the last byte of the page
PATH = {0x1008: 0x2007, 0x2010: 0x3007, 0x3018: 0x4007, 0x4020: 0x9007}
CONTROL = Control(cr3=0x1000)


@pytest.fixture(scope="module")
def oracle():
    return UnicornOracle(X86_64)


@pytest.fixture
def memory():
    memory = PhysicalMemory()
    memory.add([1, 2, 3, 4])
    for paddr, entry in PATH.items():
        memory.write(paddr, 8, entry)
    return memory


def changed(memory, before):
    """Return the entries that are other than before, by address."""
    return {paddr: memory.read(paddr, 8) for paddr in range(0x1000, 0x5000, 8)
            if memory.read(paddr, 8) != before.read(paddr, 8)}


@pytest.mark.parametrize("user", [False, True], ids=["supervisor", "user"])
@pytest.mark.parametrize("kind", AccessKind, ids=lambda kind: kind.name)
def test_an_access_gives_the_physical_address_and_sets_its_flags(oracle, memory, kind, user):
    before = memory.copy()
    assert oracle.access(memory, CONTROL, Access(VADDR, kind, user=user)) == Answer(paddr=0x9FFF)
    leaf = A | D if kind is WRITE else A
    assert changed(memory, before) == {
        paddr: entry | (leaf if paddr == 0x4020 else A) for paddr, entry in PATH.items()}


@pytest.mark.parametrize("kind", AccessKind, ids=lambda kind: kind.name)
def test_a_page_that_is_a_table_is_not_written_by_the_access_itself(oracle, memory, kind):
    memory.write(0x4020, 8, 0x1007)  # the root
    before = memory.copy()
    access = Access(VADDR - 0xFFF + 0x9, kind)  # within the root's own entry
    assert oracle.access(memory, CONTROL, access) == Answer(paddr=0x1009)
    assert set(changed(memory, before)) == set(PATH)
    assert memory.read(0x1008, 8) == 0x2007 | A


@pytest.mark.parametrize(("entry", "code"), [(0x9006, 0x06), (0x9003, 0x07), (0x9005, 0x07),
                                             (0x9007 | 1 << 40, 0x0F), (0x9007 | 3 << 59, 0x27)])
def test_a_fault_gives_error_code_and_cr2(oracle, memory, entry, code):
    memory.write(0x4020, 8, entry)
    control = replace(CONTROL, cr4=Cr4.PAE | Cr4.PKE, pkru=1 << 6)
    before = memory.copy()
    answer = oracle.access(memory, control, Access(VADDR, WRITE, user=True))
    assert answer == Answer(Vector.PF, code, VADDR)
    assert set(changed(memory, before)) == set(PATH) - {0x4020}  # A on the way, as it walks


@pytest.mark.parametrize("kind", AccessKind, ids=lambda kind: kind.name)
def test_an_address_that_is_not_canonical_leaves_cr2_alone(oracle, memory, kind):
    before = memory.copy()
    answer = oracle.access(memory, CONTROL, Access(1 << 47, kind))
    assert answer == Answer(Vector.GP, 0, None)
    assert not changed(memory, before)


def test_nothing_is_left_of_an_earlier_access(oracle, memory):
    """Neither in a TLB nor in the registers: the same again after accesses of all sorts."""
    rng = default_rng(1)
    access = Access(VADDR, WRITE, user=True)
    for _ in range(50):
        other = replace(CONTROL, cr0=Cr0.PG, cr4=Cr4.PAE | Cr4.SMEP | Cr4.SMAP | Cr4.PKE,
                        pkru=int(rng.integers(2**32)))
        oracle.access(memory.copy(), other,
                      Access(VADDR, AccessKind(int(rng.integers(3))), ac=True))
        gone = memory.copy()
        gone.write(0x4020, 8, 0)
        assert oracle.access(gone, CONTROL, access) == Answer(Vector.PF, 0x06, VADDR)
        assert oracle.access(memory.copy(), CONTROL, access) == Answer(paddr=0x9FFF)


def test_a_in_a_large_leaf_that_faults_is_taken_back_from_a_1_gbyte_page_alone(oracle, memory):
    memory.write(0x2010, 8, 0x4000_0000 | Entry.PS | Entry.P)
    before, corrections = memory.copy(), oracle.early_accessed
    answer = oracle.access(memory, CONTROL, Access(VADDR, WRITE))
    assert answer == Answer(Vector.PF, 0x03, VADDR)
    assert changed(memory, before) == {0x1008: 0x2007 | A}
    assert oracle.early_accessed == corrections + 1
    # With A as it was, or below a pointer, there is nothing to take back.
    memory.write(0x2010, 8, 0x4000_0000 | Entry.PS | Entry.P | A)
    oracle.access(memory, CONTROL, Access(VADDR, WRITE))
    memory.write(0x2010, 8, 0x3005)
    oracle.access(memory, CONTROL, Access(VADDR, WRITE))
    assert memory.read(0x2010, 8) == 0x3005 | A
    assert oracle.early_accessed == corrections + 1


def test_ia32_has_pages_above_4_gib():
    memory = PhysicalMemory()
    memory.add([1])
    memory.write(0x1008, 4, 0x8000_0000 | 0xA5 << 13 | Entry.PS | P_RW_US)
    oracle = UnicornOracle(IA32)
    control = Control(cr3=0x1000, cr4=Cr4.PSE, efer=0)
    answer = oracle.access(memory, control, Access(0x0080_3456, user=True))
    assert answer == Answer(paddr=0xA5_8000_3456)
    assert oracle.access(memory, replace(control, cr4=0), Access(0x0040_0000)) == Answer(
        Vector.PF, 0x00, 0x0040_0000)


@pytest.mark.parametrize(("control", "access"), [
    (CONTROL, Access(VADDR, implicit=True)),
    (CONTROL, Access(VADDR, stack=True)),
    (replace(CONTROL, cr0=Cr0.WP), Access(VADDR)),
    (replace(CONTROL, cr4=Cr4.PAE | Cr4.PCIDE), Access(VADDR)),
    (replace(CONTROL, cr4=Cr4.PAE | Cr4.LA57), Access(VADDR)),
    (replace(CONTROL, cr4=Cr4.PSE), Access(VADDR)),
    (replace(CONTROL, cr3=0x9000), Access(VADDR)),
])
def test_what_the_emulator_cannot_do_is_refused(oracle, memory, control, access):
    with pytest.raises(ValueError, match=r"^Unicorn cannot do "):
        oracle.access(memory, control, access)


def test_page_tables_do_not_lie_in_the_frames_of_the_oracle(oracle, memory):
    memory.add([CODE >> 12])
    with pytest.raises(ValueError, match=r"^Frame 0xc0000 is the oracle's own$"):
        oracle.access(memory, CONTROL, Access(VADDR))


def test_a_place_must_be_the_only_one():
    assert the_place([(b"\1\0\0\0\2\0\0\0", 1), (b"\3\0\0\0\4\0\0\0", 3)]) == 0
    with pytest.raises(AssertionError, match=r"found at \[0, 4\]"):
        the_place([(b"\1\0\0\0\1\0\0\0", 1)])
    with pytest.raises(AssertionError, match=r"found at \[\]"):
        the_place([(b"\1\0\0\0\2\0\0\0", 3)])
