"""Random instructions at random places, while pages go to swap: as on flat memory."""

import numpy as np
import pytest

from pagewalk.model.x86 import PAGE_BYTES
from pagewalk.sim.exec.stop import Called, Paused

from .worlds import CODE, DATA, DATA_PAGES, Alone, World, every_mode, needs_as

pytestmark = [pytest.mark.slow, needs_as]

SIZE = DATA_PAGES * PAGE_BYTES
STACK = DATA + 9 * PAGE_BYTES + 3  # which no alignment helps
# $r is a register and $a an address; what leaves flags undefined is not there.
TEMPLATES = (
    "mov @$r, [$a]", "mov [$a], @$r", "mov [$a], e$r", "add [$a], @$r", "sub @$r, [$a]",
    "adc dword ptr [$a], 77", "sbb word ptr [$a], 5", "cmp [$a], @$r", "xchg [$a], @$r",
    "lock xadd [$a], @$r", "cmpxchg [$a], @$r", "inc dword ptr [$a]", "dec word ptr [$a]",
    "neg byte ptr [$a]", "not @$r", "lock not dword ptr [$a]", "movzx e$r, word ptr [$a]",
    "movsx e$r, byte ptr [$a]", "ror dword ptr [$a], 1", "rol @$r, 1", "bswap @$r",
    "push [$a]", "pop [$a]", "push @$r", "pop @$r", "pushf; pop @$r",
    "movups xmm0, [$a]", "movups [$a], xmm0", "movups xmm1, [$a]; paddw xmm0, xmm1",
    "movq xmm1, [$a]", "movhps [$a], xmm0", "pxor xmm1, xmm0",
    "fild dword ptr [$a]; fstp tbyte ptr [$b]", "fld1; fldpi; faddp; fstp qword ptr [$a]",
    "lock cmpxchg8b [$a]; cmp @ax, @bx",  # as Unicorn mixes up the other flags, alone, too
    "mov @si, $a; mov @di, $b; mov ecx, $n; rep movsb",
    "mov @si, $a; mov @di, $b; mov ecx, $n; std; rep movsw; cld",
    "mov @di, $a; mov ecx, $n; rep stosd", "mov @di, $a; mov ecx, $n; repne scasb",
    "mov @si, $a; mov @di, $b; mov ecx, $n; repe cmpsb",
    "call 1f; 1: pop @$r", "jz 1f; inc @$r; 1:", "mov @$r, DATA + 0x8000",
)
# What changes flags before it can fault on Unicorn, so that it is right in single steps alone.
ONLY_EACH = ("sete byte ptr [$a]", "setl byte ptr [$a]", "rcl dword ptr [$a], 1",
             "rcr word ptr [$a], 1")
MARGIN = 0x1100  # bytes that the longest string instruction reaches on each side


def source(rng, count, templates):
    """Return a program of so many instructions or a few more."""
    def place():
        near_border = rng.random() < 0.6
        if near_border:
            page = int(rng.integers(2, DATA_PAGES - 2))
            return DATA + page * PAGE_BYTES + int(rng.integers(-18, 3))
        return DATA + int(rng.integers(MARGIN, SIZE - MARGIN))

    lines = [f"mov @sp, {STACK}"]
    for number in range(count):
        text = templates[rng.integers(len(templates))]
        for name, value in (("$r", "abcd"[rng.integers(4)] + "x"), ("$a", hex(place())),
                            ("$b", hex(place())), ("$n", str(rng.integers(1, 900)))):
            text = text.replace(name, value)
        lines.append(text)
        if number % 4 == 3:
            lines.append(f"mov @sp, {STACK}; jmp 1f; 1:")
    return "\n".join([*lines, "cmp @ax, @bx", "END"])


@every_mode
@pytest.mark.parametrize(("engine", "check"), [("model", "fast"), ("cxxrtl", "fast"),
                                               ("cxxrtl", "each")])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_random_instructions(mode, engine, check, seed, assembled, swap):
    rng = np.random.default_rng(seed)
    templates = TEMPLATES + ONLY_EACH if check == "each" else TEMPLATES
    code, data = assembled(source(rng, 250, templates), mode), rng.bytes(SIZE)
    alone = Alone(mode, code, data)
    alone.run()
    world = World(engine, mode, check, swap=swap)
    world.poke(CODE, code)
    world.poke(DATA, data)
    world.cpu.pc = CODE
    runs = 0
    while True:
        for page in rng.integers(0, DATA_PAGES, 6).tolist():
            world.page_out(DATA + page * PAGE_BYTES, 1)
        if rng.random() < 0.3:
            world.page_out(CODE, 2)
        stop = world.go_on(int(rng.integers(1, 60)))
        runs += 1
        if stop != Paused():
            break
    assert isinstance(stop, Called)
    assert runs > 30
    assert world.machine.counts.major > 60
    assert world.registers() == alone.registers()
    assert world.peek(DATA, SIZE) == alone.peek(DATA, SIZE)
    world.end()
