"""One memory in every format: the same frames and the same registers come out of each."""

import gzip
import lzma

import numpy as np
import pytest

from pagewalk.sim.memory_file.memory_file_error import MemoryFileError
from pagewalk.sim.memory_file.open_memory import open_memory
from pagewalk.sim.memory_file.piece_map import MemoryPiece

from .builders import FRAME, avml, elf, flattened, frame, kdump, lime, prstatus, qemu_note

HOLE = 20  # frames 20 to 39 are missing, and of frame 19 the last half, as of LiME's first range
LOW = b"".join(map(frame, range(HOLE)))[:-FRAME // 2]
HIGH = b"".join(map(frame, range(40, 72)))
SEGMENTS = [(0, LOW), (40 * FRAME, HIGH)]
FRAMES = {pfn: frame(pfn) for pfn in [*range(HOLE - 1), *range(40, 72)]} | {
    HOLE - 1: LOW[-FRAME // 2:] + bytes(FRAME // 2)}
NOTES = prstatus() + prstatus() + qemu_note(cr3=0x5000) + qemu_note(cr3=0x6001, cr0=0x11)
FLAT = LOW + bytes(40 * FRAME - len(LOW)) + HIGH

FILES = {
    "elf": elf(SEGMENTS, NOTES),
    "elf-32": elf(SEGMENTS, NOTES, bits=32),
    "elf-many": elf(SEGMENTS, NOTES, many=True),
    "lime": lime(SEGMENTS),
    "avml": avml(SEGMENTS),
    "avml-1": lime(SEGMENTS),
    "kdump": kdump(FRAMES, NOTES),
    "kdump-32": kdump(FRAMES, NOTES, bits=32),
    "kdump-plain": kdump(FRAMES, NOTES, packing=0),
    "flattened": flattened(kdump(FRAMES, NOTES)),
    "raw": FLAT,
}


@pytest.fixture(params=FILES)
def name(request):
    return request.param


@pytest.fixture
def file(name, tmp_path):
    path = tmp_path / "memory"
    path.write_bytes(FILES[name])
    return open_memory(path)


def test_the_frames_of_each_format_are_those_written(file, name):
    data, there = file.frames(np.arange(80, dtype=np.uint64))
    for pfn in range(80):
        assert there[pfn] == (pfn in FRAMES or (name == "raw" and pfn < 72)), pfn
        assert data[pfn].tobytes() == FRAMES.get(pfn, bytes(FRAME)), pfn


def test_frames_may_be_asked_for_in_any_order(file):
    pfns = np.array([71, 3, 4, 5, 40, 18, 3], np.uint64)
    data, there = file.frames(pfns)
    assert there.all()
    assert [row.tobytes() for row in data] == [FRAMES[pfn] for pfn in pfns.tolist()]


def test_all_frames_that_are_not_zero_are_told(file):
    occupied = np.concatenate([*file.occupied()])
    assert set(FRAMES) <= set(occupied.tolist())
    assert len(occupied) == len(set(occupied.tolist()))


def test_the_ranges_are_in_order_and_end_with_the_memory(file, name):
    whole = name.startswith(("kdump", "flattened"))
    low = HOLE * FRAME if whole else len(LOW)
    assert file.ranges == (((0, 72 * FRAME),) if name == "raw" else
                           ((0, low), (40 * FRAME, 72 * FRAME)))
    assert file.end == 72 * FRAME


def test_the_registers_are_those_of_the_notes(file, name):
    found = [(cpu.name, cpu.control.cr3, cpu.control.cr0, cpu.mode and cpu.mode.name)
             for cpu in file.cpus]
    told = name.startswith(("elf", "kdump", "flattened"))
    assert found == ([("CPU 0", 0x5000, 0x8005_0033, "x86_64"), ("CPU 1", 0x6001, 0x11, None)]
                     if told else [])


@pytest.mark.parametrize("pack", [lzma.compress, gzip.compress,
                                  lambda data: gzip.compress(data[:999])
                                  + gzip.compress(data[999:]) + bytes(12),
                                  lambda data: lzma.compress(data[:77]) + bytes(4)
                                  + lzma.compress(data[77:])])
def test_packed_files_are_read_as_they_are(pack, name, tmp_path):
    path = tmp_path / "memory.bin"
    path.write_bytes(pack(FILES[name]))
    data, _ = open_memory(path).frames(np.arange(72, dtype=np.uint64))
    assert data[50].tobytes() == frame(50)


def test_places_say_where_a_raw_file_has_what(tmp_path):
    path = tmp_path / "memory.raw"
    path.write_bytes(LOW + HIGH)
    file = open_memory(path, places=[MemoryPiece(0, len(LOW), 0),
                                     MemoryPiece(1 << 32, (1 << 32) + len(HIGH), len(LOW))])
    data, there = file.frames(np.array([1, 40, 1 << 20], np.uint64))
    assert there.tolist() == [True, False, True]
    assert data[2].tobytes() == frame(40)
    with pytest.raises(MemoryFileError, match=r"^.*memory.raw: ends at byte \d+; expected the "
                                              r"memory at 0x1000 up to byte \d+$"):
        open_memory(path, places=[MemoryPiece(FRAME, 1 << 30, 0)])


def test_the_rest_of_a_segment_is_zeros(tmp_path):
    path = tmp_path / "core"
    path.write_bytes(elf([(0, frame(1))], memsz=3 * FRAME))
    file = open_memory(path)
    data, there = file.frames(np.arange(4, dtype=np.uint64))
    assert there.tolist() == [True, True, True, False]
    assert data[0].tobytes() == frame(1)
    assert not data[1:].any()
    assert file.ranges == ((0, 3 * FRAME),)


def test_a_frame_that_two_segments_share_is_one(tmp_path):
    path = tmp_path / "core"
    whole = frame(1) + frame(2) + frame(3)
    path.write_bytes(elf([(0, whole[:6000]), (6000, whole[6000:])]))
    file = open_memory(path)
    assert np.concatenate([*file.occupied()]).tolist() == [0, 1, 2]
    assert file.frames(np.arange(3, dtype=np.uint64))[0].tobytes() == whole


def test_of_segments_that_overlap_the_last_counts(tmp_path):
    # /proc/vmcore has the kernel's text twice.
    path = tmp_path / "core"
    path.write_bytes(elf([(0, frame(1) * 3), (FRAME, frame(2))]))
    data, _ = open_memory(path).frames(np.arange(3, dtype=np.uint64))
    assert [row.tobytes() for row in data] == [frame(1), frame(2), frame(1)]


def test_the_holes_of_a_sparse_file_are_not_read(tmp_path):
    path = tmp_path / "memory.raw"
    with path.open("wb") as out:
        out.seek(1 << 34)
        out.write(frame(1))
    file = open_memory(path)
    assert file.end == (1 << 34) + FRAME
    occupied = np.concatenate([*file.occupied()])
    assert (1 << 22) in occupied.tolist()
    assert len(occupied) < 1000
