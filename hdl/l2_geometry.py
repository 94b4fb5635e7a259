"""Sizes of the second-level TLB, and which set a page may stand in."""

from dataclasses import dataclass

from amaranth import Cat, Const, Mux
from amaranth.lib import data, enum

from ..model.x86 import PAGE_SHIFT
from .config import Config
from .shapes import PCID_BITS, translation_layout

__all__ = ["GENERATION_BITS", "L2Geometry", "L2Op"]

GENERATION_BITS = 4
"""Width of a PCID's generation: a PCID is dropped 15 times at once, and then by a sweep."""


class L2Op(enum.Enum, shape=3):
    """What the array of the second-level TLB is used for at a time.

    ``LOOKUP`` finds a page, ``FILL`` enters one, ``ADDRESS`` drops one, ``SEEK`` looks for one that
    nobody asks for. ``CONTEXT`` drops the
    entries of a PCID that are not global by a new generation; ``SWEEP`` drops entries by looking at
    each set, ``CLEAR`` all of them.
    """

    LOOKUP = 0
    FILL = 1
    ADDRESS = 2
    CONTEXT = 3
    SWEEP = 4
    CLEAR = 5
    SEEK = 6


@dataclass(frozen=True)
class L2Geometry:
    """The second-level TLB of an MMU in sets and ways.

    A set has an entry in each way. A page of any size stands in the set that the low bits of its
    page number select, counted in pages of its size.

    Parameters
    ----------
    config : :class:`Config`
        Parameters of the MMU, with ``l2_entries`` that are not 0.
    """

    config: Config

    @property
    def ways(self) -> int:
        """Number of entries of a set."""
        return self.config.l2_ways

    @property
    def sets(self) -> int:
        """Number of sets."""
        return self.config.l2_entries // self.ways

    @property
    def index_bits(self) -> int:
        """Width of the number of a set."""
        return (self.sets - 1).bit_length()

    @property
    def tag_bits(self) -> int:
        """Width of what tells the pages of one set apart."""
        return max(self.config.vpn_bits - self.index_bits, 0)

    def index(self, vpn, page):
        """Return the set for the page of size ``page``, an index, that holds ``vpn``."""
        return self._by_size(page, lambda low: vpn[low:low + self.index_bits])

    def tag(self, vpn, page):
        """Return the tag for the page of size ``page`` that holds ``vpn``.

        It has the bits of the page number above the set's, which begin higher for a larger page;
        the bits below them are zero.
        """
        return self._by_size(
            page, lambda low: Cat(Const(0, low), vpn[self.index_bits + low:])[:self.tag_bits])

    def _by_size(self, page, value):
        """Return ``value(low)`` for the lowest page-number bit of each size, by ``page``."""
        smallest, *larger = (value(level.shift - PAGE_SHIFT) for level in self.config.mode.pages)
        result = smallest
        for number, one in enumerate(larger, start=1):
            result = Mux(page == number, one, result)
        return result

    def key_layout(self):
        """Return what an entry is found by, but for its set.

        ``pcid`` is missing where the mode has none. ``generation`` is that of the PCID.
        """
        pcid_bits = PCID_BITS if self.config.mode.has_pcids else 0
        return data.StructLayout({
            "tag": self.tag_bits,
            "page": range(len(self.config.mode.pages)),
            "pcid": pcid_bits,
            "generation": GENERATION_BITS,
        })

    def entry_layout(self):
        """Return an entry as it stands in the RAM; the page's size is in ``translation``."""
        key = self.key_layout()
        return data.StructLayout({
            "valid": 1,
            "tag": key["tag"].shape,
            "pcid": key["pcid"].shape,
            "generation": key["generation"].shape,
            "translation": translation_layout(self.config),
        })
