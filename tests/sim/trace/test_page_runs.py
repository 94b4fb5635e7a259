"""Runs beside a slow way to them, and what readers say of pages, processes and instructions."""

import io

import numpy as np
import pytest

from pagewalk.model.x86 import AccessKind
from pagewalk.sim.trace.access_record import RecordFlag
from pagewalk.sim.trace.address_text import address_blocks
from pagewalk.sim.trace.champsim_record import RECORD_96, champsim_blocks
from pagewalk.sim.trace.drmemtrace_record import drmemtrace_blocks
from pagewalk.sim.trace.lackey_text import lackey_blocks
from pagewalk.sim.trace.page_runs import AccessBlock, merged
from pagewalk.sim.trace.trace_file import TraceFile

from .trace_samples import ACCESSES, FETCH, READ, WRITE, champsim, drmemtrace, recorded


def slow_runs(vaddr, kind, size, space):
    """Merge accesses one by one; a switch of the address space ends all runs."""
    runs, open_runs, last = [], {}, None
    for one, what, length, where in zip(vaddr, kind, size, space, strict=True):
        if where != last:
            open_runs, last = {}, where
        for page in range(one >> 12, (one + length - 1 >> 12) + 1):
            side = what == FETCH
            begun = open_runs.get(side)
            if begun and begun[0] == page and not (what == WRITE and begun[1] == 1):
                begun[2] += 1
                continue
            run = [page, 0 if side else 2 if what == WRITE else 1, 1, where]
            open_runs[side] = run
            runs.append(run)
    return [tuple(run) for run in runs]


@pytest.mark.parametrize("seed", range(20))
def test_runs_are_those_of_merging_one_by_one(seed):
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 400))
    vaddr = rng.integers(0, 3 * 4096, count).astype(np.uint64)
    kind = rng.integers(0, 3, count).astype(np.uint8)
    size = rng.choice([1, 8, 64, 5000], count)
    space = np.sort(rng.integers(0, 3, count)) if seed % 2 else rng.integers(0, 2, count)
    runs = merged(AccessBlock(vaddr, kind, size, space))
    found = list(zip(*(one.tolist() for one in (runs.page, runs.kind, runs.count, runs.space)),
                     strict=True))
    assert found == slow_runs(vaddr.tolist(), kind.tolist(), size.tolist(), space.tolist())


def blocks(reader, data, *more):
    found = list(reader("file", io.BytesIO(data), *more))
    return [one for block in found for one in zip(block.kind.tolist(), block.vaddr.tolist(),
                                                  strict=True)], found


def test_a_modification_is_a_load_and_a_store():
    accesses, found = blocks(lackey_blocks, b"I  1000,3\n M 2000,4\n S 3000,4\n")
    assert accesses == [(FETCH, 0x1000), (READ, 0x2000), (WRITE, 0x2000), (WRITE, 0x3000)]
    assert found[0].instructions == 1


def test_an_access_across_the_end_of_a_page_is_one_to_each(tmp_path):
    (tmp_path / "l").write_text("I  1ffe,4\n S 2ffc,4\n S 2ffd,4\n")
    trace = TraceFile(tmp_path / "l")
    runs, = trace.runs()
    assert runs.page.tolist() == [1, 2, 2, 3]
    assert (trace.totals.accesses, trace.totals.translations) == (3, 5)


@pytest.mark.parametrize(("line", "access"), [
    (b"0x1000,r", (READ, 0x1000)), (b"4096 w", (WRITE, 4096)), (b"0XFFff\tx\r", (FETCH, 0xFFFF)),
    (b" 7 , W ", (WRITE, 7)), (b"18446744073709551615,1", None), (b"0xffffffffffffffff,0",
                                                                 (READ, (1 << 64) - 1)),
])
def test_text_takes_numbers_as_they_are_written(line, access):
    if access is None:
        with pytest.raises(Exception, match="line 1 is"):
            blocks(address_blocks, line + b"\n")
    else:
        assert blocks(address_blocks, line + b"\n")[0] == [access]


def test_text_names_processes():
    _, found = blocks(address_blocks, b"addr,rw,pid\n0x1000,r,5\n0x1000,r,4294967295\n# no\n1,w\n")
    assert found[0].space.tolist() == [5, 0xFFFF_FFFF, 0]


def test_champsim_fetches_loads_and_stores_in_this_order():
    accesses, found = blocks(champsim_blocks, champsim(), "champsim")
    assert accesses == [(int(kind), vaddr) for kind, vaddr in ACCESSES]
    assert (found[0].instructions, found[0].space) == (3, None)
    _, found = blocks(champsim_blocks, champsim(RECORD_96, asid=2), "champsim96")
    assert set(found[0].space.tolist()) == {2}


def test_drmemtrace_skips_what_is_no_access_and_follows_processes():
    other = drmemtrace([(READ, 0x5000)], pid=9)[12:]
    prefetch = np.array([(2, 8, 0x9000), (29, 4, 0x401000), (32, 8, 0)],
                        [("type", "<u2"), ("size", "<u2"), ("addr", "<u8")]).tobytes()
    accesses, found = blocks(drmemtrace_blocks, drmemtrace()[:-24] + prefetch + other)
    assert accesses == [(int(kind), vaddr) for kind, vaddr in [*ACCESSES, (READ, 0x5000)]]
    assert found[0].space.tolist() == [7] * 6 + [9]
    assert (found[0].instructions, found[0].skipped) == (3, 2)


def test_recorded_accesses_that_were_refused_or_extra_are_left_out(tmp_path):
    (tmp_path / "r").write_bytes(recorded(flags=[(1, RecordFlag.REFUSED), (2, RecordFlag.EXTRA),
                                                 (3, RecordFlag.SUPERVISOR)]))
    trace = TraceFile(tmp_path / "r")
    assert sum(int(runs.count.sum()) for runs in trace.runs()) == len(ACCESSES) - 2
    assert (trace.totals.skipped, trace.totals.instructions) == (2, 3)
    assert AccessKind.FETCH == 2  # as both formats have it
