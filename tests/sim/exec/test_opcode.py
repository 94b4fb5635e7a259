"""Instructions that read a segment descriptor, or write what they read, by their bytes."""

import pytest

from pagewalk.sim.exec.opcode import loads_segment, updates_memory

# Bytes, and whether they are such an instruction in 32 and in 64 bits.
CASES = [
    ("8ee8", True, True),  # mov gs, ax
    ("668e18", True, True),  # mov ds, [eax]
    ("8ce8", False, False),  # mov ax, gs
    ("07", True, False),  # pop es
    ("0fa9", True, True),  # pop gs
    ("0fa8", False, False),  # push gs
    ("c500", True, False),  # lds; VEX in 64 bits
    ("0fb201", True, True),  # lss
    ("0fb601", False, False),  # movzx
    ("ff28", True, True),  # far jmp
    ("ff20", False, False),  # jmp
    ("cf", True, True),  # iret
    ("48cf", False, True),  # iretq; dec eax in 32 bits
    ("658b00", False, False),  # mov eax, gs:[eax]
    ("0f02c1", True, True),  # lar
    ("", False, False),
    ("66", False, False),
    ("ff", False, False),
]


@pytest.mark.parametrize(("code", "in_32", "in_64"), CASES)
def test_what_loads_a_segment(code, in_32, in_64):
    assert loads_segment(bytes.fromhex(code), False) == in_32
    assert loads_segment(bytes.fromhex(code), True) == in_64


@pytest.mark.parametrize(("code", "updates"), [
    ("0107", True),  # add [edi], eax
    ("0307", False),  # add eax, [edi]
    ("01c7", False),  # add edi, eax
    ("3907", False),  # cmp [edi], eax
    ("830701", True), ("833f01", False),  # add and cmp [edi], 1
    ("0fc107", True), ("f0660fb117", True),  # xadd; lock cmpxchg
    ("0fab17", True), ("0fa317", False), ("0fba2f03", True), ("0fba2703", False),  # bts, bt
    ("8707", True), ("d127", True),  # xchg, shl
    ("f71f", True), ("f737", False),  # neg, div
    ("ff07", True), ("ff37", False),  # inc, push
    ("0fc70f", True), ("0fae07", False),  # cmpxchg8b, fxsave
    ("a4", False), ("8b07", False), ("8907", False), ("", False), ])
def test_what_writes_the_memory_that_it_reads(code, updates):
    assert updates_memory(bytes.fromhex(code), False) == updates
    assert updates_memory(bytes.fromhex("44" + code if code else ""), True) == updates
