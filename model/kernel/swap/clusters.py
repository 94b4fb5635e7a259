"""Where slots of a solid-state disk are given out: one cluster of them after the other.

Seeks cost nothing, so that free clusters are taken in turn, one by each processor. The model has
one processor; discarding blocks is left out. [swap_cluster_info, percpu_cluster in mm/swapfile.c]
"""

from collections import deque

__all__ = ["SwapClusters"]

ADDRESS_SPACE_PAGES = 1 << 14
CLUSTER_INFO_PER_LINE = 8  # in 64 bytes of the cache
FREE = b"\0"


class SwapClusters:
    """The clusters of one swap area, and the one that slots are taken from now.

    Parameters
    ----------
    swap_map
        The byte of each slot; those that are not 0 are in use or bad.
    size
        Slots of a cluster.
    """

    def __init__(self, swap_map: bytearray, size: int) -> None:
        self._map = swap_map
        self._size = size
        count = -(-len(swap_map) // size)
        self._used = [size - swap_map[at * size : (at + 1) * size].count(FREE)
                      for at in range(count)]  # what is beyond the area counts as in use
        columns = max(CLUSTER_INFO_PER_LINE, -(-ADDRESS_SPACE_PAGES // size))
        self._free = deque(at for column in range(columns)
                           for at in range(column, count, columns) if not self._used[at])
        self._is_free = {*self._free}
        self._current: int | None = None
        self._next = 0

    def take(self, offset: int) -> None:
        """Count a slot that is in use now. [inc_cluster_info_page]"""
        cluster = offset // self._size
        if cluster in self._is_free:
            assert self._free[0] == cluster, "only the first free cluster is taken"
            self._is_free.remove(self._free.popleft())
        self._used[cluster] += 1

    def give_back(self, offset: int) -> None:
        """Count a slot that is free again; a cluster without others is taken last.

        [dec_cluster_info_page]
        """
        cluster = offset // self._size
        self._used[cluster] -= 1
        if not self._used[cluster]:
            self._free.append(cluster)
            self._is_free.add(cluster)

    def next_slot(self) -> int | None:
        """Return the next free slot of the processor's cluster, or of the first free one.

        Return None if there is none. [scan_swap_map_try_ssd_cluster]
        """
        while True:
            if self._current is None:
                if not self._free:
                    return None
                self._current = self._free[0]
                self._next = self._current * self._size
            end = (self._current + 1) * self._size
            found = self._map.find(FREE, self._next, end)
            if found >= 0:
                self._next = found + 1
                return found
            self._current = None

    def conflicts(self, offset: int) -> bool:
        """Return whether a slot is in a free cluster that is not the first.

        The processor then gives its cluster up. [scan_swap_map_ssd_cluster_conflict]
        """
        cluster = offset // self._size
        if cluster not in self._is_free or cluster == self._free[0]:
            return False
        self._current = None
        return True

    def check(self) -> bool:
        """Return whether counts and the list of free clusters agree with the slots."""
        used = [self._size - self._map[at * self._size : (at + 1) * self._size].count(FREE)
                for at in range(len(self._used))]
        return used == self._used and sorted(self._free) == [
            at for at, count in enumerate(used) if not count]
