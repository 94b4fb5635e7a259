"""Programs that once came to other things on the model, each as short as it could be made."""

import pytest

from .compare import first_difference
from .program import Program

pytestmark = pytest.mark.slow

PROGRAMS = {
    "pages made ready for writes are dirty for all who map them": """
        mmap(arena+0x10000, 0x4000, 3, 0x8001, file+2, 0)
        mmap(arena+0, 0x4000, 3, 0x8001, file+2, 0)
        madvise(arena+0x10000, 0x4000, 23)
        show()""",
    "a write without anything to read leaves a page clean from its start": """
        mmap(arena+0x10000, 0x2000, 1, 0x8001, file+0, 0x8000)
        pwrite(file+0, arena+0, 0x40, 0x8000)
        show()""",
    "a write without anything to read leaves a page dirty from its middle": """
        mmap(arena+0x10000, 0x2000, 1, 0x8001, file+0, 0x8000)
        pwrite(file+0, arena+0, 0x40, 0x8010)
        show()""",
    "pages that nobody may access are paged out": """
        mmap(arena+0, 0x2000, 3, 0x8022, -1, 0)
        mprotect(arena+0, 0x2000, 0)
        madvise(arena+0, 0x2000, 21)
        mprotect(arena+0, 0x2000, 1)
        show()""",
    "a write with nothing to read counts a page of shared memory as used": """
        mmap(arena+0x10000, 0x4000, 3, 0x8001, file+2, 0)
        madvise(arena+0x10000, 0x4000, 20)
        pwrite(file+2, arena+0, 8, 0x1000)
        show()""",
    "reads count pages as used": """
        mmap(arena+0, 0x4000, 3, 0x8001, file+0, 0)
        mmap(arena+0x4000, 0x4000, 3, 0x8001, file+2, 0)
        madvise(arena+0, 0x8000, 20)
        pread(file+0, arena+0, 8, 0x1000)
        pread(file+2, arena+0, 8, 0x1000)
        pread(file+2, arena+0, 8, 0x2008)
        show()""",
    "entries that were accessed count pages as used when they go": """
        mmap(arena+0, 0x2000, 1, 1, file+0, 0)
        load(arena+0)
        madvise(arena+0, 0x2000, 20)
        mmap(arena+0x8000, 0x2000, 1, 1, file+0, 0)
        madvise(arena+0x9000, 0x1000, 2)
        load(arena+0x8000)
        load(arena+0x9000)
        munmap(arena+0x8000, 0x2000)
        show()""",
    "a hole within the first page of shared memory unmaps all": """
        mmap(arena+0, 0x8000, 3, 0x8001, file+2, 0)
        fallocate(file+2, 3, 0x10, 0x40)
        show()""",
    "a file that grows by a write has its last page filled": """
        mmap(arena+0x12000, 0x14000, 3, 0x8001, file+0, 0x15000)
        pwrite(file+0, arena+0x12000, 8, 0x30010)
        show()""",
    "what is given up while another has it locked is clean": """
        mmap(arena+0, 0x3000, 3, 0x22, -1, 0)
        storeb(arena+0x1000, 0)
        fork(1)
        [1] mlock2(arena+0, 0x3000, 1)
        madvise(arena+0, 0x3000, 8)
        show()""",
    "a child has the tables of the runner's pages": """
        mmap(heap+0x10000, 0x4000, 1, 0x11, file+1, 0xb000)
        fork(1)
        [1] load(heap+0x12000)
        [1] show()""",
}


@pytest.mark.parametrize("text", PROGRAMS.values(), ids=PROGRAMS)
def test_a_program_that_differed_once_comes_to_the_same(worlds, text):
    program = Program.parse(text)
    if program.uses_files and not worlds.has_files:
        pytest.skip("Files are on another file system than ext4 and xfs")
    difference = first_difference(program, worlds.run)
    if difference is not None:
        pytest.fail(str(difference), pytrace=False)
