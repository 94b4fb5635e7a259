import re
from dataclasses import FrozenInstanceError

import pytest

from pagewalk.hdl.config import Config
from pagewalk.model.x86 import IA32, MODES, X86_64

WRONG_TYPES = [
    ({"mode": "x86_64"}, "Mode must be a PagingMode, not 'x86_64'"),
    ({"mode": None}, "Mode must be a PagingMode, not None"),
    ({"entries": 8.0}, "Parameter entries must be an integer, not 8.0"),
    ({"entries": True}, "Parameter entries must be an integer, not True"),
    ({"walk_cache": None}, "Parameter walk_cache must be an integer, not None"),
    ({"walk_cache": False}, "Parameter walk_cache must be an integer, not False"),
    ({"paddr_bits": "40"}, "Parameter paddr_bits must be an integer, not '40'"),
    ({"access_bytes": "8"}, "Parameter access_bytes must be an integer, not '8'"),
    ({"tag_bits": None}, "Parameter tag_bits must be an integer, not None"),
    ({"policy": 3}, "Replacement policy must be a string, not 3"),
    ({"index": 1}, "Index must be a string, not 1"),
    ({"order": None}, "Order must be a string, not None"),
    ({"cancel": 1}, "Parameter cancel must be a bool, not 1"),
    ({"probes": 0}, "Parameter probes must be a bool, not 0"),
    ({"checks": 2}, "Parameter checks must be a bool, not 2"),
    ({"dropped": "no"}, "Parameter dropped must be a bool, not 'no'"),
    ({"rights": None}, "Parameter rights must be a bool, not None"),
    ({"accessed": True}, "Accessed must be a string, not True"),
    ({"ad": None}, "Ad must be a string, not None"),
    ({"invalidation": None}, "Invalidation must be a string, not None"),
    ({"memory_response": 1}, "Memory response must be a string, not 1"),
    ({"policy": ["lru"]}, "Replacement policy must be a string, not ['lru']"),
    ({"l2_entries": None}, "Parameter l2_entries must be an integer, not None"),
    ({"l2_policy": None}, "Replacement policy must be a string, not None"),
    ({"ports": "data"}, "Ports must be a tuple of strings, not 'data'"),
    ({"ports": ["data"]}, "Ports must be a tuple of strings, not ['data']"),
    ({"ports": ("data", 1)}, "Ports must be a tuple of strings, not ('data', 1)"),
]

L2_SETS = "Entries of the second-level TLB must be a power of two from 4"
PORT_WORD = "Port name must be lower-case letters and digits, a letter first"

SET_COUNT = "Set count, entries by ways, must be a power of two of at least 2"

WRONG_VALUES = [
    ({"entries": 0}, "Parameter entries must be from 1 to 4096, not 0"),
    ({"entries": -8}, "Parameter entries must be from 1 to 4096, not -8"),
    ({"entries": 4097}, "Parameter entries must be from 1 to 4096, not 4097"),
    ({"walk_cache": -1}, "Parameter walk_cache must be from 0 to 256, not -1"),
    ({"walk_cache": 257}, "Parameter walk_cache must be from 0 to 256, not 257"),
    ({"paddr_bits": 31}, "Parameter paddr_bits must be from 32 to 52, not 31"),
    ({"paddr_bits": 53}, "Parameter paddr_bits must be from 32 to 52, not 53"),
    ({"tag_bits": 0}, "Parameter tag_bits must be from 1 to 64, not 0"),
    ({"tag_bits": 65}, "Parameter tag_bits must be from 1 to 64, not 65"),
    ({"access_bytes": -1}, "Parameter access_bytes must be from 0 to 4096, not -1"),
    ({"access_bytes": 4097}, "Parameter access_bytes must be from 0 to 4096, not 4097"),
    ({"misses": 0}, "Parameter misses must be from 1 to 8, not 0"),
    ({"misses": 9}, "Parameter misses must be from 1 to 8, not 9"),
    ({"order": "any"}, "Order must be one of request, tag, not 'any'"),
    ({"order": "tag", "misses": 3, "tag_bits": 2},
     "With order tag, tag_bits must tell apart the 5 requests that a port may hold, not 4"),
    ({"hit_latency": -1}, "Parameter hit_latency must be from 0 to 2, not -1"),
    ({"hit_latency": 3}, "Parameter hit_latency must be from 0 to 2, not 3"),
    ({"walkers": 0}, "Parameter walkers must be from 1 to 8, not 0"),
    ({"walkers": 9}, "Parameter walkers must be from 1 to 8, not 9"),
    ({"walk_stages": 0}, "Parameter walk_stages must be from 1 to 2, not 0"),
    ({"walk_stages": 3}, "Parameter walk_stages must be from 1 to 2, not 3"),
    ({"policy": "mru"}, "Replacement policy must be one of plru, lru, fifo, random, not 'mru'"),
    ({"ways": 17}, "Parameter ways must be from 0 to 16, not 17"),
    ({"large_entries": 0}, "Parameter large_entries must be from 1 to 64, not 0"),
    ({"index": "xor"}, "Index must be one of plain, folded, not 'xor'"),
    ({"accessed": "always"}, "Accessed must be one of use, success, not 'always'"),
    ({"ad": "trap"}, "Ad must be one of exchange, write, fault, not 'trap'"),
    ({"invalidation": "level"}, "Invalidation must be one of stream, pulse, not 'level'"),
    ({"memory_response": "late"},
     "Memory response must be one of direct, registered, not 'late'"),
    ({"prefetch": "stride"}, "Prefetch must be one of none, next, not 'stride'"),
    ({"prefetch": "next"},
     "Prefetch 'next' needs a second-level TLB, l2_entries from 4, not 0"),
    ({"ad": "write", "walkers": 2},
     "Ad 'write' needs a single walker, as one could undo what another has set, not 2"),
    *(({"ways": 4, "entries": entries}, f"{SET_COUNT}, not {entries} / 4")
      for entries in (4, 10, 12)),
    ({"ways": 3, "entries": 6},
     "Entry count must be a power of two for policy 'plru', not 3"),
    ({"ways": 2, "entries": 8, "large_entries": 3},
     "Entry count must be a power of two for policy 'plru', not 3"),
    ({"policy": "plru", "entries": 3},
     "Entry count must be a power of two for policy 'plru', not 3"),
    ({"l2_entries": -1}, "Parameter l2_entries must be from 0 to 65536, not -1"),
    ({"l2_ways": 0}, "Parameter l2_ways must be from 1 to 16, not 0"),
    ({"l2_ways": 17}, "Parameter l2_ways must be from 1 to 16, not 17"),
    ({"l2_policy": "mru"}, "Replacement policy must be one of plru, lru, fifo, random, not 'mru'"),
    ({"l2_entries": 12, "l2_ways": 3},
     "Entry count must be a power of two for policy 'plru', not 3"),
    *(({"l2_entries": entries},
       f"{L2_SETS} for each of 4 ways, not {entries}")
      for entries in (1000, 12, 6, 4)),
    ({"ports": ()}, "Port names must be distinct, at least one, not ()"),
    ({"ports": ("data", "data")},
     "Port names must be distinct, at least one, not ('data', 'data')"),
    ({"ports": ("Data",)}, f"{PORT_WORD}, not 'Data'"),
    ({"ports": ("a_b",)}, f"{PORT_WORD}, not 'a_b'"),
    ({"ports": ("data", "0")}, f"{PORT_WORD}, not '0'"),
    ({"ports": ("",)}, f"{PORT_WORD}, not ''"),
    ({"ports": ("fetch", "table")}, "Port name must not be a keyword of Verilog, as 'table' is"),
    ({"ports": ("logic",)}, "Port name must not be a keyword of Verilog, as 'logic' is"),
]

