"""Run the whole table of programs on the MMU, and print how many do what they do natively.

Run it as ``python tests/benchmarks/programs.py [--engine ENGINE] [--bits 32|64] [--only TEXT]``.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def parse(words=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", choices=("model", "cxxrtl"), action="append",
                        help="what translates; may be given more than once (both)")
    parser.add_argument("--bits", type=int, choices=(32, 64),
                        help="programs of so many bits only")
    parser.add_argument("--only", metavar="TEXT", default="",
                        help="programs with this in their line")
    parser.add_argument("--section", metavar="NAME", action="append",
                        help="programs of this section; may be given more than once (all)")
    parser.add_argument("--quick", action="store_true", help="only the subset of the tests")
    return parser.parse_args(words)


def is_wanted(row, args):
    """Whether a row is to be run."""
    return (args.only in row.name and args.bits in (None, row.bits)
            and (not args.section or row.section in args.section)
            and (row.quick or not args.quick))


def differences(native, found):
    """What differs, as lines."""
    return [f"    {name}: {where} {getattr(outcome, name)!r:.300}"
            for name in ("status", "stdout", "stderr")
            if getattr(native, name) != getattr(found, name)
            for where, outcome in (("native", native), ("on MMU", found))]


def main():
    sys.path.insert(0, str(ROOT))
    from tests.sim.exec.program_table import fresh, natively, read_rows, runs_here, server, snapshot

    args = parse()
    engines = args.engine or ["model", "cxxrtl"]
    counts, seconds = Counter(), Counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "inputs"
        with server(engines, Path(name)) as served:
            for row in read_rows():
                if not is_wanted(row, args):
                    continue
                key = row.section, row.bits
                if not runs_here(row):
                    for engine in engines:
                        counts[*key, engine, "skipped"] += 1
                    continue
                fresh(folder)
                native = natively(row, folder)
                before = fresh(folder)
                for engine in engines:
                    start = time.perf_counter()
                    found = served.run(row, folder, "--engine", engine)
                    seconds[*key, engine] += time.perf_counter() - start
                    told = differences(native, found)
                    if snapshot(folder) != before:
                        told.append("    wrote to the host")
                        before = fresh(folder)
                    counts[*key, engine, "differ" if told else "equal"] += 1
                    if told:
                        print(f"{engine} {row.name}", *told, sep="\n", flush=True)
    for (section, bits, engine) in sorted({key[:3] for key in counts}):
        n = [counts[section, bits, engine, what] for what in ("equal", "differ", "skipped")]
        print(f"{section:10} {bits} {engine:7} {n[0]:5} equal {n[1]:4} differ {n[2]:4} skipped "
              f"{seconds[section, bits, engine]:6.1f} s")


if __name__ == "__main__":
    sys.exit(main())
