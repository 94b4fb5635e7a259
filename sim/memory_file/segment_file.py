"""Physical memory in segments: runs of bytes that lie in the file as they do in memory."""

from collections.abc import Iterable, Iterator

import numpy as np

from ...model.x86 import PAGE_BYTES, PAGE_SHIFT
from .cpu_state import CpuState
from .frame_file import FrameFile, FrameRuns, Pfns, Presence, pfn_runs
from .mapped_bytes import ByteSource
from .piece_map import MemoryPiece, PieceMap, joined

__all__ = ["SegmentFile"]

ZEROS = -1 << 62  # the source of bytes that read as zeros and are not in the file


class SegmentFile(FrameFile):
    """A file whose memory lies in ``segments``, from physical addresses to offsets in ``data``.

    ``zeros`` are ranges of physical addresses that read as zeros. Where ranges overlap, what the
    file has counts, and of that the last.
    """

    def __init__(
        self, data: ByteSource, format_name: str, segments: Iterable[MemoryPiece],
        *, zeros: Iterable[tuple[int, int]] = (), cpus: tuple[CpuState, ...] = (),
    ) -> None:
        super().__init__(data.path, format_name, cpus)
        self._data = data
        self._map = PieceMap([*(MemoryPiece(start, end, ZEROS) for start, end in zeros), *segments])
        self._ranges = joined(self._map.pieces)

    @property
    def ranges(self) -> tuple[tuple[int, int], ...]:
        """The physical addresses that the file has, as start and end, in ascending order."""
        return self._ranges

    def occupied(self) -> Iterator[Pfns]:
        """Yield the numbers of all frames that may hold anything but zeros, some at a time."""
        done = -1  # the last frame that was yielded: two pieces may share one
        for piece in self._map.pieces:
            if piece.source < 0:
                continue
            shift = piece.start - piece.source
            for start, stop in self._data.written(piece.source, piece.source + piece.end
                                                  - piece.start):
                first = max(start + shift, (done + 1) << PAGE_SHIFT)
                for pfns in pfn_runs(first, stop + shift):
                    done = int(pfns[-1])
                    yield pfns

    def _load(self, pfn: int, out: FrameRuns) -> Presence:
        base = pfn << PAGE_SHIFT
        there = np.zeros(len(out), bool)
        target = out.reshape(-1).view(np.uint8)
        for piece in self._map.covering(base, base + len(out) * PAGE_BYTES):
            first, last = piece.start - base, piece.end - base
            there[first >> PAGE_SHIFT : (last + PAGE_BYTES - 1) >> PAGE_SHIFT] = True
            if piece.source >= 0:
                data = self._data.read(piece.source, last - first,
                                       f"the memory at {piece.start:#x}")
                target[first:last] = np.frombuffer(data, np.uint8)
        return there
