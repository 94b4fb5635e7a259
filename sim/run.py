"""The main job: real Linux page tables, walked by the hardware in Amaranth's own simulator."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from ..hdl.config import Config
from ..model.mmu.walk import Access, walk
from ..model.x86 import AccessKind
from .engine import create
from .image import SHIPPED, Image, ProbeRight
from .picture import walk_picture
from .replay import replay
from .result import Result
from .uncut import Uncut

__all__ = ["replay_shipped", "sample_walks"]


def sample_walks() -> Iterator[Uncut]:
    """Yield the picture of one walk of each shipped image.

    The walk is that of a user's write to the highest page that users may write, which is in the
    stack of the program.
    """
    for mode in SHIPPED:
        view = Image.shipped(mode).views[0]
        probes = view.probes
        wanted = ProbeRight.WRITE | ProbeRight.USER
        chosen = probes.has_rights & (probes.rights & wanted == wanted)
        vaddr = int(probes.va[chosen].max()) + 0x2A8  # inside the page, so that the offset is seen
        access = Access(vaddr, AccessKind.WRITE, user=True)
        yield walk_picture(mode, view.control, walk(view.memory(), mode, view.control, access))


def replay_shipped(
    config: Config, latency: int, limit: int, progress: Callable[[str, int, int], None]
) -> dict[str, Result]:
    """Replay ``limit`` probes of each shipped image; return the replays by paging mode.

    The hardware has the parameters ``config``, but for the mode, and page-table memory that takes
    ``latency`` cycles. ``progress`` is called with the name of the mode and the number of its
    probes done and of all.
    """
    results = {}
    for mode in SHIPPED:
        own = replace(config, mode=mode)
        engine = create("amaranth", own, latency)
        results[mode.name] = replay(Image.shipped(mode), engine, config=own, limit=limit,
                                    progress=partial(progress, mode.name))
    return results
