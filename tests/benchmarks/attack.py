"""Attack the hardware at random for as long as wanted; every answer is judged by the referee.

Each seed is a machine of its own: page tables, a program in proportions of its own, a memory with
its own latencies, back-pressure and bus errors (``tests/sim/attack.py``). A seed is replayed by
``--first SEED --seeds 1`` with the same configuration and cycles.
"""

import argparse
import sys
import time
from pathlib import Path

from pagewalk.sim.cli.common import positive, whole

MOST_SEED = (1 << 64) - 1  # which a memory's draws have room for
ROOT = Path(__file__).resolve().parents[2]


def parse(configs, plants, words=None):
    """Return the arguments; a run of nothing, which nothing can be wrong in, is refused."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", choices=configs, action="append",
                        help="a configuration of the hardware; may be given more than once (all)")
    parser.add_argument("--first", type=whole(0, MOST_SEED), default=1, metavar="SEED",
                        help="the first seed (%(default)s)")
    parser.add_argument("--seeds", type=whole(1, MOST_SEED), default=10, metavar="N",
                        help="how many seeds, for each configuration (%(default)s)")
    parser.add_argument("--cycles", type=positive, default=100_000, metavar="N",
                        help="clock cycles of each seed, at least (%(default)s)")
    parser.add_argument("--plant", choices=plants,
                        help="put this bug into the hardware, and stop where it is found")
    args = parser.parse_args(words)
    if args.first + args.seeds - 1 > MOST_SEED:
        parser.error(f"argument --seeds: {args.seeds} from {args.first} on; expected none above "
                     f"{MOST_SEED}")
    return args


def attack_config(name, config, args):
    """Attack a configuration with each seed; return cycles, accesses and the seeds that found."""
    from tests.sim.attack import Found, attack

    cycles, accesses, found = 0, 0, []
    for seed in range(args.first, args.first + args.seeds):
        start = time.process_time()
        try:
            findings, _, played = attack(config, seed, args.cycles)
        except Found as error:
            found.append(seed)
            print(f"{name}, seed {seed}: {type(error).__name__}: {error}", flush=True)
            if args.plant:
                break
            continue
        cycles, accesses = cycles + played, accesses + findings.accesses
        seconds = time.process_time() - start
        print(f"{name}, seed {seed}: {played} cycles, {findings.accesses} accesses, "
              f"{findings.stale} stale, {findings.lost} lost, {seconds:.1f} s", flush=True)
    return cycles, accesses, found


def main():
    sys.path.insert(0, str(ROOT))
    from tests.sim.attack import CONFIGS
    from tests.sim.planted import PLANTS, planted
    from tests.sim.standard_configs import STANDARD

    configs = CONFIGS | {name: standard.config for name, standard in STANDARD.items()}
    args = parse([*configs], [*PLANTS])
    any_found = False
    with planted(args.plant):
        for name in args.config or configs:
            start = time.process_time()
            cycles, accesses, found = attack_config(name, configs[name], args)
            any_found |= bool(found)
            print(f"{name}: {cycles} cycles, {accesses} accesses, {len(found)} seeds illegal "
                  f"{found}, {time.process_time() - start:.0f} s of CPU", flush=True)
    return int(any_found)


if __name__ == "__main__":
    sys.exit(main())
