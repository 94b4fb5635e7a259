"""The engine without hardware: the golden walk of every access, with empty TLBs."""

from dataclasses import replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from ...hdl.config import Config
from ...model.mmu.batch import Accesses, Controls, EntrySource, FrameSource, walk_batch
from ...model.mmu.control import QUIET
from ...model.mmu.crossing import walk_pages
from ...model.mmu.flag_rules import FlagRules
from ...model.mmu.walk import Access, Control, Walk, walk
from ...model.physical.memory import PhysicalMemory
from ...model.x86 import PAGE_BYTES, AccessKind, PagingMode, Purpose
from .answer import ANSWER, NOTHING, REFUSED, SECOND, Answer, access_memory
from .base import Run, check_stops
from .command import COMMAND, FLAGS, REGISTERS, THROUGH_PORT, Op
from .intake import Intake
from .page_rights import batch_page_rights, page_rights
from .refusal import is_refused

__all__ = ["ModelEngine", "golden_walk"]

KINDS, PURPOSES = tuple(AccessKind), tuple(Purpose)
NO_FAULT = ("vector", "error", "vaddr")
"""What is not told of a fault that a quiet access would end in."""


class ModelEngine:
    """Answers each access with the golden walk.

    It caches nothing, so of invalidations it says only which are refused; nothing is ever cancelled
    or lost, and a ``LOOKUP`` finds what a ``PROBE`` would.

    Parameters
    ----------
    config : Config or PagingMode
        Parameters of the MMU whose answers it gives; a mode stands for those that are usual.
    paddr_bits : int
        MAXPHYADDR, where there is only a mode.
    """

    SHORTEST_BATCH = 28
    """From this many accesses in a row on, walking them together is faster (measured)."""

    def __init__(self, config: Config | PagingMode, paddr_bits: int = 40) -> None:
        if not isinstance(config, Config):
            config = Config(mode=config, paddr_bits=paddr_bits)
        self.config, self.mode = config, config.mode
        self.paddr_bits, self.flags = config.physical_bits, FlagRules(config.accessed, config.ad)
        self._intake = Intake(config)
        self._pages = {level: index for index, level in enumerate(self.mode.pages)}

    def run(
        self,
        memory: PhysicalMemory,
        commands: NDArray[np.void],
        *,
        stop_on_fault: bool = False,
        stop_on_unexpected: bool = False,
    ) -> Run:
        """Carry out ``commands``; see ``Engine.run``."""
        check_stops(stop_on_fault, stop_on_unexpected)
        commands = self._intake.take(commands)
        stops = np.isin(commands["op"], THROUGH_PORT) & (
            stop_on_fault | (stop_on_unexpected & (commands["expect_fault"] == 0)))
        # Walked together, accesses behind the fault at which to stop would set flags, too.
        run = (self._one_by_one(memory, commands, stops) if stop_on_fault else
               self._together(memory, commands, stops))
        self._intake.keep(commands, run.done)
        return run

    def _together(
        self, memory: PhysicalMemory, commands: NDArray[np.void], stops: NDArray[np.bool_]
    ) -> Run:
        """Carry out commands, long runs of accesses each at once.

        A fault of a command that ``stops`` is the end, at the latest behind such a run.
        """
        runs = _long_runs((commands["op"] == Op.ACCESS) & ~_crosses(commands), self.SHORTEST_BATCH)
        if not runs:
            return replace(self._one_by_one(memory, commands, stops), precise=False)
        answers, source, done = np.zeros(len(commands), ANSWER), FrameSource(memory, self.mode), 0
        for first, stop in [*runs, (len(commands), len(commands))]:
            single = self._one_by_one(memory, commands[done:first], stops[done:first])
            answers[done : done + len(single.answers)] = single.answers
            if single.stopped:
                return Run(answers[: done + len(single.answers)], stopped=True, precise=False)
            if first < stop:
                answers[first:stop] = self.answers(source, commands[first:stop])
            if (stops[first:stop] & (answers["fault"][first:stop] != 0)).any():
                return Run(answers[:stop], stopped=True, precise=False)
            done = stop
        return Run(answers)

    def access(self, memory: PhysicalMemory, control: Control, access: Access) -> Answer:
        """Return the answer to an access, without the detour by records that ``run`` takes.

        Nothing is checked that ``check_commands`` would check.
        """
        result = walk(memory, self.mode, control, access, self.paddr_bits, self.flags)
        return self._answer(memory, result, 0, 0)

    def answers(self, source: EntrySource, commands: NDArray[np.void]) -> NDArray[np.void]:
        """Return the answers to access ``commands`` through the page tables in ``source``.

        None of them may cross into another page.
        """
        control = Controls(**{name: commands[name] for name in REGISTERS})
        purpose = commands["purpose"] if self.config.probes else 0
        access = Accesses(commands["vaddr"], commands["kind"],
                          **{name: commands[name] for name in FLAGS}, purpose=purpose)
        walks = walk_batch(source, self.mode, control, access, self.paddr_bits, flags=self.flags,
                           steps=self.config.rights)
        answers = np.zeros(len(commands), ANSWER)
        for name in ("paddr", "vaddr", "error", "fault", "vector", "memory_type"):
            answers[name] = getattr(walks, name)
        answers["page"] = np.maximum(walks.page, 0)
        for name, right in batch_page_rights(self.config, walks, commands["cr4"]).items():
            answers[name] = right
        quiet = np.isin(purpose, QUIET)
        if quiet.any():
            for name in NO_FAULT:
                answers[name][quiet] = 0
        return answers

    def _one_by_one(
        self, memory: PhysicalMemory, commands: NDArray[np.void], stops: NDArray[np.bool_]
    ) -> Run:
        """Carry out commands in turn, each access by a walk of its own.

        A fault of a command that ``stops`` is the end.
        """
        # Plain tuples on the way in and out: storing into numpy row by row costs more than a walk.
        registers, flags = commands[list(REGISTERS)].tolist(), commands[list(FLAGS)].tolist()
        heads = commands[["op", "vaddr", "kind", "new", "size", "purpose"]].tolist()
        control_of = cache(Control)
        answers = []
        for row, ((op, vaddr, kind, new, size, purpose), flag, values, stop) in enumerate(zip(
                heads, flags, registers, stops.tolist(), strict=True)):
            if op in THROUGH_PORT:
                access = Access(vaddr, KINDS[kind], *map(bool, flag), purpose=PURPOSES[purpose],
                                size=max(size, 1))
                control = control_of(*values)
                if op == Op.ACCESS and size > 1:
                    answer = self._access_pages(memory, control, access)
                else:
                    result = walk(memory, self.mode, control, access, self.paddr_bits, self.flags)
                    answer = self._answer(memory, result, new, size if op == Op.DATA else 0)
                answers.append(answer)
                if stop and answer.fault:
                    return Run(np.array(answers, ANSWER), stopped=True)
            elif op in (Op.EXCHANGE, Op.READ):
                answers.append(access_memory(
                    memory, vaddr, self.mode.entry_bytes, new=new if op == Op.EXCHANGE else None))
            elif op == Op.INVALIDATE and self.config.checks:
                fields = dict(zip(COMMAND.names or (), commands[row].item(), strict=True))
                answers.append(REFUSED if is_refused(self.config, fields) else NOTHING)
            else:
                answers.append(NOTHING)
        return Run(np.array(answers, ANSWER))

    def _access_pages(self, memory: PhysicalMemory, control: Control, access: Access) -> Answer:
        """Return the answer to an access of several bytes, which may lie in two pages."""
        both = walk_pages(memory, self.mode, control, access, self.paddr_bits, self.flags)
        last = both.second or both.first
        assert last is not None
        answer = self._answer(memory, last, 0, 0)
        if both.first is None or both.second is None or both.fault:
            return answer
        second = answer._asdict()
        return self._answer(memory, both.first, 0, 0)._replace(
            **{field: second[name] for name, field in SECOND.items()})

    def _answer(
        self, memory: PhysicalMemory, result: Walk, new: int, size: int
    ) -> Answer:
        """Return the answer that a walk leads to.

        If the walk is without fault, access ``size`` bytes of data, 0 for none, and store ``new``
        there if the access is a write.
        """
        access, fault = result.access, result.fault
        if fault is not None and access.purpose in QUIET:
            return Answer(fault=1)
        if fault is not None:
            return Answer(vaddr=fault.vaddr, error=fault.error_code, fault=1, vector=fault.vector)
        page = self._pages[result.page] if result.page is not None else 0
        translation = Answer(paddr=result.paddr, page=page, memory_type=result.memory_type)
        if self.config.rights:
            translation = translation._replace(**page_rights(result))
        if not size:
            return translation
        return access_memory(
            memory, result.paddr, size, new=new if access.kind is AccessKind.WRITE else None,
            translation=translation, vaddr=access.vaddr)


