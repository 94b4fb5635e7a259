"""Hold the timing model against compiled hardware for as long as wanted, in every answer and event.

Each seed is an attack (``tests/sim/attack.py``): programs of every operation, with resets, other
processors' writes, back-pressure, latencies and bus errors. The first seed that differs is played
again in Amaranth's simulator, and both sides are shown around the first cycle that differs.
"""

import argparse
import sys
import time
from pathlib import Path

from pagewalk.sim.cli.common import positive, whole

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS, LENGTH = 3, 4000  # of each seed


def parse(configs, words=None):
    """Return the arguments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", choices=configs, action="append",
                        help="a configuration; may be given more than once (all)")
    parser.add_argument("--first", type=whole(0, 1 << 32), default=1, metavar="SEED",
                        help="the first seed (%(default)s)")
    parser.add_argument("--cycles", type=positive, default=100_000, metavar="N",
                        help="clock cycles of each configuration, at least (%(default)s)")
    return parser.parse_args(words)


def compare_seed(config, seed, names=("timing", "cxxrtl"), seconds=None):
    """Play a seed with two engines; return the cycles, or raise ``Different``."""
    from pagewalk.sim.engine import create
    from tests.sim.attack import Attack, random_memory_model
    from tests.sim.engine.cycle_compare import assert_same_cycles, assert_same_outcome

    software = Attack(config, seed)
    engines = [create(name, config, random_memory_model(seed)) for name in names]
    memory, other, played = software.memory, software.memory.copy(), 0
    for _ in range(PROGRAMS):
        commands = software.program(LENGTH)
        if "amaranth" in names:
            run = assert_same_cycles(*engines, memory, commands)
        else:
            start = time.process_time()
            run = engines[0].run(memory, commands)
            seconds[0] += time.process_time() - start
            assert_same_outcome(run, engines[1].run(other, commands))
            assert (memory.frames == other.frames).all()
        played += run.cycles
    return played


def compare(name, config, args):
    """Compare a configuration for as many cycles as wanted; return whether all was the same."""
    from tests.sim.engine.cycle_compare import Different

    played, seed, seconds = 0, args.first, [0.0]
    while played < args.cycles:
        try:
            played += compare_seed(config, seed, seconds=seconds)
        except (Different, AssertionError) as error:
            print(f"{name}, seed {seed}, within {played} cycles: {error}", flush=True)
            compare_seed(config, seed, ("timing", "amaranth"))
            return False
        seed += 1
    print(f"{name}: {played} cycles equal, seeds {args.first} to {seed - 1}, "
          f"{played / seconds[0]:.0f} cycles/s of the model", flush=True)
    return True


def main():
    sys.path.insert(0, str(ROOT))
    from tests.sim.engine.test_timing import KNOWN

    args = parse([*KNOWN])
    same = [compare(name, KNOWN[name], args) for name in args.config or KNOWN]
    return int(not all(same))


if __name__ == "__main__":
    sys.exit(main())
