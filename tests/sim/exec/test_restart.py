"""Instructions that fault in the middle, and begin again: as on an emulator with flat memory."""

import numpy as np
import pytest

from pagewalk.model.x86 import PAGE_BYTES
from pagewalk.sim.exec.stop import Called

from .worlds import CODE, DATA, DATA_PAGES, Alone, World, every_mode, needs_as

PROGRAMS = {
    "accesses that lie in two pages": """
        mov @ax, [DATA + 4096 - 3]
        mov [DATA + 2 * 4096 - 5], @ax
        movups xmm0, [DATA + 3 * 4096 - 7]
        movups [DATA + 4 * 4096 - 9], xmm0
        movzx ebx, word ptr [DATA + 5 * 4096 - 1]
        add [DATA + 6 * 4096 - 2], @bx
        adc dword ptr [DATA + 7 * 4096 - 3], 0x12345678
        shld [DATA + 8 * 4096 - 1], bx, 5
        mov ecx, [DATA + 9 * 4096 - 2]
        END
    """,
    "strings, backwards over pages": """
        std
        mov @si, DATA + 2 * 4096 + 99
        mov @di, DATA + 6 * 4096 + 50
        mov @cx, 7000
        rep movsb
        mov @si, DATA + 3 * 4096 + 1
        mov @di, DATA + 9 * 4096 + 2
        mov @cx, 2500
        rep movsd
        mov eax, 0x5aa5f00f
        mov @di, DATA + 12 * 4096 + 1
        mov @cx, 1500
        rep stosd
        mov @si, DATA + 12 * 4096 - 200
        mov @di, DATA + 11 * 4096 - 100
        mov @cx, 3000
        repe cmpsb
        mov @bx, @cx
        mov al, 0x77
        mov @di, DATA + 15 * 4096 + 33
        mov @cx, 9000
        repne scasb
        mov @dx, @cx
        mov @si, DATA + 14 * 4096 + 3
        lodsd
        cld
        END
    """,
    "strings, forwards, and overlapping": """
        mov @si, DATA + 4000
        mov @di, DATA + 4003
        mov @cx, 9000
        rep movsb
        mov @si, DATA + 5 * 4096 - 2
        mov @di, DATA + 8 * 4096 - 1
        mov @cx, 1100
        rep movsw
        mov @di, DATA + 11 * 4096 - 1
        mov @cx, 600
        rep stosw
        mov @si, DATA + 5 * 4096 - 2
        mov @di, DATA + 8 * 4096 - 1
        mov @cx, 3000
        repe cmpsw
        END
    """,
    "floating point that spills over the end of a page": """
        fninit
        fld1
        fldpi
        fstp tbyte ptr [DATA + 4096 - 4]
        fild dword ptr [DATA + 2 * 4096 - 2]
        fst qword ptr [DATA + 3 * 4096 - 5]
        fld tbyte ptr [DATA + 4096 - 4]
        fmulp
        movups xmm1, [DATA + 4 * 4096 - 15]
        paddd xmm1, xmm1
        fxsave [DATA + 5 * 4096 - 256]
        fninit
        fxrstor [DATA + 5 * 4096 - 256]
        fnsave [DATA + 7 * 4096 - 50]
        frstor [DATA + 7 * 4096 - 50]
        fbstp [DATA + 8 * 4096 - 5]
        fnstenv [DATA + 9 * 4096 - 9]
        mov dword ptr [DATA + 9 * 4096 + 7], 0   # CS, which is not the same in user mode
        mov dword ptr [DATA + 9 * 4096 + 15], 0  # DS
        stmxcsr [DATA + 10 * 4096 - 2]
        END
    """,
    "a stack that begins at the end of a page": """
        mov @sp, DATA + 4 * 4096 + 6
        mov @bp, DATA + 6 * 4096 + 6
        mov @ax, 0x1122
        push @ax
        push 0x55
        call there
        mov @sp, DATA + 8 * 4096 + 18
        pushf
        push [DATA + 9 * 4096 - 3]
        pop [DATA + 10 * 4096 - 1]
        mov @sp, DATA + 13 * 4096 + 10
        mov @bp, DATA + 12 * 4096 + 20
        enter 64, 3
        mov @cx, @sp
        leave
        END
    there:
        push @sp
        pop @bx
        ret
    """,
    "locked and atomic": """
        mov @ax, 3
        lock xadd [DATA + 4096 - 3], @ax
        mov @bx, @ax
        mov eax, [DATA + 2 * 4096 - 2]
        mov edx, 0x1234
        lock cmpxchg [DATA + 2 * 4096 - 2], edx
        cmpxchg [DATA + 3 * 4096 - 2], edx
        xchg [DATA + 4 * 4096 - 1], @dx
        mov eax, [DATA + 5 * 4096 - 4]
        mov edx, [DATA + 5 * 4096]
        mov ecx, 77
        lock cmpxchg8b [DATA + 5 * 4096 - 4]
        lock bts dword ptr [DATA + 6 * 4096 - 4], 33
        lock inc word ptr [DATA + 7 * 4096 - 1]
        lock neg dword ptr [DATA + 8 * 4096 - 3]
        mov @si, 1
        bts [DATA + 9 * 4096 - 8], @si
        cmp @si, @bx  # BTS leaves flags undefined
        END
    """,
}


def pattern(seed=1):
    return np.random.default_rng(seed).bytes(DATA_PAGES * PAGE_BYTES)


def assert_same(world, alone):
    assert world.registers() == alone.registers()
    assert world.peek(DATA, DATA_PAGES * PAGE_BYTES) == alone.peek(DATA, DATA_PAGES * PAGE_BYTES)


@pytest.mark.slow
@needs_as
@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize(("engine", "check"), [("model", "fast"), ("cxxrtl", "fast"),
                                               ("cxxrtl", "each")])
@every_mode
def test_what_faults_in_the_middle_comes_out_as_on_flat_memory(
        mode, engine, check, program, assembled, swap):
    code = assembled(PROGRAMS[program], mode)
    alone = Alone(mode, code, pattern())
    alone.run()
    world = World(engine, mode, check, swap=swap)
    world.poke(CODE, code)
    world.poke(DATA, pattern())
    world.page_out(DATA, DATA_PAGES)
    before = world.machine.counts.major
    assert isinstance(world.run(), Called)
    assert world.machine.counts.major >= before + 6
    assert_same(world, alone)
    world.end()
