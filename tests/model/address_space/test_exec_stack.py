"""The strings at the top of a new stack, and what they may be at most."""

import errno

import pytest

from pagewalk.model.address_space.errors import SysError
from pagewalk.model.address_space.exec_arguments import ExecArguments
from pagewalk.model.address_space.exec_stack import ExecStack
from pagewalk.model.address_space.limits import INFINITY, Rlimits, UserSpace
from pagewalk.model.address_space.user_layout import USER_I686
from pagewalk.model.address_space.vma import VmFlag

from .exec_tools import Memory
from .small_mm import PAGE, RW, SPACE, Recorder, small_mm

TOP = SPACE.task_size
KIB, MIB = 1 << 10, 1 << 20
WORD = 8


def stack_of(*, space=SPACE, **options):
    mm = small_mm(space, **{"page_tables": Memory(), **options})
    return mm, ExecStack(mm, space.task_size)


def put(argv=(), envp=(), filename=b"f", **options):
    mm, stack = stack_of(**options)
    stack.put_strings(ExecArguments(filename, argv, envp))
    mm.check()
    return mm, stack


def test_strings_lie_from_the_top_down_name_environment_arguments():
    mm, stack = put([b"one", b"", b"three"], [b"A=1", b"B="], b"/bin/x")
    wanted = b"one\0\0three\0A=1\0B=\0/bin/x\0"
    start = TOP - WORD - len(wanted)
    assert mm.page_tables.read(start, len(wanted)) == wanted
    assert (stack.pointer, stack.filename) == (start, TOP - WORD - 7)
    assert (stack.vma.start, stack.vma.end) == (TOP - PAGE, TOP)


def test_a_32_bit_stack_leaves_four_bytes_at_its_top():
    mm, stack = put([b"a"], space=UserSpace.of(USER_I686))
    assert stack.pointer == USER_I686.task_size - 4 - 4
    assert mm.page_tables.read(stack.pointer, 4) == b"a\0f\0"


def test_a_program_without_arguments_gets_an_empty_one():
    mm, stack = put([], [b"A=1"])
    assert mm.page_tables.read(stack.pointer, 7) == b"\0A=1\0f\0"


def test_pages_are_had_from_the_top_down_once_for_each_kind_of_strings():
    """A page is asked for once in a row of strings. [kmapped_page of copy_strings]"""
    mm, stack = put([b"a" * 6000, b"b"], [b"c", b"d"])
    asked = [(call[2] - TOP) // PAGE for call in mm.page_tables.calls if call[0] == "populate"]
    assert asked == [-1, -1, -1, -2]
    assert {call[1:] for call in mm.page_tables.calls if call[0] == "populate"} == {
        (stack.vma, TOP - n * PAGE, TOP - (n - 1) * PAGE, True) for n in (1, 2)}
    assert all(start // PAGE == (start + len(data) - 1) // PAGE
               for name, start, data in
               (call for call in mm.page_tables.calls if call[0] == "store"))
    assert mm.page_tables.string(stack.pointer) == b"a" * 6000
    assert stack.vma.anon_vma is not None


def too_big(argv=(), envp=(), filename=b"f", **options):
    mm, stack = stack_of(**options)
    with pytest.raises(SysError) as caught:
        stack.put_strings(ExecArguments(filename, argv, envp))
    assert caught.value.errno == errno.E2BIG
    return [call for call in mm.page_tables.calls if call[0] == "store"]


@pytest.mark.parametrize("kind", ["filename", "argv", "envp"])
def test_a_string_has_128_kbytes_with_its_zero(kind):
    longest = b"x" * (128 * KIB - 1)
    put(**{kind: longest if kind == "filename" else [longest]})
    too_big(**{kind: longest + b"x" if kind == "filename" else [longest + b"x"]})


@pytest.mark.parametrize(("rlimit", "limit"), [
    (8 * MIB, 2 * MIB), (16 * MIB, 4 * MIB), (24 * MIB, 6 * MIB), (64 * MIB, 6 * MIB),
    (INFINITY, 6 * MIB), (1 * MIB, 256 * KIB), (512 * KIB, 128 * KIB), (256 * KIB, 128 * KIB)])
def test_strings_and_pointers_have_a_quarter_of_the_stack_at_most_6_mbytes(rlimit, limit):
    """At least 128 Kbytes whatever the limit is, of which the pointers have their part."""
    options = {"rlimits": Rlimits(stack=rlimit), "page_tables": Recorder()}
    count = limit // (64 * KIB)
    last = b"x" * (64 * KIB - 1 - 2 - count * WORD)  # the name, and the pointers to all
    fits = [b"x" * (64 * KIB - 1)] * (count - 1) + [last]
    put(fits, **options)
    put(fits[:1], fits[1:], **options)
    assert too_big([*fits[:-1], last + b"x"], **options)
    assert too_big(fits[:1], [*fits[1:-1], last + b"x"], **options)


def test_pointers_alone_may_be_too_many():
    """Nothing is stored then."""
    count = 2 * MIB // WORD
    assert not too_big([b""] * count)
    assert not too_big([], [b""] * (count - 1))  # an empty argument is counted in
    assert too_big([b""] * (count - 1))


def test_strings_beyond_the_limit_of_the_stack_itself_are_too_big():
    put([b"x" * (7 * PAGE)], rlimits=Rlimits(stack=8 * PAGE))
    assert too_big([b"x" * (8 * PAGE)], rlimits=Rlimits(stack=8 * PAGE))


def test_a_page_that_cannot_be_had_is_too_big():
    mm, stack = stack_of()
    mm.page_tables.errors["populate"] = SysError(errno.EFAULT)
    with pytest.raises(SysError, match="E2BIG"):
        stack.put_strings(ExecArguments(b"f"))


@pytest.mark.parametrize(("executable", "implied", "flags"), [
    (None, False, 0), (False, False, 0), (True, False, VmFlag.EXEC),
    (None, True, VmFlag.EXEC), (False, True, 0), (True, True, VmFlag.EXEC)])
def test_a_program_says_whether_its_stack_has_code(executable, implied, flags):
    mm, stack = put()
    mm.read_implies_exec = implied
    stack.finish(executable)
    assert stack.vma.flags == VmFlag.STACK | flags
    mm.check()


def test_a_finished_stack_notes_where_its_strings_are():
    mm, stack = put([b"abc"])
    stack.finish(False)
    assert (mm.start_stack, mm.arg_start) == (stack.pointer, stack.pointer)
    assert stack.vma.start == TOP - PAGE - 128 * KIB


def test_a_stack_that_cannot_have_its_room_fails():
    mm, stack = put()
    mm.mmap(TOP - 40 * PAGE, PAGE, RW, 0x32)
    with pytest.raises(SysError, match="EFAULT"):
        stack.finish(False)
