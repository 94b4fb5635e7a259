"""Tables that are kept for the day when large pages are split. [mm/pgtable-generic.c]"""

__all__ = ["Deposits"]


class Deposits:
    """The frames of the tables that one address space keeps, by the table of the large pages.

    Of those that the entries of one table keep, the latest is taken first, and then the oldest.
    """

    def __init__(self) -> None:
        self._kept: dict[int, list[int]] = {}  # as a ring, from the one that is taken first

    def __len__(self) -> int:
        """Return how many tables are kept; they count as page tables. [mm_inc_nr_ptes]"""
        return sum(map(len, self._kept.values()))

    def __bool__(self) -> bool:
        return bool(self._kept)

    @property
    def counts(self) -> dict[int, int]:
        """How many are kept, by the frame of the table of the large pages."""
        return {upper: len(ring) for upper, ring in self._kept.items()}

    @property
    def frames(self) -> list[int]:
        """The frames of all that are kept."""
        return [frame for ring in self._kept.values() for frame in ring]

    def deposit(self, upper: int, frame: int) -> None:
        """Keep a table for an entry of the table in frame ``upper``.

        [pgtable_trans_huge_deposit]
        """
        ring = self._kept.setdefault(upper, [])
        self._kept[upper] = [frame, *ring[1:], *ring[:1]]

    def withdraw(self, upper: int) -> int:
        """Return the frame of one that is kept for the entries of a table, and keep it no more.

        Raise ``KeyError`` if none is. [pgtable_trans_huge_withdraw]
        """
        ring = self._kept[upper]
        frame = ring.pop(0)
        if not ring:
            del self._kept[upper]
        return frame
