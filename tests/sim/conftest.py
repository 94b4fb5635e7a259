"""Memory images to break, made from those that come with the package."""

from pathlib import Path

import numpy as np
import pytest

from pagewalk.model.x86 import IA32, X86_64
from pagewalk.sim.image import Image


@pytest.fixture(scope="session", params=[X86_64, IA32], ids=lambda mode: mode.name)
def shipped(request):
    """The shipped image of each mode in turn."""
    return Image.shipped(request.param)


@pytest.fixture(scope="session")
def small(shipped):
    """A cut of it that has every sort of probe and is quick to replay."""
    return shipped.cut(limit=300)


@pytest.fixture
def arrays_of(tmp_path):
    """Return the arrays of an image, to be changed at will."""

    def read(image):
        image.save(tmp_path / "saved.npz")
        with np.load(tmp_path / "saved.npz") as archive:
            return dict(archive)

    return read


@pytest.fixture
def arrays(small, arrays_of):
    """The arrays of the small image."""
    return arrays_of(small)


@pytest.fixture
def write_image(tmp_path):
    """Write arrays to a file, without any check; return its path."""

    def write(arrays, name="image.npz") -> Path:
        np.savez_compressed(tmp_path / name, **arrays)
        return tmp_path / name

    return write
