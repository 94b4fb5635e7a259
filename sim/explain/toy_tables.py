"""Page tables written by hand in a small TOML file, for a board or an exercise.

A file has ``geometry``: the name of a paging mode, or a table with ``levels``, each with ``name``
and ``bits``, the root first, and ``entry_bytes``, 4 or 8. ``root`` is the frame number of the root.
``[frames.N]`` has the entries of the table in frame N by their indices: a frame and flags, as in
``{ frame = 2, flags = "P RW" }``, or a number, the whole entry. An index may be a range, ``"0-7"``,
of entries that point to frames in a row. ``[registers]`` may have ``cr0``, ``cr4``, ``efer`` and
``pkru``. Frames have 4 Kbytes.
"""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from ...model.mmu.entry_format import EntryFormat
from ...model.mmu.walk import Control
from ...model.physical.memory import PhysicalMemory
from ...model.x86 import MODES, PAGE_BYTES, PAGE_SHIFT, Entry, Leaf, Level, PagingMode
from ..errors import InputError, check_ends
from ..memory_file.cpu_state import CpuState
from .entry_flags import BadFlags, flag_value, parsed_change
from .toy_geometry import toy_mode

__all__ = ["ToyTables"]

NOUN = "toy tables (.toml)"
MOST_BYTES = 1 << 20
MOST_FRAMES = 4096
FIELDS = ("geometry", "root", "frames", "registers")
REGISTERS = ("cr0", "cr4", "efer", "pkru")


@dataclass(frozen=True, slots=True)
class _Placed:
    """An entry of the file: where it stands, and its value."""

    where: str
    frame: int
    index: int
    value: int


