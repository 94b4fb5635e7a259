"""User mode: segments, thread-local storage, and what a program may not do there."""

import pytest

from pagewalk.model.x86 import IA32, X86_64
from pagewalk.sim.exec.ring3 import TLS_ENTRIES
from pagewalk.sim.exec.stop import Called, Raised

from .worlds import CODE, DATA, World, every_mode, needs_as

pytestmark = [pytest.mark.slow, needs_as]
every_check = pytest.mark.parametrize("check", ["fast", "each"])


def data_segment(base):
    """A descriptor of a flat data segment of user mode, [SDM 3.4.5]"""
    return (0x00CF_F300_0000_FFFF | (base & 0xFF_FFFF) << 16 | base >> 24 << 56)


@pytest.fixture
def world(mode, check, assembled):
    def make(text):
        made = World("cxxrtl", mode, check)
        made.poke(CODE, assembled(text, mode))
        return made

    return make


@every_mode
@every_check
def test_selectors_are_those_of_linux(mode, world):
    made = world("mov eax, cs; mov ebx, ss; mov ecx, ds; mov edx, es; END")
    assert isinstance(made.run(), Called)
    found = [made.cpu.read(name) for name in ("eax", "ebx", "ecx", "edx")]
    assert found == ([0x33, 0x2B, 0, 0] if mode is X86_64 else [0x73, 0x7B, 0x7B, 0x7B])


@pytest.mark.parametrize("mode", [IA32])
@every_check
@pytest.mark.parametrize("index", TLS_ENTRIES[False])
def test_thread_local_storage_by_a_descriptor(index, world):
    made = world(f"""
        mov @sp, DATA + 0x2000
        push ds
        pop es
        mov eax, {index << 3 | 3}
        mov gs, ax
        mov ebx, gs:[0x10]
        mov dword ptr gs:[0x2000], 55
        push gs
        pop fs
        mov ecx, fs:[0x2000]
        push 0x11
        pop edx
        END
    """)
    made.poke(DATA + 0x110, (1234).to_bytes(4, "little"))
    made.cpu.set_descriptor(index, data_segment(DATA + 0x100))
    assert isinstance(made.run(), Called)
    assert [made.cpu.read(name) for name in ("ebx", "ecx", "edx")] == [1234, 55, 0x11]
    assert made.cpu.sp == DATA + 0x2000
    assert made.peek(DATA + 0x2100, 4) == (55).to_bytes(4, "little")


@pytest.mark.parametrize("mode", [X86_64])
@every_check
def test_thread_local_storage_by_a_base(world):
    made = world("mov rax, fs:[0x10]; mov gs:[8], rax; END")
    made.poke(DATA + 0x10, (99).to_bytes(8, "little"))
    made.cpu.write("fs_base", DATA)
    made.cpu.write("gs_base", DATA + 0x1000)
    assert isinstance(made.run(), Called)
    assert made.peek(DATA + 0x1008, 8) == (99).to_bytes(8, "little")


@every_mode
@every_check
@pytest.mark.parametrize("selector", [0x10, 0x60, 0xFFF3, 0x37])
def test_segments_that_a_program_may_not_load(selector, world):
    made = world(f"mov eax, {selector}; mov gs, ax; END")
    stop = made.run()
    assert stop in (Raised(11), Raised(13))
    assert made.cpu.pc == CODE + 5


@every_mode
@every_check
def test_the_gdt_is_no_program_s_to_read_though_the_processor_does(mode, world):
    """A load of a segment first, so that the emulator has had the page in its hands."""
    address = 0xFF40_1000 if mode is IA32 else 0xFFFF_FE00_0000_1000
    selector = 0x7B if mode is IA32 else 0x2B
    made = world(f"mov ecx, {selector}; mov es, cx; mov @ax, {address:#x}; mov ebx, [@ax]; END")
    stop = made.run()
    assert stop.fault.address == address
    assert made.cpu.read("es") == selector


@pytest.mark.parametrize("mode", [IA32])
@pytest.mark.parametrize("check", ["fast"])
def test_entries_of_the_gdt_that_nobody_may_write(world):
    with pytest.raises(ValueError, match=r"^GDT entry must be one of \(6, 7, 8\), not 14$"):
        world("nop").cpu.set_descriptor(14, 0)


@every_mode
@every_check
def test_floating_point_begins_as_in_linux(world):
    made = world("""
        fld1
        fadd st(0), st(0)
        fistp dword ptr [DATA]
        mov eax, 7
        cvtsi2sd xmm0, eax
        addsd xmm0, xmm0
        cvtsd2si ebx, xmm0
        mov eax, [DATA]
        fld1
        fldz
        fdivp
        fnstsw ax
        END
    """)
    assert isinstance(made.run(), Called)
    assert made.cpu.read("ebx") == 14
    assert made.peek(DATA, 4) == bytes((2, 0, 0, 0))
    assert made.cpu.read("eax") & 4  # division by zero, masked
