"""The figures of real processes: what their page tables add up to is what smaps said of them.

Every figure of every mapping is compared, but for two that the captures cannot tell, the share of
a page (Pss, and with it Pss_Dirty) where entries map it that were not caught:

- [vdso], which every process of the machine maps;
- /tmp/file.bin in ``amd64-B/d1``, ``i686-B/d1`` and ``i686-B/d1-child``: a child of the program
  that ran before maps it, too.

There the real share must be smaller than ours.
"""

import pytest

from pagewalk.model.address_space.smaps_text import STATS
from pagewalk.model.kernel.proc.smaps_walk import gather_stats

from ..captured import BOOTS, Boot, CapturedFacts, name_of

PROCESSES = [("amd64-A", "s1"), ("amd64-A", "s1-child"), ("amd64-A", "d1"), ("amd64-B", "s1"),
             ("amd64-B", "d1"), ("i686-A", "s1"), ("i686-A", "s1-child"), ("i686-A", "d1"),
             ("i686-B", "s1"), ("i686-B", "d1"), ("i686-B", "d1-child")]


@pytest.fixture(scope="module")
def boots():
    return {name: Boot(name) for name in BOOTS}


def kbytes(stats):
    return {label: getattr(stats, field) >> 10 for label, field in STATS.items()}


def has_unseen_sharers(process, vma):
    names = [one.name for one in process.boot.processes]
    late = process.name.startswith("d1") and "s1-child" not in names
    return name_of(vma) == "[vdso]" or (late and name_of(vma) == "/tmp/file.bin")


@pytest.mark.parametrize(("boot", "name"), PROCESSES, ids=["-".join(pair) for pair in PROCESSES])
def test_smaps_is_what_the_page_tables_add_up_to(boots, boot, name):
    boot = boots[boot]
    at = [process.name for process in boot.processes].index(name)
    process, facts = boot.processes[at], CapturedFacts(boot, at)
    for vma, real in process.mappings:
        ours = kbytes(gather_stats([vma], process.tables, boot.format, facts, numa=boot.numa))
        real = kbytes(real)
        if has_unseen_sharers(process, vma):
            for share in ("Pss", "Pss_Dirty"):
                assert real.pop(share) <= ours.pop(share)
        assert ours == real, f"{vma.start:x} {name_of(vma)}"


def test_every_process_that_was_caught_is_compared(boots):
    caught = [(boot.name, process.name) for boot in boots.values() for process in boot.processes]
    assert caught == PROCESSES


def test_a_huge_page_that_hints_to_the_numa_balancer_does_not_count(boots):
    boot = boots["amd64-B"]
    facts, process = CapturedFacts(boot, 0), boot.processes[0]
    start = process.actions["thp_madvise"].start + (2 << 20)
    [vma] = [vma for vma, _ in process.mappings if vma.start < start < vma.end]
    hinted, whole = (gather_stats([vma], process.tables, boot.format, facts, numa=numa)
                     for numa in (True, False))
    assert (hinted.anonymous_thp, whole.anonymous_thp) == (0, 2 << 20)
    assert whole.resident - hinted.resident == 2 << 20
