"""Recorded boots made by hand: a record at a time, with arrays that fit each other."""

import json
import lzma

import numpy as np

from pagewalk.model.x86 import PAGE_SHIFT, X86_64, AccessKind, Cr0, Cr4, Efer, Entry
from pagewalk.sim.boot.log import DTYPES, SPECIAL, BootLog, RecordKind

RIGHTS = Entry.P | Entry.RW | Entry.US
RAM_BYTES = 1 << 24
SUPERVISOR, USER, IMPLICIT = 2, 13, 14  # modes of accesses, SMAP in force
ROOT = 0x1000
LONG = {"cr4": Cr4.PAE | Cr4.PGE | Cr4.SMAP | Cr4.SMEP, "efer": Efer.LME | Efer.LMA | Efer.NXE}
TWO_LEVELS = {"cr4": Cr4.PSE | Cr4.PGE, "efer": 0}


class LogMaker:
    """Takes down what happens on a machine with the page tables at ``ROOT``."""

    def __init__(self, mode=X86_64, **registers):
        self.mode = mode
        self._accesses, self._ev, self._special = {}, [], []
        registers = (LONG if mode is X86_64 else TWO_LEVELS) | {
            "cr0": Cr0.PG | Cr0.WP, "cr3": ROOT, "pkru": 0} | registers
        self.special(RecordKind.MARK, RAM_BYTES, ppn=40, x=64, fl=2)
        for name in ("cr0", "cr4", "efer", "pkru", "cr3"):
            self.special(RecordKind[name.upper()], registers[name])

    def special(self, kind, val=0, *, ppn=0, x=0, fl=0):
        """Add a special record, given by the names of its arrays."""
        self._ev.append(SPECIAL + len(self._special))
        self._special.append({"kind": kind, "val": val, "ppn": ppn, "x": x, "fl": fl})

    def store(self, paddr, entry, kind=RecordKind.PTST):
        """Add a store of an entry."""
        self.special(kind, entry, ppn=paddr >> PAGE_SHIFT, x=paddr & 0xFFF)

    def map(self, vaddr, page, rights=RIGHTS):
        """Map a page through the tables in the frames after the root, one for each level."""
        for number, level in enumerate(self.mode.levels):
            table = ROOT + (number << PAGE_SHIFT)
            index = vaddr >> level.shift & (1 << level.index_bits) - 1
            last = number == len(self.mode.levels) - 1
            entry = page | rights if last else table + (1 << PAGE_SHIFT) | RIGHTS
            self.store(table + index * self.mode.entry_bytes, entry)
        return table + index * self.mode.entry_bytes

    def access(self, vaddr, page, kind=AccessKind.READ, mode=USER):
        """Add an access that was translated to ``page``."""
        key = int(kind), mode, vaddr >> PAGE_SHIFT, page >> PAGE_SHIFT
        self._ev.append(self._accesses.setdefault(key, len(self._accesses)))

    def fault(self, vaddr, error, kind=AccessKind.READ, mode=USER, vector=14):
        """Add an access that ended in a fault."""
        self.special(RecordKind.FAULT, vaddr, ppn=error, x=vector, fl=kind << 4 | mode)

    def log(self):
        """Return the log, with a last record."""
        count = sum(one < SPECIAL for one in self._ev)
        last = {"kind": RecordKind.END, "val": count, "ppn": 0, "x": 0, "fl": 0}
        special, ev = [*self._special, last], [*self._ev, SPECIAL + len(self._special)]
        fields = {"ev": ev, "skipped": [0] * len(ev), "skipped_big_at": [], "skipped_big": []}
        for place, name in enumerate(("kind", "mode", "vpn", "ppn")):
            fields[f"acc_{name}"] = [key[place] for key in self._accesses]
        for name in special[0]:
            fields[f"sp_{name}"] = [one[name] for one in special]
        return BootLog({name: np.array(fields[name], DTYPES[name]) for name in DTYPES})


def write_log(path, log, preset=0):
    """Write a log, packed as xz does with this preset; return ``path``."""
    arrays = {name: np.asarray(log[name], DTYPES[name]) for name in DTYPES}
    listed = [[name, DTYPES[name], len(array)] for name, array in arrays.items()]
    first = json.dumps({"format": "ltr1", "arrays": listed}).encode() + b"\n"
    content = first + b"".join(array.tobytes() for array in arrays.values())
    path.write_bytes(lzma.compress(content, preset=preset))
    return path
