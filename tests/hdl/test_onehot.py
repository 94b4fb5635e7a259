import pytest

from pagewalk.hdl.onehot import encode

from .bench import evaluate
from .parts import FunctionOf


@pytest.mark.parametrize("width", [1, 2, 3, 5, 8, 9])
def test_the_position_of_the_set_bit_is_found_and_0_without_any(width):
    arguments = [0, *(1 << bit for bit in range(width))]
    dut = FunctionOf(encode, width_in=width, width_out=range(width))
    results = evaluate(dut, [{"argument": argument} for argument in arguments], ("result",))
    assert [result["result"] for result in results] == [0, *range(width)]
