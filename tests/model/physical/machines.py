"""Machines to boot: small ones with nodes, holes and zones of every kind."""

from hypothesis import strategies as st

from pagewalk.model.physical.boot_options import Amount, BootOptions
from pagewalk.model.physical.kernel_config import AMD64, I686
from pagewalk.model.physical.memory_map import E820Range, MemoryMap, NodeRange

MIB, GIB = 1 << 20, 1 << 30


def two_nodes(megabytes: int = 64, cpus=(0,), distances=None) -> MemoryMap:
    """Two nodes of some ``megabytes`` each, the first with ZONE_DMA."""
    end = megabytes * MIB
    return MemoryMap(
        (E820Range(0, 0x9FC00), E820Range(MIB, 2 * end)),
        (NodeRange(0, 0, end), NodeRange(1, end, 2 * end)), cpus=cpus, distances=distances)


@st.composite
def machines(draw, max_nodes: int = 3):
    """A machine with some memory about each border between zones, and holes, on some nodes.

    Its nodes may be far apart or interleaved. Sizes are odd, so that blocks of every order occur.
    """
    pages = st.integers(1, 1 << draw(st.integers(4, 14)))
    at = 256
    spans = []
    for start in sorted(draw(st.sets(st.sampled_from(
            [256, 4096 - 700, 220_000, 1 << 19, (1 << 20) - 3000, 1 << 20, 1 << 21]),
            min_size=2, max_size=5))):
        start = max(at, start) + draw(st.integers(0, 1500))
        at = start + draw(pages)
        spans.append((start << 12, at << 12))
    config = draw(st.sampled_from([AMD64, I686]))
    cuts = sorted(draw(st.sets(st.integers(0, at), max_size=4)))
    nodes = tuple(
        NodeRange(draw(st.integers(0, max_nodes - 1)), start << 12, end << 12,
                  hotplug=draw(st.booleans()))
        for start, end in zip([0, *cuts], [*cuts, at], strict=True) if start < end
    ) if draw(st.booleans()) else ()
    options = draw(st.sampled_from([
        BootOptions(), BootOptions(kernelcore=Amount(percent=50)),
        BootOptions(movablecore=Amount(percent=30)), BootOptions(movablecore=Amount(pages=2000)),
        BootOptions(kernelcore=Amount(pages=5000)), BootOptions(movable_node=True)]))
    cpus = tuple(draw(st.lists(st.integers(0, max_nodes - 1), min_size=1, max_size=4)))
    e820 = (E820Range(0, 0x9FC00), *(E820Range(*span) for span in spans))
    return MemoryMap(e820, nodes, cpus, None, config, options)
