"""Signals inside are found by name, and what is not there is told."""

import pytest
from amaranth import Module, Signal
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In

from pagewalk.sim.step.component_tree import ComponentTree

PAIR = data.StructLayout({"low": 4, "high": 4})


class Example(wiring.Component):
    go: In(1)

    def elaborate(self, platform):
        m = Module()
        m.submodules.words = memory.Memory(shape=PAIR, depth=2, init=[])
        flags, other = (Signal(3) for _ in range(2))
        pair, wide = Signal(PAIR, name="pair"), Signal(8, name="wide")
        m.d.sync += [pair.low.eq(pair.low + 1), other.eq(flags)]
        with m.If(self.go):
            m.d.sync += flags[1].eq(1)
        m.d.comb += wide.eq(pair)
        m.submodules.turns = Turns()
        return m


class Turns(wiring.Component):
    go: In(1)

    def elaborate(self, platform):
        m = Module()
        with m.FSM():
            with m.State("One"), m.If(self.go):
                m.next = "Two"
            with m.State("Two"):
                m.next = "One"
        return m


@pytest.fixture
def tree():
    return ComponentTree.of(Example())


def test_parts_are_found_by_name(tree):
    assert isinstance(tree.component, Example)
    assert isinstance(tree.inner("words").component, memory.Memory)
    assert len(tree.inner("words").rows(PAIR)) == 2
    assert len(tree.wire("wide")) == 8
    assert len(tree.flags()) == 3
    signal, names = tree.inner("turns").state()
    assert (len(signal), sorted(names.values())) == (1, ["One", "Two"])


@pytest.mark.parametrize(("ask", "message"), [
    (lambda tree: tree.inner("none"), "Component top must have a submodule 'none'"),
    (lambda tree: tree.register("wide"), "Component top must have one signal 'wide', not 0"),
    (lambda tree: tree.wire("pair"), "Component top must have one signal 'pair', not 0"),
    (lambda tree: tree.register("pair", data.StructLayout({"low": 4})),
     "Signal top.pair must have 4 bits, not 8"),
    (lambda tree: tree.inner("words").rows(data.StructLayout({"low": 4})),
     "Memory top.words must have words of 4 bits, not 8"),
    (lambda tree: tree.inner("words").flags(),
     "Component top.words must have one register of flags, not 0"),
])
def test_what_is_not_there_is_told(ask, message, tree):
    with pytest.raises(LookupError) as caught:
        ask(tree)
    assert caught.value.args == (message,)
