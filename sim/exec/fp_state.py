"""The registers of x87 and SSE as FXSAVE stores them. [SDM, FXSAVE]"""

from .cpu import Cpu

__all__ = ["FXSAVE_BYTES", "load_fxsave", "pack_fxsave"]

FXSAVE_BYTES = 512
ST_AT, XMM_AT, MXCSR_AT = 32, 160, 24
MXCSR_MASK = 0xFFFF
EMPTY = 3  # of two bits of the tag word


def pack_fxsave(cpu: Cpu, word_bytes: int) -> bytes:
    """Return 512 bytes; addresses of the last x87 instruction are left out."""
    image = bytearray(FXSAVE_BYTES)
    status, tags = cpu.read("fpsw"), cpu.read("fptag")
    used = sum(1 << one for one in range(8) if tags >> 2 * one & 3 != EMPTY)
    for at, value in ((0, cpu.read("fpcw")), (2, status), (4, used)):
        image[at : at + 2] = value.to_bytes(2, "little")
    for at, value in ((MXCSR_AT, cpu.read("mxcsr")), (MXCSR_AT + 4, MXCSR_MASK)):
        image[at : at + 4] = value.to_bytes(4, "little")
    top = status >> 11 & 7
    for one in range(8):
        mantissa, exponent = cpu.read_x87(top + one & 7)
        image[ST_AT + 16 * one : ST_AT + 16 * one + 10] = (
            mantissa.to_bytes(8, "little") + exponent.to_bytes(2, "little"))
    for one in range(2 * word_bytes if word_bytes == 8 else 8):
        image[XMM_AT + 16 * one : XMM_AT + 16 * one + 16] = (
            cpu.read(f"xmm{one}").to_bytes(16, "little"))
    return bytes(image)


def load_fxsave(cpu: Cpu, image: bytes, word_bytes: int) -> None:
    """Load the registers from 512 bytes."""
    def number(at: int, size: int) -> int:
        return int.from_bytes(image[at : at + size], "little")
    status, used = number(2, 2), image[4]
    cpu.write("fpcw", number(0, 2))
    cpu.write("fpsw", status)
    top = status >> 11 & 7
    for one in range(8):
        at = ST_AT + 16 * one
        cpu.write_x87(top + one & 7, number(at, 8), number(at + 8, 2))
    cpu.write("fptag", sum(EMPTY << 2 * one for one in range(8) if not used >> one & 1))
    cpu.write("mxcsr", number(MXCSR_AT, 4) & MXCSR_MASK)
    for one in range(2 * word_bytes if word_bytes == 8 else 8):
        cpu.write(f"xmm{one}", number(XMM_AT + 16 * one, 16))
