"""Memory of the kernel's own whose pages lie anywhere: vmalloc. [mm/vmalloc.c]"""

from ..physical.gfp import Gfp
from ..physical.out_of_memory import OutOfMemory
from ..x86 import PAGE_BYTES
from .kernel import Kernel

__all__ = ["VmallocTooLarge", "vfree", "vmalloc"]

GFP = Gfp.KERNEL | Gfp.HIGHMEM


class VmallocTooLarge(OutOfMemory):
    """A request for more pages than the machine has, which is not even tried."""

    def __init__(self, byte_count: int) -> None:
        super().__init__(0, GFP, ())
        self.args = (f"vmalloc error: size {byte_count}, exceeds total pages",)
        self.byte_count = byte_count


def vmalloc(kernel: Kernel, byte_count: int) -> int:
    """Return the address of so many bytes, rounded up to pages, whatever they hold.

    All address spaces have them. Addresses are taken first, then pages. Raise ``VmallocError`` for
    no bytes, ``VmallocTooLarge``, ``VmallocSpaceError``, ``OutOfMemory``, with nothing allocated.
    [__vmalloc_node_range, vm_area_alloc_pages]
    """
    if byte_count // PAGE_BYTES > kernel.state.allocator.totalram_pages:
        raise VmallocTooLarge(byte_count)
    frames, pfns, count = kernel.state.frames, list[int](), -(-byte_count // PAGE_BYTES)

    def alloc_pages() -> list[int]:
        while len(pfns) < count:
            pfns.append(frames.alloc(GFP))
        return pfns

    with kernel.acting(None):
        try:
            return kernel.map.vmalloc.vmalloc_node_range(count, alloc_pages).start
        except BaseException:
            for pfn in pfns:
                frames.put(pfn)
            raise


def vfree(kernel: Kernel, address: int) -> None:
    """Free what ``vmalloc`` returned; raise ``VmallocError`` for any other address.

    The addresses are not used again until they are flushed from the TLB. [vfree]
    """
    for pfn in kernel.map.vmalloc.vfree(address):
        kernel.state.frames.put(pfn)
