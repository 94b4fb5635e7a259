import json
import lzma
import os
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagewalk.sim.boot.xz_arrays import read_arrays
from pagewalk.sim.errors import InputError

DTYPES = {"size": "<u4", "kind": "|u1", "none": "<u8"}
ARRAYS = {"size": np.arange(3000, dtype="<u4"), "kind": np.array([7, 0, 255], "u1"),
          "none": np.zeros(0, "<u8")}
LISTED = [[name, DTYPES[name], len(array)] for name, array in ARRAYS.items()]
BYTES = b"".join(array.tobytes() for array in ARRAYS.values())


def content(listed=LISTED, data=BYTES, form="par1"):
    return json.dumps({"format": form, "arrays": listed}).encode() + b"\n" + data


@pytest.fixture
def read(tmp_path):
    """Write bytes to a file; read the arrays in it."""

    def run(data):
        (tmp_path / "x.xz").write_bytes(data)
        return read_arrays(tmp_path / "x.xz", "par1", DTYPES, "a parcel (.xz)")

    return run


@pytest.fixture
def refusal(read, tmp_path):
    """Return the line that refuses such a file, without its name."""

    def run(data):
        with pytest.raises(InputError) as caught:
            read(data)
        name, _, message = str(caught.value).partition(": ")
        assert name == str(tmp_path / "x.xz")
        assert "\n" not in message
        return message

    return run


def packed(*arguments, **options):
    return lzma.compress(content(*arguments, **options), preset=0)


WHOLE = packed()


def test_arrays_come_as_they_were_written(read):
    arrays = read(WHOLE)
    assert list(arrays) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == DTYPES[name]
        assert np.array_equal(arrays[name], array)


def test_the_order_is_that_of_the_first_line(read):
    assert list(read(packed(LISTED[::-1]))) == [
        "none", "kind", "size"]


@pytest.mark.parametrize(("listed", "message"), [
    (LISTED[:2], "none is missing in its first line; expected it once"),
    ([*LISTED, LISTED[0]], "size is listed twice in its first line; expected it once"),
    ([*LISTED, ["more", "|u1", 1]], "arrays lists more; expected size, kind, none"),
    ([["size", ">u4", 1], *LISTED[1:]], "size is of type >u4; expected <u4"),
    ([["size", "O", 1], *LISTED[1:]], "size is of type O; expected <u4"),
    ([["size", "<u4", -1], *LISTED[1:]], "size has length -1; expected a whole number"),
    ([["size", "<u4", 1.5], *LISTED[1:]], "size has length 1.5; expected a whole number"),
    ([["size", "<u4", True], *LISTED[1:]], "size has length True; expected a whole number"),
    ([["size", "<u4", "9" * 50], *LISTED[1:]],
     f"size has length {'9' * 40}...; expected a whole number"),
    ([["size", "<u4"], *LISTED[1:]],
     "arrays is not a list of [name, type, length]; expected a parcel (.xz)"),
    ([[["size"], "<u4", 1]],
     "arrays is not a list of [name, type, length]; expected a parcel (.xz)"),
    ("size", "arrays is not a list of [name, type, length]; expected a parcel (.xz)"),
    ([["size", "<u4", 1 << 26], *LISTED[1:]],
     "kind has length 3; expected at most 268435456 bytes, all arrays together"),
    ([["size", "<u4", 10**30], *LISTED[1:]],
     f"size has length {10**30}; expected at most 268435456 bytes, all arrays together"),
])
def test_a_first_line_that_lists_other_arrays_is_refused(refusal, listed, message):
    assert refusal(packed(listed)) == message


