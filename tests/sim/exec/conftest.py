"""A swap file, and programs assembled."""

from uuid import UUID

import pytest

from pagewalk.model.kernel.swap.file import SwapFile

from .worlds import assemble


@pytest.fixture
def swap(tmp_path):
    with SwapFile.create(tmp_path / "swap", 8192, uuid=UUID(int=1)) as file:
        yield file


@pytest.fixture
def assembled(tmp_path):
    """Return the bytes of a program in Intel syntax for a mode."""
    return lambda text, mode: assemble(text, mode, tmp_path)
