"""``pagewalk walk``: pictures, figures, changes, and what is refused."""

import json
import re
from pathlib import Path

import pytest

from pagewalk.model.mmu.walk import Access, walk
from pagewalk.model.x86 import X86_64, AccessKind
from pagewalk.sim.cli.main import main
from pagewalk.sim.image import Image

ROOT = Path(__file__).parents[3]
TABLES = ROOT / "examples" / "tables"
I686 = ROOT / "tests" / "data" / "dumps" / "i686.kdump.xz"
IMAGE = Image.shipped_path(X86_64)


@pytest.fixture
def run(capsys):
    """Run ``pagewalk walk`` and return its exit code, output and errors."""
    def call(*words):
        code = main(["walk", *map(str, words)])
        streams = capsys.readouterr()
        return code, streams.out, streams.err

    return call


def test_the_text_of_a_walk_on_toy_tables(run):
    code, out, _ = run("0x21004", "--toy", TABLES / "toy_5_5.toml")
    assert (code, out) == (0, """\
supervisor read at linear address 0x21004   (toy paging)

    21 17   16 12   11         0
  ┌───────┬───────┬──────────────┐
  │ 00001 │ 00001 │ 000000000100 │
  │ PDE 1 │ PTE 1 │  offset 0x4  │
  └───────┴───────┴──────────────┘

  CR3 0x1000
   │
   ▼  table of PDEs at 0x1000
  PDE      1  at 0x1004  0x00003005  P ·  US ·   ·   · · ·  ·   ·
   │  sets A: now 0x00003025
   │
   ▼  table of PTEs at 0x3000
  PTE      1  at 0x3004  0x00005067  P RW US ·   ·   A D ·  ·   ·
   │
   ▼  4K page at 0x5000, offset 0x4; user, read-only, executable
  physical address 0x5004   memory type: PAT entry 0

TLB: may keep the 4K page 0x21000 -> 0x5000, ur-x, dirty, PCID 0, PAT entry 0
paging-structure cache: may keep PDE of 0x20000-0x3ffff -> table at 0x3000, ur-x
""")


def test_a_fault_is_explained_bit_by_bit(run):
    _, out, _ = run("0x1000", "--toy", TABLES / "protection_keys.toml", "--user", "--write")
    assert out.endswith("""\
error code 0x27:
  P    = 1  every entry was present: a right or a reserved bit was against it
  W/R  = 1  the access was a write
  U/S  = 1  the access was one of user mode (CPL 3)
  RSVD = 0  no entry had a reserved bit set
  I/D  = 0  the access was no instruction fetch
  PK   = 1  the protection key of the page, in PKRU, stood against the access
TLB: keeps nothing of a walk that faults
""")
    _, out, _ = run("0x1000", "--toy", TABLES / "protection_keys.toml", "--user", "--write",
                    "--pkru", "0", "--json", "-")
    assert json.loads(out)["paddr"] == 0x11000


def test_a_change_is_shown_before_and_after(run):
    words = ("0x401000", "--toy", TABLES / "four_levels.toml", "--user", "--fetch",
             "--set", "pte=-XD")
    code, out, _ = run(*words)
    before, after = out.split("\nafter PTE=-XD:\n")
    assert code == 0
    assert before.startswith("before:\n\nuser fetch at ")
    assert "#PF error code 0x15" in before
    assert "physical address 0x51000" in after
    _, out, _ = run(*words, "--json", "-")
    figures = json.loads(out)
    assert (figures["fault"], figures["error_code"], figures["paddr"]) == ("PF", 0x15, None)
    assert (figures["after"]["fault"], figures["after"]["paddr"]) == (None, 0x51000)
    # What the first walk set is not there in the second.
    assert figures["after"]["levels"][0]["entry"] == figures["levels"][0]["entry"]


