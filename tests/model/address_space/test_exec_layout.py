"""What a program starts with; ``test_linux_processes`` compares that of real programs."""

import errno
from dataclasses import replace

import numpy as np
import pytest

from pagewalk.model.address_space.exec_layout import Program, ProgramHeader
from pagewalk.model.address_space.exec_program import LateExecError
from pagewalk.model.address_space.limits import Rlimits, UserSpace
from pagewalk.model.address_space.maps_text import maps_text
from pagewalk.model.address_space.mm import Mm
from pagewalk.model.address_space.uapi import Prot
from pagewalk.model.address_space.user_layout import USER_AMD64
from pagewalk.model.address_space.vma import File, VmFlag

from .exec_tools import Memory, run_program, strings_of
from .small_mm import MMAP_BASE, PAGE, RW, SPACE, small_mm

TOP = SPACE.task_size
RX = Prot.READ | Prot.EXEC
TEXT = ProgramHeader(0, 0x40_0000, 0x1800, 0x1800, RX)
DATA = ProgramHeader(0x1800, 0x40_2800, 0x100, 0x3000, RW)
PROGRAM = Program(File("/bin/program", 8, 1, 33), (TEXT, DATA))
PIE = replace(PROGRAM, headers=(replace(TEXT, vaddr=0), replace(DATA, vaddr=0x2800)),
              is_pie=True)
LOADER = replace(PIE, file=File("/lib/loader", 8, 1, 44))
BUILD = replace(USER_AMD64, task_size=TOP, et_dyn_base=0x5000_0000)
NO_VDSO = replace(BUILD, vvar_pages=0, vdso_pages=0)
LAYOUT = replace(BUILD.layout(), mmap_base=MMAP_BASE)


def started(program=PROGRAM, arg_bytes=100, layout=LAYOUT, **options):
    mm = small_mm(**options)
    run_program(mm, program, layout, strings_of(arg_bytes))
    mm.check()
    return mm


def test_a_static_program():
    mm = started()
    assert maps_text(mm) == """\
00400000-00402000 r-xp 00000000 08:01 33                                 /bin/program
00402000-00403000 rw-p 00001000 08:01 33                                 /bin/program
00403000-00406000 rw-p 00000000 00:00 0                                  [heap]
5fffa000-5fffe000 r--p 00000000 00:00 0                                  [vvar]
5fffe000-60000000 r-xp 00000000 00:00 0                                  [vdso]
7ffdf000-80000000 rw-p 00000000 00:00 0                                  [stack]
"""
    assert (mm.start_code, mm.end_code) == (0x40_0000, 0x40_1800)
    assert (mm.start_data, mm.end_data) == (0x40_2800, 0x40_2900)
    assert (mm.start_brk, mm.brk_end) == (0x40_6000, 0x40_6000)


def test_a_dynamic_program_has_its_loader_below_the_base_and_its_heap_behind_it():
    mm = started(replace(PIE, interpreter=LOADER))
    names = [(vma.start, vma.file.name) for vma in mm if vma.file]
    assert names == [(0x5000_0000, "/bin/program"), (0x5000_2000, "/bin/program"),
                     (MMAP_BASE - 0x6000, "/lib/loader"), (MMAP_BASE - 0x4000, "/lib/loader")]
    assert mm.start_brk == 0x5000_6000


def test_a_loader_that_is_run_itself_has_its_heap_elsewhere():
    mm = started(LOADER)
    assert [vma.start for vma in mm if vma.file] == [MMAP_BASE - 0x6000, MMAP_BASE - 0x4000]
    assert mm.start_brk == 0x5000_0000


@pytest.mark.parametrize("interpreter", [LOADER, None])
def test_a_program_is_aligned_as_it_asks(interpreter):
    align = 0x10_0000
    headers = tuple(replace(header, align=align) for header in PIE.headers)
    mm = small_mm()
    layout = replace(LAYOUT, load_bias=0x5012_3000, build=NO_VDSO)
    run_program(mm, replace(PIE, headers=headers, interpreter=interpreter), layout)
    program = next(vma for vma in mm if vma.file is PIE.file)
    assert program.start == (0x5010_0000 if interpreter else MMAP_BASE - align)


