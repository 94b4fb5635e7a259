from dataclasses import replace

import pytest

from pagewalk.model.address_space.limits import UserSpace
from pagewalk.model.address_space.maps_text import maps_text
from pagewalk.model.address_space.mm import Mm
from pagewalk.model.address_space.uapi import MapFlag, Prot
from pagewalk.model.address_space.vma import File

from .small_mm import FIXED, PAGE, RW

AMD64 = UserSpace(word_bytes=8, task_size=(1 << 47) - PAGE, huge_page_bytes=2 << 20)
I386 = replace(AMD64, word_bytes=4, task_size=0xC000_0000)
PRIVATE = MapFlag.PRIVATE | MapFlag.FIXED


@pytest.mark.parametrize(("space", "file", "offset", "line"), [
    (AMD64, File("/f", 8, 1, 7), 0,
     "00400000-00401000 r--p 00000000 08:01 7                                  /f\n"),
    (I386, File("/f", 8, 1, 7), 0, "00400000-00401000 r--p 00000000 08:01 7          /f\n"),
    (AMD64, None, 0, "00400000-00401000 r--p 00000000 00:00 0 \n"),
    (I386, File("/f", 259, 300, 123456789012), 0xFEDC_BA98_000,
     "00400000-00401000 r--p fedcba98000 103:12c 123456789012  /f\n"),
    (AMD64, File("/a b\nc"), 0,
     "00400000-00401000 r--p 00000000 00:00 0                                  /a b\\012c\n"),
])
def test_a_line(space, file, offset, line):
    mm = Mm(space, 0x8000_0000)
    flags = PRIVATE if file else FIXED
    mm.mmap(0x40_0000, PAGE, Prot.READ, flags, file, offset)
    assert maps_text(mm) == line


def test_addresses_are_as_long_as_they_need_be():
    mm = Mm(AMD64, 0x8000_0000)
    mm.mmap(0x7FFF_F000_0000, PAGE, RW | Prot.EXEC, FIXED)
    assert maps_text(mm) == "7ffff0000000-7ffff0001000 rwxp 00000000 00:00 0 \n"


def test_shared_memory_that_cannot_be_written_is_shown_as_shared():
    mm = Mm(AMD64, 0x8000_0000)
    mm.mmap(0x40_0000, PAGE, Prot.READ, MapFlag.SHARED | MapFlag.FIXED, File("/f", writable=False))
    assert " r--s " in maps_text(mm)


def test_heap_and_stack_are_where_the_process_has_them():
    mm = Mm(AMD64, 0x8000_0000)
    for page in (0, 2, 4, 6, 8, 10):
        mm.mmap(0x40_0000 + page * PAGE, PAGE, RW, FIXED)
    mm.start_brk, mm.brk_end = 0x40_3000, 0x40_5000
    mm.start_stack = 0x40_9000
    names = [line.split()[5:] for line in maps_text(mm).splitlines()]
    assert names == [[], ["[heap]"], ["[heap]"], [], ["[stack]"], []]
