"""Real processes as they were caught: page tables, mappings, and what was known of their frames.

A process read its pagemap and then its smaps, and was stopped: the tables are those that smaps was
added up from, and pagemap says of a frame whether it is of a file, and whether only one entry maps
it. What else the kernel knew follows from what the program had done, by its ``actions.txt``, and
from rules of the kernel that stand below where they are used. Nothing is taken from smaps.
"""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pagewalk.model.address_space.smaps_text import MNEMONICS, STATS, MemSizeStats
from pagewalk.model.address_space.tables.page_tables import PageTables
from pagewalk.model.address_space.tables.software_entry import (
    AMD64_ENTRIES,
    I686_ENTRIES,
    EntryKind,
)
from pagewalk.model.address_space.vma import File, SpecialMapping, Vma
from pagewalk.model.kernel.swap.cache import SwapEntry
from pagewalk.model.physical.memory import PhysicalMemory
from pagewalk.model.x86 import IA32, X86_64

__all__ = ["BOOTS", "Boot", "CapturedFacts", "Process", "name_of", "read_log", "read_smaps"]

DATA = Path(__file__).parents[2] / "data" / "linux-6.1"
BOOTS = ("amd64-A", "amd64-B", "i686-A", "i686-B")
PAGE = 4096
FILE_PAGE, EXCLUSIVE = 1, 2
SHMEM = ("/tmp/", "/dev/zero", "/SYSV")
VM_FLAGS = {letters: flag for flag, letters in MNEMONICS.items()}
WRITTEN_FILE, WRITTEN_PAGES = "/tmp/file.bin", 64
# What each run of the program fills with write().


@dataclass(frozen=True, slots=True)
class Root:
    """Gives page tables the root that they have."""

    pfn: int

    def alloc_table(self) -> int:
        return self.pfn


