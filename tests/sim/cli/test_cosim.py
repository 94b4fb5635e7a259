"""The verb that runs workloads: figures, exit codes, and what is wrong with the input."""

import errno
import json
import os
import re
from uuid import UUID

import pytest

from pagewalk.model.kernel.kernel import Kernel
from pagewalk.model.kernel.platform import KERNEL_MODES
from pagewalk.model.kernel.swap.file import SwapFile
from pagewalk.sim.cli import host_memory
from pagewalk.sim.cli.main import main
from pagewalk.sim.workloads.catalog import WORKLOADS
from pagewalk.sim.workloads.expected import Expected


def run(*args):
    return main(["cosim", *args, "--engine", "model"])


def error_of(capsys):
    """Return the one line that an error is."""
    captured = capsys.readouterr()
    assert re.fullmatch(r"pagewalk: error: [^\n]+\n", captured.err)
    return captured.err


@pytest.mark.slow
@pytest.mark.parametrize("mode", KERNEL_MODES)
@pytest.mark.parametrize("workload", [name for name in WORKLOADS if name != "huge"])
def test_every_workload_runs_on_a_machine_that_is_too_small_for_it(workload, mode, tmp_path):
    figures = tmp_path / "figures.json"
    assert run(workload, "--mode", mode, "--memory", "2", "--accesses", "6000", "--seed", "5",
               "--json", str(figures)) == 0
    written = json.loads(figures.read_text())
    assert written["workload"] == workload
    assert (written["mode"], written["engine"], written["seed"]) == (mode, "model", 5)
    assert written["wrong"] == written["leaked"] == 0
    assert written["accesses"] >= 6000
    assert written["pages_out"] > 0 or workload in ("zipf", "hot", "stack")


@pytest.mark.slow
@pytest.mark.parametrize("mode", KERNEL_MODES)
def test_flags_that_software_has_to_set_are_no_signal_for_a_read(mode, tmp_path):
    """Reclaim clears A of pages that are there; Linux takes the read fault for a forbidden one."""
    figures = tmp_path / "figures.json"
    assert run("churn", "--mode", mode, "--ad", "fault", "--accesses", "6000", "--json",
               str(figures)) == 0
    assert json.loads(figures.read_text())["pages_out"] > 0


def test_help_names_every_workload(capsys):
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["cosim", "--help"])
    assert ", ".join(WORKLOADS) in " ".join(capsys.readouterr().out.split())


@pytest.mark.slow
@pytest.mark.parametrize("mode", KERNEL_MODES)
def test_huge_pages_are_set_aside_as_they_are_needed(mode, tmp_path, capsys):
    figures = tmp_path / "figures.json"
    assert run("huge", "--mode", mode, "--accesses", "3000", "--seed", "5",
               "--json", str(figures)) == 0
    written = json.loads(figures.read_text())
    assert (written["workload"], written["mode"]) == ("huge", mode)
    assert written["wrong"] == written["leaked"] == written["pages_out"] == 0
    assert 3000 <= written["accesses"] < 3100
    # Blocks of 4 Mbytes, in which small pages would be one by one.
    assert 0 < written["minor_faults"] < 500
    assert written["memory_bytes"] <= 64 << 20
    out = capsys.readouterr().out
    assert re.match(r"huge: 3\d+ accesses, \d+ events, 3088 pages, 1 processes, seed 5\n", out)
    assert re.search(r"^memory of the machine +64 MiB$", out, re.M)


@pytest.mark.parametrize("mode", KERNEL_MODES)
@pytest.mark.parametrize("args", [("--memory", "4"), ("--memory", "32", "--pages", "20000")])
def test_a_machine_without_room_for_huge_pages_is_told_in_one_line(args, mode, capsys):
    assert run("huge", "--mode", mode, "--accesses", "1000", *args) == 2
    assert re.search(rf"argument --memory: {args[1]} Mbytes have no room for \d+ Mbytes of huge "
                     r"pages; expected more, or fewer --pages$", error_of(capsys))


