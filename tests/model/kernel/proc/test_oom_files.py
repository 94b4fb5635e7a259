"""Files that say, and are told, who is killed when memory runs out."""

import errno

import pytest

from pagewalk.model.address_space.errors import SysError
from pagewalk.model.kernel.proc.oom_files import oom_score, oom_score_adj, write_oom_score_adj
from pagewalk.model.x86 import X86_64

from ..machines import ANON, PAGE, RW, machine


def fails(process, text, privileged=False):
    with pytest.raises(SysError) as caught:
        write_oom_score_adj(process, text, privileged=privileged)
    return caught.value.errno


def test_an_adjustment_is_a_number_within_bounds():
    _, _, process = machine(X86_64)
    assert oom_score_adj(process) == "0\n"
    for text, value in (("1000\n", 1000), (" 0x10 ", 16), ("+010", 8), ("0", 0)):
        write_oom_score_adj(process, text, privileged=False)
        assert oom_score_adj(process) == f"{value}\n"
    for text in ("1001", "-1001", "2147483647", "-0x80000000", "", "x", "1 2", "1x", "08", "- 1"):
        assert fails(process, text) == fails(process, text, privileged=True) == errno.EINVAL
    for text in ("2147483648", "-0x80000001", "99999999999"):  # no int holds them
        assert fails(process, text) == fails(process, text, privileged=True) == errno.ERANGE


def test_nobody_but_the_administrator_goes_below_what_that_one_wrote():
    kernel, _, process = machine(X86_64)
    assert fails(process, "-1") == errno.EACCES
    write_oom_score_adj(process, "-500", privileged=True)
    write_oom_score_adj(process, "300", privileged=False)
    child = kernel.fork(process)
    write_oom_score_adj(child, "-500", privileged=False)
    assert fails(child, "-501") == errno.EACCES
    write_oom_score_adj(process, "0", privileged=True)
    assert fails(process, "-1") == errno.EACCES


def test_a_score_is_two_thirds_of_the_share_and_a_thousand():
    kernel, cpu, process = machine(X86_64)
    assert oom_score(kernel.state, process) == "666\n"
    total = kernel.commit.limit
    start = process.mm.mmap(0, 1000 * PAGE, RW, ANON)
    for page in range(1000):
        cpu.store(start + page * PAGE, b"x")
    share = process.badness * 1000 // total
    assert 240 < share < 300
    assert oom_score(kernel.state, process) == f"{(1000 + share) * 2 // 3}\n"
    process.oom_score_adj = 1000
    more = total // 1000 * 1000  # three pages a point, on so small a machine
    assert oom_score(kernel.state, process) == (
        f"{(1000 + (process.badness + more) * 1000 // total) * 2 // 3}\n")
    process.oom_score_adj = -999
    less = (total // 1000 * 999 - process.badness) * 1000 // total
    assert oom_score(kernel.state, process) == f"{(1000 - less) * 2 // 3}\n"
    process.oom_score_adj = -1000
    assert oom_score(kernel.state, process) == "0\n"


def test_init_is_never_killed_whatever_it_has():
    kernel, _, _ = machine(X86_64)
    init = kernel.spawn("init", init=True)
    write_oom_score_adj(init, "1000", privileged=False)
    assert oom_score(kernel.state, init) == "0\n"
