"""``/proc/vmstat``: its counters beside what was done, and the order of the real file."""

from pathlib import Path

import pytest

from pagewalk.model.address_space.uapi import Madvise, MapFlag
from pagewalk.model.kernel.proc.meminfo import meminfo
from pagewalk.model.kernel.proc.vmstat import vmstat
from pagewalk.model.x86 import IA32, X86_64

from ..machines import ANON, MODES, PAGE, RW, Killed, machine
from ..sharers import flaky_swap

both = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
REAL = Path("/proc/vmstat")


def counters(kernel):
    return {name: int(count) for name, count in map(str.split, vmstat(kernel).splitlines())}


@both
def test_events_are_counted_for_processes_that_are_gone_too(mode, tmp_path):
    kernel, cpu, process = machine(mode)
    with flaky_swap(tmp_path, "swap", 100) as device:
        kernel.swapon(device)
        start = process.mm.mmap(0, 20 * PAGE, RW, ANON)
        for page in range(20):
            cpu.store(start + page * PAGE, b"x")
        process.mm.madvise(start, 12 * PAGE, Madvise.PAGEOUT)
        for page in range(7):
            cpu.load(start + page * PAGE)
        kernel.exit(process)
        kernel.swapoff(device)
    found = counters(kernel)
    assert (found["pgfault"], found["pgmajfault"]) == (27, 7)
    assert (found["pswpout"], found["pswpin"]) == (12, 7)
    assert (found["pgpgout"], found["pgpgin"]) == (48, 28)
    assert (found["pgsteal_anon"], found["pgscan_anon"]) == (0, 0)  # an advice is no scan
    assert (found["nr_anon_pages"], found["oom_kill"]) == (0, 0)


@both
def test_reclaim_and_kills_are_counted(mode, tmp_path):
    kernel, cpu, process = machine(mode, megabytes=2)
    start = process.mm.mmap(0, 400 * PAGE, RW, ANON | MapFlag.NORESERVE)

    def fill():
        for page in range(400):
            cpu.store(start + page * PAGE, b"x")
    with flaky_swap(tmp_path, "swap", 20) as device:
        kernel.swapon(device)
        with pytest.raises(Killed):
            fill()
    found = counters(kernel)
    assert found["oom_kill"] == 1
    assert found["pgscan_anon"] == found["pgscan_kswapd"] + found["pgscan_direct"] > 20
    assert found["pgsteal_anon"] == found["pswpout"] == 20


@both
def test_counts_of_pages_are_those_of_meminfo(mode):
    kernel, cpu, process = machine(mode)
    start = process.mm.mmap(0, 20 * PAGE, RW, ANON)
    for page in range(20):
        cpu.store(start + page * PAGE, b"x")
    found, kbytes = counters(kernel), {
        line.split(":")[0]: int(line.split()[1]) for line in meminfo(kernel).splitlines()}
    for name, other in (("nr_free_pages", "MemFree"), ("nr_anon_pages", "AnonPages"),
                        ("nr_mapped", "Mapped"), ("nr_shmem", "Shmem"), ("nr_dirty", "Dirty"),
                        ("nr_page_table_pages", "PageTables"), ("nr_mlock", "Mlocked"),
                        ("nr_inactive_anon", "Inactive(anon)"), ("nr_swapcached", "SwapCached")):
        assert found[name] * 4 == kbytes[other], name
    assert found["nr_anon_pages"] == 20
    assert found["nr_zone_inactive_anon"] == found["nr_inactive_anon"]
    assert ("numa_hit" in found) == (mode is X86_64)


@pytest.mark.skipif(not REAL.exists(), reason="this machine has no /proc/vmstat")
@pytest.mark.parametrize("mode", [IA32, X86_64], ids=lambda mode: mode.name)
def test_counters_are_those_of_the_real_file_in_its_order(mode):
    names = [line.split()[0] for line in REAL.read_text().splitlines()]
    places = [names.index(name) for name in counters(machine(mode)[0]) if name in names]
    assert places == sorted(places)
    assert len(places) > 50
