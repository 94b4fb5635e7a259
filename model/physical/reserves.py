"""``/proc/sys/vm``: its tunables, and what every zone keeps back because of them."""

from dataclasses import dataclass, replace
from typing import Any

from .gfp import Gfp, gfp_zone
from .kernel_config import KernelConfig
from .node import Node
from .watermark import (
    lowmem_reserves,
    min_free_kbytes,
    recommended_min_free_kbytes,
    stat_threshold,
    zone_watermarks,
)
from .zone import Zone

__all__ = ["Reserves", "Sysctl"]


@dataclass(frozen=True, slots=True)
class Sysctl:
    """Tunables under ``/proc/sys/vm``, with the values that a kernel boots with.

    ``min_free_kbytes`` is None unless the administrator set it: the kernel then chooses.
    ``lowmem_reserve_ratio`` is None for the ratios of the kernel's configuration.
    ``transparent_hugepages`` is whether khugepaged raises ``min_free_kbytes``.
    """

    min_free_kbytes: int | None = None
    watermark_scale_factor: int = 10
    watermark_boost_factor: int = 15000
    lowmem_reserve_ratio: tuple[int, ...] | None = None
    percpu_pagelist_high_fraction: int = 0
    transparent_hugepages: bool = True


class Reserves:
    """Sets the watermarks, the lowmem reserves and the sizes of the per-CPU lists of all zones.

    As in the kernel they follow from the pages managed when they were last worked out: memory
    that is freed to the allocator later does not change them.

    Members
    -------
    sysctl
        The tunables as they were written.
    min_free_kbytes
        The value in force.
    """

    def __init__(self, config: KernelConfig, nodes: list[Node], boot_node: Node,
                 sysctl: Sysctl) -> None:
        self.config = config
        self.nodes = nodes
        self.sysctl = sysctl
        self.min_free_kbytes = 0
        self._boot_node = boot_node
        for zone in self.zones:
            zone.watermark_boost_factor = sysctl.watermark_boost_factor

    @property
    def zones(self) -> list[Zone]:
        """All zones of all nodes, empty ones too. [for_each_zone]"""
        return [zone for node in self.nodes for zone in node.zones]

    def write(self, **changes: Any) -> None:
        """Set tunables, by their names in ``Sysctl``, and work out anew what depends on them.

        Raise ``TypeError`` for a name that is not there. [min_free_kbytes_sysctl_handler,
        watermark_scale_factor_sysctl_handler, lowmem_reserve_ratio_sysctl_handler,
        percpu_pagelist_high_fraction_sysctl_handler]
        """
        self.sysctl = replace(self.sysctl, **changes)
        if self.sysctl.min_free_kbytes is not None:
            self.min_free_kbytes = self.sysctl.min_free_kbytes
        if changes.keys() & {"min_free_kbytes", "watermark_scale_factor"}:
            self.setup_per_zone_wmarks()
        if "lowmem_reserve_ratio" in changes:
            self.setup_per_zone_lowmem_reserve()
        if "percpu_pagelist_high_fraction" in changes:
            self.set_pageset_sizes()
        for zone in self.zones:
            zone.watermark_boost_factor = self.sysctl.watermark_boost_factor

    def init_per_zone_wmark_min(self) -> None:
        """Work everything out, as boot does once memory is managed. [init_per_zone_wmark_min]"""
        self.calculate_min_free_kbytes()
        self.setup_per_zone_wmarks()
        for zone in self.zones:
            if zone.populated:
                zone.stat_threshold = stat_threshold(zone.managed_pages, len(zone.pcp))
        self.setup_per_zone_lowmem_reserve()

    def calculate_min_free_kbytes(self) -> None:
        """Choose ``min_free_kbytes`` unless the administrator wants more.

        [calculate_min_free_kbytes]
        """
        self.min_free_kbytes = max(min_free_kbytes(self.buffer_pages()),
                                   self.sysctl.min_free_kbytes or 0)

    def set_recommended_min_free_kbytes(self) -> None:
        """Let khugepaged raise ``min_free_kbytes``. [set_recommended_min_free_kbytes]

        It starts late enough to see the huge pages that boot set aside, which are managed only
        then, but not the memory that boot frees last.
        """
        highest = gfp_zone(Gfp.USER, self.config)
        zones = sum(zone.populated for zone in self.zones if zone.index <= highest)
        wanted = recommended_min_free_kbytes(
            1 << self.config.pageblock_order, zones, self.buffer_pages())
        self.min_free_kbytes = max(self.min_free_kbytes, wanted)
        self.setup_per_zone_wmarks()

    def free_zone_pages(self, highest_zoneidx: int) -> int:
        """Return how many managed pages of the zones up to an index are above the high watermarks.

        [nr_free_zone_pages]
        """
        return sum(
            max(0, zone.managed_pages - zone.watermarks.high - zone.watermark_boost)
            for zone in self._boot_node.zonelist if zone.index <= highest_zoneidx
        )

    def buffer_pages(self) -> int:
        """Return ``free_zone_pages`` of the zones for kernel memory. [nr_free_buffer_pages]"""
        return self.free_zone_pages(gfp_zone(Gfp.USER, self.config))

    def setup_per_zone_wmarks(self) -> None:
        """Set the watermarks of all zones, and then their per-CPU lists. [setup_per_zone_wmarks]
        """
        lowmem = sum(zone.managed_pages for zone in self.zones if not zone.is_highmem)
        for zone in self.zones:
            zone.watermark_boost = 0
            zone.watermarks = zone_watermarks(
                zone.managed_pages, lowmem, self.min_free_kbytes,
                scale_factor=self.sysctl.watermark_scale_factor, highmem=zone.is_highmem)
        self.set_pageset_sizes()

    def set_pageset_sizes(self) -> None:
        """Set how much the per-CPU lists of all zones hold. [zone_pcp_update]"""
        for node in self.nodes:
            for zone in node.own_zonelist:
                zone.set_pageset_sizes(len(node.cpus), self.sysctl.percpu_pagelist_high_fraction)

    def setup_per_zone_lowmem_reserve(self) -> None:
        """Set what each zone keeps from allocations that could go to a higher one.

        [setup_per_zone_lowmem_reserve]
        """
        ratios = self.sysctl.lowmem_reserve_ratio or self.config.lowmem_reserve_ratio
        for node in self.nodes:
            managed = [zone.managed_pages for zone in node.zones]
            for zone, row in zip(node.zones, lowmem_reserves(managed, ratios), strict=True):
                zone.lowmem_reserve = row
