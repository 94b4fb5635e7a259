"""Instructions that change: by the program, by mprotect, by the kernel; and where pages end."""

import pytest

from pagewalk.model.address_space.uapi import Madvise, MapFlag, MremapFlag
from pagewalk.model.x86 import IA32, PAGE_BYTES, X86_64, AccessKind, Vector
from pagewalk.sim.exec.cpu import Cpu
from pagewalk.sim.exec.program_machine import Signalled
from pagewalk.sim.exec.stop import Called, Faulted, Paused

from .worlds import CODE, DATA, RW, RWX, RX, Alone, World, every_mode, needs_as

pytestmark = [pytest.mark.slow, needs_as]
every_check = pytest.mark.parametrize("check", ["fast", "each"])
every_engine = pytest.mark.parametrize("engine", ["model", "cxxrtl"])

OTHER = CODE + 0x4000  # a page of code beside that at CODE
SELF_MODIFYING = """
    mov @sp, DATA + 0x2000
    mov @bx, 0x404000
    mov byte ptr [@bx], 0xb8           # MOV EAX, imm32; RET
    mov byte ptr [@bx + 5], 0xc3
    mov esi, 1
again:
    mov [@bx + 1], esi
    call @bx
    add edi, eax
    mov byte ptr [changed + 1], 0
changed:
    mov dl, 77
    add ecx, edx
    inc byte ptr [other + 2]
    jmp other
other:
    add ebp, 0
    inc esi
    cmp esi, 200
    jne again
    END
"""


@every_mode
@every_check
@every_engine
def test_self_modifying_code(mode, check, engine, assembled):
    code = assembled(SELF_MODIFYING, mode)
    alone = Alone(mode, code, b"")
    alone.run()
    world = World(engine, mode, check)
    world.poke(CODE, code)
    assert isinstance(world.run(), Called)
    assert world.cpu.read("edi") == 199 * 200 // 2
    assert world.registers() == alone.registers()


def toggling(world, rounds):
    """Run a page that is writable or executable, never both; return what its code answers."""
    mode, found = world.mode, []
    world.mprotect(OTHER, 1, RW)
    for number in range(1, rounds + 1):
        world.poke(OTHER, b"\xb8" + number.to_bytes(4, "little") + (
            b"\x0f\x05" if mode is X86_64 else b"\xcd\x80"))
        if mode is X86_64:  # which alone can forbid it
            stop = world.run(OTHER)
            assert stop.fault == Faulted(Vector.PF, OTHER, 0x15, AccessKind.FETCH)
        world.mprotect(OTHER, 1, RX)
        assert isinstance(world.run(OTHER), Called)
        found.append(world.cpu.read("eax"))
        world.run(CODE)
        found.append(world.cpu.pc - CODE)  # a store by the program, which is refused
        world.mprotect(OTHER, 1, RW)
        assert isinstance(world.run(CODE), Called)
    return found


@pytest.fixture
def storing(assembled):
    """A world with a program that stores to ``OTHER``."""
    def make(engine, mode, check):
        world = World(engine, mode, check)
        world.poke(CODE, assembled("nop; mov @bx, 0x404000; mov byte ptr [@bx + 1], 99; END", mode))
        return world

    return make


@every_mode
@every_check
@every_engine
def test_pages_that_are_writable_or_executable(mode, check, engine, storing):
    at = 6 if mode is IA32 else 8  # where the store is
    expected = [value for number in range(1, 6) for value in (number, at)]
    assert toggling(storing(engine, mode, check), 5) == expected


@pytest.mark.parametrize("engine", ["model", "cxxrtl"])
def test_a_soft_tlb_that_keeps_what_was_invalidated_is_noticed(engine, storing, monkeypatch):
    """A control: the soft TLB is not emptied, and the store to a page read-only by now is made."""
    monkeypatch.setattr(Cpu, "forget_translations", lambda _self: None)
    world = storing(engine, X86_64, "fast")
    world.poke(OTHER, b"\x90" * 16)
    assert isinstance(world.run(), Called)
    world.mprotect(OTHER, 1, RX)
    assert isinstance(world.run(), Called)  # and not the signal
    assert world.peek(OTHER + 1, 1) == b"\x63"


