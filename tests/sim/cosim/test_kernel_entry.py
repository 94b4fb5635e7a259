"""System calls whose copies go through the MMU hardware, like the loads and stores around them."""

import errno
from uuid import UUID

import numpy as np
import pytest

from pagewalk.model.address_space.errors import SysError
from pagewalk.model.address_space.uapi import Madvise, MapFlag
from pagewalk.model.kernel.fault_cause import FaultCause
from pagewalk.model.kernel.oom import OomKilled
from pagewalk.model.kernel.page_fault import Oops
from pagewalk.model.kernel.platform import KERNEL_MODES
from pagewalk.model.kernel.swap.file import SwapFile
from pagewalk.model.x86 import IA32, X86_64
from pagewalk.sim.cosim.machine import AccessFailed

from ..call_worlds import ANON, BASE, PAGE, RW, SHARED, Golden, Hardware, Plain, Program

every_mode = pytest.mark.parametrize("mode", KERNEL_MODES.values(), ids=KERNEL_MODES)


def content(pages, seed):
    return np.random.default_rng(seed).bytes(pages * PAGE)


def differences(world, program):
    """Take the steps of a program; return those with another result than dictionaries have."""
    wrong = []
    for (what, arguments), expected in zip(program.steps, program.results, strict=True):
        found = getattr(world, what)(*arguments)
        if found != expected:
            wrong.append((what, arguments, found, expected))
    return wrong


@pytest.fixture
def swap(tmp_path):
    with SwapFile.create(tmp_path / "swap", 2048, uuid=UUID(int=1)) as file:
        yield file


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
@every_mode
@pytest.mark.parametrize(("world", "steps"), [("golden", 3000), ("model", 500), ("cxxrtl", 3000)])
def test_calls_and_accesses_see_the_same_memory(world, steps, mode, seed, swap):
    """500 pages of two processes each, and 20 of a file, on a machine of 2 Mbytes.

    They are swapped out and in, in the middle of copies, too. What each call returned and what was
    there is compared with plain dictionaries.
    """
    start = content(20, seed)
    program = Program(Plain(mode, start), 500, seed).make(steps)
    made = (Golden(mode, start, swap) if world == "golden"
            else Hardware(mode, start, swap, world))
    assert differences(made, program) == []
    transfers = [(arguments[4], result) for (what, arguments), result in zip(
        program.steps, program.results, strict=True) if what == "call" and arguments[2:3] == (0,)]
    if steps >= 3000:
        assert sum(result == -errno.EFAULT for _, result in transfers) > 20
        assert sum(0 < result < count for count, result in transfers) > 10
        assert made.in_calls > 50
    assert made.end() == bytes(program.plain.content)


@pytest.mark.slow
@every_mode
@pytest.mark.parametrize("engine", ["model", "amaranth", "cxxrtl"])
def test_faults_in_the_middle_of_copies(mode, engine, swap, monkeypatch):
    """A page never touched, one that a child shares, one that is out, and one that is not there."""
    text = bytes(range(1, 193))
    world = Hardware(mode, text, swap, engine)
    world.call(0, "mmap", BASE, 3 * PAGE, RW, ANON)
    at = BASE + PAGE - 64
    for page in (1, 2):
        world.store(0, BASE + page * PAGE, 8, 0xFFFF)
    world.call(0, "madvise", BASE + 2 * PAGE, PAGE, Madvise.PAGEOUT)
    world.call(0, "fork")
    causes = []
    handle = world.kernel.handle_page_fault

    def handle_and_note(*arguments, **options):
        result = handle(*arguments, **options)
        causes.append(result.cause)
        return result

    monkeypatch.setattr(world.kernel, "handle_page_fault", handle_and_note)
    assert world.call(0, "read", 0, at, 128) == 128
    assert causes == [FaultCause.DEMAND_ZERO, FaultCause.COPY_ON_WRITE]
    assert world.call(0, "read", 0, at + PAGE + 64, 64) == 64
    assert causes[2:] == [FaultCause.SWAP_IN]
    assert [world.load(0, at + 8 * word, 8) for word in range(16)] == [
        int.from_bytes(text[8 * word :][:8], "little") for word in range(16)]
    assert [world.load(1, BASE + page * PAGE, 8) for page in range(3)] == [0, 0xFFFF, 0xFFFF]
    assert world.call(0, "pread", 0, BASE + 3 * PAGE - 64, 128, 0) == 64
    assert causes[-1] is None  # the exception table has it


@pytest.mark.slow
@every_mode
def test_what_the_tlb_is_owed_is_carried_out_before_each_access_of_a_copy(mode, swap):
    """A page that was replaced by the call before, with no way back to the process between."""
    world = Hardware(mode, b"new" + bytes(PAGE), swap, "cxxrtl")
    world.call(0, "mmap", BASE, 2 * PAGE, RW, ANON)
    world.store(0, BASE, 4, 0xAAAA_AAAA)
    with world.entry.system_call(0) as calls:
        assert calls.madvise(BASE, PAGE, Madvise.DONTNEED) == 0
        assert calls.read(0, BASE, 3) == 3
    assert world.load(0, BASE, 4) == int.from_bytes(b"new", "little")
    world.end()


@pytest.mark.slow
@every_mode
def test_what_the_tlb_is_owed_is_carried_out_on_the_way_back(mode, swap):
    world = Hardware(mode, b"", swap, "cxxrtl")
    world.call(0, "mmap", BASE, PAGE, RW, ANON)
    world.store(0, BASE, 4, 0xAAAA_AAAA)
    world.call(0, "madvise", BASE, PAGE, Madvise.DONTNEED)
    assert world.load(0, BASE, 4) == 0
    world.end()


