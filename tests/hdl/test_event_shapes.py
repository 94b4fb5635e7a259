import pytest
from amaranth import Shape

from pagewalk.hdl.config import Config
from pagewalk.hdl.event_shapes import events_layout
from pagewalk.model.x86 import IA32, LA57, X86_64


def single_bits(layout):
    """Return the width of each field by name, in the order of the fields."""
    return {name: Shape.cast(field.shape).width for name, field in layout}


@pytest.mark.parametrize(("mode", "hits", "cached", "reads"), [
    (X86_64, ["hit_4k", "hit_2m", "hit_1g"], ["hit_pml4e", "hit_pdpte", "hit_pde"],
     ["read_pml4e", "read_pdpte", "read_pde", "read_pte"]),
    (X86_64.without_1g_pages(), ["hit_4k", "hit_2m"], ["hit_pml4e", "hit_pdpte", "hit_pde"],
     ["read_pml4e", "read_pdpte", "read_pde", "read_pte"]),
    (LA57, ["hit_4k", "hit_2m", "hit_1g"], ["hit_pml5e", "hit_pml4e", "hit_pdpte", "hit_pde"],
     ["read_pml5e", "read_pml4e", "read_pdpte", "read_pde", "read_pte"]),
    (IA32, ["hit_4k", "hit_4m"], ["hit_pde"], ["read_pde", "read_pte"]),
], ids=["x86_64", "x86_64 without 1g", "la57", "ia32"])
def test_each_event_is_one_bit(mode, hits, cached, reads):
    layout = events_layout(Config(mode=mode, ports=("alpha", "beta")))
    port = dict.fromkeys(["lookup", *hits, "miss", "stall", "fault"], 1)
    walk = dict.fromkeys(["start", "end", *cached, *reads, "update", "restart", "fault"], 1)
    assert [name for name, _ in layout] == ["alpha", "beta", "walk", "flush"]
    assert single_bits(layout["alpha"].shape) == single_bits(layout["beta"].shape) == port
    assert single_bits(layout["walk"].shape) == walk
    assert single_bits(layout)["flush"] == 1
    layout = events_layout(Config(mode=mode, ports=("alpha",), walkers=2))
    assert single_bits(layout["walk"].shape) == {**walk, "merge": 1}
    layout = events_layout(Config(mode=mode, ports=("alpha",), l2_entries=16))
    assert [name for name, _ in layout] == ["alpha", "l2", "walk", "flush"]
    assert single_bits(layout["l2"].shape) == dict.fromkeys(["lookup", *hits, "miss"], 1)
    layout = events_layout(Config(mode=mode, ports=("alpha",), l2_entries=16, prefetch="next"))
    assert single_bits(layout["l2"].shape) == dict.fromkeys(
        ["lookup", *hits, "miss", "prefetch_start", "prefetch_fill"], 1)
