"""The entry decoder against the golden walk, which is shown one entry at a level of a path."""

from itertools import product

import pytest
from numpy.random import default_rng

from pagewalk.hdl.config import Config
from pagewalk.hdl.entry_decoder import EntryDecoder
from pagewalk.model.mmu.walk import Access, Control, walk
from pagewalk.model.physical.memory import BusError
from pagewalk.model.x86 import IA32, X86_64, Cr0, Cr4, Efer, Entry, ErrorCode, Leaf, Vector

from .bench import evaluate
from .tables import PERMISSIVE, bits, random_entry

OUTPUTS = ("present", "reserved", "leaf", "table", "frame", "page", "rights", "accessed", "dirty",
           "global_page", "memory_type")
WITHOUT_1G = X86_64.without_1g_pages()
CONFIGS = {f"{name}-{width}": Config(mode=mode, paddr_bits=width)
           for name, mode in (("x86_64", X86_64), ("without_1g", WITHOUT_1G), ("ia32", IA32))
           for width in (32, 36, 40, 52)}


@pytest.fixture(params=CONFIGS.values(), ids=CONFIGS)
def config(request):
    return request.param


class OnePath:
    """Memory in which any walk reads these entries in turn, and then finds no memory at all.

    ``address`` is what was read last, or was to be read.
    """

    def __init__(self, entries):
        self.entries = list(entries)

    def read(self, paddr, _size):
        self.address = paddr
        if not self.entries:
            raise BusError(paddr)
        return self.entries.pop(0)

    def compare_exchange(self, _paddr, _size, expected, _desired):
        return expected


def ref_decode(config, case):
    """Return what a supervisor read through the entry tells about it, and its plain bits."""
    level, entry, pse, nxe = case
    control = Control(0, Cr0.PG, Cr4.PAE | pse * Cr4.PSE, nxe * Efer.NXE)
    above = [PERMISSIVE] * config.mode.levels.index(level)
    memory = OnePath([*above, entry])
    walked = walk(memory, config.mode, control, Access(0), config.paddr_bits)
    decoded = plain_bits(entry)
    if walked.fault and walked.fault.vector is Vector.MC:
        return decoded | {"reserved": 0, "leaf": 0, "table": memory.address >> 12}
    if walked.fault:
        return decoded | {"reserved": int(bool(walked.fault.error_code & ErrorCode.RSVD))}
    return decoded | {
        "reserved": 0, "leaf": 1, "frame": walked.paddr >> 12,
        "page": config.mode.pages.index(walked.page), "memory_type": walked.memory_type}


def plain_bits(entry):
    return {
        "present": entry & 1,
        "rights": {"writable": entry >> 1 & 1, "user": entry >> 2 & 1,
                   "execute_disable": entry >> 63 & 1, "key": entry >> 59 & 0xF},
        "accessed": entry >> 5 & 1, "dirty": entry >> 6 & 1, "global_page": entry >> 8 & 1,
    }


def rtl_decode(config, cases):
    stimuli = [{"entry": entry, "level": config.mode.levels.index(level), "pse": pse, "nxe": nxe}
               for level, entry, pse, nxe in cases]
    return evaluate(EntryDecoder(config), stimuli, OUTPUTS)


def assert_all_agree(config, cases):
    """Compare all that the golden walk can tell; ``reserved`` counts only in present entries."""
    for case, decoded in zip(cases, rtl_decode(config, cases), strict=True):
        expected = ref_decode(config, case)
        if not expected["present"]:
            assert decoded["present"] == 0
            continue
        level, entry, pse, nxe = case
        assert {name: decoded[name] for name in expected} == expected, (
            f"{level.name} {entry:#x}, PSE={pse}, NXE={nxe}")


def modes_of_control(config):
    """Return each pair of PSE and NXE that matters."""
    return [(1, 0), (1, 1)] if config.mode.has_execute_disable else [(0, 0), (1, 0)]


