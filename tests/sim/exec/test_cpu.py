"""Why the processor stops, where it is then, and what it counts."""

import pytest

from pagewalk.model.x86 import IA32, X86_64, AccessKind, Vector
from pagewalk.sim.exec.cpu import Cpu
from pagewalk.sim.exec.program_machine import Signalled
from pagewalk.sim.exec.stop import Called, CallKind, Faulted, Paused, Raised

from .worlds import CODE, DATA, RW, World, every_mode, needs_as

pytestmark = [pytest.mark.slow, needs_as]
every_check = pytest.mark.parametrize("check", ["fast", "each"])

LOOP = """
    mov ecx, 1000
again:
    add eax, ecx
    mov [DATA], eax
    dec ecx
    jnz again
    END
"""
LOOP_INSTRUCTIONS = 1 + 4 * 1000 + 1


@pytest.fixture
def world(mode, check, assembled):
    """A world that has a program."""
    def make(text, engine="cxxrtl"):
        made = World(engine, mode, check)
        made.poke(CODE, assembled(text, mode))
        return made

    return make


def offset(world):
    return world.cpu.pc - CODE


# Instruction, what comes of it, and by how many bytes the processor is further then.
ENDS = {
    "xor eax, eax; div eax": (Raised(0), 2),
    "int3": (Raised(3), 3),
    "ud2": (Raised(6), 2),
    "hlt": (Raised(13), 2),
    "cli": (Raised(13), 2),
    "in al, 0x60": (Raised(13), 2),
    "lidt [eax]": (Raised(13), 2),
    "int 0x81": (Raised(13), 2),
    "int 0x80": (Called(CallKind.INT80), 4),
    "sysenter": (Called(CallKind.SYSENTER), 4),
}


@every_mode
@every_check
@pytest.mark.parametrize("text", ENDS)
def test_each_way_into_the_kernel(text, world):
    stop, expected = ENDS[text]
    made = world(f"nop; nop; {text}; nop; END")
    at = 4 if "div" in text else expected
    assert made.run() == stop
    assert offset(made) == at
    assert not made.cpu.read("eflags") & 0x100


@every_check
def test_syscall_and_into(check, assembled):
    for mode, text, stop in ((X86_64, "syscall", Called(CallKind.SYSCALL)),
                             (IA32, "mov al, 0x7f; add al, 1; into", Raised(4))):
        made = World("model", mode, check)
        code = assembled(text, mode)
        made.poke(CODE, code + b"\x90")
        assert made.run() == stop
        assert offset(made) == len(code)


@every_mode
@every_check
@pytest.mark.parametrize("limit", [1, 2, 7, 500])
def test_a_limit_changes_nothing_but_the_number_of_runs(limit, world):
    made = world(LOOP)
    stops = [made.run(limit=limit)]
    while stops[-1] == Paused():
        stops.append(made.go_on(limit))
    assert isinstance(stops[-1], Called)
    assert made.cpu.read("eax") == 500500
    assert made.cpu.counts.instructions == LOOP_INSTRUCTIONS
    assert LOOP_INSTRUCTIONS / limit / 4 <= len(stops) <= LOOP_INSTRUCTIONS / limit + 2


@every_mode
@pytest.mark.parametrize("check", ["each"])
def test_each_access_is_translated(world):
    made = world(LOOP)
    assert isinstance(made.run(), Called)
    counts = made.cpu.counts
    faults = made.machine.counts.minor
    # The instruction that faults is fetched once more, and twice more if its store does, too.
    assert counts.translations == LOOP_INSTRUCTIONS + 1000 + 2 * faults
    assert counts.fills == counts.translations
    assert made.machine.total().accesses >= LOOP_INSTRUCTIONS + 1000
    assert counts.cycles > counts.translations


