"""What every engine does with commands before it carries them out: checks, inherited registers."""

import numpy as np
from numpy.typing import NDArray

from ...model.x86 import AccessKind, Cr3, InvalidateOp, PagingMode
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
    mode : PagingMode
        The paging mode.
    ports : int
        How many request ports there are.
    """

    def __init__(self, mode: PagingMode, ports: int) -> None:
        self._mode, self._ports = mode, ports
        self._registers: np.void | None = None  # those of the last ``Op.CONTROL`` that was done

    def take(self, commands: NDArray[np.void]) -> NDArray[np.void]:
        """Return commands (N,) of dtype ``COMMAND``, each with its registers, in one piece.

        Raise ``ValueError`` and ``IndexError`` as ``check_commands`` does, and ``ValueError`` for
        a command that inherits registers before any ``Op.CONTROL``.
        """
        commands = np.ascontiguousarray(commands, COMMAND)
        check_commands(commands, self._mode, self._ports)
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


def check_commands(commands: NDArray[np.void], mode: PagingMode, ports: int) -> None:
    """Raise ``ValueError`` for the first command of a sort that is wrong, naming row and value.

    The sorts are an operation, an access kind, a flag or an invalidation that there is not; data
    of another size than 1, 2, 4 or 8 or not at a multiple of it; an entry not at a multiple of its
    size; a linear address or a PCID that is too wide. Raise ``IndexError`` for a port that there
    is not, of ``ports``.
    """
    op = commands["op"].copy()
    _refuse(commands, op >= len(Op), "op", f"Operation must be below {len(Op)}")
    access = np.isin(op, THROUGH_PORT)
    if access.any():
        _check_accesses(commands, access, mode, ports)
    data, peer, invalidate = op == Op.DATA, np.isin(op, PEER), op == Op.INVALIDATE
    if data.any():
        _check_sizes(commands, data)
    if peer.any():
        aligned = commands["vaddr"] & np.uint64(mode.entry_bytes - 1) == 0
        _refuse(commands, peer & ~aligned, "vaddr", "Address of an entry must be a multiple of "
                f"{mode.entry_bytes}")
    if invalidate.any():
        _check_invalidations(commands, invalidate, mode)


def _check_accesses(
    commands: NDArray[np.void], access: Rows, mode: PagingMode, ports: int
) -> None:
    """Check the commands that are an ``access``."""
    wrong = access & (commands["port"] >= ports)
    if wrong.any():
        row = int(wrong.argmax())
        raise IndexError(f"Command {row} is for port {commands['port'][row]}, of {ports}")
    _refuse(commands, access & (commands["kind"] >= len(AccessKind)), "kind",
            f"Access kind must be below {len(AccessKind)}")
    for flag in FLAGS:
        _refuse(commands, access & (commands[flag] > 1), flag, f"Flag {flag} must be 0 or 1")
    _check_vaddr(commands, access, mode)


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
