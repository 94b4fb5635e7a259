"""The auxiliary vector: what the kernel tells a program that starts. [getauxval(3)]

The addresses of the vdso, AT_SYSINFO and AT_SYSINFO_EHDR, are left out, as by a kernel that was
started with ``vdso=0``: the pages of ``[vdso]`` are mapped here, but there is no code in them.
Linux 6.1 has no AT_RSEQ_FEATURE_SIZE and AT_RSEQ_ALIGN, which came with 6.3.
"""

from dataclasses import dataclass

from ..x86 import PAGE_BYTES
from .exec_arguments import Credentials

__all__ = ["At", "AuxFacts", "AuxPlaces", "Processor", "aux_vector"]

TICKS_PER_SECOND = 100  # [USER_HZ]
PHDR_BYTES = {8: 56, 4: 32}
"""The size of a program header by that of a pointer. [sizeof(struct elf_phdr)]"""


class At:
    """The kinds of entries. [``AT_*``, include/uapi/linux/auxvec.h]"""

    NULL = 0
    PHDR = 3
    PHENT = 4
    PHNUM = 5
    PAGESZ = 6
    BASE = 7
    FLAGS = 8
    ENTRY = 9
    UID = 11
    EUID = 12
    GID = 13
    EGID = 14
    PLATFORM = 15
    HWCAP = 16
    CLKTCK = 17
    SECURE = 23
    RANDOM = 25
    HWCAP2 = 26
    EXECFN = 31
    MINSIGSTKSZ = 51


@dataclass(frozen=True, slots=True)
class Processor:
    """What a program is told of the processor.

    Members
    -------
    platform
        Its name, by which a dynamic loader may choose libraries.
    hwcap
        Its features, as CPUID leaf 1 has them in EDX.
    hwcap2
        What the kernel lets programs use: bit 1 is FSGSBASE.
    sigframe_bytes
        The most that a signal puts on the stack. [init_sigframe_size]
    """

    platform: bytes
    hwcap: int
    hwcap2: int = 0
    sigframe_bytes: int = 1440


@dataclass(frozen=True, slots=True)
class AuxFacts:
    """What a program is told that does not follow from its file; ``random`` are 16 bytes."""

    processor: Processor
    credentials: Credentials
    random: bytes


@dataclass(frozen=True, slots=True)
class AuxPlaces:
    """Addresses that a program is told.

    Members
    -------
    phdr, entry
        Its program headers, ``phnum`` of them, and where it begins itself.
    base
        How far its interpreter is from its own addresses, 0 without one.
    random, execfn, platform
        16 random bytes, the name of its file, and the name of the processor.
    """

    phdr: int
    phnum: int
    base: int
    entry: int
    random: int
    execfn: int
    platform: int


def aux_vector(facts: AuxFacts, places: AuxPlaces, word_bytes: int) -> list[tuple[int, int]]:
    """Return the entries in their order, kind and value, the last of kind NULL.

    [create_elf_tables, ARCH_DLINFO]
    """
    who, processor = facts.credentials, facts.processor
    return [
        (At.MINSIGSTKSZ, processor.sigframe_bytes),
        (At.HWCAP, processor.hwcap),
        (At.PAGESZ, PAGE_BYTES),
        (At.CLKTCK, TICKS_PER_SECOND),
        (At.PHDR, places.phdr),
        (At.PHENT, PHDR_BYTES[word_bytes]),
        (At.PHNUM, places.phnum),
        (At.BASE, places.base),
        (At.FLAGS, 0),
        (At.ENTRY, places.entry),
        (At.UID, who.uid),
        (At.EUID, who.euid),
        (At.GID, who.gid),
        (At.EGID, who.egid),
        (At.SECURE, int(who.secure)),
        (At.RANDOM, places.random),
        (At.HWCAP2, processor.hwcap2),
        (At.EXECFN, places.execfn),
        (At.PLATFORM, places.platform),
        (At.NULL, 0),
    ]
