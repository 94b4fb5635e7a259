"""From a name to the file that runs; the native kernel is asked in ``test_native_scripts``."""

import errno

import pytest

from pagewalk.model.address_space.errors import ExecError, SysError
from pagewalk.model.address_space.exec_arguments import ExecArguments
from pagewalk.model.address_space.exec_file import find_binary

from .elf_images import Folder

ELF = b"\x7fELF"


def found(folder, filename, *argv):
    source, arguments = find_binary(ExecArguments(filename, argv, (b"A=1",)), folder.open_exec)
    assert (arguments.filename, arguments.envp) == (filename, (b"A=1",))
    return source.file.name, list(arguments.argv)


def test_what_is_no_script_runs_itself():
    assert found(Folder(a=ELF), b"a", b"x", b"y") == ("a", [b"x", b"y"])
    assert found(Folder(a=b"echo"), b"a") == ("a", [])


def test_a_script_s_name_takes_the_place_of_its_first_argument():
    folder = Folder(sh=ELF, plain=b"#! sh\n", options=b"#!sh -e -x\n")
    assert found(folder, b"plain", b"zero", b"one") == ("sh", [b"sh", b"plain", b"one"])
    assert found(folder, b"options", b"zero", b"one") == (
        "sh", [b"sh", b"-e -x", b"options", b"one"])
    assert found(folder, b"plain") == ("sh", [b"sh", b"plain"])


def test_scripts_run_scripts():
    folder = Folder(sh=ELF, b=b"#!sh -b\n", a=b"#!b -a\n")
    assert found(folder, b"a", b"zero", b"one") == (
        "sh", [b"sh", b"-b", b"b", b"-a", b"a", b"one"])


def test_six_scripts_in_a_row_are_too_many():
    scripts = {str(n): f"#!{n + 1}\n".encode() for n in range(6)}
    assert found(Folder(**scripts | {"5": ELF}), b"0")[0] == "5"
    with pytest.raises(ExecError, match=r"^ELOOP: 6: a script is run by 5 scripts, each by the "
                                        r"next, expected an ELF file by then$") as caught:
        found(Folder(**scripts, **{"6": ELF}), b"0")
    assert caught.value.errno == errno.ELOOP
    with pytest.raises(SysError, match="ENOENT"):  # it is opened before they are counted
        found(Folder(**scripts), b"0")


def test_an_interpreter_that_cannot_be_opened_fails_as_that_does():
    with pytest.raises(SysError, match="ENOENT"):
        found(Folder(a=b"#!nothing\n"), b"a")
    with pytest.raises(ExecError, match=r"^EACCES: a: the name of the interpreter is empty, "
                                        r"expected that of a file$"):
        found(Folder(a=b"#!"), b"a")


def test_strings_of_a_program_are_bytes_without_a_zero():
    with pytest.raises(TypeError, match=r"^Arguments of a program must be bytes, not 'a'$"):
        ExecArguments(b"f", ("a",))
    with pytest.raises(ValueError,
                       match=r"^Arguments of a program must have no zero byte, not b'a\\x00b'$"):
        ExecArguments(b"f", (), (b"a\0b",))
