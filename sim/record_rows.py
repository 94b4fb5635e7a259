"""Rows of commands and answers, one at a time, and what they say of an access."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..model.mmu.control import Access, Control
from ..model.mmu.rights import Rights
from ..model.mmu.tlb_outcome import PageRights
from ..model.x86 import AccessKind, Purpose
from .engine.answer import PAGE_RIGHTS
from .engine.command import FLAGS, REGISTERS

__all__ = ["Row", "access_of", "control_of", "page_rights_of", "row_pairs"]

Row = Mapping[str, Any]  # a row of COMMAND or ANSWER: field to int


def row_pairs(commands: NDArray[np.void], answers: NDArray[np.void]) -> Iterator[tuple[Row, Row]]:
    """Yield each command with its answer."""
    command_names, answer_names = commands.dtype.names or (), answers.dtype.names or ()
    for command, answer in zip(commands.tolist(), answers.tolist(), strict=True):
        yield (dict(zip(command_names, command, strict=True)),
               dict(zip(answer_names, answer, strict=True)))


def control_of(command: Row) -> Control:
    """Return the registers of a command."""
    return Control(**{name: command[name] for name in REGISTERS})


def access_of(command: Row) -> Access:
    """Return the access that a command makes."""
    flags = (bool(command[name]) for name in FLAGS)
    return Access(command["vaddr"], AccessKind(command["kind"]), *flags,
                  purpose=Purpose(command["purpose"]), size=max(command["size"], 1))


def page_rights_of(answer: Row) -> PageRights:
    """Return what an answer says that the page permits."""
    writable, user, execute_disable, key, dirty, global_page = (
        answer[name] for name in PAGE_RIGHTS)
    rights = Rights(bool(writable), bool(user), bool(execute_disable), key)
    return PageRights(rights, bool(dirty), bool(global_page))
