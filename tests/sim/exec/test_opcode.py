"""Instructions that read a segment descriptor, by their bytes."""

import pytest

from pagewalk.sim.exec.opcode import loads_segment

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
