"""The mappings of real processes: the model makes the same from the same calls.

A process is replayed call by call against the log that it kept itself, which holds what each call
returned, and then its ``/proc/PID/maps`` and ``smaps`` are compared as text.
"""

import pytest

from pagewalk.model.address_space.maps_text import maps_text
from pagewalk.model.address_space.smaps_text import smaps_text

from . import linux_programs
from .linux_run import BOOTS, Machine, read, stats_of
from .small_mm import forked

PAGE = 0x1000


@pytest.fixture(scope="module", params=BOOTS)
def boot(request):
    """The processes of one boot in order, stopped where the boot looked at them."""
    machine = Machine(request.param)
    static = machine.exec("/zoo_static", "s1")
    linux_programs.start_static(static, "/zoo_static")
    linux_programs.mmzoo(static)
    snapshots = {"s1": (maps_text(static.mm), statm(static.mm)),
                 "s1.smaps": smaps(static, static.mm, "s1")}
    linux_programs.mmzoo_before_fork(static)
    child = forked(static.mm)
    snapshots["s1-child.smaps"] = smaps(static, child, "s1-child")
    dynamic = machine.exec("/zoo_dyn", "d1")
    linux_programs.start_dynamic(dynamic, "/zoo_dyn")
    linux_programs.mmzoo(dynamic)
    snapshots["d1"] = maps_text(dynamic.mm), statm(dynamic.mm)
    snapshots["d1.smaps"] = smaps(dynamic, dynamic.mm, "d1")
    linux_programs.mmzoo_before_fork(dynamic)
    for mm in (static.mm, child, dynamic.mm):
        mm.check()
    assert static.log_is_done()
    assert dynamic.log_is_done()
    return machine, static, child, snapshots


def statm(mm):
    """Return size, code and data of ``/proc/PID/statm`` in pages. [task_statm]"""
    text = (-(-mm.end_code // PAGE)) - mm.start_code // PAGE
    return [mm.total_vm, text, mm.data_vm + mm.stack_vm]


def smaps(run, mm, process):
    """Return our smaps and the real one."""
    real = read(run.machine.boot, f"{process}.smaps")
    stats = stats_of(real)
    return smaps_text(mm, lambda vma: stats[vma.start]), real


@pytest.mark.parametrize("process", ["s1", "d1"])
def test_maps_are_those_of_the_real_process(boot, process):
    machine, *_, snapshots = boot
    assert snapshots[process][0] == read(machine.boot, f"{process}.maps")


@pytest.mark.parametrize("process", ["s1", "d1"])
def test_accounts_are_those_of_the_real_process(boot, process):
    machine, *_, snapshots = boot
    size, _, _, text, _, data, _ = map(int, read(machine.boot, f"{process}.statm").split())
    assert snapshots[process][1] == [size, text, data]


def test_smaps_are_those_of_the_real_processes(boot):
    """Sizes, flags, keys and huge-page eligibility; what pages add up to is taken as given."""
    *_, snapshots = boot
    compared = [snapshots[f"{process}.smaps"] for process in ("s1", "d1", "s1-child")]
    for ours, real in compared:
        assert ours == real


def test_a_fork_copies_the_mappings(boot):
    machine, static, child, _ = boot
    assert maps_text(child) == read(machine.boot, "s1-child.maps")
    assert maps_text(static.mm) == read(machine.boot, "s1-parent.maps")


def test_a_static_program_starts_as_the_real_one(boot):
    machine = Machine(boot[0].boot)
    run = machine.exec("/tiny", "t1")
    linux_programs.start_static(run, "/tiny")
    assert maps_text(run.mm) == read(machine.boot, "t1.maps")
