"""The interface of the walk, and what holds for every walk through arbitrary tables."""

from dataclasses import FrozenInstanceError, dataclass, fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagewalk.model.mmu.walk import Access, Control, Fault, PageFault, Step, Walk, translate, walk
from pagewalk.model.physical.memory import PhysicalMemory
from pagewalk.model.x86 import (
    IA32,
    MODES,
    X86_64,
    AccessKind,
    Cr0,
    Cr4,
    Efer,
    Entry,
    PagingMode,
    Vector,
)

READ, WRITE, FETCH = AccessKind
P_RW_US, A, D = 0x007, 0x020, 0x040

# One mapped page: linear 0x0000_0080_8060_4xxx takes entry 1, 2, 3 and 4 of tables 0x1 to 0x4.
VADDR = 0x0000_0080_8060_4ABC
CONTROL = Control(cr3=0x1000)


@pytest.fixture
def memory():
    memory = PhysicalMemory()
    memory.add([1, 2, 3, 4])
    for paddr, entry in [(0x1008, 0x2007), (0x2010, 0x3007), (0x3018, 0x4007), (0x4020, 0x9007)]:
        memory.write(paddr, 8, entry)
    return memory


def test_a_walk_tells_each_step(memory):
    access = Access(VADDR, WRITE)
    pml4e, pdpte, pde, pte = X86_64.levels
    steps = (
        Step(pml4e, 0x1008, 0x2007, 0x2007 | A),
        Step(pdpte, 0x2010, 0x3007, 0x3007 | A),
        Step(pde, 0x3018, 0x4007, 0x4007 | A),
        Step(pte, 0x4020, 0x9007, 0x9007 | A | D),
    )
    expected = Walk(access, steps, paddr=0x9ABC, page=pte, memory_type=0, fault=None)
    assert walk(memory, X86_64, CONTROL, access) == expected
    for step in steps:
        assert memory.read(step.paddr, 8) == step.updated


def test_a_faulting_walk_tells_the_steps_up_to_the_fault(memory):
    memory.write(0x3018, 8, 0x4006)
    access = Access(VADDR, FETCH, user=True)
    result = walk(memory, X86_64, CONTROL, access)
    assert [(step.paddr, step.entry, step.updated) for step in result.steps] == [
        (0x1008, 0x2007, 0x2007 | A),
        (0x2010, 0x3007, 0x3007 | A),
        (0x3018, 0x4006, 0x4006),
    ]
    fault = Fault(Vector.PF, 0x14, VADDR)
    assert result == Walk(access, result.steps, paddr=0, page=None, memory_type=0, fault=fault)


@pytest.mark.parametrize("cr3", [0x1000, 0x1FFF, 1 << 32 | 0x1000, 1 << 63 | 0x1000], ids=hex)
def test_two_levels_of_four_byte_entries_are_walked_from_the_frame_in_cr3(cr3):
    memory = PhysicalMemory()
    memory.add([1, 2])
    memory.write(0x1008, 4, 0x2007)  # entry 2
    memory.write(0x200C, 4, 0xFFFF_F007)  # entry 3
    control = Control(cr3, cr4=Cr4.PSE, efer=0)
    result = walk(memory, IA32, control, Access(0x0080_3456))
    assert result.paddr == 0xFFFF_F456
    assert [step.level.name for step in result.steps] == ["PDE", "PTE"]
    assert [memory.read(paddr, 4) for paddr in (0x1008, 0x200C)] == [0x2027, 0xFFFF_F027]


def test_an_access_is_a_supervisor_read_unless_it_says_more():
    plain = Access(VADDR, READ, user=False, implicit=False, ac=False, stack=False)
    assert Access(VADDR) == plain


def test_control_defaults_to_what_a_64_bit_kernel_runs_with():
    assert CONTROL == Control(
        cr3=0x1000,
        cr0=Cr0.PG | Cr0.WP,
        cr4=Cr4.PSE | Cr4.PAE | Cr4.PGE,
        efer=Efer.LME | Efer.LMA | Efer.NXE,
        pkru=0,
    )


