"""Registers with a signal for each field."""

import re

from amaranth import Module, Signal
from amaranth.back import rtlil
from amaranth.lib import data
from amaranth.sim import Simulator

from pagewalk.hdl.separate import separate_register

LAYOUT = data.StructLayout({
    "low": 3, "inner": data.StructLayout({"one": 2, "other": data.ArrayLayout(4, 2)}), "high": 1})


def test_each_field_is_a_register_of_its_own():
    m, register, stored, read = (
        Module(), separate_register(LAYOUT, "held"), Signal(LAYOUT), Signal(LAYOUT))
    m.d.sync += register.eq(stored)
    m.d.comb += read.eq(register)
    text = rtlil.convert(m, ports=[stored.as_value(), read.as_value()])
    widths = [int(width) for width in re.findall(r"cell \$dff.*?\\WIDTH (\d+)", text, re.DOTALL)]
    assert sorted(widths) == [1, 2, 3, 8]


def test_it_is_stored_and_read_as_a_whole_and_by_field():
    m, register = Module(), separate_register(LAYOUT, "held")
    m.d.sync += [register.eq(0b0110_0111_01_101), register.high.eq(1)]

    async def bench(ctx):
        assert ctx.get(register.as_value()) == 0
        await ctx.tick()
        assert ctx.get(register.low) == 0b101
        assert ctx.get(register.inner.one) == 0b01
        assert [ctx.get(register.inner.other[index]) for index in range(2)] == [0b0111, 0b0110]
        assert ctx.get(register.as_value()) == 1 << 13 | 0b0110_0111_01_101

    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
