"""The names of the MMU's events, each with its bit of the event word."""

from ...x86 import Level
from .timed_geometry import TimedGeometry

__all__ = ["EventBits", "event_names", "page_name"]


def page_name(level: Level) -> str:
    """Return the usual name of the page that ``level`` maps: ``4k``, ``2m``, ``4m``, ``1g``."""
    return f"{1 << level.shift % 10}{'kmg'[level.shift // 10 - 1]}"


def event_names(geometry: TimedGeometry) -> list[str]:
    """Return the names, as those of the hardware's ``events`` joined by ``_``."""
    mode = geometry.mode
    names = []
    for port in geometry.ports:
        hits = [f"hit_{page_name(page)}" for page in mode.pages]
        names += [f"{port}_{event}" for event in ("lookup", *hits, "miss", "stall", "fault")]
    levels = [level.name.lower() for level in mode.levels]
    walk = ["start", "end", *(f"hit_{level}" for level in levels[:-1]),
            *(f"read_{level}" for level in levels), "update", "restart", "fault",
            *(["merge"] if geometry.walkers > 1 else [])]
    if geometry.l2_entries:
        hits = [f"hit_{page_name(page)}" for page in mode.pages]
        names += [f"l2_{event}" for event in ("lookup", *hits, "miss")]
    return [*names, *(f"walk_{event}" for event in walk), "flush"]


class EventBits:
    """The bits of the events whose names begin with ``prefix``, by the rest of their names."""

    def __init__(self, geometry: TimedGeometry, prefix: str = "") -> None:
        self.bits = {name.removeprefix(prefix): 1 << number
                     for number, name in enumerate(event_names(geometry))
                     if name.startswith(prefix)}

    def __getitem__(self, name: str) -> int:
        return self.bits[name]
