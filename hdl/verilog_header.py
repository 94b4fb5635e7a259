"""The comment at the top of the generated Verilog: parameters, ports and timing."""

import textwrap
from dataclasses import fields
from importlib.metadata import PackageNotFoundError, version

from ..model.x86 import AccessKind, InvalidateOp, Vector
from .shapes import MemoryOp, Purpose, ignored_registers, page_name

__all__ = ["header"]


def header(config, name, clock, reset):
    """Return the comment that says what the module ``name`` is and how it is used.

    ``clock`` and ``reset`` are the names of these two ports.
    """
    try:
        release = f"pagewalk {version('pagewalk')}"
    except PackageNotFoundError:  # used from its sources
        release = "pagewalk"
    parameters = {
        "mode": config.mode.name, "pages": " ".join(map(_page, config.mode.pages)),
        "ports": " ".join(config.ports),
        **{field.name: getattr(config, field.name) for field in fields(config)
           if field.name not in ("mode", "ports")},
        "clock": clock, "reset": reset}
    width = max(map(len, parameters))
    lines = [f"{name}: an x86 memory-management unit, made by {release}.", "", "Parameters"]
    lines += [f"  {key:{width}} {value}" for key, value in parameters.items()]
    pulsed = config.invalidation == "pulse"
    notes = (PORT_NOTES + CANCEL_NOTE * config.cancel).format(
        kinds=_codes(AccessKind),
        clock=clock,
        reset=reset,
        pages=", ".join(f"{code} {_page(page)}" for code, page in enumerate(config.mode.pages)),
        vectors=", ".join(f"{vector.value} #{vector.name}" for vector in Vector),
        invalidations=_codes(InvalidateOp),
        operations=_codes(MemoryOp), stored=STORED[config.ad],
        purposes=PURPOSES_NOTE.format(purposes=_codes(Purpose)) if config.probes else "",
        pulse=PULSE_NOTE if pulsed else "",
        checks=CHECKS_NOTE.format(shown="under way" if pulsed else "on offer")
        if config.checks else "",
        dropped=DROPPED_NOTE if config.dropped else "",
        rights=RIGHTS_NOTE if config.rights else "",
        sizes=SIZES_NOTE.format(bytes=config.access_bytes) if config.access_bytes else "",
        second=SECOND_NOTE if config.access_bytes else "",
        ignored=_listed(ignored_registers(config.mode) or ("nothing",)))
    timing = TIMING_NOTES.format(
        reset=reset, hits=HITS[config.hit_latency],
        behind=BEHIND_MISSES[config.order].format(misses=config.misses)
        if config.has_miss_file else BEHIND_A_MISS,
        invalidation=BY_PULSE if pulsed else BY_STREAM,
        registers=AFTER_PULSE if pulsed else BEFORE_STREAM,
        tags=SEVERAL_TAGS if config.walkers > 1 else ONE_TAG,
        crossing=CROSSING if config.access_bytes else "",
        registered=REGISTERED if config.memory_response == "registered" else "",
        walks=SEVERAL_WALKS.format(walkers=config.walkers) if config.has_walk_pool else ONE_WALK)
    for title, text in (("Ports", notes), ("Timing", timing)):
        lines += ["", title]
        for note in text.split("\n\n"):
            lines += textwrap.wrap(note, 96, initial_indent="  ", subsequent_indent="    ")
    return "".join(f"// {line}".rstrip() + "\n" for line in lines)


def _page(level):
    """Return the name of a page size as it is written in text, such as ``4K``."""
    return page_name(level).upper()


def _codes(enumeration):
    """Return the codes of an enumeration by name."""
    return ", ".join(f"{item.value} {item.name.replace('_', ' ')}" for item in enumeration)


def _listed(words):
    """Return ``words`` as they are listed in a sentence."""
    *others, last = words
    return f"{', '.join(others)} and {last}" if others else last


PORT_NOTES = """\
{clock}, {reset}: clock, rising edge; synchronous reset, active high.

control_*: root is the frame number in CR3; pcid, bits of CR0, CR4 and EFER, and PKRU as in the
registers. This mode ignores {ignored}.

<port>_req_*: an access. kind is {kinds}; user at CPL 3, implicit to a system structure, ac
EFLAGS.AC, stack relative to SS. tag comes back with the answer.{sizes}{purposes}

<port>_rsp_*: paddr, page ({pages}) and memory_type (index into the PAT), or fault with vector
({vectors}), error_code and vaddr (for CR2). What does not apply is 0.{rights}{second}

invalidate_*: op is {invalidations}; vaddr and pcid are its operands, new is the value moved to
CR0, CR3 or CR4, old what CR0 or CR4 held before.{pulse}{checks}{dropped}

memory_*: accesses to page-table entries. op is {operations}: {stored}
The response has the request's tag, the entry in data, exchanged if desired
was stored, error if there is no memory. It is always taken.

events_*: 1 in each cycle in which the event happens.
"""

CANCEL_NOTE = """
<port>_cancel_*: where valid, the requests of the port that were accepted in an earlier cycle, all
of them or those with tag, are not answered from the next cycle on. An answer on offer is taken
back.
"""

