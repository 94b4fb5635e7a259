"""The strict reader on its own; images and vectors put their whole formats to it."""

import io
import os
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagewalk.sim.archive import Field, FieldError, Format
from pagewalk.sim.errors import InputError

FORMAT = Format(
    "a parcel (.npz)",
    fields={
        "name": Field("box", "U"),
        "weight": Field("box", "<u2"),
        "size": Field("item", "u1", 3),
        "kind": Field("item", "i1", values=(-1, 0, 5)),
        "box": Field("item", "<i4"),
    },
    indices={"box": "box"},
)


def parcel():
    return {
        "name": np.array(["a", "bc"]),
        "weight": np.array([1, 0xFFFF]),
        "size": np.arange(9).reshape(3, 3),
        "kind": np.array([5, -1, 0], ">i8"),
        "box": np.array([1, 0, 1]),
    }


def write(folder, arrays):
    np.savez_compressed(folder / "x.npz", **arrays)
    return folder / "x.npz"


def test_fields_come_in_the_types_of_the_format(tmp_path):
    fields = FORMAT.read(write(tmp_path, parcel() | {"more": np.array(1.5)}))
    assert list(fields) == ["name", "weight", "size", "kind", "box"]
    assert fields["name"].tolist() == ["a", "bc"]
    assert [fields[name].dtype for name in ("weight", "size", "kind", "box")] == [
        np.dtype(name) for name in ("<u2", "u1", "i1", "<i4")]
    assert fields["size"].tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]


@pytest.mark.parametrize(("name", "value", "message"), [
    ("weight", np.array([1, 0x10000]), "weight holds 65536; expected values from 0 to 65535"),
    ("name", np.array(["a", "\x1b[31mb"]),
     "name holds '\\x1b[31mb' for box 1; expected at most 1000 letters that can be printed"),
    ("name", np.array(["x" * 1001, "b"]),
     f"name holds {'x' * 40!r} for box 0; expected at most 1000 letters that can be printed"),
    ("weight", np.array([1.0, 2.0]), "weight is float64; expected whole numbers"),
    ("weight", np.array([1, 2, 3]), "weight has 3 values; expected 2, as many as name"),
    ("weight", np.array([[1], [2]]), "weight has shape (2, 1); expected one dimension"),
    ("weight", np.array(1), "weight has shape (); expected one dimension"),
    ("size", np.zeros(9, int), "size has shape (9,); expected (N, 3)"),
    ("size", np.zeros((3, 2), int), "size has shape (3, 2); expected (N, 3)"),
    ("size", np.full((3, 3), -1), "size holds -1; expected values from 0 to 255"),
    ("kind", np.array([5, 5, 4]), "kind holds 4 for item 2; expected one of -1, 0, 5"),
    ("box", np.array([0, 2, 0]), "box holds 2; expected an index into name, from 0 to 1"),
    ("box", np.array([0, 0, -1]), "box holds -1; expected an index into name, from 0 to 1"),
    ("name", np.array([b"a", b"b"]), "name is |S1; expected text"),
    ("name", np.array([], "U"), "weight has 2 values; expected 0, as many as name"),
], ids=str)
def test_a_bad_field_is_named(name, value, message, tmp_path):
    path = write(tmp_path, parcel() | {name: value})
    with pytest.raises(InputError) as caught:
        FORMAT.read(path)
    assert str(caught.value) == f"{path}: {message}"


@pytest.mark.parametrize(("name", "message"), [
    ("name", "name is missing; expected one value for each box"),
    ("size", "size is missing; expected 3 values for each item"),
])
def test_a_missing_field_is_named(name, message, tmp_path):
    arrays = parcel()
    del arrays[name]
    path = write(tmp_path, arrays)
    with pytest.raises(InputError) as caught:
        FORMAT.read(path)
    assert str(caught.value) == f"{path}: {message}"


def test_an_empty_group_is_refused(tmp_path):
    arrays = parcel()
    path = write(tmp_path, arrays | {name: arrays[name][:0] for name in ("size", "kind", "box")})
    with pytest.raises(InputError, match=r"size is empty; expected at least one item$"):
        FORMAT.read(path)