def cleared(mm):
    """The ranges that zeros were stored in, beside what is stored on the stack."""
    stores = [call[1:] for call in mm.page_tables.calls
              if call[0] == "store" and call[1] < MMAP_BASE]
    assert not any(any(data) for _, data in stores)
    return [(start, start + len(data)) for start, data in stores]


@pytest.mark.parametrize(("header", "ranges"), {
    "zeros behind the file": (DATA, [(0x40_2900, 0x40_3000)]),
    "zeros to the end of the same page": (replace(DATA, memory_size=0x180),
                                          [(0x40_2900, 0x40_3000)]),
    "no zeros": (replace(DATA, memory_size=0x100), []),
    "a file that ends with its page": (replace(DATA, file_size=0x800), []),
    "no file": (replace(DATA, file_size=0), []),
    "what may not be written": (replace(DATA, prot=RX), []),
}.values())
def test_the_last_page_of_a_file_is_filled_up_with_zeros(header, ranges):
    mm = started(replace(PROGRAM, headers=(TEXT, header)))
    assert cleared(mm) == ranges
    assert (mm.tree.lookup(header.vaddr).anon_vma is not None) == bool(ranges)


def test_a_program_whose_page_cannot_be_filled_up_starts_all_the_same():
    mm = small_mm(page_tables=Memory(first=MMAP_BASE))
    run_program(mm, PROGRAM, LAYOUT)
    assert len(cleared(mm)) == 1
    with pytest.raises(LateExecError, match="EFAULT"):
        run_program(small_mm(page_tables=mm.page_tables), replace(PIE, interpreter=LOADER), LAYOUT)


def test_a_loader_has_its_zeros_behind_all_of_its_file():
    early = replace(LOADER.headers[1], memory_size=0x200)  # would be zeros, but more file follows
    last = ProgramHeader(0x4000, 0x4000, 0x321, 0x321, RW)
    mm = started(replace(PIE, interpreter=replace(LOADER, headers=(*LOADER.headers[:1], early,
                                                                   last))))
    base = MMAP_BASE - 0x5000
    assert [(vma.start - base, vma.end - base) for vma in mm if vma.file is LOADER.file] == [
        (0, 0x2000), (0x2000, 0x3000), (0x4000, 0x5000)]
    assert cleared(mm)[1:] == [(base + 0x4321, base + 0x5000)]


@pytest.mark.parametrize("program", [PROGRAM, PIE], ids=["fixed", "moved"])
def test_a_loader_with_addresses_of_its_own_is_where_they_say(program):
    headers = tuple(replace(one, vaddr=one.vaddr + 0x10_0000) for one in PIE.headers)
    mm = started(replace(program, interpreter=replace(LOADER, headers=headers, is_pie=False)))
    assert [vma.start for vma in mm if vma.file is LOADER.file] == [0x10_0000, 0x10_2000]
    mm = started(replace(program, interpreter=replace(LOADER, headers=headers)))
    # A hint that is free is followed, but the kernel asks for none if the program was moved.
    first = next(vma.start for vma in mm if vma.file is LOADER.file)
    assert first == (0x10_0000 if program is PROGRAM else MMAP_BASE - 0x6000)


@pytest.mark.parametrize(("program", "start", "end"), [
    (PROGRAM, (1 << 64) - 1, 0), (replace(PIE, interpreter=LOADER), 0x5000_0000 - 1, 0x5000_0000)])
def test_a_program_without_code_has_its_bounds_as_they_were_set_out(program, start, end):
    mm = started(replace(program, headers=tuple(replace(one, prot=RW) for one in program.headers)))
    assert (mm.start_code, mm.end_code) == (start, end)


def test_a_gap_between_segments_is_not_mapped():
    far = replace(DATA, vaddr=0x8800)
    mm = started(replace(PIE, headers=(PIE.headers[0], far), interpreter=LOADER))
    ours = [(vma.start, vma.end) for vma in mm if vma.start < 0x5100_0000]
    assert ours == [(0x5000_0000, 0x5000_2000), (0x5000_8000, 0x5000_9000),
                    (0x5000_9000, 0x5000_C000)]


