"""What real Linux 6.1 kernels printed of their memory, from ``tests/data/linux-6.1``."""

import re
from functools import cached_property
from pathlib import Path

from pagewalk.model.physical.dmesg import read_dmesg

DATA = Path(__file__).parents[2] / "data" / "linux-6.1"
BOOTS = ("amd64-A", "amd64-B", "amd64-D", "i686-A", "i686-B")
KERNEL_START = 16 << 20
GIGANTIC_PAGES = 1 << 18


class Boot:
    """The files of one boot, and the figures in them."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.dmesg, self.zoneinfo = self.read("dmesg"), self.read("zoneinfo")

    def read(self, file: str) -> str:
        return (DATA / self.name / f"{file}.txt").read_text()

    @cached_property
    def machine(self):
        distances = None
        if (DATA / self.name / "distance.txt").exists():
            distances = tuple(tuple(map(int, line.split()))
                              for line in self.read("distance").splitlines())
        return read_dmesg(self.dmesg, distances)

    @cached_property
    def sysctl(self):
        """The tunables, each a list of numbers."""
        lines = (line.split(":") for line in self.read("sysctl-vm").splitlines())
        return {name: [int(word) for word in value.split() if word.isdigit()]
                for name, value in lines}

    @cached_property
    def zones(self):
        """By node and zone name, the figures of zoneinfo by their first word.

        ``protection`` is a list; ``high`` is the watermark and ``high:`` that of the pageset.
        """
        zones = {}
        for part in re.split(r"^Node ", self.zoneinfo, flags=re.MULTILINE)[1:]:
            nid, name = re.match(r"(\d+), zone +(\w+)", part).groups()
            figures = {"start_pfn:": 0}
            for word, value in re.findall(r"^ +(?:pages )?(\S+) +(\d+)$", part, re.MULTILINE):
                figures.setdefault(word, int(value))
                if word == "start_pfn:":
                    figures[word] = int(value)
            figures["protection"] = [
                int(value) for value in re.search(r"protection: \((.*)\)", part)[1].split(",")]
            threshold = re.search(r"vm stats threshold: (\d+)", part)
            figures["threshold"] = int(threshold[1]) if threshold else 0
            zones[int(nid), name] = figures
        return zones

    def managed(self, when: str) -> dict[tuple[int, str], int]:
        """The managed pages of each zone at a moment of boot.

        "end" is when zoneinfo was read. Before that boot freed the initramfs, from where it last
        lay, and parts of the kernel's image: not yet at "khugepaged". At "init", when the kernel
        set its watermarks for the first time, the gigantic pages that the command line asked for
        were not managed either; they came from the end of memory.
        """
        managed = {zone: figures["managed"] for zone, figures in self.zones.items()}
        if when == "end":
            return managed
        late = self.dmesg[self.dmesg.index("smp: Brought up"):]
        ramdisk = re.findall(r"RAMDISK.*\[mem 0x([0-9a-f]+)-", self.dmesg)[-1]
        for name, kbytes in re.findall(r"Freeing (.*) memory: (\d+)K", late):
            start = int(ramdisk, 16) if name == "initrd" else KERNEL_START
            managed[self.zone_at(start >> 12)] -= int(kbytes) // 4
        gigantic = re.search(r"registered 1.00 GiB page size, pre-allocated (\d+) pages", late)
        if when == "init" and gigantic:
            managed[self.zone_at(self.machine.memory[-1][1] - 1)] -= (
                GIGANTIC_PAGES * int(gigantic[1]))
        return managed

    def zone_at(self, pfn: int) -> tuple[int, str]:
        return next(zone for zone, figures in self.zones.items()
                    if 0 <= pfn - figures["start_pfn:"] < figures["spanned"])

    def free_blocks(self) -> dict[tuple[int, str], list[list[int]]]:
        """By node and zone name, the free blocks of pagetypeinfo, ``[migratetype][order]``."""
        free = {}
        for nid, name, counts in re.findall(
                r"^Node +(\d+), zone +(\w+), type +\w+ +([\d ]+)$", self.read("pagetypeinfo"),
                re.MULTILINE):
            free.setdefault((int(nid), name), []).append([int(count) for count in counts.split()])
        return free

    def pageblocks(self) -> dict[tuple[int, str], list[int]]:
        """By node and zone name, the pageblocks of each migrate type."""
        return {
            (int(nid), name): [int(count) for count in counts.split()]
            for nid, name, counts in re.findall(
                r"^Node (\d+), zone +(\w+) +([\d ]+)$", self.read("pagetypeinfo"), re.MULTILINE)
        }

    def reserved(self) -> list[tuple[int, int]]:
        """Pages for boot to reserve, so that each zone has as many managed ones as at "init".

        They are the first ones of the zone; which they really were, no file says.
        """
        reserved = []
        for zone, managed in self.managed("init").items():
            figures = self.zones[zone]
            start, end = figures["start_pfn:"], figures["start_pfn:"] + figures["spanned"]
            first_mib = sum(min(256, one.end_pfn) - one.start_pfn for one in self.machine.ranges
                            if start <= one.start_pfn < 256)
            left = figures["present"] - managed - first_mib
            for one in self.machine.ranges:
                low, high = max(one.start_pfn, start, 256), min(one.end_pfn, end)
                if one.nid == zone[0] and low < high:
                    reserved.append((low, min(high, low + left)))
                    left -= min(high - low, left)
        return reserved
