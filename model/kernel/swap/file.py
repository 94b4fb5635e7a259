"""A swap device that is a real file, in the format that ``mkswap`` writes.

The file stays what it is for other programs: its header is never written again, and a file that
shrinks while it is in use is noticed before anything is lost.
"""

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self
from uuid import UUID

from ...x86 import PAGE_BYTES
from .disk import HARD_DISK, DiskCounters, DiskLatency
from .errors import (
    BadSwapHeader,
    SwapDeviceBusy,
    SwapFileShrunk,
    SwapFileTooSmall,
    SwapIoError,
)
from .header import SwapHeader

__all__ = ["MIN_PAGES", "SwapFile"]

MIN_PAGES = 10  # what mkswap asks for
MAX_PAGES = 1 << 32  # the header has 32 bits for the number of the last one


class SwapFile:
    """A swap area in a file: pages of 4096 bytes by number, page 0 being the header.

    The file is locked, so that no second ``SwapFile`` uses it. Use it in a ``with`` statement or
    ``close`` it.

    Parameters
    ----------
    path
        The file, as ``mkswap`` or ``create`` made it.
    partition
        Whether the file stands for a disk. A swap file may have no bad pages, a disk may.
        [S_ISBLK]
    name
        What ``/proc/swaps`` calls it, by default ``path``.
    latency
        How long the disk takes.

    Members
    -------
    header
        What the first page says.
    counters
        What the disk has done.

    Raises
    ------
    OSError
        If the file cannot be opened.
    SwapDeviceBusy, SwapFileTooSmall, BadSwapHeader
        If the file is in use, shorter than its header says, or the header no such header.
    """

    def __init__(self, path: str | os.PathLike[str], *, partition: bool = False,
                 name: str | None = None, latency: DiskLatency = HARD_DISK) -> None:
        self.path = os.fspath(path)
        self.partition = partition
        self.name = self.path if name is None else name
        self.latency = latency
        self.counters = DiskCounters()
        self._head = -1  # the page before the one that the disk would come to next
        self._fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        try:
            self._lock()
            self.header = self._read_header()
        except BaseException:
            self.close()
            raise

    @classmethod
    def create(cls, path: str | os.PathLike[str], pages: int, *, uuid: UUID,
               label: str = "") -> Self:
        """Make a swap file of ``pages`` pages, the header among them, and open it.

        Raise ``ValueError`` for fewer than 10 pages or more than 2**32, or a label of more than 15
        bytes, and ``FileExistsError`` rather than overwrite a file. [mkswap(8)]
        """
        if not MIN_PAGES <= pages <= MAX_PAGES:
            raise ValueError(
                f"Swap file must have from {MIN_PAGES} to {MAX_PAGES} pages, not {pages}")
        header = SwapHeader(pages - 1, uuid, label).pack()
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.posix_fallocate(fd, 0, pages * PAGE_BYTES)  # Linux takes no swap file with holes
            os.pwrite(fd, header, 0)
        except BaseException:
            Path(path).unlink()
            raise
        finally:
            os.close(fd)
        return cls(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        self.close()

    def __len__(self) -> int:
        """Return the number of pages, header and bad pages included."""
        return self.header.last_page + 1

    def close(self) -> None:
        """Unlock and close the file; closing it again does nothing."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def read(self, slot: int, pfn: int) -> bytes:
        """Return the 4096 bytes of page ``slot``, meant for page frame ``pfn``.

        Raise ``SwapFileShrunk`` or ``SwapIoError``. [swap_readpage]
        """
        self._check_slot(slot)
        try:
            data = os.pread(self._fd, PAGE_BYTES, slot * PAGE_BYTES)
        except OSError as error:
            self._fail(slot, pfn, "read", error)
        if len(data) < PAGE_BYTES:
            raise SwapFileShrunk(self.path, slot, pfn, "read", "the file ends before it")
        self.counters.pages_in += 1
        self._spend(slot)
        return data

    def write(self, slot: int, data: bytes | bytearray | memoryview, pfn: int) -> None:
        """Store the 4096 bytes of page frame ``pfn`` as page ``slot``.

        Raise ``SwapFileShrunk`` or ``SwapIoError``, and ``ValueError`` for data of another size.
        [swap_writepage]
        """
        self._check_slot(slot)
        if memoryview(data).nbytes != PAGE_BYTES:
            raise ValueError(f"A page must have {PAGE_BYTES} bytes, not {memoryview(data).nbytes}")
        try:
            # A write past the end would lengthen the file again, with zeros for what was lost.
            if self._file_pages() <= slot:
                raise SwapFileShrunk(self.path, slot, pfn, "write", "the file ends before it")
            written = os.pwrite(self._fd, data, slot * PAGE_BYTES)
        except OSError as error:
            self._fail(slot, pfn, "write", error)
        if written < PAGE_BYTES:
            raise SwapIoError(self.path, slot, pfn, "write", f"only {written} bytes were written")
        self.counters.pages_out += 1
        self._spend(slot)

    def _check_slot(self, slot: int) -> None:
        if not 0 < slot < len(self):
            raise ValueError(f"Slot must be between 1 and {len(self) - 1}, not {slot}")

    def _file_pages(self) -> int:
        return os.lseek(self._fd, 0, os.SEEK_END) // PAGE_BYTES

    def _fail(self, slot: int, pfn: int, action: str, error: OSError) -> NoReturn:
        raise SwapIoError(self.path, slot, pfn, action, error.strerror or str(error)) from error

    def _spend(self, slot: int) -> None:
        sequential = slot == self._head + 1
        self._head = slot
        self.counters.seeks += not sequential
        self.counters.time_ns += self.latency.time_ns(sequential)

    def _lock(self) -> None:
        """Keep others out. [IS_SWAPFILE]"""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SwapDeviceBusy(self.path, "the swap file is in use") from None

    def _read_header(self) -> SwapHeader:
        """Return the header, having compared it with the file. [read_swap_header]"""
        page = os.pread(self._fd, PAGE_BYTES, 0)
        if len(page) < PAGE_BYTES:
            raise SwapFileTooSmall(self.path, 0, 2)
        header = SwapHeader.parse(page, self.path)
        pages = self._file_pages()
        if pages <= header.last_page:
            raise SwapFileTooSmall(self.path, pages, header.last_page + 1)
        if header.badpages and not self.partition:
            raise BadSwapHeader(self.path, "nr_badpages", "0 in a file that is no partition",
                                len(header.badpages))
        return header
