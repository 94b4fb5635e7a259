"""The standard configurations: hardware that between them has every option, in every paging mode.

Everything that compares hardware with something is done with each of them: access vectors, images
of real kernels, recorded boots, workloads with a kernel behind them, and attacks
(``tests/benchmarks/standard.py``, ``tests/sim/attack.py``). ``sim/fpga/standard.py`` is another
list, of what is built, to tell what each part of it costs.
"""

import argparse
from dataclasses import dataclass

from pagewalk.sim.cli.whole_config import add_config, config_of

__all__ = ["STANDARD", "StandardConfig"]


@dataclass(frozen=True, slots=True)
class StandardConfig:
    """A configuration as the command line has it.

    ``words`` are for every verb. The mode, and whether it has 1-Gbyte pages, is what the input of
    a verb must be. MAXPHYADDR is 40, as the recordings have it.
    """

    mode: str
    words: str
    has_1g_pages: bool = True

    @property
    def config(self):
        """The same as a ``Config``."""
        parser = argparse.ArgumentParser()
        add_config(parser)
        pages = [] if self.has_1g_pages else ["--no-1g-pages"]
        return config_of(parser.parse_args(["--mode", self.mode, *pages, *self.words.split()]))


ASKS = "--rights --probes --checks --dropped"
STANDARD = {
    "default": StandardConfig("x86_64", ""),
    "bare": StandardConfig(
        "x86_64", "--ports only --entries 5 --policy fifo --hit-latency 0 --walk-cache 0"
        " --tag-bits 1 --ad write", has_1g_pages=False),
    "out-of-order": StandardConfig(
        "x86_64", "--ports fetch,load,store --entries 16 --ways 2 --index plain --policy lru"
        f" --misses 4 --order tag --cancel --walkers 4 {ASKS}"),
    "prefetching": StandardConfig(
        "x86_64", "--entries 16 --ways 4 --hit-latency 2 --misses 8 --order tag --tag-bits 6"
        " --walkers 8 --l2-entries 64 --prefetch next --memory-response registered"),
    "pulses": StandardConfig(
        "x86_64", "--entries 8 --ways 1 --large-entries 1 --policy random --misses 4"
        " --order request --walk-stages 2 --l2-entries 32 --l2-ways 2 --l2-policy lru"
        " --invalidation pulse --cancel --checks --accessed success"),
    "five-levels": StandardConfig(
        "la57", "--entries 8 --ways 2 --policy plru --walkers 2 --misses 2 --l2-entries 16"
        f" --l2-ways 1 --l2-policy fifo --access-bytes 16 {ASKS}"),
    "five-levels-software": StandardConfig(
        "la57", "--entries 12 --policy lru --hit-latency 2 --walk-cache 3 --ad fault --rights"
        " --probes --invalidation pulse"),
    "386": StandardConfig(
        "ia32", "--ports only --entries 32 --ways 4 --policy random --hit-latency 0"
        f" --accessed success --ad write {ASKS}"),
    "ia32-pool": StandardConfig(
        "ia32", "--entries 8 --ways 1 --large-entries 1 --index plain --policy fifo --misses 8"
        " --walkers 3 --ad fault --l2-entries 16 --l2-ways 2 --l2-policy random"
        " --invalidation pulse --cancel --rights"),
    "ia32-three": StandardConfig(
        "ia32", "--ports fetch,load,store --entries 4 --walk-stages 2 --l2-entries 64"
        " --l2-policy plru --prefetch next --memory-response registered --probes --rights"),
}
