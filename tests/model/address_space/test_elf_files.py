"""ELF files of this machine beside what readelf says, and damaged ones: an error or a program."""

import errno
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pagewalk.model.address_space.elf import ExecFile, elf_mode, read_elf
from pagewalk.model.address_space.errors import SysError
from pagewalk.model.address_space.uapi import Prot
from pagewalk.model.address_space.vma import File
from pagewalk.model.x86 import X86_64

from .elf_images import (
    DYN,
    GNU_STACK,
    MODES,
    NOTE,
    Folder,
    Image,
    Phdr,
    R,
    W,
    X,
    exec_file,
    named,
)

FILES = (sys.executable, "/bin/busybox", "/bin/bash", "/bin/true", "/usr/bin/perl",
         "/sbin/ldconfig", "/lib64/ld-linux-x86-64.so.2")
ERRNOS = (errno.ENOEXEC, errno.EIO, errno.EINVAL, errno.ENOENT, errno.ELIBBAD, errno.EPERM,
          errno.EACCES)
RIGHTS = {"R": Prot.READ, "W": Prot.WRITE, "E": Prot.EXEC}


def open_path(name: bytes) -> ExecFile:
    path = Path(name.decode())

    def read(offset, size):
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(size)
    return ExecFile(File(str(path)), read)


@pytest.fixture(params=FILES)
def path(request):
    if not Path(request.param).exists():
        pytest.skip(f"{request.param} is not on this machine")
    if shutil.which("readelf") is None:
        pytest.skip("readelf is missing")
    return request.param


def test_real_programs_are_what_readelf_says(path):
    text = subprocess.run(["readelf", "--wide", "--file-header", "--segments", path],
                          capture_output=True, text=True, check=True).stdout
    source = open_path(path.encode())
    assert elf_mode(source) is X86_64
    program = read_elf(source, X86_64, open_path)
    loads = re.findall(r"LOAD +(\S+) (\S+) \S+ (\S+) (\S+) ([RWE ]{3}) (\S+)", text)
    assert [(one.offset, one.vaddr, one.file_size, one.memory_size, one.prot, one.align)
            for one in program.headers] == [
        (*(int(number, 16) for number in numbers),
         sum(RIGHTS[letter] for letter in rights.replace(" ", "")), int(align, 16))
        for *numbers, rights, align in loads]
    assert program.is_pie == ("Type:                              DYN" in text)
    assert program.entry == int(re.search(r"Entry point address: +(\S+)", text)[1], 16)
    assert program.phoff == int(re.search(r"Start of program headers: +(\d+)", text)[1])
    assert program.phnum == int(re.search(r"Number of program headers: +(\d+)", text)[1])
    stack = re.search(r"GNU_STACK +\S+ \S+ \S+ \S+ \S+ ([RWE ]{3})", text)
    assert program.executable_stack == (None if stack is None else "E" in stack[1])
    asked = re.search(r"program interpreter: (.*)]", text)
    name = None if program.interpreter is None else program.interpreter.file.name
    assert name == (asked and asked[1])


def whole(mode) -> bytes:
    """A program with something of everything."""
    asked, part = named(b"/lib/ld.so\0")
    return Image(mode, [
        asked, Phdr(NOTE), Phdr(flags=R | X, filesz=0x400, memsz=0x400),
        Phdr(flags=R | W, offset=0x400, vaddr=0x1400, filesz=0x80, memsz=0x3000),
        Phdr(GNU_STACK, R | W)], DYN, 0x100, parts=part, size=0x480).bytes()


def outcome(mode, data: bytes, folder: Folder) -> None:
    """Nothing but an error with a name, or a program of numbers that a machine's words hold."""
    program, error = None, None
    try:
        program = read_elf(exec_file(data), mode, folder.open_exec)
    except SysError as raised:
        error = raised
    assert program is not None or error.errno in ERRNOS
    for one in () if program is None else (program, program.interpreter):
        for header in one.headers if one is not None else ():
            numbers = (header.offset, header.vaddr, header.file_size, header.memory_size,
                       header.align)
            assert all(0 <= number < 1 << mode.vaddr_bits for number in numbers)
            assert 0 <= header.prot <= 7


FLIPS = st.lists(st.tuples(st.integers(0, 0x200), st.integers(1, 255)), max_size=6)


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
@given(flips=FLIPS, size=st.integers(0, 0x480), of_loader=st.booleans())
@example(flips=[], size=0x480, of_loader=False)
@example(flips=[], size=0, of_loader=True)
def test_a_damaged_file_is_an_error_or_a_program(mode, flips, size, of_loader):
    good = whole(mode)
    bad = bytearray(good)
    for place, change in flips:
        bad[place] ^= change
    bad = bytes(bad[:size])
    outcome(mode, good if of_loader else bad, Folder(**{"/lib/ld.so": bad if of_loader else good}))


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
@given(data=st.binary(max_size=0x200), magic=st.booleans())
def test_any_bytes_are_an_error_or_a_program(mode, data, magic):
    data = b"\x7fELF" * magic + data
    outcome(mode, data, Folder(**{"": data}))