def _long_runs(chosen: NDArray[np.bool_], shortest: int) -> list[tuple[int, int]]:
    """Return the runs of ``shortest`` or more rows that are all ``chosen``: start and end of each.

    The end is exclusive.
    """
    edges = np.flatnonzero(np.diff(chosen, prepend=False, append=False)).reshape(-1, 2)
    runs = edges[edges[:, 1] - edges[:, 0] >= shortest]
    return [(int(first), int(stop)) for first, stop in runs]


def _crosses(commands: NDArray[np.void]) -> NDArray[np.bool_]:
    """Return which accesses end in another page than they begin in."""
    start = commands["vaddr"] & np.uint64(PAGE_BYTES - 1)
    crosses: NDArray[np.bool_] = start + commands["size"] > PAGE_BYTES
    return crosses


def golden_walk(
    memory: PhysicalMemory, config: Config, command: np.void, flags: FlagRules | None = None
) -> tuple[Control, Walk]:
    """Return the registers and the golden walk, with every level, of one access command.

    Flags are set as ``config`` says, or by other rules.
    """
    control = Control(**{name: int(command[name]) for name in REGISTERS})
    access = Access(int(command["vaddr"]), KINDS[command["kind"]],
                    *(bool(command[name]) for name in FLAGS), purpose=PURPOSES[command["purpose"]])
    rules = flags or FlagRules(config.accessed, config.ad)
    return control, walk(memory, config.mode, control, access, config.physical_bits, rules)
