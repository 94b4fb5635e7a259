"""Page-table memory as the MMU meets it in each cycle, for the engine in Amaranth's simulator.

``timed_memory.h`` does the same, draw for draw.
"""

from collections import Counter
from collections.abc import Mapping

from ...hdl.shapes import MEMORY_TAG_BITS, MemoryOp
from ...model.physical.memory import BusError, PhysicalMemory
from .memory_model import CHANCE_BITS, PURPOSES, MemoryModel, draw

__all__ = ["TimedMemory"]

REQUEST_STALL, LATENCY, ERROR, ANSWER_STALL = range(len(PURPOSES))

Response = dict[str, int]


class TimedMemory:
    """Takes accesses to page tables, and keeps the responses until they are due.

    Cycles are numbered from the engine's first run on, without a gap. As the hardware asks for, a
    response comes before the access of the same walk's number is accepted that is
    ``1 << MEMORY_TAG_BITS`` behind its own: until then nothing is.

    Parameters
    ----------
    model : MemoryModel
        How it behaves.
    entry_bytes : int
        Size of a page-table entry.
    ports : int
        Number of the MMU's request ports.
    plain_writes : bool
        Exchanges store without a comparison, and their responses tell nothing.
    """

    def __init__(
        self, model: MemoryModel, entry_bytes: int, ports: int, *, plain_writes: bool = False
    ) -> None:
        self._model, self._entry_bytes = model, entry_bytes
        self._plain_writes = plain_writes
        self._keys = [model.key(purpose) for purpose in range(ANSWER_STALL + ports)]
        self._ports = range(ANSWER_STALL, ANSWER_STALL + ports)
        # Of each: the cycle from which it may be given, how many accesses of its walk's number came
        # before, the response, and the address if it is an error by chance.
        self._waiting: list[tuple[int, int, Response, int | None]] = []
        self._accepted: Counter[int] = Counter()  # accesses, by the number of the walk
        self._errors: list[tuple[int, int]] = []

    def accepts(self, cycle: int) -> bool:
        """Return whether it takes an access in that cycle."""
        for _, before, response, _ in self._waiting:
            if self._accepted[_walk(response)] - before >= 1 << MEMORY_TAG_BITS:
                return False
        return not self._happens(REQUEST_STALL, cycle, self._model.request_stall)

    def answers_taken(self, cycle: int) -> list[bool]:
        """Return for each port whether its answer is taken in that cycle."""
        chance = self._model.answer_stall
        return [not self._happens(port, cycle, chance) for port in self._ports]

    def _happens(self, purpose: int, cycle: int, chance: float) -> bool:
        if not chance:
            return False
        random = draw(self._keys[purpose], cycle)
        return random >> 64 - CHANCE_BITS < self._model.threshold(chance)

    def response(self, cycle: int) -> Response | None:
        """Return the response to give in that cycle, None if none is due.

        It is the one due first, of equals the one asked for first, and stays until ``taken``.
        """
        if not self._waiting or min(due for due, *_ in self._waiting) > cycle:
            return None
        first = min(range(len(self._waiting)), key=lambda place: self._waiting[place][0])
        # To the front, where none that is asked for from now on comes before it.
        self._waiting.insert(0, (0, *self._waiting.pop(first)[1:]))
        return self._waiting[0][2]

    def taken(self, cycle: int) -> None:
        """Note that the response was taken in that cycle."""
        *_, error = self._waiting.pop(0)
        if error is not None:
            self._errors.append((cycle, error))

    def new_errors(self) -> list[tuple[int, int]]:
        """Return the bus errors by chance that were taken since the last call: cycle, address."""
        errors, self._errors = self._errors, []
        return errors

    def access(self, memory: PhysicalMemory, request: Mapping[str, int], cycle: int) -> None:
        """Do an access that was accepted in that cycle; keep the response until it is due."""
        low, high = self._model.latencies
        random = draw(self._keys[LATENCY], cycle) if high > low else 0
        due = cycle + low + random % (high - low + 1)
        response, error = {"tag": request["tag"]}, None
        if self._happens(ERROR, cycle, self._model.error_rate):
            response["error"], error = 1, request["address"]
        else:
            try:
                self._do(memory, request, response)
            except BusError:
                response["error"] = 1
        self._waiting.append((due, self._accepted[_walk(response)], response, error))
        self._accepted[_walk(response)] += 1

    def _do(
        self, memory: PhysicalMemory, request: Mapping[str, int], response: Response
    ) -> None:
        """Read or exchange an entry, and put what was there into ``response``."""
        size, address = self._entry_bytes, request["address"]
        if MemoryOp(request["op"]) == MemoryOp.READ:
            response["data"] = memory.read(address, size)
        elif self._plain_writes:
            memory.write(address, size, request["desired"])
        else:
            response["data"] = memory.compare_exchange(
                address, size, request["expected"], request["desired"])
            response["exchanged"] = int(response["data"] == request["expected"])


def _walk(response: Response) -> int:
    """Return the number of the walk that the response is for, which its tag has."""
    return response["tag"] >> MEMORY_TAG_BITS