class ToyTables:
    """The tables in the file ``path``; raise ``InputError`` for all that is wrong in it.

    Members
    -------
    mode
        The paging mode, or that of the geometry.
    control
        The registers, CR3 the root.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        fields = self._read()
        for name in fields:
            if name not in FIELDS:
                self._fail(name[:40], "is unknown", f"one of {', '.join(FIELDS)}")
        self.mode = self._mode(fields.get("geometry"))
        root = self._number("root", fields.get("root"), self._frame_bits)
        self.control = self._control(root, fields.get("registers", {}))
        self._form = EntryFormat(self.mode, self.control, self.mode.max_paddr_bits)
        frames = self._frames(fields.get("frames", {}))
        if root not in frames:
            self._fail("root", f"is frame {root}", f"one of {self._known(frames)}, with entries")
        self._levels: dict[int, int] = {}
        self._check_tables(frames, root, 0, ())
        self._memory = PhysicalMemory(len(frames))
        self._memory.add(sorted(frames))
        for frame, table in frames.items():
            depth = self._levels.get(frame)
            if depth is None:
                self._fail(f"frames.{frame}", "no table leads to it", "an entry that points to it")
            for one in self._placed(frame, table, depth):
                self._memory.write((frame << PAGE_SHIFT) + one.index * self.mode.entry_bytes,
                                   self.mode.entry_bytes, one.value)

    def memory(self) -> PhysicalMemory:
        """Return a new memory with the tables as they are written."""
        return self._memory.copy()

    def _fail(self, where: str, what: str, expected: str) -> NoReturn:
        raise InputError(f"{self.path}: {where}: {what}; expected {expected}")

    def _read(self) -> dict[str, Any]:
        check_ends(self.path, NOUN)
        try:
            with Path(self.path).open("rb") as file:
                data = file.read(MOST_BYTES + 1)
            if len(data) > MOST_BYTES:
                raise InputError(f"{self.path}: is longer than {MOST_BYTES} bytes; expected {NOUN}")
            return tomllib.loads(data.decode())
        except (OSError, ValueError, RecursionError) as error:
            reason = getattr(error, "strerror", None) or error
            raise InputError(f"{self.path}: cannot be read: {reason}; expected {NOUN}") from None

    @property
    def _frame_bits(self) -> int:
        return min(52, 8 * self.mode.entry_bytes) - PAGE_SHIFT

    def _mode(self, geometry: Any) -> PagingMode:
        if isinstance(geometry, str) and geometry in MODES:
            return MODES[geometry]
        if not isinstance(geometry, dict):
            self._fail("geometry", f"is {_shown(geometry)}", f"one of {', '.join(MODES)}, or a "
                       "table with levels and entry_bytes")
        try:
            return toy_mode(geometry)
        except BadFlags as error:
            raise InputError(f"{self.path}: geometry: {error}") from None

    def _number(self, where: str, value: Any, bits: int) -> int:
        if type(value) is int and 0 <= value < 1 << bits:
            return value
        self._fail(where, f"is {_shown(value)}", f"a number of {bits} bits")

    def _control(self, root: int, given: Any) -> Control:
        if not isinstance(given, dict) or not set(given) <= set(REGISTERS):
            self._fail("registers", f"is {_shown(given)}", f"a table of {', '.join(REGISTERS)}")
        cr3 = root << PAGE_SHIFT
        usual = (Control(cr3) if self.mode.entry_bytes == 8 and self.mode not in MODES.values()
                 else CpuState.in_mode("toy", self.mode, cr3).control)
        values = {name: self._number(f"registers.{name}", value, 32 if name == "pkru" else 64)
                  for name, value in given.items()}
        return Control(cr3, **{name: getattr(usual, name) for name in REGISTERS}
                               | values)

    def _frames(self, given: Any) -> dict[int, dict[str, Any]]:
        if not isinstance(given, dict) or len(given) > MOST_FRAMES:
            self._fail("frames", f"is {_shown(given)}", f"at most {MOST_FRAMES} tables by number")
        frames: dict[int, dict[str, Any]] = {}
        for name, table in given.items():
            number = self._integer(f"frames.{name[:40]}", name, 1 << self._frame_bits)
            if number in frames:
                self._fail(f"frames.{name}", "overlaps another table of that number", "each once")
            if not isinstance(table, dict):
                self._fail(f"frames.{name}", f"is {_shown(table)}", "entries by index")
            frames[number] = table
        return frames

    def _integer(self, where: str, text: str, end: int) -> int:
        """Return a number that is written as a key."""
        if re.fullmatch(r"0x[0-9a-fA-F]{1,16}|[0-9]{1,16}", text):
            value = int(text, 16 if text.startswith("0x") else 10)
            if value < end:
                return value
        self._fail(where, "is out of range", f"a number from 0 to {end - 1}")

    @staticmethod
    def _known(frames: dict[int, Any]) -> str:
        return ", ".join(map(str, sorted(frames)[:8])) or "the frames of the file"

    def _check_tables(self, frames: dict[int, dict[str, Any]], frame: int, depth: int,
                      above: tuple[int, ...]) -> None:
        """Note the level of each table; refuse one that leads to itself or has two levels."""
        if self._levels.setdefault(frame, depth) != depth:
            self._fail(f"frames.{frame}", "is a table at two levels", "one level for each table")
        for one in self._placed(frame, frames[frame], depth):
            child = self._form.table_address(one.value) >> PAGE_SHIFT
            if not self._leads_on(self.mode.levels[depth], one.value):
                continue
            if child in (*above, frame):
                self._fail(one.where, f"makes a loop: frame {child} leads to itself",
                           "a table of the next level")
            if child not in frames:
                self._fail(one.where, f"points to frame {child}, which has no entries",
                           f"one of {self._known(frames)}")
            if self._levels.get(child) != depth + 1:
                self._check_tables(frames, child, depth + 1, (*above, frame))

    def _leads_on(self, level: Level, entry: int) -> bool:
        """Return whether an entry points to a table; one with a reserved bit does not."""
        return bool(entry & Entry.P) and not (self._form.is_leaf(level, entry)
                                              or self._form.is_reserved(level, entry))

    def _placed(self, frame: int, table: dict[str, Any], depth: int) -> Iterator[_Placed]:
        """Yield the entries of a table, those of a range one by one; no index twice."""
        level = self.mode.levels[depth]
        taken: set[int] = set()
        for key, given in table.items():
            where = f"frames.{frame}.{key[:40]}"
            first, dash, last = key.partition("-")
            start = self._integer(where, first, 1 << level.index_bits)
            stop = self._integer(where, last, 1 << level.index_bits) if dash else start
            if stop < start:
                self._fail(where, "ends before it begins", "a range such as 0-7")
            for index in range(start, stop + 1):
                if index in taken:
                    self._fail(where, f"overlaps: entry {index} is there twice", "each entry once")
                taken.add(index)
                value = self._value(where, depth, given, index - start)
                yield _Placed(where, frame, index, value)

    def _value(self, where: str, depth: int, given: Any, step: int) -> int:
        """Return the entry that ``given`` tells, ``step`` entries behind the first of a range."""
        bits = 8 * self.mode.entry_bytes
        if type(given) is int:
            return self._number(where, given, bits)
        if not (isinstance(given, dict) and set(given) <= {"frame", "flags", "key"}
                and isinstance(given.get("flags", ""), str)):
            self._fail(where, f"is {_shown(given)}",
                       'a number, or such as { frame = 2, flags = "P" }')
        level = self.mode.levels[depth]
        words = given.get("flags", "").replace(",", " ").split()
        large = level.leaf is Leaf.IF_PS and "PS" in words
        pages = level.page_bytes // PAGE_BYTES if large else 1
        frame = self._number(f"{where}.frame", given.get("frame", 0), self._frame_bits)
        frame = self._number(f"{where}.frame", frame + step * pages, self._frame_bits)
        try:
            value = frame << PAGE_SHIFT
            for word in words:
                value |= flag_value(self.mode, level, word, large=large)
            if "key" in given:
                value |= parsed_change(self.mode, level, f"key={given['key']}", 0).set
        except BadFlags as error:
            raise InputError(f"{self.path}: {where}: {error}") from None
        return value


def _shown(value: Any) -> str:
    return "missing" if value is None else repr(value)[:40]
