"""What later kernels do otherwise than the model's Linux 6.1, each as narrow as can be.

Most differences are a rule that the model is given while it runs beside a kernel that has it
(``rules``). Where that would be too much, programs leave out what would show it. Each has a program
that shows it.
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass

from . import rules
from .program import Program

__all__ = ["DIFFERENCES", "Later", "later_rules"]

Version = tuple[int, int]


@dataclass(frozen=True)
class Later:
    """A difference.

    Members
    -------
    since
        The release that it came with.
    what
        What that does.
    example
        A program that shows it.
    rule
        Gives the model the later rule; None if programs leave out what ``avoided`` says.
    """

    since: Version
    what: str
    example: Program
    rule: Callable[[], AbstractContextManager[object]] | None = None
    avoided: str = ""


@contextmanager
def later_rules(version: Version, left_out: Collection[str] = ()) -> Iterator[None]:
    """Have the model go by the rules of a later kernel, but for some, by what they do."""
    with ExitStack() as stack:
        for one in DIFFERENCES:
            if version >= one.since and one.rule is not None and one.what not in left_out:
                stack.enter_context(one.rule())
        yield


DIFFERENCES = (
    Later((6, 3), "A page of a file does not count as used when an accessed entry goes that mapped "
          "it with MADV_RANDOM.", Program.parse("""
              mmap(arena+0, 0x1000, 1, 1, file+0, 0)
              load(arena+0)
              madvise(arena+0, 0x1000, 20)
              mmap(arena+0x8000, 0x1000, 1, 1, file+0, 0)
              madvise(arena+0x8000, 0x1000, 1)
              load(arena+0x8000)
              munmap(arena+0x8000, 0x1000)
              show()"""), rules.random_reads_tell_of_no_use),
    Later((6, 4), "mprotect to memory that may not be written gives back what anonymous memory was "
          "charged for that was never touched.", Program.parse("""
              mmap(arena+0, 0x4000, 3, 0x22, -1, 0)
              mprotect(arena+0, 0x2000, 1)
              show()"""), rules.untouched_memory_is_uncharged),
    Later((6, 6), "A mapping that only touches the heap is not named [heap].", Program.parse("""
              mmap(heap+0, 0x1000, 3, 0x22, -1, 0)
              show()"""), rules.heap_is_what_overlaps_it),
    Later((6, 7), "MAP_STACK sets VM_NOHUGEPAGE, which ends merging.", Program.parse("""
              mmap(arena+0, 0x1000, 3, 0x20022, -1, 0)
              show()"""), avoided="MAP_STACK"),
    Later((6, 7), "Anonymous memory of 2 Mbytes and more is aligned to that where no address is "
          "asked for.", Program.parse("""
              mmap(0, 0x200000, 3, 0x22, -1, 0)
              show()"""), avoided="mappings of 2 Mbytes"),
    Later((6, 9), "MADV_POPULATE_READ and MADV_POPULATE_WRITE stop at a hole.", Program.parse("""
              mmap(arena+0x1000, 0x1000, 3, 0x22, -1, 0)
              madvise(arena+0, 0x2000, 23)"""), rules.populate_stops_at_a_hole),
    Later((6, 9), "MADV_PAGEOUT leaves the accessed flags of pages that stay.", Program.parse("""
              mmap(arena+0, 0x1000, 3, 0x22, -1, 0)
              store(arena+0, 1)
              madvise(arena+0, 0x1000, 21)
              show()"""), rules.pageout_leaves_accessed_flags),
    Later((6, 12), "smaps shows VM_LOCKONFAULT as lf, not as ??.", Program.parse("""
              mmap(arena+0, 0x1000, 3, 0x22, -1, 0)
              mlock2(arena+0, 0x1000, 1)
              show()"""), rules.lock_on_fault_has_letters),
    Later((6, 12), "mmap with MAP_FIXED that RLIMIT_AS or RLIMIT_DATA forbids has cut the mappings "
          "at its ends.", Program.parse("""
              mmap(arena+0, 0x2000, 3, 0x22, -1, 0)
              mmap(arena+0x1000, 0x6000, 3, 0x32, -1, 0)
              show()""", address_space=4), rules.mmap_cuts_before_it_fails),
    Later((6, 12), "mmap between two mappings that may not become one extends the lower of them.",
          Program.parse("""
              mmap(arena+0, 0x1000, 3, 0x22, -1, 0)
              store(arena+0, 1)
              mmap(arena+0x2000, 0x1000, 3, 0x22, -1, 0)
              store(arena+0x2000, 1)
              mmap(arena+0x1000, 0x1000, 3, 0x22, -1, 0)
              show()"""), rules.mmap_prefers_the_mapping_below),
    Later((6, 13), "A file that grows has its last page filled with zeros, which is dirty then.",
          Program.parse("""
              mmap(arena+0, 0x1000, 1, 1, file+0, 0x28000)
              load(arena+0)
              ftruncate(file+0, 0x30000)
              show()"""), rules.growth_fills_the_last_page),
    Later((6, 14), "A hole within the first page of a file takes all its pages from all page "
          "tables, as 6.1 does for shared memory alone.", Program.parse("""
              mmap(arena+0, 0x2000, 1, 1, file+0, 0x3000)
              load(arena+0)
              fallocate(file+0, 3, 0, 0x40)
              show()"""), rules.hole_in_the_first_page_unmaps_all),
    Later((6, 15), "Memory that was never touched also merges with touched memory above it.",
          Program.parse("""
              mmap(arena+0, 0x1000, 0, 0x22, -1, 0)
              mmap(arena+0x1000, 0x1000, 2, 0x22, -1, 0)
              store(arena+0x1000, 1)
              mprotect(arena+0, 0x2000, 3)
              show()"""), rules.touched_and_untouched_memory_merge),
    Later((6, 15), "MREMAP_DONTUNMAP counts locked memory where it goes to and still where it was.",
          Program.parse("""
              show()
              mmap(arena+0, 0x2000, 3, 0x2022, -1, 0)
              mremap(arena+0, 0x2000, 0x2000, 5, 0)
              show()"""), rules.locked_memory_counts_twice),
    Later((6, 15), "A write makes the file longer and its page dirty before it finds that there is "
          "nothing to read.",
          Program.parse("""
              mmap(arena+0, 0x1000, 1, 1, file+2, 0x18000)
              pwrite(file+2, arena+0x8000, 1, 0x20000)
              load(arena+0)"""), rules.write_begins_before_it_reads),
    Later((6, 17), "mremap finds all that is wrong with a move before it unmaps anything.",
          Program.parse("""
              mremap(arena+0x7000, 0x7000, 0x4000, 3, arena+0x8000)"""),
          rules.mremap_checks_before_it_acts),
    Later((6, 18), "A read maps nothing around where there is no table yet, if the first page to "
          "map is in the last folio of the file.", Program.parse("""
              mmap(arena+0x18000, 0x4000, 0x1, 0x2, file+0x1, 0xb000)
              load(arena+0x1a000)
              show()"""), rules.last_folio_is_not_mapped_around),
    Later((6, 17), "mremap with MREMAP_FIXED moves all mappings of a range.", Program.parse("""
              mmap(arena+0, 0x1000, 3, 0x22, -1, 0)
              mmap(arena+0x1000, 0x1000, 1, 0x22, -1, 0)
              mremap(arena+0, 0x2000, 0x2000, 3, arena+0x10000)
              show()"""), rules.mremap_moves_many),
)
