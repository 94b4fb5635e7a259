"""What the referee makes of resets, bus errors, page faults and registers that change: by hand."""

from dataclasses import replace

import numpy as np
import pytest

from pagewalk.model.mmu.walk import Control
from pagewalk.model.physical.memory import PhysicalMemory
from pagewalk.model.x86 import IA32, X86_64, AccessKind, Cr4, Efer, Entry, InvalidateOp, Vector
from pagewalk.sim.engine.answer import ANSWER
from pagewalk.sim.engine.base import BUS_ERROR
from pagewalk.sim.engine.command import accesses, exchange, invalidation, read, reset
from pagewalk.sim.referee import IllegalAnswer, Referee

P = Entry.P | Entry.A
C64 = Control(0x1000, efer=Efer.LME | Efer.LMA | Efer.NXE)
C32 = Control(0x1000, cr4=Cr4.PSE, efer=0)
PTE, OLD, NEW = 0x4000, 0x5000, 0x9000


class Story:
    """Commands with the answers that a processor gives, and the cycles of both.

    In 4-level paging the tables of address 0 are at 0x1000 to 0x4000, and its page is ``OLD``.
    """

    def __init__(self, mode=X86_64, control=C64, **entries):
        memory = PhysicalMemory()
        memory.add(range(1, 5))
        for table in range(1, 5):
            memory.write(table << 12, mode.entry_bytes, (table + 1) << 12 | P)
        for name, entry in entries.items():
            memory.write(int(name[1:], 16), mode.entry_bytes, entry)
        self.referee = Referee(mode, memory, control)
        self.commands, self.answers = [], []

    def add(self, command, accepted, answered=None, **answer):
        """Add a command that was accepted in a cycle, and answered in it or a later one."""
        row = np.zeros(1, ANSWER)
        row["accepted"], row["answered"] = accepted, accepted if answered is None else answered
        for name, value in answer.items():
            row[name] = value
        self.commands.append(command)
        self.answers.append(row)
        return self

    def judge(self, errors=()):
        self.referee.judge(np.concatenate(self.commands), np.concatenate(self.answers),
                           np.array([*errors], BUS_ERROR))
        return self.referee.findings

    def refuses(self, errors=(), match="was answered"):
        with pytest.raises(IllegalAnswer, match=match):
            self.judge(errors)


def changed_page(*between):
    """Return the story of an access to a page that is then another, until a command ``between``."""
    story = Story().add(accesses(C64, 0), 0, 6, paddr=OLD)
    story.add(exchange(PTE, NEW | P), 8, value=OLD | P)
    for command in between:
        story.add(command, 9)
    return story


def test_after_a_reset_nothing_is_cached():
    assert changed_page().add(accesses(C64, 0), 10, 11, paddr=OLD).judge().stale == 1
    assert changed_page(reset()).add(accesses(C64, 0), 10, 16, paddr=NEW).judge().stale == 0
    changed_page(reset()).add(accesses(C64, 0), 10, 11, paddr=OLD).refuses()


def test_an_answer_in_the_cycle_of_a_reset_is_from_before_it():
    story = Story().add(accesses(C64, 0), 0, 6, paddr=OLD)
    story.add(exchange(PTE, NEW | P), 7, value=OLD | P)
    story.add(accesses(C64, 0), 8, 9, paddr=OLD).add(reset(), 9)
    story.add(accesses(C64, 0), 10, 16, paddr=NEW)
    assert (story.judge().stale, story.referee.findings.lost) == (1, 0)


@pytest.mark.parametrize(("kind", "seen", "permitted"), [
    (AccessKind.WRITE, 10, True), (AccessKind.WRITE, 5, True), (AccessKind.WRITE, 1, False),
    (AccessKind.READ, 10, False)], ids=["write", "during it", "before it", "read"])
def test_a_write_that_was_lost_may_have_set_the_dirty_flag(kind, seen, permitted):
    leaf = OLD | P | Entry.RW
    story = Story(x4000=leaf, x3000=PTE | P | Entry.RW, x2000=0x3000 | P | Entry.RW,
                  x1000=0x2000 | P | Entry.RW)
    peer = read(PTE)
    if seen < 2:
        story.add(peer, seen, value=leaf | Entry.D)
    story.add(accesses(C64, 0, kind), 2, 9, lost=1)
    if 2 < seen < 9:
        story.add(peer, seen, value=leaf | Entry.D)
    story.add(reset(), 9)
    if seen > 9:
        story.add(peer, seen, value=leaf | Entry.D)
    if permitted:
        assert story.judge().lost == 1
        assert story.referee.findings.accesses == 0
    else:
        story.refuses(match="Entry at")


