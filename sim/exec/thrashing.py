"""Says once that a run does little but read the code again that it has just evicted."""

import logging

from ...model.kernel.state import KernelState

__all__ = ["ThrashWatch"]

LOG = logging.getLogger("pagewalk")
REFAULTED_TIMES = 4  # the pages of memory: no accident
INSTRUCTIONS_PER_REFAULT = 2000  # fewer than that go on between two of them

TEXT = ("memory is too small: %d pages of files were read again after they were evicted in the "
        "last %d million instructions, and memory has %d pages; --memory gives it more")


class ThrashWatch:
    """Looks at how often pages of files come back that were evicted. [workingset_refault]

    A stretch of the run lasts until four times as many have come back as memory has pages. If there
    were fewer than 2000 instructions for each, a warning of the logger ``pagewalk`` says so, once
    in a run, as the run then may take hours. Linux goes on likewise. Anonymous pages that come back
    are what a run with swap is meant for.

    Parameters
    ----------
    state
        What the kernel model knows.
    """

    def __init__(self, state: KernelState) -> None:
        self._state = state
        self._refaults = self._instructions = 0  # when the stretch began
        self._said = False

    def look(self, instructions: int) -> None:
        """Look, when so many instructions of the run have begun."""
        counts, pages = self._state.lruvec.vmstat, self._state.allocator.totalram_pages
        refaults = counts["workingset_refault_file"]
        since = refaults - self._refaults
        if self._said or since < REFAULTED_TIMES * pages:
            return
        took = instructions - self._instructions
        self._refaults, self._instructions = refaults, instructions
        if took < since * INSTRUCTIONS_PER_REFAULT:
            self._said = True
            LOG.warning(TEXT, since, took // 1_000_000, pages)
