"""Programs with the kernel model behind them: copies on write, swapping, several processes."""

import pytest

from pagewalk.hdl.config import Config
from pagewalk.model.kernel.tlb_flush import Invalidation
from pagewalk.model.x86 import PAGE_BYTES, X86_64, Entry, InvalidateOp
from pagewalk.sim.cosim.machine import Handled
from pagewalk.sim.exec import fills
from pagewalk.sim.exec.cpu import Cpu
from pagewalk.sim.exec.fills import Ports
from pagewalk.sim.exec.program_machine import ProgramFailed, Signalled
from pagewalk.sim.exec.stop import Called

from .worlds import CODE, DATA, DATA_PAGES, RW, World, every_mode, needs_as

pytestmark = [pytest.mark.slow, needs_as]
every_check = pytest.mark.parametrize("check", ["fast", "each"])
every_engine = pytest.mark.parametrize("engine", ["model", "cxxrtl"])

def modified_and_swapped(world, assembled):
    """Read a page that came from swap, then write it; send it out; return what comes back."""
    world.poke(CODE, assembled("mov @bx, DATA; mov eax, [@bx]; mov dword ptr [@bx], 2222; END",
                               world.mode))
    world.poke(DATA, (1111).to_bytes(4, "little"))
    world.page_out(DATA, 1)
    assert isinstance(world.run(), Called)
    assert world.cpu.read("eax") == 1111
    dirty = bool(world.entry(DATA) & Entry.D)
    world.page_out(DATA, 1)
    return dirty, int.from_bytes(world.peek(DATA, 4), "little")


@every_mode
@every_check
@every_engine
def test_the_first_write_after_a_read_sets_d(mode, check, engine, swap, assembled):
    assert modified_and_swapped(World(engine, mode, check, swap=swap), assembled) == (True, 2222)


@pytest.mark.parametrize("engine", ["model", "cxxrtl"])
def test_writing_that_a_read_grants_is_noticed(engine, swap, assembled, monkeypatch):
    """A control: a read grants writing, so that the MMU sees no write, and the write is lost."""
    both = fills.PROT_READ | fills.PROT_WRITE
    monkeypatch.setattr(fills, "GRANTS", (both, both, fills.PROT_EXEC))
    world = World(engine, X86_64, swap=swap)
    assert modified_and_swapped(world, assembled) != (True, 2222)


FILL_AND_SUM = """
    mov @di, BUFFER
    mov ecx, WORDS
    mov eax, 12345
fill:
    imul eax, eax, 1664525
    add eax, 1013904223
    mov [@di], eax
    mov edx, ecx
    and edx, 0xf
    shl edx, 12
    inc dword ptr [DATA + @dx]  # pages that are in use all the time
    add @di, 1024
    dec ecx
    jnz fill
    mov ebp, 2
passes:
    mov @si, BUFFER
    mov ecx, WORDS
sum:
    add ebx, [@si]
    rol ebx, 1
    add @si, 1024
    dec ecx
    jnz sum
    dec ebp
    jnz passes
    END
"""
BUFFER, BUFFER_PAGES = 0x1000_0000, 2048


def swept(world, assembled):
    """Fill 8 Mbytes with numbers and sum them twice, counting on 16 pages.

    Return how that ended, the sum, and the counts.
    """
    text = FILL_AND_SUM.replace("BUFFER", hex(BUFFER)).replace("WORDS", str(4 * BUFFER_PAGES))
    world.poke(CODE, assembled(text, world.mode))
    for start in range(BUFFER, BUFFER + BUFFER_PAGES * PAGE_BYTES, 512 * PAGE_BYTES):
        world.mmap(start, 512, RW)  # a single one of all would be refused without swap
    stop = world.run()
    if type(stop) is not Called:
        return type(stop), None, None
    pages = range(DATA, DATA + DATA_PAGES * PAGE_BYTES, PAGE_BYTES)
    return Called, world.cpu.read("ebx"), [
        int.from_bytes(world.peek(page, 4), "little") for page in pages]


