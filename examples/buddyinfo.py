"""The page allocator of Linux on a machine of one's own, and what /proc/buddyinfo says of it.

The machine is a PC of 2 Gbytes with two nodes. A block of 8 pages is taken from node 1.
"""

from pagewalk.model.physical.gfp import Gfp
from pagewalk.model.physical.memory_map import E820Range, MemoryMap, NodeRange
from pagewalk.model.physical.page_alloc import PageAllocator
from pagewalk.model.physical.procfs import buddyinfo

GIB = 1 << 30


def main():
    """Boot, allocate, free."""
    machine = MemoryMap((E820Range(0x100000, 2 * GIB),),
                        nodes=(NodeRange(0, 0, GIB), NodeRange(1, GIB, 2 * GIB)))
    pages = PageAllocator.boot(machine)
    booted = buddyinfo(pages)
    print(f"after boot:\n{booted}")
    pfn = pages.alloc_pages(Gfp.KERNEL, order=3, nid=1)
    print(f"8 pages from frame {pfn:#x}:\n{buddyinfo(pages)}")
    pages.free_pages(pfn, order=3)
    print("free again, but on a list of the processor:", buddyinfo(pages) != booted)
    pages.drain_all_pages()
    print("as after boot, once that is drained:", buddyinfo(pages) == booted)


if __name__ == "__main__":
    main()
