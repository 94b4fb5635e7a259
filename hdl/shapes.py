"""Shapes that cross a port: enumerations, and layouts with the field names of the SDM.

Layouts depend on the MMU's ``Config`` and come from functions; enumerations and fixed records are
classes.
"""

from amaranth.lib import data, enum, stream
from amaranth.lib.wiring import In, Out, Signature

from ..model import x86

__all__ = [
    "ERROR_CODE_BITS",
    "KEY_BITS",
    "MEMORY_TAG_BITS",
    "MEMORY_TYPE_BITS",
    "PCID_BITS",
    "VECTOR_BITS",
    "AccessKind",
    "InvalidateOp",
    "MemoryOp",
    "Purpose",
    "control_layout",
    "drop_layout",
    "ignored_registers",
    "invalidate_layout",
    "invalidate_pulse_layout",
    "memory_response_layout",
    "memory_signature",
    "memory_tag_bits",
    "page_fault_layout",
    "page_name",
    "prefetch_members",
    "request_layout",
    "rights_layout",
    "translation_layout",
    "walk_request_layout",
    "walk_response_layout",
    "walk_signature",
]


class AccessKind(enum.Enum, shape=2):
    """What an access does, by the codes of ``model.x86.AccessKind``."""

    READ = x86.AccessKind.READ.value
    WRITE = x86.AccessKind.WRITE.value
    FETCH = x86.AccessKind.FETCH.value


class InvalidateOp(enum.Enum, shape=3):
    """Invalidating operations, by the codes of ``model.x86.InvalidateOp``."""

    INVPCID_ADDRESS = x86.InvalidateOp.INVPCID_ADDRESS.value
    INVPCID_CONTEXT = x86.InvalidateOp.INVPCID_CONTEXT.value
    INVPCID_ALL = x86.InvalidateOp.INVPCID_ALL.value
    INVPCID_ALL_NON_GLOBAL = x86.InvalidateOp.INVPCID_ALL_NON_GLOBAL.value
    INVLPG = x86.InvalidateOp.INVLPG.value
    MOV_CR3 = x86.InvalidateOp.MOV_CR3.value
    MOV_CR4 = x86.InvalidateOp.MOV_CR4.value
    MOV_CR0 = x86.InvalidateOp.MOV_CR0.value


class Purpose(enum.Enum, shape=2):
    """What a request is for, by the codes of ``model.x86.Purpose``."""

    ACCESS = x86.Purpose.ACCESS.value
    CHECK = x86.Purpose.CHECK.value
    PROBE = x86.Purpose.PROBE.value
    LOOKUP = x86.Purpose.LOOKUP.value


class MemoryOp(enum.Enum, shape=1):
    """Operations on page-table memory, which ``memory_signature`` describes."""

    READ = 0
    COMPARE_EXCHANGE = 1


def page_name(level):
    """Return the usual name of the page that ``level`` maps: ``4k``, ``2m``, ``4m``, ``1g``."""
    shift = level.shift
    return f"{1 << shift % 10}{'kmg'[shift // 10 - 1]}"


MEMORY_TAG_BITS = 4
"""Width of the number of a page-table access in its tag: 15 more may be due from before."""

PCID_BITS = x86.Cr3.PCID.bit_count()
"""Width of a process-context identifier. [SDM 4.10.1]"""

KEY_BITS = x86.Entry.KEY.bit_count()
"""Width of a protection key; PKRU has two bits for each key. [SDM 4.6.2]"""

MEMORY_TYPE_BITS = 3
"""Width of an index into the PAT, made of the PWT, PCD and PAT bits. [SDM 4.9.2]"""

VECTOR_BITS = max(x86.Vector).bit_length()
"""Width of the vector of an exception that a translation can end in."""

ERROR_CODE_BITS = max(x86.ErrorCode).bit_length()
"""Width of the page-fault error code, up to its highest bit in ``model.x86``. [SDM 4.7]"""


def control_layout(config):
    """Return the registers that govern translation, as they are sampled with each request.

    ``root`` is the frame number in CR3 and ``pcid`` its bits 11:0; the rest are single bits of
    CR0, CR4 and IA32_EFER, and PKRU. There are no CR4.PAE and EFER.LME: they select the paging
    mode, which is fixed when the hardware is made. ``ignored_registers`` names what the mode does
    not look at.
    """
    bits = ("pg", "wp", "pse", "pge", "pcide", "smep", "smap", "pke", "nxe")
    return data.StructLayout({
        "root": config.root_bits,
        "pcid": PCID_BITS,
        **dict.fromkeys(bits, 1),
        "pkru": 2 << KEY_BITS,
    })


