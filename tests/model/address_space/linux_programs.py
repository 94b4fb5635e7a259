"""The programs of the boots in ``tests/data/linux-6.1``: their ELF segments and what they call.

Segments are from ``/proc/PID/stat`` where it tells them to the byte (end of code, start and end of
data), and else from the mappings, whole pages. ``mmzoo`` and ``mmzoo_dynamic`` are one source, the
test program that makes mappings of every kind; ``tiny`` only shows its own.
"""

from pagewalk.model.address_space.exec_layout import Program, ProgramHeader
from pagewalk.model.address_space.uapi import Madvise, MapFlag, MremapFlag
from pagewalk.model.address_space.vma import File

P = 0x1000
NONE, R, RW, RX, RWX = 0, 1, 3, 5, 7
AP = MapFlag.PRIVATE | MapFlag.ANONYMOUS

# offset, address, bytes in the file, bytes in memory, rights
SEGMENTS = {
    ("amd64", "/zoo_static"): (
        (0, 0x400000, 0x1000, 0x1000, R), (0x1000, 0x401000, 0x96AD1, 0x96AD1, RX),
        (0x98000, 0x498000, 0x2A000, 0x2A000, R), (0xC1698, 0x4C2698, 0x5C18, 0xC968, RW)),
    ("i686", "/zoo_static"): (
        (0, 0x8048000, 0x1000, 0x1000, R), (0x1000, 0x8049000, 0x8D5B4, 0x8D5B4, RX),
        (0x8F000, 0x80D7000, 0x36000, 0x36000, R), (0xC4BEC, 0x810DBEC, 0x36EC, 0x7414, RW)),
    ("amd64", "/tiny"): (
        (0, 0x400000, 0x1000, 0x1000, R), (0x1000, 0x401000, 0x79000, 0x79000, RX),
        (0x7A000, 0x47A000, 0x28000, 0x28000, R), (0xA1000, 0x4A2000, 0x7000, 0xC000, RW)),
    ("i686", "/tiny"): (
        (0, 0x8048000, 0x1000, 0x1000, R), (0x1000, 0x8049000, 0x6E000, 0x6E000, RX),
        (0x6F000, 0x80B7000, 0x32000, 0x32000, R), (0xA0000, 0x80E9000, 0x5000, 0x8000, RW)),
    ("amd64", "/zoo_dyn"): (
        (0, 0, 0x1000, 0x1000, R), (0x1000, 0x1000, 0x1845, 0x1845, RX),
        (0x3000, 0x3000, 0x1000, 0x1000, R), (0x3DD0, 0x4DD0, 0x380, 0x1230, RW)),
    ("i686", "/zoo_dyn"): (
        (0, 0, 0x1000, 0x1000, R), (0x1000, 0x1000, 0x1584, 0x1584, RX),
        (0x3000, 0x3000, 0x1000, 0x1000, R), (0x3EE8, 0x4EE8, 0x1C4, 0x1118, RW)),
    ("amd64", "/lib64/ld-linux-x86-64.so.2"): (
        (0, 0, 0x1000, 0x1000, R), (0x1000, 0x1000, 0x26000, 0x26000, RX),
        (0x27000, 0x27000, 0xA000, 0xA000, R), (0x31000, 0x31000, 0x4000, 0x4000, RW)),
    ("i686", "/lib/ld-linux.so.2"): (
        (0, 0, 0x1000, 0x1000, R), (0x1000, 0x1000, 0x23000, 0x23000, RX),
        (0x24000, 0x24000, 0xE000, 0xE000, R), (0x31000, 0x32000, 0x3000, 0x3000, RW)),
}
LOADERS = {"amd64": "/lib64/ld-linux-x86-64.so.2", "i686": "/lib/ld-linux.so.2"}

# The segments of the C library, as its loader maps them, and the memory behind the last.
LIBC = {
    "amd64": ("/lib/x86_64-linux-gnu/libc.so.6",
              ((0, 0, 0x26000, R), (0x26000, 0x26000, 0x156000, RX),
               (0x17C000, 0x17C000, 0x53000, R), (0x1CF000, 0x1CF000, 0x6000, RW)), 0xD000),
    "i686": ("/lib32/libc.so.6",
             ((0, 0, 0x22000, R), (0x22000, 0x22000, 0x179000, RX),
              (0x19B000, 0x19B000, 0x80000, R), (0x21B000, 0x21B000, 0x3000, RW)), 0xA000),
}
# What the loader makes read-only once it has written it (PT_GNU_RELRO): offset, length.
RELRO = {
    ("amd64", "/zoo_static"): (0xC2000, 0x4000), ("i686", "/zoo_static"): (0xC5000, 0x3000),
    ("amd64", "/tiny"): (0xA2000, 0x4000), ("i686", "/tiny"): (0xA1000, 0x3000),
    ("amd64", "/zoo_dyn"): (0x4000, 0x1000), ("i686", "/zoo_dyn"): (0x4000, 0x1000),
    ("amd64", "libc"): (0x1CF000, 0x4000), ("i686", "libc"): (0x21B000, 0x2000),
    ("amd64", "loader"): (0x31000, 0x2000), ("i686", "loader"): (0x32000, 0x2000),
}


