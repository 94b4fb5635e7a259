"""The mappings that a program starts with. [load_elf_binary, setup_arg_pages, map_vdso]"""

import errno
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from ..x86 import PAGE_BYTES, PAGE_SHIFT
from .brk import map_zeroed
from .errors import SysError
from .mm import Mm
from .mmap import mmap
from .mprotect import mprotect_vma
from .munmap import unmap_range
from .stack import expand_downwards
from .uapi import MapFlag, Prot
from .unmapped_area import get_unmapped_area
from .user_layout import UserLayout
from .vma import File, SpecialMapping, Vma, VmFlag, page_align

__all__ = ["Program", "ProgramHeader", "exec_program"]

STACK_EXPAND = 128 << 10
STACK_INCOMPLETE = VmFlag.RAND_READ | VmFlag.SEQ_READ
"""Marks of a stack that exec is still filling. [VM_STACK_INCOMPLETE_SETUP]"""

VDSO = SpecialMapping("[vdso]")
VVAR = SpecialMapping("[vvar]")


@dataclass(frozen=True, slots=True)
class ProgramHeader:
    """A PT_LOAD entry of an ELF program header table, sizes in bytes.

    ``prot`` are the rights of its ``p_flags``, as bits of ``Prot``; an ``align`` that is no power
    of two is passed over.
    """

    offset: int
    vaddr: int
    file_size: int
    memory_size: int
    prot: int
    align: int = PAGE_BYTES


@dataclass(frozen=True, slots=True)
class Program:
    """An ELF file to run. ``elf.read_elf`` makes one from a file.

    Members
    -------
    file, headers
        The file, and its PT_LOAD entries in their order.
    is_pie
        Whether it is of type ET_DYN, which may be loaded anywhere.
    interpreter
        The dynamic loader that it asks for, None for a static program.
    entry
        The address where it begins, before it is moved.
    phoff, phnum
        Where in the file its program headers are, and how many, those of other kinds included.
    executable_stack
        Whether its PT_GNU_STACK asks for a stack with code; None if it has no such header.
    """

    file: File
    headers: Sequence[ProgramHeader]
    is_pie: bool = False
    interpreter: "Program | None" = None
    entry: int = 0
    phoff: int = 0
    phnum: int = 0
    executable_stack: bool | None = None


def exec_program(
    mm: Mm,
    program: Program,
    layout: UserLayout,
    *,
    arg_bytes: int = 0,
    rng: np.random.Generator | None = None,
) -> None:
    """Fill an empty address space as exec does: stack, program, loader, vdso, heap.

    Raise ``SysError`` as ``execve`` does: E2BIG for too many arguments, ENOMEM without room or
    for a segment out of bounds, EINVAL for a program without segments or with one that has more
    in the file than in memory, EFAULT for a loader that cannot be padded with zeros, EEXIST for
    segments where something else is.

    Parameters
    ----------
    mm, program
        The address space, and what is to run in it.
    layout
        Where the parts go; ``mm`` must have been made with its ``mmap_base``.
    arg_bytes
        The length of the strings of arguments, environment and file name on the stack.
    rng
        Draws the place of the vdso above the stack; without it, that is the lowest one.
    """
    _map_stack(mm, page_align(layout.align_stack(layout.stack_top)), arg_bytes)
    if not program.headers:
        raise SysError(errno.EINVAL)
    bias = _load_program(mm, program, layout.load_bias)
    if program.interpreter is not None:
        _load_interpreter(mm, program.interpreter, at_bias=bias != 0)
    _map_vdso(mm, layout, rng)
    _set_places(mm, program, bias, layout)


def _map_stack(mm: Mm, stack_top: int, arg_bytes: int) -> None:
    """Map the stack, with room for the strings and 128 Kbytes more."""
    stack = Vma(stack_top - PAGE_BYTES, stack_top, VmFlag.STACK | STACK_INCOMPLETE | mm.soft_dirty,
                (stack_top >> PAGE_SHIFT) - 1)
    mm.charge(1)
    mm.tree.insert(stack)
    mm.account(stack.flags, 1)
    mm.start_stack = stack_top - mm.space.word_bytes - arg_bytes
    if mm.start_stack < stack.start:
        try:
            expand_downwards(mm, stack, mm.start_stack)
        except SysError as error:
            raise SysError(errno.E2BIG) from error
    mm.prepare_anon_vma(stack)
    # Changing the flags as mprotect does loses the soft-dirty mark, which Linux does not put back.
    mprotect_vma(mm, stack, stack.start, stack.end, VmFlag.STACK | STACK_INCOMPLETE | mm.def_flags)
    stack.flags &= ~STACK_INCOMPLETE
    limit = mm.rlimits.stack & -PAGE_BYTES
    size = stack.end - stack.start
    base = stack.end - limit if size + STACK_EXPAND > limit else stack.start - STACK_EXPAND
    expand_downwards(mm, stack, base)


