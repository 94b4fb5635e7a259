"""The walk of the interactive page, in Chromium, against the golden walk on random page tables."""

from importlib.resources import files

import pytest
from numpy.random import default_rng

from pagewalk.model.mmu.flag_rules import FLAGS_ON_USE
from pagewalk.model.mmu.walk import walk
from pagewalk.model.x86 import MODES
from pagewalk.sim.html.machine_facts import machine_facts

from ...model.mmu.scalar import random_accesses, random_controls, random_memory, rows_of

CASES, ROUNDS = 450, 8  # of each paging mode

pytestmark = [pytest.mark.slow, pytest.mark.browser]

ASK = """
([machine, frames, cases]) => {
  const entries = new Map(frames.map(([paddr, entry]) => [BigInt(paddr), BigInt(entry)]));
  const there = new Set(frames.map(([paddr]) => BigInt(paddr) >> 12n));
  return cases.map(([registers, access]) => {
    for (const name in registers) registers[name] = BigInt(registers[name]);
    access.vaddr = BigInt(access.vaddr);
    const changed = new Map();
    const memory = {
      read: (paddr) => !there.has(paddr >> 12n) ? undefined
        : changed.get(paddr) ?? entries.get(paddr) ?? 0n,
      write: (paddr, entry) => { changed.set(paddr, entry); },
    };
    const found = translate(machine, registers, access, memory);
    return [found.vector ?? 0, found.errorCode ?? 0, String(found.paddr ?? 0),
            found.memoryType ?? 0, found.level?.name ?? null,
            found.steps.map((one) => [String(one.paddr), String(one.entry), String(one.updated)]),
            [...changed].map((one) => one.map(String)).sort()];
  });
}
"""


@pytest.fixture(scope="module")
def page(browser):
    """A page that has the script, without a network."""
    page = browser.new_context(offline=True).new_page()
    page.add_script_tag(content=(files("pagewalk.sim.html") / "translate.js").read_text())
    return page


def entries_of(memory, mode):
    """Return the address and value of every entry that is not 0, and of one of each frame."""
    pfns, rows = memory.index()
    words = memory.frames.view(f"<u{mode.entry_bytes}")
    for pfn, row in zip(pfns.tolist(), rows.tolist(), strict=True):
        for index, word in enumerate(words[row].tolist()):
            if word or not index:
                yield (pfn << 12) + index * mode.entry_bytes, word


def expected(memory, mode, control, access, paddr_bits):
    own = memory.copy()
    found = walk(own, mode, control, access, paddr_bits, FLAGS_ON_USE)
    changed = {step.paddr: step.updated for step in found.steps
               if own.read(step.paddr, mode.entry_bytes) != memory.read(
                   step.paddr, mode.entry_bytes)}
    fault = found.fault
    return [fault.vector if fault else 0, fault.error_code if fault else 0,
            str(0 if fault else found.paddr), 0 if fault else found.memory_type,
            None if fault or found.page is None else found.page.name,
            [[str(step.paddr), str(step.entry), str(step.updated)] for step in found.steps],
            sorted([str(paddr), str(own.read(paddr, mode.entry_bytes))] for paddr in changed)]


@pytest.mark.parametrize("name", MODES)
def test_the_script_walks_as_the_golden_model(name, page):
    mode, met = MODES[name], set()
    for seed in range(ROUNDS):
        rng = default_rng([seed, len(mode.levels)])
        paddr_bits = min(int(rng.integers(32, 53)), mode.max_paddr_bits)
        memory, cr3 = random_memory(rng, mode, paddr_bits)
        rows = [*rows_of(random_controls(rng, mode, cr3, CASES),
                         random_accesses(rng, mode, CASES))]
        cases = [[{register: str(getattr(control, register)) for register in control.__slots__},
                  {"vaddr": str(access.vaddr), "kind": access.kind.name.lower(),
                   "user": access.user, "implicit": access.implicit, "ac": access.ac,
                   "stack": access.stack}] for control, access in rows]
        frames = [[str(paddr), str(entry)] for paddr, entry in entries_of(memory, mode)]
        answers = page.evaluate(ASK, [machine_facts(mode, paddr_bits), frames, cases])
        for (control, access), answer in zip(rows, answers, strict=True):
            golden = expected(memory, mode, control, access, paddr_bits)
            assert answer == golden, f"seed {seed}: {access} under {control}"
            met.add((answer[0], answer[1] & 0x3F))
    assert len(met) > 12


def test_more_than_ten_thousand_cases_are_compared():
    assert CASES * ROUNDS * len(MODES) >= 10_000
