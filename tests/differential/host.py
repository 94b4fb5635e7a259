"""What this machine's kernel is set to, and whether the model can be compared with it."""

import os
import resource
from dataclasses import dataclass
from pathlib import Path

__all__ = ["KNOWN", "Host", "not_comparable", "read_host"]

KNOWN = ((6, 18),)
"""Releases that have been compared with the model, in thousands of programs."""


@dataclass(frozen=True, slots=True)
class Host:
    """The release of a kernel, and the settings that programs depend on."""

    release: tuple[int, int]
    mmap_min_addr: int
    max_map_count: int
    overcommit: int


def read_host(taken_for: tuple[int, int] | None = None) -> Host:
    """Return the settings of this machine; ``taken_for`` stands in for its release."""
    major, minor = os.uname().release.split(".")[:2]
    release = int(major), int("".join(filter(str.isdigit, minor[:3])))
    return Host(taken_for or release, _number("vm/mmap_min_addr"), _number("vm/max_map_count"),
                _number("vm/overcommit_memory"))


def _number(name: str) -> int:
    return int((Path("/proc/sys") / name).read_text())


def not_comparable(taken_for: tuple[int, int] | None = None) -> str | None:
    """Return why programs here may come to other things than on the model, None if they may not."""
    system = os.uname()
    if system.sysname != "Linux" or system.machine != "x86_64":
        return f"The kernel must be Linux on x86_64, not {system.sysname} on {system.machine}"
    release = read_host(taken_for).release
    if release not in KNOWN and taken_for is None:
        known = ", ".join(f"{major}.{minor}" for major, minor in KNOWN)
        return (f"Linux {system.release} has not been compared with the model, only {known}; "
                "--kernel-release says which of the rules of later kernels to go by")
    for wrong, why in SETTINGS.items():
        if why():
            return f"Here {wrong}, which the model does not follow"
    return None


def _swaps() -> bool:
    return len(Path("/proc/swaps").read_text().splitlines()) > 1


def _multi_generational() -> bool:
    enabled = Path("/sys/kernel/mm/lru_gen/enabled")
    return enabled.exists() and int(enabled.read_text(), 16) != 0


def _merges_pages() -> bool:
    run = Path("/sys/kernel/mm/ksm/run")
    return run.exists() and run.read_text().strip() != "0"


SETTINGS = {
    "memory may not be overcommitted": lambda: _number("vm/overcommit_memory") > 1,
    "mappings go from the bottom up": lambda: (
        _number("vm/legacy_va_layout") != 0
        or resource.getrlimit(resource.RLIMIT_STACK)[0] == resource.RLIM_INFINITY),
    "there is swap": _swaps,
    "pages are merged (KSM)": _merges_pages,
    "reclaim is multi-generational": _multi_generational,
}
"""Settings with which a program may come to something else."""
