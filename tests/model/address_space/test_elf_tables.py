"""What a program finds on its stack, read back word by word; natively: ``test_native_stack``."""

import errno
from dataclasses import replace

import numpy as np
import pytest

from pagewalk.model.address_space.auxv import At, AuxFacts, Processor
from pagewalk.model.address_space.exec_arguments import Credentials, ExecArguments
from pagewalk.model.address_space.exec_layout import Program, ProgramHeader
from pagewalk.model.address_space.exec_program import LateExecError
from pagewalk.model.address_space.limits import Rlimits, UserSpace
from pagewalk.model.address_space.mm import Mm
from pagewalk.model.address_space.uapi import Prot
from pagewalk.model.address_space.user_layout import USER_AMD64, USER_I686
from pagewalk.model.address_space.vma import File, VmFlag

from .exec_tools import FACTS, PROCESSOR, RANDOM, Memory, run_program

BUILDS = {8: USER_AMD64, 4: USER_I686}
ORDER = [51, 16, 6, 17, 3, 4, 5, 7, 8, 9, 11, 12, 13, 14, 23, 25, 26, 31, 15]
"""MINSIGSTKSZ HWCAP PAGESZ CLKTCK PHDR PHENT PHNUM BASE FLAGS ENTRY UID EUID GID EGID SECURE
RANDOM HWCAP2 EXECFN PLATFORM: as create_elf_tables of 6.1 writes them, without a vdso."""

PROGRAM = Program(File("/bin/program"), [
    ProgramHeader(0, 0x40_0000, 0x1000, 0x1000, Prot.READ | Prot.EXEC)], entry=0x40_0123, phoff=64,
    phnum=3, executable_stack=False)
LOADER = Program(File("/lib/ld.so"), [
    ProgramHeader(0, 0, 0x1000, 0x1000, Prot.READ | Prot.EXEC)], is_pie=True, entry=0x77)
ARGUMENTS = ExecArguments(b"/bin/x", (b"x", b"-l", b""), (b"HOME=/", b"A="))
words = pytest.mark.parametrize("word", [8, 4])


class Started:
    """A program that starts, and what a C library reads first."""

    def __init__(self, word, program=PROGRAM, arguments=ARGUMENTS, facts=FACTS, rng=None,
                 **options):
        layout = BUILDS[word].layout(rng)
        self.mm = Mm(UserSpace.of(layout.build), layout.mmap_base, page_tables=Memory(), **options)
        self.start = run_program(self.mm, program, layout, arguments, facts, rng)
        self.mm.check()
        self.size, self.memory = word, self.mm.page_tables
        at = self.start.sp
        self.argc = self.memory.word(at, word)
        self.argv, at = self.pointers(at + word)
        self.envp, at = self.pointers(at)
        self.entries = []
        while not self.entries or self.entries[-1][0]:
            self.entries.append((self.memory.word(at, word), self.memory.word(at + word, word)))
            at += 2 * word
        self.auxv, self.end = dict(self.entries), at

    def pointers(self, at):
        found = []
        while self.memory.word(at, self.size):
            found.append(self.memory.word(at, self.size))
            at += self.size
        return found, at + self.size

    def strings(self, pointers):
        return [self.memory.string(one) for one in pointers]


@words
def test_a_program_finds_its_arguments_and_its_environment(word):
    program = Started(word)
    assert program.argc == 3
    assert program.strings(program.argv) == [b"x", b"-l", b""]
    assert program.strings(program.envp) == [b"HOME=/", b"A="]
    assert program.memory.string(program.auxv[At.EXECFN]) == b"/bin/x"
    top = program.mm.space.task_size - word
    assert program.auxv[At.EXECFN] == top - 7
    assert program.argv == [top - 23, top - 21, top - 18]
    assert program.envp == [top - 17, top - 10]


@words
@pytest.mark.parametrize(("argv", "envp"), [((), ()), ((b"a",), ()), ((), (b"A=1",))])
def test_there_is_at_least_one_argument(word, argv, envp):
    program = Started(word, arguments=ExecArguments(b"f", argv, envp))
    assert (program.argc, program.strings(program.argv)) == (1, [argv[0] if argv else b""])
    assert program.strings(program.envp) == list(envp)


@words
def test_the_auxiliary_vector_has_its_order_and_its_values(word):
    program = Started(word)
    assert [kind for kind, _ in program.entries] == [*ORDER, At.NULL]
    assert program.entries[-1] == (0, 0)
    auxv = program.auxv
    assert (auxv[At.PAGESZ], auxv[At.CLKTCK], auxv[At.FLAGS]) == (4096, 100, 0)
    assert (auxv[At.HWCAP], auxv[At.HWCAP2], auxv[At.MINSIGSTKSZ]) == (0x1234_5678, 2, 1440)
    assert (auxv[At.PHDR], auxv[At.PHENT], auxv[At.PHNUM]) == (
        0x40_0040, {8: 56, 4: 32}[word], 3)
    assert (auxv[At.BASE], auxv[At.ENTRY]) == (0, 0x40_0123)
    assert program.memory.read(auxv[At.RANDOM], 16) == RANDOM
    assert program.memory.string(auxv[At.PLATFORM]) == b"x86_64"
    assert program.start.ip == 0x40_0123


