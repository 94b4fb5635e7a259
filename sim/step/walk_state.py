"""Which walks are under way in hardware that is simulated: how far they are, what they wait for."""

from dataclasses import dataclass, replace

from ...hdl.config import Config
from ...hdl.shapes import MEMORY_TAG_BITS, MemoryOp, walk_request_layout
from ...hdl.walk_context import birth_layout
from ...hdl.walk_shapes import key_layout, place_layout
from ...model.x86 import PAGE_SHIFT, Level
from ..engine.wires import Record
from .component_tree import ComponentTree
from .held_entries import Get, linear_address

__all__ = ["TableAccess", "WalkState", "WalkStates"]

WALKER_WORDS = {"Wait": "waits for memory", "Offer": "asks memory", "Done": "answers"}
CONTEXT_WORDS = {"Begin": "begins", "Ask": "asks memory", "Wait": "waits for memory",
                 "Obey": "is judged", "Done": "waits for those with it", "Parked": "is parked"}


@dataclass(frozen=True, slots=True)
class TableAccess:
    """An access to page-table memory: an operation, and the address of the entry."""

    op: MemoryOp
    address: int

    def __str__(self) -> str:
        """Say it in words."""
        return f"{'read' if self.op is MemoryOp.READ else 'exchange'} {self.address:#x}"


@dataclass(frozen=True, slots=True)
class WalkState:
    """A walk: its number, what it is for, the level whose entry it is at, what it does.

    ``updating`` says that the access at hand sets flags of the entry. ``access`` is what memory
    has accepted last for the walk and has not responded to, None if there is none.
    """

    number: int
    vaddr: int
    pcid: int
    level: Level
    updating: bool
    doing: str
    access: TableAccess | None = None


class WalkStates:
    """Reads the walks, and notes which access each waits for.

    Parameters
    ----------
    config : Config
        Parameters of the MMU.
    mmu : ComponentTree
        The ``Mmu``.
    """

    def __init__(self, config: Config, mmu: ComponentTree) -> None:
        self._config = config
        self._walker = walker = mmu.inner("walker")
        self._awaited: dict[int, TableAccess] = {}  # by the number of the walk
        if config.has_walk_pool:
            self._born = Record(birth_layout(config))
            self._key = Record(key_layout(config))
            self._keys = walker.inner("keys").rows(key_layout(config))
            self._contexts = [walker.inner(f"context_{number}")
                              for number in range(config.walkers)]
            self._states = [context.state() for context in self._contexts]
        else:
            self._request = Record(walk_request_layout(config))
            self._place = Record(place_layout(config))
            self._registers = (walker.register("request", walk_request_layout(config)),
                               walker.register("place", place_layout(config)))
            self._state = walker.state()

    def note_access(self, tag: int, access: TableAccess) -> None:
        """Note that memory has accepted an access."""
        self._awaited[tag >> MEMORY_TAG_BITS] = access

    def note_response(self, tag: int) -> None:
        """Note that memory has responded."""
        self._awaited.pop(tag >> MEMORY_TAG_BITS, None)

    def read(self, get: Get) -> list[WalkState]:
        """Return the walks under way in the present cycle."""
        found = self._of_pool(get) if self._config.has_walk_pool else self._of_walker(get)
        return [replace(one, access=self._awaited.get(one.number)) for one in found]

    def _of_walker(self, get: Get) -> list[WalkState]:
        """Return the walk of a ``Walker``, which does one at a time."""
        signal, names = self._state
        doing = names[get(signal)]
        walk = self._walker.component.walk
        if doing == "Idle":
            if not (get(walk.req.valid) and get(walk.req.ready)):
                return []
            request = self._request.unpack(get(walk.req.payload))
            return [self._state_of(0, request["access_vaddr"], request["control_pcid"],
                                   {"level": self._begin(get), "updating": 0}, "begins")]
        request, place = (record.unpack(get(register)) for record, register in
                          zip((self._request, self._place), self._registers, strict=True))
        return [self._state_of(0, request["access_vaddr"], request["control_pcid"], place,
                               WALKER_WORDS[doing])]

    def _begin(self, get: Get) -> int:
        """Return the level at which the walk that is begun accesses its first entry."""
        return get(self._walker.inner("next_entry").component.next_place.level)

    def _of_pool(self, get: Get) -> list[WalkState]:
        """Return the walks of a ``WalkPool``, one in each ``WalkContext`` that is not free."""
        walks = []
        for number, context in enumerate(self._contexts):
            signal, names = self._states[number]
            doing = names[get(signal)]
            if doing == "Free":
                continue
            ports = context.component
            born = self._born.unpack(get(ports.born))
            words = CONTEXT_WORDS[doing]
            place = {"level": get(ports.level), "updating": get(ports.updating)}
            if doing == "Wait" and get(ports.wants):
                words = CONTEXT_WORDS["Ask"]
            elif doing == "Wait" and get(ports.judged):  # it went down, as if the entry led on
                words, place["level"] = CONTEXT_WORDS["Obey"], place["level"] - 1
            elif doing == "Parked":
                words = f"waits for walk {born['leader']}"
            pcid = self._key.unpack(get(self._keys[number]))["pcid"]
            walks.append(self._state_of(
                number, linear_address(self._config, born["vpn"]), pcid, place, words))
        return walks

    def _state_of(self, number: int, vaddr: int, pcid: int, place: dict[str, int],
                  doing: str) -> WalkState:
        return WalkState(number, vaddr & -1 << PAGE_SHIFT, pcid,
                         self._config.mode.levels[place["level"]], bool(place["updating"]), doing)