def test_a_segment_of_zeros_only_needs_no_file():
    zeros = ProgramHeader(0, 0x50_0800, 0, 0x1000, RX)
    mm = started(replace(PROGRAM, headers=(TEXT, zeros)))
    vma = mm.tree.lookup(0x50_0000)
    assert (vma.end, vma.file, vma.flags & VmFlag.EXEC) == (0x50_2000, None, VmFlag.EXEC)


@pytest.mark.parametrize(("arg_bytes", "start"), [
    (3, TOP - 33 * PAGE), (PAGE - 8, TOP - 33 * PAGE), (PAGE - 7, TOP - 34 * PAGE),
    (9 * PAGE, TOP - 42 * PAGE)])
def test_the_stack_has_room_beyond_its_strings(arg_bytes, start):
    stack = list(started(arg_bytes=arg_bytes))[-1]
    assert (stack.start, stack.end) == (start, TOP)
    assert stack.flags == VmFlag.STACK


def test_a_small_limit_makes_a_small_stack():
    mm = started(rlimits=Rlimits(stack=8 * PAGE))
    assert list(mm)[-1].start == TOP - 8 * PAGE


@pytest.mark.parametrize(("program", "error"), [
    (replace(PROGRAM, headers=(replace(DATA, memory_size=0x80),)), errno.EINVAL),
    (replace(PROGRAM, headers=(replace(DATA, memory_size=TOP),)), errno.ENOMEM),
    (replace(PROGRAM, headers=(replace(TEXT, vaddr=TOP - 0x1000),)), errno.ENOMEM),
    (replace(PROGRAM, headers=(replace(TEXT, vaddr=-PAGE),)), errno.ENOMEM),
    (replace(PROGRAM, headers=(ProgramHeader(0, TOP + PAGE, 0, 0, RW),)), errno.EINVAL),
    (replace(PROGRAM, headers=(replace(TEXT, offset=-PAGE),)), errno.EINVAL),
    (replace(PIE, interpreter=replace(LOADER, headers=())), errno.EINVAL),
    (replace(PIE, interpreter=replace(LOADER, headers=(replace(DATA, memory_size=0x80),))),
     errno.ENOMEM),
    (replace(PIE, interpreter=replace(LOADER, headers=(TEXT,))), errno.EFAULT),
    (replace(PROGRAM, headers=(replace(TEXT, vaddr=TOP - 0x2000),)), errno.EEXIST),
])
def test_exec_fails_as_linux_does(program, error):
    with pytest.raises(LateExecError) as caught:
        started(program)
    assert caught.value.errno == error


def test_a_kernel_without_a_vdso_maps_none():
    layout = replace(LAYOUT, build=NO_VDSO)
    assert [vma for vma in started(layout=layout) if vma.special] == []


def test_the_stack_is_not_soft_dirty_but_all_else_is():
    mm = started(space=replace(SPACE, soft_dirty=True))
    clean = [vma for vma in mm if not vma.flags & VmFlag.SOFTDIRTY]
    assert clean == [list(mm)[-1]]


@pytest.mark.parametrize("seed", range(20))
def test_a_randomised_layout_moves_every_part(seed):
    rng = np.random.default_rng(seed)
    layout = USER_AMD64.layout(rng)
    mm = Mm(UserSpace.of(USER_AMD64), layout.mmap_base)
    run_program(mm, replace(PIE, interpreter=LOADER), layout, rng=rng)
    mm.check()
    program, *_, stack = [vma for vma in mm if vma.special is None]
    assert program.start == layout.load_bias
    assert mm.start_brk == layout.start_brk(layout.load_bias + 0x5800)
    assert 0 <= layout.stack_top - stack.end < 3 * PAGE
    [vvar, vdso] = [vma for vma in mm if vma.special is not None]
    assert vvar.end == vdso.start
    assert stack.end <= vvar.start < stack.end + (2 << 20)


def test_a_legacy_layout_maps_from_the_bottom_up():
    layout = USER_AMD64.layout(legacy=True)
    mm = Mm(UserSpace.of(USER_AMD64), layout.mmap_base, topdown=layout.topdown)
    run_program(mm, replace(PIE, interpreter=LOADER), layout)
    loader = next(vma for vma in mm if vma.file is LOADER.file)
    assert loader.start == layout.mmap_base
    mm.check()
