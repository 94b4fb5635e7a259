"""The one place where the hardware decides whether an access is permitted, and its error code.

[SDM 4.6 Access Rights, 4.6.2 Protection Keys, 4.7 Page-Fault Exceptions]
"""

from amaranth import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .shapes import (
    ERROR_CODE_BITS,
    AccessKind,
    control_layout,
    request_layout,
    rights_layout,
)

__all__ = ["Permission"]


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
        self._has_keys = config.mode.has_protection_keys
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
        access, control, rights = self.access, self.control, self.rights
        write = access.kind == AccessKind.WRITE
        fetch = access.kind == AccessKind.FETCH
        user = Signal()
        m.d.comb += user.eq(access.user & ~access.implicit)
        # Write protection binds user accesses always, supervisor accesses if CR0.WP is set.
        binding = user | control.wp

        smep = control.smep & ~user & fetch & rights.user
        smap = control.smap & ~user & ~fetch & rights.user & (access.implicit | ~access.ac)
        denied = Signal()
        m.d.comb += denied.eq(
            (user & ~rights.user)
            | (write & ~rights.writable & binding)
            | (fetch & rights.execute_disable)
            | smep
            | smap
        )

        key_denied = Signal()
        if self._has_keys:
            disable = control.pkru.word_select(rights.key, 2)
            m.d.comb += key_denied.eq(
                control.pke & rights.user & ~fetch & (disable[0] | (disable[1] & write & binding)))

        usable = self.present & ~self.reserved
        instruction = fetch & (control.smep | control.nxe)
        m.d.comb += [
            self.fault.eq(~usable | denied | key_denied),
            self.error_code.eq(Cat(
                self.present, write, user, self.present & self.reserved, instruction,
                usable & key_denied)),
        ]
        return m
