"""The kernel's search for slots, one slot after the other. [scan_swap_map_slots]"""

from pagewalk.model.kernel.swap.slots import SWAP_HAS_CACHE, SWAP_MAP_BAD

LATENCY_LIMIT = 256


class SlotBySlot:
    """A swap area of one processor; ``reclaim`` says of a slot whether it can be freed."""

    def __init__(self, swap_map, cluster, *, solid_state=False):
        self.map, self.size = list(swap_map), cluster
        self.low, self.high = 1, len(swap_map) - 1
        self.pages = self.map.count(0)
        self.next, self.left = 1, 0
        self.is_ssd = solid_state
        count = -(-len(swap_map) // cluster)
        self.used = [sum(bool(value) for value in self.map[at * cluster : (at + 1) * cluster])
                     for at in range(count)]
        self.used[-1] += count * cluster - len(swap_map)
        columns = max(8, -(-16384 // cluster))
        self.free_clusters = []
        for column in range(columns):
            for row in range(-(-count // columns)):
                at = row * columns + column
                if at < count and not self.used[at]:
                    self.free_clusters.append(at)
        self.current, self.current_next = None, 0

    @property
    def inuse(self):
        return len(self.map) - self.map.count(0) - self.map.count(SWAP_MAP_BAD)

    def free(self, at):
        self.map[at] = 0
        self.low, self.high = min(self.low, at), max(self.high, at)
        self.used[at // self.size] -= 1
        if self.is_ssd and not self.used[at // self.size]:
            self.free_clusters.append(at // self.size)

    def take(self, at):
        assert not self.map[at]
        cluster = at // self.size
        if self.is_ssd and cluster in self.free_clusters:
            assert self.free_clusters.pop(0) == cluster
        self.used[cluster] += 1
        self.map[at] = SWAP_HAS_CACHE
        self.low += at == self.low
        self.high -= at == self.high
        if 0 not in self.map:
            self.low, self.high = len(self.map), 0

    def try_cluster(self):
        """[scan_swap_map_try_ssd_cluster]"""
        while True:
            if self.current is None:
                if not self.free_clusters:
                    return None
                self.current = self.free_clusters[0]
                self.current_next = self.current * self.size
            at, end = self.current_next, min(len(self.map), (self.current + 1) * self.size)
            while at < end and self.map[at]:
                at += 1
            if at < end:
                self.current_next = at + 1
                return at
            self.current = None

    def conflict(self, at):
        """[scan_swap_map_ssd_cluster_conflict]"""
        cluster = at // self.size
        if cluster in self.free_clusters and cluster != self.free_clusters[0]:
            self.current = None
            return True
        return False

    def alloc(self, goal, reclaim=None):
        """Return the slots of one search; each ``goto`` of the kernel is a method here."""
        self.goal, self.reclaim = goal, reclaim
        self.found, self.latency, self.many = [], LATENCY_LIMIT, False
        self.at = self.base = self.next
        label = self.begin
        while label is not None:
            label = label()
        return self.found

    def look(self):
        self.latency -= 1
        if self.latency >= 0:
            return False
        self.latency = LATENCY_LIMIT
        return True

    def begin(self):
        if self.is_ssd:
            return self.checks if self.to_cluster() else self.scan
        if self.left:
            self.left -= 1
            return self.checks
        self.left = self.size - 1
        if self.pages - self.inuse < self.size:
            return self.checks
        self.base = self.at = self.low
        last = self.at + self.size - 1
        while last <= self.high:
            if self.map[self.at]:
                last = self.at + self.size
            elif self.at == last:
                self.at -= self.size - 1
                self.next = self.at
                return self.checks
            self.look()
            self.at += 1
        self.at = self.base
        return self.checks

    def to_cluster(self):
        at = self.try_cluster()
        if at is not None:
            self.at = self.base = at
        return at is not None

    def checks(self):
        while self.is_ssd and self.conflict(self.at):
            if self.found:
                return self.done
            if not self.to_cluster():
                return self.scan
        if not self.high:
            return None
        if self.at > self.high:
            self.base = self.at = self.low
        if self.reclaim is not None and self.map[self.at] == SWAP_HAS_CACHE:
            return self.checks if self.reclaim(self.at) else self.scan
        if self.map[self.at]:
            return self.done if self.found else self.scan
        self.take(self.at)
        self.found.append(self.at)
        if len(self.found) == self.goal or self.at >= self.high:
            return self.done
        self.latency -= 1
        return self.done if self.latency < 0 else self.more

    def more(self):
        if self.is_ssd:
            if self.to_cluster():
                return self.checks
        elif self.left:
            self.at += 1
            if not self.map[self.at]:
                self.left -= 1
                return self.checks
        if self.many:
            return self.done
        limit = self.base if self.at < self.base else self.high
        while self.at <= limit:
            self.latency -= 1
            if self.latency <= 0:
                break
            if not self.map[self.at]:
                return self.checks
            self.at += 1
        return self.done

    def done(self):
        self.next = self.at + 1

    def scan(self):
        self.at += 1
        while self.at <= self.high:
            self.many |= self.look()
            if self.available(self.at):
                return self.checks
            self.at += 1
        self.at = self.low
        while self.at < self.base:
            self.many |= self.look()
            if self.available(self.at):
                return self.checks
            self.at += 1
        return None

    def available(self, at):
        return not self.map[at] or (self.reclaim is not None and self.map[at] == SWAP_HAS_CACHE)


__all__ = ["SlotBySlot"]
