"""What is read of an ELF file, and which errors it has, in Linux's order."""

import errno
import os

import pytest

from pagewalk.model.address_space.elf import elf_mode, read_elf
from pagewalk.model.address_space.errors import ExecError, SysError
from pagewalk.model.address_space.exec_layout import ProgramHeader
from pagewalk.model.address_space.uapi import Prot
from pagewalk.model.x86 import IA32, X86_64

from .elf_images import (
    DYN,
    GNU_PROPERTY,
    GNU_STACK,
    INTERP,
    MODES,
    NOTE,
    PAGE,
    TLS,
    Folder,
    Image,
    Phdr,
    R,
    W,
    X,
    exec_file,
    named,
)

both = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
NO_FILES = Folder()


def read(mode, data, folder=NO_FILES):
    return read_elf(exec_file(data), mode, folder.open_exec)


def loader(mode, **fields):
    return Image(mode, **{"phdrs": [Phdr(flags=R | X, filesz=0x800, memsz=0x900)], "type": DYN,
                          "entry": 0x123, **fields})


def dynamic(mode, name=b"ld.so\0", **fields):
    asked, part = named(name)
    return Image(mode, [asked, Phdr(filesz=0x400, memsz=0x400)], DYN, 0x500, parts=part, **fields)


def refused(mode, data, folder=NO_FILES):
    """The errno and the words of a file that is refused."""
    with pytest.raises(ExecError) as caught:
        read(mode, data, folder)
    return caught.value.errno, str(caught.value)


@both
def test_a_static_program_is_its_segments_and_where_it_begins(mode):
    program = read(mode, Image(mode, [
        Phdr(NOTE), Phdr(flags=R | X, vaddr=0x40_0000, filesz=0x1234, memsz=0x1234),
        Phdr(TLS, R, 0x2000, 0x60_2000, 8, 16, 32),
        Phdr(flags=R | W, offset=0x1F00, vaddr=0x60_1F00, filesz=0x100, memsz=0x5000,
             align=0x10_0000)], entry=0x40_0100).bytes())
    assert list(program.headers) == [
        ProgramHeader(0, 0x40_0000, 0x1234, 0x1234, Prot.READ | Prot.EXEC),
        ProgramHeader(0x1F00, 0x60_1F00, 0x100, 0x5000, Prot.READ | Prot.WRITE, 0x10_0000)]
    assert (program.is_pie, program.interpreter, program.executable_stack) == (False, None, None)
    assert (program.entry, program.phnum) == (0x40_0100, 4)
    assert program.phoff == {X86_64: 64, IA32: 52}[mode]


@both
@pytest.mark.parametrize("flags", range(8))
def test_rights_of_a_segment_are_those_of_its_flags(mode, flags):
    [header] = read(mode, Image(mode, [Phdr(flags=flags)]).bytes()).headers
    wanted = {R: Prot.READ, W: Prot.WRITE, X: Prot.EXEC}
    assert header.prot == sum(prot for flag, prot in wanted.items() if flags & flag)


@both
def test_a_program_has_the_interpreter_that_it_names(mode):
    folder = Folder(**{"/lib/ld.so": loader(mode).bytes()})
    program = read(mode, dynamic(mode, b"/lib/ld.so\0rubbish\0").bytes(), folder)
    assert folder.opened == [b"/lib/ld.so"]
    assert program.is_pie
    assert program.interpreter.file.name == "/lib/ld.so"
    assert (program.interpreter.entry, program.interpreter.is_pie) == (0x123, True)
    assert list(program.interpreter.headers) == [
        ProgramHeader(0, 0, 0x800, 0x900, Prot.READ | Prot.EXEC)]


@both
def test_an_interpreter_has_none_itself_and_only_the_first_one_counts(mode):
    first, part = named(b"a\0")
    second, other = named(b"b\0", 0x310)
    folder = Folder(a=dynamic(mode, b"c\0").bytes())
    program = read(mode, Image(mode, [first, second], parts=part | other).bytes(), folder)
    assert program.interpreter.interpreter is None
    assert folder.opened == [b"a"]


@both
@pytest.mark.parametrize(("flags", "wanted"), [
    ([], None), ([R | W], False), ([R | W | X], True), ([X, W], False), ([W, X], True)])
def test_the_last_word_on_the_stack_counts(mode, flags, wanted):
    program = read(mode, Image(mode, [Phdr(GNU_STACK, one) for one in flags] or [Phdr()]).bytes())
    assert program.executable_stack is wanted


