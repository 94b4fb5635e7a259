"""The page faults of a real process: the model takes the same ones from the same accesses.

The test program of the boots is run on the kernel model, call by call and access by access. Each
page fault that the boot traced at the two instructions that make these accesses must be one of the
model's, at the same page, with the same error code and in the same order; and there are no others.
"""

import gzip
from collections import Counter

import pytest

from pagewalk.model.address_space.vma import VmFlag

from ..address_space import linux_programs
from ..address_space.linux_run import BOOTS, DATA
from .kernel_run import KernelRun, swap_area
from .machines import PAGE


@pytest.fixture(scope="module", params=BOOTS)
def run(request, tmp_path_factory):
    """The process and its child, after their last access."""
    with swap_area(tmp_path_factory.mktemp("swap")) as swap:
        run = KernelRun.start(request.param, swap)
        linux_programs.mmzoo(run)
        linux_programs.mmzoo_before_fork(run)
        run.fork()
        linux_programs.mmzoo_child(run)
        run.back()
        linux_programs.mmzoo_parent(run)
        run.kernel.check()
        yield run


def traced(boot):
    """The faults of a boot at the two instructions that fault most: (page, error code)."""
    text = gzip.decompress((DATA / boot / "trace-pagefault-s1.txt.gz").read_bytes()).decode()
    rows = [[int(field, 16) for field in line.split()[1:]] for line in text.splitlines()]
    by_instruction = Counter(ip for _, ip, _ in rows)
    loops = {ip for ip, _ in by_instruction.most_common(2)}
    return [(address // PAGE, code) for address, ip, code in rows if ip in loops]


def outside_of_huge_pages(run, faults):
    """Leave out those in mappings that may have huge pages."""
    mm = run.mm
    return [(page, code) for page, code in faults
            if not mm.find_vma(page * PAGE).flags & (VmFlag.HUGEPAGE | VmFlag.HUGETLB)]


def test_the_faults_are_those_of_the_real_process(run):
    real = outside_of_huge_pages(run, traced(run.machine.boot))
    assert len(real) > 650
    differing = [pair for pair in zip(run.faults, real, strict=False) if pair[0] != pair[1]]
    assert differing[:1] == []
    assert len(run.faults) == len(real)
