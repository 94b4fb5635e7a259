"""The page faults of a real process: the model takes the same ones from the same accesses.

The test program of the boots is run on the kernel model, call by call and access by access. Each
page fault that the boot traced at the two instructions that make these accesses must be one of the
model's, at the same page, with the same error code and in the same order; and there are no others.
The pages that are there in the end are the same, too.
"""

import gzip
from collections import Counter

import pytest

from pagewalk.model.address_space.tables.software_entry import EntryKind
from pagewalk.model.address_space.vma import VmFlag
from pagewalk.model.kernel.proc.smaps import KernelPages

from ..address_space import linux_programs
from ..address_space.linux_run import BOOTS, DATA
from .kernel_run import KernelRun, swap_area
from .machines import PAGE

PM_PRESENT, PM_SWAP, PM_FILE, PM_MMAP_EXCLUSIVE = 1 << 11, 1 << 10, 1 << 9, 1 << 4
# Bits 63, 62, 61 and 56 of pagemap, less the 52 below that are the frame.


@pytest.fixture(scope="module", params=BOOTS)
def run(request, tmp_path_factory):
    """The process and its child, after their last access."""
    with swap_area(tmp_path_factory.mktemp("swap")) as swap:
        run = KernelRun.start(request.param, swap)
        run.pages = KernelPages(run.kernel.state)
        linux_programs.mmzoo(run)
        run.pagemap = pages_of(run)
        linux_programs.mmzoo_before_fork(run)
        run.fork()
        linux_programs.mmzoo_child(run)
        run.back()
        linux_programs.mmzoo_parent(run)
        run.kernel.check()
        yield run


def pages_of(run):
    """What ``/proc/PID/pagemap`` says of the pages of mappings, in huge pages of each small one."""
    found, state = {}, run.kernel.state
    for vma in run.mm:
        for leaf in run.process.space.tables.entries(vma.start, vma.end):
            if state.kind(leaf.entry) is EntryKind.SWAP:
                found[leaf.vaddr // PAGE] = PM_SWAP
                continue
            for at in range(leaf.level.page_bytes // PAGE):
                pfn = state.format.pfn(leaf.entry) + (0 if vma.flags & VmFlag.HUGETLB else at)
                is_file = pfn != state.zero_pfn and not state.is_anon(pfn)
                found[leaf.vaddr // PAGE + at] = PM_PRESENT | PM_FILE * is_file | (
                    PM_MMAP_EXCLUSIVE * (run.pages.mapcount(pfn) == 1))
    return found


def traced(boot):
    """The faults of a boot at the two instructions that fault most: (page, error code)."""
    text = gzip.decompress((DATA / boot / "trace-pagefault-s1.txt.gz").read_bytes()).decode()
    rows = [[int(field, 16) for field in line.split()[1:]] for line in text.splitlines()]
    by_instruction = Counter(ip for _, ip, _ in rows)
    loops = {ip for ip, _ in by_instruction.most_common(2)}
    return [(address // PAGE, code) for address, ip, code in rows if ip in loops]


def outside_of_giant_pages(run, faults):
    """Leave out those in mappings of pages of 1 Gbyte, which the model has none of."""
    return [(page, code) for page, code in faults
            if run.mm.find_vma(page * PAGE).page_bytes < 1 << 30]


@pytest.mark.slow
def test_the_faults_are_those_of_the_real_process(run):
    real = outside_of_giant_pages(run, traced(run.machine.boot))
    assert len(real) > 650
    differing = [pair for pair in zip(run.faults, real, strict=False) if pair[0] != pair[1]]
    assert differing[:1] == []
    assert len(run.faults) == len(real)


def is_program_s_own(run, vma):
    """Whether the C library accesses a mapping, or the kernel as it starts a program."""
    return (vma.special is not None or vma.file is run.file("/zoo_static")
            or (vma.flags & VmFlag.GROWSDOWN and vma.end >= run.mm.start_stack)
            or (vma.start < run.mm.brk_end and vma.end > run.mm.start_data))


def test_the_pages_are_those_of_the_real_process(run):
    """Which are there, in swap, of a file, or of no other process, before it forks."""
    path = DATA / run.machine.boot / "proc" / "s1.pagemap.txt.gz"
    if not path.exists():
        pytest.skip("the boot kept no pagemap")
    rows = (line.split() for line in gzip.decompress(path.read_bytes()).decode().splitlines())
    real = {int(page, 16): int(flags, 16) for page, flags in rows}
    compared = [page for vma in run.mm
                if not vma.flags & VmFlag.PFNMAP and not is_program_s_own(run, vma)
                for page in range(vma.start // PAGE, vma.end // PAGE)]
    differing = [(hex(page), real.get(page, 0), run.pagemap.get(page, 0)) for page in compared
                 if real.get(page, 0) != run.pagemap.get(page, 0)]
    assert differing[:1] == []
    assert len(real.keys() & {*compared}) > 2000  # most of them in huge pages
