"""The mappings of a program: its segments, those of its loader, and the vdso.

What a file says is taken as Linux takes it, numbers that wrap around included. [load_elf_binary,
load_elf_interp, map_vdso]
"""

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
from .munmap import munmap, unmap_range
from .uapi import MapFlag, Prot
from .unmapped_area import get_unmapped_area
from .user_layout import UserLayout
from .vma import File, SpecialMapping, Vma, VmFlag, page_align

__all__ = ["LoadedProgram", "Program", "ProgramHeader", "load_program", "map_vdso"]

MAX_ERRNO = 4095
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


@dataclass(frozen=True, slots=True)
class LoadedProgram:
    """Where a program is.

    Members
    -------
    bias
        How far it is from its own addresses.
    entry, start
        Where it begins itself, and where the process does: in its loader, if it has one.
    base
        How far the loader is from its own addresses, 0 without one.
    phdr, phnum
        Its program headers in memory, and how many. They are at ``bias`` if no segment holds them.
    """

    bias: int
    entry: int
    start: int
    base: int
    phdr: int
    phnum: int


def load_program(mm: Mm, program: Program, load_bias: int) -> LoadedProgram:
    """Map a program and its loader; return where they are.

    Raise ``SysError``: ENOMEM without room or for a segment out of bounds, EINVAL for a segment
    that has more in the file than in memory and for a program or loader that begins outside of
    user space, EFAULT for a loader that cannot be padded with zeros, EEXIST for segments where
    something else is. ``load_bias`` is where a program goes that may be anywhere and has a loader.
    """
    word = mm.space.word
    bias = _load_program(mm, program, load_bias)
    base, start = 0, word(bias + program.entry)
    if program.interpreter is not None:
        base = _load_interpreter(mm, program.interpreter, at_bias=bias != 0)
        start = word(base + program.interpreter.entry)
        if word(-start) <= MAX_ERRNO and start:
            raise SysError(word(-start))
    if start >= mm.space.task_size:
        raise SysError(errno.EINVAL)
    return LoadedProgram(bias, word(bias + program.entry), start, base,
                         word(bias + _phdr(mm, program)), program.phnum)


def _phdr(mm: Mm, program: Program) -> int:
    """Return where a program has its headers, 0 if no segment holds them; the last one counts."""
    address = 0
    for one in program.headers:
        if one.offset <= program.phoff < mm.space.word(one.offset + one.file_size):
            address = program.phoff - one.offset + one.vaddr
    return address


def _load_program(mm: Mm, program: Program, load_bias: int) -> int:
    """Map the program; return how far from its own addresses it is."""
    if not program.headers:
        return 0
    if not program.is_pie:
        return _load(mm, program, program.headers[0].vaddr, MapFlag.FIXED_NOREPLACE)
    alignment = _alignment(mm, program)
    if program.interpreter is not None:
        return _load(mm, program, load_bias & -alignment, MapFlag.FIXED_NOREPLACE)
    if alignment == PAGE_BYTES:
        return _load(mm, program, 0, 0)
    # Mapping the first segment, with room for all, shows where there is room.
    span = _span(mm, program)
    found = _load_segment(mm, program.file, program.headers[0], 0, 0, span)
    with suppress(SysError):
        munmap(mm, found, span)
    return _load(mm, program, found & -alignment, MapFlag.FIXED_NOREPLACE)


def _alignment(mm: Mm, program: Program) -> int:
    """Return the largest alignment that is a power of two, at least a page. [maximum_alignment]"""
    asked = [one.align for one in program.headers if one.align.bit_count() == 1]
    return mm.space.word(page_align(max(asked, default=0))) or PAGE_BYTES


def _span(mm: Mm, program: Program) -> int:
    """Return the bytes from the first page to the last of a program. [total_mapping_size]"""
    word = mm.space.word
    first = min(one.vaddr & -PAGE_BYTES for one in program.headers)
    end = max(word(one.vaddr + one.memory_size) for one in program.headers)
    span = word(end - first)
    if not span:
        raise SysError(errno.EINVAL)
    return word(page_align(span))


def _load(mm: Mm, program: Program, base: int, flags: int) -> int:
    """Map all segments, the first at ``base`` or where there is room; return the bias."""
    word = mm.space.word
    bias = word(base - program.headers[0].vaddr) & -PAGE_BYTES
    span = _span(mm, program) if program.is_pie else None
    for header in program.headers:
        wanted = word(bias + header.vaddr) & -PAGE_BYTES
        start = _load_segment(mm, program.file, header, wanted, flags, span)
        if start >= mm.space.task_size:
            raise SysError(errno.EINVAL)
        bias = word(bias + start - wanted)
        if not _fits(mm, header, header.vaddr):
            raise SysError(errno.EINVAL)
        flags, span = MapFlag.FIXED, None
    return bias


