"""The kernel's loads and stores of user memory through the MMU: whole or not at all."""

from uuid import UUID

import numpy as np
import pytest

from pagewalk.model.address_space.uapi import Prot
from pagewalk.model.kernel.calls.user_port import WalkedMemory
from pagewalk.model.kernel.platform import KERNEL_MODES
from pagewalk.model.kernel.swap.file import SwapFile
from pagewalk.model.mmu.walk import Fault
from pagewalk.model.x86 import IA32, X86_64, ErrorCode, Vector
from pagewalk.sim.cosim.hardware_port import HardwarePort

from ..call_worlds import ANON, BASE, PAGE, RW, Hardware

every_mode = pytest.mark.parametrize("mode", KERNEL_MODES.values(), ids=KERNEL_MODES)


@pytest.fixture
def world_of(tmp_path):
    """Make the world of a mode: two pages, one that may only be read, and nothing."""
    devices = []

    def make(mode, engine="cxxrtl"):
        devices.append(SwapFile.create(tmp_path / "swap", 64, uuid=UUID(int=1)))
        world = Hardware(mode, b"", devices[0], engine)
        world.call(0, "mmap", BASE, 3 * PAGE, RW, ANON)
        for page in range(3):
            world.store(0, BASE + page * PAGE, 8, 0)
        world.call(0, "mprotect", BASE + 2 * PAGE, PAGE, Prot.READ)
        return world, HardwarePort(world.machine, world.kernel)

    yield make
    for device in devices:
        device.close()


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["model", "cxxrtl"])
@pytest.mark.parametrize("seed", [1])
@every_mode
def test_the_hardware_does_what_the_golden_walk_does(mode, seed, engine, world_of):
    """Moves of each width at any address, with AC and without, some of them where they fault."""
    world, port = world_of(mode, engine)
    golden, rng = WalkedMemory(world.kernel), np.random.default_rng(seed)
    faults = 0
    for _ in range(300):
        width, count = 1 << int(rng.integers(4)), int(rng.integers(1, 20))
        address = BASE + int(rng.integers(4)) * PAGE - int(rng.integers(-30, 60))
        ac = bool(rng.integers(10))
        data = rng.bytes(width * count)
        before = world.kernel.state.memory.copy()
        stored, fault = port.store(address, width, data, ac=ac)
        after = world.kernel.state.memory.frames.copy()
        world.kernel.state.memory.frames[:] = before.frames
        assert golden.store(address, width, data, ac=ac) == (stored, fault)
        assert (world.kernel.state.memory.frames == after).all()
        faults += fault is not None
        assert port.load(address, width, count, ac=ac) == golden.load(address, width, count, ac=ac)
    assert 50 < faults < 250


@pytest.mark.slow
@every_mode
def test_a_store_across_two_pages_is_made_whole_or_not_at_all(mode, world_of):
    _, port = world_of(mode)
    last = BASE + 2 * PAGE
    stored, fault = port.store(last - 6, 4, b"abcdefgh", ac=True)
    assert (stored, fault) == (1, Fault(Vector.PF, ErrorCode.P | ErrorCode.WR, last))
    assert port.load(last - 8, 1, 10, ac=True) == (b"\0\0abcd" + bytes(4), None)
    assert port.load(last - 2, 8, 1, ac=True) == (bytes(8), None)


@pytest.mark.slow
@every_mode
def test_the_kernel_reaches_its_own_memory_and_faults_elsewhere(mode, world_of):
    world, port = world_of(mode)
    area = world.kernel.layout.page_offset
    memory = world.kernel.state.memory
    assert port.load(area + (1 << 20), 8, 2, ac=False) == (memory.read_bytes(1 << 20, 16), None)
    assert port.load(BASE, 1, 1, ac=False) == (b"", Fault(Vector.PF, ErrorCode.P, BASE))
    hole = 1 << (47 if mode is X86_64 else 30)
    vector = Vector.PF if mode is IA32 else Vector.GP
    for width in (1, 8):
        assert port.load(hole, width, 1, ac=True) == (b"", Fault(vector, ErrorCode(0), hole))
    if mode is X86_64:
        last = (1 << 64) - 1
        assert port.load(last, 1, 1, ac=True)[1] == Fault(Vector.PF, ErrorCode(0), last)


def test_what_is_owed_is_carried_out_before_an_access_within_a_call_or_not(world_of, monkeypatch):
    world, port = world_of(X86_64, "model")
    carried, tlb = [], world.kernel.state.tlb
    invalidate = world.machine.invalidate
    monkeypatch.setattr(world.machine, "invalidate",
                        lambda owed: (carried.extend(one.vaddr for one in owed), invalidate(owed)))
    kernel_page = world.kernel.layout.page_offset

    def owe(number):
        tlb.flush_kernel_range(kernel_page + number * PAGE, kernel_page + (number + 1) * PAGE)

    def access():
        assert port.load(BASE, 8, 1, ac=True)[1] is None
        return [(vaddr - kernel_page) // PAGE for vaddr in carried]

    owe(0)
    assert access() == [0]
    with port.entered():
        owe(1)
        with port.entered():
            owe(2)
            assert access() == [0, 1, 2]
        owe(3)
        assert access() == [0, 1, 2, 3]
        owe(4)
    assert access() == [0, 1, 2, 3, 4]