def _load_program(mm: Mm, program: Program, load_bias: int) -> int:
    """Map the program; return how far from its own addresses it is."""
    if not program.is_pie:
        return _load(mm, program, program.headers[0].vaddr, MapFlag.FIXED_NOREPLACE)
    alignment = max(PAGE_BYTES, *(header.align for header in program.headers))
    if program.interpreter is not None:
        return _load(mm, program, load_bias & -alignment, MapFlag.FIXED_NOREPLACE)
    base = 0
    if alignment > PAGE_BYTES:
        base = get_unmapped_area(mm, program.file, 0, _span(program), 0) & -alignment
    return _load(mm, program, base, MapFlag.FIXED_NOREPLACE if base else 0)


def _span(program: Program) -> int:
    """Return the bytes from the first page to the last of a program. [total_mapping_size]"""
    if not program.headers:
        return 0
    first = program.headers[0].vaddr & -PAGE_BYTES
    return page_align(max(one.vaddr + one.memory_size for one in program.headers) - first)


def _load(mm: Mm, program: Program, base: int, flags: int) -> int:
    """Map all segments, the first at ``base`` or where there is room; return the bias."""
    bias = (base - program.headers[0].vaddr) & -PAGE_BYTES
    span = _span(program) if program.is_pie else 0
    for header in program.headers:
        page = header.vaddr & -PAGE_BYTES
        bias = _load_segment(mm, program.file, header, mm.space.word(bias + page), flags,
                             span) - page
        if not _fits(mm, header, header.vaddr):
            raise SysError(errno.EINVAL)
        flags, span = MapFlag.FIXED, 0
    return bias


def _fits(mm: Mm, header: ProgramHeader, vaddr: int) -> bool:
    """Return whether the memory of a segment at ``vaddr`` lies in user space and holds its file."""
    size = header.memory_size
    return (header.file_size <= size and 0 <= vaddr < mm.space.task_size
            and vaddr + size <= mm.space.task_size)


def _load_segment(
    mm: Mm, file: File, header: ProgramHeader, address: int, flags: int, span: int
) -> int:
    """Map one segment and its bss from a page on, and return where.

    ``span`` is as for ``_map_file``. The last page of the file is padded with zeros, unless the
    segment may not be written: then it keeps what the file has there. [elf_load]
    """
    in_page = header.vaddr % PAGE_BYTES
    if header.file_size:
        address = _map_file(mm, file, header, address, flags, span)
    file_end = address + in_page + header.file_size
    memory_end = address + in_page + header.memory_size
    if header.memory_size > header.file_size:
        if header.file_size:
            with suppress(SysError):
                _pad_zeros(mm, file_end)
            _map_bss(mm, file_end, memory_end, header.prot)
        else:
            _map_bss(mm, address, memory_end, header.prot)
    return address


def _map_file(
    mm: Mm, file: File, header: ProgramHeader, address: int, flags: int, span: int
) -> int:
    """Map what a segment has of its file, from a page on; return where.

    ``span`` is how many bytes all segments need, for the first one to find room for all; 0 for the
    others. [elf_map, vm_mmap]
    """
    in_page = header.vaddr % PAGE_BYTES
    size = page_align(header.file_size + in_page)
    if not size:
        return address
    offset = mm.space.word(header.offset - in_page)
    if offset + max(size, span) > mm.space.word(-1):
        raise SysError(errno.EINVAL)
    address = mmap(mm, address, max(size, span), header.prot, flags | MapFlag.PRIVATE, file,
                   offset)
    if span > size:
        unmap_range(mm, address + size, address + span)
    return address


