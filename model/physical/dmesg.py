"""Read a machine's memory map from what its kernel printed when it booted."""

import re

from ..x86 import PAGE_SHIFT
from .boot_options import BootOptions
from .kernel_config import AMD64, CONFIGS, KernelConfig
from .memory_map import E820Range, MemoryMap, MemoryMapError, NodeRange

__all__ = ["read_dmesg"]

SPAN = r"\[mem 0x([0-9a-f]+)-0x([0-9a-f]+)\]"
BIOS_MAP = re.compile(rf"BIOS-e820: {SPAN} (.+)")
USER_MAP = re.compile(rf"\buser: {SPAN} (.+)")
UPDATE = re.compile(rf"e820: update {SPAN} usable ==> (.+)")
REMOVE = re.compile(rf"e820: remove {SPAN} ?(?:usable)?$", re.MULTILINE)
NODE = re.compile(rf"SRAT: Node (\d+) PXM \d+ {SPAN}( hotplug)?")
CPU = re.compile(r"SRAT: PXM \d+ -> X?2?APIC 0x[0-9a-f]+ -> Node (\d+)$", re.MULTILINE)
CPU_COUNT = re.compile(r"smp: Brought up \d+ nodes?, (\d+) CPUs?")
COMMAND_LINE = re.compile(r"Command line: (.*)", re.IGNORECASE)
MAX_ARCH_PFN = re.compile(r"max_arch_pfn = 0x([0-9a-f]+)")
CONFIG_BY_MAX_PFN = {config.max_pfn: config for config in CONFIGS.values()}
CONFIG_BY_MAX_PFN[1 << 52 - PAGE_SHIFT] = AMD64  # with five levels of page tables


def read_dmesg(text: str, distances: tuple[tuple[int, ...], ...] | None = None) -> MemoryMap:
    """Return the machine whose boot messages, with or without time stamps, are ``text``.

    A map given by mem= or memmap= replaces the BIOS's, and changes that the kernel reports are
    made. The messages do not tell the ``distances`` between nodes. Raise ``MemoryMapError`` if they
    hold no memory map or are of a kernel that is not modelled.
    """
    text = text.replace("\r", "")
    e820 = [_e820(match.groups()) for match in (USER_MAP if USER_MAP.search(text) else BIOS_MAP
                                                ).finditer(text)]
    if not e820:
        raise MemoryMapError("Boot messages have no line 'BIOS-e820: [mem ...] usable'")
    e820 += [_e820(match.groups()) for match in UPDATE.finditer(text)]
    e820 += [_e820((*match.groups(), "removed")) for match in REMOVE.finditer(text)]
    nodes = [
        NodeRange(int(nid), int(start, 16), int(last, 16) + 1, bool(hotplug))
        for nid, start, last, hotplug in NODE.findall(text)
    ]
    command_line = COMMAND_LINE.search(text)
    return MemoryMap(
        tuple(e820), tuple(nodes), _cpus(text), distances, _config(text),
        BootOptions.parse(command_line[1] if command_line else ""),
    )


def _e820(fields: tuple[str, ...]) -> E820Range:
    start, last, kind = fields
    return E820Range(int(start, 16), int(last, 16) + 1, kind.strip())


def _cpus(text: str) -> tuple[int, ...]:
    """Return the node of each processor that was brought up; those the SRAT lacks are on 0."""
    nids = [int(nid) for nid in CPU.findall(text)]
    count = CPU_COUNT.search(text)
    online = int(count[1]) if count else max(1, len(nids))
    return tuple((nids + [0] * online)[:online])


def _config(text: str) -> KernelConfig:
    """Return the kernel that printed ``text``, by the memory that it could use."""
    match = MAX_ARCH_PFN.search(text)
    if match is None:
        raise MemoryMapError("Boot messages have no line 'last_pfn = ... max_arch_pfn = ...'")
    config = CONFIG_BY_MAX_PFN.get(int(match[1], 16))
    if config is None:
        known = ", ".join(f"{config.max_pfn:#x} ({config.name})" for config in CONFIGS.values())
        raise MemoryMapError(f"max_arch_pfn is {int(match[1], 16):#x}: expected one of {known}")
    return config
