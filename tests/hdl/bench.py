"""A bench to put hardware on: the simulator, stream verbs, recorders, page-table memory."""

from collections import deque
from functools import cache, reduce
from itertools import accumulate

from amaranth import Cat, ClockDomain, Const, Module, Signal, Value
from amaranth.hdl import Fragment
from amaranth.sim import Simulator

from pagewalk.hdl.shapes import MemoryOp
from pagewalk.model.physical.memory import BusError

CYCLE_LIMIT = 20_000  # far more than any test needs: a design that hangs fails soon


def simulate(dut, *testbenches, background=()):
    """Run ``dut`` with a clock until ``testbenches`` are done.

    The ``background``, testbenches and ``Trace`` objects, goes along. It runs first in each cycle,
    so that it sees the last cycle as well.
    """
    top = Module()
    top.domains.sync = ClockDomain()  # also where the design itself has no register
    top.submodules.dut = dut
    top.d.comb += [one.probe.eq(one.word) for one in background if isinstance(one, Trace)]
    simulator = Simulator(top)
    simulator.add_clock(1e-6)
    for one in background:
        simulator.add_testbench(one.watch if isinstance(one, Trace) else one, background=True)
    for testbench in testbenches:
        simulator.add_testbench(testbench)
    for _ in range(2 * CYCLE_LIMIT):  # two events make a cycle
        if not simulator.advance():
            return
    raise AssertionError(f"Testbench is not done after {CYCLE_LIMIT} cycles")


def elaborated(dut):
    """Return ``dut``, elaborated: Amaranth warns of what is made and not put to use."""
    Fragment.get(dut, None)
    return dut


def evaluate(dut, stimuli, outputs):
    """Use a combinational ``dut`` as a function: one dict of outputs for each dict of inputs.

    Names of ports may have dots, and numbers in arrays: ``req.valid``, ``ports.0.valid``.
    """
    results = []

    @cache
    def port(name):
        return reduce(lambda part, step: part[int(step)] if step.isdigit() else getattr(part, step),
                      name.split("."), dut)

    async def testbench(ctx):
        previous = {}
        for stimulus in stimuli:
            for name, value in stimulus.items():
                if previous.get(name) != value:  # setting an input costs more than comparing it
                    ctx.set(port(name), value)
            previous = stimulus
            results.append({name: plain(ctx.get(port(name))) for name in outputs})

    simulator = Simulator(dut)
    simulator.add_testbench(testbench)
    simulator.run()
    return results


def plain(value):
    """Return a value read from the simulator as ints, a struct as a dict of its fields."""
    if hasattr(value, "shape") and hasattr(value.shape(), "members"):
        return {name: plain(value[name]) for name in value.shape().members}
    return getattr(value, "value", value)


# Not with `tick().until()`: when a test fails meanwhile, that ends the worker with
# "aclose(): asynchronous generator is already running" (Amaranth 0.5.10, Python 3.11).
async def put(ctx, stream, payload):
    """Offer ``payload`` until it is accepted."""
    ctx.set(stream.payload, payload)
    ctx.set(stream.valid, 1)
    ready = 0
    while not ready:
        _, _, ready = await ctx.tick().sample(stream.ready)
    ctx.set(stream.valid, 0)


async def take(ctx, stream):
    """Accept the next payload and return it as ints."""
    ctx.set(stream.ready, 1)
    valid, payload = 0, None
    while not valid:
        _, _, valid, payload = await ctx.tick().sample(stream.valid, stream.payload)
    ctx.set(stream.ready, 0)
    return plain(payload)


class Trace:
    """Records named signals, cycle by cycle, in the background of ``simulate``."""

    def __init__(self, **signals):
        signals = {name: Value.cast(signal) for name, signal in signals.items()}
        self.names = tuple(signals)
        # Of all that can be sampled, one signal is the quickest.
        self.word = Cat(*signals.values())
        self.probe = Signal(len(self.word))
        lows = accumulate((len(signal) for signal in signals.values()), initial=0)
        self.places = {name: (low, (1 << len(signal)) - 1)
                       for low, (name, signal) in zip(lows, signals.items(), strict=False)}
        self.words = []

    async def watch(self, ctx):
        async for _, _, word in ctx.tick().sample(self.probe):
            self.words.append(word)

    def values(self, name):
        """Return the value of one signal in each cycle."""
        low, ones = self.places[name]
        return [word >> low & ones for word in self.words]

    def cycles(self, *names):
        """Return the cycles in which all of ``names`` are set."""
        columns = zip(*(self.values(name) for name in names), strict=True)
        return [cycle for cycle, values in enumerate(columns) if all(values)]

    def total(self, name):
        """Return the sum of one signal over all cycles."""
        return sum(self.values(name))


