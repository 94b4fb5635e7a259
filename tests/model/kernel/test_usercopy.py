"""What each copy routine of Linux 6.1 reports of a copy that ends at a missing page.

The figures are worked out by hand from the assembly; ``end`` is where memory ends.
"""

import pytest

from pagewalk.model.kernel.calls.uaccess import UserAccess
from pagewalk.model.kernel.usercopy import (
    AMD_32,
    ERMS,
    PENTIUM_III,
    Fixup,
    Moves,
    Usercopy32,
    Usercopy64,
)
from pagewalk.model.x86 import IA32, X86_64

from .machines import ANON, PAGE, RW, machine

FSRM = Usercopy64(fsrm=True)
DATA = bytes(range(1, 251)) * 2


def before_a_hole(routines):
    mode = IA32 if isinstance(routines, Usercopy32) else X86_64
    kernel, cpu, process = machine(mode)
    start = process.mm.mmap(0, 2 * PAGE, RW, ANON)
    process.mm.munmap(start + PAGE, PAGE)
    return cpu, UserAccess(kernel, routines=routines), start + PAGE


FROM_USER = [
    # end-100 is 4 modulo 8 and the kernel's 0 is 0: words in blocks of 64 bytes. The first looks
    # ahead to 32 and 64 and is copied. The second, at end-36, looks ahead to end-4 and then to
    # end+28, which faults: all of 300 - 64 = 236 bytes are left.
    (PENTIUM_III, 100, 300, 0, 236),
    # Aligned alike, rep movsl: (300 - 96) words and bytes are left after 24 words.
    (PENTIUM_III, 96, 300, 0, 204),
    # Kernel address 4 is 4 modulo 8, as end-100: 4 bytes to align it, then 24 words.
    (PENTIUM_III, 100, 300, 4, 200),
    # And 1 is not.
    (PENTIUM_III, 100, 300, 1, 236),
    # Less than 64: rep movsl, however aligned. 5 words of 20 bytes.
    (PENTIUM_III, 20, 63, 0, 43),
    # The word at 32 is past the end at once.
    (PENTIUM_III, 30, 300, 0, 300),
    # 67 bytes look only as far as 32; a block and 2 single bytes are copied.
    (PENTIUM_III, 66, 67, 0, 1),
    # 68 look to 64, where a word lies across the end.
    (PENTIUM_III, 66, 68, 0, 68),
    # A block, then 56 bytes by rep movsl: 9 words reach the end.
    (PENTIUM_III, 100, 120, 0, 20),
    # rep movsl with a kernel address that is aligned: words that lie across the end are left.
    (AMD_32, 100, 300, 0, 200),
    (AMD_32, 30, 300, 0, 272),
    (AMD_32, 50, 100, 0, 52),
    # Seven bytes or less are moved singly.
    (AMD_32, 2, 6, 0, 4),
    # rep movsb, and for what is below 64 bytes words of 8, the last of which is moved singly.
    (ERMS, 100, 300, 0, 200),
    (ERMS, 30, 300, 0, 270),
    (ERMS, 20, 63, 0, 43),
    (FSRM, 20, 63, 0, 43),
]


@pytest.mark.parametrize(("routines", "before", "size", "kernel", "left"), FROM_USER)
def test_what_is_left_of_a_copy_from_user(routines, before, size, kernel, left):
    cpu, user, end = before_a_hole(routines)
    cpu.store(end - before, DATA[:before])
    done = size - left
    assert user.copy_from_user(end - before, size, kernel) == (
        DATA[:done].ljust(size, b"\0"), left)


TO_USER = [
    # As from user, but looking ahead is in the kernel's memory. The second block stores 9 words to
    # end-36 until it faults, and none of it counts.
    (PENTIUM_III, 100, 300, 236, 100),
    # The first block, at end-50, stores 12 words; the 13th lies across the end.
    (PENTIUM_III, 50, 100, 100, 48),
    (PENTIUM_III, 96, 300, 204, 96),
    # 4 bytes align the destination, then 24 words.
    (AMD_32, 100, 300, 200, 100),
    # 2 bytes align it, then 12 words.
    (AMD_32, 50, 100, 50, 50),
    (ERMS, 50, 100, 50, 50),
    (ERMS, 20, 63, 43, 20),
]


@pytest.mark.parametrize(("routines", "before", "size", "left", "stored"), TO_USER)
def test_what_is_left_of_a_copy_to_user_and_what_was_stored(routines, before, size, left, stored):
    cpu, user, end = before_a_hole(routines)
    assert user.copy_to_user(end - before, DATA[:size]) == left
    assert cpu.load(end - before, before) == DATA[:stored].ljust(before, b"\0")


CLEARED = [
    # Words of 4 from the start on, not aligned.
    (PENTIUM_III, 50, 100, 52),
    (AMD_32, 50, 100, 52),
    # rep stosb from 64 bytes on, words of 8 below, and rep stosb for all with FSRM.
    (ERMS, 50, 100, 50),
    (ERMS, 20, 40, 24),
    (FSRM, 20, 40, 20),
]


@pytest.mark.parametrize(("routines", "before", "size", "left"), CLEARED)
def test_what_is_left_to_be_cleared(routines, before, size, left):
    cpu, user, end = before_a_hole(routines)
    cpu.store(end - before, b"\xff" * before)
    assert user.clear_user(end - before, size) == left
    assert cpu.load(end - before, before) == bytes(size - left).ljust(before, b"\xff")


def test_the_moves_of_a_block_of_the_unrolled_loop():
    """Two loads ahead in the order of the assembly, 16 words, and the bytes of the last part."""
    forget = Fixup.FORGET
    assert [moves for moves in PENTIUM_III.from_user(4, 0, 131) if moves.count] == [
        Moves(32, 4, 1, forget, 0), Moves(64, 4, 1, forget, 0), Moves(0, 4, 16, forget, 0),
        Moves(96, 4, 1, forget, 64), Moves(64, 4, 16, forget, 64),
        Moves(128, 1, 3)]


@pytest.mark.parametrize("routines", [PENTIUM_III, AMD_32, ERMS, FSRM], ids=str)
@pytest.mark.parametrize("size", [0, 1, 7, 8, 63, 64, 65, 300])
def test_every_byte_is_moved_once(routines, size):
    for user in range(9):
        for moves in (routines.to_user(user, 0, size), routines.clear(size)):
            done = 0
            for one in moves:
                assert one.offset == done
                done += one.width * one.count
            assert done == size
