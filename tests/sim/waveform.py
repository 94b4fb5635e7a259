"""A VCD file read back. The reader of pyvcd refuses names such as ``$signal``, which are in it."""

from bisect import bisect_right
from collections import defaultdict

PERIOD = 1_000_000_000  # of the clock, in the time unit of the file


class Waveform:
    """The variables of a file by name, and their changes.

    A name is the scopes and the variable, with dots. The first cycle begins with the first edge of
    the clock, half a period after the start. ``ValueError`` for a line that is none of VCD.
    """

    def __init__(self, path):
        text = path.read_text(encoding="utf-8")
        header, found, body = text.partition("$enddefinitions $end\n")
        if not found or not body.endswith("\n"):
            raise ValueError(f"{path} is not whole")
        self.names = dict(_variables(header))
        self._changes = defaultdict(lambda: ([], []))
        self._read(body)

    def _read(self, body):
        known, now = set(self.names.values()), 0
        for line in body.splitlines():
            if line.startswith("#"):
                now = int(line[1:])
            elif not line.startswith("$"):
                value, mark = line.split() if line[0] in "bs" else (line[0], line[1:])
                if mark not in known or line[0] not in "bs01":
                    raise ValueError(f"Unknown line {line!r}")
                times, values = self._changes[mark]
                times.append(now)
                values.append(value[1:] if line[0] == "s" else int(value.removeprefix("b"), 2))
        self.cycles = (now - PERIOD // 2) // PERIOD  # it ends half a cycle after the last one

    def at(self, cycle, name):
        """Return the value of a variable in a cycle of the run, as it is at the end of it."""
        times, values = self._changes[self.names[name]]
        return values[bisect_right(times, (cycle + 1) * PERIOD) - 1]


def _variables(header):
    """Yield each variable and the mark of its changes."""
    scopes = []
    for line in header.splitlines():
        words = line.split()
        if words[0] == "$scope":
            scopes.append(words[2])
        elif words[0] == "$upscope":
            scopes.pop()
        elif words[0] == "$var":
            yield ".".join((*scopes, words[4].removeprefix("\\"))), words[3]
    if scopes:
        raise ValueError(f"Scopes that do not end: {scopes}")
