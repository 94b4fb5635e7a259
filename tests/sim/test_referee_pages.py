"""Accesses that cross into a second page before the referee: each page is judged by itself."""

import numpy as np
import pytest

from pagewalk.hdl.config import Config
from pagewalk.model.mmu.control import Access, Control
from pagewalk.model.mmu.tlb_outcome import NOTHING, Explanation, Outcome
from pagewalk.model.x86 import IA32, X86_64, Purpose, Vector
from pagewalk.sim.engine.amaranth import AmaranthEngine
from pagewalk.sim.engine.answer import SECOND
from pagewalk.sim.referee_pages import (
    TRANSLATED,
    IllegalAnswer,
    explanations_of,
    pages_of,
    permitted_of,
    told_of,
)

from .attack import CONFIGS, attack
from .test_referee_asks import TINY, by_the_model, row_of

CONTROL = Control(0x1000)
SIZED = Config(mode=X86_64, access_bytes=64, **TINY)
FIRST, SECOND_PAGE = 0x1FFC, 0x2000
PAGE = X86_64.pages[0]
FAULT = Outcome(vector=Vector.PF, error_code=4)


def explained(*outcomes):
    return [Explanation(outcome, ()) for outcome in outcomes]


def answer(**fields):
    names = ("paddr", "page", "memory_type", "fault", "vector", "error", "vaddr",
             *SECOND.values())
    return {**dict.fromkeys(names, 0), **fields}


def told(size=8, purpose=Purpose.ACCESS, **fields):
    access = Access(FIRST, size=size, purpose=purpose)
    return told_of(Config(), CONTROL, pages_of(X86_64, CONTROL, access), answer(**fields))


@pytest.mark.parametrize(("access", "vaddrs"), [
    (Access(FIRST), [FIRST]), (Access(FIRST, size=4), [FIRST]),
    (Access(FIRST, size=5), [FIRST, SECOND_PAGE]),
    (Access(0x7FFF_FFFF_FFFF, size=2), [0x8000_0000_0000]),
    (Access((1 << 64) - 1, size=2), [(1 << 64) - 1, 0]),
], ids=["one byte", "to the end", "beyond", "not canonical", "around"])
def test_the_pages_of_an_access(access, vaddrs):
    pages = pages_of(X86_64, CONTROL, access)
    assert [page.vaddr for page in pages] == vaddrs
    assert all(page.size == 1 for page in pages)


def test_without_paging_addresses_end_at_32_bits():
    pages = pages_of(IA32, Control(0, cr0=0), Access(0xFFFF_FFFF, size=2))
    assert [page.vaddr for page in pages] == [0xFFFF_FFFF, 0]


def test_what_is_told_of_two_pages():
    assert told(paddr=0x5FFC, second_paddr=0x9000, second_memory_type=3) == (
        Outcome(0x5FFC, PAGE), Outcome(0x9000, PAGE, 3))
    assert told(size=4, paddr=0x5FFC) == (Outcome(0x5FFC, PAGE),)
    fault = {"fault": 1, "vector": Vector.PF, "error": 4}
    assert told(**fault, vaddr=FIRST) == (FAULT,)
    assert told(**fault, vaddr=SECOND_PAGE) == (TRANSLATED, FAULT)
    assert told(fault=1, purpose=Purpose.PROBE) == (NOTHING,)
    with pytest.raises(IllegalAnswer, match=r"^A fault at 0x2004 .* expected it at 0x1ffc or"):
        told(**fault, vaddr=SECOND_PAGE + 4)


def test_what_may_be_told_of_two_pages():
    one, other = Outcome(0x5FFC, PAGE), Outcome(0x9000, PAGE)
    found = [explained(one, FAULT), explained(other, FAULT, other)]
    assert permitted_of(found) == {(FAULT,), (one, other), (TRANSLATED, FAULT)}
    assert permitted_of(found[:1]) == {(one,), (FAULT,)}
    assert permitted_of([explained(one, NOTHING), explained(NOTHING)]) == {(NOTHING,)}


def test_explanations_are_those_of_what_was_told():
    one, other = Outcome(0x5FFC, PAGE), Outcome(0x6FFC, PAGE)
    first, second = explained(one, other, FAULT), explained(FAULT, one)
    assert explanations_of((one, one), [first, second]) == [first[:1], second[1:]]
    assert explanations_of((TRANSLATED, FAULT), [first, second]) == [first[:2], second[:1]]
    assert explanations_of((FAULT,), [first, second]) == [first[2:]]
    nothing = explained(one, NOTHING)
    assert explanations_of((NOTHING,), [first, nothing]) == [nothing[1:]]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["x86_64-sizes-tiny", "ia32-sizes-tiny"])
def test_what_the_simulator_does_is_permitted(name):
    found, _, _ = attack(CONFIGS[name], 3, 1500, length=400, make_engine=AmaranthEngine)
    print(found)
    assert found.accesses > 150


@pytest.mark.slow
@pytest.mark.parametrize("field", SECOND.values())
def test_a_wrong_word_of_the_second_page_is_caught(field):
    referee, commands, answers = by_the_model(SIZED, 6)
    row = row_of(answers["second_paddr"] != 0)
    answers[field][row] ^= 1
    with pytest.raises(IllegalAnswer, match="was answered"):
        referee.judge(commands, answers)


@pytest.mark.slow
def test_the_fault_of_another_page_is_caught():
    referee, commands, answers = by_the_model(SIZED, 6)
    crossed = (commands["size"] > 1) & (answers["vaddr"] != commands["vaddr"])
    row = row_of(crossed & (answers["vector"] == Vector.PF))
    answers["vaddr"][row] = commands["vaddr"][row]
    with pytest.raises(IllegalAnswer, match="was answered"):
        referee.judge(commands, answers)


@pytest.mark.slow
def test_what_the_model_answers_is_permitted():
    referee, commands, answers = by_the_model(SIZED, 7)
    referee.judge(commands, answers)
    assert np.count_nonzero(answers["second_paddr"]) > 20
    assert referee.findings.stale == 0
