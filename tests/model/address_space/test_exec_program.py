"""How a program starts or does not, from any file; whole layouts are in ``test_exec_layout``."""

import errno
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pagewalk.model.address_space.errors import SysError
from pagewalk.model.address_space.exec_arguments import ExecArguments
from pagewalk.model.address_space.exec_layout import Program, ProgramHeader
from pagewalk.model.address_space.exec_program import LateExecError, ProgramStart
from pagewalk.model.address_space.limits import UserSpace
from pagewalk.model.address_space.mm import Mm
from pagewalk.model.address_space.uapi import MapFlag, Prot
from pagewalk.model.address_space.user_layout import USER_AMD64, USER_I686
from pagewalk.model.address_space.vma import File, VmFlag
from pagewalk.model.x86 import IA32, X86_64

from .exec_tools import FACTS, Memory, run_program
from .small_mm import forked

BUILDS = {X86_64: USER_AMD64, IA32: USER_I686}
both = pytest.mark.parametrize("mode", BUILDS, ids=lambda mode: mode.name)
R, RW, RX = Prot.READ, Prot.READ | Prot.WRITE, Prot.READ | Prot.EXEC
PAGE = 0x1000
ANON = MapFlag.PRIVATE | MapFlag.ANONYMOUS
TEXT = ProgramHeader(0, 0x40_0000, PAGE, PAGE, RX)
DATA = ProgramHeader(PAGE, 0x40_1000, 0x100, 3 * PAGE, RW)
PROGRAM = Program(File("/bin/program"), [TEXT, DATA], entry=0x40_0010, executable_stack=False)
LOADER = Program(File("/lib/ld.so"), [replace(TEXT, vaddr=0)], is_pie=True, entry=0x20)


def space_of(mode, **options) -> Mm:
    build = BUILDS[mode]
    options.setdefault("page_tables", Memory())
    return Mm(UserSpace.of(build), build.layout().mmap_base, **options)


def start(mode, program, mm=None) -> tuple[Mm, ProgramStart]:
    mm = mm if mm is not None else space_of(mode)
    begin = run_program(mm, program, BUILDS[mode].layout())
    mm.check()
    return mm, begin


def failure(mode, program) -> int:
    with pytest.raises(LateExecError) as caught:
        start(mode, program)
    return caught.value.errno


@both
def test_a_program_begins_at_its_entry_or_in_its_loader(mode):
    mm, begin = start(mode, PROGRAM)
    assert begin == ProgramStart(0x40_0010, mm.start_stack)
    mm, begin = start(mode, replace(PROGRAM, interpreter=LOADER))
    assert mm.tree.lookup(begin.ip).file is LOADER.file
    assert begin.ip % PAGE == 0x20


@both
def test_a_loader_with_addresses_of_its_own_has_a_base_of_0(mode):
    loader = replace(LOADER, headers=[replace(TEXT, vaddr=0x70_0000)], is_pie=False,
                     entry=0x70_0020)
    assert start(mode, replace(PROGRAM, interpreter=loader))[1].ip == 0x70_0020


@both
def test_a_program_may_have_no_segments_at_all(mode):
    """Its first instruction is a segmentation fault, but it starts."""
    for is_pie in (False, True):
        mm, begin = start(mode, replace(PROGRAM, headers=[], is_pie=is_pie))
        assert begin.ip == PROGRAM.entry
        assert [vma for vma in mm if vma.file] == []
    assert failure(mode, replace(PROGRAM, interpreter=replace(LOADER, headers=[]))) == errno.EINVAL


@both
def test_a_program_that_begins_outside_of_user_space_does_not(mode):
    top, word = BUILDS[mode].task_size, 1 << mode.vaddr_bits
    for entry in (top, word - 5):
        assert failure(mode, replace(PROGRAM, entry=entry)) == errno.EINVAL
    assert start(mode, replace(PROGRAM, entry=top - 1))[1].ip == top - 1
    fixed = replace(LOADER, headers=[replace(TEXT, vaddr=0x70_0000)], is_pie=False)
    for entry, error in ((top, errno.EINVAL), (word - 5, 5), (word - 4095, 4095),
                         (word - 4096, errno.EINVAL)):
        assert failure(mode, replace(PROGRAM, interpreter=replace(fixed, entry=entry))) == error


