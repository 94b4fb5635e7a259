import numpy as np
import pytest

from pagewalk.model.x86 import Vector
from pagewalk.sim.boot.answer_checks import (
    EXPECTED,
    differ,
    may_be_spurious,
    packed_fault,
    wrong_fields,
)
from pagewalk.sim.engine.answer import ANSWER


def answer(**fields):
    """Return an answer (1,) with these fields, the others zero."""
    answers = np.zeros(1, ANSWER)
    for name, value in fields.items():
        answers[name] = value
    return answers


def expected(paddr=0, vaddr=0, **fault):
    """Return what is expected (1,)."""
    wanted = np.zeros(1, EXPECTED)
    wanted["paddr"], wanted["vaddr"] = paddr, vaddr
    wanted["fault"] = packed_fault(**fault) if fault else 0
    return wanted


FAULT = {"fault": 1, "vector": Vector.PF, "error": 7, "vaddr": 0x5123}


@pytest.mark.parametrize(("wanted", "got", "kinds"), [
    ({"paddr": 0x7000}, {"paddr": 0x7000, "page": 1, "memory_type": 3, "accepted": 5}, {}),
    ({"paddr": 0x7000}, {"paddr": 0x8000}, {"paddr": (0x7000, 0x8000)}),
    ({"paddr": 0x7000}, {"paddr": 0x7008}, {"paddr": (0x7000, 0x7008)}),
    ({"paddr": 0x7000}, FAULT, {"fault": (0, 1)}),
    (FAULT, FAULT, {}),
    (FAULT, {"paddr": 0x7000}, {"fault": (1, 0)}),
    (FAULT, FAULT | {"vector": Vector.GP}, {"vector": (14, 13)}),
    (FAULT, FAULT | {"error": 6}, {"error": (7, 6)}),
    (FAULT, FAULT | {"error": 0x107}, {"error": (7, 0x107)}),
    (FAULT, FAULT | {"vaddr": 0x5000}, {"cr2": (0x5123, 0x5000)}),
    (FAULT, {"fault": 1}, {"vector": (14, 0), "error": (7, 0), "cr2": (0x5123, 0)}),
    ({}, {}, {}),
    ({}, {"value": 5}, {}),  # the entry that a store replaced
    ({}, {"fault": 1, "vector": Vector.MC}, {"fault": (0, 1)}),
])
def test_an_answer_differs_in_the_fields_that_are_wrong(wanted, got, kinds):
    answers, wants = answer(**got), expected(**wanted)
    assert differ(answers, wants).tolist() == [bool(kinds)]
    if kinds:
        assert wrong_fields(answers[0], wants[0]) == kinds


@pytest.mark.parametrize(("got", "spurious"), [
    (FAULT, True),
    (FAULT | {"error": 6}, False),
    (FAULT | {"vector": Vector.GP}, False),
    ({"paddr": 0x7000}, False),
])
def test_only_a_page_fault_of_a_present_entry_may_be_spurious(got, spurious):
    assert may_be_spurious(answer(**got)[0]) is spurious