def _fits(mm: Mm, header: ProgramHeader, vaddr: int) -> bool:
    """Return whether the memory of a segment at ``vaddr`` lies in user space and holds its file."""
    size = header.memory_size
    return (header.file_size <= size and 0 <= vaddr < mm.space.task_size
            and vaddr + size <= mm.space.task_size)


def _load_segment(
    mm: Mm, file: File, header: ProgramHeader, address: int, flags: int, span: int | None
) -> int:
    """Map one segment and its bss from a page on, and return where.

    ``span`` is as for ``_map_file``. The last page of the file is padded with zeros, unless the
    segment may not be written: then it keeps what the file has there. [elf_load]
    """
    in_page = header.vaddr % PAGE_BYTES
    if header.file_size:
        address = _map_file(mm, file, header, address, flags, span)
        if address >= mm.space.task_size:
            return address
    if header.memory_size > header.file_size:
        file_end = address + in_page + header.file_size if header.file_size else address
        if header.file_size:
            with suppress(SysError):
                _pad_zeros(mm, mm.space.word(file_end))
        _map_bss(mm, file_end, address + in_page + header.memory_size, header.prot)
    return address


def _map_file(
    mm: Mm, file: File, header: ProgramHeader, address: int, flags: int, span: int | None
) -> int:
    """Map what a segment has of its file, from a page on; return where.

    ``span`` is how many bytes all segments need, for the first one to find room for all; None for
    the others. [elf_map, vm_mmap]
    """
    word, in_page = mm.space.word, header.vaddr % PAGE_BYTES
    size = word(page_align(word(header.file_size + in_page)))
    if not size:
        return address
    offset, length = word(header.offset - in_page), size if span is None else span
    if offset + length > word(-1):
        raise SysError(errno.EINVAL)
    address = mmap(mm, address, length, header.prot, flags | MapFlag.PRIVATE, file, offset)
    if length > size:
        unmap_range(mm, address + size, address + length)
    return address


def _map_bss(mm: Mm, start: int, end: int, prot: int) -> None:
    """Map the whole pages of zeros of a segment whose file ends at ``start``."""
    word = mm.space.word
    start, end = word(page_align(word(start))), word(page_align(word(end)))
    map_zeroed(mm, start, word(end - start), VmFlag.EXEC if prot & Prot.EXEC else 0)


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
    mm.page_tables.store(address, bytes(end - address))


def _load_interpreter(mm: Mm, program: Program, *, at_bias: bool) -> int:
    """Map the dynamic loader; return how far from its own addresses it is.

    It may have one bss, behind all that it has of its file. ``at_bias`` is whether the program that
    it loads was moved from its own addresses. Raise ``SysError``: EFAULT if the last page of the
    file cannot be padded with zeros, ENOMEM for a segment out of bounds. [load_elf_interp]
    """
    if not program.headers:
        raise SysError(errno.EINVAL)
    word, flags = mm.space.word, 0 if program.is_pie else MapFlag.FIXED
    span: int | None = _span(mm, program)
    bias = word(-program.headers[0].vaddr) if at_bias and program.is_pie else 0
    file_end = memory_end = prot = 0
    for header in program.headers:
        wanted = word(bias + header.vaddr) & -PAGE_BYTES
        start = _map_file(mm, program.file, header, wanted, flags, span)
        if start >= mm.space.task_size:
            raise SysError(errno.EINVAL)
        if not flags:
            bias = word(start - (header.vaddr & -PAGE_BYTES))
        flags, span = MapFlag.FIXED, None
        vaddr = word(bias + header.vaddr)
        if not _fits(mm, header, vaddr):
            raise SysError(errno.ENOMEM)
        file_end = max(file_end, vaddr + header.file_size)
        if vaddr + header.memory_size > memory_end:
            memory_end, prot = vaddr + header.memory_size, header.prot
    _pad_zeros(mm, file_end)
    if page_align(memory_end) > page_align(file_end):
        _map_bss(mm, file_end, memory_end, prot)
    return bias


def map_vdso(mm: Mm, layout: UserLayout, rng: np.random.Generator | None) -> None:
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