def ignored_registers(mode):
    """Return the names of the fields of ``control`` that ``mode`` ignores, in their order."""
    meaningless = {
        "pcid": not mode.has_pcids,
        "pse": not mode.has_pse,
        "pcide": not mode.has_pcids,
        "pke": not mode.has_protection_keys,
        "nxe": not mode.has_execute_disable,
        "pkru": not mode.has_protection_keys,
    }
    return tuple(name for name, ignored in meaningless.items() if ignored)


def request_layout(config):
    """Return an access to translate, and the tag that its response carries.

    ``kind`` says what the access does, at the linear address ``vaddr``. ``user`` is set at CPL 3,
    ``implicit`` for an access of the processor itself to a system structure, which is a supervisor
    access at any CPL; ``ac`` is EFLAGS.AC, and ``stack`` is set for an access relative to SS.

    With ``config.probes`` there is a ``purpose``. A ``CHECK`` is answered as the access would be,
    faults included, and sets A, but no D. A ``PROBE`` sets no flag, and if the access would fault
    it is answered by ``fault`` alone, without a vector: nothing is dropped, and no request waits.
    Nor does anything keep what it found by way of an entry without A. A ``LOOKUP`` is answered so
    as well if the TLB of the port does not hold the page: it is never walked.

    With ``config.access_bytes`` there is ``part``, which says that it is the part in one page of an
    access that crosses into another; ``sized_request_layout`` is what a requester asks then.
    """
    return data.StructLayout({
        "vaddr": config.mode.vaddr_bits,
        "kind": AccessKind,
        "user": 1,
        "implicit": 1,
        "ac": 1,
        "stack": 1,
        **({"purpose": Purpose} if config.probes else {}),
        **({"part": 1} if config.access_bytes else {}),
        "tag": config.tag_bits,
    })


def invalidate_layout(config):
    """Return an invalidating operation.

    ``vaddr`` is the operand of INVLPG and INVPCID, ``pcid`` that of INVPCID; ``new`` is the value
    that a MOV to CR0, CR3 or CR4 writes and ``old`` what CR0 or CR4 held before, whose upper
    halves are reserved. With MOV CR3, ``new`` includes bit 63, which asks to keep the cached
    translations of the new PCID.

    With ``config.checks`` there are the bits of INVPCID's operands that must be 0: ``type`` has
    bits 63:2 of its type, of which ``op`` has the low two, and ``reserved`` bits 63:12 of its
    descriptor.
    """
    return data.StructLayout({
        "op": InvalidateOp,
        "vaddr": config.mode.vaddr_bits,
        "pcid": PCID_BITS,
        "old": 32,
        "new": 64,
        **({"type": 62, "reserved": 52} if config.checks else {}),
    })


def invalidate_pulse_layout(config):
    """Return an invalidating operation that is asked for in a cycle with ``strobe``.

    The rest is that of ``invalidate_layout``.
    """
    return data.StructLayout({"strobe": 1, **invalidate_layout(config).members})


def memory_signature(config):
    """Return the page-table memory port as the MMU sees it.

    ``address`` is the byte address of an entry. A read returns the entry in ``data``; ``expected``
    and ``desired`` are 0. A compare-and-exchange, atomic against all other writers, stores
    ``desired`` if the entry equals ``expected``; ``data`` is the entry as it was before, and
    ``exchanged`` says whether it was replaced. ``error`` means that there is no memory at
    ``address``. A response comes in a later cycle than its request, carries the same ``tag``, and
    is taken at once.

    The MMU makes as many accesses at once as it has ``walkers``, and takes their responses in any
    order. The tag of an access is the number of its walk in the upper bits, if there are several,
    and in the ``MEMORY_TAG_BITS`` below a count of the accesses of that number. Of each number the
    next access comes after the response, or after a reset of the MMU, which cuts the access off.
    The count goes on through resets: a response to an access that was cut off is told by its tag
    and ignored, as long as it comes before the 16th access of its number after its own is accepted.
    So memory may owe up to 15 such responses of each number; one that could owe more must accept
    nothing while it owes 15, or be reset together with the MMU. In other words, memory must never
    accept an access with the tag of one that it owes.
    """
    entry_bits = 8 * config.mode.entry_bytes
    return Signature({
        "req": Out(stream.Signature(data.StructLayout({
            "tag": memory_tag_bits(config),
            "op": MemoryOp,
            "address": config.physical_bits,
            "expected": entry_bits,
            "desired": entry_bits,
        }))),
        "rsp": In(stream.Signature(memory_response_layout(config))),
    })


