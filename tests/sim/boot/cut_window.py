"""Windows of recorded boots, cut so that each is a log of its own.

Run from the top of the tree it cuts ``RECORDS`` records from the record ``FIRST`` on; thus the
files in ``tests/data/boot`` were made:

    python -m tests.sim.boot.cut_window LOG.ltr.xz WINDOW.ltr.xz FIRST RECORDS
"""

import argparse
import lzma
from pathlib import Path

import numpy as np

from pagewalk.model.x86 import PAGE_BYTES, PAGE_SHIFT, Cr3
from pagewalk.sim.boot.log import DTYPES, SPECIAL, BootLog, RecordKind
from pagewalk.sim.boot.log_checks import load_log
from pagewalk.sim.boot.table_entries import TableEntries

from .log_maker import write_log

REGISTERS = (RecordKind.CR0, RecordKind.CR4, RecordKind.EFER, RecordKind.PKRU)
SPECIALS = [name for name in DTYPES if name.startswith("sp_")]


def cut(log, first, stop):
    """Return the records from ``first`` to ``stop``, which is exclusive, as a log of its own.

    It begins with the registers and the page tables as they are there; ``log`` has them by then.
    """
    begin, end = np.searchsorted(log.at, (first, stop))
    head = opening(log.first(first))
    ev = log["ev"][first:stop].astype(np.int64)
    access = ev < SPECIAL
    used, ev[access] = np.unique(ev[access], return_inverse=True)
    ev[~access] += len(head) - begin
    fields = {name: log[name][used] for name in DTYPES if name.startswith("acc_")}
    fields["ev"] = np.concatenate([
        np.arange(SPECIAL, SPECIAL + len(head)), ev, [SPECIAL + len(head) + end - begin]])
    fields["skipped"] = np.pad(log["skipped"][first:stop], (len(head), 1))
    big = slice(*np.searchsorted(log["skipped_big_at"], (first, stop)))
    fields["skipped_big"] = log["skipped_big"][big]
    fields["skipped_big_at"] = log["skipped_big_at"][big] - first + len(head)
    left_out = fields["skipped"][fields["skipped"] != 255].sum(dtype=np.int64)
    count = access.sum() + left_out + int(fields["skipped_big"].sum())
    for name, opened, closed in zip(
            SPECIALS, zip(*head, strict=True), special(RecordKind.END, count), strict=True):
        ends = [np.array(values, DTYPES[name]) for values in (opened, [closed])]
        fields[name] = np.concatenate([ends[0], log[name][begin:end], ends[1]])
    return BootLog({name: fields[name].astype(DTYPES[name]) for name in DTYPES})


def special(kind, val=0, *, ppn=0, x=0, fl=0):
    """Return a special record as a row of the arrays ``SPECIALS``."""
    row = {"sp_kind": kind, "sp_fl": fl, "sp_x": x, "sp_ppn": ppn, "sp_val": val}
    return [row[name] for name in SPECIALS]


def opening(before):
    """Return the special records that lead to where the log ``before`` ends."""
    rows = [[before[name][0] for name in SPECIALS]]
    rows += [special(kind, before.values(kind)[-1]) for kind in REGISTERS]
    table = TableEntries.of(before)
    for address, entry in zip(table.address[table.stores:].tolist(),
                              table.recorded[table.stores:].tolist(), strict=True):
        if entry:
            rows.append(special(RecordKind.PTSET, entry, ppn=address >> PAGE_SHIFT,
                                x=address % PAGE_BYTES))
    return [*rows, special(RecordKind.CR3, int(before.values(RecordKind.CR3)[-1]) & ~Cr3.NO_FLUSH)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Cut a window of a recorded boot.")
    parser.add_argument("log")
    parser.add_argument("window", type=Path)
    parser.add_argument("first", type=int)
    parser.add_argument("records", type=int)
    args = parser.parse_args()
    window = cut(load_log(args.log), args.first, args.first + args.records)
    write_log(args.window, window, preset=9 | lzma.PRESET_EXTREME)
    print(f"{load_log(args.window).translations:,} translations, "
          f"{args.window.stat().st_size:,} bytes")
