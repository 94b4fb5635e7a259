"""The one place where the hardware decides whether an access is permitted, and its error code.

The decision has two halves, so that a TLB can make the second beside the comparison of each entry:
what the access asks of a page (``AccessNeeds``), and whether the rights of a page deny it
(``denials``). ``Permission`` is both.

[SDM 4.6 Access Rights, 4.6.2 Protection Keys, 4.7 Page-Fault Exceptions]
"""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .shapes import (
    ERROR_CODE_BITS,
    KEY_BITS,
    AccessKind,
    Purpose,
    control_layout,
    request_layout,
    rights_layout,
)

__all__ = ["AccessNeeds", "Permission", "denials", "needs_layout", "page_fault_code", "sets_dirty"]


def needs_layout(config):
    """Return what an access asks of the page it goes to, one bit for each.

    ``write`` and ``fetch`` say what it does, ``user`` that it is a user access, which needs a user
    page. ``writable`` asks for a page that may be written, ``not_user`` for one that is no user
    page. Bit *k* of ``keys`` says that a user page of protection key *k* is denied. ``nxe`` is
    IA32_EFER.NXE, and ``instruction`` the bit I/D of the error code. With ``config.probes``,
    ``clean`` says that a write sets no D, and ``quiet`` that nothing at all is to be set.
    """
    bits = ["write", "fetch", "user", "writable", "not_user", "nxe", "instruction"]
    bits += ["clean", "quiet"] if config.probes else []
    return data.StructLayout({**dict.fromkeys(bits, 1), "keys": 1 << KEY_BITS})


def sets_dirty(needs):
    """Return whether an access with ``needs`` sets the dirty flag of its page."""
    has_purpose = "clean" in needs.shape().members
    return needs.write & ~needs.clean if has_purpose else needs.write


def denials(needs, rights):
    """Return whether ``rights`` deny an access with ``needs``, and whether the key does; two bits.

    Where the key does, the first bit is set as well.
    """
    key_denied = rights.user & needs.keys.bit_select(rights.key, 1)
    denied = (
        (needs.user & ~rights.user)
        | (needs.writable & ~rights.writable)
        | (needs.fetch & rights.execute_disable)
        | (needs.not_user & rights.user)
        | key_denied
    )
    return denied, key_denied


def page_fault_code(needs, *, key_denied, present=None, reserved=None):
    """Return the error code of a page fault of an access with ``needs``. [SDM 4.7]

    ``present`` and ``reserved`` are as ``Permission`` has them, ``key_denied`` as ``denials``
    has it. Without the first two the page is one that a TLB holds.
    """
    present = Const(1, 1) if present is None else present
    reserved = Const(0, 1) if reserved is None else reserved
    usable = present & ~reserved
    return Cat(present, needs.write, needs.user, present & reserved, needs.instruction,
               usable & key_denied)


class AccessNeeds(wiring.Component):
    """Finds out what an access asks of its page under the registers in force. Combinational.

    Parameters
    ----------
    config : :class:`Config`
        Parameters of the MMU.

    Members
    -------
    access : In(request_layout), control : In(control_layout)
        The access, and the registers in force for it.
    needs : Out(needs_layout)
        What it asks of its page.
    """

    def __init__(self, config):
        self._has_keys = config.mode.has_protection_keys
        super().__init__({
            "access": In(request_layout(config)),
            "control": In(control_layout(config)),
            "needs": Out(needs_layout(config)),
        })

    def elaborate(self, platform):
        m = Module()
        access, control, needs = self.access, self.control, self.needs
        write = access.kind == AccessKind.WRITE
        fetch = access.kind == AccessKind.FETCH
        user, binding = Signal(), Signal()
        smep = control.smep & ~user & fetch
        smap = control.smap & ~user & ~fetch & (access.implicit | ~access.ac)
        m.d.comb += [
            user.eq(access.user & ~access.implicit),
            # Write protection binds user accesses always, supervisor accesses if CR0.WP is set.
            binding.eq(user | control.wp),
            needs.write.eq(write),
            needs.fetch.eq(fetch),
            needs.user.eq(user),
            needs.writable.eq(write & binding),
            needs.not_user.eq(smep | smap),
            needs.nxe.eq(control.nxe),
            needs.instruction.eq(fetch & (control.smep | control.nxe)),
        ]
        if "quiet" in needs.shape().members:
            purpose = access.purpose
            m.d.comb += [needs.clean.eq(purpose != Purpose.ACCESS), needs.quiet.eq(
                (purpose == Purpose.PROBE) | (purpose == Purpose.LOOKUP))]
        if self._has_keys:
            pairs = range(0, 2 << KEY_BITS, 2)
            access_disable = Cat(control.pkru[bit] for bit in pairs)
            write_disable = Cat(control.pkru[bit + 1] for bit in pairs)
            denied = access_disable | Mux(write & binding, write_disable, 0)
            m.d.comb += needs.keys.eq(Mux(control.pke & ~fetch, denied, 0))
        return m


class Permission(wiring.Component):
    """Decides whether an access may proceed, or with which error code it faults. Combinational.

    Parameters
    ----------
    config : :class:`Config`
        Parameters of the MMU.

    Members
    -------
    access : In(request_layout)
        The access; its address does not matter.
    control : In(control_layout)
        Control state in force for the access.
    rights : In(rights_layout)
        Rights of the page, combined over the levels of the walk.
    present, reserved : In(1)
        Whether the walk met only entries that are present, and whether the last one had a reserved
        bit set. ``rights`` counts only if ``present`` and not ``reserved``.
    fault : Out(1)
        Whether the access causes a page fault.
    error_code : Out(ERROR_CODE_BITS)
        Error code of that page fault; it means nothing without ``fault``.
    """

    def __init__(self, config):
        self._config = config
        super().__init__({
            "access": In(request_layout(config)),
            "control": In(control_layout(config)),
            "rights": In(rights_layout()),
            "present": In(1),
            "reserved": In(1),
            "fault": Out(1),
            "error_code": Out(ERROR_CODE_BITS),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.access_needs = one = AccessNeeds(self._config)
        needs = one.needs
        denied, key_denied = denials(needs, self.rights)
        m.d.comb += [
            one.access.eq(self.access),
            one.control.eq(self.control),
            self.fault.eq(~self.present | self.reserved | denied),
            self.error_code.eq(page_fault_code(
                needs, key_denied=key_denied, present=self.present, reserved=self.reserved)),
        ]
        return m
