"""The replay of a recorded boot: every access and every fault in order, through one engine.

The engine's TLBs start empty and keep what they hold as long as the recorded kernel's own
invalidations permit: stores into page tables reach memory, and nothing else.
"""

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ...hdl.config import Config
from ...model.mmu.flag_rules import FLAGS_ON_USE
from ...model.mmu.walk import Control
from ...model.x86 import InvalidateOp
from ..engine.base import Engine, Run
from ..engine.command import Op, invalidation, set_control
from ..engine.model import ModelEngine, golden_walk
from ..result import Mismatch
from .answer_checks import differ, may_be_spurious, wrong_fields
from .boot_result import BootResult
from .log import BootLog
from .program import BootProgram, Piece
from .table_entries import TableEntries

__all__ = ["replay_log"]

PIECE_RECORDS = 1 << 16
PARTS = 100  # of a log, after each of which progress is told
SHORTEST_RUN = 64  # commands, after a fault that stopped a run: the next may be near


def replay_log(
    log: BootLog,
    engine: Engine,
    *,
    config: Config | None = None,
    limit: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> BootResult:
    """Replay ``log`` with ``engine``, whose paging mode and MAXPHYADDR must be the log's.

    ``config`` has the parameters of the engine, by default those that are usual. Where software
    sets accessed and dirty flags, it sets those that an access lacks, which is made once more.

    Every answer is compared with the recording, and so is the entry before each store and every
    entry at the end; ``BootResult`` says what a mismatch is. An access that ends in a page fault
    with P=1 is made once more. ``limit`` is the number of translations to replay, all by default.
    ``progress`` is called with the number of translations done and of all: at the beginning, and
    after each hundredth of the records or ``PIECE_RECORDS``. Raise ``EngineStalled`` as the engine
    does.
    """
    if limit is not None and limit < log.translations:
        log = log.prefix(limit)
    result = BootResult(log.mode, log.translations)
    start = time.perf_counter()
    done, tell = 0, progress or (lambda _done, _total: None)
    tell(done, result.total)
    config = config or Config(mode=log.mode, paddr_bits=log.paddr_bits)
    replay = _LogReplay(log, engine, config, result)
    size = min(max(len(log) // PARTS, SHORTEST_RUN), PIECE_RECORDS)
    for first in range(0, len(log), size):
        done += replay.piece(first, min(first + size, len(log)))
        tell(done, result.total)
    replay.finish()
    result.seconds = time.perf_counter() - start
    return result


class _LogReplay:
    """A replay under way: the memory, what stores to page tables found there, and the result."""

    def __init__(
        self, log: BootLog, engine: Engine, config: Config, result: BootResult
    ) -> None:
        self.log, self.engine, self.config, self.result = log, engine, config, result
        self.program = BootProgram(log, len(config.ports))
        self.entries = TableEntries.of(log)
        self.memory = self.entries.memory()
        self.found: list[NDArray[np.uint64]] = []
        self.stretch = PIECE_RECORDS  # how many commands are run at once
        # What the engine may hold from before is none of this log.
        self._run(np.concatenate([
            set_control(Control(cr3=0, cr0=0, cr4=0, efer=0)),
            invalidation(None, InvalidateOp.INVPCID_ALL)]))

    def _run(self, commands: NDArray[np.void], *, stop: bool = False) -> Run:
        run = self.engine.run(self.memory, commands, stop_on_unexpected=stop)
        self.result.add_run(run)
        return run

    def piece(self, first: int, stop: int) -> int:
        """Replay the records from ``first`` to ``stop``; return how many translations they are."""
        piece = self.program.piece(first, stop)
        row = 0
        while row < len(piece):
            run = self._run(piece.commands[row:row + self.stretch], stop=True)
            self._compare(piece, row, run.answers)
            row += len(run.answers)
            # Where a fault stopped a run others are near, and a long run would be for nothing.
            self.stretch = SHORTEST_RUN if run.stopped else min(2 * self.stretch, PIECE_RECORDS)
        return int(np.count_nonzero(piece.commands["op"] == Op.ACCESS))

    def _compare(self, piece: Piece, first: int, answers: NDArray[np.void]) -> None:
        """Compare the answers to the commands of ``piece`` from the row ``first`` on."""
        rows = slice(first, first + len(answers))
        self.found.append(answers["value"][piece.commands["op"][rows] == Op.EXCHANGE])
        for row in np.flatnonzero(differ(answers, piece.expected[rows])).tolist():
            self._judge(piece, first + row, answers[row])

    def _judge(self, piece: Piece, row: int, answer: np.void) -> None:
        """Make an access again if its page fault may be spurious; count what is wrong."""
        expected = piece.expected[row]
        if not expected["fault"] and may_be_spurious(answer):
            if self.config.ad == "fault":
                command = self._with_registers(piece.commands[row], piece.record(row))
                golden_walk(self.memory, self.config, command, FLAGS_ON_USE)
            answers = self._run(piece.commands[row:row + 1]).answers
            if not differ(answers, piece.expected[row:row + 1])[0]:
                self.result.spurious_faults += 1
                return
            answer = answers[0]
        kinds = wrong_fields(answer, expected)
        self.result.mismatches += 1
        self.result.mismatches_by_kind.update([*kinds])
        if self.result.has_room:
            kind, (wanted, got) = next(iter(kinds.items()))
            record = piece.record(row)
            command = self._with_registers(piece.commands[row], record)
            memory = TableEntries.of(self.log.first(record)).recorded_memory(self.log.mode)
            control, walk = golden_walk(memory, self.config, command)
            self.result.first.append(Mismatch(f"record {record}", kind, wanted, got, control, walk))

    def _with_registers(self, command: np.void, record: int) -> np.void:
        """Return a command with the registers that it inherits as they are before a record."""
        command = command.copy()
        for name, value in self.program.registers_at(record).items():
            command[name] = value
        return command

    def finish(self) -> None:
        """Compare what stores found, and what page tables hold at the end."""
        mode, entries, result = self.log.mode, self.entries, self.result
        got = np.concatenate([*self.found, entries.at_end(self.memory, mode)])
        on_use = self.config.accessed == "use" and self.config.ad != "fault"
        walked = None if isinstance(self.engine, ModelEngine) and on_use else self._walked
        wrong = [(int(entries.record[row]), difference.field, int(entries.address[row]),
                  int(expected), int(value))
                 for difference in entries.differences(got, walked)
                 for row, expected, value in zip(
                     difference.rows, difference.expected, difference.got, strict=True)]
        wrong += [(len(self.log), "tables", address, 0, value)
                  for address, value in entries.strays(self.memory, mode)]
        result.mismatches += len(wrong)
        result.mismatches_by_kind.update(kind for _, kind, *_ in wrong)
        for record, kind, address, expected, value in sorted(wrong):
            if result.has_room:
                place = f"record {record}" if record < len(self.log) else "the end of the log"
                result.first.append(Mismatch(place, kind, expected, value, paddr=address))

    def _walked(self) -> NDArray[np.uint64]:
        """Return the entries that walks of all accesses leave: those of the golden model."""
        walks = _LogReplay(self.log, ModelEngine(self.config), self.config,
                           BootResult(self.log.mode, 0))
        for first in range(0, len(self.log), PIECE_RECORDS):
            walks.piece(first, min(first + PIECE_RECORDS, len(self.log)))
        return np.concatenate([*walks.found, walks.entries.at_end(walks.memory, self.log.mode)])