def test_a_change_may_lead_to_the_next(run):
    _, out, _ = run("0xffff800000000000", "--image", IMAGE, "--set", "PML4E=0x1067", "--json", "-")
    assert json.loads(out)["after"]["fault"] == "MC"  # there is no memory
    _, out, _ = run("0x600000", "--toy", TABLES / "four_levels.toml", "--set", "PDE=-PS,frame=4",
                    "--set", "PTE=frame=0x99", "--json", "-")
    assert json.loads(out)["after"]["paddr"] == 0x99000


def test_probes_of_an_image_are_those_of_the_golden_walk(run):
    view = Image.shipped(X86_64).views[0]
    for va in view.probes.va[::150].tolist():
        golden = walk(view.memory(), X86_64, view.control, Access(va, AccessKind.WRITE, user=True),
                      52)
        _, out, _ = run(hex(va), "--image", IMAGE, "--view", view.name, "--user", "--write",
                        "--json", "-")
        figures = json.loads(out)
        fault = golden.fault
        assert figures["paddr"] == (golden.paddr if fault is None else None)
        assert figures["error_code"] == (fault.error_code if fault else None)
        assert figures["fault"] == (fault.vector.name if fault else None)
        assert [one["entry"] for one in figures["levels"]] == [one.entry for one in golden.steps]


def test_a_dump_is_walked_with_its_registers(run):
    _, out, _ = run("0xc1d28123", "--dump", I686, "--json", "-")
    assert json.loads(out)["paddr"] == 0x1D28123
    _, out, _ = run("0xc1d28123", "--dump", I686, "--cr3", "0x1d28000", "--mode", "ia32",
                    "--json", "-")
    assert json.loads(out)["paddr"] == 0x1D28123


def test_paging_may_be_off(run):
    code, out, _ = run("0x1234", "--toy", TABLES / "two_levels.toml", "--cr0", "0")
    assert code == 0
    assert out.endswith("TLB: keeps nothing without paging\n")


REFUSED = [
    (["0x1000"], r"one of the arguments --image/--dump --toy is required"),
    (["zz", "--toy", TABLES / "two_levels.toml"], r"argument ADDRESS: expected a number of 64 .*"),
    (["0x100000000", "--toy", TABLES / "two_levels.toml"],
     r"argument ADDRESS: 0x100000000 is no address of ia32 paging; expected at most 32 bits"),
    (["0x400000", "--toy", TABLES / "toy_5_5.toml"], r"argument ADDRESS: .* at most 22 bits"),
    (["0", "--toy", TABLES / "two_levels.toml", "--view", "x"], r"argument --view: is not for .*"),
    (["0", "--toy", TABLES / "two_levels.toml", "--mode", "la57"], r"argument --mode: is not .*"),
    (["0", "--toy", TABLES / "two_levels.toml", "--set", "PTE"],
     r"argument --set: expected ENTRY=FLAGS, such as PTE=-P, not 'PTE'"),
    (["0", "--toy", TABLES / "two_levels.toml", "--set", "PML4E=P"],
     r"argument --set: the walk comes to no PML4E; expected one of PDE, PTE"),
    (["0", "--toy", TABLES / "two_levels.toml", "--set", "PTE=QQ"],
     r"argument --set: PTE: unknown flag 'QQ'; expected .*"),
    (["0", "--toy", "no-such-file"], r"no-such-file: cannot be read: .*; expected toy tables .*"),
    (["0", "--image", "no-such-file"], r"no-such-file: cannot be read: .*"),
    (["0", "--image", IMAGE, "--view", "nobody"], r".*view_name has no 'nobody'; expected .*"),
    (["0", "--image", IMAGE, "--write", "--fetch"], r"argument --fetch: not allowed with .*"),
    (["0", "--image", IMAGE, "--paddr-bits", "99"], r"argument --paddr-bits: expected .*"),
]


@pytest.mark.parametrize(("words", "what"), REFUSED, ids=lambda value: str(value)[-40:])
def test_what_is_refused_is_one_line(words, what, run):
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert re.fullmatch(rf"pagewalk: error: {what}", err.removesuffix("\n")), err
