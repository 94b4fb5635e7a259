"""The referee of runs in which page tables change: is each answer one that is permitted?

The answers of an engine that runs hardware are compared with the set of answers that
``model.mmu.tlb_history`` permits, and what other processors read in the page tables with the
accessed and dirty flags that must, or must not, be set there by then.

An access is judged by everything that happens until it is answered: a write to its page tables in
the meantime permits a second answer. The commands, though, come in the order of acceptance. So the
referee lets accesses wait, and judges each just before it notes the first write or invalidation
that came after the answer: then the history up to the answer is complete, and nothing later is in
it. An entry that was read waits likewise for the accesses under way, which may have set its flags.

At a reset all caches are empty, and the accesses under way are lost: they may have set flags until
then. The walk of an access that is cancelled may go on until an invalidation, which waits for it,
or a reset. A page fault invalidates when its answer is taken.
"""

from bisect import insort
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ..hdl.config import Config
from ..model.mmu.control import QUIET
from ..model.mmu.flag_rules import FlagRules
from ..model.mmu.tlb_history import TlbHistory
from ..model.mmu.tlb_outcome import EntryValue, Explanation, pcid_of
from ..model.mmu.walk import Access, Control
from ..model.physical.memory import PhysicalMemory
from ..model.x86 import (
    AccessKind,
    Cr3,
    Cr4,
    Entry,
    InvalidateOp,
    PagingMode,
    Purpose,
    Vector,
)
from .engine.answer import Loss
from .engine.command import Op
from .engine.refusal import is_refused
from .record_rows import Row, access_of, control_of, row_pairs
from .referee_pages import (
    IllegalAnswer,
    explanations_of,
    pages_of,
    permitted_of,
    shown,
    told_of,
)

__all__ = ["Findings", "IllegalAnswer", "Referee"]


@dataclass(slots=True)
class Findings:
    """What was judged.

    ``accesses`` counts the accesses judged, ``permitted`` the same by the number of answers that
    they might have had, ``stale`` those answered by entries that were no longer in memory when the
    access began, ``observed`` the entries that other processors read, and ``lost`` the accesses
    that were under way at a reset, ``cancelled`` those that were cancelled, and ``refused`` the
    invalidations that were general-protection faults.
    """

    accesses: int = 0
    stale: int = 0
    observed: int = 0
    lost: int = 0
    cancelled: int = 0
    refused: int = 0
    permitted: Counter[int] = field(default_factory=Counter)


