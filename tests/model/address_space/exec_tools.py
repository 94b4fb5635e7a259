"""Programs that start in small address spaces, and a memory that holds what is stored there."""

import errno

from pagewalk.model.address_space.auxv import AuxFacts, Processor
from pagewalk.model.address_space.errors import SysError
from pagewalk.model.address_space.exec_arguments import Credentials, ExecArguments
from pagewalk.model.address_space.exec_program import exec_program

from .small_mm import Recorder

PROCESSOR = Processor(b"x86_64", hwcap=0x1234_5678, hwcap2=2, sigframe_bytes=1440)
RANDOM = bytes(range(100, 116))
FACTS = AuxFacts(PROCESSOR, Credentials(), RANDOM)


def strings_of(size: int) -> ExecArguments:
    """Arguments whose strings have so many bytes in all, one argument among them."""
    whole, rest = divmod(size - 3, 1 << 16)
    parts = [b"x" * ((1 << 16) - 1)] * whole + ([b"x" * (rest - 1)] if rest else [])
    return ExecArguments(b"f", (b"",), tuple(parts))


def run_program(mm, program, layout, arguments=None, facts=FACTS, rng=None):
    if arguments is None:
        arguments = strings_of(100)
    return exec_program(mm, program, layout, arguments, facts, rng=rng)


class Memory(Recorder):
    """Page tables that keep what is stored, byte by byte; nothing is below ``first``."""

    def __init__(self, first: int = 0) -> None:
        super().__init__()
        self.bytes: dict[int, int] = {}
        self._first = first

    def store(self, start, data):
        self.calls.append(("store", start, data))
        if start < self._first:
            raise SysError(errno.EFAULT)
        self.bytes.update(enumerate(data, start))

    def read(self, start: int, size: int) -> bytes:
        return bytes(self.bytes[address] for address in range(start, start + size))

    def string(self, start: int) -> bytes:
        data = b""
        while self.bytes[start + len(data)]:
            data += self.read(start + len(data), 1)
        return data

    def word(self, start: int, size: int = 8) -> int:
        return int.from_bytes(self.read(start, size), "little")