@pytest.mark.slow
@pytest.mark.parametrize("thp", ["never", "madvise", "always"])
def test_transparent_huge_pages_take_fewer_faults(thp, tmp_path):
    figures = tmp_path / "figures.json"
    assert run("sequential", "--thp", thp, "--memory", "32", "--pages", "3000", "--accesses",
               "60000", "--json", str(figures)) == 0
    written = json.loads(figures.read_text())
    assert (written["thp"], written["wrong"], written["leaked"]) == (thp, 0, 0)
    assert (written["minor_faults"] < 3000) == (thp == "always")  # one at least for a small page


def test_what_it_prints_is_the_workload_and_its_figures(capsys):
    assert run("thrash", "--memory", "2", "--accesses", "5000") == 0
    out = capsys.readouterr().out
    assert re.match(r"thrash: 5008 accesses, 748 pages, 1 processes, seed 0\n", out)
    assert re.search(r"^memory of the machine +2 MiB$", out, re.M)
    assert re.search(r"^major faults +[1-9]", out, re.M)


def test_costs_that_are_assumed_are_options_and_said_to_be_assumed(tmp_path, capsys):
    figures = tmp_path / "figures.json"
    assert run("zipf", "--accesses", "100", "--fault-cost", "7", "--disk-seek", "0", "--disk-page",
               "9", "--clock", "3000", "--json", str(figures)) == 0
    written = json.loads(figures.read_text())
    assert written["assumed"]["costs"] == {
        "fault_cycles": 7, "seek_ns": 0, "page_ns": 9, "clock_mhz": 3000}
    assert written["assumed"]["fault_cycles"] == 7 * written["minor_faults"] > 0
    assert written["cycles"] == written["mmu_cycles_per_access"] == 0
    out = capsys.readouterr().out
    assert out.endswith("\nAssumed: 7 cycles for a page fault; 0 ns for a seek of the disk and 9 "
                        "for a page; 3,000 MHz; nothing for all else.\n")


def test_a_wrong_value_is_a_mismatch(monkeypatch, capsys):
    values = Expected.values

    def spoiled(self, accesses):
        found = values(self, accesses)
        found[7] ^= 1
        return found

    monkeypatch.setattr(Expected, "values", spoiled)
    assert run("zipf", "--accesses", "100") == 1
    assert re.search(r"^wrong values +1$", capsys.readouterr().out, re.M)


def test_frames_that_are_not_given_back_are_a_mismatch(monkeypatch, capsys):
    exit_process = Kernel.exit

    def leaky(self, process):
        self.state.allocator.alloc_pages(0)  # of a caller that forgets it
        exit_process(self, process)

    monkeypatch.setattr(Kernel, "exit", leaky)
    monkeypatch.setattr(Kernel, "check", lambda _: None)
    assert run("zipf", "--accesses", "100") == 1
    assert re.search(r"^frames and slots leaked +1$", capsys.readouterr().out, re.M)


@pytest.mark.slow
def test_a_file_that_mkswap_made_is_used_and_stays(tmp_path):
    path, figures = tmp_path / "swap", tmp_path / "figures.json"
    SwapFile.create(path, 1000, uuid=UUID(int=1)).close()
    assert run("random", "--memory", "2", "--accesses", "8000", "--swap", str(path),
               "--json", str(figures)) == 0
    assert json.loads(figures.read_text())["pages_out"] > 0
    with SwapFile(path) as file:
        assert len(file) == 1000