def _map_bss(mm: Mm, start: int, end: int, prot: int) -> None:
    """Map the whole pages of zeros of a segment whose file ends at ``start``."""
    start, end = page_align(start), page_align(end)
    map_zeroed(mm, start, end - start, VmFlag.EXEC if prot & Prot.EXEC else 0)


def _pad_zeros(mm: Mm, address: int) -> None:
    """Store zeros from ``address`` to the end of its page, as the program itself would.

    Raise ``SysError(EFAULT)`` if the program may not write there. [padzero]
    """
    end = page_align(address)
    if address == end:
        return
    vma = mm.tree.lookup(address)
    if vma is None or not vma.flags & VmFlag.WRITE:
        raise SysError(errno.EFAULT)
    mm.prepare_anon_vma(vma)
    mm.page_tables.clear(address, end)


def _load_interpreter(mm: Mm, program: Program, *, at_bias: bool) -> None:
    """Map the dynamic loader; it may have one bss, behind all that it has of its file.

    ``at_bias`` is whether the program that it loads was moved from its own addresses. Raise
    ``SysError``: EFAULT if the last page of the file cannot be padded with zeros, ENOMEM for a
    segment out of bounds. [load_elf_interp]
    """
    flags, span = 0 if program.is_pie else MapFlag.FIXED, _span(program)
    if not span:
        raise SysError(errno.EINVAL)
    bias = -program.headers[0].vaddr if at_bias and program.is_pie else 0
    file_end = memory_end = prot = 0
    for header in program.headers:
        page = header.vaddr & -PAGE_BYTES
        wanted = mm.space.word(bias + header.vaddr) & -PAGE_BYTES
        start = _map_file(mm, program.file, header, wanted, flags, span)
        if not flags:
            bias = start - page
        flags, span = MapFlag.FIXED, 0
        vaddr = bias + header.vaddr
        if not _fits(mm, header, vaddr):
            raise SysError(errno.ENOMEM)
        file_end = max(file_end, vaddr + header.file_size)
        if vaddr + header.memory_size > memory_end:
            memory_end, prot = vaddr + header.memory_size, header.prot
    _pad_zeros(mm, file_end)
    if page_align(memory_end) > page_align(file_end):
        _map_bss(mm, file_end, memory_end, prot)


def _map_vdso(mm: Mm, layout: UserLayout, rng: np.random.Generator | None) -> None:
    """Map the pages of vvar and vdso, above the stack if there is room. [map_vdso]"""
    vvar_bytes = layout.build.vvar_pages << PAGE_SHIFT
    if not layout.vdso_bytes:
        return
    hint = layout.vdso_hint(mm.start_stack, rng)
    start = get_unmapped_area(mm, None, hint, layout.vdso_bytes, 0)
    _install(mm, start + vvar_bytes, layout.vdso_bytes - vvar_bytes,
             VmFlag.READ | VmFlag.EXEC | VmFlag.MAY_ACCESS, VDSO)
    _install(mm, start, vvar_bytes,
             VmFlag.READ | VmFlag.MAYREAD | VmFlag.IO | VmFlag.DONTDUMP | VmFlag.PFNMAP, VVAR)


def _install(mm: Mm, start: int, size: int, flags: int, special: SpecialMapping) -> None:
    """Map pages that the kernel lends. [_install_special_mapping]"""
    flags |= mm.def_flags & ~VmFlag.LOCK_MASK | VmFlag.DONTEXPAND | mm.soft_dirty
    mm.tree.insert(Vma(start, start + size, flags, 0, special=special))
    mm.account(flags, size >> PAGE_SHIFT)


def _set_places(mm: Mm, program: Program, bias: int, layout: UserLayout) -> None:
    """Note where code, data and heap are; without code it starts at -1 and ends at 0."""
    code = [one for one in program.headers if one.prot & Prot.EXEC]
    mm.start_code = mm.space.word(bias + min((one.vaddr for one in code), default=-1))
    mm.end_code = bias + max((one.vaddr + one.file_size for one in code), default=0)
    mm.start_data = bias + max(one.vaddr for one in program.headers)
    mm.end_data = bias + max(one.vaddr + one.file_size for one in program.headers)
    end = bias + max(one.vaddr + one.memory_size for one in program.headers)
    if program.is_pie and program.interpreter is None:
        end = layout.build.et_dyn_base  # a loader that is run itself would leave the heap no room
    mm.start_brk = mm.brk_end = layout.start_brk(end)
