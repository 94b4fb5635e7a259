"""Lines of text taken apart into words and numbers, many at a time."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from .trace_error import TraceError

__all__ = ["WordLines", "word_lines"]

CHUNK = 4 << 20  # bytes of text that are taken apart at a time
LONGEST_LINE = 1 << 16
LONGEST_SHOWN = 40
NEWLINE = ord("\n")

_SEPARATORS = np.zeros(256, np.bool_)
_SEPARATORS[list(b" \t,\r\n")] = True
_DIGITS = np.full(256, 255, np.uint8)
for _number, _letters in enumerate(("0", "1", "2", "3", "4", "5", "6", "7", "8", "9",
                                    "aA", "bB", "cC", "dD", "eE", "fF")):
    for _letter in _letters:
        _DIGITS[ord(_letter)] = _number


@dataclass(frozen=True, slots=True)
class WordLines:
    """Whole lines of text, and where their words are; commas and spaces stand between words.

    Members
    -------
    path
        The file, for messages.
    data
        The bytes, ``uint8``; the last one ends a line.
    line_start
        Where each line begins; behind them where the next one would.
    start, end
        Where each word begins, and where it has ended.
    first, count
        The number of the first word of each line, and how many it has.
    number
        The number of the first line within the file, from 1.
    """

    path: str
    data: NDArray[np.uint8]
    line_start: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    first: NDArray[np.int64]
    count: NDArray[np.int64]
    number: int

    @classmethod
    def of(cls, path: str, data: NDArray[np.uint8], number: int) -> "WordLines":
        """Return the lines in ``data``, of which the first is ``number``."""
        between = _SEPARATORS[data]
        edge = np.empty(len(data), np.bool_)
        edge[0] = not between[0]
        np.not_equal(between[1:], between[:-1], out=edge[1:])
        edges = np.flatnonzero(edge)  # the last byte is between words, so every word has an end
        start, end = edges[0::2], edges[1::2]
        line_end = np.flatnonzero(data == NEWLINE)
        line_start = np.concatenate(([0], line_end + 1))
        first = np.searchsorted(start, line_start)
        return cls(path, data, line_start, start, end, first[:-1], np.diff(first), number)

    def letter(self, words: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the first byte of each of some words, or 0 if it has more than one."""
        start = self.start[words]
        found: NDArray[np.uint8] = np.where(self.end[words] - start == 1, self.data[start], 0)
        return found

    def hexadecimal(self, words: NDArray[np.int64], skip: int = 0) -> tuple[
            NDArray[np.uint64], NDArray[np.bool_]]:
        """Return words as numbers of up to 16 digits without their first ``skip`` letters.

        And whether they are.
        """
        return self._numbers(self.start[words] + skip, self.end[words], 16, 16)

    def decimal(self, words: NDArray[np.int64]) -> tuple[
            NDArray[np.uint64], NDArray[np.bool_]]:
        """Return words as numbers of up to 19 digits, and whether they are."""
        return self._numbers(self.start[words], self.end[words], 10, 19)

    def address(self, words: NDArray[np.int64]) -> tuple[
            NDArray[np.uint64], NDArray[np.bool_]]:
        """Return words as numbers, hexadecimal with 0x and decimal without; and whether they are.
        """
        value, sound = self.decimal(words)
        start = self.start[words]
        second = self.data[np.minimum(start + 1, len(self.data) - 1)] | 32
        prefixed = np.flatnonzero((self.end[words] - start > 2) & (self.data[start] == ord("0"))
                                  & (second == ord("x")))
        value[prefixed], sound[prefixed] = self.hexadecimal(words[prefixed], skip=2)
        return value, sound

    def _numbers(self, start: NDArray[np.int64], end: NDArray[np.int64], base: int,
                 most: int) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
        width = end - start
        sound = (width > 0) & (width <= most)
        value = np.zeros(len(start), np.uint64)
        longest = int(width[sound].max(initial=0))
        for place in range(longest):  # from the right, so that all words end together
            at = end - longest + place
            here = at >= start
            digit = _DIGITS[self.data[np.where(here, at, 0)]]
            digit = np.where(here, digit, 0)
            sound &= digit < base
            value = value * np.uint64(base) + digit
        return value, sound

    def refuse(self, wrong: NDArray[np.bool_], expected: str) -> None:
        """Raise ``TraceError`` for the first of the lines that are ``wrong``, if any is."""
        if not wrong.any():
            return
        line = int(np.argmax(wrong))
        text = self.data[self.line_start[line]:self.line_start[line + 1]].tobytes()
        shown = text.rstrip(b"\r\n").decode("latin-1")
        shown = shown if len(shown) <= LONGEST_SHOWN else f"{shown[:LONGEST_SHOWN]}..."
        raise TraceError(self.path, f"line {self.number + line} is {shown!r}", expected)


def word_lines(path: str | Path, stream: BinaryIO) -> Iterator[WordLines]:
    """Yield the lines of a stream, some at a time; raise ``TraceError`` for one without end."""
    kept, number = b"", 1
    while True:
        block = stream.read(CHUNK)
        data = kept + block
        if not block and data and not data.endswith(b"\n"):
            data += b"\n"
        cut = data.rfind(b"\n") + 1
        if len(data) - cut > LONGEST_LINE:
            line = number + data.count(NEWLINE)
            raise TraceError(path, f"line {line} has more than {LONGEST_LINE} bytes",
                             "lines of text")
        if cut:
            yield (lines := WordLines.of(str(path), np.frombuffer(data, np.uint8, cut), number))
            number += len(lines.count)
        if not block:
            return
        kept = data[cut:]
