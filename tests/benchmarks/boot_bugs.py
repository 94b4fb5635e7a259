"""Replay recorded boots with mistakes in the MMU, one at a time, and show which file notices which.

A number is of mismatches, ``-`` for none. Without a mistake there must be none: the exit status is
1 otherwise. A toggle of CR4.PGE that drops nothing is noticed with 256 entries and ``--policy
fifo``: smaller TLBs have replaced by then what it should have dropped.
"""

import argparse
import sys
from pathlib import Path

from pagewalk.sim.boot.log_checks import load_log
from pagewalk.sim.boot.replay_log import replay_log
from pagewalk.sim.cli.common import positive

ROOT = Path(__file__).resolve().parents[2]


def parse(bugs):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("logs", metavar="LOG.ltr.xz", nargs="+", help="a recorded boot")
    parser.add_argument("--bug", choices=bugs, action="append",
                        help="a mistake to make; may be given more than once (all)")
    parser.add_argument("--entries", type=positive, default=32, metavar="N",
                        help="entries of each TLB (%(default)s)")
    parser.add_argument("--walk-cache", type=positive, default=8, metavar="N",
                        help="entries of the walk cache's lowest level (%(default)s)")
    parser.add_argument("--policy", default="plru", help="replacement policy (%(default)s)")
    parser.add_argument("--limit", type=positive, metavar="N",
                        help="only the first N translations of each boot")
    return parser.parse_args()


def main():
    sys.path.insert(0, str(ROOT))
    from tests.sim.boot.planted_bugs import BUGS, BuggyEngine

    args = parse(BUGS[1:])
    engines, sound = {}, True
    for path in args.logs:
        log = load_log(path)
        if log.mode not in engines:
            engines[log.mode] = BuggyEngine(
                log.mode, entries=args.entries, walk_cache=args.walk_cache, policy=args.policy,
                paddr_bits=log.paddr_bits)
        for bug in (BUGS[0], *(args.bug or BUGS[1:])):
            engines[log.mode].choose(bug)
            result = replay_log(log, engines[log.mode], limit=args.limit)
            sound &= bug != BUGS[0] or result.agreed
            print(f"{Path(path).name:28} {bug:32} {result.mismatches or '-':>9}", flush=True)
    return int(not sound)


if __name__ == "__main__":
    sys.exit(main())
