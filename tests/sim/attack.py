"""Programs and memories meant to break the hardware: every event, aimed at what caches may hold.

To what ``Churn`` does come resets, changes of CR4.PSE, accesses of all ports at once, and moves of
page tables; and of what the hardware has, probes, cancels and operations that it must refuse. A
move: an entry is made to point to another table while caches hold the old one, then
something ends what they hold, and what is written to the old table from then on must not be found.
"""

from collections import Counter

import numpy as np

from pagewalk.hdl.config import Config
from pagewalk.model.x86 import (
    IA32,
    PAGE_BYTES,
    PAGE_SHIFT,
    X86_64,
    Cr3,
    Cr4,
    Entry,
    InvalidateOp,
    Purpose,
)
from pagewalk.sim.engine.base import EngineStalled
from pagewalk.sim.engine.command import barrier, cancel, reset, wait
from pagewalk.sim.engine.cxxrtl import CxxrtlEngine
from pagewalk.sim.engine.memory_model import MemoryModel
from pagewalk.sim.referee import IllegalAnswer, Referee

from .churn import FLAGS, WEIGHTS, Churn

__all__ = ["CONFIGS", "Attack", "Found", "attack", "random_memory_model"]

Found = IllegalAnswer, EngineStalled, AssertionError
"""What an attack raises where it finds something: an answer that is not permitted, none at all, or
one that nobody waits for."""

THREE = ("fetch", "load", "store")
CONFIGS = {
    "x86_64-tiny": Config(mode=X86_64, entries=2, walk_cache=1, ports=THREE, tag_bits=2),
    "x86_64": Config(mode=X86_64),
    "x86_64-pool-tiny": Config(mode=X86_64, entries=2, walk_cache=2, ports=THREE, walkers=3,
                               misses=4, order="tag"),
    "ia32-tiny": Config(mode=IA32, entries=2, walk_cache=1, tag_bits=2),
    "ia32": Config(mode=IA32, ports=THREE),
    "x86_64-l2-tiny": Config(
        mode=X86_64, entries=2, walk_cache=1, ports=THREE, tag_bits=2, l2_entries=16, l2_ways=2),
    "ia32-l2-tiny": Config(
        mode=IA32, entries=2, walk_cache=1, tag_bits=2, l2_entries=16, l2_policy="lru", misses=3),
    "x86_64-sizes-tiny": Config(
        mode=X86_64, entries=2, walk_cache=1, ports=THREE, tag_bits=3, access_bytes=64, misses=2,
        rights=True, probes=True, cancel=True),
    "ia32-sizes-tiny": Config(
        mode=IA32, entries=2, walk_cache=1, tag_bits=2, access_bytes=16, l2_entries=16, l2_ways=2),
    "x86_64-prefetch-tiny": Config(
        mode=X86_64, entries=1, walk_cache=1, ports=THREE, walkers=3, misses=4, order="tag",
        l2_entries=16, l2_ways=2, prefetch="next"),
    "ia32-prefetch-tiny": Config(
        mode=IA32, entries=1, walk_cache=1, tag_bits=2, l2_entries=16, prefetch="next"),
}
"""The hardware that is attacked: tiny, so that all is replaced all the time, and as by default."""

LEAF = Entry.P | Entry.RW | Entry.US | Entry.A | Entry.D