@pytest.mark.slow
def test_each_bit_of_each_entry_means_what_the_golden_walk_says(config):
    cases = []
    width = 8 * config.mode.entry_bytes
    for level, (pse, nxe) in product(config.mode.levels, modes_of_control(config)):
        for base in (0, Entry.P, PERMISSIVE, PERMISSIVE | Entry.PS):
            cases.append((level, base, pse, nxe))
            cases += [(level, base ^ 1 << bit, pse, nxe) for bit in range(width)]
    assert_all_agree(config, cases)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_random_entries_mean_what_the_golden_walk_says(config, seed):
    rng = default_rng(seed)
    cases = []
    for _ in range(400):
        level = config.mode.levels[int(rng.integers(len(config.mode.levels)))]
        pse, nxe = (int(bit) for bit in rng.integers(2, size=2))
        table = bits(rng, config.root_bits) << 12
        target = table if level.leaf is Leaf.NEVER or rng.random() < 0.5 else None
        entry = random_entry(rng, config.mode, level, config.physical_bits, target)
        cases.append((level, entry, pse, nxe))
    assert_all_agree(config, cases)


# Bits that are reserved in a leaf of each kind, by MAXPHYADDR, written out from SDM 4.3 and 4.5.
RESERVED = {
    (X86_64, "PDPTE", 40): [*range(13, 30), *range(40, 52)],
    (WITHOUT_1G, "PDPTE", 40): [7, *range(40, 52)],
    (X86_64, "PDE", 36): [*range(13, 21), *range(36, 52)],
    (X86_64, "PDE", 52): [*range(13, 21)],
    (X86_64, "PTE", 32): [*range(32, 52)],
    (X86_64, "PTE", 52): [],
    (X86_64, "PML4E", 40): [7, *range(40, 52)],
    (IA32, "PDE", 32): [*range(13, 22)],
    (IA32, "PDE", 36): [*range(17, 22)],
    (IA32, "PDE", 40): [21],
    (IA32, "PDE", 52): [21],
    (IA32, "PTE", 40): [],
}


@pytest.mark.parametrize(("mode", "name", "paddr_bits"), RESERVED)
@pytest.mark.parametrize("nxe", [0, 1])
def test_reserved_bits_are_those_of_the_manual(mode, name, paddr_bits, nxe):
    level = next(level for level in mode.levels if level.name == name)
    base = Entry.P | (Entry.PS if level.leaf is Leaf.IF_PS else 0)
    config = Config(mode=mode, paddr_bits=paddr_bits)
    expected = set(RESERVED[mode, name, paddr_bits])
    if mode is not IA32 and not nxe:
        expected.add(63)
    cases = [(level, base | 1 << bit, 1, nxe) for bit in range(8 * mode.entry_bytes)]
    decoded = rtl_decode(config, cases)
    assert {bit for bit, one in enumerate(decoded) if one["reserved"]} == expected


def test_a_32_bit_pde_points_to_a_table_whatever_its_ps_without_pse():
    pde = IA32.levels[0]
    entry = 0xFFFF_F000 | PERMISSIVE | Entry.PS
    without, with_pse = rtl_decode(Config(mode=IA32), [(pde, entry, 0, 0), (pde, entry, 1, 0)])
    assert (without["leaf"], without["reserved"], without["table"]) == (0, 0, 0xFFFFF)
    assert (with_pse["leaf"], with_pse["reserved"]) == (1, 1)


def test_address_bits_39_to_32_of_a_4m_page_stand_in_bits_20_to_13():
    pde = IA32.levels[0]
    entry = 0x1040_0000 | 0xA5 << 13 | PERMISSIVE | Entry.PS
    decoded, = rtl_decode(Config(mode=IA32), [(pde, entry, 1, 0)])
    assert decoded["frame"] << 12 == 0xA5_1040_0000


@pytest.mark.parametrize("level", X86_64.levels[1:], ids=lambda level: level.name)
def test_pat_is_bit_12_of_a_large_page_and_bit_7_of_a_pte_and_never_an_address(level):
    large = level.leaf is Leaf.IF_PS
    pat = Entry.PAT_LARGE if large else Entry.PAT
    entry = PERMISSIVE | (Entry.PS if large else 0) | pat
    decoded, = rtl_decode(Config(), [(level, entry, 1, 1)])
    assert (decoded["memory_type"], decoded["frame"], decoded["reserved"]) == (4, 0, 0)