def test_no_flag_must_be_there_of_an_access_that_was_lost():
    entries = {f"x{table:x}000": (table + 1) << 12 | Entry.P | Entry.RW for table in range(1, 5)}
    story = Story(**entries).add(accesses(C64, 0, 1), 0, 9, lost=1).add(reset(), 9)
    story.add(read([0x1000, PTE]), 10)
    story.answers[-1] = np.repeat(story.answers[-1], 2)
    story.answers[-1]["value"] = entries["x1000"], entries["x4000"]
    story.judge()


MACHINE_CHECK = {"fault": 1, "vector": Vector.MC}


@pytest.mark.parametrize(("cycle", "paddr", "permitted"), [
    (5, PTE, True), (9, PTE, True), (3, 0x1000, True),
    (None, 0, False), (1, PTE, False), (10, PTE, False), (5, PTE + 8, False), (5, OLD, False)])
def test_a_machine_check_needs_an_error_of_an_entry_that_the_access_can_have_read(
        cycle, paddr, permitted):
    story = Story().add(accesses(C64, 0), 2, 9, **MACHINE_CHECK)
    errors = [(cycle, paddr)] if cycle else []
    if permitted:
        assert story.judge(errors).accesses == 1
    else:
        story.refuses(errors)


def test_an_error_of_one_run_permits_nothing_in_the_next():
    story = Story().add(accesses(C64, 0), 2, 9, **MACHINE_CHECK)
    story.judge([(5, PTE)])
    story.refuses()


@pytest.mark.parametrize(("began", "permitted"), [(9, True), (10, True), (11, False)])
def test_a_page_fault_invalidates_when_its_answer_is_taken(began, permitted):
    story = changed_page()
    story.add(accesses(C64, 0, user=1), 9, 10, fault=1, vector=Vector.PF, error=5)
    story.add(accesses(C64, 0), began, 12, paddr=OLD)
    if permitted:
        assert story.judge().stale == 1
    else:
        story.refuses()


def test_nxe_counts_as_it_is_at_each_access():
    off = replace(C64, efer=C64.efer & ~Efer.NXE)
    entry = OLD | P | Entry.XD

    def story():
        return Story(x4000=entry).add(accesses(C64, 0), 0, 6, paddr=OLD)

    reserved = {"fault": 1, "vector": Vector.PF, "error": 9}
    fetch = {"fault": 1, "vector": Vector.PF, "error": 0x11}
    story().add(accesses(off, 0), 7, 12, **reserved).judge()
    story().add(accesses(off, 0), 7, 8, paddr=OLD).refuses()
    story().add(accesses(C64, 0, 2), 7, 8, **fetch).judge()
    story().add(accesses(C64, 0), 7, 8, **reserved).refuses()
    # Once the entry is another, an access under the other NXE finds none that is reserved.
    late = story().add(exchange(PTE, NEW | P), 8, value=entry)
    late.add(accesses(off, 0), 9, 12, **reserved).refuses()


def test_a_change_of_pse_drops_everything():
    """A large page at address 0 whose PDE, without PSE, points to the table that is at 0x2000."""
    pde, small = 0x2000 | P | Entry.PS, 0x7000 | P
    off = replace(C32, cr4=0)
    toggle = invalidation(C32, InvalidateOp.MOV_CR4, old=C32.cr4, new=0)

    def story():
        begun = Story(IA32, C32, x1000=pde & ~0x2000, x2000=small)
        begun.add(accesses(C32, 0), 0, 4, page=1).add(exchange(0x1000, pde), 5)
        begun.answers[-1]["value"] = pde & ~0x2000
        return begun

    story().add(toggle, 6).add(accesses(off, 0), 7, 12, paddr=0x7000).judge()
    story().add(toggle, 6).add(accesses(off, 0), 7, 8, page=1).refuses()
    back = invalidation(off, InvalidateOp.MOV_CR4, old=0, new=C32.cr4)
    both = story().add(toggle, 6).add(accesses(off, 0), 7, 12, paddr=0x7000).add(back, 13)
    both.add(accesses(C32, 0), 14, 15, paddr=0x7000).refuses()
