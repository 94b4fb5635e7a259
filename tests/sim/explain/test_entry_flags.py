"""Entries by their flags: names, changes, and what is no flag."""

import pytest

from pagewalk.model.x86 import IA32, LA57, X86_64, Entry
from pagewalk.sim.explain.entry_flags import BadFlags, flag_names, flag_value, parsed_change

PML4E, PDPTE, PDE, PTE = X86_64.levels
ONES = (1 << 64) - 1


@pytest.mark.parametrize(("text", "before", "after"), [
    ("RW", 0x1001, 0x1003), ("+RW", 0x1001, 0x1003), ("-P", 0x1067, 0x1066),
    ("-P,+XD", 0x1067, 0x1066 | Entry.XD), ("P, RW ,US", 0, 7), ("-RW", 0x1001, 0x1001),
    ("frame=0x12", 0x5067, 0x12067), ("frame=18,-US", 0x5067, 0x12063),
    ("0x1067", ONES, 0x1067), ("0", ONES, 0), ("key=9", 0x1067, 9 << 59 | 0x1067),
    ("PAT", 0, 0x80),
])
def test_changes_of_a_pte(text, before, after):
    assert parsed_change(X86_64, PTE, text, before).apply(before) == after


def test_pat_of_a_large_page_is_elsewhere():
    assert parsed_change(X86_64, PDE, "PAT", 0x200081).apply(0x200081) == 0x201081
    assert parsed_change(X86_64, PDE, "PS,PAT", 1).apply(1) == 0x1081


@pytest.mark.parametrize(("mode", "level", "text", "what"), [
    (X86_64, PTE, "PS", r"unknown flag 'PS'; expected P, RW, US, PWT, PCD, A, D, PAT, G, XD"),
    (X86_64, PTE, "p", r"unknown flag 'p'; .*"),
    (X86_64, PTE, "-", r"unknown flag '-'; .*"),
    (X86_64, PTE, "RW,,P", r"unknown flag ''; .*"),
    (IA32, IA32.levels[1], "XD", r"unknown flag 'XD'; .*"),
    (IA32, IA32.levels[1], "key=1", r"unknown field 'key'; expected frame"),
    (X86_64, PTE, "pfn=1", r"unknown field 'pfn'; expected frame or key"),
    (X86_64, PTE, "RW,-RW", r"-RW twice; expected each flag once"),
    (X86_64, PTE, "frame=-1", r"'-1' is no number of 40 bits; .*"),
    (X86_64, PTE, "frame=0x10000000000", r"'0x10000000000' is no number of 40 bits; .*"),
    (X86_64, PTE, "0x10000000000000000", r"'0x10000000000000000' is no number of 64 bits; .*"),
    (X86_64, PTE, "12monkeys", r"'12monkeys' is no number of 64 bits; .*"),
    (IA32, IA32.levels[0], "frame=0x100000", r"'0x100000' is no number of 20 bits; .*"),
])
def test_what_is_no_change(mode, level, text, what):
    with pytest.raises(BadFlags, match=rf"^{what}$"):
        parsed_change(mode, level, text, 0)


def test_names_are_those_that_mean_something():
    every = ONES
    assert flag_names(X86_64, PTE, every, leaf=True) == [
        "P", "RW", "US", "PWT", "PCD", "A", "D", "PAT", "G", "XD"]
    assert flag_names(X86_64, PDE, every, leaf=True)[7:] == ["PS", "PAT", "G", "XD"]
    assert flag_names(LA57, PML4E, every, leaf=False) == [
        "P", "RW", "US", "PWT", "PCD", "A", "PS", "XD"]
    assert flag_names(IA32, IA32.levels[0], 1 << 12 | 0x81, leaf=True) == ["P", "PS", "PAT"]


def test_names_and_values_agree():
    for level in (PDE, PTE):
        for name in flag_names(X86_64, level, ONES, leaf=True):
            bit = flag_value(X86_64, level, name, large=level is PDE)
            assert flag_names(X86_64, level, bit, leaf=True) == [name]
    assert flag_value(X86_64, PDPTE, "PS") == Entry.PS
