"""Requests to the MMU as text, one a line: accesses, invalidations, registers, waits.

``read``, ``write`` or ``fetch`` with an address, and ``user``, ``implicit``, ``ac``, ``stack``,
``check``, ``probe`` or ``lookup``, and ``port=NAME``; ``invlpg ADDRESS``; ``invpcid address PCID
ADDRESS``, ``invpcid context PCID``, ``invpcid all`` and ``invpcid nonglobal``; ``mov cr0``, ``mov
cr3`` and ``mov cr4`` with a value; ``wrpkru VALUE``; ``entry ADDRESS VALUE``, which another
processor stores into page tables; ``wait CYCLES``; ``barrier``; ``cancel PORT``; ``reset``. What
stands behind ``#`` is no request.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...hdl.config import Config
from ...model.mmu.control import REGISTER_WIDTHS, Control
from ...model.mmu.register_checks import raises_gp
from ...model.x86 import AccessKind, Cr3, Cr4, InvalidateOp, Purpose
from ..engine.command import (
    FLAGS,
    accesses,
    barrier,
    cancel,
    exchange,
    invalidation,
    reset,
    set_control,
    wait,
)
from ..engine.intake import check_commands
from ..engine.port_choice import port_of
from ..errors import InputError, check_ends

__all__ = ["RequestReader", "StepRequest", "read_requests"]

Commands = NDArray[np.void]

KINDS = {kind.name.lower(): kind for kind in AccessKind}
PURPOSES = {purpose.name.lower(): purpose for purpose in Purpose if purpose is not Purpose.ACCESS}
INVPCID = {"address": InvalidateOp.INVPCID_ADDRESS, "context": InvalidateOp.INVPCID_CONTEXT,
           "all": InvalidateOp.INVPCID_ALL, "nonglobal": InvalidateOp.INVPCID_ALL_NON_GLOBAL}
MOVES = {"cr0": InvalidateOp.MOV_CR0, "cr3": InvalidateOp.MOV_CR3, "cr4": InvalidateOp.MOV_CR4}
MOST_CYCLES = 1_000_000
MOST_BYTES = 1 << 20
NOUN = "requests, one a line"


@dataclass(frozen=True, slots=True)
class StepRequest:
    """A request as it was written, and the command that it is, (1,) of ``COMMAND``."""

    text: str
    commands: Commands


class RequestReader:
    """Makes commands of lines, and keeps the registers that lines before have written.

    Parameters
    ----------
    config : Config
        Parameters of the MMU.
    control : Control
        The registers to begin with.
    """

    def __init__(self, config: Config, control: Control) -> None:
        self._config, self.control = config, control
        self._verbs: dict[str, Callable[[list[str]], Commands]] = {
            **dict.fromkeys(KINDS, self._access),
            "invlpg": self._invlpg, "invpcid": self._invpcid, "mov": self._mov,
            "wrpkru": self._wrpkru, "entry": self._entry, "wait": self._wait,
            "barrier": self._barrier, "cancel": self._cancel, "reset": self._reset}

    def read(self, line: str) -> StepRequest | None:
        """Return the request of a line, None if there is none; raise ``InputError``.

        A line that is refused changes no register.
        """
        text = " ".join(line.partition("#")[0].split())
        if not text:
            return None
        words, before = text.split(), self.control
        if words[0] not in self._verbs:
            raise _wrong(words[0], f"one of {', '.join(self._verbs)}")
        try:
            commands = self._verbs[words[0]](words)
            check_commands(commands, self._config)
        except InputError:
            self.control = before
            raise
        except (ValueError, IndexError) as error:
            self.control = before
            reason = str(error).removesuffix(" in command 0")
            raise InputError(f"{text[:60]!r}: {reason}; expected what the MMU takes") from None
        return StepRequest(text, commands)

    def _access(self, words: list[str]) -> Commands:
        kind, flags, purpose, port = KINDS[words[0]], dict.fromkeys(FLAGS, 0), Purpose.ACCESS, None
        vaddr = _number(words, 1, "ADDRESS", self._config.mode.vaddr_bits)
        for word in words[2:]:
            if word in flags:
                flags[word] = 1
            elif word in PURPOSES:
                purpose = PURPOSES[word]
            elif word.startswith("port="):
                port = self._port(word.removeprefix("port="))
            else:
                raise _wrong(word, f"{', '.join((*FLAGS, *PURPOSES))} or port=NAME")
        if port is None:
            port = int(port_of(kind, len(self._config.ports)))
        return accesses(self.control, vaddr, kind, port=port, purpose=purpose, **flags)

    def _port(self, name: str) -> int:
        if name not in self._config.ports:
            raise _wrong(name, f"a port: {', '.join(self._config.ports)}")
        return self._config.ports.index(name)

    def _invlpg(self, words: list[str]) -> Commands:
        vaddr = _number(words, 1, "ADDRESS", self._config.mode.vaddr_bits)
        _end(words, 2)
        return invalidation(self.control, InvalidateOp.INVLPG, vaddr=vaddr)

    def _invpcid(self, words: list[str]) -> Commands:
        name = words[1] if len(words) > 1 else ""
        if name not in INVPCID:
            raise _wrong(name, f"one of {', '.join(INVPCID)} behind invpcid")
        pcid = vaddr = 0
        count = {"address": 2, "context": 1}.get(name, 0)
        if count:
            pcid = _number(words, 2, "PCID", 12)
        if count == 2:
            vaddr = _number(words, 3, "ADDRESS", self._config.mode.vaddr_bits)
        _end(words, 2 + count)
        op = INVPCID[name]
        self._refuse_gp(words, op, kind=int(op), vaddr=vaddr, descriptor=pcid)
        return invalidation(self.control, op, vaddr=vaddr, pcid=pcid)

    def _mov(self, words: list[str]) -> Commands:
        name = words[1] if len(words) > 1 else ""
        if name not in MOVES:
            raise _wrong(name, f"one of {', '.join(MOVES)} behind mov")
        value = _number(words, 2, "VALUE", REGISTER_WIDTHS[name])
        _end(words, 3)
        before, old = self.control, getattr(self.control, name) if name != "cr3" else 0
        if not self._refuse_gp(words, MOVES[name], old=old, new=value):
            kept = value
            if name == "cr3" and before.cr4 & Cr4.PCIDE:
                kept &= ~Cr3.NO_FLUSH
            self.control = replace(before, **{name: kept})
        return invalidation(before, MOVES[name], old=old, new=value)

    def _refuse_gp(self, words: list[str], op: InvalidateOp, **operands: int) -> bool:
        """Return whether an operation raises #GP; raise ``InputError`` if the MMU cannot tell."""
        config = self._config
        wrong = raises_gp(config.mode, self.control, op, paddr_bits=config.paddr_bits, **operands)
        if wrong and not config.checks:
            raise InputError(f"{' '.join(words)[:60]!r}: raises #GP(0) under the registers; "
                             "expected other operands, or an MMU with --checks")
        return wrong

    def _wrpkru(self, words: list[str]) -> Commands:
        self.control = replace(self.control, pkru=_number(words, 1, "VALUE", 32))
        _end(words, 2)
        return set_control(self.control)

    def _entry(self, words: list[str]) -> Commands:
        paddr = _number(words, 1, "ADDRESS", self._config.physical_bits)
        entry = _number(words, 2, "VALUE", 8 * self._config.mode.entry_bytes)
        _end(words, 3)
        return exchange(paddr, entry)

    def _wait(self, words: list[str]) -> Commands:
        cycles = _number(words, 1, "CYCLES", 32)
        _end(words, 2)
        if not 1 <= cycles <= MOST_CYCLES:
            raise _wrong(words[1], f"from 1 to {MOST_CYCLES} cycles")
        return wait(cycles)

    def _barrier(self, words: list[str]) -> Commands:
        _end(words, 1)
        return barrier()

    def _reset(self, words: list[str]) -> Commands:
        _end(words, 1)
        return reset()

    def _cancel(self, words: list[str]) -> Commands:
        port = self._port(words[1] if len(words) > 1 else "")
        _end(words, 2)
        return cancel(port)


