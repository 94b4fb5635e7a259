"""What contradicts mappings and counts in page tables is found."""

import pytest

from pagewalk.model.physical.errors import BrokenInvariant
from pagewalk.model.x86 import Entry

from .machines import ANON, MODES, PAGE, RW, counted, machine

both = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)


@both
def test_check_finds_what_contradicts(mode):
    kernel, cpu, process = machine(mode)
    start = process.mm.mmap(0, 2 * PAGE, RW, ANON)
    cpu.store(start, b"x")
    cpu.load(start + PAGE)
    tables = process.space.tables
    zero = tables.find(start + PAGE)
    tables.update(zero, add=Entry.RW)
    with pytest.raises(BrokenInvariant, match="must not be writable"):
        kernel.check()
    tables.update(zero, clear=Entry.RW)
    kernel.check()
    lost = tables.exchange(tables.find(start), 0)
    with pytest.raises(BrokenInvariant, match="are counted, but there are"):
        kernel.check()
    tables.write(tables.find(start), lost)
    free = counted(kernel)
    pfn = kernel.state.frames.alloc()
    with pytest.raises(BrokenInvariant, match="frames are allocated, but"):
        kernel.check()
    kernel.state.frames.put(pfn)
    assert counted(kernel) == free