class Process:
    """A process: its page tables, and each mapping with what smaps said of it."""

    def __init__(self, boot: "Boot", name: str, root: int, memory: PhysicalMemory) -> None:
        self.boot, self.name, self.format = boot, name, boot.format
        self.tables = PageTables(boot.mode, memory, Root(root), boot.kernel_start)
        self.leaves = list(self.tables.entries(0, boot.kernel_start))
        proc = DATA / boot.name / "proc"
        self.mappings = list(read_smaps((proc / f"{name}.smaps").read_text()))
        self.actions = read_log((proc / f"{name.removesuffix('-child')}.actions.txt").read_text())
        self.pages: dict[int, int] = {}
        self.slots: list[SwapEntry] = []
        for leaf in self.leaves:
            kind = self.format.kind(leaf.entry, leaf.level.shift)
            if kind in (EntryKind.PRESENT, EntryKind.PROT_NONE):
                first = self.format.pfn(leaf.entry, leaf.level.shift)
                for at in range(leaf.level.page_bytes // PAGE):
                    self.pages[leaf.vaddr + at * PAGE] = first + at
            elif kind is EntryKind.SWAP:
                slot = self.format.decode_swap(leaf.entry)
                self.slots.append(SwapEntry(slot.type, slot.offset))

    def frames(self, vaddrs: range) -> set[int]:
        """The frames of a range of addresses."""
        return {self.pages[vaddr] for vaddr in vaddrs if vaddr in self.pages}

    def frames_of(self, name: str, end: int = 1 << 32) -> set[int]:
        """The frames of what is mapped under a name, up to page ``end`` of it."""
        return {self.pages[vaddr] for vma, _ in self.mappings if name_of(vma) == name
                for vaddr in range(vma.start, vma.end, PAGE)
                if vma.pgoff_of(vaddr) < end and vaddr in self.pages}


class Boot:
    """The processes that were caught in one boot, in order, and what pagemap said of frames."""

    def __init__(self, name: str) -> None:
        self.name, self.numa = name, name.startswith("amd64")
        self.mode, self.format = (X86_64, AMD64_ENTRIES) if self.numa else (IA32, I686_ENTRIES)
        self.kernel_start = 1 << 47 if self.numa else 0xC000_0000
        self.processes: list[Process] = []
        self.flags: list[dict[int, int]] = []
        with np.load(DATA / name / "user-pages.npz") as file:
            data = dict(file)
        for at, process in enumerate(data["name"].tolist()):
            of = data["frame_process"] == at
            memory = PhysicalMemory(int(of.sum()))
            memory.load(data["frame_pfn"][of], data["frame_data"][of])
            self.processes.append(Process(self, process, int(data["root"][at]), memory))
            of = data["page_process"] == at
            self.flags.append(dict(zip(data["page_pfn"][of].tolist(),
                                       data["page_flags"][of].tolist(), strict=True)))


class CapturedFacts:
    """The ``PageFacts`` when one process of a boot was caught."""

    def __init__(self, boot: Boot, at: int) -> None:
        process = boot.processes[at]
        # A frame that came between pagemap and smaps is known from a process caught before.
        self._flags: dict[int, int] = {}
        for flags in boot.flags[:at]:
            self._flags |= {pfn: flag & ~EXCLUSIVE for pfn, flag in flags.items()}
        self._flags |= boot.flags[at]
        caught = boot.processes[: at + 1]
        self._mapcount = Counter(pfn for one in caught for pfn in one.pages.values())
        self._swapcount = Counter(slot for one in caught for slot in one.slots)
        self._lazy = process.frames(process.actions["madv_free"])
        self._split = split_huge_pages(process)
        self._clean = process.frames_of("[vdso]")
        self._touched, self._written = touched(process), written_once(process)
        self._out = out_of_shared_memory(process)

    def is_anon(self, pfn):
        return not self._flags[pfn] & FILE_PAGE

    def is_swap_backed(self, pfn):
        """MADV_FREE takes it away; no figure of smaps tells apart the pages of files."""
        return pfn not in self._lazy

    def is_dirty(self, pfn):
        """No file has a disk: its pages stay dirty once written, and all were, but for [vdso].

        Of anonymous pages the entry alone says it, unless a huge page was split.
        [simple_write_end, shmem_write_end, shmem_fault]
        """
        return pfn in self._split if self.is_anon(pfn) else pfn not in self._clean

    def is_referenced(self, pfn):
        return pfn in (self._touched if self.is_anon(pfn) else self._written)

    def is_huge_zero(self, pfn):
        """The huge zero page is the one huge page in anonymous memory that is not anonymous."""
        return not self.is_anon(pfn)

    def mapcount(self, pfn):
        """A page that more than one entry maps is in two processes at least, one being unseen."""
        if self._flags[pfn] & EXCLUSIVE:
            return 1
        return max(2, self._mapcount[pfn])

    def swapcount(self, slot):
        return self._swapcount[slot]

    def swapped_out(self, file, first, end):
        return self._out & set(range(first, end)) if file.name.startswith("/dev/zero") else set()


def split_huge_pages(process: Process) -> set[int]:
    """Frames of huge pages that were written and then split: all are dirty from then on.

    They lie as the page did, but each has an entry. [__split_huge_pmd_locked]
    """
    size = process.boot.mode.levels[-2].page_bytes
    small = {leaf.vaddr for leaf in process.leaves if leaf.level.page_bytes == PAGE}
    split = set()
    for start in {vaddr & -size for vaddr in small}:
        frames = [process.pages.get(vaddr) for vaddr in range(start, start + size, PAGE)]
        first = frames[0]
        if start in small and first is not None and not first * PAGE % size and (
                frames == list(range(first, first + size // PAGE))):
            split |= {*frames}
    return split


def touched(process: Process) -> set[int]:
    """Frames that MAP_POPULATE and mlock touched when they brought them in.

    That counts as a use besides those that entries show. [follow_page_pte with FOLL_TOUCH]
    """
    return process.frames(process.actions["populate"]) | process.frames(process.actions["mlocked"])


def written_once(process: Process) -> set[int]:
    """Frames of a file that the first run of the program filled with write(), a use, too.

    The second run, of the same file, makes them active instead. [shmem_get_folio_gfp with
    SGP_WRITE, folio_mark_accessed]
    """
    first = process.name.startswith("s1")
    return process.frames_of(WRITTEN_FILE, WRITTEN_PAGES) if first else set()


def out_of_shared_memory(process: Process) -> set[int]:
    """The pages of anonymous shared memory in swap: of the first 16, which were all paged out.

    The program had written to every other one. A child sees the same memory.
    """
    pages = set(range(0, 16, 2))
    start = process.actions["shared_anon"].start
    assert not any(start + page * PAGE in process.pages for page in pages)
    return pages


def name_of(vma: Vma) -> str | None:
    """The name that maps shows."""
    what = vma.file or vma.special
    return what.name if what else None


def read_log(text: str) -> dict[str, range]:
    """The pages that each call of a program returned, by its name for the call."""
    return {label: range(int(start, 16), int(start, 16) + int(length, 16), PAGE)
            for label, start, length in re.findall(r"(\w+) +0x(\w+) 0x(\w+)", text)}


def read_smaps(text: str):
    """Yield each mapping of a smaps, and its figures."""
    files: dict[tuple[str, ...], File] = {}
    for block in re.split(r"(?m)^(?=[0-9a-f]+-[0-9a-f]+ )", text)[1:]:
        head, *lines = block.splitlines()
        fields = {name: value.split() for name, _, value in (line.partition(":")
                                                             for line in lines)}
        start, end, _, pgoff, *where = re.match(
            r"(\w+)-(\w+) (\S+) (\w+) (\w+):(\w+) (\d+) *(.*)", head).groups()
        flags = sum(VM_FLAGS[letters] for letters in fields["VmFlags"])
        vma = Vma(int(start, 16), int(end, 16), flags, int(pgoff, 16) // PAGE)
        major, minor, inode, name = where
        if name.startswith("/"):
            page_bytes = int(fields["KernelPageSize"][0]) << 10
            vma.file = files.setdefault(tuple(where), File(
                name, int(major, 16), int(minor, 16), int(inode), is_shmem=name.startswith(SHMEM),
                huge_page_bytes=page_bytes if page_bytes > PAGE else 0))
        elif name.startswith("[v"):
            vma.special = SpecialMapping(name)
        yield vma, MemSizeStats(**{field: int(fields[label][0]) << 10
                                   for label, field in STATS.items()})
