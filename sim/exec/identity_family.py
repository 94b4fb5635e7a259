"""A program's calls about its users and groups. [kernel/sys.c, kernel/groups.c, kernel/uid16.c]"""

import errno
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ...model.address_space.errors import SysError
from ...model.address_space.exec_arguments import Credentials
from ...model.kernel.calls.arguments import as_int, as_uint
from .call_context import Call, CallContext

__all__ = ["IDENTITY_CALLS"]

KEEP = 0xFFFF_FFFF
KEEP16 = 0xFFFF
OVERFLOW16 = 65534
"""What an ID reads as that 16 bits do not hold. [overflowuid]"""
MOST_GROUPS = 65536


def _set(context: CallContext, kind: str, **values: int) -> int:
    """Set some of real, effective and saved ID, ``r``, ``e`` and ``s``, of a kind: "u" or "g"."""
    process = context.process
    who = process.credentials
    names = {"r": f"{kind}id", "e": f"e{kind}id", "s": f"s{kind}id"}
    changes: dict[str, Any] = {names["s"]: _held(who, kind)["s"]}
    changes |= {names[one]: value for one, value in values.items() if value != KEEP}
    process.credentials = replace(who, **changes)
    if kind == "u":
        process.mm.privileged = not process.credentials.euid
    return 0


def _held(who: Credentials, kind: str) -> dict[str, int]:
    """Return real, effective and saved ID."""
    if kind == "u":
        return {"r": who.uid, "e": who.euid, "s": who.saved_uid}
    return {"r": who.gid, "e": who.egid, "s": who.saved_gid}


def _check(context: CallContext, kind: str, asked: int, allowed: str) -> None:
    """Raise ``SysError(EPERM)`` unless an ID stays, is one of those held, or user 0 asks."""
    who = context.process.credentials
    held = _held(who, kind)
    if who.euid and asked != KEEP and asked not in [held[one] for one in allowed]:
        raise SysError(errno.EPERM)


def _setid(context: CallContext, kind: str, value: int, *_: int) -> int:
    """Set the effective ID, for user 0 all three. [setuid(2), setgid(2)]"""
    value = as_uint(value)
    if value == KEEP:
        raise SysError(errno.EINVAL)
    if not context.process.credentials.euid:
        return _set(context, kind, r=value, e=value, s=value)
    _check(context, kind, value, "rs")
    return _set(context, kind, e=value)


def _setreid(context: CallContext, kind: str, real: int, effective: int, *_: int) -> int:
    """Set real and effective ID. [setreuid(2), setregid(2)]"""
    real, effective = as_uint(real), as_uint(effective)
    _check(context, kind, real, "re")
    _check(context, kind, effective, "res")
    before = _held(context.process.credentials, kind)
    saves = real != KEEP or (effective != KEEP and effective != before["r"])
    now = before["e"] if effective == KEEP else effective
    return _set(context, kind, r=real, e=effective, s=now if saves else KEEP)


def _setresid(context: CallContext, kind: str, real: int, effective: int, saved: int,
              *_: int) -> int:
    """Set all three IDs. [setresuid(2), setresgid(2)]"""
    asked = [as_uint(one) for one in (real, effective, saved)]
    for one in asked:
        _check(context, kind, one, "res")
    return _set(context, kind, **dict(zip("res", asked, strict=True)))


def _getresid(context: CallContext, kind: str, *places: int, size: int = 4) -> int:
    """Store all three IDs. [getresuid(2), getresgid(2)]"""
    held = _held(context.process.credentials, kind)
    for place, one in zip(places, "res", strict=False):
        context.store(place, _packed(held[one], size))
    return 0


def _setfsid(context: CallContext, kind: str, *_: int) -> int:
    """Return the ID for files, which is the effective one; another is refused. [setfsuid(2)]"""
    return _held(context.process.credentials, kind)["e"]


def _packed(value: int, size: int) -> bytes:
    return (value if value >> 8 * size == 0 else OVERFLOW16).to_bytes(size, "little")


def _getgroups(context: CallContext, count: int, address: int, *_: int, size: int = 4) -> int:
    """Store the further groups; return how many. [getgroups(2)]"""
    groups = context.process.credentials.groups
    if as_int(count) < 0 or 0 < as_int(count) < len(groups):
        raise SysError(errno.EINVAL)
    if as_int(count):
        context.store(address, b"".join(_packed(one, size) for one in groups))
    return len(groups)


def _setgroups(context: CallContext, count: int, address: int, *_: int, size: int = 4) -> int:
    """Have other further groups; for user 0 alone. [setgroups(2)]"""
    process = context.process
    if process.credentials.euid:
        raise SysError(errno.EPERM)
    if as_uint(count) > MOST_GROUPS:
        raise SysError(errno.EINVAL)
    data = context.load(address, size * as_uint(count)) if as_uint(count) else b""
    groups = sorted(int.from_bytes(data[at : at + size], "little")
                    for at in range(0, len(data), size))
    process.credentials = replace(process.credentials, groups=tuple(groups))
    return 0


def _of_kind(call: Callable[..., int], kind: str) -> Call:
    return lambda c, *arguments: call(c, kind, *arguments)


def _narrow(call: Call) -> Call:
    """Return the form of a call whose IDs have 16 bits, in 32-bit programs alone. [low2highuid]"""
    def made(context: CallContext, *arguments: int) -> int:
        if context.word_bytes == 4:
            arguments = tuple(KEEP if one & KEEP16 == KEEP16 else one & KEEP16
                              for one in arguments)
        return call(context, *arguments)
    return made


def _read(name: str) -> Call:
    """Return a call that gives an ID, in 32-bit programs of 16 bits."""
    def made(context: CallContext, *_: int) -> int:
        value = int(getattr(context.process.credentials, name))
        return value if context.word_bytes == 8 or not value >> 16 else OVERFLOW16
    return made


def _size(context: CallContext) -> int:
    return 4 if context.word_bytes == 8 else 2


WIDE: dict[str, Call] = {
    f"{name}{kind}id": _of_kind(call, kind) for kind in "ug" for name, call in (
        ("set", _setid), ("setre", _setreid), ("setres", _setresid), ("setfs", _setfsid))}

IDENTITY_CALLS: dict[str, Call] = {
    **{name: _narrow(call) for name, call in WIDE.items()},
    **{f"{name}32": call for name, call in WIDE.items()},
    **{f"get{name}": _read(name) for name in ("uid", "euid", "gid", "egid")},
    "getuid32": lambda c, *_: c.process.credentials.uid,
    "geteuid32": lambda c, *_: c.process.credentials.euid,
    "getgid32": lambda c, *_: c.process.credentials.gid,
    "getegid32": lambda c, *_: c.process.credentials.egid,
    "getgroups": lambda c, *arguments: _getgroups(c, *arguments, size=_size(c)),
    "setgroups": lambda c, *arguments: _setgroups(c, *arguments, size=_size(c)),
    "getgroups32": _getgroups, "setgroups32": _setgroups,
    **{f"getres{kind}id": lambda c, *places, kind=kind: _getresid(
        c, kind, *places[:3], size=_size(c)) for kind in "ug"},
    **{f"getres{kind}id32": lambda c, *places, kind=kind: _getresid(
        c, kind, *places[:3]) for kind in "ug"},
}
"""Each gets the context and all six arguments."""
