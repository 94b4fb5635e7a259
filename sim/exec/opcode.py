"""What little must be known of instructions: which read a descriptor, or write what they read."""

__all__ = ["loads_segment", "updates_memory"]

PREFIXES = frozenset(b"\x26\x2e\x36\x3e\x64\x65\x66\x67\xf0\xf2\xf3")
REX = range(0x40, 0x50)

SEGMENT_LOADS = frozenset(b"\x8e\xca\xcb\xcf")  # MOV Sreg, far RET, IRET
SEGMENT_LOADS_32 = frozenset(b"\x07\x17\x1f\xc4\xc5\x9a\xea")  # POP, LES, LDS, far CALL and JMP
SEGMENT_LOADS_0F = frozenset(b"\xa1\xa9\xb2\xb4\xb5\x00\x02\x03")  # POP, LSS..LGS; VERR, LAR, LSL
GROUP_5, FAR_CALL, FAR_JUMP = 0xFF, 3, 5
TWO_BYTES, REGISTERS = 0x0F, 0xC0  # ModR/M from there on names no memory

MIDDLE = range(8)  # the middle bits of ModR/M
NOT_COMPARE, NOT_NEGATE, UP_DOWN, BIT_STORES, EXCHANGE8 = range(7), (2, 3), (0, 1), (5, 6, 7), (1,)
UPDATES = {
    **{base + low: MIDDLE for base in range(0, 0x38, 8) for low in (0, 1)},  # ADD to XOR
    **dict.fromkeys((0x86, 0x87, 0xC0, 0xC1, 0xD0, 0xD1, 0xD2, 0xD3), MIDDLE),  # XCHG, shifts
    **dict.fromkeys((0x80, 0x81, 0x82, 0x83), NOT_COMPARE),
    **dict.fromkeys((0xF6, 0xF7), NOT_NEGATE), **dict.fromkeys((0xFE, 0xFF), UP_DOWN)}
UPDATES_0F = {
    **dict.fromkeys((0xA4, 0xA5, 0xAC, 0xAD), MIDDLE),  # SHLD, SHRD
    **dict.fromkeys((0xAB, 0xB3, 0xBB), MIDDLE), 0xBA: BIT_STORES,  # BTS, BTR, BTC
    **dict.fromkeys((0xB0, 0xB1, 0xC0, 0xC1), MIDDLE), 0xC7: EXCHANGE8}  # CMPXCHG, XADD, CMPXCHG8B
"""Those that read and write what ModR/M names, if that is memory: by opcode, with the middle bits
of ModR/M. [SDM volume 2, A.3 and A.4]"""


def _without_prefixes(code: bytes, is_long: bool) -> bytes:
    start = 0
    while start < len(code) and (
            code[start] in PREFIXES or (is_long and code[start] in REX)):
        start += 1
    return code[start:].ljust(3, b"\0")


def loads_segment(code: bytes, is_long: bool) -> bool:
    """Return whether the instruction at the start of ``code`` reads a segment descriptor."""
    first, second = _without_prefixes(code, is_long)[:2]
    if first == TWO_BYTES:
        return second in SEGMENT_LOADS_0F
    if first == GROUP_5:
        return second >> 3 & 7 in (FAR_CALL, FAR_JUMP)
    return first in SEGMENT_LOADS or (not is_long and first in SEGMENT_LOADS_32)


def updates_memory(code: bytes, is_long: bool) -> bool:
    """Return whether the instruction at the start of ``code`` writes the memory that it reads.

    Its right to write is looked at before it reads. String instructions, PUSH and POP, which read
    and write elsewhere, are none of these.
    """
    if len(code) < 2:
        return False
    first, second, third = _without_prefixes(code, is_long)[:3]
    table, opcode, modrm = ((UPDATES_0F, second, third) if first == TWO_BYTES
                            else (UPDATES, first, second))
    return opcode in table and modrm < REGISTERS and (modrm >> 3 & 7) in table[opcode]
