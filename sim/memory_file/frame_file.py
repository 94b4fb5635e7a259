"""Physical memory as a file has it: what every format gives to those who walk page tables."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ...model.x86 import PAGE_BYTES, PAGE_SHIFT
from .cpu_state import CpuState

__all__ = ["FRAME_WORDS", "FrameFile", "FrameRuns", "Pfns", "Presence", "pfn_runs"]

FRAME_WORDS = PAGE_BYTES // 8

Pfns = NDArray[np.uint64]
FrameRuns = NDArray[np.uint64]  # (N, 512), little-endian
Presence = NDArray[np.bool_]


class FrameFile(ABC):
    """A file of physical memory, of which only those frames are read that are asked for.

    Members
    -------
    path
        The file, as it is called in messages.
    format_name
        What it is, in words.
    cpus
        The processors whose registers the file tells; none in a format without registers.
    """

    def __init__(self, path: str, format_name: str, cpus: tuple[CpuState, ...] = ()) -> None:
        self.path = path
        self.format_name = format_name
        self.cpus = cpus

    @property
    @abstractmethod
    def ranges(self) -> tuple[tuple[int, int], ...]:
        """The physical addresses that the file has, as start and end, in ascending order."""

    @abstractmethod
    def occupied(self) -> Iterator[Pfns]:
        """Yield the numbers of all frames that may hold anything but zeros, some at a time."""

    @abstractmethod
    def _load(self, pfn: int, out: FrameRuns) -> Presence:
        """Fill ``out`` (N, 512), which is zeros, with N frames from ``pfn`` on.

        Return for each whether the file has any of it.
        """

    @property
    def end(self) -> int:
        """The physical address behind the last byte."""
        return self.ranges[-1][1] if self.ranges else 0

    def frames(self, pfns: Pfns) -> tuple[FrameRuns, Presence]:
        """Return the frames ``pfns`` (N,) as (N, 512) words, and which of them there are.

        Absent frames are zeros, and so are the bytes of a frame that the file has only a part of.
        Raise ``MemoryFileError`` where the file is damaged.
        """
        out = np.zeros((len(pfns), FRAME_WORDS), "<u8")
        there = np.zeros(len(pfns), bool)
        breaks = np.flatnonzero(np.diff(pfns.astype(np.int64)) != 1) + 1
        bounds = [0, *breaks.tolist(), len(pfns)] if len(pfns) else []
        for first, last in pairwise(bounds):
            there[first:last] = self._load(int(pfns[first]), out[first:last])
        return out, there


def pfn_runs(start: int, end: int, most: int = 4096) -> Iterator[Pfns]:
    """Yield the frame numbers of the bytes from ``start`` to ``end``, at most ``most`` at once."""
    stop = (end + PAGE_BYTES - 1) >> PAGE_SHIFT
    for first in range(start >> PAGE_SHIFT, stop, most):
        yield np.arange(first, min(first + most, stop), dtype=np.uint64)
