"""The path that limits the clock, told by the components that it leads through."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from .netlist import Netlist
from .placement import Stretch
from .port_registers import PREFIX

__all__ = ["PORTS", "CriticalPath", "Station", "critical_path"]

PORTS = "(port)"  # stands for the component where the path is in the registers of the ports


@dataclass(frozen=True, slots=True)
class Station:
    """A net on the path, or several of one name in a row.

    ``component`` is the path of the component that drives it, ``signal`` its name there, and
    ``logic_ns`` and ``routing_ns`` the time that is taken in it: by the cells that lead up to it,
    and by the way from there to the next cell.
    """

    component: str
    signal: str
    logic_ns: float
    routing_ns: float


@dataclass(frozen=True, slots=True)
class CriticalPath:
    """The stations of the path in their order, and its time in nanoseconds."""

    stations: tuple[Station, ...]

    @property
    def logic_ns(self) -> float:
        """Time in cells, with clock-to-output and set-up."""
        return sum(station.logic_ns for station in self.stations)

    @property
    def routing_ns(self) -> float:
        """Time in wires."""
        return sum(station.routing_ns for station in self.stations)

    def by_component(self) -> dict[str, float]:
        """Return the nanoseconds in each component, in the order in which the path meets them."""
        times: dict[str, float] = {}
        for station in self.stations:
            time = station.logic_ns + station.routing_ns
            times[station.component] = times.get(station.component, 0.0) + time
        return times

    def components(self) -> list[str]:
        """Return the components in the order of the path, each as often as it is entered."""
        return [component for component, _ in groupby(s.component for s in self.stations)]


def critical_path(stretches: Sequence[Stretch], netlist: Netlist) -> CriticalPath:
    """Return the path that ``stretches`` of nextpnr make, in the names of the hardware."""
    stations: list[Station] = []
    logic_ns = 0.0
    for stretch in stretches:
        if stretch.kind == "logic":
            logic_ns += stretch.ns
            continue
        component, signal = netlist.owner(stretch.net)
        stations.append(Station(component, _without_index(signal), logic_ns, stretch.ns))
        logic_ns = 0.0
    if stations:  # the set-up of the last flip-flop
        end = stretches[-1].cell
        name = end.removeprefix(PREFIX)
        component, signal = (PORTS, name) if name != end else netlist.owner_of_cell(end)
        stations.append(Station(component, _without_index(signal), logic_ns, 0.0))
    return CriticalPath(tuple(_join(group) for _, group in groupby(
        stations, lambda station: (station.component, station.signal))))


def _join(group: Iterable[Station]) -> Station:
    stations = list(group)
    return Station(stations[0].component, stations[0].signal,
                   sum(station.logic_ns for station in stations),
                   sum(station.routing_ns for station in stations))


def _without_index(signal: str) -> str:
    return re.sub(r"\[\d+\]$", "", signal)
