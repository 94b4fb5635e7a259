"""The page cache: frames that hold pages of files. [struct address_space, mm/filemap.c]

A file is the bytes that it was registered with; what is written to its pages reaches them when
the pages are written back. Shared memory has no bytes but its pages, and swap (``shmem``).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from ..address_space.kernel_files import Inode, KernelFiles
from ..address_space.limits import Commit
from ..address_space.vma import File
from ..physical.errors import BrokenInvariant
from ..x86 import PAGE_BYTES, PAGE_SHIFT
from .file_bytes import FileBytes
from .frames import Frames
from .lazy_bytes import LazyBytes
from .swap.cache import SwapEntry
from .swap_references import AnonSwap

__all__ = ["CachedFile", "PageCache"]


@dataclass(slots=True, eq=False)
class CachedFile:
    """The pages of one file. [struct address_space]

    Members
    -------
    content, inode
        Its bytes, None for shared memory, and its size.
    pages, shadows
        The frames by page of the file, and what reclaim remembers of those that went out.
    slots
        Where pages of shared memory went.
    unwritten
        Pages of shared memory that were allocated, and never used: they read as holes.
        [not folio_test_uptodate]
    allocating, refused
        The pages that a call is allocating now, and how many of them had to stay in memory. [struct
        shmem_falloc]
    """

    content: FileBytes | LazyBytes | None
    inode: Inode = field(default_factory=Inode)
    pages: dict[int, int] = field(default_factory=dict)
    shadows: dict[int, int] = field(default_factory=dict)
    slots: dict[int, SwapEntry] = field(default_factory=dict)
    unwritten: set[int] = field(default_factory=set)
    allocating: range = range(0)
    refused: int = 0

    def holds(self, index: int) -> bool:
        """Return whether a page is within the file: beyond, an access is a bus error."""
        return index << PAGE_SHIFT < self.inode.size

    def is_hole(self, index: int) -> bool:
        """Return whether a page of shared memory is nowhere, and so zeros. [SGP_READ]"""
        is_there = index in self.pages and index not in self.unwritten
        return self.content is None and not is_there and index not in self.slots

    def mappable(self, index: int) -> int | None:
        """Return the frame of a page that can be mapped with no more ado. [filemap_map_pages]"""
        if self.holds(index) and index not in self.unwritten:
            return self.pages.get(index)
        return None

    def page(self, index: int) -> bytes:
        """Return the bytes of a page, with zeros past the end of the file."""
        return self.content.read(index) if self.content is not None else bytes(PAGE_BYTES)

    def set_size(self, size: int) -> None:
        """Give the file so many bytes, new ones zeros; no page changes. [i_size_write]"""
        self.inode.size = size
        if self.content is not None:
            self.content.resize(size)


class PageCache:
    """Which frame holds which page of which file. A page holds one reference to its frame.

    Parameters
    ----------
    frames, swap
        Where the pages are.
    files, commit
        What is known of each file, and what is promised to all.

    Members
    -------
    pages_in, pages_out
        How many pages were read from files and written to them.
    """

    def __init__(self, frames: Frames, swap: AnonSwap, files: KernelFiles,
                 commit: Commit) -> None:
        self.frames = frames
        self.commit = commit
        self._swap = swap
        self._files = files
        self.pages_in = self.pages_out = 0
        self._spaces: dict[File, CachedFile] = {}
        self._owner: dict[int, tuple[CachedFile, int]] = {}
        self._dirty: set[int] = set()

    def __len__(self) -> int:
        """Return the number of pages. [NR_FILE_PAGES without the swap cache]"""
        return len(self._owner)

    def add_tmpfs(self, file: File, size: int) -> CachedFile:
        """Return the pages of a new file of tmpfs, none yet; raise as ``register``.

        Its pages are promised one by one. [shmem_mknod]
        """
        self._require_new(file)
        inode = self._files.inodes[file] = Inode(size, noreserve=True)
        self._spaces[file] = CachedFile(None, inode)
        return self._spaces[file]

    def _require_new(self, file: File) -> None:
        if file in self._spaces:
            raise ValueError(f"File {file.name} is registered already")

    def register(self, file: File, content: bytearray) -> None:
        """Say what a file holds; raise ``ValueError`` if that was said.

        What is written back reaches ``content``, if it lies within the first 16 Mbytes of the file.
        """
        self._require_new(file)
        inode = self._files.inodes[file] = Inode(len(content))
        self._spaces[file] = CachedFile(FileBytes(content), inode)

    def add_lazy(self, file: File, content: LazyBytes, inode: Inode) -> None:
        """Say where the bytes are of a file that is read page by page; raise as ``register``.

        ``inode`` has its size, and is kept.
        """
        self._require_new(file)
        self._files.inodes[file] = inode
        self._spaces[file] = CachedFile(content, inode)

    def space(self, file: File) -> CachedFile:
        """Return the pages of a file; raise ``KeyError`` for one that was not registered.

        Shared memory comes into being when it is first asked for.
        """
        file = file.key
        if file not in self._spaces and file.is_shmem:
            self._spaces[file] = CachedFile(None, self._files.inode(file))
        return self._spaces[file]

    def owner(self, pfn: int) -> tuple[CachedFile, int] | None:
        """Return the file and page that a frame holds, None for any other frame. [page->mapping]"""
        return self._owner.get(pfn)

    def is_anon(self, pfn: int) -> bool:
        """Return whether a user's frame holds a page of no file. [PageAnon]"""
        return pfn not in self._owner

    def is_shmem(self, pfn: int) -> bool:
        """Return whether a frame holds shared memory, which has no other place."""
        owner = self._owner.get(pfn)
        return owner is not None and owner[0].content is None

    def read(self, space: CachedFile, index: int, pfn: int) -> int | None:
        """Fill a new frame with a page of a file; return the shadow that was in its place.

        [filemap_read_folio, filemap_add_folio]
        """
        self.frames.write(pfn, space.page(index))
        space.pages[index] = pfn
        self._owner[pfn] = space, index
        self.pages_in += space.content is not None and space.holds(index)
        return space.shadows.pop(index, None)

    def swap_out(self, pfn: int, slot: SwapEntry) -> None:
        """Leave a slot in place of a page; drop the reference. [shmem_delete_from_page_cache]"""
        space, index = self._owner[pfn]
        self.remove(pfn)
        space.slots[index] = slot

    def swap_back(self, space: CachedFile, index: int, pfn: int) -> None:
        """Put a page in place of its slot, dirty; take a reference. [shmem_add_to_page_cache]"""
        del space.slots[index]
        space.pages[index] = pfn
        self._owner[pfn] = space, index
        self._dirty.add(pfn)
        self.frames.get(pfn)

    def set_dirty(self, pfn: int) -> None:
        """Note that a page differs from its file. [filemap_dirty_folio]"""
        self._dirty.add(pfn)

    def is_dirty(self, pfn: int) -> bool:
        """Return whether a page differs from its file."""
        return pfn in self._dirty

    def write_back(self, pfn: int) -> None:
        """Write a page to its file, up to the end of that; it is clean then. [writepage]

        What a mapping has stored past the end is lost. [ext4_bio_write_page]
        """
        space, index = self._owner[pfn]
        if space.content is not None:
            size = min(PAGE_BYTES, max(0, space.inode.size - (index << PAGE_SHIFT)))
            data = self.frames.read(pfn)[:size]
            space.content.write(index, data)
            if size < PAGE_BYTES:
                self.frames.write(pfn, data.ljust(PAGE_BYTES, b"\0"))
            self.pages_out += 1
            self._dirty.discard(pfn)

    def remove(self, pfn: int, shadow: int | None = None) -> None:
        """Take a clean page out and drop the reference to its frame. [__filemap_remove_folio]"""
        space, index = self._owner.pop(pfn)
        del space.pages[index]
        space.unwritten.discard(index)
        self._dirty.discard(pfn)
        if shadow is not None:
            space.shadows[index] = shadow
        self.frames.put(pfn)

    def drop(self, file: File) -> None:
        """Write back what is dirty of a file and take out all its pages; none may be mapped.

        Slots of shared memory are freed. [truncate_inode_pages, shmem_undo_range]
        """
        self._files.inodes.pop(file, None)
        space = self._spaces.pop(file, None)
        if space is None:
            return
        for pfn in list(space.pages.values()):
            if pfn in self._dirty:
                self.write_back(pfn)
            self.remove(pfn)
        self.free_slots(space, list(space.slots))
        self.recount(space)

    def drop_clean(self) -> None:
        """Write back what is dirty of files with a disk, and take out what nobody maps.

        [drop_caches_sysctl_handler, which does not write anything back]
        """
        for space in self._spaces.values():
            for pfn in list(space.pages.values()) if space.content is not None else ():
                if self.frames.rmap.mapcount(pfn):
                    continue
                if pfn in self._dirty:
                    self.write_back(pfn)
                self.remove(pfn)

    def free_slots(self, space: CachedFile, indices: Iterable[int]) -> None:
        """Free the slots of pages of shared memory, and what they hold. [shmem_free_swap]"""
        for index in indices:
            self._swap.free_swap_and_cache(space.slots.pop(index))

    def recount(self, space: CachedFile) -> None:
        """Count the pages of shared memory that are left; others are promised no more.

        Until then a page that was dropped, as it was never written to, counts. [shmem_recalc_inode]
        """
        inode = space.inode
        freed = inode.allocated - len(space.pages) - len(space.slots)
        if freed > 0:
            inode.allocated -= freed
            self.commit.uncharge(freed if inode.noreserve else 0)

    def shmem_spaces(self) -> list[CachedFile]:
        """Return the pages of all files of shared memory."""
        return [space for space in self._spaces.values() if space.content is None]

    def frames_used(self) -> list[int]:
        """Return the frames that hold pages of files."""
        return list(self._owner)

    def check(self) -> None:
        """Raise ``BrokenInvariant`` unless files and frames point at each other."""
        forward = {pfn: (space, index) for space in self._spaces.values()
                   for index, pfn in space.pages.items()}
        if forward != self._owner or not self._dirty <= forward.keys():
            raise BrokenInvariant("Files and frames of the page cache contradict each other")
        for pfn in forward:
            if self.frames.refcount(pfn) < 1 + self.frames.rmap.mapcount(pfn):
                raise BrokenInvariant(f"Page {pfn:#x} of a file lacks a reference")