@pytest.mark.slow
@every_mode
def test_a_copy_without_stac_is_an_oops(mode, swap):
    """The hardware faults, as CR4.SMAP is set and EFLAGS.AC is not."""
    world = Hardware(mode, b"text", swap, "cxxrtl")
    world.call(0, "mmap", BASE, PAGE, RW, ANON)
    world.store(0, BASE, 4, 1)
    with world.entry.system_call(0) as calls:
        calls.user._smap = False  # stac left out
        with pytest.raises(Oops, match=r"SMAP.*: address 0x10000000, error code 0x3$"):
            calls.read(0, BASE, 4)
        with pytest.raises(Oops, match=r"SMAP.*: address 0x10000000, error code 0x1$"):
            calls.write(0, BASE, 4)
    assert world.load(0, BASE, 4) == 1


@pytest.mark.slow
@every_mode
def test_a_pointer_into_the_kernel_is_a_bad_address(mode, swap):
    """In each area, though the copies have the rights of the kernel."""
    world = Hardware(mode, b"text" * 2, swap, "cxxrtl")
    kernel = world.kernel
    before = kernel.state.memory.read_bytes(1 << 20, 8)
    places = [area.start for area in kernel.layout.areas if area.start >= kernel.layout.task_size]
    assert len(places) == (6 if mode is IA32 else 13)
    for place in (kernel.layout.page_offset + (1 << 20), *places, kernel.layout.task_size - 4):
        assert world.call(0, "pread", 0, place, 8, 0) == -errno.EFAULT
        assert world.call(0, "pwrite", 0, place, 8, 0) == -errno.EFAULT
    assert kernel.state.memory.read_bytes(1 << 20, 8) == before


@pytest.mark.slow
def test_pkru_is_that_of_the_process_on_the_way_back(swap):
    world = Hardware(X86_64, b"text", swap, "cxxrtl", pke=True)
    world.call(0, "mmap", BASE, PAGE, RW, ANON)
    world.store(0, BASE, 4, 7)
    key = world.call(0, "pkey_alloc", 0, 2)  # PKEY_DISABLE_WRITE
    assert world.call(0, "pkey_mprotect", BASE, PAGE, RW, key) == 0
    assert world.load(0, BASE, 4) == 7
    with pytest.raises(AccessFailed, match=r"^Signal 11 at the store to 0x10000000 of process 0$"):
        world.store(0, BASE, 4, 8)
    assert world.call(0, "read", 0, BASE, 4) == -errno.EFAULT  # the kernel's stores, too
    assert world.call(0, "write", 0, BASE, 4) == 4


@pytest.mark.slow
@every_mode
def test_a_fork_is_the_next_process_and_one_that_ends_makes_no_more_calls(mode, swap):
    world = Hardware(mode, b"text", swap, "cxxrtl")
    world.call(0, "mmap", BASE, PAGE, RW, ANON)
    assert world.call(0, "fork") == world.linux.processes[1].pid
    assert world.call(1, "read", 0, BASE, 4) == 4
    assert (world.load(1, BASE, 1), world.load(0, BASE, 1)) == (ord("t"), 0)
    world.call(1, "exit")
    with pytest.raises(SysError, match=r"^ESRCH"), world.entry.system_call(1):
        pass
    assert world.call(0, "read", 0, BASE, 4) == 0
    world.end()


@pytest.mark.slow
@every_mode
def test_a_process_that_is_killed_in_a_copy_leaves_the_others_as_they_were(mode, tmp_path):
    with SwapFile.create(tmp_path / "small", 32, uuid=UUID(int=1)) as device:
        world = Hardware(mode, bytes(range(256)) * 16, device, "cxxrtl")
        world.call(0, "mmap", BASE, PAGE, RW, ANON)
        world.store(0, BASE, 4, 0xCAFE)
        world.call(0, "fork")
        world.call(1, "mmap", SHARED, 1000 * PAGE, RW, ANON | MapFlag.NORESERVE)
        # Pid 1 is init's; the first process here has pid 2.
        with pytest.raises(OomKilled, match=r"^Out of memory: Killed process 3 "):
            [world.call(1, "pread", 0, SHARED + at * PAGE, PAGE, 0) for at in range(1000)]
        with pytest.raises(SysError, match=r"^ESRCH"), world.entry.system_call(1):
            pass
        assert world.load(0, BASE, 4) == 0xCAFE
        assert world.call(0, "pread", 0, BASE, 4, 1) == 4
        assert world.load(0, BASE, 4) == 0x0403_0201
        world.end()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [4])
@every_mode
def test_both_simulators_take_the_same_cycles(mode, seed, tmp_path):
    """With pages that are swapped in, by the copies of the kernel too."""
    seen = []
    start = content(2, seed)
    program = Program(Plain(mode, start), 500, seed, longest=400)
    program.make(100, touched=450, sweep=False)
    for engine in ("amaranth", "cxxrtl"):
        with SwapFile.create(tmp_path / engine, 2048, uuid=UUID(int=1)) as device:
            world = Hardware(mode, start, device, engine)
            assert differences(world, program) == []
            assert world.in_calls > 3
            seen.append(world.machine.counts)
    assert seen[0] == seen[1]
    assert seen[0].cycles > 3000