def program(arch: str, path: str, files: dict[str, File]) -> Program:
    headers = [ProgramHeader(*one) for one in SEGMENTS[arch, path]]
    is_pie = headers[0].vaddr == 0
    loader = LOADERS[arch]
    interpreter = None
    if is_pie and path != loader:
        interpreter = program(arch, loader, files)
    return Program(files[path], headers, is_pie, interpreter, executable_stack=False)


def start_static(run, path):
    """Call what the C library of a static program calls before ``main``.

    The heap is its doing: thread-local storage, and the first memory of malloc, which it asks for
    33 pages at a time.
    """
    run.brk(run.mm.start_brk + 1 * P)
    run.brk(run.mm.start_brk + 34 * P)
    run.write(run.mm.start_brk, range(34))
    run.relro(path, run.base)


def start_dynamic(run, path):
    """Call what the dynamic loader calls before ``main``.

    Two pages are for its own malloc. The C library is mapped whole and then segment by segment.
    On amd64 thread-local storage takes three pages more; on i686 it fits in the two. The heap is
    the first memory of malloc; on i686 it takes a page more, to align its chunks.
    """
    run.write(run.mm.mmap(0, 2 * P, RW, AP), range(2))
    name, segments, bss = LIBC[run.arch]
    libc = run.file(name)
    length = segments[-1][1] + segments[-1][2] + bss
    base = run.mm.mmap(0, length, R, MapFlag.PRIVATE | MapFlag.DENYWRITE, libc)
    for offset, address, size, prot in segments[1:]:
        run.mm.mmap(base + address, size, prot, MapFlag.PRIVATE | MapFlag.FIXED, libc, offset)
    run.mm.mmap(base + length - bss, bss, RW, AP | MapFlag.FIXED)
    if run.arch == "amd64":
        run.write(run.mm.mmap(0, 3 * P, RW, AP), range(3))
    run.relro("libc", base)
    run.relro(path, run.base)
    run.relro("loader", run.loader_base)
    run.brk(run.mm.start_brk + 33 * P)
    if run.arch == "i686":
        run.brk(run.mm.start_brk + 34 * P)
    run.write(run.mm.start_brk, range(33))


def mmzoo(run):
    """Call what the test program calls up to its first snapshot, in order.

    Pages that it writes and reads are given by their numbers from an address on.
    """
    arch64 = run.arch == "amd64"
    huge = 2 << 20 if arch64 else 4 << 20
    plain = run.mmap("anon_rw64", 0, 64 * P, RW, AP)
    run.write(plain, range(0, 64, 3))
    run.read(plain, range(1, 64, 3))
    run.read(run.mmap("anon_ro32_zeropage", 0, 32 * P, R, AP), range(0, 32, 2))
    run.mmap("prot_none_untouched", 0, 16 * P, NONE, AP)
    written = run.mmap("prot_none_after_write", 0, 16 * P, RW, AP)
    run.write(written, range(16))
    run.mm.mprotect(written, 16 * P, NONE)
    written = run.mmap("ro_after_write", 0, 16 * P, RW, AP)
    run.write(written, range(16))
    run.mm.mprotect(written + 4 * P, 8 * P, R)
    _file(run)
    run.write(run.mmap("anon_rwx", 0, 8 * P, RWX, AP), range(0, 8, 2))
    code = run.mmap("anon_rx", 0, 8 * P, RW, AP)
    run.write(code, range(8))
    run.mm.mprotect(code, 8 * P, RX)
    shared = run.mmap("shared_anon", 0, 64 * P, RW, MapFlag.SHARED | MapFlag.ANONYMOUS)
    run.write(shared, range(0, 64, 2))
    _huge_pages(run, huge)
    if arch64:
        giant = run.mmap("hugetlb_1g", 0, 1 << 30, RW,
                         AP | MapFlag.HUGETLB | 30 << MapFlag.HUGE_SHIFT)
        run.write_huge(giant, range(0, 1000, 100))
    fixed = AP | MapFlag.FIXED_NOREPLACE
    for name, address, pages, step in (
        ("far_fixed", 0x123456789000 if arch64 else 0x23450000, 64, 7),
        *([("far_fixed2", 0x7FFFC0000000, 3, 1), ("cross_pmd", 0x20003FFFF000, 2, 1)] if arch64
          else [("cross_pde", 0x603FF000, 2, 1)]),
        ("low_fixed_64k", 0x10000, 4, 1),
    ):
        run.write(run.mmap(name, address, pages * P, RW, fixed), range(0, pages, step))
    _resized_and_advised(run)
    _shared_and_devices(run)
    run.write(run.sbrk("brk", 100 * P), range(1, 100, 6))
    _paged_out(run, shared)


