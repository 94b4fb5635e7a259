"""Memory of the kernel's own whose pages lie anywhere: vmalloc. [mm/vmalloc.c]"""

from ..physical.gfp import Gfp
from ..x86 import PAGE_BYTES
from .kernel import Kernel

__all__ = ["vfree", "vmalloc"]


def vmalloc(kernel: Kernel, byte_count: int) -> int:
    """Return the address of so many bytes, rounded up to pages, whatever they hold.

    All address spaces have them. Raise ``VmallocError`` for no bytes, ``VmallocSpaceError``,
    ``OutOfMemory``, with nothing allocated. [vmalloc, vm_area_alloc_pages]
    """
    frames, pfns = kernel.state.frames, list[int]()
    with kernel.acting(None):
        try:
            while len(pfns) * PAGE_BYTES < byte_count:
                pfns.append(frames.alloc(Gfp.KERNEL | Gfp.HIGHMEM))
            return kernel.map.vmalloc.vmalloc(pfns).start
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
