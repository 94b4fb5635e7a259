"""The strict reader on its own; images and vectors put their whole formats to it."""

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
