import json
import lzma

import pytest

from pagewalk.model.x86 import IA32, AccessKind
from pagewalk.sim.boot.log import BootLog

from ..boot.log_maker import LogMaker, write_log

VADDR, PAGE = 0x5000, 0x7000


@pytest.fixture
def log():
    """A log of 41 translations."""
    maker = LogMaker()
    maker.map(VADDR, PAGE)
    for _ in range(20):
        maker.access(VADDR, PAGE, AccessKind.WRITE)
        maker.access(VADDR, PAGE, AccessKind.FETCH)
    maker.fault(0x8000, 4)
    return maker.log()


@pytest.fixture
def file(log, tmp_path):
    return write_log(tmp_path / "x.ltr.xz", log)


def test_a_boot_agrees(pagewalk, file, tmp_path):
    code, out, err = pagewalk("boot", file, "--engine", "model", "--json", tmp_path / "x.json")
    assert (code, err) == (0, "")
    assert [line.split() for line in out.splitlines()][:4] == [
        ["x86_64,", "model"], ["translations", "41"], ["mismatches", "0"],
        ["spurious", "faults", "0"]]
    figures = json.loads((tmp_path / "x.json").read_text())
    assert {name: figures[name] for name in (
        "engine", "mode", "total", "mismatches", "mismatches_by_kind", "spurious_faults", "cycles",
        "events")} == {
        "engine": "model", "mode": "x86_64", "total": 41, "mismatches": 0,
        "mismatches_by_kind": {}, "spurious_faults": 0, "cycles": 0, "events": {}}
    assert figures["translations_per_second"] == pytest.approx(41 / figures["seconds"], rel=0.5)
    assert figures["config"]["paddr_bits"] == 40


def test_the_hardware_tells_what_it_did(pagewalk, file, tmp_path):
    code, out, err = pagewalk("boot", file, "--engine", "amaranth", "--entries", 2, "--walk-cache",
                              1, "--limit", 30, "--json", tmp_path / "x.json")
    assert (code, err) == (0, "")
    rows = {" ".join(words): figure for *words, figure in map(str.split, out.splitlines()[1:])}
    assert (rows["translations"], rows["mismatches"]) == ("30", "0")
    assert (rows["TLB misses"], rows["A/D updates"]) == ("2", "4")
    figures = json.loads((tmp_path / "x.json").read_text())
    assert figures["cycles"] == int(rows["cycles"]) > 30
    assert figures["events"]["data_lookup"] == figures["events"]["fetch_lookup"] == 15
    assert figures["config"]["entries"] == 2


def test_a_mismatch_is_exit_1_and_is_shown_with_its_walk(pagewalk, log, tmp_path):
    pages = log["acc_ppn"].copy()
    pages[1] += 1
    wrong = write_log(tmp_path / "x.ltr.xz", BootLog(log.fields | {"acc_ppn": pages}))
    code, out, err = pagewalk("boot", wrong, "--engine", "model", "--json", tmp_path / "x.json")
    assert (code, err) == (1, "")
    assert out.startswith("Mismatch in record 11, field paddr: expected 0x8000, got 0x7000\n"
                          "The golden model walks:\n")
    assert "user fetch at linear address 0x0000000000005000" in out
    figures = json.loads((tmp_path / "x.json").read_text())
    assert (figures["mismatches"], figures["mismatches_by_kind"]) == (20, {"paddr": 20})


def test_an_entry_that_is_wrong_is_shown_by_its_place(pagewalk, tmp_path):
    """The recording has a flag that no access sets."""
    maker = LogMaker(IA32)
    maker.map(VADDR, PAGE)
    entry = maker.map(VADDR, PAGE)
    maker.special(5, PAGE | 0x27, ppn=entry >> 12, x=entry & 0xFFF)
    path = write_log(tmp_path / "x.ltr.xz", maker.log())
    code, out, _ = pagewalk("boot", path, "--engine", "model")
    assert code == 1
    assert out.startswith(f"Mismatch in the end of the log: the page tables at {entry:#x} should "
                          "hold 0x7027 afterwards, but hold 0x7007")


@pytest.mark.parametrize(("options", "message"), [
    (["--paddr-bits", 39],
     "argument --paddr-bits: 39 is not what FILE was recorded with; expected 40"),
    (["--entries", 3], "Entry count must be a power of two for policy 'plru', not 3"),
    (["--limit", 0], "argument --limit: expected a whole number from 1, not '0'"),
    (["--json", "FILE"], "argument --json: FILE is an input; expected another file"),
    (["--mode", "ia32"], "unrecognized arguments: --mode ia32"),
])
def test_bad_usage_is_refused(refused, file, options, message):
    options = [str(file) if option == "FILE" else option for option in options]
    assert message.replace("FILE", str(file)) in refused("boot", file, *options)


def test_the_width_of_the_recording_may_be_told(pagewalk, file):
    assert pagewalk("boot", file, "--engine", "model", "--paddr-bits", 40)[0] == 0


@pytest.mark.parametrize(("content", "message"), [
    (b"no xz", "is not an xz file; expected a recorded boot (.ltr.xz)"),
    (lzma.compress(b'{"format": "ltr2"}\n'), "format holds ltr2; expected ltr1"),
])
def test_another_file_is_refused(refused, tmp_path, content, message):
    (tmp_path / "x").write_bytes(content)
    assert refused("boot", tmp_path / "x") == f"{tmp_path / 'x'}: {message}"
    assert refused("boot", tmp_path / "y").startswith(f"{tmp_path / 'y'}: cannot be read: No such")
