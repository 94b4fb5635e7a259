"""Which request port of the MMU an access of a recording goes through."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...model.x86 import AccessKind

__all__ = ["port_of"]


def port_of(kind: ArrayLike, ports: int) -> NDArray[np.uint8]:
    """Return for each access kind the position of its port among so many.

    The first is for fetches, the second for reads, the last for writes; if there is but one port
    it is for all, and with two the second is for all data.
    """
    kind = np.asarray(kind)
    data = np.where(kind == AccessKind.WRITE, ports - 1, min(1, ports - 1))
    return np.where(kind == AccessKind.FETCH, 0, data).astype(np.uint8)