class Attack(Churn):
    """Software that does all that it can, in proportions that follow from the seed.

    Where flags are set by plain writes it leaves the page tables alone while there may be walks;
    where software sets them, most entries have theirs.
    """

    def __init__(self, config, seed):
        self.config = config
        if config.ad == "fault":
            self.flag_chances = (*FLAGS[:-2], (Entry.A, 0.97), (Entry.D, 0.7))
        super().__init__(config.mode, [1, seed], ports=len(config.ports))
        weights = WEIGHTS | AIMED
        if config.cancel:
            weights |= {Attack.cancel: 6}
        if config.checks:
            weights |= {Attack.bad_operation: 2}
        if config.prefetches:
            weights |= {Attack.go_on: 12}
        shares = self.rng.exponential(size=len(weights)) * np.array([*weights.values()])
        self.actions = [action for action, share in zip(weights, shares, strict=True)
                        for _ in range(round(4 * share))] or [Churn.accesses]

    def program(self, length):
        """Return about ``length`` commands."""
        commands, _ = super().program(length)
        return commands

    def _expect_single(self, _is_single, vaddr=None):
        """Access what was just invalidated; no wait then, for what comes next is to meet it."""
        for _ in range(int(self.rng.integers(3))):
            self.access(vaddr)

    def _purpose(self):
        probes = self.config.probes and self._chance(0.4)
        return self._pick([*Purpose][1:]) if probes else Purpose.ACCESS

    def _extent(self, vaddr):
        """Return an address near the end of the page, as a rule, where accesses have sizes."""
        longest = self.config.access_bytes
        if not longest:
            return vaddr, 1
        if self._chance(0.6):
            vaddr = (vaddr | PAGE_BYTES - 1) - int(self.rng.integers(longest))
        return vaddr, int(self.rng.integers(longest + 1))

    def _exchange(self, paddr, entry):
        if self.config.ad == "write":
            self.commands.append(barrier())
        super()._exchange(paddr, entry)

    def cancel(self):
        """Cancel one or all of the accesses of a port that wait, and go on with others."""
        for _ in range(int(self.rng.integers(1, 6))):
            self.access()
        if self._chance(0.5):
            self._pause(8)
        self.commands.append(cancel(self._port(), int(self.rng.integers(4))))
        self.access()

    def bad_operation(self):
        """Try an invalidation that is a general-protection fault, and access what it was about."""
        vaddr = self._pick(self.hot)
        if self.long and self._chance(0.3):
            self._invalidate(InvalidateOp.MOV_CR3, new=self.control.cr3 | 1 << 60)
        else:
            bits = self._bits(2) or 3
            self._invalidate(InvalidateOp(int(self.rng.integers(4))), vaddr=vaddr, old=bits & 1,
                             pcid=self.control.cr3 & Cr3.PCID, new=bits >> 1 << 51)
        self.access(vaddr)

    def _pause(self, longest=22):
        self.commands.append(wait(int(self.rng.integers(1, longest))))

    def crowd(self):
        """Access pages near each other through all ports, one right after the other."""
        vaddr = self._pick(self.hot)
        for _ in range(int(self.rng.integers(2, 5))):
            for port in self.rng.permutation(self.ports):
                self.access(self._sibling(vaddr), int(port))

    def _sibling(self, vaddr, number=-1):
        """Return an address that differs from ``vaddr`` in the index of a level."""
        level = self.mode.levels[number]
        index = self._pick(self.indices[number])
        return vaddr & ~((1 << level.index_bits) - 1 << level.shift) | index << level.shift

    def reset(self):
        """Reset the hardware at any moment of a walk, and go on at once or later."""
        for _ in range(int(self.rng.integers(1, 4))):
            self.access()
        self._pause(8)
        self.commands.append(reset())
        if self._chance(0.3):
            self._pause()
        for _ in range(int(self.rng.integers(1, 6))):
            self.access()

    def settle(self):
        self.commands.append(barrier())

    def toggle_pse(self):
        new = self.control.cr4 ^ Cr4.PSE
        self._invalidate(InvalidateOp.MOV_CR4, old=self.control.cr4, new=new)
        self._set(cr4=new)

    def move_table(self):
        """Have an entry point to another table; end what caches hold; write to the old table."""
        vaddr = self._pick(self.hot)
        path = self._path(vaddr)
        if len(path) < 2:
            return
        number = int(self.rng.integers(len(path) - 1))
        moved, below = path[number], path[number + 1]
        old = self.entries[moved]
        self._open(path[:number + 2])
        self.access(self._sibling(vaddr, number + 1))  # so that a walk cache holds the old table
        self.commands.append(barrier())
        tables = [pfn for pfn in self.tables[number + 1] if pfn != old >> 12 & 0xFFFFF]
        self._exchange(moved, LEAF | self._pick(tables) << 12)
        self._pick((self._end_by_invlpg, self._end_by_fault, self._end_by_fault))(vaddr, number)
        self._pause()
        self._exchange(below, self._entry(number + 1) | LEAF)
        if self._chance(0.5):
            self._pause(60)
        for _ in range(int(self.rng.integers(1, 4))):
            self.access(vaddr)

    def go_on(self):
        """Access a page, then the one after it, which may have been walked ahead by then.

        In between it is changed, and something ends what caches hold of it, or nothing does.
        """
        page = min(self.indices[-1][1:])  # an index that is in use, as the one after it is
        vaddr = self._pick(self.hot) & -self.mode.levels[-2].page_bytes | page << PAGE_SHIFT
        path, following = self._path(vaddr), self._path(vaddr + 0x1000)
        if len(path) < len(self.mode.levels):  # a large page
            return
        if self._chance(0.8):
            self._open(path)
            self._open(following[-1:])
        self._invalidate(InvalidateOp.INVLPG, vaddr=vaddr)
        if self._chance(0.7):
            self.commands.append(barrier())
        self.access(vaddr)
        self._pause(self._pick((20, 100)))
        if self._chance(0.7):
            self._exchange(following[-1], self._entry(len(path) - 1) | LEAF)
        ends = self._pick(("none", "invlpg", "fault", "reset", "other"))
        if ends == "invlpg":
            self._invalidate(InvalidateOp.INVLPG, vaddr=vaddr + 0x1000)
        elif ends == "fault":
            self._end_by_fault(vaddr, len(path) - 2)
        elif ends == "reset":
            self.commands.append(reset())
        elif ends == "other":
            self._pick(self.actions)(self)
        self.access(vaddr + 0x1000)

    def _open(self, path):
        """Make the entries of a path present, with all rights."""
        for paddr in path:
            if self.entries[paddr] & (LEAF | Entry.XD) != LEAF:
                self._exchange(paddr, (self.entries[paddr] | LEAF) & ~Entry.XD)

    def _end_by_invlpg(self, _vaddr, _number):
        """End all tables that the PCID's paging-structure caches hold, by any address."""
        if self._chance(0.7) or not self.long:
            self._invalidate(InvalidateOp.INVLPG, vaddr=self._vaddr())
        else:
            self._invalidate(InvalidateOp.INVPCID_ADDRESS, vaddr=self._vaddr(),
                             pcid=self.control.cr3 & Cr3.PCID)

    def _end_by_fault(self, vaddr, number):
        """End the tables on the way to a sibling by a page fault, with walks beside and behind."""
        sibling = self._sibling(vaddr, number + 1)
        port = self._port()
        for paddr in self._old_leaf(sibling, number):
            self._exchange(paddr, self.entries[paddr] & ~Entry.P)
        self.access(sibling, port)
        for _ in range(int(self.rng.integers(1, self.ports + 1))):
            self.access(vaddr, (port + 1) % self.ports if self._chance(0.7) else None)

    def _old_leaf(self, vaddr, number):
        """Return the entries, in every table of the level below, that lead to ``vaddr``."""
        level = self.mode.levels[number + 1]
        index = vaddr >> level.shift & (1 << level.index_bits) - 1
        return [(pfn << 12) + index * self.mode.entry_bytes for pfn in self.tables[number + 1]]