@every_mode
@pytest.mark.parametrize("check", ["fast"])
@pytest.mark.parametrize("engine", ["model", "amaranth", "cxxrtl"])
def test_a_page_is_asked_for_once_for_each_kind(engine, world):
    made = world("mov eax, [DATA + 4]; mov ebx, [DATA + 8]; mov [DATA], eax; mov [DATA + 4], ebx;"
                 "mov ecx, [DATA + 16]; END", engine)
    made.poke(DATA, b"\1" * 64)
    before = made.cpu.counts.fills
    assert isinstance(made.run(), Called)
    assert made.cpu.counts.fills - before == 3  # code, read, write
    assert made.cpu.counts.instructions == 6
    if engine != "model":
        assert made.cpu.counts.events["data_lookup"] >= 2
        assert made.cpu.counts.events["fetch_lookup"] >= 1


@every_mode
@every_check
def test_an_address_that_is_nowhere_is_a_signal(mode, world):
    made = world("mov eax, [0x10123]; END")
    stop = made.run()
    assert stop == Signalled(Faulted(Vector.PF, 0x10000, 4, AccessKind.READ), 11, 1, 0x10123)
    assert offset(made) == 0
    made = world("nop; mov @ax, DATA + 0x100000; jmp @ax")
    stop = made.run()
    code = 0x14 if mode is X86_64 else 4  # instruction bit with XD alone
    address = DATA + 0x100000
    assert stop == Signalled(Faulted(Vector.PF, address, code, AccessKind.FETCH), 11, 1, address)
    assert made.cpu.pc == address


@every_mode
@every_check
def test_the_kernel_s_half_is_not_the_program_s(mode, world):
    for address in (0xC000_0000, 0xFF40_1000) if mode is IA32 else (0xFFFF_FE00_0000_1000,):
        made = world(f"mov @ax, {address:#x}; mov ebx, [@ax]; END")
        stop = made.run()
        assert (stop.fault.vector, stop.fault.address, stop.signal) == (Vector.PF, address, 11)
        assert stop.fault.error_code & 4


@every_check
def test_addresses_that_are_not_canonical(check, assembled):
    for text in ("mov rax, 0x800000000000; mov rbx, [rax]",
                 "mov rax, 0x4000000000000000; mov [rax], rbx"):
        made = World("cxxrtl", X86_64, check)
        made.poke(CODE, assembled(text, X86_64))
        stop = made.run()
        assert (stop.fault.vector, stop.signal, stop.code, stop.address) == (Vector.GP, 11, 0x80, 0)
        assert offset(made) == 10


@every_mode
@every_check
def test_flags_are_the_program_s_own(world):
    made = world("""
        mov @sp, DATA + 0x1800
        stc
        pushf
        pop @ax
        push 0x202
        popf
        pushf
        pop @bx
        push 0xad7
        popf
        mov ecx, [DATA]
        pushf
        pop @dx
        END
    """)
    assert isinstance(made.run(), Called)
    assert [made.cpu.read(name) for name in ("eax", "ebx", "edx")] == [0x203, 0x202, 0xAD7]
    assert made.cpu.counts.instructions == 14


@every_mode
@every_check
def test_a_program_can_trap_itself(mode, world):
    made = world("""
        mov @sp, DATA + 0x1800
        push 0x302
        popf
        mov eax, 1
        mov ebx, 2
        push 0x202
        popf
        mov ecx, 3
        END
    """)
    stops = [made.run()]
    while stops[-1] == Raised(1):
        assert made.cpu.read("eflags") & 0x100 or len(stops) == 4
        stops.append(made.go_on())
    # Behind each instruction that begins with the flag set: two MOV, PUSH, and POPF.
    assert stops == [*[Raised(1)] * 4, Called(CallKind.SYSCALL if mode is X86_64
                                              else CallKind.INT80)]
    assert [made.cpu.read(name) for name in ("eax", "ebx", "ecx")] == [1, 2, 3]


@every_mode
@pytest.mark.parametrize("check", ["fast"])
def test_registers_are_kept_and_fresh(world):
    made = world(LOOP)
    made.run(limit=100)
    kept, value, pc = made.cpu.save(), made.cpu.read("eax"), made.cpu.pc
    made.cpu.restore()
    assert (made.cpu.read("eax"), made.cpu.sp, made.cpu.read("eflags")) == (0, 0, 0x202)
    assert (made.cpu.read("fpcw"), made.cpu.read("mxcsr")) == (0x37F, 0x1F80)
    made.cpu.restore(kept)
    assert (made.cpu.read("eax"), made.cpu.pc) == (value, pc)
    made.go_on()
    assert made.cpu.read("eax") == 500500


