"""What a run has not given back: frames and slots that are in use though all processes ended."""

from dataclasses import asdict, dataclass

from ...model.address_space.errors import BrokenMm
from ...model.kernel.kernel import Kernel
from ...model.physical.errors import BrokenInvariant

__all__ = ["Leftovers", "broken_rule", "frames_in_use", "leftovers"]


@dataclass(frozen=True, slots=True)
class Leftovers:
    """What is wrong with the kernel at the end of a run; all is well if nothing is.

    Members
    -------
    frames, slots
        Frames of memory and slots of swap that are in use for nobody.
    processes
        Processes that have not ended.
    broken
        The first rule that ``Kernel.check`` found broken, as text; None if all hold.
    """

    frames: int = 0
    slots: int = 0
    processes: int = 0
    broken: str | None = None

    def __bool__(self) -> bool:
        """Return whether anything is wrong."""
        return self != Leftovers()

    def __str__(self) -> str:
        """Return it as a line."""
        told = [f"{count} {name} in use at the end" for name, count in (
            ("frames", self.frames), ("slots of swap", self.slots),
            ("processes", self.processes)) if count]
        return "; ".join(told + ([self.broken] if self.broken is not None else []))

    def as_json(self) -> dict[str, int | str | None]:
        """Return it for a file of figures."""
        return asdict(self)


def broken_rule(kernel: Kernel) -> str | None:
    """Return what ``Kernel.check`` finds broken, None if nothing."""
    try:
        kernel.check()
    except (BrokenInvariant, BrokenMm) as error:
        return str(error)
    return None


def frames_in_use(kernel: Kernel) -> int:
    """Return how many frames are in use for processes.

    Not counted are what the kernel keeps without any: pages of files, its own tables, vmalloc, the
    huge page of zeros.
    """
    state = kernel.state
    vmalloc = sum(len(area.pfns) for area in kernel.map.vmalloc.areas)
    return state.frames.allocated() - len(state.page_cache.frames_used()) - (
        sum(state.kernel_tables.tables) + vmalloc + len(state.thp.own_frames))


def leftovers(kernel: Kernel, frames_before: int, broken: str | None = None) -> Leftovers:
    """Return what is wrong with a kernel of which all processes should have ended.

    Slots that hold pages of files that are still there are in use for these.

    Parameters
    ----------
    frames_before
        What ``frames_in_use`` returned before the first process.
    broken
        What is known to be broken already.
    """
    swap = kernel.state.swap
    slots = swap.total_swap_pages - swap.free_slots - kernel.state.shmem.swapped
    return Leftovers(frames_in_use(kernel) - frames_before, slots, len(kernel.processes),
                     broken if broken is not None else broken_rule(kernel))