class Referee:
    """Judges one run after the other, on page tables that begin as ``memory`` holds them.

    The caches of the hardware must be empty at the start of the first run.

    Parameters
    ----------
    config : Config or PagingMode
        Parameters of the hardware; a mode stands for those that are usual.
    memory : PhysicalMemory
        The page tables before the first run.
    control : Control
        The registers before the first run.

    Members
    -------
    findings : Findings
        What was judged so far.
    """

    def __init__(
        self, config: Config | PagingMode, memory: PhysicalMemory, control: Control
    ) -> None:
        if not isinstance(config, Config):
            config = Config(mode=config)
        self.findings = Findings()
        self._config, self._mode = config, config.mode
        self._flags = FlagRules(config.accessed, config.ad)
        self._history = TlbHistory(config.mode, memory, control, config.physical_bits,
                                   flags=self._flags, rights=config.rights)
        self._writes: dict[int, tuple[int, Row]] = {}  # by number, those not judged yet, and since
        self._cancelled: list[tuple[int, Row]] = []  # whose walks may go on, and since when
        self._base = 1  # time of a run's first cycle; time 0 is before all
        self._permitted = np.zeros(0, np.int64)
        self._pending: list[tuple[int, int, Callable[[], None]]] = []

    def judge(
        self,
        commands: NDArray[np.void],
        answers: NDArray[np.void],
        bus_errors: NDArray[np.void] | None = None,
    ) -> NDArray[np.int64]:
        """Judge a run from its commands and answers (N,); raise ``IllegalAnswer``.

        Return the number of answers that each access might have had, 0 for other commands and for
        accesses that were lost. ``bus_errors`` are those of the ``Run``: a machine check needs one
        at the time of its access, or an address where there is no memory. CR3 and CR4 change by a
        MOV, whose value the commands after it must have; other registers may change at any time.
        """
        errors = [] if bus_errors is None else bus_errors.tolist()
        self._history.set_bus_errors((self._base + cycle, paddr) for cycle, paddr in errors)
        last = self._base
        self._permitted = np.zeros(len(commands), np.int64)
        for number, (command, answer) in enumerate(row_pairs(commands, answers)):
            start, end = self._base + answer["accepted"], self._base + answer["answered"]
            last = max(last, end)
            if command["op"] == Op.ACCESS:
                self._wait(end, number, self._judgement(start, end, number, command, answer))
                continue
            if command["op"] == Op.RESET:
                self._reset(start)
                continue
            self._settle(start)
            if command["op"] == Op.INVALIDATE:
                self._invalidate(start, command, answer)
            elif command["op"] in (Op.EXCHANGE, Op.READ):
                self._peer(start, number, command, answer)
        self._settle(last + 1)
        self._base = last + 1
        return self._permitted

    def _judgement(
        self, start: int, end: int, number: int, command: Row, answer: Row
    ) -> Callable[[], None]:
        """Return what judges an access when everything up to ``end`` is noted."""
        if answer["lost"] == Loss.BY_CANCEL:
            return partial(self._cancelled.append, (start, command))
        if answer["lost"]:
            return partial(self._note_lost, start, end, command)
        if self._config.rights and command["kind"] == AccessKind.WRITE:
            self._writes[number] = start, command
        return partial(self._judge_access, start, end, number, command, answer)

    def _wait(self, time: int, number: int, judge: Callable[[], None]) -> None:
        """Have ``judge`` called later, when everything that happens up to ``time`` is noted."""
        insort(self._pending, (time, number, judge), key=lambda one: one[:2])

    def _settle(self, time: int) -> None:
        """Judge the accesses and entries that wait and whose time is before ``time``."""
        while self._pending and self._pending[0][0] < time:
            self._pending.pop(0)[2]()

    def _judge_access(
        self, start: int, end: int, number: int, command: Row, answer: Row
    ) -> None:
        """Judge one access; raise ``IllegalAnswer`` if its answer is none of those permitted."""
        self._note_cancelled(end)
        self._writes.pop(number, None)
        for since, other in self._writes.values():
            if since < end:  # it may have set D already
                self._note_unanswered(since, end, other)
        control, access = control_of(command), access_of(command)
        pages = pages_of(self._mode, control, access)
        found = [[*self._history.explanations(start, end, control, page)] for page in pages]
        permitted, told = permitted_of(found), told_of(self._config, control, pages, answer)
        if told not in permitted:
            raise IllegalAnswer(f"{access} from {start} to {end} under {control} was answered "
                                f"{shown(told)}; permitted are {sorted(map(shown, permitted))}")
        self.findings.accesses += 1
        self.findings.permitted[len(permitted)] += 1
        self._permitted[number] = len(permitted)
        chosen = explanations_of(told, found)
        self.findings.stale += not all(
            any(all(value.last >= start for value in one.values) for one in explanations)
            for explanations in chosen)
        for page, explanations in zip(pages, chosen, strict=False):
            self._note_flags(start, end, page, explanations)
        if told[-1].vector is Vector.PF:
            page = pages[len(told) - 1]
            self._history.drops.page_fault(end, pcid_of(self._mode, control), page.vaddr)

    def _note_lost(self, start: int, end: int, command: Row) -> None:
        """Note what an access that was lost at ``end`` may have done until then."""
        self.findings.lost += 1
        self._note_unanswered(start, end, command)

    def _note_unanswered(self, start: int, end: int, command: Row) -> None:
        control, access = control_of(command), access_of(command)
        if access.kind is AccessKind.WRITE:
            for page in pages_of(self._mode, control, access):
                explanations = self._history.explanations(start, end, control, page)
                self._note_dirty(
                    start, page, [one for one in explanations if one.outcome.vector is None])

    def _note_cancelled(self, time: int, *, over: bool = False) -> None:
        """Note what cancelled accesses may have done until ``time``, after which they are over."""
        for start, command in self._cancelled:
            self._note_unanswered(start, time, command)
        if over:
            self.findings.cancelled += len(self._cancelled)
            self._cancelled.clear()

    def _reset(self, time: int) -> None:
        """Note a reset, in whose cycle answers may have been taken and the last flags set."""
        self._settle(time + 1)
        self._note_cancelled(time, over=True)
        self._history.forget(time)

    def _note_dirty(self, start: int, access: Access, chosen: list[Explanation]) -> None:
        """Note that a write may have set D in the leaf of each of the explanations ``chosen``."""
        if self._sets_dirty(access):
            for one in chosen:
                for leaf in one.values[-1:]:
                    leaf.dirty = start if leaf.dirty is None else min(leaf.dirty, start)

    def _note_flags(
        self, start: int, end: int, access: Access, chosen: list[Explanation]
    ) -> None:
        """Note in the entries which flags the access may have set, and which it must have set.

        It may have set D in the leaf of every explanation ``chosen`` that has its answer. It must
        have set A, and D for a write, only if there is one such explanation: with several it is
        unknown which entries were used.
        """
        if access.purpose in QUIET or self._flags.ad == "fault":
            return
        translated = chosen[0].outcome.vector is None
        if translated:
            self._note_dirty(start, access, chosen)
        if len(chosen) > 1 or (self._flags.at_the_end and not translated):
            return
        # These entries were used; the leaf gets its flags only if the access was permitted.
        values = chosen[0].values
        for value in values if translated else values[:-1]:
            value.used = end if value.used is None else min(value.used, end)
        if translated and self._sets_dirty(access) and values:
            leaf = values[-1]
            leaf.written = end if leaf.written is None else min(leaf.written, end)

    def _sets_dirty(self, access: Access) -> bool:
        """Return whether an access that succeeds sets D, unless software does."""
        return (access.kind is AccessKind.WRITE and access.purpose is Purpose.ACCESS
                and self._flags.ad != "fault")

    def _peer(self, time: int, number: int, command: Row, answer: Row) -> None:
        """Note that another processor read an entry, and with an exchange replaced it."""
        paddr = command["vaddr"]
        value = self._history.values(paddr)[-1]
        # Accesses under way may have set flags: they have to be judged first.
        latest = max((end for end, _, _ in self._pending), default=time)
        self._wait(latest, number, lambda: self._judge_entry(time, paddr, value, answer["value"]))
        if command["op"] == Op.EXCHANGE:
            entry = command["new"] & (1 << 8 * self._mode.entry_bytes) - 1
            self._history.write(time, paddr, entry)

    def _judge_entry(self, time: int, paddr: int, value: EntryValue, got: int) -> None:
        """Judge an entry that was read as ``got`` at ``time``, when software had left ``value``.

        Raise ``IllegalAnswer`` if a flag is missing that must have been set before, or if a bit
        differs that no access can have set.
        """
        self.findings.observed += 1
        self._note_cancelled(time)
        may = Entry.A | (Entry.D if value.dirty is not None and value.dirty <= time else 0)
        may *= self._flags.ad != "fault"
        must = value.entry
        if value.used is not None and value.used < time:
            must |= Entry.A
        if value.written is not None and value.written < time:
            must |= Entry.D
        if got & ~may != value.entry & ~may or got & must != must:
            raise IllegalAnswer(f"Entry at {paddr:#x} is {got:#x} at {time}; expected {must:#x}, "
                                f"of A and D at most {may:#x} more")

    def _invalidate(self, time: int, command: Row, answer: Row) -> None:
        """Note an invalidation, and the register that a MOV writes, if it is not refused."""
        self._note_cancelled(time, over=True)
        refused = is_refused(self._config, command)
        if (answer["fault"], answer["vector"]) != (refused, Vector.GP * refused):
            raise IllegalAnswer(f"{InvalidateOp(command['invalidate'])!r} at {time} was answered "
                                f"by vector {answer['vector']}; expected {Vector.GP * refused}")
        if refused:
            self.findings.refused += 1
            return
        control, op = control_of(command), InvalidateOp(command["invalidate"])
        history = self._history
        pcide = self._mode.has_pcids and bool(control.cr4 & Cr4.PCIDE)
        history.drops.operation(time, op, command, pcid=pcid_of(self._mode, control), pcide=pcide)
        if op is InvalidateOp.MOV_CR3:
            history.set_control(time, replace(control, cr3=command["new"] & ~Cr3.NO_FLUSH))
        elif op is InvalidateOp.MOV_CR4:
            history.set_control(time, replace(control, cr4=command["new"]))
        if history.drops.dropped_everything(time):
            history.forget(time)