RECORDS = [
    Control(0),
    Access(0),
    Step(X86_64.levels[0], 0, 0, 0),
    Fault(Vector.PF, 0, 0),
    Walk(Access(0), ()),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_records_cannot_be_changed(record):
    with pytest.raises(FrozenInstanceError):
        setattr(record, fields(record)[0].name, 1)


def test_translate_returns_the_physical_address(memory):
    assert translate(memory, X86_64, CONTROL, Access(VADDR)) == 0x9ABC


@pytest.mark.parametrize(
    ("access", "message"),
    [
        (Access(0x1234, WRITE, user=True), "#PF at 0x1234, error code 0x6"),
        (Access(1 << 47), "#GP at 0x800000000000, error code 0x0"),
        (Access(1 << 47, stack=True), "#SS at 0x800000000000, error code 0x0"),
    ],
    ids=["PF", "GP", "SS"],
)
def test_translate_raises_page_fault_with_the_walk(memory, access, message):
    with pytest.raises(PageFault) as error:
        translate(memory, X86_64, CONTROL, access)
    assert str(error.value) == message
    assert error.value.walk == walk(memory, X86_64, CONTROL, access)


def test_maxphyaddr_is_40_unless_told(memory):
    call = (memory, X86_64, CONTROL, Access(VADDR))
    memory.write(0x4020, 8, 1 << 39 | P_RW_US)
    assert walk(*call).paddr == translate(*call) == 1 << 39 | 0xABC
    memory.write(0x4020, 8, 1 << 40 | P_RW_US)
    assert walk(*call).fault == Fault(Vector.PF, 0x9, VADDR)
    with pytest.raises(PageFault, match=r"error code 0x9$"):
        translate(*call)
    assert walk(*call, 41).paddr == translate(*call, 41) == 1 << 40 | 0xABC


@pytest.mark.parametrize("cr3", [0x1FFF, 1 << 63 | 0x1005, 1 << 40 | 0x1000], ids=hex)
def test_the_root_is_the_frame_in_cr3_alone(memory, cr3):
    """Neither the PCID, nor MOV CR3's bit 63, nor what lies above MAXPHYADDR."""
    assert translate(memory, X86_64, replace(CONTROL, cr3=cr3), Access(VADDR)) == 0x9ABC


@pytest.mark.parametrize("paddr_bits", [32, 36, 40, 46, 52])
def test_tables_may_lie_at_the_top_of_physical_memory(paddr_bits):
    memory = PhysicalMemory()
    top = 1 << (paddr_bits - 12)
    memory.add(range(top - 4, top))
    for depth, index in enumerate([1, 2, 3, 4]):
        below = top - 4 + depth + 1 if depth < 3 else 0x9
        memory.write((top - 4 + depth << 12) + 8 * index, 8, below << 12 | P_RW_US)
    control = replace(CONTROL, cr3=top - 4 << 12)
    assert translate(memory, X86_64, control, Access(VADDR), paddr_bits) == 0x9ABC


@pytest.mark.parametrize("pfn", [1, 2, 3, 4])
def test_a_table_that_does_not_exist_is_a_machine_check(pfn):
    memory = PhysicalMemory()
    for depth, place in enumerate([0x1008, 0x2010, 0x3018, 0x4020][: pfn - 1]):
        memory.add([depth + 1])
        memory.write(place, 8, (depth + 2) << 12 | P_RW_US)
    result = walk(memory, X86_64, CONTROL, Access(VADDR, WRITE, user=True))
    assert result.fault == Fault(Vector.MC, 0, VADDR)
    assert [step.updated for step in result.steps] == [0x2027, 0x3027, 0x4027][: pfn - 1]
    with pytest.raises(PageFault, match=r"^#MC at 0x80806[0-9a-f]*, error code 0x0$"):
        translate(memory, X86_64, CONTROL, Access(VADDR))


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
@pytest.mark.parametrize("vaddr", [0, 0xFFFF_FFFF, 0x1_2345_6789, 1 << 47])
def test_without_paging_an_address_is_physical(mode, vaddr):
    """Whatever it is, and with no memory to walk in; only 32 bits reach the bus then."""
    access = Access(vaddr, WRITE, user=True)
    control = Control(cr3=0, cr0=Cr0.WP)
    assert walk(PhysicalMemory(), mode, control, access) == Walk(access, (), vaddr & 0xFFFF_FFFF)


# Arbitrary tables: few frames, so that tables are shared and even contain themselves; frames 0 and
# 1 GB make sound large pages; 0x99 does not exist.
FRAMES = [0, 1, 2, 0x400, 1 << 18]
ENTRY_BITS = st.sampled_from([
    *(0, Entry.P, Entry.RW, Entry.US, Entry.A, Entry.D, Entry.PS, Entry.G, Entry.PAT_LARGE),
    *(1 << 13, 1 << 21, 1 << 39, 1 << 51, 3 << 59, Entry.XD),
])


@dataclass
class Scene:
    """Everything that one walk depends on."""

    memory: PhysicalMemory
    mode: PagingMode
    control: Control
    access: Access
    paddr_bits: int

    def walk(self) -> Walk:
        return walk(self.memory, self.mode, self.control, self.access, self.paddr_bits)

    def words(self) -> np.ndarray:
        """The entries of all frames at this time."""
        return self.memory.frames.copy().view(f"<u{self.mode.entry_bytes}")


def subsets(*bits):
    return st.sets(st.sampled_from(bits)).map(sum)


@st.composite
def scenes(draw):
    mode = draw(st.sampled_from([IA32, X86_64]))
    vaddr = draw(st.integers(0, (1 << mode.translated_bits) - 1))
    if mode is X86_64 and vaddr >> 47:
        vaddr |= 0xFFFF << 48
    memory = PhysicalMemory()
    memory.add(FRAMES)
    table = root = draw(st.sampled_from(FRAMES))
    for level in mode.levels:
        index = vaddr >> level.shift & ((1 << level.index_bits) - 1)
        child = draw(st.sampled_from([*FRAMES, 0x99]))
        # Most entries are sound but for a bit or two.
        entry = child << 12 | P_RW_US
        for bit in draw(st.lists(ENTRY_BITS, max_size=3)):
            entry ^= bit
        entry &= (1 << 8 * mode.entry_bytes) - 1
        memory.write((table << 12) + index * mode.entry_bytes, mode.entry_bytes, entry)
        if child == 0x99:
            break
        table = child
    control = Control(
        cr3=root << 12,
        cr0=Cr0.PG | draw(subsets(Cr0.WP)),
        cr4=draw(subsets(Cr4.PSE, Cr4.PAE, Cr4.SMEP, Cr4.SMAP, Cr4.PKE)),
        efer=draw(subsets(Efer.NXE)),
        pkru=draw(st.sampled_from([0, 1, 2, 0xC0, 0xFFFF_FFFF])),
    )
    flags = [draw(st.booleans()) for _ in range(3)]
    access = Access(vaddr, draw(st.sampled_from(AccessKind)), *flags)
    return Scene(memory, mode, control, access, draw(st.sampled_from([32, 36, 40, 46, 52])))


every_walk = settings(max_examples=150, deadline=None)


@pytest.mark.slow
@every_walk
@given(scenes())
def test_a_walk_changes_nothing_but_accessed_and_dirty_flags_and_only_sets_them(scene):
    before = scene.words()
    scene.walk()
    after = scene.words()
    assert ((before ^ after) & ~before.dtype.type(A | D) == 0).all()
    assert (before & after == before).all()


@pytest.mark.slow
@every_walk
@given(scenes())
def test_memory_holds_what_the_steps_tell_and_nothing_else_changed(scene):
    expected = scene.memory.copy()
    for step in scene.walk().steps:
        assert expected.read(step.paddr, scene.mode.entry_bytes) == step.entry
        expected.write(step.paddr, scene.mode.entry_bytes, step.updated)
    assert (expected.frames == scene.memory.frames).all()


@pytest.mark.slow
@every_walk
@given(scenes())
def test_walking_twice_gives_the_same_answer_and_changes_nothing_more(scene):
    first = scene.walk()
    before = scene.words()
    second = scene.walk()
    assert replace(second, steps=()) == replace(first, steps=())
    assert [step.paddr for step in second.steps] == [step.paddr for step in first.steps]
    assert all(step.updated == step.entry for step in second.steps)
    assert (scene.words() == before).all()


@pytest.mark.slow
@every_walk
@given(scenes())
def test_flags_are_set_only_in_entries_that_were_used(scene):
    result = scene.walk()
    for step in result.steps:
        if step.updated != step.entry:
            assert step.entry & Entry.P
        if step.updated & ~step.entry & D:
            assert step is result.steps[-1]
            assert result.fault is None
    # Not present, reserved or forbidden: the last entry read of a page fault was not used.
    if result.fault is not None and result.fault.vector is Vector.PF:
        assert result.steps[-1].updated == result.steps[-1].entry


@pytest.mark.slow
@every_walk
@given(scenes())
def test_a_walk_has_either_a_fault_or_a_physical_address(scene):
    result = scene.walk()
    assert result.access is scene.access
    if result.fault is not None:
        assert (result.paddr, result.page, result.memory_type) == (0, None, 0)
        assert result.fault.vaddr == scene.access.vaddr
        with pytest.raises(PageFault):
            translate(*vars(scene).values())
    else:
        assert result.page is result.steps[-1].level
        assert (result.paddr ^ scene.access.vaddr) % result.page.page_bytes == 0
        assert result.paddr < 1 << scene.paddr_bits
        assert translate(*vars(scene).values()) == result.paddr
