"""The golden walks on a file: as on a memory that holds all of it."""

import numpy as np
import pytest

from pagewalk.model.mmu.batch import Accesses, FrameSource, walk_batch
from pagewalk.model.mmu.walk import Access, walk
from pagewalk.model.physical.memory import BusError
from pagewalk.model.x86 import IA32, X86_64
from pagewalk.sim.image import Image
from pagewalk.sim.memory_file.file_memory import FileEntries, FileMemory
from pagewalk.sim.memory_file.image_file import ImageFile
from pagewalk.sim.memory_file.memory_file_error import MemoryFileError
from pagewalk.sim.memory_file.open_memory import open_memory

from .builders import FRAME, elf

MODES = (IA32, X86_64)


def dump_of(view, path):
    """Write the frames of a view as an ELF core."""
    path.write_bytes(elf([(int(pfn) * FRAME, row.tobytes())
                          for pfn, row in zip(view.pfns, view.frames, strict=True)]))
    return open_memory(path)


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_walks_are_those_on_the_whole_memory(mode, tmp_path):
    view = Image.shipped(mode).views[0]
    memory, whole = FileMemory(dump_of(view, tmp_path / "core")), view.memory()
    for va in view.probes.va[:300].tolist():
        access = Access(va, ac=True)
        assert (walk(memory, mode, view.control, access)
                == walk(whole, mode, view.control, access))
    assert 0 < len(memory) < len(whole)


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_batches_of_walks_are_those_on_the_whole_memory(mode, tmp_path):
    view = Image.shipped(mode).views[0]
    accesses = Accesses(view.probes.va, np.zeros(len(view.probes), np.uint8))
    memory = FileMemory(dump_of(view, tmp_path / "core"))
    found = walk_batch(FileEntries(memory, mode), mode, view.control, accesses)
    expected = walk_batch(FrameSource(view.memory(), mode), mode, view.control, accesses)
    for name in ("paddr", "page", "memory_type", "vector", "error"):
        assert np.array_equal(getattr(found, name), getattr(expected, name)), name


def test_the_file_is_never_written(tmp_path):
    view = Image.shipped(X86_64).views[0]
    file = dump_of(view, tmp_path / "core")
    before = (tmp_path / "core").read_bytes()
    memory = FileMemory(file)
    pfn = int(view.pfns[0])
    memory.read(pfn * FRAME, 8)
    memory.write(pfn * FRAME, 8, 0x1234)
    assert memory.read(pfn * FRAME, 8) == 0x1234
    assert (tmp_path / "core").read_bytes() == before


def test_where_the_file_has_nothing_there_is_no_memory(tmp_path):
    memory = FileMemory(dump_of(Image.shipped(X86_64).views[0], tmp_path / "core"))
    with pytest.raises(BusError):
        memory.read(1 << 50, 8)
    with pytest.raises(ValueError, match=r"^Physical address must not be negative, not -0x8$"):
        memory.read(-8, 8)


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_an_image_is_a_file_of_memory(mode):
    path = Image.shipped_path(mode)
    view = Image.shipped(mode).views[0]
    file = open_memory(path)
    cpu, = file.cpus
    assert (cpu.name, cpu.control, cpu.mode) == (view.name, view.control, mode)
    data, there = file.frames(np.concatenate([view.pfns, [1 << 39]]).astype(np.uint64))
    assert there.tolist() == [True] * len(view.pfns) + [False]
    assert data[:-1].tobytes() == view.frames.tobytes()
    assert np.array_equal(np.concatenate([*file.occupied()]), np.sort(view.pfns))
    assert sum(end - start for start, end in file.ranges) == len(view.pfns) * FRAME


def test_a_view_is_chosen_by_its_name(tmp_path):
    path = Image.shipped_path(X86_64)
    name = Image.shipped(X86_64).views[0].name
    assert ImageFile(path, name).cpus[0].name == name
    (tmp_path / "raw").write_bytes(bytes(FRAME))
    with pytest.raises(MemoryFileError, match=r"^.*: has no views; expected a memory image .*$"):
        open_memory(tmp_path / "raw", view_name=name)