@pytest.mark.slow
@pytest.mark.parametrize(("args", "line"), [
    (("--memory", "1"), "argument --memory: Memory map leaves no memory to the kernel"),
    (("--memory", "4000", "--paddr-bits", "32", "--mode", "x86_64"),
     "argument --memory: 4000 Mbytes end above what 32 address bits reach"),
    (("--memory", "9" * 30), "argument --memory: 9+ Mbytes end above what"),
    (("--memory", "5000"), "argument --memory: 1928 of 5000 Mbytes are above 4 Gbytes, which ia32"),
    (("--pages", "100000000"), "argument --pages: 100000000 are too many"),
    (("--pages", "100000000", "--mode", "x86_64", "--accesses", "9"),
     "argument --pages: a swap file of 100000001 pages cannot be made: no room"),
    (("--swap", "/nowhere/swap"), "argument --swap: /nowhere/swap: No such file"),
    (("--swap", "."), "argument --swap: .: Is a directory; expected what mkswap makes"),
    (("--swap", "EMPTY"), "argument --swap: .*the swap file must have 2 pages, not 0"),
    (("--json", "/dev/full", "--accesses", "9"), "/dev/full: cannot be written: No space left"),
    (("--accesses", "0"), "argument --accesses: expected a whole number from 1"),
    (("--accesses", "9" * 30), "argument --accesses: 9+ are too many; expected at most"),
    (("--seed", "-1"), "argument --seed: expected a whole number from 0, not '-1'"),
], ids=lambda value: " ".join(value)[:30] if isinstance(value, tuple) else "")
def test_what_is_wrong_is_said_in_one_line(args, line, tmp_path, monkeypatch, capsys):
    def no_room(*_):
        raise OSError(errno.ENOSPC, "no room")

    if "--pages" in args:
        monkeypatch.setattr(os, "posix_fallocate", no_room)
    empty = tmp_path / "EMPTY"
    empty.write_bytes(b"")
    args = [str(empty) if arg == "EMPTY" else arg for arg in args]
    assert run("thrash", "--mode", "ia32", *args) == 2
    assert re.search(line, error_of(capsys))


def test_a_swap_file_that_another_uses_is_refused(tmp_path, capsys):
    path = tmp_path / "swap"
    with SwapFile.create(path, 100, uuid=UUID(int=1)):
        assert run("thrash", "--swap", str(path)) == 2
    assert "the swap file is in use" in error_of(capsys)


@pytest.mark.parametrize(("args", "line"), [
    (("--memory", "4000"), (
        "argument --memory: needs about 166 Mbytes of this computer's memory, which has 100 left; "
        "expected less")),
    (("--pages", "6000000", "--memory", "2"),
     "argument --pages: needs about 116 Mbytes of this computer's memory"),
    (("--accesses", "2000000"),
     "argument --accesses: needs about 152 Mbytes of this computer's memory"),
])
def test_what_this_computer_has_no_memory_for_is_not_begun(
        args, line, tmp_path, monkeypatch, capsys):
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:  9999999 kB\nMemAvailable:     102400 kB\nBuffers:  1 kB\n")
    monkeypatch.setattr(host_memory, "MEMINFO", meminfo)
    assert run("zipf", *args) == 2
    assert line in error_of(capsys)


@pytest.mark.parametrize("text", ["MemTotal: 1 kB\n", None])
def test_a_computer_that_does_not_tell_its_memory_is_trusted(text, tmp_path, monkeypatch):
    if text is not None:
        (tmp_path / "meminfo").write_text(text)
    monkeypatch.setattr(host_memory, "MEMINFO", tmp_path / "meminfo")
    assert run("zipf", "--accesses", "50") == 0


def test_a_computer_with_too_little_memory_is_told_in_one_line(monkeypatch, capsys):
    def too_much(*_):
        raise MemoryError

    monkeypatch.setattr(Kernel, "boot", too_much)
    assert run("thrash") == 2
    assert "expected less of --memory, --pages or --accesses" in error_of(capsys)


@pytest.mark.parametrize("mode", KERNEL_MODES)
@pytest.mark.parametrize("workload", WORKLOADS)
def test_the_smallest_of_every_workload_runs(workload, mode):
    assert run(workload, "--mode", mode, "--pages", "1", "--accesses", "1", "--thp", "always") == 0


@pytest.mark.slow
@pytest.mark.parametrize(("pages", "line"), [
    (340, "expected more --memory or --swap$"),
    (2000, "^pagewalk: error: argument --pages: memory for them cannot be promised: ENOMEM"),
])
def test_a_workload_for_which_memory_and_swap_do_not_suffice(pages, line, tmp_path, capsys):
    path = tmp_path / "swap"
    SwapFile.create(path, 100, uuid=UUID(int=1)).close()
    assert run("random", "--memory", "2", "--pages", str(pages), "--accesses", "20000",
               "--swap", str(path)) == 2
    assert re.search(line, error_of(capsys))
