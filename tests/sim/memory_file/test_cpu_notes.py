"""Notes: registers of the emulator, or where Linux says that its own page tables are."""

import pytest

from pagewalk.model.x86 import IA32, LA57, X86_64, Efer
from pagewalk.sim.memory_file.cpu_notes import cpus_of_notes
from pagewalk.sim.memory_file.cpu_state import CpuState
from pagewalk.sim.memory_file.open_memory import open_memory

from .builders import frame, kdump, note, prstatus, qemu_note

LONG_CS, SHORT_CS = 0x00A0_9B00, 0x00CF_9B00


@pytest.mark.parametrize(("notes", "mode"), [
    (prstatus() + qemu_note(cr4=0x6F0), X86_64),
    (prstatus() + qemu_note(cr4=0x16F0), LA57),
    (prstatus() + qemu_note(cr4=0x6F0, cs_flags=SHORT_CS), X86_64),  # a 32-bit program of it
    (prstatus(long_mode=False) + qemu_note(cr4=0x6D0, cs_flags=SHORT_CS), IA32),
    (prstatus(long_mode=False) + qemu_note(cr4=0x6F0, cs_flags=SHORT_CS), None),  # PAE
    (qemu_note(cr4=0x6F0, cs_flags=LONG_CS), X86_64),
    (qemu_note(cr4=0x6F0, cs_flags=SHORT_CS), None),
    (prstatus() + qemu_note(cr0=0x11), None),
])
def test_the_mode_is_that_of_the_registers(notes, mode):
    cpu, = cpus_of_notes("file", notes)
    assert cpu.mode == mode
    assert cpu.control.cr3 == 0x1000


INFO = """OSRELEASE=6.1.0
SYMBOL(swapper_pg_dir)={}
NUMBER(phys_base)={}
NUMBER(pgtable_l5_enabled)={}
"""


@pytest.mark.parametrize(("text", "mode", "cr3"), [
    (INFO.format("ffffffff82a10000", 0, 0), X86_64, 0x2A1_0000),
    (INFO.format("ffffffff92a10000", 0x1000_0000, 1), LA57, 0x22A1_0000),
    (INFO.format("ffffffff92a10000", -0x100_0000, 0), X86_64, 0x11A1_0000),
    (INFO.format("c1c5b000", 0, 0), IA32, 0x1C5_B000),
])
def test_the_kernels_own_tables_are_those_of_vmcoreinfo(text, mode, cr3):
    cpu, = cpus_of_notes("file", note(b"VMCOREINFO", 0, text.encode()))
    assert (cpu.mode, cpu.control.cr3) == (mode, cr3)
    assert cpus_of_notes("file", note(b"VMCOREINFO", 0, text.encode()) + qemu_note(cr3=0x9000)
                         )[0].control.cr3 == 0x9000


@pytest.mark.parametrize("text", ["", "SYMBOL(swapper_pg_dir)=xyz", "SYMBOL(other)=c1c5b000",
                                  INFO.format("c1c5b000", 0, 0) + "CONFIG_X86_PAE=y\n",
                                  INFO.format("1000", 0, 0)])
def test_what_vmcoreinfo_does_not_tell_is_not_known(text):
    assert cpus_of_notes("file", note(b"VMCOREINFO", 0, text.encode())) == ()


@pytest.mark.parametrize("bits", [32, 64])
def test_kdump_has_vmcoreinfo_without_notes(bits, tmp_path):
    path = tmp_path / "vmcore"
    path.write_bytes(kdump({3: frame(3)}, bits=bits,
                           info=INFO.format("ffffffff82a10000", 0, 0).encode()))
    cpu, = open_memory(path).cpus
    assert cpu.control.cr3 == 0x2A1_0000


@pytest.mark.parametrize("mode", [IA32, X86_64, LA57])
def test_a_processor_in_a_mode_is_in_it(mode):
    cpu = CpuState.in_mode("CPU 0", mode, 0x3000)
    assert cpu.mode == mode
    assert bool(cpu.control.efer & Efer.NXE) == mode.has_execute_disable
