"""Measure programs on the MMU beside this machine: fills, instructions, faults, calls a second.

Seconds are of CPU time. Run it as
``python tests/benchmarks/bench_exec.py [--mode MODE] [--engine ENGINE]``.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from uuid import UUID

ROOT = Path(__file__).resolve().parents[2]
PAGES = 2048
BUFFER = 0x1000_0000

TOUCH = f"""
    mov @di, {BUFFER:#x}
    mov ecx, {PAGES}
again:
    mov eax, [@di]
    add @di, 4096
    dec ecx
    jnz again
    END
"""
STORE = TOUCH.replace("mov eax, [@di]", "mov [@di], ecx")
LOOP = """
    mov ecx, ebx
    mov @si, DATA
again:
    add eax, ecx
    xor edx, eax
    mov [@si], edx
    add edx, [@si + 8]
    rol eax, 3
    dec ecx
    jnz again
    END
"""
CALL = "again: END; jmp again"


class Bench:
    """Programs in worlds of their own."""

    def __init__(self, engine, mode, folder):
        self.engine, self.mode, self.folder = engine, mode, folder

    def world(self, text, check="fast", **more):
        from tests.sim.exec.worlds import CODE, RW, World, assemble

        world = World(self.engine, self.mode, check, **more)
        world.poke(CODE, assemble(text, self.mode, self.folder))
        for start in range(BUFFER, BUFFER + PAGES * 4096, 512 * 4096):
            world.mmap(start, 512, RW)
        return world

    def measure(self, world, times=1, before=lambda: None):
        """Run a world some times; return CPU seconds, and by how much its counts grew."""
        start = self.counted(world)
        clock = time.process_time()
        for _ in range(times):
            before()
            world.run()
        seconds = time.process_time() - clock
        end = self.counted(world)
        return seconds, *(new - old for old, new in zip(start, end, strict=True))

    @staticmethod
    def counted(world):
        counts = world.cpu.counts
        return counts.instructions, counts.fills, counts.translations, counts.cycles

    def rows(self, share):
        """Yield name, count and CPU seconds; ``share`` is how much of the work is done."""
        from pagewalk.model.kernel.swap.file import SwapFile

        world = self.world(STORE)
        seconds, *_ = self.measure(world)
        yield "demand-zero faults", world.machine.counts.minor, seconds
        touched = self.world(STORE + TOUCH.replace("again", "second"))
        touched.run()
        seconds, _, fills, *_ = self.measure(
            touched, max(1, int(20 * share)), touched.cpu.forget_translations)
        yield "fills", fills, seconds
        loop = self.world(LOOP)
        loop.cpu.write("ebx", 30_000_000)
        seconds, instructions, *_ = self.measure(loop)
        yield "instructions, fast", instructions, seconds
        loop = self.world(LOOP, "each")
        loop.cpu.write("ebx", int(50_000 * share))
        seconds, instructions, _, translations, _ = self.measure(loop)
        yield "instructions, each", instructions, seconds
        yield "translations, each", translations, seconds
        calls = self.world(CALL)
        calls.run()
        clock = time.process_time()
        for _ in range(20_000):
            calls.go_on()
        yield "system calls", 20_000, time.process_time() - clock
        swap = self.folder / "swap"
        with SwapFile.create(swap, 4 * PAGES, uuid=UUID(int=1)) as file:
            large = self.world(STORE + TOUCH.replace("again", "second"), megabytes=4, swap=file)
            seconds, *_ = self.measure(large)
            counts = large.machine.counts
            yield "faults with swap", counts.minor + counts.major, seconds


NATIVE = {"instructions, fast": "instructions", "instructions, each": "instructions",
          "demand-zero faults": "demand-zero faults", "system calls": "system calls"}
"""What native_speed.c calls that which is compared with it."""


def native_speeds(folder):
    """Return how often a second this machine does each of what native_speed.c measures."""
    program = folder / "native"
    subprocess.run(["gcc", "-O2", "-o", program, Path(__file__).with_name("native_speed.c")],
                   check=True)
    lines = subprocess.run([program], check=True, capture_output=True, text=True).stdout
    return {name: 1e9 / float(value)
            for name, value in (line.split(": ") for line in lines.splitlines())}


def measured(engine, mode):
    from pagewalk.model.x86 import MODES

    share = {"cxxrtl": 1, "model": 0.1, "amaranth": 0.01}[engine]
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(engine, MODES[mode], Path(folder))
        return {name: count / seconds for name, count, seconds in bench.rows(share)}


def main():
    from pagewalk.model.kernel.platform import PLATFORMS

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mode", choices=PLATFORMS, action="append")
    parser.add_argument("--engine", choices=("cxxrtl", "model", "amaranth"), action="append")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        native = native_speeds(Path(folder))
    columns = {}
    for engine in args.engine or ("cxxrtl", "model"):
        for mode in args.mode or PLATFORMS:
            columns[f"{engine} {mode}"] = measured(engine, mode)
            print(f"{engine} {mode} is measured", file=sys.stderr)
    print(f"{'a second':24}" + "".join(f"{name:>16}" for name in columns) + f"{'native':>16}")
    for name in next(iter(columns.values())):
        own = native.get(NATIVE.get(name, ""))
        print(f"{name:24}" + "".join(f"{column[name]:16,.0f}" for column in columns.values())
              + (f"{own:16,.0f}" if own else f"{'-':>16}"))
        if own:
            print(f"{'  native is x times':24}" + "".join(
                f"{own / column[name]:16,.0f}" for column in columns.values()))


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