@pytest.mark.parametrize(("data", "message"), [
    (b"", "is not an xz file; expected a parcel (.xz)"),
    (b"PK\x03\x04 a zip archive", "is not an xz file; expected a parcel (.xz)"),
    (lzma.compress(b"x", lzma.FORMAT_ALONE), "is not an xz file; expected a parcel (.xz)"),
    (WHOLE[:6], "has no first line of at most 65536 bytes; expected a parcel (.xz)"),
    (WHOLE[:12] + b"\xff" * 1100, "is damaged: Corrupt input data; expected a parcel (.xz)"),
    (lzma.compress(b""), "has no first line of at most 65536 bytes; expected a parcel (.xz)"),
    (lzma.compress(bytes(70_000) + b"\n"),
     "has no first line of at most 65536 bytes; expected a parcel (.xz)"),
    (lzma.compress(b"[" * 60_000 + b"\n"),
     "its first line is not JSON; expected a parcel (.xz)"),
    (lzma.compress(b"\xff\xfe\n"), "its first line is not JSON; expected a parcel (.xz)"),
    (lzma.compress(b"[1]\n"), "format holds nothing; expected par1"),
    (lzma.compress(b"{}\n"), "format holds nothing; expected par1"),
    (packed(form="par2"), "format holds par2; expected par1"),
    (packed(form=["\n"]), "format holds ['\\n']; expected par1"),
    (packed(data=BYTES[:1001]),
     "ends early, after 250 values of size; expected 3000, as its first line says"),
    (WHOLE[:-1], "ends early, before the end of its xz stream; expected a parcel (.xz)"),
    (packed(data=BYTES + b"x"), "goes on after the arrays; expected its end there"),
    (WHOLE + b"\0\0\0\0", "goes on after its xz stream; expected its end there"),
    (WHOLE + WHOLE, "goes on after its xz stream; expected its end there"),
])
def test_another_file_is_refused(refusal, data, message):
    assert refusal(data) == message


def test_a_file_that_ends_anywhere_is_refused(refusal):
    for length in range(len(WHOLE) // 7, len(WHOLE), len(WHOLE) // 7):
        assert refusal(WHOLE[:length]).startswith("ends early, ")


def test_a_file_that_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, message in (
            (tmp_path, "cannot be read: Is a directory; expected a parcel (.xz)"),
            (tmp_path / "x", "cannot be read: No such file or directory; expected a parcel (.xz)"),
            ("a\0b", "cannot be read: embedded null byte; expected a parcel (.xz)"),
            (tmp_path / "pipe", "is a pipe or a device; expected a file: a parcel (.xz)")):
        with pytest.raises(InputError) as caught:
            read_arrays(path, "par1", DTYPES, "a parcel (.xz)")
        assert str(caught.value) == f"{path}: {message}"


def test_a_decoder_that_wants_too_much_memory_gets_none(refusal):
    greedy = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 1 << 30}]
    data = lzma.compress(content(), filters=greedy)
    assert refusal(data) == "is damaged: Memory usage limit exceeded; expected a parcel (.xz)"


@pytest.mark.slow
@pytest.mark.parametrize("length", [3000, 50_000_000, 1])
def test_what_a_file_unpacks_to_takes_no_memory_that_it_does_not_list(refusal, length):
    listed = [["size", "<u4", length], *LISTED[1:]]
    bomb = lzma.compress(content(listed, bytes(32 << 20)), preset=0)
    tracemalloc.start()
    try:
        refusal(bomb[:len(bomb) // 2])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * length + (16 << 20)


@pytest.mark.slow
@settings(max_examples=500, deadline=None)
@given(place=st.integers(0, len(WHOLE) - 1), value=st.integers(0, 255))
def test_any_byte_that_is_changed_is_noticed_or_makes_no_difference(tmp_path_factory, place, value):
    data = bytearray(WHOLE)
    data[place] = value
    path = tmp_path_factory.getbasetemp() / "changed.xz"
    path.write_bytes(data)
    try:
        arrays = read_arrays(path, "par1", DTYPES, "a parcel (.xz)")
    except InputError:
        return
    assert all(np.array_equal(arrays[name], array) for name, array in ARRAYS.items())
