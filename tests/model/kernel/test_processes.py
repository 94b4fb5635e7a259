"""Random programs on a small machine, beside a dictionary of bytes for each process."""

from uuid import UUID

import numpy as np
import pytest

from pagewalk.model.address_space.tables.page_tables import PageTables
from pagewalk.model.kernel.kernel import Kernel
from pagewalk.model.kernel.swap.file import SwapFile
from pagewalk.model.kernel.tlb_flush import TlbState
from pagewalk.model.kernel.user_tables import UserTables
from pagewalk.model.physical.errors import BrokenInvariant
from pagewalk.model.x86 import X86_64, Entry

from .machines import ANON, MIB, MODES, PAGE, RW, SHARED, Cpu, counted

UPDATE, EXCHANGE = PageTables.update, PageTables.exchange
UNMAP_PAGE = UserTables.unmap_page


class NaiveProcess:
    """What a process must see: its mapped pages, each a dictionary of the bytes written."""

    def __init__(self, process, pages=None) -> None:
        self.process = process
        self.pages = {} if pages is None else pages

    def copy(self, process):
        pages = {page: [bytes_ if shared else dict(bytes_), shared]
                 for page, (bytes_, shared) in self.pages.items()}
        return NaiveProcess(process, pages)


class RandomPrograms:
    """Processes that map, touch, fork, move and unmap, by the numbers of one generator."""

    def __init__(self, kernel: Kernel, seed: int, max_pages: int) -> None:
        self.kernel, self.cpu = kernel, Cpu(kernel)
        self.rng = np.random.default_rng(seed)
        self.max_pages = max_pages
        self.running = [NaiveProcess(kernel.spawn("init"))]

    def pick(self, items):
        return items[int(self.rng.integers(len(items)))]

    def step(self) -> None:
        one = self.pick(self.running)
        self.kernel.switch(one.process)
        ends = ["exit"] * (len(self.running) > 4)
        action = self.pick(["mmap", "mmap", "munmap", "mremap", "fork", *ends] + ["touch"] * 12)
        getattr(self, action)(one)

    def mmap(self, one) -> None:
        shared = bool(self.rng.integers(4) == 0)
        count = int(self.rng.integers(1, 6 if shared else self.max_pages))
        start = one.process.mm.mmap(0, count * PAGE, RW, SHARED if shared else ANON)
        for page in range(start, start + count * PAGE, PAGE):
            one.pages[page] = [{}, shared]

    def munmap(self, one) -> None:
        if one.pages:
            start = self.pick(sorted(one.pages))
            length = int(self.rng.integers(1, self.max_pages)) * PAGE
            one.process.mm.munmap(start, length)
            for page in [page for page in one.pages if start <= page < start + length]:
                del one.pages[page]

    def mremap(self, one) -> None:
        if one.pages:
            page = self.pick(sorted(one.pages))
            new = one.process.mm.mremap(page, PAGE, 2 * PAGE, 1)
            one.pages[new] = one.pages.pop(page)
            one.pages[new + PAGE] = [{}, one.pages[new][1]]
            if one.pages[new][1]:  # a page of shared memory that others may see, too
                one.process.mm.munmap(new + PAGE, PAGE)
                del one.pages[new + PAGE]

    def fork(self, one) -> None:
        if len(self.running) < 6:
            self.running.append(one.copy(self.kernel.fork(one.process)))

    def exit(self, one) -> None:
        if len(self.running) > 1:
            self.running.remove(one)
            self.kernel.exit(one.process)

    def touch(self, one) -> None:
        for _ in range(20):
            if not one.pages:
                return
            page = self.pick(sorted(one.pages))
            offset = int(self.rng.integers(PAGE))
            content = one.pages[page][0]
            if self.rng.integers(2):
                content[offset] = int(self.rng.integers(256))
                self.cpu.store(page + offset, bytes([content[offset]]))
            else:
                assert self.cpu.load(page + offset)[0] == content.get(offset, 0)

    def finish(self) -> None:
        """Compare every byte that was ever written, and end all processes."""
        for one in self.running:
            self.kernel.switch(one.process)
            for page, (content, _) in one.pages.items():
                for offset, value in content.items():
                    assert self.cpu.load(page + offset)[0] == value
        self.kernel.check()
        for one in self.running:
            self.kernel.exit(one.process)
        self.kernel.check()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_processes_see_what_they_wrote_and_leave_nothing_behind(mode, seed):
    kernel = Kernel.boot(mode, 16 * MIB)
    before = counted(kernel)
    programs = RandomPrograms(kernel, seed, max_pages=12)
    for number in range(250):
        programs.step()
        if number % 50 == 0:
            kernel.check()
    programs.finish()
    assert counted(kernel) == before


@pytest.mark.slow
@pytest.mark.parametrize("seed", [10, 11])
@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_the_same_with_too_little_memory(mode, seed, tmp_path):
    with SwapFile.create(tmp_path / "swap", 6000, uuid=UUID(int=1)) as device:
        kernel = Kernel.boot(mode, 4 * MIB, pcid=bool(seed & 1))
        kernel.swapon(device)
        before = counted(kernel)
        programs = RandomPrograms(kernel, seed, max_pages=220)
        for number in range(900):
            programs.step()
            if number % 150 == 0:
                kernel.check()
        assert device.counters.pages_in > 200
        programs.finish()
        assert counted(kernel) == before
        assert not kernel.oom_kills


def run_until_wrong(mode, tmp_path) -> None:
    """Run programs that must meet what was broken."""
    for seed in range(20, 26):
        with SwapFile.create(tmp_path / f"swap{seed}", 6000, uuid=UUID(int=1)) as device:
            kernel = Kernel.boot(mode, 4 * MIB)
            kernel.swapon(device)
            programs = RandomPrograms(kernel, seed, max_pages=220)
            for _ in range(600):
                programs.step()
            programs.finish()


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_a_fork_that_leaves_pages_writable_is_caught(mode, tmp_path, monkeypatch):
    monkeypatch.setattr(PageTables, "update", lambda self, paddr, *, clear=0, add=0: (
        self.read(paddr) if clear & Entry.RW else UPDATE(self, paddr, clear=clear, add=add)))
    with pytest.raises((AssertionError, BrokenInvariant)):
        run_until_wrong(mode, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_flushes_left_out_are_caught(mode, tmp_path, monkeypatch):
    monkeypatch.setattr(TlbState, "flush_range", lambda *_args: None)
    with pytest.raises(AssertionError):
        run_until_wrong(mode, tmp_path)


# Not for ia32: its swap entries do not tell whose a page is, so that each write frees the slot, and
# no page that has one is dirty.
@pytest.mark.slow
def test_dirty_pages_that_reclaim_takes_for_clean_are_caught(tmp_path, monkeypatch):
    def unmap_page(self, vaddr, pfn):
        with monkeypatch.context() as patch:
            patch.setattr(PageTables, "exchange", lambda self, paddr, entry: (
                EXCHANGE(self, paddr, entry) & ~Entry.D))
            UNMAP_PAGE(self, vaddr, pfn)

    monkeypatch.setattr(UserTables, "unmap_page", unmap_page)
    with pytest.raises(AssertionError):
        run_until_wrong(X86_64, tmp_path)