def stream_trace(**streams):
    """Return a ``Trace`` of the handshakes, ``<name>_valid`` and ``<name>_ready``."""
    signals = {}
    for name, stream in streams.items():
        signals |= {f"{name}_valid": stream.valid, f"{name}_ready": stream.ready}
    return Trace(**signals)


NO_RESET = Const(0)


def offers_hold(name, stream, reset=NO_RESET):
    """Return a background testbench: what is offered stays so until it is accepted, or a reset."""
    async def watch(ctx):
        pending = None
        samples = ctx.tick().sample(stream.valid, stream.ready, Value.cast(stream.payload), reset)
        async for _, _, valid, ready, payload, is_reset in samples:
            if pending is not None:
                assert valid, f"{name} takes back its offer"
                assert payload == pending, f"{name} offers {payload:#x} instead of {pending:#x}"
            pending = payload if valid and not ready and not is_reset else None

    return watch


class PageTableMemory:
    """Page-table memory behind a port; ``serve`` is a background testbench.

    Several accesses may wait for their responses, but no two with one tag. The response that is due
    first comes first.

    ``latency()`` is asked for the cycles from an accepted access to its response, ``ready()`` in
    each cycle whether to accept one. ``before(access)`` is called before each access is done, and
    may write to ``memory`` as another processor would, or raise ``BusError``. ``log`` has, for each
    access, ``("read", address)`` or ``("exchange", address, expected, desired)``, ``owed`` the
    number of responses that are waited for in each cycle.

    With ``plain_writes`` what would be an exchange stores without a comparison, and its response
    tells nothing.
    """

    def __init__(self, port, memory, entry_bytes, *, latency=lambda: 1, ready=lambda: True,
                 before=lambda _access: None, plain_writes=False):
        self.port = port
        self.memory = memory
        self.entry_bytes = entry_bytes
        self.latency = latency
        self.ready = ready
        self.before = before
        self.plain_writes = plain_writes
        self.log = []
        self.latencies = []
        self.owed = []

    async def serve(self, ctx):
        req, rsp = self.port.req, self.port.rsp
        responses = deque()
        cycle = 0
        ctx.set(req.ready, self.ready())
        samples = ctx.tick().sample(
            req.valid & req.ready, req.payload, rsp.valid & rsp.ready)
        async for _, _, asked, access, answered in samples:
            cycle += 1
            if answered:
                responses.popleft()
            if asked:
                assert access.tag not in [response["tag"] for _, response in responses]
                self.latencies.append(self.latency())
                responses.append((cycle - 1 + self.latencies[-1], self._do(access)))
            self.owed.append(len(responses))
            responses = deque(sorted(responses, key=lambda response: response[0]))
            due = bool(responses) and responses[0][0] <= cycle
            ctx.set(rsp.valid, due)
            if due:
                ctx.set(rsp.payload, responses[0][1])
            ctx.set(req.ready, self.ready())

    def _do(self, access):
        address, size = access.address, self.entry_bytes
        exchange = access.op == MemoryOp.COMPARE_EXCHANGE
        self.log.append(("exchange", address, access.expected, access.desired) if exchange
                        else ("read", address))
        try:
            self.before(self.log[-1])
            if not exchange:
                return {"tag": access.tag, "data": self.memory.read(address, size)}
            if self.plain_writes:
                self.memory.write(address, size, access.desired)
                return {"tag": access.tag, "data": -1}
            value = self.memory.compare_exchange(address, size, access.expected, access.desired)
        except BusError:  # with what would have been fine in the other fields
            return {"tag": access.tag, "data": 0x67, "exchanged": 1, "error": 1}
        return {"tag": access.tag, "data": value, "exchanged": value == access.expected}