def rewritten_by_kernel(world):
    """Run code, have the kernel store other code there, run it again; return both answers."""
    found = []
    for number in (1, 2):
        world.poke(OTHER, b"\xb8" + number.to_bytes(4, "little") + (
            b"\x0f\x05" if world.mode is X86_64 else b"\xcd\x80"))
        assert isinstance(world.run(OTHER), Called)
        found.append(world.cpu.read("eax"))
    return found


@every_mode
@every_check
@every_engine
def test_code_that_the_kernel_writes(mode, check, engine):
    assert rewritten_by_kernel(World(engine, mode, check)) == [1, 2]


@every_mode
def test_code_that_is_not_translated_anew_is_noticed(mode, monkeypatch):
    """A control: what the kernel has written does not run."""
    monkeypatch.setattr(Cpu, "_forget_code", lambda _self: None)
    assert rewritten_by_kernel(World("cxxrtl", mode)) == [1, 1]


@every_mode
@every_check
def test_a_frame_that_is_freed_and_used_again(mode, check):
    world = World("cxxrtl", mode, check)
    ends = b"\x0f\x05" if mode is X86_64 else b"\xcd\x80"
    found, frames = [], set()
    for number in range(1, 30):
        world.poke(OTHER, b"\xb8" + number.to_bytes(4, "little") + ends)
        frames.add(world.entry(OTHER) >> 12 & 0xFFFFF)
        assert isinstance(world.run(OTHER), Called)
        found.append(world.cpu.read("eax"))
        world.kernel_does(lambda process: process.mm.madvise(OTHER, PAGE_BYTES, Madvise.DONTNEED))
    assert found == list(range(1, 30))
    assert len(frames) < 29


# ---- the end of a page, with nothing behind it


@every_mode
@every_check
def test_what_is_before_the_end_of_a_page_is_done_before_the_fault(mode, check, assembled):
    """Unicorn would fetch the next page first, as it translates a block at a time."""
    world = World("cxxrtl", mode, check)
    code = assembled("mov @bx, DATA; mov dword ptr [@bx], 1234; inc dword ptr [@bx]; nop", mode)
    world.munmap(OTHER + PAGE_BYTES, 1)
    end = OTHER + PAGE_BYTES
    world.poke(end - len(code), code)
    stop = world.run(end - len(code))
    error = 0x14 if mode is X86_64 else 4
    assert stop == Signalled(Faulted(Vector.PF, end, error, AccessKind.FETCH), 11, 1, end)
    assert world.cpu.pc == end
    assert world.peek(DATA, 4) == (1235).to_bytes(4, "little")
    assert world.cpu.counts.instructions == 4


@every_mode
@every_check
def test_a_fault_before_the_end_of_a_page_comes_first(mode, check, assembled):
    world = World("cxxrtl", mode, check)
    code = assembled("mov ebx, [0x10000]; nop", mode)
    world.munmap(OTHER + PAGE_BYTES, 1)
    start = OTHER + PAGE_BYTES - len(code)
    world.poke(start, code)
    stop = world.run(start)
    assert (stop.fault.address, world.cpu.pc) == (0x10000, start)


@every_mode
@every_check
@pytest.mark.parametrize("first", range(1, 8))
def test_an_instruction_that_lies_in_two_pages(mode, check, first, assembled):
    """Its second page is not there; then it is."""
    world = World("cxxrtl", mode, check)
    code = assembled("mov dword ptr [@bx + @ax * 4 + 0x40], 0x11223344", mode)
    ends = b"\x0f\x05" if mode is X86_64 else b"\xcd\x80"
    start = OTHER + PAGE_BYTES - first
    world.poke(start, code + ends)
    world.munmap(OTHER + PAGE_BYTES, 1)
    world.cpu.write("ebx", DATA)
    stop = world.run(start)
    assert stop.fault.address == OTHER + PAGE_BYTES
    assert (stop.fault.kind, world.cpu.pc) == (AccessKind.FETCH, start)
    assert world.peek(DATA + 0x40, 4) == bytes(4)
    world.mmap(OTHER + PAGE_BYTES, 1, RWX)
    world.poke(OTHER + PAGE_BYTES, (code + ends)[first:])
    assert isinstance(world.go_on(), Called)
    assert world.peek(DATA + 0x40, 4) == bytes.fromhex("44332211")


