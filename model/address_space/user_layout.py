"""Where stack, mmap area, heap and vdso of a process go, with or without ASLR.

[arch/x86/mm/mmap.c, arch_pick_mmap_layout; mm/util.c, randomize_stack_top, randomize_page;
arch/x86/kernel/process.c, arch_randomize_brk; fs/binfmt_elf.c, load_elf_binary;
arch/x86/entry/vdso/vma.c, vdso_addr]
"""

from dataclasses import dataclass

import numpy as np

from ..x86 import IA32, PAGE_BYTES, PAGE_SHIFT, X86_64, PagingMode

__all__ = ["USER_AMD64", "USER_I686", "UserBuild", "UserLayout"]

STACK_GUARD_GAP = 256 << PAGE_SHIFT
MIN_GAP = 128 << 20
STACK_RLIMIT = 8 << 20


def _page_align(vaddr: int) -> int:
    return (vaddr + PAGE_BYTES - 1) & -PAGE_BYTES


@dataclass(frozen=True, slots=True)
class UserBuild:
    """What the kernel's build decides about a process's addresses.

    Parameters
    ----------
    mode
        The paging mode.
    task_size
        TASK_SIZE_MAX, where user addresses end; also STACK_TOP and the top of the mmap area.
    mmap_rnd_bits, stack_rnd_bits
        How many random bits, in pages, move the mmap area and the stack.
    brk_rnd_bytes
        The span that the heap's start is drawn from.
    et_dyn_base
        Where a position-independent program goes that has an interpreter. [ELF_ET_DYN_BASE]
    vvar_pages, vdso_pages
        Sizes of the two mappings that the kernel gives to every process, vvar right under vdso.
    vdso_near_stack
        Whether the kernel asks for a place above the stack for them; else any place will do.
    """

    mode: PagingMode
    task_size: int
    mmap_rnd_bits: int
    stack_rnd_bits: int
    brk_rnd_bytes: int
    et_dyn_base: int
    vvar_pages: int = 4
    vdso_pages: int = 2
    vdso_near_stack: bool = True

    def layout(self, rng: np.random.Generator | None = None, *, stack_rlimit: int = STACK_RLIMIT,
               legacy: bool = False) -> "UserLayout":
        """Return the layout of a new process.

        Parameters
        ----------
        rng
            Randomises the address space if given: kernel.randomize_va_space is 2, else 0.
        stack_rlimit
            RLIMIT_STACK in bytes, which the mmap area leaves free under the stack.
        legacy
            Whether mappings start at a third of the address space and grow up, as before Linux
            2.6.7 and with ADDR_COMPAT_LAYOUT: ``mmap_base`` is then where they start.
        """
        random = _Draw(rng)
        mmap_rnd = random.pages(self.mmap_rnd_bits)
        legacy_base = _page_align(self.task_size // 3) + mmap_rnd
        base = self._mmap_base(mmap_rnd, stack_rlimit, randomised=rng is not None)
        return UserLayout(
            build=self,
            stack_top=self.task_size - random.pages(self.stack_rnd_bits),
            stack_offset=random.below(8192),
            mmap_base=legacy_base if legacy else base,
            topdown=not legacy,
            load_bias=self.et_dyn_base + random.pages(self.mmap_rnd_bits),
            brk_gap=(random.below(self.brk_rnd_bytes >> PAGE_SHIFT) + 1) * PAGE_BYTES
            if rng is not None else 0,
        )

    def _mmap_base(self, mmap_rnd: int, stack_rlimit: int, *, randomised: bool) -> int:
        """Return the top of the mmap area, which grows down. [mmap_base]"""
        pad = STACK_GUARD_GAP
        if randomised:
            pad += ((1 << self.stack_rnd_bits) - 1) << PAGE_SHIFT
        gap = min(max(stack_rlimit + pad, MIN_GAP), self.task_size // 6 * 5)
        return _page_align(self.task_size - gap - mmap_rnd)


@dataclass(frozen=True, slots=True)
class UserLayout:
    """The addresses of one process.

    Members
    -------
    build
        What the kernel's build decided.
    stack_top, stack_offset
        Where the stack area ends, and by how many bytes the stack pointer of a program that starts
        is moved down.
    mmap_base, topdown
        Mappings without a wish go as high under ``mmap_base`` as they fit, or from it up if not
        ``topdown``.
    load_bias
        What is added to the addresses of a position-independent program.
    brk_gap
        The bytes between its bss and its heap.
    """

    build: UserBuild
    stack_top: int
    stack_offset: int
    mmap_base: int
    topdown: bool
    load_bias: int
    brk_gap: int

    @property
    def task_size(self) -> int:
        """Where user addresses end."""
        return self.build.task_size

    def align_stack(self, sp: int) -> int:
        """Return where the stack pointer goes when it is at ``sp``. [arch_align_stack]"""
        return (sp - self.stack_offset) & -16

    def start_brk(self, bss_end: int) -> int:
        """Return where the heap starts after a program whose bss ends at ``bss_end``."""
        return _page_align(bss_end) + self.brk_gap

    @property
    def vdso_bytes(self) -> int:
        """Bytes of vvar and vdso together."""
        return (self.build.vvar_pages + self.build.vdso_pages) << PAGE_SHIFT

    def vdso_hint(self, start_stack: int, rng: np.random.Generator | None = None) -> int:
        """Return the address that the kernel asks for vvar and vdso; 0 for none. [vdso_addr]

        It is above ``start_stack``, the stack pointer of a program that starts, and within what the
        same page table maps: a place drawn from ``rng``, or else the lowest. If that is taken or
        past the end, as always without ASLR, they go where any mapping would.
        """
        if not self.build.vdso_near_stack:
            return 0
        start = _page_align(start_stack)
        table_bytes = self.build.mode.levels[-2].page_bytes
        end = (start + self.vdso_bytes + table_bytes - 1) & -table_bytes
        last = min(end, self.task_size) - self.vdso_bytes
        places = (last - start >> PAGE_SHIFT) + 1
        if last <= start or rng is None:
            return start
        return start + (int(rng.integers(places)) << PAGE_SHIFT)


class _Draw:
    """Random numbers, or 0 for each when nothing is randomised."""

    def __init__(self, rng: np.random.Generator | None) -> None:
        self._rng = rng

    def below(self, bound: int) -> int:
        """Return a number from 0 up to ``bound``, which is not among them."""
        return 0 if self._rng is None else int(self._rng.integers(bound))

    def pages(self, bits: int) -> int:
        """Return so many random bits as a number of pages, in bytes."""
        return self.below(1 << bits) << PAGE_SHIFT


USER_I686 = UserBuild(
    mode=IA32,
    task_size=0xC000_0000,
    mmap_rnd_bits=8,
    stack_rnd_bits=11,
    brk_rnd_bytes=32 << 20,
    et_dyn_base=0x40_0000,
    vdso_near_stack=False,
)
"""A process of Debian's 6.1 for i686: 3 Gbytes."""

USER_AMD64 = UserBuild(
    mode=X86_64,
    task_size=(1 << 47) - PAGE_BYTES,
    mmap_rnd_bits=28,
    stack_rnd_bits=22,
    brk_rnd_bytes=1 << 30,
    et_dyn_base=((1 << 47) - PAGE_BYTES) // 3 * 2 & -PAGE_BYTES,
)
"""A 64-bit process of Debian's 6.1 for amd64: 128 Tbytes less a guard page."""
