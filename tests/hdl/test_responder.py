"""The responder against the golden walk: each way to an answer, and what it looks at for each."""

import pytest
from numpy.random import default_rng

from pagewalk.hdl.config import Config
from pagewalk.hdl.responder import Responder
from pagewalk.model.mmu.walk import Access, Control, walk
from pagewalk.model.x86 import IA32, X86_64, AccessKind, Cr0, ErrorCode, Vector

from .bench import evaluate
from .golden import access_fields, control_fields, response_fields, translation_fields
from .tables import bits, random_access, random_control, random_tables, random_vaddr
from .walker_bench import expected_result

MODES = pytest.mark.parametrize("mode", [X86_64, IA32], ids=lambda mode: mode.name)
OFF, ON = Control(0, cr0=0), Control(0, cr0=Cr0.PG)
OPEN = {"writable": 1, "user": 1, "execute_disable": 0, "key": 0}
PAGE = {"frame": 0x45678, "page": 0, "rights": OPEN, "memory_type": 5, "dirty": 1}
TAG = 9


def stimulus(config, access, control, **translation):
    return {"access": access_fields(access, TAG), "control": control_fields(config, control),
            "translated": 1, "found": {}, "denied": 0, "key_denied": 0, "walked": 0,
            "walk": {}} | translation


def rtl_responses(config, stimuli):
    return evaluate(Responder(config), stimuli, ("response",))


def answer(access, control, mode=X86_64, **translation):
    config = Config(mode=mode)
    return rtl_responses(config, [stimulus(config, access, control, **translation)])[0]


def walks(rng, mode, paddr_bits):
    """Yield random accesses that end in a page or in a page fault, and their golden walks."""
    tables = random_tables(rng, mode, paddr_bits)
    for _ in range(100):
        access = random_access(rng, random_vaddr(rng, mode))
        control = random_control(rng, mode, tables.cr3)
        golden = walk(tables.memory.copy(), mode, control, access, paddr_bits)
        if not golden.fault or golden.fault.vector is Vector.PF:
            yield access, control, golden


@MODES
@pytest.mark.parametrize("paddr_bits", [32, 52])
@pytest.mark.parametrize("seed", range(2))
def test_a_walk_is_answered_with_its_page_or_its_fault_whatever_the_tlb_holds(
        mode, paddr_bits, seed):
    rng = default_rng(seed)
    config = Config(mode=mode, paddr_bits=paddr_bits)
    cases = [*walks(rng, mode, paddr_bits)]
    stimuli = [stimulus(config, access, control, walked=1,
                        walk=expected_result(config, golden, control),
                        found=PAGE | {"frame": bits(rng, 20)})
               for access, control, golden in cases]
    assert any(golden.fault for *_, golden in cases)
    for case, found in zip(cases, rtl_responses(config, stimuli), strict=True):
        expected = response_fields(config, case[2], TAG)
        assert found == {"response": expected}, case


@MODES
@pytest.mark.parametrize("seed", range(2))
def test_a_page_that_the_tlb_holds_is_answered_as_the_golden_walk_would(mode, seed):
    """Each page is then asked for by other accesses under other registers than the one walked."""
    rng = default_rng(seed)
    config = Config(mode=mode)
    tables = random_tables(rng, mode)
    stimuli, expected = [], []
    while len(stimuli) < 100:
        access = random_access(rng, random_vaddr(rng, mode))
        control = random_control(rng, mode, tables.cr3)
        filled = walk(tables.memory, mode, control, access)
        if filled.fault:
            continue
        again = random_access(rng, access.vaddr)
        lasting = random_control(rng, mode, tables.cr3, lasting=control)
        golden = walk(tables.memory.copy(), mode, lasting, again)
        found = translation_fields(config, filled, control)
        if found["rights"]["execute_disable"] and not control_fields(config, lasting)["nxe"]:
            continue  # XD is reserved then, so the port walks again
        code = golden.fault.error_code if golden.fault else 0
        stimuli.append(stimulus(config, again, lasting, found=found, denied=bool(golden.fault),
                                key_denied=bool(code & ErrorCode.PK)))
        expected.append(response_fields(config, golden, TAG))
    assert {response["fault"] for response in expected} == {0, 1}
    assert [result["response"] for result in rtl_responses(config, stimuli)] == expected


@MODES
@pytest.mark.parametrize("vaddr", [0, 0xFFFF_FFFF])
def test_without_paging_the_address_is_its_own_answer_whatever_the_tlb_holds(mode, vaddr):
    found = answer(Access(vaddr, AccessKind.WRITE, user=True), OFF, mode,
                   found=PAGE, denied=1, translated=0)
    assert found == {"response": {
        "tag": TAG, "paddr": vaddr, "page": 0, "memory_type": 0, "fault": 0, "vector": 0,
        "error_code": 0, "vaddr": 0}}


def test_without_paging_an_address_has_32_bits_even_if_it_is_not_canonical():
    found = answer(Access(1 << 47 | 0x55_8000_0123), OFF, translated=0)
    assert found["response"]["fault"] == 0
    assert found["response"]["paddr"] == 0x8000_0123


@pytest.mark.parametrize(("stack", "vector"), [(False, Vector.GP), (True, Vector.SS)])
def test_an_address_that_is_not_canonical_is_a_fault_of_its_segment(stack, vector):
    vaddr = 0xFFFF_7FFF_FFFF_FFFF
    found = answer(Access(vaddr, stack=stack), ON, found=PAGE, translated=0)
    assert found == {"response": {
        "tag": TAG, "paddr": 0, "page": 0, "memory_type": 0, "fault": 1, "vector": vector,
        "error_code": 0, "vaddr": vaddr}}


def test_a_right_that_the_found_page_lacks_is_a_page_fault_of_a_page_that_is_present():
    access = Access(0x1234, AccessKind.WRITE, user=True)
    found = answer(access, ON, found=PAGE, denied=1)["response"]
    assert (found["fault"], found["vector"], found["vaddr"]) == (1, Vector.PF, 0x1234)
    assert found["error_code"] == ErrorCode.P | ErrorCode.WR | ErrorCode.US


def test_a_bus_error_of_the_walk_is_answered_as_a_machine_check():
    failed = {"fault": 1, "vector": Vector.MC, "error_code": 0, "translation": PAGE}
    found = answer(Access(0x1234), ON, walked=1, walk=failed)["response"]
    assert found == {"tag": TAG, "paddr": 0, "page": 0, "memory_type": 0, "fault": 1,
                     "vector": Vector.MC, "error_code": 0, "vaddr": 0x1234}
