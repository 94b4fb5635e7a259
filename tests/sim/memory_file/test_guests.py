"""Memory of real guests: what one format has of a frame, every other one has, too."""

import json
from pathlib import Path

import numpy as np
import pytest

from pagewalk.sim.memory_file.open_memory import open_memory

DUMPS = Path(__file__).parents[2] / "data" / "dumps"
GUESTS = json.loads((DUMPS / "guests.json").read_text())


@pytest.mark.slow
@pytest.mark.parametrize("guest", GUESTS)
def test_all_formats_have_the_same_frames(guest):
    raw = open_memory(DUMPS / f"{guest}.raw.xz")
    assert raw.end == GUESTS[guest]["ram_bytes"]
    pfns = np.arange(raw.end >> 12, dtype=np.uint64)
    expected, _ = raw.frames(pfns)
    kept = np.flatnonzero(expected.any(axis=1))
    assert len(kept)
    for kind in ("elf", "kdump", "lime", "avml"):
        file = open_memory(DUMPS / f"{guest}.{kind}.xz")
        data, there = file.frames(pfns)
        assert there[kept].all(), kind
        assert np.array_equal(data[kept], expected[kept]), kind
        assert not data[~there].any()
        assert set(kept.tolist()) <= set(np.concatenate([*file.occupied()]).tolist())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["elf", "kdump"])
@pytest.mark.parametrize("guest", GUESTS)
def test_every_processor_is_found(guest, kind):
    known = GUESTS[guest]
    found = [(hex(cpu.control.cr0), hex(cpu.control.cr3), hex(cpu.control.cr4))
             for cpu in open_memory(DUMPS / f"{guest}.{kind}.xz").cpus]
    assert found == [(cpu["cr0"], cpu["cr3"], cpu["cr4"]) for cpu in known["cpus"]]


@pytest.mark.slow
@pytest.mark.parametrize("guest", GUESTS)
def test_lime_has_the_ranges_of_the_kernel(guest):
    ranges = open_memory(DUMPS / f"{guest}.lime.xz").ranges
    assert [[hex(start), hex(end - 1)] for start, end in ranges] == GUESTS[guest]["system_ram"]
