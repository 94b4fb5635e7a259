"""The error of an allocation that no zone could serve, with the reason of each zone."""

from dataclasses import dataclass

from .errors import PageError
from .gfp import gfp_name

__all__ = ["OutOfMemory", "ZoneRefusal"]


@dataclass(frozen=True, slots=True)
class ZoneRefusal:
    """Why one zone did not serve an allocation, and its line of ``/proc/buddyinfo``."""

    nid: int
    zone: str
    reason: str
    buddyinfo: str


class OutOfMemory(PageError, MemoryError):
    """No zone that the allocation may use could serve it. [warn_alloc]

    Parameters
    ----------
    order, gfp
        What was asked for.
    refusals
        Why each zone that was tried did not serve it, in the order of the attempts.
    """

    def __init__(self, order: int, gfp: int, refusals: tuple[ZoneRefusal, ...]) -> None:
        lines = [f"page allocation failure: order:{order}, mode:{gfp:#x}({gfp_name(gfp)})"]
        for one in refusals:
            lines.append(f"Node {one.nid}, zone {one.zone}: {one.reason}")
            lines.append(one.buddyinfo)
        super().__init__("\n".join(lines if refusals else [*lines, "No zone may serve it"]))
        self.order = order
        self.gfp = gfp
        self.refusals = refusals