AIMED = {Attack.crowd: 4, Attack.reset: 2, Attack.settle: 2, Attack.toggle_pse: 0.3,
         Attack.move_table: 6}
"""How often, beside ``WEIGHTS``, what only an ``Attack`` does is done."""


def random_memory_model(seed):
    """Return a memory that is quick or slow, patient or not, with and without bus errors."""
    rng = np.random.default_rng([2, seed])
    low = int(rng.choice([1, 1, 2, 5]))
    chances = rng.choice([0, 0.1, 0.3, 0.6], 2)
    return MemoryModel(
        (low, low + int(rng.choice([0, 3, 15]))), request_stall=float(chances[0]),
        answer_stall=float(chances[1]), error_rate=float(rng.choice([0, 0.002, 0.03])), seed=seed)


def attack(config, seed, cycles, *, length=8000, make_engine=CxxrtlEngine):
    """Attack hardware for so many cycles at least; return findings, events and cycles played.

    It goes through programs of about ``length`` commands; by the same seed, length and cycles it is
    the same attack, whatever makes the engine. Raise one of ``Found``.
    """
    software = Attack(config, seed)
    referee = Referee(config, software.memory, software.control)
    engine = make_engine(config, random_memory_model(seed))
    events, played = Counter(), 0
    while played < cycles:
        commands = software.program(length)
        run = engine.run(software.memory, commands)
        referee.judge(commands, run.answers, run.bus_errors)
        events.update(run.events, bus_errors=len(run.bus_errors))
        played += run.cycles
    return referee.findings, events, played