@words
def test_what_lies_where_is_as_in_linux(word):
    """Platform right under the strings rounded down to 16, random bytes under it, then words."""
    program = Started(word)
    argv0 = program.argv[0]
    assert program.auxv[At.PLATFORM] == argv0 // 16 * 16 - 7
    assert program.auxv[At.RANDOM] == program.auxv[At.PLATFORM] - 16
    table = (3 + 1 + 2 + 1 + 1) * word + 2 * word * (len(ORDER) + 1)
    assert program.start.sp == (program.auxv[At.RANDOM] - table) // 16 * 16
    assert program.end == program.start.sp + table
    assert 0 <= program.auxv[At.RANDOM] - program.end < 16


@words
@pytest.mark.parametrize("count", range(5))
def test_the_stack_pointer_is_aligned_whatever_there_is(word, count):
    program = Started(word, arguments=ExecArguments(b"f" * count, (b"a",) * count))
    assert program.start.sp % 16 == 0
    assert program.mm.start_stack == program.start.sp


@words
def test_a_dynamic_program_begins_in_its_loader(word):
    pie = replace(PROGRAM, headers=[replace(PROGRAM.headers[0], vaddr=0)], is_pie=True, entry=0x123,
                  interpreter=LOADER)
    program = Started(word, pie)
    bias, base = BUILDS[word].et_dyn_base, program.auxv[At.BASE]
    assert program.mm.tree.lookup(base).file is LOADER.file
    assert program.start.ip == base + 0x77
    assert (program.auxv[At.ENTRY], program.auxv[At.PHDR]) == (bias + 0x123, bias + 64)


@words
@pytest.mark.parametrize(("headers", "phoff", "phdr"), [
    ([(0, 0x40_0000), (0x1000, 0x60_1000)], 0x1040, 0x60_1040),
    ([(0, 0x40_0000), (0, 0x60_0000)], 64, 0x60_0040),
    ([(0x1000, 0x40_1000)], 64, 0),
    ([(0, 0x40_0000)], 0x1000, 0),
])
def test_program_headers_are_where_the_last_segment_has_them(word, headers, phoff, phdr):
    loads = [ProgramHeader(offset, vaddr, 0x1000, 0x1000, Prot.READ) for offset, vaddr in headers]
    assert Started(word, replace(PROGRAM, headers=loads, phoff=phoff)).auxv[At.PHDR] == phdr


@words
@pytest.mark.parametrize(("who", "secure"), [
    (Credentials(1, 1, 2, 2), 0), (Credentials(1, 0, 2, 2), 1), (Credentials(1, 1, 2, 0), 1)])
def test_a_program_is_told_whose_it_is(word, who, secure):
    auxv = Started(word, facts=AuxFacts(PROCESSOR, who, RANDOM)).auxv
    assert [auxv[kind] for kind in (At.UID, At.EUID, At.GID, At.EGID)] == [
        who.uid, who.euid, who.gid, who.egid]
    assert auxv[At.SECURE] == secure


@words
def test_places_are_noted_for_proc(word):
    mm = Started(word).mm
    memory = mm.page_tables
    assert memory.read(mm.arg_start, mm.arg_end - mm.arg_start) == b"x\0-l\0\0"
    assert memory.read(mm.env_start, mm.env_end - mm.env_start) == b"HOME=/\0A=\0"
    assert len(mm.auxv) == 2 * word * (len(ORDER) + 1)
    assert mm.auxv[: word] == (51).to_bytes(word, "little")


@words
@pytest.mark.parametrize("seed", range(10))
def test_random_numbers_move_the_words_away_from_the_strings(word, seed):
    program = Started(word, rng=np.random.default_rng(seed))
    gap = program.argv[0] - program.auxv[At.PLATFORM] - 7
    assert 0 <= gap < 8192 + 16
    assert program.start.sp % 16 == 0
    places = {Started(word, rng=np.random.default_rng(one)).start.sp for one in range(8)}
    assert len(places) == 8


@words
def test_many_pointers_lie_on_many_pages(word):
    argv = [str(number).encode() for number in range(3000)]
    program = Started(word, arguments=ExecArguments(b"f", argv))
    assert program.strings(program.argv) == argv


def test_a_stack_grows_for_the_words_as_far_as_it_may():
    argv = [b""] * 12000  # strings and pointers take 26 pages and a bit
    layout = USER_AMD64.layout()
    for pages, fits in ((26, False), (27, True)):
        mm = Mm(UserSpace.of(USER_AMD64), layout.mmap_base, page_tables=Memory(),
                rlimits=Rlimits(stack=pages * 4096))
        if fits:
            run_program(mm, PROGRAM, layout, ExecArguments(b"f", argv))
        else:
            with pytest.raises(LateExecError) as caught:
                run_program(mm, PROGRAM, layout, ExecArguments(b"f", argv))
            assert caught.value.errno == errno.EFAULT


@words
def test_a_stack_grows_for_pointers_beyond_its_first_128_kbytes(word):
    program = Started(word, arguments=ExecArguments(b"f", [b"a"] * 40_000))
    assert program.strings([program.argv[0], program.argv[-1]]) == [b"a", b"a"]
    assert len(program.argv) == 40_000
    [stack] = (vma for vma in program.mm if vma.flags & VmFlag.GROWSDOWN)
    assert stack.start == program.start.sp & -4096
    assert stack.end - stack.start > (128 << 10) + 80_000


def test_a_processor_with_fxsave_alone_has_small_signal_frames():
    """sigframe_ia32 732, fxregs_state 512, fregs_state 112, paddings 15 and 63; to 16 bytes."""
    assert Processor(b"", 0).sigframe_bytes == (732 + 512 + 112 + 15 + 63 + 15) // 16 * 16
