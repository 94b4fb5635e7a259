"""Runs the programs of a boot on address spaces of the model, against the log that each kept."""

import os
import re
from itertools import pairwise
from pathlib import Path

from pagewalk.model.address_space.auxv import AuxFacts, Processor
from pagewalk.model.address_space.errors import SysError
from pagewalk.model.address_space.exec_arguments import Credentials, ExecArguments
from pagewalk.model.address_space.exec_program import exec_program
from pagewalk.model.address_space.kernel_files import HugetlbPool, KernelFiles
from pagewalk.model.address_space.limits import UserSpace
from pagewalk.model.address_space.mm import Mm
from pagewalk.model.address_space.smaps_text import STATS, MemSizeStats
from pagewalk.model.address_space.user_layout import USER_AMD64, USER_I686
from pagewalk.model.address_space.vma import File, Vma, VmFlag

from . import linux_programs

DATA = Path(__file__).parents[2] / "data" / "linux-6.1"

# What an init gives to a program that it runs, about.
ARGUMENTS = ExecArguments(b"/zoo_static", (b"/zoo_static", b"s1"), (b"HOME=/", b"TERM=linux"))
FACTS = AuxFacts(Processor(b"x86_64", 0), Credentials(), bytes(16))

BUILDS = {"amd64": USER_AMD64, "i686": USER_I686}

# Huge pages set aside by size: how many, and the device number of their mount.
POOLS = {
    "amd64-A": {2 << 20: (4, 0xF), 1 << 30: (0, 0x10)},
    "amd64-B": {2 << 20: (8, 0xF), 1 << 30: (1, 0x10)},
    "i686-A": {4 << 20: (4, 0xE)},
    "i686-B": {4 << 20: (4, 0xE)},
}
BOOTS = tuple(POOLS)

MAPS_LINE = re.compile(r"(\w+)-(\w+) (\S+) (\w+) (\w+):(\w+) (\d+) +(/.*)\n")


def read(boot: str, name: str) -> str:
    return (DATA / boot / "proc" / name).read_text()

SEGMENT_PAGES = 32


class Machine:
    """One boot: what its processes share, and the files that their mappings name."""

    def __init__(self, boot: str) -> None:
        self.boot, self.arch = boot, boot.split("-")[0]
        self.pools = {size: HugetlbPool(*pool) for size, pool in POOLS[boot].items()}
        self.kernel_files = KernelFiles(self.pools)

    def files(self, process: str) -> dict[str, File]:
        """The files that the mappings of a process name, by their names."""
        maps = read(self.boot, f"{process}.maps")
        files = {}
        for *_, major, minor, inode, name in MAPS_LINE.findall(maps):
            for pool in self.pools.values():
                if name.startswith("/anon_hugepage") and int(minor, 16) == pool.minor:
                    pool.next_inode = int(inode)
            driver = VmFlag.DEVICE_MEMORY if name == "/dev/mem" else 0
            files[name] = File(name, int(major, 16), int(minor, 16), int(inode), vm_flags=driver)
        return files

    def exec(self, path: str, process: str) -> "Run":
        """Start the program ``path`` as the process called so in the boot."""
        return Run(self, path, process, self.files(process))


class Run:
    """One process. Calls with a label must return what the log of the process says they did."""

    def __init__(self, machine: Machine, path: str, process: str, files: dict[str, File]) -> None:
        self.machine, self.arch, self._files = machine, machine.arch, files
        layout = BUILDS[machine.arch].layout()
        self.mm = Mm(UserSpace.of(layout.build, pkeys=True), layout.mmap_base,
                     files=machine.kernel_files, privileged=True)
        program = linux_programs.program(machine.arch, path, files)
        exec_program(self.mm, program, layout, ARGUMENTS, FACTS)
        self.base = self._lowest(program.file)
        self.loader_base = program.interpreter and self._lowest(program.interpreter.file)
        log = DATA / machine.boot / "proc" / f"{process}.actions.txt"
        self._log = iter(log.read_text().splitlines()[1:] if log.exists() else [])

    def _lowest(self, file: File) -> int:
        return next(vma.start for vma in self.mm if vma.file is file)

    def _logged(self, label: str, address: int, length: int, error: int = 0) -> None:
        what, where, size, *failure = next(self._log).split(maxsplit=3)
        assert (what, int(size, 16)) == (label, length)
        assert (int(where, 16), failure) == (address, [os.strerror(error)] if error else [])

    def file(self, name: str) -> File:
        return self._files[name]

    def mmap(self, label: str, address: int, length: int, prot: int, flags: int,
             file: File | None = None, offset: int = 0) -> int:
        try:
            found, error = self.mm.mmap(address, length, prot, flags, file, offset), 0
        except SysError as failure:
            found, error = (1 << 8 * self.mm.space.word_bytes) - 1, failure.errno
        self._logged(label, found, length, error)
        return found

    def mremap(self, label: str, address: int, old: int, new: int, flags: int) -> int:
        found = self.mm.mremap(address, old, new, flags)
        self._logged(label, found, new)
        return found

    def brk(self, address: int) -> None:
        assert self.mm.brk(address) == address

    def sbrk(self, label: str, length: int) -> int:
        start = self.mm.brk_end
        self.brk(start + length)
        self._logged(label, start, length)
        return start

    def pkey_alloc(self) -> int:
        try:
            key = self.mm.pkeys.alloc()
        except SysError:
            key = -1
        assert next(self._log) == f"pkey {key}"
        return key

    def sysv_segment(self) -> File:
        """Return a new segment; its id is what the boot shows in place of an inode."""
        shown = next(name for name in self._files if name.startswith("/SYSV"))
        self.mm.commit.charge(SEGMENT_PAGES)
        return self.machine.kernel_files.open_sysv(0, self._files[shown].inode,
                                                   SEGMENT_PAGES << 12)

    def relro(self, name: str, base: int) -> None:
        """Make read-only what a loader has relocated."""
        offset, length = linux_programs.RELRO[self.arch, name]
        self.write(base + offset, range(length >> 12))
        self.mm.mprotect(base + offset, length, linux_programs.R)

    def write(self, start: int, pages: range) -> None:
        """Write to pages, by their numbers from ``start`` on: private ones get an owner."""
        for page in pages:
            vma = self.mm.find_vma(start + (page << 12))
            if vma is not None and not vma.flags & VmFlag.SHARED and vma.flags & VmFlag.WRITE:
                self.mm.prepare_anon_vma(vma)

    def read(self, start: int, pages: range) -> None:
        """Read from pages, which does nothing to mappings."""

    def write_huge(self, start: int, pages: range) -> None:
        """Write to pages that may be parts of huge ones, if they could be mapped at all."""
        self.write(start, pages)

    read_huge = read
    populated = write
    """Of pages that a call makes present, as a write of the program would have done."""

    def log_is_done(self) -> bool:
        return next(self._log, None) is None


def stats_of(smaps: str) -> dict[int, MemSizeStats]:
    """Return what a real ``smaps`` says of the pages of each mapping, by its start."""
    stats: dict[int, MemSizeStats] = {}
    for line in smaps.splitlines():
        head = re.match(r"([0-9a-f]+)-[0-9a-f]+ ", line)
        if head:
            current = stats[int(head[1], 16)] = MemSizeStats()
        name, _, value = line.partition(":")
        if name in STATS:
            setattr(current, STATS[name], int(value.split()[0]) << 10)
    return stats


def adjacent(mm: Mm) -> list[tuple[Vma, Vma]]:
    """Return the pairs of mappings without a hole between them."""
    return [(low, high) for low, high in pairwise(mm) if low.end == high.start]
