"""Tests of calls as text."""

import errno

import pytest

from pagewalk.sim.exec.call_table import CALLS, DIRECT
from pagewalk.sim.follow.call_signatures import SIGNATURES
from pagewalk.sim.follow.call_text import quoted, result_text
from pagewalk.sim.follow.flag_names import FLAGS, NUMBERS, flags_text, number_text

SIMPLE = set("dluxpfDoswr") | {"signal"}


def test_every_kind_of_argument_is_known():
    kinds = {kind for signature in SIGNATURES.values() for kind in signature}
    assert kinds - SIMPLE <= FLAGS.keys() | NUMBERS.keys()
    assert FLAGS.keys() | NUMBERS.keys() <= kinds


def test_most_calls_that_there_are_have_a_signature():
    missing = sorted((CALLS.keys() | DIRECT.keys()) - SIGNATURES.keys())
    assert len(missing) < 0.5 * len(CALLS.keys() | DIRECT.keys()), missing
    assert all(len(signature) <= 6 for signature in SIGNATURES.values())


@pytest.mark.parametrize(("kind", "value", "text"), [
    ("open", 0, "O_RDONLY"), ("open", 0o2000101, "O_WRONLY|O_CREAT|O_CLOEXEC"),
    ("open", 0x4000_0000, "0x40000000"), ("prot", 0, "PROT_NONE"),
    ("prot", 7, "PROT_READ|PROT_WRITE|PROT_EXEC"), ("map", 0x22, "MAP_PRIVATE|MAP_ANONYMOUS"),
    ("at", 0, "0"), ("access", 5, "X_OK|R_OK"), ("wait", 3, "WNOHANG|WUNTRACED"),
    ("clone", 0x4111, "SIGCHLD|CLONE_VM|CLONE_VFORK"),
    ("futex", 129, "FUTEX_WAKE|FUTEX_PRIVATE_FLAG"),
    ("futex", 137, "FUTEX_WAIT_BITSET|FUTEX_PRIVATE_FLAG"),
])
def test_flags(kind, value, text):
    assert flags_text(kind, value) == text


def test_numbers():
    assert number_text("whence", 2) == "SEEK_END"
    assert number_text("madvise", 21) == "MADV_PAGEOUT"
    assert number_text("whence", 9) == "9"


def test_bytes_are_shown_as_in_c():
    assert quoted(b'a"\\\n\t\r\0\x7f\xff ') == '"a\\"\\\\\\n\\t\\r\\0\\x7f\\xff "'
    assert quoted(b"ab", more=True) == '"ab"...'


@pytest.mark.parametrize(("name", "result", "text"), [
    ("read", 5, "5"), ("read", -errno.EINTR, "-1 EINTR (Interrupted system call)"),
    ("mmap", 0x7FFF_0000, "0x7fff0000"),
    ("mmap", -errno.ENOENT, "-1 ENOENT (No such file or directory)"),
    ("exit", None, "?"), ("lseek", -5000, "-5000"),
])
def test_results(name, result, text):
    assert result_text(name, result, 8) == text
