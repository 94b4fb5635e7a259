"""Each line is the command that it says, and what is wrong is told with its place."""

from dataclasses import replace

import numpy as np
import pytest

from pagewalk.hdl.config import Config
from pagewalk.model.mmu.walk import Control
from pagewalk.model.x86 import IA32, AccessKind, Cr4, InvalidateOp, Purpose
from pagewalk.sim.engine import command
from pagewalk.sim.errors import InputError
from pagewalk.sim.step.step_requests import RequestReader, read_requests

CONFIG = Config(ports=("fetch", "load", "store"), probes=True, cancel=True)
CONTROL = Control(0x1000, cr4=Control(0).cr4 | Cr4.PCIDE)


@pytest.fixture
def reader():
    return RequestReader(CONFIG, CONTROL)


@pytest.mark.parametrize(("line", "expected"), [
    ("read 0x5000", command.accesses(CONTROL, 0x5000, AccessKind.READ, port=1)),
    ("write 0x5000 user", command.accesses(CONTROL, 0x5000, AccessKind.WRITE, user=1, port=2)),
    ("fetch 20480 user  # a comment", command.accesses(CONTROL, 0x5000, 2, user=1, port=0)),
    ("read 0x10 ac implicit stack probe port=fetch",
     command.accesses(CONTROL, 16, 0, ac=1, implicit=1, stack=1, purpose=Purpose.PROBE, port=0)),
    ("write 0x10 check", command.accesses(CONTROL, 16, 1, purpose=Purpose.CHECK, port=2)),
    ("invlpg 0xffff800000001000",
     command.invalidation(CONTROL, InvalidateOp.INVLPG, vaddr=0xFFFF800000001000)),
    ("invpcid address 7 0x2000",
     command.invalidation(CONTROL, InvalidateOp.INVPCID_ADDRESS, vaddr=0x2000, pcid=7)),
    ("invpcid context 7", command.invalidation(CONTROL, InvalidateOp.INVPCID_CONTEXT, pcid=7)),
    ("invpcid all", command.invalidation(CONTROL, InvalidateOp.INVPCID_ALL)),
    ("invpcid nonglobal", command.invalidation(CONTROL, InvalidateOp.INVPCID_ALL_NON_GLOBAL)),
    ("mov cr3 0x8000000000002003",
     command.invalidation(CONTROL, InvalidateOp.MOV_CR3, new=0x8000000000002003)),
    ("entry 0x1008 0x67", command.exchange(0x1008, 0x67)),
    ("wait 12", command.wait(12)),
    ("barrier", command.barrier()),
    ("reset", command.reset()),
    ("cancel load", command.cancel(1)),
])
def test_a_line_is_a_command(line, expected, reader):
    request = reader.read(line)
    assert np.array_equal(request.commands, expected)
    assert request.text == " ".join(line.partition("#")[0].split())


def test_registers_hold_from_the_next_line_on(reader):
    lines = ["read 0x10", "mov cr3 0x8000000000002003", "wrpkru 0xc", "mov cr4 0xa0", "read 0x10"]
    first, _, pkru, cr4, last = (reader.read(line).commands for line in lines)
    assert (first["cr3"], first["pkru"]) == (CONTROL.cr3, 0)
    assert np.array_equal(pkru, command.set_control(replace(CONTROL, cr3=0x2003, pkru=12)))
    assert (cr4["old"], cr4["new"], cr4["cr4"]) == (CONTROL.cr4, 0xA0, CONTROL.cr4)
    assert (last["cr3"], last["cr4"], last["pkru"]) == (0x2003, 0xA0, 12)


def test_nothing_is_no_request(reader):
    assert reader.read("") is reader.read("  # read 0x10") is None


@pytest.mark.parametrize(("line", "message"), [
    ("raed 0x10", ("'raed'; expected one of read, write, fetch, invlpg, invpcid, mov, wrpkru, "
                  "entry, wait, barrier, cancel, reset")),
    ("read", ("the end of the line; expected ADDRESS, a number of 64 bits such as 0x1000, behind "
             "read")),
    ("read 0x1g", "'0x1g'; expected ADDRESS, a number of 64 bits such as 0x1000, behind read"),
    ("read 0x10 usr", ("'usr'; expected user, implicit, ac, stack, check, probe, lookup or "
                      "port=NAME")),
    ("read 0x10 port=x", "'x'; expected a port: fetch, load, store"),
    ("invlpg 1 2", "'2'; expected the end of the line behind '1'"),
    ("invpcid some", "'some'; expected one of address, context, all, nonglobal behind invpcid"),
    ("invpcid context 0x1000", ("'0x1000'; expected PCID, a number of 12 bits such as 0x1000, "
                               "behind invpcid")),
    ("mov cr2 0", "'cr2'; expected one of cr0, cr3, cr4 behind mov"),
    ("mov cr3", ("the end of the line; expected VALUE, a number of 64 bits such as 0x1000, behind "
                "mov")),
    ("mov cr4 0", ("'mov cr4 0': raises #GP(0) under the registers; expected other operands, or an "
                  "MMU with --checks")),
    ("entry 0x1001 0", ("'entry 0x1001 0': Address of an entry must be a multiple of 8, not "
                       "0x1001; expected what the MMU takes")),
    ("wait 0", "'0'; expected from 1 to 1000000 cycles"),
    ("cancel", "the end of the line; expected a port: fetch, load, store"),
    ("barrier now", "'now'; expected the end of the line behind 'barrier'"),
])
def test_a_bad_line_is_told_and_changes_no_register(line, message, reader):
    with pytest.raises(InputError) as caught:
        reader.read(line)
    assert str(caught.value) == message
    assert reader.control == CONTROL


def test_what_the_mmu_does_not_do_is_refused():
    reader = RequestReader(Config(mode=IA32), Control(0x1000))
    for line, reason in (("read 0x10 probe", "Purpose must be at most 0 without probes, not 2"),
                         ("cancel data", "Operation must not cancel, as the hardware cannot"),
                         ("read 0x100000000", "a number of 32 bits")):
        with pytest.raises(InputError, match=reason):
            reader.read(line)


def test_an_mmu_with_checks_gets_what_raises_gp_and_keeps_its_registers():
    reader = RequestReader(replace(CONFIG, checks=True), CONTROL)
    assert reader.read("mov cr4 0").commands["new"] == 0
    assert reader.control == CONTROL


def test_a_file_is_read_and_a_bad_line_named(reader, tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("# two\nread 0x10\n\nwait 3\n")
    assert [one.text for one in read_requests(path, reader)] == ["read 0x10", "wait 3"]
    path.write_text("read 0x10\n\nraed 0x10\n")
    with pytest.raises(InputError, match=rf"^{path}:3: 'raed'; expected one of read, "):
        read_requests(path, reader)


@pytest.mark.parametrize("content", [b"\xff\xff", None, b"#" * (1 << 21)])
def test_a_file_that_is_no_text_is_refused(content, reader, tmp_path):
    path = tmp_path / "x.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=rf"^{path}: .*; expected requests, one a line$"):
        read_requests(path, reader)
