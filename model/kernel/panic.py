"""What a kernel stops for, for good. [kernel/panic.c]"""

from ..physical.out_of_memory import OutOfMemory, ZoneRefusal

__all__ = ["AttemptedToKillInit", "DeadlockedOnMemory", "KernelPanic"]


class KernelPanic(Exception):
    """The kernel of a machine has stopped; what is raised is what it prints last."""


class AttemptedToKillInit(KernelPanic):
    """The first process of a machine has ended. [do_exit]"""

    def __init__(self) -> None:
        super().__init__("Kernel panic - not syncing: Attempted to kill init!")


class DeadlockedOnMemory(KernelPanic, OutOfMemory):
    """No memory is left, and nobody who may be killed for it. [out_of_memory]

    Parameters are those of the allocation that failed.
    """

    def __init__(self, order: int, gfp: int, refusals: tuple[ZoneRefusal, ...]) -> None:
        OutOfMemory.__init__(self, order, gfp, refusals)
        self.args = (f"{self.args[0]}\nKernel panic - not syncing: System is deadlocked on memory",)
