"""What a design takes in an FPGA, and how fast it is there."""

import statistics
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event

from ...hdl.toolchain import YOSYS, ToolFailed, require_installed
from .chip import Chip
from .component import Design
from .critical_path import CriticalPath, critical_path
from .netlist import Netlist
from .placement import Placement, place_and_route, placed_before
from .port_registers import bare_ports, close_ports, register_ports
from .synthesis import synthesize

__all__ = ["Measurement", "measure"]

Told = Callable[[str, int, int], None]  # what is being done, how much is done, of how much


@dataclass(frozen=True, slots=True)
class Measurement:
    """The area of a design, and its speed in several placements.

    Members
    -------
    cells : dict of str to int
        How many cells the design takes, by resource, without the registers at its ports.
    registers : dict of str to int
        How many flip-flops of them each component has, by its path; that of the whole is empty.
    placements : tuple of :class:`Placement`
        One for each seed; none if the area alone was measured.
    path : :class:`CriticalPath` or None
        The critical path of the placement in the middle, the slower one of two.
    """

    cells: dict[str, int]
    registers: dict[str, int]
    placements: tuple[Placement, ...]
    path: CriticalPath | None

    @property
    def fmax_mhz(self) -> float | None:
        """Median of what the placements reach."""
        clocks = [placement.fmax_mhz for placement in self.placements]
        return statistics.median(clocks) if clocks else None

    @property
    def best_mhz(self) -> float | None:
        """The most that a placement reaches."""
        return max((placement.fmax_mhz for placement in self.placements), default=None)


def measure(design: Design, chip: Chip, router: int, seeds: Sequence[int], *, jobs: int,
            told: Told, places: bool = True) -> Measurement:
    """Synthesize, place and route ``design`` with a register at every port.

    It is placed once with each of ``seeds``, in ``jobs`` processes at a time. ``told`` is called
    with what is being done. Without ``places`` nothing is placed: there are placements only if
    those with all of the seeds were kept before.

    Raises
    ------
    :exc:`ToolMissing`, :exc:`ToolFailed`
        If a tool is missing or fails.
    """
    for tool in (YOSYS, chip.family.tool) if places else (YOSYS,):  # before what takes long
        require_installed(tool)
    told("synthesizes", 0, len(seeds) + 1)
    netlist = synthesize(design, chip.family)
    cells, registers = netlist.counts(chip.family), netlist.registers(chip.family)
    register_ports(netlist, chip.family)
    if bare := bare_ports(netlist, chip.family):
        raise ToolFailed(f"Ports without a register: {', '.join(bare)}")
    if not chip.family.has_open_ports:
        close_ports(netlist, chip.family)
    if places:
        told("places", 1, len(seeds) + 1)
        placements = _place_all(netlist, chip, router, seeds, jobs, told)
    else:
        placements = _kept_placements(netlist, chip, router, seeds)
    return Measurement(cells, registers, tuple(placements), _middle_path(placements, netlist))


def _middle_path(placements: Sequence[Placement], netlist: Netlist) -> CriticalPath | None:
    if not placements:
        return None
    middle = sorted(placements, key=lambda one: one.fmax_mhz)[(len(placements) - 1) // 2]
    return critical_path(middle.path, netlist)


def _kept_placements(netlist: Netlist, chip: Chip, router: int,
                     seeds: Sequence[int]) -> list[Placement]:
    """Return the placement of each seed as it was made before, none if one of them was not."""
    text = netlist.dump()
    found = [placed_before(text, chip, router, seed) for seed in seeds]
    placements = [placement for placement in found if placement is not None]
    return placements if len(placements) == len(seeds) else []


def _place_all(netlist: Netlist, chip: Chip, router: int, seeds: Sequence[int], jobs: int,
               told: Told) -> list[Placement]:
    """Return a placement for each seed. If one fails, or Ctrl-C is pressed, all end."""
    text, done, ended = netlist.dump(), [0], Event()

    def place(seed: int) -> Placement:
        def watch(phase: str) -> None:
            if ended.is_set():
                raise ToolFailed("nextpnr was ended")
            told(phase, 1 + done[0], len(seeds) + 1)

        watch("places")
        placement = place_and_route(text, chip, router, seed, watch)
        done[0] += 1
        return placement

    with ThreadPoolExecutor(jobs) as pool:
        try:
            return list(pool.map(place, seeds))
        finally:
            ended.set()
