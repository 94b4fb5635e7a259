"""An exception after another is that exception again, as the kernel dealt with the first."""

import pytest

from pagewalk.model.x86 import IA32, X86_64
from pagewalk.sim.exec.stop import Called, Raised

from .worlds import CODE, World, every_mode, needs_as

pytestmark = needs_as
DIVIDE_ERROR, GENERAL_PROTECTION = 0, 13


@every_mode
@pytest.mark.parametrize("check", ["fast", "each"])
@pytest.mark.parametrize(("text", "vector"), [
    ("xor ecx, ecx; div ecx", DIVIDE_ERROR), ("hlt", GENERAL_PROTECTION)])
def test_no_double_fault(mode, check, text, vector, assembled):
    world = World("model", mode, check)
    world.poke(CODE, assembled(f"mov ebx, 77; {text}; nop; END", mode))
    for _ in range(4):
        assert world.run() == Raised(vector)
        assert world.cpu.read("rbx" if mode is X86_64 else "ebx") == 77
    world.poke(CODE, assembled("mov ebx, 78; END", mode))
    assert isinstance(world.run(), Called)
    assert world.cpu.read("ebx" if mode is IA32 else "rbx") == 78
    world.end()
