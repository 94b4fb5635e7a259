"""How long a disk takes, and how busy it was: the clock behind a swap device."""

from dataclasses import dataclass

__all__ = ["HARD_DISK", "SOLID_STATE", "DiskCounters", "DiskLatency"]


@dataclass(frozen=True, slots=True)
class DiskLatency:
    """The time that one page takes, in ns.

    A page that follows the one before it on the disk takes ``transfer_ns``; any other
    ``seek_ns`` more, however far away it is. ``rotational`` is whether the disk turns, by which
    the kernel chooses where pages go. [bdev_nonrot]
    """

    seek_ns: int
    transfer_ns: int
    rotational: bool = True

    def time_ns(self, sequential: bool) -> int:
        """Return the time of one page."""
        return self.transfer_ns + (0 if sequential else self.seek_ns)


HARD_DISK = DiskLatency(seek_ns=12_670_000, transfer_ns=27_300)
"""7200 turns a minute: 8.5 ms to the track, half a turn of 8.33 ms, then 150 Mbyte/s."""
SOLID_STATE = DiskLatency(seek_ns=80_000, transfer_ns=8_200, rotational=False)
"""80 us to the first byte, then 500 Mbyte/s."""


@dataclass(slots=True)
class DiskCounters:
    """What a disk has done: pages read and written, seeks among them, and the time of all, ns."""

    pages_in: int = 0
    pages_out: int = 0
    seeks: int = 0
    time_ns: int = 0
