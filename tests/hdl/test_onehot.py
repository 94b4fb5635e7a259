import pytest
from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from pagewalk.hdl.onehot import encode

from .bench import evaluate


class Encoder(wiring.Component):
    def __init__(self, width):
        super().__init__({"one_hot": In(width), "position": Out(range(width))})

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.position.eq(encode(self.one_hot))
        return m


@pytest.mark.parametrize("width", [1, 2, 3, 5, 8, 9])
def test_the_position_of_the_set_bit_is_found_and_0_without_any(width):
    stimuli = [{"one_hot": 0}, *({"one_hot": 1 << bit} for bit in range(width))]
    results = evaluate(Encoder(width), stimuli, ("position",))
    assert [result["position"] for result in results] == [0, *range(width)]