def expected_sweep():
    value, total, values = 12345, 0, []
    for _ in range(4 * BUFFER_PAGES):
        value = (value * 1664525 + 1013904223) & 0xFFFF_FFFF
        values.append(value)
    for value in values * 2:
        total = (total + value) & 0xFFFF_FFFF
        total = (total << 1 | total >> 31) & 0xFFFF_FFFF
    return Called, total, [4 * BUFFER_PAGES // DATA_PAGES] * DATA_PAGES


@every_mode
@every_check
@pytest.mark.parametrize("text", ["movdqu [DATA + 0xffd], xmm0", "movdqu xmm0, [DATA + 0xffd]",
                                  "mov [DATA + 0xffd], ecx", "mov ecx, [DATA + 0xffd]"])
def test_where_an_access_of_two_pages_faults(mode, check, text, assembled):
    """The second page is refused: the fault is at its first byte, though SSE stores twice there."""
    world = World("model", mode, check)
    world.poke(CODE, assembled(f"mov dword ptr [DATA], 1; {text}; END", mode))
    world.munmap(DATA + PAGE_BYTES, 1)
    stop = world.run()
    assert isinstance(stop, Signalled)
    assert stop.address == DATA + PAGE_BYTES


@every_mode
@every_check
@pytest.mark.parametrize("text", ["add [DATA], ecx", "lock xadd [DATA], ecx", "not byte ptr [DATA]",
                                  "xchg [DATA + 8], ecx", "bts dword ptr [DATA + 4], 3"])
def test_what_writes_what_it_reads_faults_once_as_a_write(mode, check, text, assembled):
    world = World("model", mode, check)
    world.poke(CODE, assembled(f"{text}; END", mode))
    before = world.machine.counts.minor
    assert isinstance(world.run(), Called)
    assert world.machine.counts.minor == before + 1
    assert world.entry(DATA) & (Entry.D | Entry.RW) == Entry.D | Entry.RW
    world.munmap(DATA, 1)
    stop = world.run()
    assert isinstance(stop, Signalled)
    assert (stop.fault.error_code, stop.address & -PAGE_BYTES) == (6, DATA)


@every_mode
@pytest.mark.parametrize(("engine", "check"), [("model", "fast"), ("cxxrtl", "fast"),
                                               ("cxxrtl", "each")])
def test_a_program_twice_as_large_as_memory(mode, engine, check, swap, assembled):
    world = World(engine, mode, check, megabytes=4, swap=swap)
    assert swept(world, assembled) == expected_sweep()
    assert world.machine.counts.major > 2 * 1024
    assert swap.counters.pages_out > 1024
    total = world.machine.total()
    assert total.major == world.machine.counts.major
    if engine == "cxxrtl":
        assert total.cycles > total.accesses
        faults = total.events["data_fault"] + total.events["fetch_fault"]
        assert faults >= total.minor + total.major
    world.end()


@every_mode
def test_a_soft_tlb_that_is_never_emptied_is_noticed_under_pressure(
        mode, swap, assembled, monkeypatch):
    """A control: frames that were given to other pages are still written by the program."""
    monkeypatch.setattr(Cpu, "forget_translations", lambda _self: None)
    world = World("cxxrtl", mode, megabytes=4, swap=swap)
    assert swept(world, assembled) != expected_sweep()


def test_a_page_fault_that_stays_is_no_endless_loop(assembled, monkeypatch):
    world = World("cxxrtl", X86_64)
    world.poke(CODE, assembled("mov eax, [DATA]; END", X86_64))
    monkeypatch.setattr(world.linux, "page_fault", lambda *_arguments: Handled())
    with pytest.raises(ProgramFailed, match=r"^8 page faults were handled in vain at 0x600000, "
                                            r"instruction 0x400000$"):
        world.run()


def test_an_address_without_memory_is_a_machine_check(assembled):
    world = World("cxxrtl", X86_64)
    world.poke(CODE, assembled("mov eax, [DATA]; END", X86_64))
    world.poke(DATA, b"\1")
    tables = world.process.space.tables
    leaf = tables.lookup(DATA)
    world.kernel.state.memory.write(leaf.paddr, 8, leaf.entry & 0xFFF | 0x12_3456 << 12)
    world.machine.invalidate([Invalidation(InvalidateOp.INVLPG, vaddr=DATA)])
    with pytest.raises(ProgramFailed, match=r"^#MC at 0x600000, instruction 0x400000$"):
        world.run()


@every_mode
def test_a_process_that_is_killed(mode, assembled):
    """Without swap there is too little memory for what it wants."""
    world = World("cxxrtl", mode, megabytes=4)
    assert swept(world, assembled)[0] is Signalled
    assert [kill.pid for kill in world.kernel.oom_kills] == [2]
    assert not world.kernel.processes


@every_mode
@every_check
def test_one_port_for_instructions_and_data(mode, check, assembled):
    config = Config(mode=mode, entries=16, ports=("data",))
    world = World("cxxrtl", mode, check, config=config, ports=Ports(0, 0))
    world.poke(CODE, assembled("mov @di, DATA; mov ecx, 512 * 16; again: add [@di], ebx;"
                               "add eax, [@di]; add @di, 8; dec ecx; jnz again; END", mode))
    world.cpu.write("ebx", 3)
    assert isinstance(world.run(), Called)
    assert world.cpu.read("eax") == 3 * 512 * DATA_PAGES
