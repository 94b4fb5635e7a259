"""Access vectors of a paging mode, answered by Unicorn: random cases in the form of a file.

    python -m tests.oracle.write_vectors --mode la57 --count 4000 --seed 1 OUT.npz
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.random import default_rng

from pagewalk.model.x86 import MODES, Cr0, PagingMode
from pagewalk.sim.vectors import NO_PADDR, NO_VECTOR, VECTORS

from ..hdl.tables import bits
from .cases import FRAMES, Case, make_case, random_shape
from .outcomes import by_model
from .unicorn_oracle import Answer, UnicornOracle

LONG_MODE = 0x500  # EFER.LME and LMA


def path_of(case: Case) -> list[int]:
    """Return the addresses of the entries that the walk of a case reads, the root's at least."""
    _, walk = by_model(case)
    if walk.steps:
        return [step.paddr for step in walk.steps]
    mode, root = case.mode, FRAMES[case.mode.name][case.shape.tables[0]] << 12
    top = mode.levels[0]
    return [root + (case.access.vaddr >> top.shift & (1 << top.index_bits) - 1) * mode.entry_bytes]


def vectors(mode: PagingMode, count: int, seed: int) -> dict[str, np.ndarray]:
    """Return the fields of ``count`` accesses, whose tables are one frame for each level.

    Left out are cases that use the entry at address 0, which files cannot tell from a level that
    is not reached.
    """
    rng, oracle, rows = default_rng(seed), UnicornOracle(mode), []
    tables = tuple(range(len(mode.levels)))
    while len(rows) < count:
        case = make_case(replace(random_shape(rng, mode), tables=tables), bits(rng, 32))
        path = path_of(case)
        if all(path):
            rows.append(row_of(oracle, case, path))
    columns = {name: np.array([row[name] for row in rows], np.uint64) for name in rows[0]}
    return {name: columns[name].astype(field.dtype) for name, field in VECTORS.fields.items()}


def row_of(oracle: UnicornOracle, case: Case, path: list[int]) -> dict[str, int | list[int]]:
    """Return the fields of one access."""
    memory, size, control, access = case.memory(), case.mode.entry_bytes, case.control, case.access
    columns = max(4, len(case.mode.levels))

    def entries() -> list[int]:
        return padded([memory.read(paddr, size) for paddr in path])

    def padded(values: list[int]) -> list[int]:
        return values + [0] * (columns - len(values))

    before = entries()
    answer: Answer = oracle.access(memory, control, access)
    return {
        "va": access.vaddr, "kind": access.kind, "cpl": 3 * access.user, "ac": int(access.ac),
        "cr0": control.cr0 | Cr0.PG, "cr4": control.cr4, "pkru": control.pkru,
        "efer": control.efer | LONG_MODE if size == 8 else control.efer & ~LONG_MODE,
        "entry_pa": padded(path), "before": before, "after": entries(),
        "fault": int(bool(answer.vector)), "vector": answer.vector or NO_VECTOR,
        "error": answer.error_code, "cr2": answer.cr2 or 0,
        "pa": NO_PADDR if answer.vector else answer.paddr,
    }


def write_vectors(path: Path, mode: PagingMode, count: int, seed: int) -> None:
    """Write a file of access vectors."""
    np.savez_compressed(path, **vectors(mode, count, seed))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mode", choices=MODES, required=True)
    parser.add_argument("--count", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("output", type=Path)
    args = parser.parse_args()
    write_vectors(args.output, MODES[args.mode], args.count, args.seed)


if __name__ == "__main__":
    main()
