"""Traces played on TLBs, and the same on an engine with the hardware's events."""

import numpy as np

from pagewalk.sim.backing.frame_supply import FrameSupply
from pagewalk.sim.backing.page_source import TouchedPages
from pagewalk.sim.backing.trace_pages import TracePages
from pagewalk.sim.engine.create import create
from pagewalk.sim.functional.hardware_counts import HardwareCounts
from pagewalk.sim.functional.trace_run import TraceNumbers, TraceRun
from pagewalk.sim.trace.trace_file import TraceFile

MEMORY = 256 << 20


def mapped(config, *, thp=False, size=0):
    supply = FrameSupply(config.mode, config.physical_bits, MEMORY, 0.0, np.random.default_rng(0))
    return TracePages(config.mode, supply, TouchedPages(config.mode, supply, size, thp=thp))


def played(path, config, *, thp=False, size=0, limit=None, **options):
    pages = mapped(config, thp=thp, size=size)
    return TraceRun(config, TraceFile(path), pages, **options).run(limit)


def hardware_counts(path, config, engine, *, thp=False, **options):
    hardware = HardwareCounts(config, create(engine, config), TraceNumbers(str(path), config.mode),
                              mapped(config, thp=thp), **options)
    for runs in TraceFile(path).runs():
        hardware.play(runs)
    return hardware.counts


def differences(run, counts):
    """Return what the run has counted otherwise than the hardware."""
    return {name: (count, counts.get(name, 0)) for name, count in run.counts.items()
            if count != counts.get(name, 0)}


def random_text(path, count, seed, *, spaces=3, bits=47):
    """Write accesses of some processes to pages of a few areas, near ones more often."""
    rng = np.random.default_rng(seed)
    areas = rng.integers(0, 1 << bits - 21, 8).tolist()
    lines, space = [], 0
    for _ in range(count):
        if rng.random() < 0.02:
            space = int(rng.integers(spaces))
        area = areas[min(int(rng.exponential(2)), 7)]
        page = min(int(rng.exponential(6)), 511)
        lines.append(f"{(area << 21) + (page << 12):#x},{'rwx'[rng.integers(3)]},{space}\n")
    path.write_text("".join(lines))
    return path