BEHIND_A_MISS = """\
in order. It accepts
nothing while it waits for a walk; other ports go on, and do so while its answer is not taken."""

MISSES = """
It goes on while fewer than {misses} of its requests wait for a walk or behind one. Other ports go
on, and do so while its answer is not taken. What is said below of a miss is so of one alone; the
fault of a walk comes three cycles later."""

BEHIND_MISSES = {
    "request": "in order, behind the answer to a miss as well." + MISSES,
    "tag": "whatever misses are before it: answers come in any order, told by their tags." + MISSES}

PURPOSES_NOTE = """
purpose is {purposes}: CHECK faults and sets A as the access would, but no D; PROBE has no effect,
and fault alone if there is nothing; LOOKUP is one that is never walked.
"""

CHECKS_NOTE = """
type has bits 63:2 of INVPCID's type, reserved bits 63:12 of its descriptor. invalidate_refused: the
operation {shown} raises #GP(0); it is accepted and does nothing.
"""

SIZES_NOTE = """
size is the number of bytes from vaddr on, at most {bytes}, 0 taken for 1.
"""

SECOND_NOTE = """
An access that crosses into another page is answered when both are known: second_* is of the other
page, paddr that of its first byte. A fault is that of the first page, or else of the second, and
vaddr is in that page.
"""

PULSE_NOTE = """
An operation is taken in a cycle with strobe. invalidate_busy is 1 from the next cycle until it is
carried out; a strobe meanwhile is ignored.
"""

DROPPED_NOTE = """

dropped_*: in a cycle with valid the TLBs drop every entry that is in the page vpn if by_address,
has pcid if by_pcid, and, where it is global, whatever its pcid, but only with globals.
"""

RIGHTS_NOTE = """
writable, user, execute_disable and key are the rights of the page over all levels; a write to one
that is not dirty must be asked for, as it sets D. global_page is G under CR4.PGE.
"""

STORED = {
    "exchange": "store desired if the entry is expected, atomically.",
    "write": "store desired, whatever the entry is; of its response only tag and error count.",
    "fault": "never, as no flag is set."}

HITS = ("in the same cycle", "in the next cycle", "two cycles later")

ONE_WALK = """\
An idle walker offers the first memory request in the cycle after a miss was accepted, each further
one in the cycle of the response before it; the answer is valid in the cycle after the last
response."""

SEVERAL_WALKS = """\
Walks under way at once: at most {walkers}. One alone offers the first memory request 3 cycles
after a miss was accepted, one later if the walk cache holds an entry, and each further one in the
cycle of the response before it, but for those that set flags, which come 3 cycles after it; the
answer is valid 2 cycles after the last response. Responses may come in any order."""

CROSSING = """
An access that crosses a page is looked up twice, the second time when the first is known, and no
other request is accepted before that."""

REGISTERED = """
Responses go through a register: each counts in the cycle after it came, one later than is said."""

BEFORE_STREAM = """\
an invalidation goes by what it was before the operation."""

AFTER_PULSE = """\
in the cycle of a strobe it may hold the registers before the operation or after it."""

BY_STREAM = """\
While an invalidation is offered no port accepts a request; it is accepted once all answers are
taken, and no port accepts a request in the cycle after it, nor is another one accepted, if it drops
anything."""

BY_PULSE = """\
From the cycle of a strobe to the last one of invalidate_busy no port accepts a request. That is for
one cycle, as long as answers are not taken, and where anything is dropped for the cycles that it
takes."""

ONE_TAG = """\
A response must come before the 16th access after its own is accepted; memory that could owe more
than 15 must accept nothing while it owes 15, or be reset, too."""

SEVERAL_TAGS = """\
The bits above the lowest 4 are the number of the walk, of which each has a counter: of each number,
a response must come before the 16th access after its own is accepted; memory must not accept an
access with the tag of one that it owes, or be reset, too."""

# What a user of the module can count on, as the docstring of `Mmu` promises it.
TIMING_NOTES = """\
A transfer takes place in a cycle with valid and ready. Once valid is 1, it and the payload stay
until the transfer; valid never waits for ready.

Control is sampled in the cycle in which a request is accepted; {registers}

Each port accepts a request per cycle and answers a hit {hits}, {behind}{crossing}

{walks} Memory responds in a later cycle than it was
asked.{registered} Entries that the walk cache holds are not read. The walks of the ports take
turns.

{invalidation} A page fault that was answered stops the ports for the next two cycles; in the first
of them it invalidates, and no walk begins. Page faults of several ports in one cycle take two
cycles each. A port accepts nothing in the cycle in which it answers a fault.

A reset empties all caches, takes back what is offered, and forgets requests that wait. Memory need
not be reset with it: memory_req_tag counts accesses, through resets, and a response of another tag
than the last access is ignored. {tags} The counter is the only state that {reset} does not
clear; other registers that it leaves alone hold data whose valid bits it clears. The counter may
begin at any value; where initial values do not count, as in a simulation of gates, it must be given
one, or it stays X.
"""
