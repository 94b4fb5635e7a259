"""One of the pool's walks: what it waits for, and where it is."""

import enum
from dataclasses import dataclass, field

from ..rights import Rights
from .cycle import Asked, MemoryReply
from .walk_cache_model import TableAt

__all__ = ["PoolWalk", "Stage", "Subject"]


class Stage(enum.Enum):
    """What a walk does in a cycle."""

    FREE = enum.auto()
    BEGIN = enum.auto()
    """It asks for the memory port, but if the walk cache holds a table, only from the next on."""
    ASK = enum.auto()
    """It asks for the memory port."""
    WAIT = enum.auto()
    """It waits for a response, or what it led to is told."""
    OBEY = enum.auto()
    """What the judge said is done."""
    DONE = enum.auto()
    """It has ended, and others are parked with it."""
    PARKED = enum.auto()
    """It waits for the end of another's walk."""


@dataclass(slots=True)
class Subject:
    """What is judged: the walk, the one whose entry it is, and the response."""

    judging: int
    place: int
    level: int
    reply: MemoryReply
    updating: bool
    replay: bool


@dataclass(eq=False, slots=True)
class PoolWalk:
    """The state of one walk; of ``table`` and ``level`` it has also those of before the response.

    ``count`` is the number of the access that memory accepted last.
    """

    count: int = 0
    stage: Stage = Stage.FREE
    asked: Asked | None = None
    port: int = 0
    miss: int = 0
    table: TableAt = field(default_factory=lambda: TableAt(0, 0, Rights()))
    before: TableAt = field(default_factory=lambda: TableAt(0, 0, Rights()))
    updating: bool = False
    dirty: bool = False
    lacking: bool = False
    setting: bool = False
    stale: bool = False
    current: bool = False  # others may join, as far as their registers tell
    responded: bool = False  # in the cycle before
    replayed: bool = False  # given to the judge in the cycle before
    leader: int = 0
    failed: bool = False
    entry: int = 0  # that was judged last

    def to_root(self) -> None:
        """Go to the root, which forbids nothing."""
        assert self.asked is not None
        self.table = TableAt(0, self.asked.view.root, Rights())
        self.updating = self.lacking = self.setting = False
