"""The command line; images, access vectors, copies of them to break; a machine to play on."""

from pathlib import Path

import numpy as np
import pytest

from pagewalk.model.x86 import IA32, MODES, X86_64
from pagewalk.sim.cli.main import main
from pagewalk.sim.image import Image
from pagewalk.sim.vectors import VECTORS, Vectors

from .machine import Machine, with_pages


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


@pytest.fixture(scope="session", params=MODES)
def vectors(request, vectors_file):
    """The access vectors of each mode in turn."""
    return Vectors.load(vectors_file(request.param))


@pytest.fixture
def vector_arrays(vectors_file):
    """Return the arrays of the access vectors of a mode, to be changed at will."""

    def read_arrays(mode):
        with np.load(vectors_file(mode.name)) as archive:
            return {name: archive[name] for name in VECTORS.fields}

    return read_arrays


@pytest.fixture
def pagewalk(capsys):
    """Run the command; return exit code, stdout and stderr."""

    def run(*arguments):
        code = main([str(argument) for argument in arguments])
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def refused(pagewalk):
    """Run the command, which must refuse its arguments in one line; return what the line says."""

    def run(*arguments, code=2):
        got, out, err = pagewalk(*arguments)
        assert (got, out) == (code, "")
        assert err.startswith("pagewalk: error: ")
        assert err.endswith("\n")
        assert err.count("\n") == 1
        return err.removeprefix("pagewalk: error: ").rstrip("\n")

    return run


@pytest.fixture
def machine():
    """A machine in 4-level paging with three pages, two of them in one table."""
    return with_pages(Machine())
