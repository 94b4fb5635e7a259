"""Processes that share memory and have private copies besides, and what all pages should hold."""

from uuid import UUID

import numpy as np

from pagewalk.model.address_space.tables.software_entry import EntryKind
from pagewalk.model.kernel.reclaim.direct_reclaim import try_to_free_pages
from pagewalk.model.kernel.reclaim.scan import ScanControl
from pagewalk.model.kernel.swap.errors import SwapDeviceBusy, SwapIoError
from pagewalk.model.kernel.swap.file import SwapFile

from .machines import ANON, PAGE, RW, SHARED, counted, machine


class FlakySwap(SwapFile):
    """A swap file of which some slots cannot be read, or none written any more.

    ``unreadable`` and ``unwritable`` say of a slot whether it fails.
    """

    @staticmethod
    def never(_slot):
        return False

    unreadable = unwritable = never

    def read(self, slot, pfn):
        if self.unreadable(slot):
            raise SwapIoError(self.path, slot, pfn, "read", "Input/output error")
        return super().read(slot, pfn)

    def write(self, slot, data, pfn):
        if self.unwritable(slot):
            raise SwapIoError(self.path, slot, pfn, "write", "Input/output error")
        super().write(slot, data, pfn)


def flaky_swap(folder, name, pages):
    """Make a swap file with so many slots."""
    return FlakySwap.create(folder / name, pages + 1, uuid=UUID(int=1))


class Sharers:
    """A small machine, and processes with a shared and a private area at the same addresses.

    A page holds a number in its first and in its last word. Those of the shared area are one
    dictionary, those of the private areas one for each process, copied by ``fork``.
    """

    def __init__(self, mode, *devices, shared, private=0, megabytes=2, seed=0):
        self.kernel, self.cpu, first = machine(mode, megabytes=megabytes)
        self.devices = list(devices)
        for device in devices:
            self.kernel.swapon(device)
        self.kernel.exit(first)
        self.free = counted(self.kernel)
        first = self.kernel.spawn("first")
        self.rng = np.random.default_rng(seed)
        self.sizes = (shared, private)
        self.starts = [first.mm.mmap(0, size * PAGE, RW, flags) if size else 0
                       for size, flags in zip(self.sizes, (SHARED, ANON), strict=True)]
        self.shared = {}
        self.private = {first: {}}
        self.number = self.swapoffs = 0

    @property
    def processes(self):
        return list(self.private)

    @property
    def first(self):
        return self.processes[0]

    @property
    def state(self):
        return self.kernel.state

    @property
    def shmem_space(self):
        """The pages and slots of the shared area."""
        return self.state.page_cache.shmem_spaces()[0]

    def _area(self, process, private):
        return self.starts[private], self.private[process] if private else self.shared

    def store(self, process, page, private=False):
        start, content = self._area(process, private)
        self.kernel.switch(process)
        self.number += 1
        for word in (0, PAGE - 8):
            self.cpu.store(start + page * PAGE + word, self.number.to_bytes(8, "little"))
        content[page] = self.number

    def load(self, process, page, private=False):
        start, content = self._area(process, private)
        self.kernel.switch(process)
        for word in (0, PAGE - 8):
            found = int.from_bytes(self.cpu.load(start + page * PAGE + word, 8), "little")
            assert found == content.get(page, 0), (process.pid, page, private)

    def store_all(self, process, private=False):
        for page in range(self.sizes[private]):
            self.store(process, page, private)

    def load_all(self, process, private=False):
        for page in range(self.sizes[private]):
            self.load(process, page, private)

    def fork(self, process):
        child = self.kernel.fork(process)
        self.private[child] = dict(self.private[process])
        return child

    def exit(self, process):
        self.kernel.exit(process)
        del self.private[process]

    def reclaim_all(self):
        """Have reclaim take all that it can, accessed or not; return how many pages it could."""
        taken = 0
        for _ in range(4):
            sc = ScanControl(nr_to_reclaim=1000, force_deactivate=True)
            taken += try_to_free_pages([self.state.lruvec], sc, self.state.page_ops)
        return taken

    def swapoff_and_on(self, device):
        """Empty an area in use and use it again; its pages are back, or in others.

        Reclaim may prevent it.
        """
        swap_type = self.type_of(device)
        try:
            self.kernel.swapoff(device)
        except SwapDeviceBusy:
            assert self.slots_named(swap_type)
            return
        assert self.slots_named(swap_type) == 0
        self.kernel.check()
        self.kernel.swapon(device)
        self.swapoffs += 1

    def type_of(self, device):
        return next(info.type for info in self.state.swap.info
                    if info is not None and info.device is device)

    def slots_named(self, swap_type):
        """How many swap entries of a type there are, in page tables and in files."""
        files = [slot for space in self.state.page_cache.shmem_spaces()
                 for slot in space.slots.values()]
        tables = [self.state.slot(leaf.entry) for process in self.processes
                  for leaf in process.space.tables.entries(0, process.mm.space.task_size)
                  if process.space.kind(leaf.entry) is EntryKind.SWAP]
        return sum(slot.type == swap_type for slot in files + tables)

    def step(self):
        """Do something at random: mostly accesses, in runs."""
        process = self.processes[int(self.rng.integers(len(self.processes)))]
        action = self.rng.random()
        if action < 0.05 and len(self.processes) < 4:
            self.fork(process)
        elif action < 0.08 and len(self.processes) > 1:
            self.exit(process)
        elif action < 0.11 and self.devices:
            self.swapoff_and_on(self.devices[int(self.rng.integers(len(self.devices)))])
        else:
            for _ in range(40):
                private = bool(self.sizes[1] and self.rng.integers(2))
                page = int(self.rng.integers(self.sizes[private]))
                (self.store if self.rng.integers(2) else self.load)(process, page, private)

    def finish(self):
        """Compare all pages, end all processes, and see that nothing is left."""
        for process in self.processes:
            for private in (False, True):
                self.load_all(process, private)
        self.kernel.check()
        for process in self.processes:
            self.exit(process)
        self.kernel.check()
        assert counted(self.kernel) == self.free