@both
def test_properties_are_passed_over_whatever_they_hold(mode):
    data = Image(mode, [Phdr(GNU_PROPERTY, R, 1 << 30, 0, 5000, 5000, 3), Phdr()]).bytes()
    assert len(read(mode, data).headers) == 1


@both
def test_class_byte_order_and_version_are_not_looked_at(mode):
    data = bytearray(Image(mode, [Phdr()]).bytes())
    data[4:16] = b"\xff" * 12
    data[20:24] = b"\xff" * 4
    assert read(mode, bytes(data)) .headers


@both
def test_a_file_that_is_no_program_is_named_with_what_is_wrong(mode):
    form = Image(mode, [Phdr()])
    size, most = form.phdr_size, PAGE // form.phdr_size
    other, own = {X86_64: ("3 (i386)", "62 (x86-64)"),
                  IA32: ("62 (x86-64)", "3 (i386) or 6 (i486)")}[mode]
    for change, words in {
        ("magic", b"MZ\x90\0"): "the start is 4d 5a 90 00, expected 7f 45 4c 46 of an ELF file",
        ("type", 1): "e_type is 1, expected 2 (ET_EXEC) or 3 (ET_DYN)",
        ("machine", 62 if mode is IA32 else 3): f"e_machine is {other}, expected {own}",
        ("machine", 183): f"e_machine is 183 (AArch64), expected {own}",
        ("machine", 999): f"e_machine is 999, expected {own}",
        ("phentsize", size + 1): f"e_phentsize is {size + 1}, expected {size}",
        ("phnum", 0): f"e_phnum is 0, expected 1 to {most}",
        ("phnum", most + 1): f"e_phnum is {most + 1}, expected 1 to {most}",
        ("phnum", 0xFFFF): f"e_phnum is 65535, expected 1 to {most}",
        ("phoff", 0x1000): "the program header table is 0 bytes long at offset 0x1000, "
                           f"expected {size} bytes",
    }.items():
        field, value = change
        data = Image(mode, [Phdr()], **{field: value}).bytes()
        assert refused(mode, data) == (errno.ENOEXEC, f"ENOEXEC: /bin/program: {words}")


@both
def test_what_is_wrong_first_is_said_first(mode):
    """The order of the checks: magic, type, machine, size of a header, number, table."""
    good = {"magic": b"\x7fELF", "type": 2, "machine": None, "phentsize": None, "phnum": 1}
    bad = {"magic": b"\0\0\0\0", "type": 0, "machine": 0, "phentsize": 1, "phnum": 0,
           "phoff": 1 << 30}
    named_so = ["the start", "e_type", "e_machine", "e_phentsize", "e_phnum", "the program header"]
    for step, words in enumerate(named_so):
        fields = dict(list(good.items())[:step] + list(bad.items())[step:])
        assert f": {words} " in refused(mode, Image(mode, [Phdr()], **fields).bytes())[1]


@both
def test_as_many_program_headers_as_fit_in_a_page_are_read(mode):
    most = PAGE // Image(mode).phdr_size
    assert len(read(mode, Image(mode, [Phdr()] * most).bytes()).headers) == most


def test_an_offset_of_more_than_63_bits_is_refused_by_what_reads_there():
    error, text = refused(X86_64, Image(X86_64, [Phdr()], phoff=(1 << 63) - 1).bytes())
    assert error == errno.ENOEXEC
    assert text == ("ENOEXEC: /bin/program: the program header table is at offset "
                    f"{(1 << 63) - 1:#x}, expected an offset of 63 bits")
    asked = Phdr(INTERP, R, 1 << 63, 0, 4, 4, 1)
    assert refused(X86_64, Image(X86_64, [asked]).bytes())[0] == errno.EINVAL


@both
@pytest.mark.parametrize(("name", "size", "error", "words"), [
    (b"", 0, errno.ENOEXEC, "p_filesz of PT_INTERP is 0, expected 2 to 4096"),
    (b"\0", 1, errno.ENOEXEC, "p_filesz of PT_INTERP is 1, expected 2 to 4096"),
    (b"", 4097, errno.ENOEXEC, "p_filesz of PT_INTERP is 4097, expected 2 to 4096"),
    (b"ld", 3, errno.EIO,
     "the name of the interpreter is 2 bytes long at offset 0x300, expected 3 bytes"),
    (b"ld.so", 5, errno.ENOEXEC, "the last byte of the interpreter's name is 0x6f, expected 0"),
])
def test_a_name_of_an_interpreter_that_is_none(mode, name, size, error, words):
    asked = Phdr(INTERP, R, 0x300, 0, size, size, 1)
    data = Image(mode, [asked], parts={0x300: name}).bytes()
    assert refused(mode, data) == (error, f"{errno.errorcode[error]}: /bin/program: {words}")


