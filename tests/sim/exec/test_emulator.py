"""The emulator, and what is said where it is not installed."""

import sys

import pytest

from pagewalk.hdl.outside_tool import ToolMissing
from pagewalk.model.physical.memory import PhysicalMemory
from pagewalk.sim.exec.emulator import Emulator, load_unicorn


def test_what_is_said_without_unicorn(monkeypatch):
    monkeypatch.setitem(sys.modules, "unicorn", None)
    with pytest.raises(ToolMissing, match=r"^unicorn is missing: install it with "
                                          r"'pip install pagewalk\[exec\]'$"):
        load_unicorn()


def test_a_register_that_there_is_not():
    with pytest.raises(KeyError):
        Emulator(True).register("r99")


def test_frames_are_the_emulator_s_memory_and_no_copy():
    memory = PhysicalMemory()
    memory.add([7, 3])
    memory.write(0x3008, 8, 0x1234)
    emulator = Emulator(True)
    assert emulator.map_frames(memory)
    assert not emulator.map_frames(memory)
    assert emulator.uc.mem_read(0x1008, 2) == b"\x34\x12"  # the second row
    memory.write(0x7000, 4, 0x55)
    assert emulator.uc.mem_read(0, 1) == b"\x55"
    emulator.uc.mem_write(0x1FF8, b"\1")
    assert memory.read(0x3FF8, 8) == 1
    memory.add(range(100, 200))  # which moves them
    assert emulator.map_frames(memory)
    assert emulator.uc.mem_read(0x1008, 2) == b"\x34\x12"