def header(shape, descr="<u2"):
    """Return the header of an array, as a file of it begins."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        file, {"descr": descr, "fortran_order": False, "shape": shape})
    return file.getvalue()


@pytest.fixture
def nothing_unpacked(monkeypatch):
    """No array may be read."""

    def unpack(*_):
        pytest.fail("unpacked an array")

    monkeypatch.setattr(np.lib.npyio.NpzFile, "__getitem__", unpack)


@pytest.mark.parametrize(("name", "shape", "descr", "message"), [
    ("weight", (1 << 40,), "<u2", "weight unpacks to 2199023255552 bytes; expected at most "),
    ("size", (1 << 62, 3), "u1", "size unpacks to 13835058055282163712 bytes; expected at most "),
    ("name", (2,), "<U100000000", "name unpacks to 800000000 bytes; expected at most "),
    ("weight", (100, 100), "<u2", "weight has shape (100, 100); expected one dimension"),
    ("weight", (2,), "<f8", "weight is float64; expected whole numbers"),
    ("weight", (5000,), "<u2", "weight has 5000 values; expected 2, as many as name"),
])
@pytest.mark.usefixtures("nothing_unpacked")
def test_headers_are_checked_before_anything_is_unpacked(name, shape, descr, message, tmp_path):
    path = tmp_path / "x.npz"
    with ZipFile(path, "w") as archive:
        for field, array in parcel().items():
            head = header(array.shape, array.dtype.str)
            archive.writestr(f"{field}.npy", header(shape, descr) if field == name else head)
    with pytest.raises(InputError) as caught:
        FORMAT.read(path)
    assert str(caught.value).startswith(f"{path}: {message}")


@pytest.mark.slow
@pytest.mark.usefixtures("nothing_unpacked")
def test_a_small_file_that_unpacks_to_gigabytes_is_refused_at_once(tmp_path):
    path = tmp_path / "x.npz"
    with ZipFile(path, "w", ZIP_DEFLATED, compresslevel=1) as archive:
        for field, array in parcel().items():
            with archive.open(f"{field}.npy", "w", force_zip64=True) as member:
                if field == "weight":
                    member.write(header(array.shape))  # all else is behind the array
                    for _ in range(600):
                        member.write(bytes(1 << 20))
                else:
                    np.save(member, array)
    assert path.stat().st_size < 4 << 20
    with pytest.raises(InputError, match=r"weight unpacks to 6291[0-9]+ bytes; expected at most"):
        FORMAT.read(path)


@pytest.mark.parametrize("length", [9000, 1 << 31])
def test_a_header_that_is_too_long_is_refused(length, tmp_path):
    path = tmp_path / "x.npz"
    write(tmp_path, parcel())
    with ZipFile(path, "w") as archive:
        for field in parcel():
            archive.writestr(f"{field}.npy", b"\x93NUMPY\2\0" + length.to_bytes(4, "little"))
    with pytest.raises(InputError, match=r"cannot be read: [^\n]+; expected a parcel"):
        FORMAT.read(path)


def test_what_is_no_array_is_named(tmp_path):
    path = write(tmp_path, parcel())
    with ZipFile(path, "w") as archive:
        for field in parcel():
            archive.writestr(f"{field}.npy", b"text")
    with pytest.raises(InputError, match=r"name is not an array; expected one value for each box$"):
        FORMAT.read(path)


@pytest.mark.parametrize("kind", ["device", "pipe"])
def test_what_has_no_end_is_refused(kind, tmp_path):
    path = tmp_path / "endless"
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(InputError, match=r"is a pipe or a device; expected a file: a parcel"):
        FORMAT.read(path)


@pytest.mark.parametrize("content", [None, b"", b"text", b"PK\3\4"])
def test_what_is_no_archive_is_refused(content, tmp_path):
    path = tmp_path / "x.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"^[^\n]+; expected a parcel \(\.npz\)$"):
        FORMAT.read(path)


@settings(deadline=None)
@given(
    values=st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=4),
    dtype=st.sampled_from(["i1", "u1", "<i2", ">u4", "<i8", "<u8"]),
)
def test_values_that_fit_are_kept_and_others_refused(values, dtype):
    limits = np.iinfo(dtype)
    field, array = Field("item", dtype), np.array(values)
    if all(limits.min <= value <= limits.max for value in values):
        assert field.converted("x", array).tolist() == values
    else:
        with pytest.raises(FieldError, match=r"^x holds -?\d+; expected values from -?\d+ to \d+$"):
            field.converted("x", array)
