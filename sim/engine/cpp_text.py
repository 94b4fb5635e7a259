"""Structures of Python as C++ declares them, so that each stands in one place."""

import ctypes
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

__all__ = ["record_lines", "structure_lines"]


def record_lines(name: str, dtype: np.dtype[np.void]) -> Iterator[str]:
    """Yield a struct with the fields of ``dtype``, and checks that the compiler lays it out alike.

    The names of members end in ``_``: one field is called ``new``, a keyword of C++.
    """
    fields: Mapping[str, Any] = dtype.fields or {}
    members = [f"uint{8 * kind.itemsize}_t {field}_;" for field, (kind, *_) in fields.items()]
    yield from (f"struct {name} {{", *members, "};")
    for field, (_, offset, *_) in fields.items():
        yield f"static_assert(offsetof({name}, {field}_) == {offset});"
    yield f"static_assert(sizeof({name}) == {dtype.itemsize});"


def structure_lines(name: str, structure: type[ctypes.Structure]) -> Iterator[str]:
    """Yield a struct with the members of ``structure``, and a check that its size is the same.

    Members are numbers, pointers and such structures, which come first, under their own names.
    """
    members = []
    for field, kind, *_ in structure._fields_:
        if issubclass(kind, ctypes.Structure):
            yield from structure_lines(kind.__name__, kind)
            members.append(f"{kind.__name__} {field};")
        elif kind is ctypes.c_void_p:
            members.append(f"void *{field};")
        else:
            members.append(f"uint{8 * ctypes.sizeof(kind)}_t {field};")
    yield from (f"struct {name} {{", *members, "};")
    yield f"static_assert(sizeof({name}) == {ctypes.sizeof(structure)});"
