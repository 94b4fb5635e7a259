"""Shapes of a request port: what it answers, and what can be asked of it."""

from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out, Signature

from .shapes import ERROR_CODE_BITS, KEY_BITS, MEMORY_TYPE_BITS, VECTOR_BITS, request_layout

__all__ = ["cancel_layout", "port_signature", "response_layout", "sized_port_signature",
           "sized_request_layout", "sized_response_layout"]


def response_layout(config):
    """Return the answer to a request, which is a physical address or a fault.

    ``paddr`` is the physical address; ``page`` is an index into ``config.mode.pages``, smallest
    page first, and ``memory_type`` one into the PAT. All three are 0 on a fault.
    With ``fault``, ``vector`` is the exception, ``error_code`` the low bits of its code, 0 unless
    it is a page fault, and ``vaddr`` the linear address, for CR2; without, all three are 0.

    With ``config.probes`` a ``PROBE`` or ``LOOKUP`` that found nothing has ``fault`` set alone.

    With ``config.rights`` the response says what the page permits, 0 on a fault: ``writable`` and
    ``user``, the AND over all levels of R/W and U/S, ``execute_disable``, the OR of XD, and the
    leaf's protection ``key``, where the mode has them. ``dirty`` says that D of the leaf is set; a
    write to a page that is writable but not dirty has to be asked for. It may lag behind D in
    memory, as a TLB may. ``global_page`` is G of the leaf under CR4.PGE. Without paging all is
    permitted.

    With ``config.access_bytes`` the answer to a ``part`` of an access has it as well.
    """
    return data.StructLayout({
        "tag": config.tag_bits,
        "paddr": config.physical_bits,
        "page": range(len(config.mode.pages)),
        "memory_type": MEMORY_TYPE_BITS,
        "fault": 1,
        "vector": VECTOR_BITS,
        "error_code": ERROR_CODE_BITS,
        "vaddr": config.mode.vaddr_bits,
        **(_page_rights(config.mode) if config.rights else {}),
        **({"part": 1} if config.access_bytes else {}),
    })


def _page_rights(mode):
    """Return the fields of a response that say what its page permits."""
    return {
        "writable": 1,
        "user": 1,
        **({"execute_disable": 1} if mode.has_execute_disable else {}),
        **({"key": KEY_BITS} if mode.has_protection_keys else {}),
        "dirty": 1,
        "global_page": 1,
    }


def cancel_layout(config):
    """Return which requests to cancel, if ``valid``: those with ``tag``, or ``all``.

    They are those of the port that were accepted in an earlier cycle and are not answered. None of
    them is answered from the next cycle on, so that an offered answer is taken back.
    """
    return data.StructLayout({"valid": 1, "all": 1, "tag": config.tag_bits})


def port_signature(config):
    """Return a request port as the requester sees it: requests out, responses in.

    With ``config.cancel`` there is ``cancel`` as well, of ``cancel_layout``.
    """
    return Signature({
        "req": Out(stream.Signature(request_layout(config))),
        "rsp": In(stream.Signature(response_layout(config))),
        **({"cancel": Out(cancel_layout(config))} if config.cancel else {}),
    })


def sized_port_signature(config):
    """Return a request port of accesses that may cross a page, as the requester sees it.

    It is ``port_signature`` with ``sized_request_layout`` and ``sized_response_layout``.
    """
    return Signature({
        **port_signature(config).members,
        "req": Out(stream.Signature(sized_request_layout(config))),
        "rsp": In(stream.Signature(sized_response_layout(config))),
    })


def sized_request_layout(config):
    """Return an access of ``size`` bytes, from ``vaddr`` on, and its tag.

    ``size`` is at most ``config.access_bytes``; 0 is taken for 1. The rest is as in
    ``request_layout``.
    """
    fields = {**request_layout(config).members}
    del fields["part"]
    tag = fields.pop("tag")
    return data.StructLayout({**fields, "size": range(config.access_bytes + 1), "tag": tag})


def sized_response_layout(config):
    """Return the answer to an access of several bytes.

    Where the access crosses into another page, ``second`` is what ``response_layout`` has of that
    page: ``paddr`` of its first byte, ``page``, ``memory_type``, and with ``config.rights`` its
    rights. On a fault, and where nothing is crossed, all of it is 0. A fault is that of the first
    page, or if that has none of the second one; ``vaddr`` is the first byte of the access in it.
    """
    fields = {**response_layout(config).members}
    del fields["part"]
    rights = _page_rights(config.mode) if config.rights else {}
    second = {name: fields[name] for name in ("paddr", "page", "memory_type", *rights)}
    return data.StructLayout({**fields, "second": data.StructLayout(second)})
