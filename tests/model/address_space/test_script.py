"""First lines of scripts, as load_script of Linux 6.1 reads them."""

import errno

import pytest

from pagewalk.model.address_space.errors import ExecError
from pagewalk.model.address_space.script import Script, parse_script


@pytest.mark.parametrize(("head", "interpreter", "argument"), [
    (b"#!/bin/sh\n", b"/bin/sh", None),
    (b"#!/bin/sh", b"/bin/sh", None),
    (b"#! \t/bin/sh \t \n", b"/bin/sh", None),
    (b"#!/bin/sh -e\necho", b"/bin/sh", b"-e"),
    (b"#!/bin/sh -e", b"/bin/sh", b"-e"),
    (b"#!/bin/sh\t -e  -x y \t\n", b"/bin/sh", b"-e  -x y"),
    (b"#!a\n", b"a", None),
    (b"#!/bin/sh\r\n", b"/bin/sh\r", None),
    (b"#!/bin/sh\0 -e\n", b"/bin/sh", None),
    (b"#!/bin/sh \0-e\n", b"/bin/sh", b""),
    (b"#!/bin/sh -e\0x\n", b"/bin/sh", b"-e"),
    (b"#!", b"", None),
    (b"#!\0\n", b"", None),
    (b"#!" + b"x" * 253 + b"\n", b"x" * 253, None),
    (b"#!" + b"x" * 252 + b"  ", b"x" * 252, None),
    (b"#!" + b"x" * 253 + b" ", b"x" * 253, None),
    (b"#!/bin/sh " + b"y" * 300, b"/bin/sh", b"y" * 245),
])
def test_a_line_names_an_interpreter_and_perhaps_one_argument(head, interpreter, argument):
    assert parse_script(head, "s") == Script(interpreter, argument)


@pytest.mark.parametrize("head", [b"", b"#", b"# !/bin/sh\n", b"\x7fELF", b"echo #!/bin/sh"])
def test_what_does_not_begin_so_is_no_script(head):
    assert parse_script(head, "s") is None


@pytest.mark.parametrize(("head", "found"), [
    (b"#!\n", "empty"),
    (b"#! \t \n/bin/sh", "empty"),
    (b"#!" + b" " * 254, "longer than 256 bytes"),
    (b"#!" + b"x" * 254, "longer than 256 bytes"),
    (b"#!" + b" " * 200 + b"x" * 54 + b"\n", "longer than 256 bytes"),
])
def test_a_line_that_names_none_is_no_program(head, found):
    with pytest.raises(ExecError) as caught:
        parse_script(head, "/bin/s")
    assert caught.value.errno == errno.ENOEXEC
    assert str(caught.value) == (
        f"ENOEXEC: /bin/s: the name of the interpreter after #! is {found}, "
        "expected a name within the first 256 bytes")
