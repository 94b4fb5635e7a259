"""Which accesses to make to the recorded probes of an image, and what must come of them.

A mapped probe gives the physical address, the page size and, where the leaf's flags were
recorded, the memory type, for whatever access is allowed. These are allowed:

- a supervisor read with AC=1, always;
- a supervisor write with AC=1 and CR0.WP=1, if the rights recorded have W;
- a user read, if the rights recorded have U;
- a fetch, unless the leaf's flag X (NX) was recorded as set. It is made as user where the rights
  have U, for there SMEP would refuse a supervisor's for a reason of its own. Where X is clear in
  the leaf a fetch may still fault, for X may be set higher up, which was not recorded.

An unmapped probe faults for a read, a write, a user read and a fetch, with P=0.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..model.mmu.walk import Control
from ..model.x86 import PAGE_BYTES, AccessKind, Cr4, Efer, ErrorCode, PagingMode, Vector
from .engine.command import accesses
from .engine.port_choice import port_of
from .image import ProbeFlag, ProbeRight, Probes
from .result import Difference

__all__ = ["Plan", "differences"]

READ, WRITE, USER_READ, FETCH = range(4)
KINDS = np.array([AccessKind.READ, AccessKind.WRITE, AccessKind.READ, AccessKind.FETCH])
AC = np.array([True, True, False, False])
OUTCOME_FIELDS = ("present", "write", "user", "fetch")
"""The accesses made to one probe in this order, and the field a wrong outcome counts under."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Accesses (M,) to the probes (N,), those to one probe following each other.

    Members
    -------
    commands : numpy.ndarray
        The access commands (M,).
    probe, check : numpy.ndarray
        The position of the probe (M,), and which access this is: ``READ`` to ``FETCH``.
    known, faults : numpy.ndarray
        Whether the probe tells if the access faults (M,), and if so, whether it does.
    error : numpy.ndarray
        The error code (M,) of the fault, if there is one.
    """

    commands: NDArray[np.void]
    probe: NDArray[np.int64]
    check: NDArray[np.int64]
    known: NDArray[np.bool_]
    faults: NDArray[np.bool_]
    error: NDArray[np.uint16]

    @classmethod
    def of(cls, probes: Probes, control: Control, ports: int = 2) -> "Plan":
        """Return the accesses to ``probes`` under ``control``, in which CR0.WP must be set.

        They go through so many ``ports``, as ``port_of`` says.

        Each probe (N,) has a column for each of the four accesses; of the (N, 4) only those are
        made of which the record tells something. An access whose rights were not recorded is made
        neither as a write nor as a user: nothing could be concluded from its outcome.
        """
        unmapped, has_rights, has_flags = ~probes.mapped, probes.has_rights, probes.has_flags
        writable = has_rights & (probes.rights & ProbeRight.WRITE != 0)
        user = has_rights & (probes.rights & ProbeRight.USER != 0)
        no_fetch = has_flags & (probes.flags & ProbeFlag.X != 0)
        always = np.ones(len(probes), bool)
        made = np.column_stack([always, *[unmapped | has_rights] * 2, unmapped | has_flags])
        known = np.column_stack([always, always, always, unmapped | no_fetch])
        faults = np.column_stack([unmapped, ~writable, ~user, unmapped | no_fetch])
        as_user = np.column_stack([~always, ~always, always, user])
        commands = accesses(control, probes.va[:, None], KINDS, user=as_user, ac=AC,
                            port=port_of(KINDS, ports))
        probe, check = np.nonzero(made)
        commands = commands[made.reshape(-1)]
        return cls(commands, probe, check, known[made], faults[made],
                   _error_codes(commands, probes.mapped[probe], control))


def differences(
    mode: PagingMode, probes: Probes, plan: Plan, answers: NDArray[np.void]
) -> Iterator[Difference]:
    """Yield what is wrong with ``answers`` to the accesses of ``plan``, one field at a time."""
    yield from _outcomes(probes, plan, answers)
    yield from _faults(mode, plan, answers)
    yield from _translations(mode, probes, plan, answers)


def _outcomes(probes: Probes, plan: Plan, answers: NDArray[np.void]) -> Iterator[Difference]:
    """Yield the accesses that faulted though they should not have, or the reverse.

    An access to an unmapped probe that does not fault counts as ``present``, whichever of the four
    it is: that it translates at all is what is wrong.
    """
    got = answers["fault"].astype(bool)
    wrong = plan.known & (got != plan.faults)
    subject = np.where(probes.mapped[plan.probe], plan.check, READ)
    for check, field in enumerate(OUTCOME_FIELDS):
        yield Difference.where(field, wrong & (subject == check), plan.faults, got)


def _faults(mode: PagingMode, plan: Plan, answers: NDArray[np.void]) -> Iterator[Difference]:
    """Yield the faults with a wrong vector, error code or CR2, among those that may be faults."""
    right = (answers["fault"] != 0) & (plan.faults | ~plan.known)
    vaddr = plan.commands["vaddr"]
    canonical = _canonical(mode, vaddr)
    vector = np.where(canonical, Vector.PF, Vector.GP)
    error = np.where(canonical, plan.error, 0)
    for field, name, expected in (
        ("vector", "vector", vector), ("error", "error", error), ("cr2", "vaddr", vaddr)
    ):
        yield Difference.where(field, right & (answers[name] != expected), expected, answers[name])


def _translations(
    mode: PagingMode, probes: Probes, plan: Plan, answers: NDArray[np.void]
) -> Iterator[Difference]:
    """Yield the translations of mapped probes to a wrong address, page size or memory type."""
    translated = (answers["fault"] == 0) & probes.mapped[plan.probe]
    pa, size = probes.pa[plan.probe], probes.size[plan.probe]
    yield Difference.where("paddr", translated & (answers["paddr"] != pa), pa, answers["paddr"])
    sizes = np.array([level.page_bytes for level in mode.pages])
    got_size = sizes[np.minimum(answers["page"], len(sizes) - 1)]
    yield Difference.where("page_size", translated & (got_size != size), size, got_size)
    # PAT, PCD, PWT. The emulator shows PAT of 4-Kbyte pages only.
    flags = probes.flags[plan.probe]
    small = size == PAGE_BYTES
    expected = (4 * ((flags & ProbeFlag.P != 0) & small)
                + 2 * (flags & ProbeFlag.C != 0) + (flags & ProbeFlag.T != 0))
    got = answers["memory_type"] & np.where(small, 7, 3)
    wrong = translated & probes.has_flags[plan.probe] & (got != expected)
    yield Difference.where("memory_type", wrong, expected, got)


def _error_codes(
    commands: NDArray[np.void], mapped: NDArray[np.bool_], control: Control
) -> NDArray[np.uint16]:
    """Return the error code of each access, should it fault. [SDM 4.7]"""
    no_execute = control.cr4 & Cr4.PAE and control.efer & Efer.NXE
    shows_fetch = bool(control.cr4 & Cr4.SMEP or no_execute)
    code: NDArray[np.int64] = (
        ErrorCode.P * mapped
        + ErrorCode.WR * (commands["kind"] == AccessKind.WRITE)
        + ErrorCode.US * (commands["user"] != 0)
        + ErrorCode.ID * (shows_fetch & (commands["kind"] == AccessKind.FETCH))
    )
    return code.astype(np.uint16)


def _canonical(mode: PagingMode, vaddr: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Return whether each linear address (N,) is canonical. [SDM vol. 1, 3.3.7.1]"""
    if mode.vaddr_bits == mode.translated_bits:
        return np.ones(len(vaddr), bool)
    upper = vaddr >> np.uint64(mode.translated_bits - 1)
    ones = (1 << (mode.vaddr_bits - mode.translated_bits + 1)) - 1
    return np.isin(upper, np.array([0, ones], np.uint64))
