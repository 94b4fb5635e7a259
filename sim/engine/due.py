"""The accesses that wait for an answer, for the engine in Amaranth's simulator.

``harness.cc`` does the same.
"""

from collections import deque
from dataclasses import dataclass

from ...hdl.config import Config

__all__ = ["DueAccess", "DueAccesses"]


@dataclass(eq=False, slots=True)
class DueAccess:
    """An access that waits: its command, when it was accepted, with which tag."""

    row: int
    accepted: int
    tag: int
    missed: bool = False  # whether its lookup found nothing


class DueAccesses:
    """The accesses that wait at each port, in the order of acceptance, and how they are told apart.

    Parameters
    ----------
    config : Config
        Parameters of the MMU.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._by_port: list[deque[DueAccess]] = [deque() for _ in config.ports]
        self._last_tags = [0 for _ in config.ports]

    def __bool__(self) -> bool:
        """Return whether any access waits."""
        return any(self._by_port)

    def waiting(self, port: int) -> tuple[int, ...]:
        """Return the commands of the accesses that wait at a port, in the order of acceptance."""
        return tuple(one.row for one in self._by_port[port])

    def elsewhere(self, port: int | None) -> bool:
        """Return whether any access waits at a port other than ``port``."""
        return any(due for number, due in enumerate(self._by_port) if number != port)

    def choose_tag(self, port: int, row: int) -> int:
        """Return the tag of a request, which is of the command ``row``.

        Where answers are told by their tags, of those that wait none has the same.
        """
        mask = (1 << self._config.tag_bits) - 1
        if self._config.order == "request":
            return row & mask
        taken = {one.tag for one in self._by_port[port]}
        tag = self._last_tags[port] + 1 & mask
        while tag in taken:
            tag = tag + 1 & mask
        self._last_tags[port] = tag
        return tag

    def add(self, port: int, access: DueAccess) -> None:
        """Note an access that was accepted."""
        self._by_port[port].append(access)

    def tag_of(self, port: int, which: int) -> int | None:
        """Return the tag of the access that is the ``which``-th from the last, 1; None for none."""
        due = self._by_port[port]
        return due[-which].tag if which <= len(due) else None

    def note_miss(self, port: int, cycle: int) -> None:
        """Note that of the port's accesses one was looked up in ``cycle`` and missed.

        Each is looked up once that is told, in the order of acceptance, and the next one is not
        accepted before: it is the last one that was accepted so long ago.
        """
        for one in reversed(self._by_port[port]):
            if one.accepted <= cycle - self._config.hit_latency:
                one.missed = True
                break

    def answers(self, port: int, tag: int) -> bool:
        """Return whether an answer with ``tag`` is to a request of an earlier cycle."""
        due = self._by_port[port]
        if self._config.order == "request":
            return bool(due)
        return any(one.tag == tag for one in due)

    def take(self, port: int, tag: int) -> DueAccess | None:
        """Return the access that an answer with ``tag`` is to, which waits no more; None if none.
        """
        due = self._by_port[port]
        waiting = due if self._config.order == "tag" else list(due)[:1]
        for one in waiting:
            if one.tag == tag:
                due.remove(one)
                return one
        return None

    def lose(self, port: int, tag: int | None = None) -> list[DueAccess]:
        """Return the accesses of a port, or those with ``tag``, which wait no more."""
        due = self._by_port[port]
        lost = [one for one in due if tag in (None, one.tag)]
        for one in lost:
            due.remove(one)
        return lost
