"""What every engine does with commands before it carries them out: checks, inherited registers."""

import numpy as np
from numpy.typing import NDArray

from ...hdl.config import Config
from ...model.x86 import AccessKind, Cr3, InvalidateOp, PagingMode, Purpose
from .command import COMMAND, FLAGS, REGISTERS, THROUGH_PORT, UNDER_REGISTERS, Op

__all__ = ["Intake", "check_commands"]

BY_ADDRESS = (InvalidateOp.INVLPG, InvalidateOp.INVPCID_ADDRESS)
BY_PCID = (InvalidateOp.INVPCID_ADDRESS, InvalidateOp.INVPCID_CONTEXT)

PEER = (Op.EXCHANGE, Op.READ)
HEXADECIMAL = ("vaddr", "pcid")

Rows = NDArray[np.bool_]


class Intake:
    """Takes in the commands of one run after the other, and keeps registers for those to come.

    Parameters
    ----------
    config : Config
        Parameters of the MMU that the commands are for.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._registers: np.void | None = None  # those of the last ``Op.CONTROL`` that was done

    def take(self, commands: NDArray[np.void]) -> NDArray[np.void]:
        """Return commands (N,) of dtype ``COMMAND``, each with its registers, in one piece.

        Raise ``ValueError`` and ``IndexError`` as ``check_commands`` does, and ``ValueError`` for
        a command that inherits registers before any ``Op.CONTROL``.
        """
        commands = np.ascontiguousarray(commands, COMMAND)
        check_commands(commands, self._config)
        if not commands["inherit"].any():
            return commands
        inherits = (commands["inherit"] != 0) & np.isin(commands["op"], UNDER_REGISTERS)
        numbers = np.arange(len(commands))
        sources = np.maximum.accumulate(np.where(commands["op"] == Op.CONTROL, numbers, -1))
        first = inherits & (sources < 0)
        if first.any() and self._registers is None:
            raise ValueError(f"Command {first.argmax()} inherits registers, but there was no "
                             "control command before")
        filled = np.take(commands, numbers)  # a copy; numpy's own goes field by field, slowly
        for name in REGISTERS:
            filled[name][inherits] = commands[name][sources[inherits]]
            if self._registers is not None:
                filled[name][first] = self._registers[name]
        return filled

    def keep(self, commands: NDArray[np.void], done: int) -> None:
        """Keep the registers for the next run, of which the first ``done`` commands are done."""
        controls = np.flatnonzero(commands["op"][:done] == Op.CONTROL)
        if len(controls):
            self._registers = commands[controls[-1]].copy()


def check_commands(commands: NDArray[np.void], config: Config) -> None:
    """Raise ``ValueError`` for the first command of a sort that is wrong, naming row and value.

    The sorts are an operation, an access kind, a flag or an invalidation that there is not; data
    of another size than 1, 2, 4 or 8 or not at a multiple of it; an entry not at a multiple of its
    size; a linear address or a PCID that is too wide; an access of more than ``access_bytes``, a
    purpose of an MMU without ``probes``, or a cancel of one without ``cancel``. Raise
    ``IndexError`` for a port that there is not.
    """
    mode = config.mode
    op = commands["op"].copy()
    _refuse(commands, op >= len(Op), "op", f"Operation must be below {len(Op)}")
    access = np.isin(op, THROUGH_PORT)
    if access.any():
        _check_accesses(commands, access, config)
    data, peer, invalidate = op == Op.DATA, np.isin(op, PEER), op == Op.INVALIDATE
    if data.any():
        _check_sizes(commands, data)
    if peer.any():
        aligned = commands["vaddr"] & np.uint64(mode.entry_bytes - 1) == 0
        _refuse(commands, peer & ~aligned, "vaddr", "Address of an entry must be a multiple of "
                f"{mode.entry_bytes}")
    if invalidate.any():
        _check_invalidations(commands, invalidate, mode)
    cancel = op == Op.CANCEL
    if cancel.any():
        _check_ports(commands, cancel, config)
        _refuse(commands, cancel & (not config.cancel), "op",
                "Operation must not cancel, as the hardware cannot")


def _check_ports(commands: NDArray[np.void], chosen: Rows, config: Config) -> None:
    """Check the ports of ``chosen`` commands."""
    wrong = chosen & (commands["port"] >= len(config.ports))
    if wrong.any():
        row = int(wrong.argmax())
        raise IndexError(
            f"Command {row} is for port {commands['port'][row]}, of {len(config.ports)}")


def _check_accesses(commands: NDArray[np.void], access: Rows, config: Config) -> None:
    """Check the commands that are an ``access``."""
    _check_ports(commands, access, config)
    _refuse(commands, access & (commands["kind"] >= len(AccessKind)), "kind",
            f"Access kind must be below {len(AccessKind)}")
    for flag in FLAGS:
        _refuse(commands, access & (commands[flag] > 1), flag, f"Flag {flag} must be 0 or 1")
    if commands["purpose"].any():
        highest = max(Purpose) if config.probes else Purpose.ACCESS
        _refuse(commands, access & (commands["purpose"] > highest), "purpose",
                f"Purpose must be at most {highest:d}" + " without probes" * (not config.probes))
        _refuse(commands, (commands["op"] == Op.DATA) & (commands["purpose"] > 0), "purpose",
                "Purpose of data must be 0")
    longest = max(config.access_bytes, 1)
    _refuse(commands, (commands["op"] == Op.ACCESS) & (commands["size"] > longest), "size",
            f"Size of an access must be at most {longest}"
            + " without access_bytes" * (not config.access_bytes))
    _check_vaddr(commands, access, config.mode)


def _check_invalidations(commands: NDArray[np.void], invalidate: Rows, mode: PagingMode) -> None:
    """Check the commands that ``invalidate``."""
    what = commands["invalidate"]
    _refuse(commands, invalidate & (what >= len(InvalidateOp)), "invalidate",
            f"Invalidating operation must be below {len(InvalidateOp)}")
    _check_vaddr(commands, invalidate & np.isin(what, BY_ADDRESS), mode)
    by_pcid = invalidate & np.isin(what, BY_PCID)
    _refuse(commands, by_pcid & (commands["pcid"] > Cr3.PCID), "pcid",
            f"PCID must have at most {Cr3.PCID.bit_length()} bits")


def _check_vaddr(commands: NDArray[np.void], chosen: Rows, mode: PagingMode) -> None:
    """Check the linear addresses of ``chosen`` commands."""
    if mode.vaddr_bits < 64:
        wide = commands["vaddr"] >> np.uint64(mode.vaddr_bits) != 0
        _refuse(commands, chosen & wide, "vaddr",
                f"Linear address must have at most {mode.vaddr_bits} bits")


def _check_sizes(commands: NDArray[np.void], data: Rows) -> None:
    """Check size and address of the commands that move ``data``."""
    size, vaddr = commands["size"], commands["vaddr"]
    right = (size == 1) | (size == 2) | (size == 4) | (size == 8)
    wrong = data & ~(right & (vaddr & (size - np.uint64(1)) == 0))
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(f"Data must be 1, 2, 4 or 8 bytes at a multiple of that, not {size[row]} "
                         f"at {vaddr[row]:#x} in command {row}")


def _refuse(commands: NDArray[np.void], wrong: Rows, field: str, law: str) -> None:
    """Raise ``ValueError`` for the first row that is ``wrong``, with the ``law`` that it breaks."""
    if wrong.any():
        row = int(wrong.argmax())
        value = int(commands[field][row])
        shown = f"{value:#x}" if field in HEXADECIMAL else value
        raise ValueError(f"{law}, not {shown} in command {row}")