@both
def test_an_empty_image_that_may_be_anywhere_has_no_place(mode):
    empty = [ProgramHeader(0, 0, 0, 0, R)]
    assert failure(mode, replace(PROGRAM, headers=empty, is_pie=True)) == errno.EINVAL
    assert failure(mode, replace(PROGRAM, interpreter=replace(LOADER, headers=empty))
                   ) == errno.EINVAL


@both
def test_segments_in_any_order_have_room_together(mode):
    """The span is from the lowest to the highest, whichever comes first. [total_mapping_size]

    The first to be mapped has room for all from itself on, wherever the others go.
    """
    high, low = replace(TEXT, vaddr=5 * PAGE), replace(DATA, vaddr=0, memory_size=0x100)
    base, bias = BUILDS[mode].layout().mmap_base, BUILDS[mode].et_dyn_base
    for headers, alone, loaded in (([low, high], base - 6 * PAGE, bias),
                                   ([high, low], base - 11 * PAGE, bias - 5 * PAGE)):
        program = replace(PROGRAM, headers=headers, is_pie=True, entry=0)
        for one, lowest in ((program, alone), (replace(program, interpreter=LOADER), loaded)):
            mm, _ = start(mode, one)
            places = sorted(vma.start for vma in mm if vma.file is PROGRAM.file)
            assert places == [lowest, lowest + 5 * PAGE]


def test_an_alignment_beyond_all_addresses_means_address_0():
    aligned = [replace(TEXT, vaddr=0, align=1 << 47)]
    program = replace(PROGRAM, headers=aligned, is_pie=True, entry=0)
    assert failure(X86_64, program) == errno.EPERM
    mm, _ = start(X86_64, program, space_of(X86_64, privileged=True))
    assert next(iter(mm)).start == 0


@both
@pytest.mark.parametrize(("aligns", "counts"), [
    ((0, 1), PAGE), ((3, 0x3000), PAGE), ((0x1_0000, 0x30_0000), 0x1_0000),
    ((0x1_0000, 0x8000), 0x1_0000)])
def test_alignments_that_are_no_power_of_two_do_not_count(mode, aligns, counts):
    headers = [replace(TEXT, vaddr=0, align=aligns[0]), replace(DATA, vaddr=PAGE, align=aligns[1])]
    layout = replace(BUILDS[mode].layout(), load_bias=0x5003_5000)
    mm = space_of(mode)
    run_program(mm, replace(PROGRAM, headers=headers, is_pie=True, interpreter=LOADER), layout)
    assert next(vma.start for vma in mm if vma.file is PROGRAM.file) == 0x5003_5000 & -counts


@both
def test_only_too_many_strings_leave_a_way_back(mode):
    mm = space_of(mode)
    with pytest.raises(SysError) as caught:
        run_program(mm, PROGRAM, BUILDS[mode].layout(), ExecArguments(b"f", [b"x" * (1 << 17)]))
    assert (caught.value.errno, type(caught.value)) == (errno.E2BIG, SysError)


# ---- READ_IMPLIES_EXEC

EXECUTABLE = pytest.mark.parametrize(("mode", "asked", "stack", "implied"), [
    (X86_64, None, False, False), (X86_64, False, False, False), (X86_64, True, True, False),
    (IA32, None, True, True), (IA32, False, False, False), (IA32, True, True, False)])
"""The table of arch/x86/include/asm/elf.h, for processors with and without NX alike."""


@EXECUTABLE
def test_what_may_be_read_may_be_executed_by_old_programs_of_32_bits(mode, asked, stack, implied):
    mm, _ = start(mode, replace(PROGRAM, executable_stack=asked))
    assert mm.read_implies_exec is implied
    *_, top = (vma for vma in mm if vma.flags & VmFlag.GROWSDOWN)
    assert bool(top.flags & VmFlag.EXEC) is stack
    data = mm.tree.lookup(0x40_1000)
    bss = mm.tree.lookup(0x40_2000)
    assert [bool(vma.flags & VmFlag.EXEC) for vma in (data, bss)] == [implied, implied]


