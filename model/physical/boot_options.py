"""The kernel's command line, as far as it decides where zones begin and end."""

import re
from dataclasses import dataclass, replace
from typing import Any

from ..x86 import PAGE_SHIFT

__all__ = ["Amount", "BootOptions", "OptionError", "memparse"]

VMALLOC_OFFSET = 8 << 20  # the guard hole under vmalloc, on i686 [pgtable_32_areas.h]


class OptionError(ValueError):
    """A kernel parameter with a value that is wrong or not modelled."""


@dataclass(frozen=True, slots=True)
class Amount:
    """An amount of memory: so many ``pages``, or a ``percent`` of all pages."""

    pages: int = 0
    percent: int = 0

    def of(self, total: int) -> int:
        """Return the amount in pages, of ``total`` pages."""
        return total * self.percent // 100 if self.percent else self.pages


@dataclass(frozen=True, slots=True)
class BootOptions:
    """Parameters of the kernel that shape zones.

    Parameters
    ----------
    kernelcore, movablecore
        How much memory is to stay outside ZONE_MOVABLE, and how much is to be in it.
    movable_node
        Whether all memory that can be unplugged is in ZONE_MOVABLE, and no other; the two above
        then have no effect.
    numa
        Whether the kernel uses the nodes of the machine.
    vmalloc_bytes
        Bytes of linear addresses for vmalloc, which on i686 the direct map of lowmem leaves free.
        [__VMALLOC_RESERVE]
    highmem_pages
        The pages of ZONE_HIGHMEM on i686, None for all that lowmem does not hold.
    """

    kernelcore: Amount = Amount()
    movablecore: Amount = Amount()
    movable_node: bool = False
    numa: bool = True
    vmalloc_bytes: int = 128 << 20
    highmem_pages: int | None = None

    @classmethod
    def parse(cls, command_line: str) -> "BootOptions":
        """Return what a kernel command line says; parameters of other parts are passed over.

        Raise ``OptionError`` for a value that is no amount of memory, and for kernelcore=mirror.
        """
        options = cls()
        for word in command_line.split():
            name, _, value = word.partition("=")
            if change := _change(name, value):
                options = replace(options, **change)
        return options


def _change(name: str, value: str) -> dict[str, Any]:
    """Return the fields of ``BootOptions`` that one kernel parameter sets."""
    match name:
        case "kernelcore" | "movablecore":  # [cmdline_parse_core]
            if percent := re.fullmatch(r"(\d+)%", value):
                return {name: Amount(percent=int(percent[1]))}
            return {name: Amount(pages=memparse(name, value) >> PAGE_SHIFT)}
        case "movable_node":
            return {"movable_node": True}
        case "numa" if value.startswith("off"):
            return {"numa": False}
        case "vmalloc":  # [parse_vmalloc]
            return {"vmalloc_bytes": memparse(name, value) + VMALLOC_OFFSET}
        case "highmem":  # [parse_highmem]
            return {"highmem_pages": memparse(name, value) >> PAGE_SHIFT}
    return {}


def memparse(name: str, value: str) -> int:
    """Return the bytes that a size such as ``512M`` or ``0x1000k`` stands for. [memparse]

    Raise ``OptionError``, naming the parameter, for any other value.
    """
    match = re.fullmatch(r"(0[xX][0-9a-fA-F]+|\d+)([kKmMgGtTpPeE]?)", value)
    if match is None:
        raise OptionError(f"{name}={value}: expected a size such as 512M")
    number = match[1].lower()
    base = 16 if number.startswith("0x") else 8 if number.startswith("0") else 10
    try:
        size = int(number, base)
    except ValueError:
        raise OptionError(f"{name}={value}: expected a size such as 512M") from None
    return size << 10 * " kmgtpe".index(match[2].lower() or " ")