def read_requests(path: str | Path, reader: RequestReader) -> list[StepRequest]:
    """Return the requests of a file; raise ``InputError``, which names the file and the line."""
    check_ends(path, NOUN)
    try:
        with Path(path).open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        lines = data.decode().splitlines()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot be read: {reason}; expected {NOUN}") from None
    if len(data) > MOST_BYTES:
        raise InputError(f"{path}: is longer than {MOST_BYTES} bytes; expected {NOUN}")
    requests = []
    for number, line in enumerate(lines, 1):
        try:
            request = reader.read(line)
        except InputError as error:
            raise InputError(f"{path}:{number}: {error}") from None
        if request is not None:
            requests.append(request)
    return requests


def _number(words: list[str], place: int, what: str, width: int) -> int:
    """Return a number of at most ``width`` bits, with 0x or decimal."""
    text = words[place] if len(words) > place else ""
    if re.fullmatch(r"0[xX][0-9a-fA-F]{1,40}|[0-9]{1,40}", text):
        value = int(text, 16 if text[:2].lower() == "0x" else 10)
        if not value >> width:
            return value
    raise _wrong(text, f"{what}, a number of {width} bits such as 0x1000, behind {words[0]}")


def _end(words: list[str], count: int) -> None:
    """Raise ``InputError`` for a word too many."""
    if len(words) > count:
        raise _wrong(words[count], f"the end of the line behind {words[count - 1][:20]!r}")


def _wrong(word: str, expected: str) -> InputError:
    shown = repr(word[:40]) if word else "the end of the line"
    return InputError(f"{shown}; expected {expected}")
