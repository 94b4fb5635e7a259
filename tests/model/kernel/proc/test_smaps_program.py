"""smaps of the boots' test program run on the kernel model, beside the real one.

The program's calls and accesses are known for the mappings that it logged (actions.txt), and these
are compared, every figure of them. Left out is what the program's start, its C library and its
stack touched, [vdso], and a huge page of 1 Gbyte.
"""

from dataclasses import asdict

import pytest

from pagewalk.model.kernel.proc.smaps import smaps

from ...address_space import linux_programs
from ...address_space.linux_run import BOOTS, read
from ..captured import read_log, read_smaps
from ..kernel_run import KernelRun, swap_area

LEFT_OUT = ("brk", "hugetlb_1g")
COLLAPSING = ("amd64-B", "thp_madvise")
# Eight pages that this process has written, by the trace of its faults, were in no figure just
# when its smaps was read, as if khugepaged had them in hand.


@pytest.fixture(scope="module", params=BOOTS)
def run(request, tmp_path_factory):
    """The texts of the process and its child, each as it was when the boot read the real one."""
    with swap_area(tmp_path_factory.mktemp("swap")) as swap:
        run = KernelRun.start(request.param, swap)
        linux_programs.mmzoo(run)
        texts = {"s1": smaps(run.kernel.state, run.process)}
        linux_programs.mmzoo_before_fork(run)
        run.fork()
        linux_programs.mmzoo_child(run)
        texts["s1-child"] = smaps(run.kernel.state, run.kernel.current)
    return request.param, texts


def logged(boot, text):
    """The mappings that calls of the program made, and their figures."""
    calls = read_log(read(boot, "s1.actions.txt"))
    left_out = [calls.pop(label) for label in LEFT_OUT if label in calls]
    for vma, stats in read_smaps(text):
        if any(pages.start < vma.end and vma.start < pages.stop for pages in left_out):
            continue
        labels = [label for label, pages in calls.items() if vma.start in pages]
        if labels and (boot, labels[-1]) != COLLAPSING:
            yield vma, labels[-1], asdict(stats)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["s1", "s1-child"])
def test_figures_are_those_of_the_real_process(run, name):
    boot, texts = run
    ours, real = (list(logged(boot, text)) for text in (texts[name], read(boot, f"{name}.smaps")))
    assert len(real) >= 23
    for (vma, _, model), (real_vma, label, linux) in zip(ours, real, strict=True):
        assert (vma.start, vma.end) == (real_vma.start, real_vma.end)
        assert model == linux, f"{vma.start:x} {label}"
