"""Files that are cut, damaged or of another kind: one line, and never anything else."""

import gzip
import lzma
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagewalk.sim.errors import InputError
from pagewalk.sim.memory_file.memory_file_error import OtherMemoryFile
from pagewalk.sim.memory_file.open_memory import open_memory

from .builders import FRAME, avml, elf, flattened, frame, kdump, lime, prstatus, qemu_note

MEMORY = b"".join(map(frame, range(20)))
FRAMES = {pfn: frame(pfn) for pfn in range(20)}
NOTES = prstatus() + qemu_note()
FILES = {
    "elf": elf([(0, MEMORY)], NOTES),
    "lime": lime([(0, MEMORY)]),
    "avml": avml([(0, MEMORY)]),
    "kdump": kdump(FRAMES, NOTES),
    "flattened": flattened(kdump(FRAMES, NOTES)),
    "xz": lzma.compress(elf([(0, MEMORY)], NOTES)),
    "gzip": gzip.compress(elf([(0, MEMORY)], NOTES)),
}
# Where the structures of each begin and end.
PLACES = {
    "elf": [16, 40, 64, 70, 120, 176, 180, 240, 300, 1000, -1],
    "lime": [16, 32, 40, -1],
    "avml": [31, 32, 36, 42, 44, 46, 50, 100, -9, -8, -1],
    "kdump": [11, 424, 444, FRAME, FRAME + 104, FRAME + 600, 2 * FRAME, 3 * FRAME, 4 * FRAME,
              4 * FRAME + 24, 4 * FRAME + 480, -1],
    "flattened": [32, FRAME, FRAME + 8, FRAME + 16, FRAME + 400, -17, -16, -1],
    "xz": [6, 12, 24, -100, -12, -1],
    "gzip": [3, 10, 40, -9, -8, -4, -1],
}
CUTS = [(name, place) for name, places in PLACES.items() for place in places]


def read_all(path):
    """Read every frame and return how many there are."""
    file = open_memory(path)
    count = 0
    for pfns in file.occupied():
        count += int(file.frames(pfns)[1].sum())
    assert not file.frames(np.array([1 << 39], np.uint64))[1].any()
    return count


def check_one_line(path):
    """Return whether all is read; if not, one line must name the file and what was expected."""
    try:
        read_all(path)
    except InputError as error:
        message = str(error)
    else:
        return True
    assert message.startswith(f"{path}: ")
    assert "; expected " in message
    assert "\n" not in message
    return False


@pytest.mark.parametrize("name", FILES)
def test_the_whole_file_is_read(name, tmp_path):
    path = tmp_path / "whole"
    path.write_bytes(FILES[name])
    assert read_all(path) == 20


@pytest.mark.parametrize(("name", "place"), CUTS)
def test_a_cut_file_is_refused_in_one_line(name, place, tmp_path):
    path = tmp_path / "cut"
    path.write_bytes(FILES[name][:place])
    assert not check_one_line(path)


@pytest.mark.parametrize("name", ["lime", "avml"])
def test_a_file_cut_between_two_ranges_is_a_whole_one(name, tmp_path):
    build = {"lime": lime, "avml": avml}[name]
    path = tmp_path / "memory"
    path.write_bytes(build([(0, MEMORY), (1 << 20, MEMORY)])[: len(FILES[name])])
    assert read_all(path) == 20


@pytest.mark.slow
@given(name=st.sampled_from([*FILES]), changes=st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=6))
@settings(max_examples=300, deadline=2000)
def test_damage_is_never_a_traceback(name, changes, tmp_path_factory):
    data = bytearray(FILES[name])
    for place, byte in changes:
        # Half of the changes lie in the headers at the front.
        data[int(place * 2 * min(len(data), 300)) if place < 0.5 else int(place * len(data))] = byte
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(data)
    check_one_line(path)


def huge_kdump():
    """Return kdump whose headers tell of more frames than are read."""
    data = bytearray(kdump(FRAMES))
    struct.pack_into("<I", data, 424 + 12, 1 << 20)  # blocks of the bitmaps
    struct.pack_into("<Q", data, FRAME + 96, (1 << 31) + 1)
    return bytes(data)


def split_kdump():
    data = bytearray(kdump(FRAMES))
    struct.pack_into("<I", data, FRAME + 12, 1)
    return bytes(data)


def many_programs():
    """Return an ELF core that tells of a million program headers and more."""
    data = bytearray(elf([(0, MEMORY)], many=True))
    struct.pack_into("<I", data, 64 + 2 * 56 + 44, (1 << 20) + 1)
    return bytes(data)


OTHERS = [
    (many_programs(), r"has 1048577 program headers"),
    (b"", r"is empty"),
    (b"\x7fELF" + b"\x01" * 100, r"is an ELF file of the processor 257"),
    (elf([(0, MEMORY)], machine=183), r"is an ELF file of the processor 183"),
    (elf([(0, MEMORY)], order=2), r"is an ELF file of a big-endian processor"),
    (elf([(0, MEMORY)], kind=2), r"is an ELF file of type 2"),
    (elf([(0, MEMORY), (0, MEMORY)]), r"is the core of a process, without physical addresses"),
    (elf([]), r"has no program header of the type LOAD"),
    (elf([(1 << 60, MEMORY)]), r"has a physical address of 0x1000000000000000 .*"),
    (kdump(FRAMES, machine=b"aarch64"), r"is kdump of the processor 'aarch64'"),
    (kdump(FRAMES, version=9), r"is kdump of version 9"),
    (split_kdump(), r"is one part of several \(makedumpfile --split\)"),
    (huge_kdump(), r"is kdump of 2147483649 frames"),
    (kdump(FRAMES, packing=2), r"has frames packed by lzo"),
    (kdump(FRAMES, packing=4), r"has frames packed by snappy"),
    (kdump(FRAMES, packing=0x20), r"has frames packed by zstd"),
    (flattened(bytes(5000)), r"is flattened and makes a file that begins with .*"),
    (lime([(1 << 60, MEMORY)]), r"has a range from .*"),
    (lime([(0, MEMORY)], version=3), r"has b'EMiL', version 3, at byte 0"),
    (lime([(0, MEMORY)]) + b"junk" * 20, r"has b'junk', version \d+, at byte \d+"),
    (b"PAGEDU64" + bytes(4088), r"is a crash dump of 64-bit Windows"),
    (b"DISKDUMP" + bytes(4088), r"is a diskdump"),
    (bytes(4097), r"has 4097 bytes and none of the headers known"),
    (elf([(0, MEMORY)], qemu_note(version=2)), r"has a note of CPU 0 of 440 bytes, version 2"),
    (elf([(0, MEMORY)], struct.pack("<III", 4, 1 << 30, 0) + b"QEMU"),
     r"has a note of 1073741824 bytes at byte 0 of its notes"),
]


@pytest.mark.parametrize(("data", "what"), OTHERS)
def test_what_is_wrong_is_told(data, what, tmp_path):
    path = tmp_path / "memory"
    path.write_bytes(data)
    with pytest.raises(InputError, match=rf"^{path}: {what}; expected .+$"):
        read_all(path)


@pytest.mark.parametrize("path", ["/", "no-such-file", "\0", "/dev/null"])
def test_what_is_no_file_is_told(path):
    with pytest.raises(InputError, match=r"^.*: (cannot be read: .*|is a pipe or a device); "
                                         r"expected .+$"):
        open_memory(path)


def test_a_program_is_no_core(tmp_path):
    path = tmp_path / "program"
    path.write_bytes(elf([(0, MEMORY)], kind=3))
    with pytest.raises(OtherMemoryFile):
        open_memory(path)
