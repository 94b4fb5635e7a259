"""The whole MMU: what its parts do in a cycle, in the order in which one follows from the other."""

from .cycle import Asked, CycleInputs, CycleOutputs, DropOrder, MemoryReply, WalkResult
from .drop_rules import is_gp_fault, operation_drop, page_fault_drop
from .event_names import EventBits
from .l2_model import L2Model
from .miss_port_model import MissPortModel
from .pool_model import PoolModel
from .port_model import PortModel
from .timed_geometry import TimedGeometry
from .walker_model import WalkerModel

__all__ = ["MmuModel"]


class TurnModel:
    """Whose walk is next: the port after the one chosen last; who was offered stays so."""

    def __init__(self, ports: int) -> None:
        self._ports, self._last, self._waits = ports, 0, False

    def choose(self, asking: list[Asked | None]) -> int:
        """Return the port to serve in this cycle."""
        if not self._waits:
            for step in range(1, self._ports + 1):
                number = (self._last + step) % self._ports
                if asking[number] is not None:
                    self._last = number
                    break
        return self._last

    def note(self, *, waits: bool) -> None:
        """Note whether what was offered in this cycle was not accepted."""
        self._waits = waits


class MmuModel:
    """Predicts all outputs of the MMU, a cycle a call, from the inputs of the cycle.

    Parameters
    ----------
    geometry : TimedGeometry
        The parameters of the MMU.
    """

    def __init__(self, geometry: TimedGeometry) -> None:
        self.geometry = geometry
        self._registered = geometry.memory_response == "registered"
        self._flush = EventBits(geometry)["flush"]
        self._start([0] * geometry.walkers, {})

    def _start(self, counts: list[int], generations: dict[int, int]) -> None:
        """Become as after a reset: all is empty.

        But accesses are counted on from ``counts``, and PCIDs have the ``generations`` they had.
        """
        geometry = self.geometry
        kind = MissPortModel if geometry.has_miss_file else PortModel
        self._ports = [kind(geometry, number) for number in range(len(geometry.ports))]
        self._walker = (PoolModel if geometry.has_walk_pool else WalkerModel)(geometry, counts)
        self._l2 = L2Model(geometry, generations) if geometry.l2_entries else None
        self._turn = TurnModel(len(self._ports))
        self._reply: MemoryReply | None = None  # in the register, if there is one

    def cycle(self, inputs: CycleInputs) -> CycleOutputs:
        """Play a cycle: return its outputs, and be as at the end of it."""
        outputs = CycleOutputs()
        ports, walker, l2, geometry = self._ports, self._walker, self._l2, self.geometry
        faulting = next((port for port in ports if port.fault is not None), None)
        busy = any(port.busy for port in ports) or (l2 is not None and l2.busy)
        outputs.operation_ready = (
            not busy and faulting is None and all(port.idle for port in ports))
        outputs.refused = geometry.checks and inputs.operation is not None and is_gp_fault(
            inputs.operation, inputs.view, geometry.paddr_bits)
        outputs.drop = drop = None if busy else self._drop(inputs, outputs, faulting)
        paused = inputs.operation is not None or faulting is not None or busy
        asking = [port.asks(inputs.cancels.get(number)) for number, port in enumerate(ports)]
        result, hit, offered = walker.result, None, None
        if l2 is not None:
            hit, offered = l2.look(result)
        came = self._pass_on(asking, walker.accepts(drop) if l2 is None else l2.ready)
        self._play_ports(inputs, outputs, result or hit, paused)
        if l2 is not None:
            asked, came = came, offered if walker.accepts(drop) else None
            outputs.events |= l2.cycle(asked, drop, result, taken=came is not None)
        reply = inputs.reply
        if self._registered:
            reply, self._reply = self._reply, inputs.reply
        outputs.access, events = walker.cycle(reply, drop, inputs.memory_takes, came)
        outputs.events |= events
        if drop is not None:
            if faulting is not None:
                faulting.fault_taken()
            for port in ports:
                port.give_drop(drop)
        if inputs.reset:
            self._start(walker.counts, {} if l2 is None else l2.generations)
        return outputs

    def _drop(self, inputs: CycleInputs, outputs: CycleOutputs, faulting: PortModel | None
              ) -> DropOrder | None:
        """Return what is dropped in this cycle: first for page faults, then for an operation."""
        if faulting is not None and faulting.fault is not None:
            return page_fault_drop(*faulting.fault)
        if inputs.operation is None or outputs.refused or not outputs.operation_ready:
            return None
        drop = operation_drop(inputs.operation, inputs.view)
        if drop is not None:
            outputs.events |= self._flush
        return drop

    def _play_ports(self, inputs: CycleInputs, outputs: CycleOutputs, result: WalkResult | None,
                    paused: bool) -> None:
        for number, port in enumerate(self._ports):
            mine = result if result is not None and result.port == number else None
            answer, events = port.cycle(
                inputs.requests[number], inputs.takes[number], paused, mine,
                inputs.cancels.get(number), outputs.drop is not None)
            outputs.ready.append(port.ready)
            outputs.answers.append(answer)
            outputs.events |= events

    def _pass_on(self, asking: list[Asked | None], accepts: bool
                 ) -> tuple[Asked, int, int] | None:
        """Return the request of the port whose turn it is, if the walker or the L2 accepts it."""
        number = self._turn.choose(asking)
        asked = asking[number]
        accepted = asked is not None and accepts
        self._turn.note(waits=asked is not None and not accepted)
        if asked is None or not accepted:
            return None
        came = asked, number, self._ports[number].asks_number
        self._ports[number].walk_accepted()
        return came
