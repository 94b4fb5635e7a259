"""The error code of a page fault: what the access was, and what stood against it. [SDM 4.7]"""

from ..x86 import AccessKind, Cr4, Efer, ErrorCode
from .control import Access, Control

__all__ = ["error_code"]


def error_code(
    control: Control, access: Access, *, present: bool, reserved: bool = False, key: bool = False
) -> int:
    """Return the error code of a page fault. [SDM 4.7]"""
    code = ErrorCode(0)
    if present:
        code |= ErrorCode.P
    if access.kind is AccessKind.WRITE:
        code |= ErrorCode.WR
    if access.user and not access.implicit:
        code |= ErrorCode.US
    if reserved:
        code |= ErrorCode.RSVD
    no_execute = control.cr4 & Cr4.PAE and control.efer & Efer.NXE
    if access.kind is AccessKind.FETCH and (control.cr4 & Cr4.SMEP or no_execute):
        code |= ErrorCode.ID
    if key:
        code |= ErrorCode.PK
    return int(code)
