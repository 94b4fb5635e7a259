"""Programs of this machine, stopped before their first instruction, and the same on the model.

``test_exec_start`` says what later kernels do otherwise.
"""

import os
import sys
from pathlib import Path

import pytest

from pagewalk.model.address_space.auxv import At
from pagewalk.model.address_space.exec_arguments import ExecArguments

from .exec_compare import Tables, model_of, rows
from .native_exec import Shown

pytestmark = pytest.mark.slow

PROGRAMS = (sys.executable, "/bin/busybox", "/bin/bash", "/bin/true", "/usr/bin/perl",
            "/sbin/ldconfig", "/lib64/ld-linux-x86-64.so.2")


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_real_program_starts_as_natively(launcher, name):
    path = Path(name)
    if not path.exists():
        pytest.skip(f"{name} is not on this machine")
    arguments = ExecArguments(os.fsencode(path), (b"zero", b"--one"), (b"HOME=/", b"A=" + b"x" * 9))
    native = Tables(Shown.stopped(launcher.run(arguments.filename, arguments.argv, arguments.envp,
                                               stops=True)))
    model = model_of(native, path, arguments)
    assert rows(model.shown.maps) == rows(native.shown.maps)
    assert model.shown.ip == native.shown.ip
    assert (model.argv, model.envp) == (native.argv, native.envp)
    moved = (At.RANDOM, At.PLATFORM)
    assert model.value(At.BASE) == native.value(At.BASE)
    assert [entry for entry in model.auxv if entry[0] not in moved] == [
        entry for entry in native.common if entry[0] not in moved]
    top = native.shown.sp + len(native.shown.stack)
    first = native.argv[0]
    assert model.shown.read(first, top - first) == native.shown.read(first, top - first)