@both
def test_an_interpreter_that_cannot_be_opened_fails_as_that_does(mode):
    with pytest.raises(SysError) as caught:
        read(mode, dynamic(mode).bytes())
    assert caught.value.errno == errno.ENOENT


@both
def test_an_interpreter_without_a_name_is_a_folder(mode):
    assert refused(mode, dynamic(mode, b"\0ld.so\0").bytes(), Folder(**{"": b""})) == (
        errno.EACCES,
        "EACCES: /bin/program: the name of the interpreter is empty, expected that of a file")


@both
@pytest.mark.parametrize(("fields", "error", "words"), [
    ({"magic": b"#!/b"}, errno.ELIBBAD, "the start is 23 21 2f 62, expected 7f 45 4c 46 "),
    ({"machine": 40}, errno.ELIBBAD, "e_machine is 40 (ARM), expected "),
    ({"phentsize": 0}, errno.ELIBBAD, "e_phentsize is 0, expected "),
    ({"phnum": 0}, errno.ELIBBAD, "e_phnum is 0, expected 1 to "),
    ({"phoff": 0x9000}, errno.ELIBBAD, "the program header table is 0 bytes long at offset "),
    ({"type": 4}, errno.EPERM, "e_type is 4, expected 2 (ET_EXEC) or 3 (ET_DYN)"),
])
def test_an_interpreter_that_is_none_is_a_bad_library(mode, fields, error, words):
    folder = Folder(**{"ld.so": loader(mode, **fields).bytes()})
    found, text = refused(mode, dynamic(mode).bytes(), folder)
    assert found == error
    assert text.startswith(f"{errno.errorcode[error]}: ld.so: {words}")


@both
def test_an_interpreter_that_is_cut_off_in_its_header_cannot_be_read(mode):
    form = loader(mode)
    folder = Folder(**{"ld.so": form.bytes()[: form.header_size - 1]})
    error, text = refused(mode, dynamic(mode).bytes(), folder)
    assert error == errno.EIO
    assert text == (f"EIO: ld.so: the header is {form.header_size - 1} bytes long at offset 0x0, "
                    f"expected {form.header_size} bytes")


@both
@pytest.mark.parametrize(("size", "words"), [
    (0, "the start is 00 00 00 00"), (3, "the start is 7f 45 4c 00"), (4, "e_type is 0"),
    (16, "e_type is 0"), (18, "e_machine is 0"), (20, "e_phentsize is 0")])
def test_a_program_that_is_cut_off_in_its_header_is_read_as_if_zeros_followed(mode, size, words):
    error, text = refused(mode, Image(mode, [Phdr()]).bytes()[:size])
    assert error == errno.ENOEXEC
    assert text.startswith(f"ENOEXEC: /bin/program: {words}, expected ")


def test_a_file_says_which_kernel_runs_it():
    for mode in MODES:
        assert elf_mode(exec_file(Image(mode, [Phdr()]).bytes())) is mode
    assert elf_mode(exec_file(Image(IA32, machine=6).bytes())) is IA32
    with pytest.raises(ExecError, match=r"^ENOEXEC: /bin/program: e_machine is 243 \(RISC-V\), "
                                        r"expected 62 \(x86-64\) or 3 \(i386\)$"):
        elf_mode(exec_file(Image(X86_64, machine=243).bytes()))
    with pytest.raises(ExecError, match=r"^ENOEXEC: /bin/program: the start is 23 21 2f 62, "):
        elf_mode(exec_file(b"#!/bin/sh\n"))


def test_the_parts_of_an_error_can_be_asked_for():
    with pytest.raises(ExecError) as caught:
        read(X86_64, b"text")
    error = caught.value
    assert (error.errno, error.file, error.what, error.found) == (
        errno.ENOEXEC, "/bin/program", "the start", "74 65 78 74")
    assert os.strerror(error.errno) == "Exec format error"


def test_only_headers_and_the_name_are_read_of_a_large_file():
    reads = []
    data = dynamic(X86_64, size=1 << 22).bytes()
    source = exec_file(data)
    counted = type(source)(source.file, lambda offset, size: reads.append((offset, size))
                           or data[offset : offset + size])
    read_elf(counted, X86_64, Folder(**{"ld.so": loader(X86_64).bytes()}).open_exec)
    assert reads == [(0, 64), (64, 2 * 56), (0x300, 6)]
