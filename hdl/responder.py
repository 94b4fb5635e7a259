"""The response to a request, from the translation found or walked."""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..model.x86 import IA32, PAGE_SHIFT, Vector
from .permission import AccessNeeds, page_fault_code
from .port_shapes import response_layout
from .shapes import (
    control_layout,
    request_layout,
    translation_layout,
    walk_response_layout,
)

__all__ = ["Responder"]


class Responder(wiring.Component):
    """Answers one request: with a physical address, or with a fault. Combinational.

    Without paging the linear address is the physical one. With paging an address that is not
    canonical is a general-protection fault, or a stack fault for an access relative to SS; any
    other is translated. Whether the access is permitted is known already, from the TLB or from the
    walk.

    The responder holds no state, so one of them can serve several requests in turn.

    Parameters
    ----------
    config : :class:`Config`
        Parameters of the MMU.

    Members
    -------
    access : In(request_layout), control : In(control_layout)
        The request, and the control state in force for it.
    translated : In(1)
        The request needs a translation: paging is on, and its address canonical.
    found : In(translation_layout), denied : In(1), key_denied : In(1)
        The translation that the TLB holds, if the request needs one and was not walked; whether the
        page denies the access, and whether its protection key does.
    nothing : In(1)
        The TLB does not hold the page of a ``LOOKUP``, which is not walked.
    walked : In(1), walk : In(walk_response_layout)
        The request was walked, and what the walk found.
    response : Out(response_layout)
        The answer. It means nothing while a translation is needed and there is none.
    """

    def __init__(self, config):
        self._config = config
        super().__init__({
            "access": In(request_layout(config)),
            "control": In(control_layout(config)),
            "translated": In(1),
            "found": In(translation_layout(config)),
            "denied": In(1),
            "key_denied": In(1),
            "nothing": In(1),
            "walked": In(1),
            "walk": In(walk_response_layout(config)),
            "response": Out(response_layout(config)),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.access_needs = asked = AccessNeeds(self._config)
        access, response = self.access, self.response
        fault, vector = Signal(), Signal.like(response.vector)
        error_code = Signal.like(response.error_code)
        translation = Signal.like(self.found)
        m.d.comb += [
            asked.access.eq(access),
            asked.control.eq(self.control),
            translation.eq(Mux(self.walked, self.walk.translation, self.found)),
        ]
        with m.If(self.walked):
            m.d.comb += [
                fault.eq(self.walk.fault),
                vector.eq(self.walk.vector),
                error_code.eq(self.walk.error_code),
            ]
        with m.Elif(self.translated):
            m.d.comb += [
                fault.eq(self.denied | self.nothing),
                vector.eq(Vector.PF),
                error_code.eq(page_fault_code(asked.needs, key_denied=self.key_denied)),
            ]
        with m.Elif(self.control.pg):
            m.d.comb += [fault.eq(1), vector.eq(Mux(access.stack, Vector.SS, Vector.GP))]

        m.d.comb += response.tag.eq(access.tag)
        if self._config.access_bytes:
            m.d.comb += response.part.eq(access.part)
        with m.If(fault):
            m.d.comb += response.fault.eq(1)
            with m.If(~asked.needs.quiet if self._config.probes else Const(1)):
                m.d.comb += [
                    response.vector.eq(vector),
                    response.error_code.eq(error_code),
                    response.vaddr.eq(access.vaddr),
                ]
        with m.Elif(~self.control.pg):
            # Whatever the mode, the processor has 32-bit addresses as long as paging is off.
            m.d.comb += response.paddr.eq(access.vaddr[:IA32.vaddr_bits])
            if self._config.rights:
                m.d.comb += [response[name].eq(1) for name in ("writable", "user", "dirty")]
        with m.Else():
            self._translate(m, translation)
        return m

    def _translate(self, m, translation):
        """Answer with the physical address in the page of ``translation``."""
        offset = Signal(self._config.physical_bits)
        with m.Switch(translation.page):
            for number, page in enumerate(self._config.mode.pages):
                with m.Case(number):
                    m.d.comb += offset.eq(self.access.vaddr[:page.shift])
        m.d.comb += [
            self.response.paddr.eq(Cat(Const(0, PAGE_SHIFT), translation.frame) | offset),
            self.response.page.eq(translation.page),
            self.response.memory_type.eq(translation.memory_type),
        ]
        if self._config.rights:
            for name in ("writable", "user", "execute_disable", "key"):
                if name in self.response.shape().members:
                    m.d.comb += self.response[name].eq(translation.rights[name])
            m.d.comb += [self.response[name].eq(translation[name])
                         for name in ("dirty", "global_page")]
