import gc
from warnings import catch_warnings

import pytest
from amaranth import Module, Shape, Value
from amaranth.lib import data
from amaranth.lib.wiring import Flow
from numpy.random import default_rng

from pagewalk.hdl.config import Config
from pagewalk.hdl.flat import FlatMmu, flat_fields, flat_names
from pagewalk.hdl.mmu import Mmu
from pagewalk.model.x86 import IA32, X86_64

from .bench import elaborated, simulate
from .tables import bits

CONFIGS = [
    Config(entries=2, policy="lru"),
    Config(mode=IA32, entries=2, policy="lru"),
    Config(entries=1, ports=("only",), tag_bits=1, paddr_bits=52, policy="fifo"),
    Config(mode=X86_64, entries=2, ports=("a", "b", "c"), policy="fifo"),
]

# A few names and widths that other tools rely on, written out.
DEFAULT_INPUTS = {
    "control_root": 28, "control_pkru": 32, "control_nxe": 1, "fetch_req_valid": 1,
    "fetch_req_vaddr": 64, "data_req_kind": 2, "data_req_tag": 4, "data_rsp_ready": 1,
    "invalidate_valid": 1, "invalidate_op": 3, "invalidate_new": 64, "memory_req_ready": 1,
    "memory_rsp_valid": 1, "memory_rsp_data": 64, "memory_rsp_error": 1,
}
DEFAULT_OUTPUTS = {
    "fetch_req_ready": 1, "data_rsp_valid": 1, "data_rsp_paddr": 40, "data_rsp_error_code": 6,
    "invalidate_ready": 1, "memory_req_valid": 1, "memory_req_op": 1, "memory_req_address": 40,
    "memory_req_desired": 64, "memory_rsp_ready": 1, "events_data_hit_4k": 1,
    "events_fetch_stall": 1, "events_walk_read_pml4e": 1, "events_flush": 1,
}

configs = pytest.mark.parametrize(
    "config", CONFIGS, ids=lambda config: f"{config.mode.name}-{len(config.ports)}")


def leaves(interface):
    """Yield the name, flow and value of each field of an interface, without ``flat_fields``."""
    for path, member, value in interface.signature.flatten(interface):
        words = [str(part) for part in path if part != "payload"]
        yield from ((name, member.flow, field) for name, field in fields("_".join(words), value))


def fields(name, value):
    """Yield the name and value of each plain field inside a view, or of a plain value itself."""
    if isinstance(value, data.View):
        for key, _ in value.shape():
            yield from fields(f"{name}_{key}", value[key])
    else:
        yield name, Value.cast(value)


@pytest.mark.slow
@configs
def test_each_field_of_the_mmu_is_one_port_of_its_name_and_width(config):
    flat, mmu = elaborated(FlatMmu(config)), elaborated(Mmu(config))
    for flow, ports in ((Flow.In, flat.inputs), (Flow.Out, flat.outputs)):
        expected = [(name, len(value)) for name, direction, value in leaves(mmu)
                    if direction is flow]
        assert [(name, len(signal)) for name, signal in ports.items()] == expected
    assert not flat.inputs.keys() & flat.outputs.keys()


@pytest.mark.slow
@configs
def test_a_port_is_a_signal_of_its_own_name(config):
    flat = elaborated(FlatMmu(config))
    for name, signal in (flat.inputs | flat.outputs).items():
        assert signal.name == name
        assert not signal.shape().signed


def test_names_and_widths_that_other_tools_rely_on():
    flat = elaborated(FlatMmu(Config()))
    for ports, expected in ((flat.inputs, DEFAULT_INPUTS), (flat.outputs, DEFAULT_OUTPUTS)):
        assert {name: len(ports[name]) for name in expected} == expected


@pytest.mark.slow
def test_names_can_be_asked_for_without_any_hardware_made():
    elaborated(Module())  # before the first one Amaranth does not warn of what is never put to use
    with catch_warnings(record=True) as warnings:
        names = flat_names(CONFIGS[0])
        gc.collect()
    assert warnings == []
    flat = elaborated(FlatMmu(CONFIGS[0]))
    assert names == [*flat.inputs, *flat.outputs]


def test_flat_fields_join_nested_names_and_add_offsets():
    inner = data.StructLayout({"x": 3, "y": 5})
    layout = data.StructLayout({"a": 2, "b": data.StructLayout({"c": inner, "d": 1}), "e": 4})
    assert flat_fields(layout) == [
        ("a", 0, 2), ("b_c_x", 2, 3), ("b_c_y", 5, 5), ("b_d", 10, 1), ("e", 11, 4)]


def test_flat_fields_take_a_layout_with_gaps_as_it_is():
    layout = data.FlexibleLayout(16, {"low": data.Field(4, 0), "high": data.Field(Shape(5), 9)})
    assert flat_fields(layout) == [("low", 0, 4), ("high", 9, 5)]


@pytest.mark.slow
@configs
def test_each_input_drives_its_field_and_nothing_else(config):
    flat = FlatMmu(config)
    inner = {name: value for name, flow, value in leaves(flat._mmu) if flow is Flow.In}
    rng = default_rng(1)

    async def testbench(ctx):
        given = {name: bits(rng, len(signal)) for name, signal in flat.inputs.items()}
        for _ in range(3):
            for name, signal in flat.inputs.items():
                given[name] ^= (1 << len(signal)) - 1
                ctx.set(signal, given[name])
            assert {name: ctx.get(value) for name, value in inner.items()} == given

    simulate(flat, testbench)


# Wide inputs keep to these bits: canonical addresses, and entries that are present and writable,
# with A and D mostly set, and without reserved bits.
WIDE_MASK, WIDE_ONES = 0xFF_C000_11FF, 0x07


@pytest.mark.slow
@configs
def test_each_output_follows_its_field(config):
    flat = FlatMmu(config)
    inner = {name: value for name, flow, value in leaves(flat._mmu) if flow is Flow.Out}
    rng = default_rng(2)
    seen = set()

    async def testbench(ctx):
        for _ in range(120):
            for signal in flat.inputs.values():
                value = bits(rng, len(signal))
                ctx.set(signal, value & WIDE_MASK | WIDE_ONES if len(signal) >= 32 else value)
            values = {name: ctx.get(signal) for name, signal in flat.outputs.items()}
            assert values == {name: ctx.get(value) for name, value in inner.items()}
            seen.update(name for name, value in values.items() if value)
            await ctx.tick()

    simulate(flat, testbench)
    assert len(seen) > len(inner) // 2  # most outputs did something