# What else has a name in the MMU: its other ports and events, its parts, and what every
# component has.
TAKEN_NAMES = ("dropped", "check", "control", "invalidate", "memory", "events", "walk", "flush",
               "clk", "rst", "arbiter", "walker", "invalidator", "l2", "config", "elaborate",
               "signature", "metadata")

# (mode, paddr_bits) to physical_bits, pfn_bits, root_bits, vpn_bits.
WIDTHS = [
    (X86_64, 32, (32, 20, 20, 36)),
    (X86_64, 40, (40, 28, 28, 36)),
    (X86_64, 52, (52, 40, 40, 36)),
    (IA32, 32, (32, 20, 20, 20)),
    (IA32, 36, (36, 24, 20, 20)),
    (IA32, 40, (40, 28, 20, 20)),
    (IA32, 52, (40, 28, 20, 20)),
]


@pytest.mark.parametrize(("parameters", "message"), WRONG_TYPES)
def test_a_parameter_of_the_wrong_type_is_a_type_error(parameters, message):
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        Config(**parameters)


@pytest.mark.parametrize(("parameters", "message"), WRONG_VALUES)
def test_a_parameter_out_of_range_is_a_value_error(parameters, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Config(**parameters)


@pytest.mark.parametrize("name", TAKEN_NAMES)
def test_a_port_may_not_take_a_name_that_the_mmu_uses(name):
    message = f"Port name must not be one that the MMU uses, as {name!r} is"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Config(ports=("data", name))


@pytest.mark.parametrize("mode", MODES.values(), ids=lambda mode: mode.name)
@pytest.mark.parametrize("policy", ["plru", "lru", "fifo", "random"])
@pytest.mark.parametrize("numbers", [
    {"entries": 1, "walk_cache": 0, "paddr_bits": 32, "tag_bits": 1, "access_bytes": 0, "misses": 1,
     "hit_latency": 0, "l2_entries": 0, "l2_ways": 1, "walkers": 1,
     "walk_stages": 1},
    {"entries": 4096, "walk_cache": 256, "paddr_bits": 52, "tag_bits": 64, "access_bytes": 4096,
     "misses": 8, "hit_latency": 2, "l2_entries": 65536, "l2_ways": 16, "walkers": 8,
     "walk_stages": 2},
], ids=["lowest", "highest"])
def test_the_ends_of_each_range_are_allowed(mode, policy, numbers):
    config = Config(mode=mode, policy=policy, ports=("a", "b2"), **numbers)
    assert {name: getattr(config, name) for name in numbers} == numbers


@pytest.mark.parametrize(("mode", "paddr_bits", "widths"), WIDTHS)
def test_widths_follow_from_mode_and_physical_address_width(mode, paddr_bits, widths):
    config = Config(mode=mode, paddr_bits=paddr_bits)
    assert widths == (config.physical_bits, config.pfn_bits, config.root_bits, config.vpn_bits)


def test_parameters_do_not_change():
    config = Config()
    with pytest.raises(FrozenInstanceError):
        config.entries = 64


def test_equal_parameters_make_equal_and_hashable_configs():
    assert Config(entries=8) == Config(entries=8) != Config(entries=16)
    assert len({Config(entries=8), Config(entries=8), Config(entries=16)}) == 2
