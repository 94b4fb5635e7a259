"""What little must be known of instructions: which read a segment descriptor."""

__all__ = ["loads_segment"]

PREFIXES = frozenset(b"\x26\x2e\x36\x3e\x64\x65\x66\x67\xf0\xf2\xf3")
REX = range(0x40, 0x50)

SEGMENT_LOADS = frozenset(b"\x8e\xca\xcb\xcf")  # MOV Sreg, far RET, IRET
SEGMENT_LOADS_32 = frozenset(b"\x07\x17\x1f\xc4\xc5\x9a\xea")  # POP, LES, LDS, far CALL and JMP
SEGMENT_LOADS_0F = frozenset(b"\xa1\xa9\xb2\xb4\xb5\x00\x02\x03")  # POP, LSS..LGS; VERR, LAR, LSL
GROUP_5, FAR_CALL, FAR_JUMP = 0xFF, 3, 5
TWO_BYTES = 0x0F


def _without_prefixes(code: bytes, is_long: bool) -> bytes:
    start = 0
    while start < len(code) and (
            code[start] in PREFIXES or (is_long and code[start] in REX)):
        start += 1
    return code[start:].ljust(2, b"\0")


def loads_segment(code: bytes, is_long: bool) -> bool:
    """Return whether the instruction at the start of ``code`` reads a segment descriptor."""
    first, second = _without_prefixes(code, is_long)[:2]
    if first == TWO_BYTES:
        return second in SEGMENT_LOADS_0F
    if first == GROUP_5:
        return second >> 3 & 7 in (FAR_CALL, FAR_JUMP)
    return first in SEGMENT_LOADS or (not is_long and first in SEGMENT_LOADS_32)

