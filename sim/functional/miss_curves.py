"""Miss-ratio curves of a trace: for each port and page size, the misses of LRU TLBs of any size."""

import numpy as np
from numpy.typing import NDArray

from ...hdl.config import Config
from ...hdl.shapes import page_name
from ..trace.page_runs import FETCH_RUN
from .stack_distance import StackDistances

__all__ = ["MissCurves"]


class MissCurves:
    """Curves of a fully associative LRU TLB for each port and each size of page that comes up.

    Counted is what is not there, neither misses to set a dirty flag nor those of a page fault made
    again; address spaces do not drop each other's pages.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._curves: dict[tuple[int, int], StackDistances] = {}

    def take(self, pages: NDArray[np.int64], sizes: NDArray[np.int64], kinds: NDArray[np.uint8],
             counts: NDArray[np.int64]) -> None:
        """Take runs of accesses: of each the number of its page, that page's size, and the run."""
        for port, of_port in enumerate((kinds == FETCH_RUN, kinds != FETCH_RUN)):
            for size in np.unique(sizes[of_port]).tolist():
                rows = of_port & (sizes == size)
                curve = self._curves.setdefault((port, size), StackDistances())
                curve.take(pages[rows], counts[rows])

    def text(self) -> str:
        """Return lines of CSV: entries, and the misses of each curve with so many."""
        named = {f"{self._config.ports[port]}_{page_name(self._config.mode.pages[size])}":
                 self._curves[port, size].misses() for port, size in sorted(self._curves)}
        lines = [",".join(["entries", *named])]
        for entries in range(max(map(len, named.values()), default=0)):
            values = (curve[min(entries, len(curve) - 1)] for curve in named.values())
            lines.append(",".join(map(str, (entries, *values))))
        return "\n".join([*lines, ""])
