"""A recorded boot as commands to an engine, and what their answers must be.

Commands are put together by number: there is one for each distinct access and a few for each
special record, and a stretch of records is a list of their numbers. So no access costs Python time.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...model.mmu.batch import Controls
from ...model.x86 import PAGE_SHIFT, Cr3, InvalidateOp
from ..engine.command import (
    COMMAND,
    accesses,
    barrier,
    exchange,
    invalidation,
    set_control,
)
from ..engine.port_choice import port_of
from .answer_checks import EXPECTED, packed_fault
from .log import STORES, AccessMode, BootLog, RecordKind

__all__ = ["BootProgram", "Piece"]

MOVES = {
    RecordKind.CR0: InvalidateOp.MOV_CR0,
    RecordKind.CR3: InvalidateOp.MOV_CR3,
    RecordKind.CR4: InvalidateOp.MOV_CR4,
}
"""The registers whose moves invalidate."""

INVALIDATIONS = (RecordKind.INVLPG, RecordKind.INVPCID)

REGISTERS = {
    "cr3": RecordKind.CR3, "cr0": RecordKind.CR0, "cr4": RecordKind.CR4,
    "efer": RecordKind.EFER, "pkru": RecordKind.PKRU,
}


class BootProgram:
    """The commands of a recorded boot, and what their answers must be.

    ``record`` is the position of a record among all. A store waits until the accesses before it are
    answered, as it came after them; the stores of a row of records wait together. Accesses go
    through so many ``ports``, as ``port_of`` says.
    """

    def __init__(self, log: BootLog, ports: int = 2) -> None:
        self._log = log
        specials = _Specials(log, ports)
        self._commands = np.concatenate([_access_commands(log, ports), specials.commands])
        self._expected = np.zeros(len(self._commands), EXPECTED)
        count = len(log["acc_kind"])
        self._expected["paddr"][:count] = log["acc_ppn"].astype(np.uint64) << np.uint64(PAGE_SHIFT)
        self._expected[count:] = specials.expected
        self._counts, self._starts = specials.counts, count + specials.starts
        self._registers = specials.registers

    def piece(self, first: int, stop: int) -> "Piece":
        """Return the commands of the records from ``first`` to ``stop``, which is exclusive."""
        log = self._log
        start = log["ev"][first:stop].astype(np.int64)
        count = np.ones(len(start), np.int64)
        one, end = np.searchsorted(log.at, (first, stop))
        here = log.at[one:end] - first
        start[here], count[here] = self._starts[one:end], self._counts[one:end]
        ends = np.cumsum(count)
        total = int(ends[-1]) if len(ends) else 0
        number = np.repeat(start - ends + count, count) + np.arange(total)
        # An index in brackets would take records field by field, at 70 times the cost.
        commands, expected = (np.take(all_, number) for all_ in (self._commands, self._expected))
        return Piece(commands, expected, first, ends)

    def registers_at(self, record: int) -> dict[str, int]:
        """Return each register by its name, as it is before ``record``."""
        last = int(np.searchsorted(self._log.at, record)) - 1
        return {name: int(values[last]) for name, values in self._registers.items()}


@dataclass(frozen=True, slots=True)
class Piece:
    """Commands (N,) in a row and what their answers must be (N,).

    They are those of records from ``first`` on; ``ends`` says how many commands come before the end
    of each.
    """

    commands: NDArray[np.void]
    expected: NDArray[np.void]
    first: int
    ends: NDArray[np.int64]

    def __len__(self) -> int:
        """Return the number of commands."""
        return len(self.commands)

    def record(self, row: int) -> int:
        """Return the record that the command ``row`` belongs to."""
        return self.first + int(np.searchsorted(self.ends, row, side="right"))


class _Specials:
    """The commands of all special records (S,): ``counts`` (S,) from ``starts`` (S,) on.

    ``expected`` is what each command must be answered; ``registers`` has each register by its name,
    as it is after each record (S,).
    """

    def __init__(self, log: BootLog, ports: int) -> None:
        self._log, self._kind, self._value = log, log["sp_kind"], log["sp_val"]
        self._ports = ports
        self.registers = {name: self._register(kind) for name, kind in REGISTERS.items()}
        self.registers["cr3"] &= np.uint64(~Cr3.NO_FLUSH & (1 << 64) - 1)
        self.counts = self._count()
        self.starts = np.cumsum(self.counts) - self.counts
        total = int(self.counts.sum())
        self.commands, self.expected = np.zeros(total, COMMAND), np.zeros(total, EXPECTED)
        self._put_stores()
        self._put_moves()
        self._put_invalidations()
        self._put_faults()

    def _register(self, kind: RecordKind) -> NDArray[np.uint64]:
        """Return the value last written to a register (S,), 0 before there is one."""
        written = np.where(self._kind == kind, np.arange(len(self._kind)), -1)
        last = np.maximum.accumulate(written)
        return np.where(last >= 0, self._value[last], np.uint64(0))

    def _count(self) -> NDArray[np.int64]:
        counts = np.zeros(len(self._kind), np.int64)
        counts[np.isin(self._kind, [*REGISTERS.values(), *INVALIDATIONS, RecordKind.FAULT])] = 1
        counts[np.isin(self._kind, [*MOVES])] += 1
        stores = np.isin(self._kind, STORES)
        counts[stores] = 1
        self._waits = stores & ~_follows(stores, self._log.at)
        counts[self._waits] += 1
        return counts

    def _put(self, special: NDArray[np.int64], place: int, commands: NDArray[np.void]) -> None:
        """Make ``commands`` those at the place ``place`` among those of each of some records."""
        self.commands[self.starts[special] + place] = commands

    def _put_stores(self) -> None:
        waiting = np.flatnonzero(self._waits)
        self.commands[self.starts[waiting]] = barrier()
        special = self._log.of_kind(*STORES)
        last = self.starts[special] + self.counts[special] - 1
        self.commands[last] = exchange(self._log.entry_address(special), self._value[special])

    def _put_moves(self) -> None:
        for name, kind in REGISTERS.items():
            special = self._log.of_kind(kind)
            if kind in MOVES:
                old = self.registers[name][special - 1]
                old[:1] = self._value[special[:1]]  # what a recording begins with is no change
                self._put(special, 0, invalidation(
                    None, MOVES[kind], old=old if name != "cr3" else 0, new=self._value[special]))
            after = Controls(**{one: values[special] for one, values in self.registers.items()})
            self._put(special, int(kind in MOVES), set_control(after))

    def _put_invalidations(self) -> None:
        special = self._log.of_kind(RecordKind.INVLPG)
        self._put(special, 0, invalidation(
            None, InvalidateOp.INVLPG, vaddr=self._value[special]))
        special = self._log.of_kind(RecordKind.INVPCID)
        self._put(special, 0, invalidation(  # whose types have the numbers of their operations
            None, self._log["sp_x"][special], vaddr=self._value[special],
            pcid=self._log["sp_ppn"][special]))

    def _put_faults(self) -> None:
        log, special = self._log, self._log.of_kind(RecordKind.FAULT)
        kind, mode = np.divmod(log["sp_fl"][special], np.uint8(1 << AccessMode.KIND_SHIFT))
        commands = _accesses(self._value[special], kind, mode, self._ports)
        commands["expect_fault"] = 1
        self._put(special, 0, commands)
        expected = np.zeros(len(special), EXPECTED)
        expected["vaddr"] = self._value[special]
        expected["fault"] = packed_fault(1, log["sp_x"][special], log["sp_ppn"][special])
        self.expected[self.starts[special]] = expected


def _access_commands(log: BootLog, ports: int) -> NDArray[np.void]:
    """Return a command for each distinct access."""
    return _accesses(
        log["acc_vpn"] << np.uint64(PAGE_SHIFT), log["acc_kind"], log["acc_mode"], ports)


def _accesses(
    vaddr: NDArray[np.uint64], kind: NDArray[np.uint8], mode: NDArray[np.uint8], ports: int
) -> NDArray[np.void]:
    """Return commands for accesses as a log describes them, under the registers as they are."""
    implicit = mode == AccessMode.IMPLICIT
    return accesses(
        None, vaddr, kind, user=(mode & AccessMode.USER != 0) | implicit, implicit=implicit,
        ac=mode & AccessMode.SMAP == 0, port=port_of(kind, ports))


def _follows(chosen: NDArray[np.bool_], at: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return for each special record whether the record just before it is a ``chosen`` one."""
    before = np.zeros(len(chosen), bool)
    before[1:] = chosen[:-1] & (np.diff(at) == 1)
    return before
