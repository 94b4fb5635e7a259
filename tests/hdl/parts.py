"""Functions that return an expression, made into components that can be put on the bench."""

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class FunctionOf(wiring.Component):
    """``result`` is what ``function`` returns for ``argument``; combinational."""

    def __init__(self, function, *, width_in, width_out):
        self._function = function
        super().__init__({"argument": In(width_in), "result": Out(width_out)})

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.result.eq(self._function(self.argument))
        return m
