"""The image of FXSAVE is what the instruction stores, and loads what it loads."""

import pytest

from pagewalk.model.x86 import X86_64
from pagewalk.sim.exec.fp_state import load_fxsave, pack_fxsave
from pagewalk.sim.exec.stop import Called

from .worlds import CODE, DATA, World, every_mode, needs_as, word

pytestmark = needs_as
KEPT = [*range(0, 5), *range(24, 28), *(32 + 16 * one + at for one in range(8) for at in range(10)),
        *range(160, 160 + 16 * 8)]
"""The bytes that count: no addresses, and what both modes have."""


@every_mode
@pytest.mark.parametrize("depth", [0, 3, 8])
def test_as_the_instruction(mode, depth, assembled):
    world = World("model", mode)
    loads = "fldpi; fld1; faddp; fldl2e;" + "fld1;" * max(0, depth - 2)
    text = loads if depth else ""
    world.poke(CODE, assembled(
        f"{text} mov ecx, 7; cvtsi2sd xmm3, ecx; fxsave [DATA]; END", mode))
    assert isinstance(world.run(), Called)
    stored = world.peek(DATA, 512)
    image = pack_fxsave(world.cpu, word(mode))
    assert [image[at] for at in KEPT] == [stored[at] for at in KEPT]
    if mode is X86_64:
        assert image[160:416] == stored[160:416]
    world.cpu.restore()
    assert pack_fxsave(world.cpu, word(mode)) != image
    load_fxsave(world.cpu, image, word(mode))
    assert pack_fxsave(world.cpu, word(mode)) == image
    world.end()
