"""Tests of recorded accesses: they are those that an emulator of its own makes, and all of them."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from pagewalk.model.x86 import AccessKind
from pagewalk.sim.exec.access_recorder import recorder_of
from pagewalk.sim.exec.stop import Called
from pagewalk.sim.trace.access_record import RecordFlag, TraceHeader, kinds, pages
from pagewalk.sim.trace.access_trace import AccessTrace, CutTrace

from .native import COMMAND, command, compiled
from .worlds import CODE, DATA, DATA_PAGES, Alone, World, every_mode, needs_as

HERE = Path(__file__).parent
READ, WRITE, FETCH = AccessKind
pytestmark = [pytest.mark.slow, needs_as]
needs_gcc = pytest.mark.skipif(not all(map(shutil.which, ("gcc", "g++"))), reason="gcc, g++")

PROGRAM = f"""
    mov @sp, {DATA + 0x8008:#x}
    mov @si, {DATA + 0xffe:#x}
    mov @di, {DATA + 0x3ff0:#x}
    mov ecx, 9
    cld
    rep movsd
    mov ecx, 40
again:
    add [@si + 0x200], eax
    add eax, [@di]
    push @cx
    pop [@di + 8]
    call leaf
    movups xmm0, [@si + 0xffa]
    movups [@di + 0x2ff8], xmm0
    dec ecx
    jnz again
    jmp behind
    .org 0x0ffe
leaf:
    add eax, 0x12345678
    ret
    .org 0x2ffd
behind:
    mov ebx, 0x11223344
    END
"""


def expected(mode, code, data):
    """The kinds and pages of the accesses of each instruction, as another emulator makes them."""
    alone = Alone(mode, code, data)
    found, seen, last = [], set(), [0]

    def add(kind, address, size):
        for page in sorted({address & -4096, address + size - 1 & -4096}):
            merged = kind == READ and (WRITE, page) in seen
            if (kind, page) not in seen and not merged:
                found.append((kind, page))
            seen.add((kind, page))

    def begin(_uc, address, size, _data):
        seen.clear()
        repeated = alone.peek(address, 1) == b"\xf3" and address == last[0]
        if not (repeated and alone.read("ecx") == 0):  # it looks once more whether that is all
            add(FETCH, address, size)
        last[0] = address

    def access(_uc, what, address, size, _value, _data):
        add(WRITE if what == alone._unicorn.UC_MEM_WRITE else READ, address, size)

    alone.uc.hook_add(alone._unicorn.UC_HOOK_CODE, begin)
    alone.uc.hook_add(alone._unicorn.UC_HOOK_MEM_READ | alone._unicorn.UC_HOOK_MEM_WRITE, access)
    alone.run()
    return found


@every_mode
@pytest.mark.parametrize("engine", ["model", "cxxrtl"])
def test_each_access_is_recorded_in_its_order(mode, engine, assembled, tmp_path):
    code, path = assembled(PROGRAM, mode), tmp_path / "file"
    data = np.random.default_rng(3).integers(0, 256, DATA_PAGES * 4096, np.uint8).tobytes()
    world = World(engine, mode, "each")
    for start, content in ((CODE, code), (DATA, data)):
        world.poke(start, content)  # so that nothing faults
    with recorder_of(path) as recorder:
        world.cpu.begin_record(recorder, TraceHeader(mode.name, "each", "p"), lambda: (3, 9))
        assert isinstance(world.run(), Called)
        world.cpu.end_record()
    records = AccessTrace.map(path)
    found = list(zip(kinds(records).tolist(), pages(records).tolist(), strict=True))
    assert found == expected(mode, code, data)
    assert len(found) > 300
    assert {(int(one["space"]), int(one["task"])) for one in records} == {(3, 9)}
    assert recorder.records == len(records) == world.cpu.counts.translations


@needs_gcc
@pytest.mark.parametrize("engine", ["model", "cxxrtl"])
def test_a_run_of_many_tasks_has_all_its_translations_recorded(engine, tmp_path):
    path = compiled(tmp_path / "tasks", HERE / "tasks_and_memory.c", "-static", "-pthread")
    figures, file = tmp_path / "figures", tmp_path / "file"
    command("--engine", engine, "--memory", 5, "--json", figures, "--record", file, path)
    written = json.loads(figures.read_text())
    with file.open("rb") as stream:
        trace = AccessTrace(stream, "file")
        records = np.concatenate([one.copy() for one in trace.chunks()])
    assert trace.header.program == str(path)
    assert trace.instructions == written["instructions"]
    refused = records["access"] & np.uint64(RecordFlag.REFUSED) != 0
    assert np.count_nonzero(~refused) == written["translations"]
    faults = written["minor_faults"] + written["major_faults"]
    supervisor = records["access"] & np.uint64(RecordFlag.SUPERVISOR) != 0
    assert np.count_nonzero(refused & ~supervisor) >= faults - np.count_nonzero(
        refused & supervisor)
    made = written["calls"]
    forks, threads = made["clone"], made["clone3"]  # as the C library makes them
    assert len(set(records["task"].tolist())) == 1 + forks + threads
    programs = made["arch_prctl"]  # which each begins with
    assert len(set(records["space"].tolist())) == forks + programs


@needs_gcc
def test_a_run_that_is_killed_leaves_a_file_that_says_so(tmp_path):
    source, file = tmp_path / "loop.c", tmp_path / "file"
    source.write_text("int main(void) { static volatile char area[1 << 22];\n"
                      "    for (unsigned at = 0; ; at += 4096) area[at % sizeof area]++; }\n")
    path = compiled(tmp_path / "loop", source, "-static")
    with subprocess.Popen([sys.executable, "-c", COMMAND, "exec", "--engine", "model", "--check",
                           "each", "--record", file, path], stderr=subprocess.PIPE) as run:
        while run.poll() is None and (not file.exists() or file.stat().st_size < 1 << 19):
            time.sleep(0.05)
        run.send_signal(signal.SIGKILL)
        assert run.stderr.read() == b""
    with file.open("rb") as stream, pytest.raises(CutTrace, match=r": ends behind \d+ records "):
        assert sum(map(len, AccessTrace(stream, str(file)).chunks())) > 0
    with pytest.raises(CutTrace, match=r": ends "):
        AccessTrace.map(file)


def test_a_full_disk_is_said():
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    output, error, status = command("--engine", "model", "--record", "/dev/full", "true")
    assert (output, status) == (b"", 2)
    assert error == (b"pagewalk: error: argument --record: /dev/full cannot be written: No space "
                     b"left on device; expected a file with room for 16 bytes an access\n")


def test_a_program_that_cannot_be_run_leaves_no_file(tmp_path):
    file, kept = tmp_path / "file", tmp_path / "kept"
    kept.write_bytes(b"old")
    for path in (file, kept):
        assert command("--record", path, "/nowhere/program")[2] == 2
    assert not file.exists()
    assert kept.read_bytes() == b"old"
    assert command("--record", tmp_path, "true")[2] == 2