def memory_tag_bits(config):
    """Return the width of the tag of a page-table access, which ``memory_signature`` describes."""
    return MEMORY_TAG_BITS + (config.walkers - 1).bit_length()


def memory_response_layout(config):
    """Return the response to a page-table access, as ``memory_signature`` describes it."""
    return data.StructLayout({
        "tag": memory_tag_bits(config),
        "data": 8 * config.mode.entry_bytes,
        "exchanged": 1,
        "error": 1,
    })


def rights_layout():
    """Return what a page permits: rights combined over all levels, and the leaf's key."""
    return data.StructLayout({"writable": 1, "user": 1, "execute_disable": 1, "key": KEY_BITS})


def translation_layout(config):
    """Return a translation as the TLBs hold it.

    ``frame`` is the page frame number with the bits below a large page's size zero, ``page`` the
    page's size as an index into ``config.mode.pages``. ``global_page`` is set if the leaf has G set
    and CR4.PGE was set when it was walked.
    """
    return data.StructLayout({
        "frame": config.pfn_bits,
        "page": range(len(config.mode.pages)),
        "rights": rights_layout(),
        "memory_type": MEMORY_TYPE_BITS,
        "dirty": 1,
        "global_page": 1,
    })


def walk_signature(config):
    """Return the port from a TLB that missed to the walker that finds the translation.

    Who asks takes the response in the cycle in which it is offered, so that it keeps no other from
    the walker. A port may ask again before it is answered, for a ``miss`` of another number; the
    responses may come in any order.
    """
    return Signature({
        "req": Out(stream.Signature(walk_request_layout(config))),
        "rsp": In(stream.Signature(walk_response_layout(config))),
    })


def prefetch_members(config):
    """Return the members of walkers that also walk ahead, if they do.

    ``spare`` says that a walk which is asked for in this cycle keeps nobody waiting, and is taken
    on; ``crowded``, that a request waits for a walker. While ``withdraw`` is set, the next response
    of memory to a prefetch ends it, with a fault, and no further access of it is made.
    """
    return {"spare": Out(1), "crowded": Out(1), "withdraw": In(1)} if config.prefetches else {}


def walk_request_layout(config):
    """Return what a walk is for: an access, the control state in force, and who asks.

    ``port`` is the port that asks, and ``miss`` the number of that miss among those of the port
    that are not answered yet. With ``config.prefetches``, ``prefetch`` is set if no port asks, but
    the second-level TLB: such a walk sets no flag.
    """
    return data.StructLayout({
        "port": range(max(2, len(config.ports))),
        "miss": range(max(2, config.misses)),
        **({"prefetch": 1} if config.prefetches else {}),
        "access": request_layout(config),
        "control": control_layout(config),
    })


def walk_response_layout(config):
    """Return the result of a walk: a translation, or a fault, and who asked.

    With ``fault``, ``vector`` and ``error_code`` say which one, and ``translation`` means nothing;
    without ``fault``, ``vector`` and ``error_code`` mean nothing. ``stale`` says that entries were
    dropped while the walk was under way: it may have used them, so that its translation answers the
    request but must not be entered into a TLB. ``prefetch`` is that of the request; if the walk did
    not come to a page it has ``fault``.
    """
    return data.StructLayout({
        "port": range(max(2, len(config.ports))),
        "miss": range(max(2, config.misses)),
        **({"prefetch": 1} if config.prefetches else {}),
        "translation": translation_layout(config),
        "fault": 1,
        "vector": VECTOR_BITS,
        "error_code": ERROR_CODE_BITS,
        "stale": 1,
    })


def drop_layout(config):
    """Return which entries to drop, if ``valid``: those of the TLBs that meet every condition.

    ``valid`` lasts one cycle. A component that takes longer over a drop holds what it needs of it,
    and says ``busy`` from the next cycle on, up to its last cycle at work; until then there is no
    other drop.

    With ``by_address``, an entry goes only if its page holds ``vpn``; with ``by_pcid``, only if it
    has ``pcid``. A global entry goes only if ``globals`` is set, but then whatever its PCID. The
    walk cache drops all entries of the PCID, or with no ``by_pcid`` of every PCID; with
    ``tables_by_address``, only those on the way to ``vpn``. [SDM 4.10.4.1]
    """
    return data.StructLayout({
        "valid": 1,
        "by_address": 1,
        "by_pcid": 1,
        "globals": 1,
        "tables_by_address": 1,
        "vpn": config.vpn_bits,
        "pcid": PCID_BITS,
    })


def page_fault_layout(config):
    """Return a page fault that a port has answered, if ``valid``: its page number and PCID."""
    return data.StructLayout({"valid": 1, "vpn": config.vpn_bits, "pcid": PCID_BITS})
