"""The two worlds that programs run in: the kernel of this machine, and the model."""

from collections.abc import Collection
from functools import partial
from pathlib import Path

import numpy as np

from .compare import Runs
from .generate import random_program
from .host import Host
from .later import later_rules
from .modelled import ModelKernel
from .native import NativeKernel, RunnerError
from .program import Outcome, Program

__all__ = ["Worlds"]

FILE_SYSTEMS = ("ext4", "xfs")


class Worlds:
    """Both kernels; whoever makes them closes them.

    ``folder`` is where the runner is built, and the files lie that programs map.
    """

    def __init__(self, folder: Path, host: Host) -> None:
        self._folder, self.host = folder, host
        self.native = NativeKernel(folder)
        self.model = ModelKernel(self.native.layout, host)
        self.has_files = file_system(folder) in FILE_SYSTEMS
        self.has_low = not self.native.layout.randomised

    def close(self) -> None:
        self.native.close()

    def run(self, program: Program, left_out: Collection[str] = ()
            ) -> tuple[list[Outcome], list[Outcome]]:
        """Return what the steps of a program come to natively and on the model.

        The model goes by the rules of the native kernel, but for those in ``left_out``. Raise
        ``RunnerError`` for a program that ends the runner, which is started again.
        """
        with later_rules(self.host.release, left_out):
            model = self.model.run(program)
        if any(outcome.broken for outcome in model):
            self.model = ModelKernel(self.native.layout, self.host)
        try:
            return self.native.run(program), model
        except RunnerError:
            self.native.close()
            self.native = NativeKernel(self._folder)
            raise

    def program(self, seed: int) -> Program:
        """Return a random program that suits both."""
        return random_program(np.random.default_rng(seed), files=self.has_files, low=self.has_low)

    def leaving_out(self, *what: str) -> Runs:
        """Return ``run`` without some rules of later kernels."""
        return partial(self.run, left_out=what)


def file_system(folder: Path) -> str:
    """Return the type of the file system that a folder is on."""
    path, found = folder.resolve(), ""
    longest = -1
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        mount = Path(before.split()[4])
        if path.is_relative_to(mount) and len(mount.parts) >= longest:
            longest, found = len(mount.parts), after.split()[0]
    return found
