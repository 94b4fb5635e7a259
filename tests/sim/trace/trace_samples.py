"""Small traces in every format, all of the same accesses, and where they should lead."""

import gzip
import io
import lzma
import zipfile

import numpy as np

from pagewalk.model.x86 import AccessKind
from pagewalk.sim.trace.access_record import RECORD, TraceHeader, header_bytes, trailer_bytes
from pagewalk.sim.trace.champsim_record import RECORD_64, RECORD_96

READ, WRITE, FETCH = AccessKind

# Three instructions: a load, a load with a store, and none; kind and linear address.
ACCESSES = [(FETCH, 0x401000), (READ, 0x7F000010), (FETCH, 0x401004), (READ, 0x7F001020),
            (WRITE, 0x7F000018), (FETCH, 0x402000)]

# Of these: page, kind (0 fetch, 1 loads, 2 begins with a store), count.
RUNS = [(0x401, 0, 2), (0x7F000, 1, 1), (0x7F001, 1, 1), (0x7F000, 2, 1), (0x402, 0, 1)]


def lackey(accesses=ACCESSES):
    letters = {FETCH: "I ", READ: " L", WRITE: " S"}
    lines = ["==12== Lackey, an example Valgrind tool"]
    return "\n".join(lines + [f"{letters[kind]} {vaddr:08x},4" for kind, vaddr in accesses]) + "\n"


def csv(accesses=ACCESSES, pid=None):
    tail = "" if pid is None else f",{pid}"
    return "addr,rw\n" + "".join(f"{vaddr:#x},{'rwx'[kind]}{tail}\n" for kind, vaddr in accesses)


def champsim(record=RECORD_64, asid=0):
    found = np.zeros(3, record)
    found["ip"] = [0x401000, 0x401004, 0x402000]
    found["loads"][0, 1], found["loads"][1, 0], found["stores"][1, 1] = (
        0x7F000010, 0x7F001020, 0x7F000018)
    if record is RECORD_96:
        found["asid"][:, 0] = asid
    return found.tobytes()


def drmemtrace(accesses=ACCESSES, pid=7, version=4):
    types = {FETCH: 10, READ: 0, WRITE: 1}
    records = [(25, 0, version), (28, 2, 0), (22, 4, pid), (24, 4, pid)]
    for kind, vaddr in accesses:
        records += [(47, 4, 0x90909090)] * (kind == FETCH) + [(types[kind], 4, vaddr)]
    records += [(23, 4, pid), (26, 0, 0)]
    return np.array(records, [("type", "<u2"), ("size", "<u2"), ("addr", "<u8")]).tobytes()


def recorded(accesses=ACCESSES, flags=()):
    records = np.zeros(len(accesses), RECORD)
    for at, (kind, vaddr) in enumerate(accesses):
        records[at] = (vaddr & ~0xFFF | int(kind), 1, 2)
    for at, flag in flags:
        records["access"][at] |= np.uint64(flag)
    return header_bytes(TraceHeader("x86_64", "each", "a.out")) + records.tobytes() + trailer_bytes(
        len(records), 3)


def archive(va=None, kind=None, count=None, **more):
    pages, kinds, counts = zip(*RUNS, strict=True)
    arrays = {"va": np.array(pages, np.uint64) << np.uint64(12) if va is None else va,
              "kind": np.array(kinds, np.uint8) if kind is None else kind,
              "count": np.array(counts, np.uint32) if count is None else count, **more}
    file = io.BytesIO()
    np.savez_compressed(file, **{name: one for name, one in arrays.items() if one is not False})
    return file.getvalue()


def zipped(data, parts=2):
    file, size = io.BytesIO(), -(-len(data) // parts)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as members:
        for number in range(parts):
            members.writestr(f"chunk.{number:04}", data[number * size:(number + 1) * size])
    return file.getvalue()


SAMPLES = {"lackey": lackey().encode(), "text": csv().encode(), "champsim": champsim(),
           "champsim96": champsim(RECORD_96), "drmemtrace": drmemtrace(), "npz": archive(),
           "exec": recorded()}
PACKERS = {"plain": bytes, "gzip": gzip.compress, "xz": lzma.compress, "zip": zipped}