@every_mode
@every_check
def test_flags_pushed_before_the_end_of_a_page(mode, check, assembled):
    world = World("cxxrtl", mode, check)
    code = assembled("mov @sp, DATA + 0x1000; pushf; pop @ax; push @ax; popf; nop; nop", mode)
    world.poke(OTHER + PAGE_BYTES - len(code), code)
    stop = world.run(OTHER + PAGE_BYTES - len(code))
    assert (stop.fault.vector, stop.address) == (Vector.PF, 0x202)  # zeros are ADD [EAX], AL
    assert world.cpu.read("eax") == 0x202
    assert world.cpu.read("eflags") & 0x300 == 0x200


@every_mode
@every_check
def test_a_loop_over_the_end_of_a_page_goes_on(mode, check, assembled):
    world = World("cxxrtl", mode, check)
    code = assembled("mov ecx, 100; again: nop; nop; add eax, ecx; dec ecx; jnz again; END", mode)
    world.poke(OTHER + PAGE_BYTES - 9, code)
    stop = world.run(OTHER + PAGE_BYTES - 9, limit=90)
    assert stop == Paused()
    assert isinstance(world.go_on(), Called)
    assert world.cpu.read("eax") == 5050
    assert world.cpu.counts.instructions == 1 + 5 * 100 + 1


@every_mode
@every_check
@every_engine
def test_the_kernel_writes_to_code_again_and_again(mode, check, engine, assembled):
    """Each time it has run once only, so that nothing but the store tells that it has changed."""
    world, found = World(engine, mode, check), []
    for value in range(5):
        world.poke(CODE, assembled(f"mov eax, {value}; END", mode))
        assert isinstance(world.run(), Called)
        found.append(world.cpu.read("eax"))
    assert found == list(range(5))


WRITTEN_ELSEWHERE = """
    mov @sp, DATA + 0x2000
    mov @bx, CODE_AT
    mov @di, WRITTEN_AT
    mov byte ptr [@di], 0xb8           # MOV EAX, imm32; RET
    mov byte ptr [@di + 5], 0xc3
    mov esi, 1
again:
    mov [@di + 1], esi
    call @bx
    add edx, eax
    mov ebp, 3
inner:
    add dword ptr [@di + 1], 1000
    call @bx
    add ecx, eax
    dec ebp
    jnz inner
    inc esi
    cmp esi, 10
    jne again
    END
"""


def written_elsewhere(world, assembled):
    """Return two sums of what code answered that was written to by another page of its frame."""
    code, written = 0x700_0000, 0x710_0000
    shared = MapFlag.ANONYMOUS | MapFlag.SHARED | MapFlag.FIXED
    moves = MremapFlag.MAYMOVE | MremapFlag.FIXED
    world.kernel_does(lambda process: process.mm.mmap(code, PAGE_BYTES, RWX, shared))
    world.kernel_does(lambda process: process.mm.mremap(code, 0, PAGE_BYTES, moves, written))
    text = WRITTEN_ELSEWHERE.replace("CODE_AT", hex(code)).replace("WRITTEN_AT", hex(written))
    world.poke(CODE, assembled(text, world.mode))
    assert isinstance(world.run(), Called)
    return world.cpu.read("edx"), world.cpu.read("ecx")


@every_mode
@every_check
@every_engine
def test_code_that_is_written_by_another_page(mode, check, engine, assembled):
    assert written_elsewhere(World(engine, mode, check), assembled) == (45, 3 * 45 + 9 * 6000)


@every_mode
def test_stores_by_another_page_that_are_not_noticed(mode, assembled):
    """A control: code of a frame and stores to it by another page, at the same time."""
    world = World("model", mode)
    world.cpu._fills.state.shares_frames = True
    assert written_elsewhere(world, assembled) != (45, 3 * 45 + 9 * 6000)