@pytest.mark.parametrize("implied", [False, True])
def test_calls_give_rights_to_execute_with_those_to_read(implied):
    mm, _ = start(IA32, replace(PROGRAM, executable_stack=None if implied else False))

    def executable(address):
        return bool(mm.tree.lookup(address).flags & VmFlag.EXEC)

    for prot in (Prot.READ, RW):
        place = mm.mmap(0, PAGE, prot, ANON)
        assert executable(place) is implied
        mm.mprotect(place, PAGE, Prot.NONE)
        assert not executable(place)
        mm.mprotect(place, PAGE, prot)
        assert executable(place) is implied
    for prot in (Prot.NONE, Prot.WRITE):
        place = mm.mmap(0, PAGE, prot, ANON)
        assert not executable(place)
    heap = mm.brk(mm.brk_end + PAGE)
    assert executable(heap - 1) is implied
    child = forked(mm)
    assert bool(child.tree.lookup(child.mmap(0, PAGE, RW, ANON)).flags & VmFlag.EXEC) is implied


def test_a_mapping_that_may_not_be_executed_stays_so():
    mm, _ = start(IA32, replace(PROGRAM, executable_stack=None))
    place = mm.mmap(0, PAGE, Prot.NONE, ANON)
    mm.tree.lookup(place).flags &= ~VmFlag.MAYEXEC
    mm.mprotect(place, PAGE, RW)
    assert not mm.tree.lookup(place).flags & VmFlag.EXEC


@both
def test_a_32_bit_process_keeps_that_when_it_runs_another_program(mode):
    mm = space_of(mode)
    mm.read_implies_exec = True
    mm, _ = start(mode, PROGRAM, mm)
    assert mm.read_implies_exec is (mode is IA32)


# ---- any numbers

EDGES = st.sampled_from([0, 1, 0xFFF, 0x1000, 0x1001, 0x40_0000, 0xC000_0000 - PAGE, 0xC000_0000,
                         (1 << 32) - PAGE, (1 << 32) - 1, USER_AMD64.task_size - PAGE,
                         USER_AMD64.task_size, (1 << 63), (1 << 64) - PAGE, (1 << 64) - 1])
NUMBERS = st.one_of(EDGES, st.integers(0, 0x9000), st.integers(0, (1 << 64) - 1))
HEADERS = st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS, st.integers(0, 7), NUMBERS),
                   min_size=0, max_size=4)
PROGRAMS = st.tuples(HEADERS, st.booleans(), NUMBERS, NUMBERS,
                     st.sampled_from([None, False, True]))


def program_of(mode, numbers, interpreter=None) -> Program:
    rows, is_pie, entry, phoff, stack = numbers
    limit = 1 << mode.vaddr_bits
    headers = [ProgramHeader(*(one % limit for one in row)) for row in rows]
    return Program(File("f"), headers, is_pie, interpreter, entry % limit, phoff % limit,
                   len(rows), stack)


@both
@given(numbers=PROGRAMS, loader=st.one_of(st.none(), PROGRAMS))
@example(numbers=([(0, 0x40_0000, 0x100, 0x1000, 7, PAGE)], False, 0x40_0000, 64, None),
         loader=([(0, 0, 0x100, 0x1000, 7, PAGE)], True, 0, 64, None))
@example(numbers=([(0, 0x40_0000, (1 << 64) - 1, (1 << 64) - 1, 7, PAGE)], True, 0, 0, None),
         loader=None)
def test_any_numbers_start_or_fail_and_leave_a_sound_address_space(mode, numbers, loader):
    interpreter = None if loader is None else program_of(mode, loader)
    mm, begin, error = space_of(mode, privileged=True), None, None
    try:
        begin = run_program(mm, program_of(mode, numbers, interpreter), BUILDS[mode].layout(),
                            facts=FACTS)
    except SysError as raised:
        error = raised
    mm.check()
    assert (begin is None) == isinstance(error, LateExecError)
    if begin is not None:
        assert 0 <= begin.ip < mm.space.task_size
        assert begin.sp % 16 == 0
        assert mm.page_tables.word(begin.sp, mm.space.word_bytes) == 1
    mm.exit()
    assert list(mm) == []