def test_a_check_that_there_is_not():
    with pytest.raises(ValueError, match=r"^Check must be one of fast, each, not 'all'$"):
        Cpu(None, X86_64, None, check="all")


# An instruction, and where its access is that faults: to the byte, if the page is refused.
PLACES = {
    "mov eax, [@bx + 0x123]": 0x123,
    "mov [@bx + 0xffd], @ax": 0xFFD,
    "mov [@bx - 3], @ax": 0,  # the end of an access that begins in a page that is there
    "push [@bx + 0x40]": 0x40,
    "lock xadd [@bx + 0x88], ecx": 0x88,
    "mov @si, DATA + 0x20; lea @di, [@bx + 0x31]; mov ecx, 5; rep movsb": 0x31,
    "mov @di, DATA + 0x20; lea @si, [@bx + 0x31]; mov ecx, 5; rep movsb": 0x31,
    "lea @sp, [@bx + 0x50]; push @ax": 0x50,
    "fxsave [@bx + 0x200]": 0x200,
    "movups xmm0, [@bx + 0x77]": 0x77,
}


@every_mode
@every_check
@pytest.mark.parametrize("text", PLACES)
def test_where_an_access_is_to_the_byte(mode, check, text, world):
    made = world(f"mov @sp, DATA + 0x2000; mov @bx, DATA + 0x3000; {text}; END")
    made.poke(DATA, bytes(0x8000))
    made.munmap(DATA + 0x3000, 1)
    content = made.peek(DATA, 0x3000)
    stop = made.run()
    assert (stop.fault.address, stop.signal) == (DATA + 0x3000, 11)
    before = made.registers(), made.cpu.pc, made.cpu.counts.instructions
    expected = PLACES[text] - (8 if mode is X86_64 else 4) * ("push @ax" in text)
    assert stop.address == made.cpu.address_of(stop.fault) == DATA + 0x3000 + expected
    assert (made.registers(), made.cpu.pc, made.cpu.counts.instructions) == before
    assert made.peek(DATA, 0x3000) == content
    made.mmap(DATA + 0x3000, 1, RW)
    assert isinstance(made.go_on(), Called)
    repeated = (4 if check == "each" else 5) * ("rep" in text)
    assert made.cpu.counts.instructions == 4 + text.count(";") + repeated


@every_mode
@pytest.mark.parametrize("check", ["fast"])
def test_where_an_access_is_whose_block_went_beyond_the_limit(world):
    made = world("mov @bx, DATA + 0x3000; mov eax, [@bx + 0x123]; END")
    made.munmap(DATA + 0x3000, 1)
    stop = made.run(limit=1)
    assert made.cpu.instructions > 1
    assert stop.address == made.cpu.address_of(stop.fault) == DATA + 0x3123


@every_mode
@every_check
def test_what_differs_from_run_to_run_is_kept_from_programs(mode, world):
    text = """
        rdtsc
        mov @si, @ax
        rdtscp
        sub @ax, @si
        mov @di, @ax
        mov @bp, @cx
        mov eax, 7
        xor ecx, ecx
        cpuid
        mov [DATA], ebx
        mov eax, 1
        cpuid
        END
    """
    found = []
    for _ in range(2):
        made = world(text)
        assert isinstance(made.run(), Called)
        found.append(made.registers())
        features = tuple(made.cpu.read(name) for name in ("eax", "ebx", "ecx", "edx"))
        assert features == made.cpu.features
        assert features[2] & 1 << 30 == 0  # RDRAND
        assert features[2] & 1 << 28 == 0  # AVX
        assert features[3] & 1 << 26  # SSE2
        seed = int.from_bytes(made.peek(DATA, 4), "little")
        assert seed & 1 << 18 == 0  # RDSEED
    assert found[0] == found[1]
    prefix = "r" if mode is X86_64 else "e"
    assert found[0][f"{prefix}bp"] == 0
    assert found[0][f"{prefix}di"] in (0, 2)  # by block, and by instruction