def _file(run):
    """Map a file on tmpfs of 256 pages, of which the first 64 are written."""
    file = run.file("/tmp/file.bin")
    private = run.mmap("file_private_rw_cow", 0, 64 * P, RW, MapFlag.PRIVATE, file)
    run.read(private, range(64))
    run.write(private, range(0, 64, 4))
    run.shared_file = run.mmap("file_shared_rw", 0, 128 * P, RW, MapFlag.SHARED, file)
    run.read(run.shared_file, range(32))
    run.write(run.shared_file, range(8, 128, 5))
    run.mmap("file_shared_ro", 0, 32 * P, R, MapFlag.SHARED, file, 16 * P)


def _huge_pages(run, huge):
    pages = huge // P
    reserve = run.mmap("thp_reserve", 0, 4 * huge, NONE, AP)
    aligned = (reserve + huge - 1) & -huge
    thp = run.mmap("thp_madvise", aligned, 2 * huge, RW, AP | MapFlag.FIXED)
    run.mm.madvise(thp, 2 * huge, Madvise.HUGEPAGE)
    run.write_huge(thp, range(0, pages, 16))
    run.read_huge(thp, range(pages, pages + 1))
    run.mm.mprotect(thp + huge // 2, P, R)
    run.write_huge(thp, range(pages + 1, 2 * pages, 64))
    pool = run.mmap("hugetlb", 0, 2 * huge, RW, AP | MapFlag.HUGETLB)
    run.write_huge(pool, range(0, pages, 100))


def _resized_and_advised(run):
    locked = run.mmap("mlocked", 0, 16 * P, RW, AP)
    run.mm.mlock(locked, 16 * P)
    run.populated(locked, range(16))
    run.populated(run.mmap("populate", 0, 16 * P, RW, AP | MapFlag.POPULATE), range(16))
    run.write(run.mmap("growsdown", 0, 16 * P, RW, AP | MapFlag.GROWSDOWN), range(0, 16, 5))
    source = run.mmap("mremap_src", 0, 8 * P, RW, AP)
    run.write(source, range(8))
    run.mremap("mremap_dst", source, 8 * P, 24 * P, MremapFlag.MAYMOVE)
    half = run.mmap("dontneed_half", 0, 32 * P, RW, AP)
    run.write(half, range(32))
    run.mm.madvise(half, 16 * P, Madvise.DONTNEED)
    free = run.mmap("madv_free", 0, 16 * P, RW, AP)
    run.write(free, range(16))
    run.mm.madvise(free, 16 * P, Madvise.FREE)
    keyed = run.mmap("pkey", 0, 8 * P, RW, AP)
    run.write(keyed, range(8))
    key = run.pkey_alloc()
    if key > 0:
        run.mm.mprotect(keyed, 4 * P, RW, key)


def _shared_and_devices(run):
    segment = run.sysv_segment()
    run.write(run.mmap("sysv_shm", 0, 32 * P, RW, MapFlag.SHARED, segment), range(0, 32, 3))
    device = run.file("/dev/mem")
    run.mmap("devmem_vga_b8000", 0, 8 * P, RW, MapFlag.SHARED, device, 0xB8000)
    run.mmap("devmem_hpet", 0, P, RW, MapFlag.SHARED, device, 0xFED00000)


def _paged_out(run, shared):
    run.paged_out = run.mmap("pageout_256", 0, 256 * P, RW, AP)
    run.write(run.paged_out, range(256))
    for _ in range(2):
        run.mm.madvise(run.paged_out, 256 * P, Madvise.PAGEOUT)
    run.read(run.paged_out, range(10, 14))
    run.write(run.paged_out, range(100, 103))
    run.read(run.paged_out, range(200, 201))
    paged_out = run.mmap("pageout_then_none", 0, 32 * P, RW, AP)
    run.write(paged_out, range(32))
    run.mm.madvise(paged_out, 32 * P, Madvise.PAGEOUT)
    run.mm.mprotect(paged_out + 8 * P, 8 * P, R)
    run.mm.madvise(shared, 16 * P, Madvise.PAGEOUT)


def mmzoo_before_fork(run):
    """Call what the test program calls between its first snapshot and the fork."""
    run.cow_area = run.mmap("cow_area", 0, 64 * P, RW, AP)
    run.write(run.cow_area, range(64))


def mmzoo_child(run):
    """Access what the child does before its snapshot."""
    run.write(run.cow_area, range(0, 32, 2))
    run.read(run.cow_area, range(32, 48))
    run.read(run.paged_out, range(20, 22))
    run.write(run.shared_file, range(120, 124))


def mmzoo_parent(run):
    """Access what the parent does after the child's snapshot."""
    run.write(run.cow_area, range(1, 64, 8))
