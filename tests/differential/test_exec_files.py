"""Files that the kernel of this machine runs or refuses, and what the model says of them.

Each file holds a program that exits with 42, if it starts. Later kernels than 6.1 take 64 Kbytes of
program headers, not a page (known of 6.18): a number between the two is not tried.
"""

import errno
import os
from dataclasses import replace

import pytest

from pagewalk.model.address_space.elf import read_elf
from pagewalk.model.address_space.errors import ExecError, SysError
from pagewalk.model.address_space.exec_arguments import ExecArguments
from pagewalk.model.address_space.exec_file import find_binary
from pagewalk.model.kernel.kernel import Kernel
from pagewalk.model.x86 import X86_64

from ..model.address_space.elf_images import DYN, INTERP, PAGE, Image, Phdr, R, X
from ..model.kernel.machines import MIB
from .exec_files import BASE, ENTRY, open_exec, outcomes, program, write
from .native_exec import build

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def kernel():
    return Kernel.boot(X86_64, 64 * MIB)


REFUSED = {
    "runs": ({}, "status 42"),
    "magic": ({"magic": b"MZ\0\0"}, "errno 8"),
    "object": ({"type": 1}, "errno 8"),
    "other machine": ({"machine": 183}, "errno 8"),
    "size of a header": ({"phentsize": 32}, "errno 8"),
    "no headers": ({"phnum": 0}, "errno 8"),
    "too many headers": ({"phnum": 1171}, "errno 8"),
    "as many as fit": ({"phnum": 73, "phoff": 0x1000}, "SIGSEGV"),
    "headers beyond the end": ({"phoff": 1 << 40}, "errno 8"),
    "headers at a negative offset": ({"phoff": (1 << 64) - 8}, "errno 8"),
    "no segments": ({"phdrs": [Phdr(type=4)]}, "SIGSEGV"),
    "no segments, anywhere": ({"phdrs": [Phdr(type=4)], "type": DYN}, "SIGSEGV"),
    "entry outside": ({"entry": 1 << 47}, "SIGSEGV"),
    "cut off": ({"size": 0, "parts": {}, "phdrs": []}, "errno 8"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_damaged_program_is_refused_as_natively(launcher, kernel, tmp_path, case):
    fields, how = REFUSED[case]
    name = write(tmp_path / "program", program(**fields).bytes())
    assert outcomes(launcher, kernel, name) == (how, how)


INTERPRETERS = {
    "no such file": (b"/no/such/file\0", None, "errno 2"),
    "empty name": (b"\0\0", None, "errno 13"),
    "too short": (b"\0", None, "errno 8"),
    "no zero": (b"/bin/sh", None, "errno 8"),
    "too long": (b"x" * 4096 + b"\0", None, "errno 8"),
    "no ELF file": (b"", b"#!/bin/sh\n".ljust(64), "errno 80"),
    "short file": (b"", b"\x7fELF", "errno 5"),
    "other machine": (b"", program(machine=3), "errno 80"),
    "no headers": (b"", program(phnum=0), "errno 80"),
    "headers beyond the end": (b"", program(phoff=1 << 30), "errno 80"),
    "object": (b"", program(type=1), None),
    "no segments": (b"", program(phdrs=[Phdr(type=4)], type=DYN), "SIGSEGV"),
    "runs": (b"", program(type=DYN, entry=ENTRY, phdrs=[
        Phdr(flags=R | X, filesz=PAGE, memsz=PAGE)]), "status 42"),
}


@pytest.mark.parametrize("case", INTERPRETERS)
def test_a_damaged_interpreter_is_refused_as_natively(launcher, kernel, tmp_path, case):
    name, loader, how = INTERPRETERS[case]
    if loader is not None:
        name = write(tmp_path / "loader", loader.bytes() if isinstance(loader, Image) else loader)
        name += b"\0"
    asked = Phdr(INTERP, R, PAGE, 0, len(name), len(name), 1)
    image = program(phdrs=[asked, *program().phdrs], entry=BASE + ENTRY + 1)
    path = write(tmp_path / "program", replace(image, parts={**image.parts, PAGE: name}).bytes())
    if how is None:  # noticed too late: EPERM here, and a signal there
        assert launcher.run(path, [path]).how == "SIGSEGV"
        with pytest.raises(ExecError, match=r"^EPERM: .*: e_type is 1, expected "):
            read_elf(open_exec(path), X86_64, open_exec)
    else:
        assert outcomes(launcher, kernel, path) == (how, how)


def test_a_name_of_an_interpreter_that_cannot_be_read(launcher, kernel, tmp_path):
    for offset, how in ((1 << 40, "errno 5"), (1 << 63, "errno 22"), ((1 << 63) - 4, "errno 22")):
        asked = Phdr(INTERP, R, offset, 0, 8, 8, 1)
        path = write(tmp_path / "program", program(phdrs=[asked, *program().phdrs]).bytes())
        assert outcomes(launcher, kernel, path) == (how, how)


LINES = [b"#!%s\n", b"#! \t%s \t\n", b"#!%s -e -x \nnext", b"#!%s", b"#!%s -e", b"#!%s \0-e\n",
         b"#!%s\0 -e\n", b"#!%s\r\n", b"#!\n", b"#!", b"#!  ", b"#!%s " + b"y" * 300,
         b"#! %s\t\t a\tb",
         b"#!" + b" " * 254, b"#!" + b"x" * 254, b"#!%s" + b" " * 200 + b"z" * 100, b"#!/\n", b"\n"]


@pytest.mark.parametrize("number", range(len(LINES)))
def test_scripts_give_the_arguments_that_they_give_natively(launcher, tmp_path, number):
    shows = os.fsencode(build(tmp_path, "static", "s"))
    line = LINES[number] % shows if b"%s" in LINES[number] else LINES[number]
    name, argv = write(tmp_path / "script", line), [b"zero", b"one", b""]
    ended, how = launcher.run(name, argv), "status 42"
    try:
        source, arguments = find_binary(ExecArguments(name, argv), open_exec)
        read_elf(source, X86_64, open_exec)
    except SysError as error:
        how = f"errno {error.errno}"
    assert ended.how == how
    if how != "status 42":
        return
    wanted = b"".join(one + b"\0" for one in (*arguments.argv, name))
    assert ended.output.rstrip(b"\0").endswith(b"\0" + wanted.rstrip(b"\0"))


@pytest.mark.parametrize("scripts", range(4, 8))
def test_as_many_scripts_run_scripts_as_natively(launcher, kernel, tmp_path, scripts):
    name = write(tmp_path / "program", program().bytes())
    for number in range(scripts):
        name = write(tmp_path / f"script{number}", b"#!" + name + b"\n")
    how = "status 42" if scripts <= 5 else f"errno {errno.ELOOP}"
    assert outcomes(launcher, kernel, name) == (how, how)
