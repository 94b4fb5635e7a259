"""A memory image (``.npz``) as a file of physical memory: its page tables at one stop."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ...model.x86 import PAGE_SHIFT
from ..image import Image
from .cpu_state import CpuState
from .frame_file import FrameFile, FrameRuns, Pfns, Presence
from .memory_file_error import MemoryFileError

__all__ = ["ImageFile"]


class ImageFile(FrameFile):
    """The frames of one view of a memory image; its registers are those of the only processor.

    Raise ``InputError`` for what is wrong in the image, and for a name that no view has.
    """

    def __init__(self, path: str | Path, view_name: str | None = None) -> None:
        image = Image.load(path)
        view = image.select(None if view_name is None else [view_name])[0]
        super().__init__(str(path), "memory image", (CpuState(view.name, view.control),))
        self._memory = view.memory()
        self._pfns = self._memory.index()[0]
        if not len(self._pfns):
            raise MemoryFileError(path, f"has no frame for the view {view.name}", "page tables")
        edges = np.flatnonzero(np.diff(self._pfns) != 1)
        starts = self._pfns[np.concatenate([[0], edges + 1])]
        ends = self._pfns[np.concatenate([edges, [len(self._pfns) - 1]])] + np.uint64(1)
        self._ranges = tuple((int(one) << PAGE_SHIFT, int(two) << PAGE_SHIFT)
                             for one, two in zip(starts, ends, strict=True))

    @property
    def ranges(self) -> tuple[tuple[int, int], ...]:
        """The physical addresses that the file has, as start and end, in ascending order."""
        return self._ranges

    def occupied(self) -> Iterator[Pfns]:
        """Yield the numbers of all frames that may hold anything but zeros, some at a time."""
        yield self._pfns

    def _load(self, pfn: int, out: FrameRuns) -> Presence:
        pfns, rows = self._memory.index()
        at = np.searchsorted(pfns, np.arange(pfn, pfn + len(out), dtype=np.uint64))
        at = np.minimum(at, len(pfns) - 1)
        there: Presence = pfns[at] == np.arange(pfn, pfn + len(out), dtype=np.uint64)
        out[there] = self._memory.frames[rows[at[there]]]
        return there
