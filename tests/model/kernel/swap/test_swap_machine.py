"""Pages that go out and come back at random: none is lost, and no slot either.

A small kernel of its own kind stands around ``Swap``: page-table entries hold a page or a swap
entry, are copied as by ``fork`` and written as after copy-on-write. What each entry stands for is
kept in a list beside it.
"""

import shutil
import tempfile
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pagewalk.model.kernel.swap.file import SwapFile
from pagewalk.model.kernel.swap.swap import Swap, SwapEntry

from ..swap_tools import run

FRAMES = range(0x100, 0x120)
AREA_PAGES = 12


def bytes_of(version):
    return version.to_bytes(4, "little") * 1024


class SwapMachine(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.folder = tempfile.mkdtemp()
        self.swap = Swap(FRAMES.start, FRAMES.stop)
        self.devices = {}
        self.made = 0
        self.versions = 0
        self.memory = {}  # pfn -> version
        self.table = []  # of each page-table entry: a pfn or a SwapEntry
        self.expected = []  # and the version that it stands for

    def teardown(self):
        try:
            for at in reversed(range(len(self.table))):
                self.zap(at)
            assert self.swap.free_slots == self.swap.total_swap_pages
            self.swap.check()
        finally:
            for device in self.devices.values():
                device.close()
            shutil.rmtree(self.folder)

    def pick(self, number):
        return number % len(self.table)

    def frame(self):
        return next((pfn for pfn in FRAMES if pfn not in self.memory), None)

    def release(self, pfn):
        """Free a page that no entry holds. [free_pages_and_swap_cache]"""
        if pfn not in self.table and (self.swap.cache.entry(pfn) is None
                                      or self.swap.free_swap(pfn)):
            del self.memory[pfn]

    def zap(self, at):
        held = self.table.pop(at)
        self.expected.pop(at)
        if not isinstance(held, SwapEntry):
            return self.release(held)
        cached = self.swap.cache.page(held)
        self.swap.swap_free(held)
        if cached is not None:
            self.release(cached)

    @rule(priority=st.none() | st.integers(0, 2))
    def swapon(self, priority):
        if len(self.devices) < 4:
            self.made += 1
            device = SwapFile.create(Path(self.folder) / str(self.made), AREA_PAGES,
                                     uuid=UUID(int=self.made))
            self.devices[self.swap.swapon(device, priority).type] = device

    @precondition(lambda self: self.devices)
    @rule(number=st.integers(0))
    def swapoff(self, number):
        swap_type = sorted(self.devices)[number % len(self.devices)]
        out = {held for held in self.table if isinstance(held, SwapEntry) and held.type == swap_type
               and self.swap.cache.page(held) is None}
        if len(out) + len(self.memory) > len(FRAMES):
            return
        self.swap.swapoff(swap_type, self.unuse)
        for pfn in [pfn for pfn in self.memory if pfn not in self.table]:
            self.release(pfn)
        self.devices.pop(swap_type).close()

    def unuse(self, swap_type):
        for at, held in enumerate(self.table):
            if isinstance(held, SwapEntry) and held.type == swap_type:
                self.fault(at)

    @rule()
    def new_page(self):
        pfn = self.frame()
        if pfn is not None:
            self.versions += 1
            self.memory[pfn] = self.versions
            self.table.append(pfn)
            self.expected.append(self.versions)

    @precondition(lambda self: self.table)
    @rule(number=st.integers(0))
    def fork(self, number):
        at = self.pick(number)
        if isinstance(self.table[at], SwapEntry):
            self.swap.swap_duplicate(self.table[at])
        self.table.append(self.table[at])
        self.expected.append(self.expected[at])

    @precondition(lambda self: self.table)
    @rule(number=st.integers(0))
    def unmap(self, number):
        self.zap(self.pick(number))

    @precondition(lambda self: self.memory)
    @rule(number=st.integers(0), stop=st.sampled_from(["unmapped", "written", "gone"]))
    def swap_out(self, number, stop):
        """Put entries in place of a page, write it and let it go, or ``stop`` before that."""
        pfn = sorted(self.memory)[number % len(self.memory)]
        entry = self.swap.cache.entry(pfn) or self.swap.add_to_swap(pfn)
        if entry is None:
            assert self.swap.nr_swap_pages == 0
            return
        for at, held in enumerate(self.table):
            if held == pfn:
                self.swap.swap_duplicate(entry)
                self.table[at] = entry
        if stop == "unmapped":
            return
        dirty = self.swap.cache.is_dirty(pfn)
        assert self.swap.swap_writepage(pfn, bytes_of(self.memory[pfn])) == dirty
        if stop == "gone":
            self.swap.delete_from_swap_cache(pfn)
            del self.memory[pfn]

    @precondition(lambda self: any(isinstance(held, SwapEntry) for held in self.table))
    @rule(number=st.integers(0))
    def fault_in(self, number):
        out = [at for at, held in enumerate(self.table) if isinstance(held, SwapEntry)]
        self.fault(out[number % len(out)])

    def fault(self, at):
        entry = self.table[at]
        pfn = self.swap.cache.lookup(entry)
        if pfn is None:
            pfn = self.frame()
            if pfn is None:
                return
            data, _ = self.swap.swap_readpage(entry, pfn)
            assert data == bytes_of(self.expected[at])
            self.memory[pfn] = self.expected[at]
        assert self.memory[pfn] == self.expected[at]
        self.swap.swap_free(entry)
        self.table[at] = pfn

    @precondition(lambda self: any(held in self.memory for held in self.table))
    @rule(number=st.integers(0))
    def write(self, number):
        inside = [at for at, held in enumerate(self.table) if held in self.memory]
        at = inside[number % len(inside)]
        pfn = self.table[at]
        entry = self.swap.cache.entry(pfn)
        if self.table.count(pfn) > 1 or (entry is not None and self.swap.swapcount(entry)):
            copy = self.frame()
            if copy is None:
                return
            self.table[at] = copy
            self.memory[copy] = self.memory[pfn]
            self.release(pfn)
            pfn = copy
        self.versions += 1
        self.memory[pfn] = self.expected[at] = self.versions
        if self.swap.cache.entry(pfn) is not None:
            self.swap.cache.set_dirty(pfn)

    @invariant()
    def nothing_contradicts(self):
        self.swap.check()
        for held, version in zip(self.table, self.expected, strict=True):
            if not isinstance(held, SwapEntry):
                assert self.memory[held] == version
        references = {held: self.table.count(held) for held in self.table
                      if isinstance(held, SwapEntry)}
        for entry, count in references.items():
            assert self.swap.swapcount(entry) == count
        cached = {self.swap.cache.entry(pfn) for pfn in self.memory} - {None}
        used = self.swap.total_swap_pages - self.swap.free_slots
        assert used == len(cached | references.keys())


TestSwapMachine = pytest.mark.slow(SwapMachine.TestCase)
TestSwapMachine.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)


def test_all_swap_files_are_recognised_after_a_long_run():
    machine = SwapMachine()
    for step in range(400):
        machine.swapon(None if step % 3 else step % 2)
        machine.new_page()
        machine.swap_out(step * 7, ("unmapped", "written", "gone")[step % 3])
        if machine.table and step % 2:
            machine.unmap(step * 13)
        machine.nothing_contradicts()
    for path in sorted(Path(machine.folder).iterdir()):
        assert f"version 1, size {AREA_PAGES - 1} pages" in run("file", path)
    machine.teardown()
