"""Small files of each format, written by what the formats' own descriptions say."""

import struct
import zlib

FRAME = 4096


def frame(number):
    """Return a frame whose bytes tell its number, and are not all alike."""
    return bytes((number * 7 + at // 64) & 0xFF for at in range(FRAME))


def qemu_note(cr0=0x8005_0033, cr3=0x1000, cr4=0x6F0, cs_flags=0x00A0_9B00, version=1):
    text = bytearray(440)
    struct.pack_into("<II", text, 0, version, 440)
    struct.pack_into("<I", text, 160, cs_flags)
    struct.pack_into("<5Q", text, 392, cr0, 0, 0, cr3, cr4)
    return note(b"QEMU", 0, bytes(text))


def note(name, kind, text):
    name += b"\0"
    return (struct.pack("<III", len(name), len(text), kind) + name + bytes(-len(name) % 4)
            + text + bytes(-len(text) % 4))


def prstatus(long_mode=True):
    return note(b"CORE", 1, bytes(336 if long_mode else 144))


def elf(segments, notes=b"", *, bits=64, machine=62, kind=4, order=1, memsz=None, many=False):
    """Return an ELF core of ``segments``, (physical address, bytes)."""
    header, entry = (64, 56) if bits == 64 else (52, 32)
    count = len(segments) + 1
    end = header + count * entry + 64
    out = struct.pack("<16s", b"\x7fELF" + bytes([bits // 32, order, 1]))
    form = "<HHIQQQIHHHHHH" if bits == 64 else "<HHIIIIIHHHHHH"
    sections = header + count * entry
    out += struct.pack(form, kind, machine, 1, 0, header, sections, 0, header, entry,
                       0xFFFF if many else count, 64 if bits == 64 else 40, 1, 0)
    rows = [(4, end, 0, len(notes), len(notes))]
    at = end + len(notes)
    for paddr, data in segments:
        rows.append((1, at, paddr, len(data), memsz or len(data)))
        at += len(data)
    for kind_of, offset, paddr, size, memory in rows:
        out += (struct.pack("<IIQQQQQQ", kind_of, 0, offset, 0, paddr, size, memory, 0)
                if bits == 64 else
                struct.pack("<IIIIIIII", kind_of, offset, 0, paddr, size, memory, 0, 0))
    section = bytearray(64)
    struct.pack_into("<I", section, 44 if bits == 64 else 28, count)
    return out + bytes(section) + notes + b"".join(data for _, data in segments)


def lime(segments, magic=b"EMiL", version=1):
    return b"".join(struct.pack("<4sIQQQ", magic, version, paddr, paddr + len(data) - 1, 0) + data
                    for paddr, data in segments)


def varint(number):
    out = b""
    while number >= 0x80:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def literal(data):
    """Return a snappy literal; the long form, which is always right."""
    return b"\xf8" + (len(data) - 1).to_bytes(3, "little") + data


def snappy(data):
    """Return a block of snappy: zeros as copies, the rest as literals."""
    out, at = varint(len(data)), 0
    while at < len(data):
        stop = min(at + 1024, len(data))
        piece = data[at:stop]
        if at and not any(piece) and not data[at - 1] and len(piece) % 64 == 0:
            out += b"\xfe\x01\x00" * (len(piece) // 64)
        else:
            out += literal(piece)
        at = stop
    return out


def avml(segments):
    """Return AVML of version 2; chunks are packed and not in turn."""
    out = b""
    for paddr, data in segments:
        out += struct.pack("<4sIQQQ", b"AVML", 2, paddr, paddr + len(data) - 1, 0)
        stream = b"\xff\x06\0\0sNaPpY"
        for number, at in enumerate(range(0, len(data), 1 << 16)):
            piece = data[at : at + (1 << 16)]
            body = b"\1\2\3\4" + (piece if number % 2 else snappy(piece))
            stream += bytes([number % 2]) + len(body).to_bytes(3, "little") + body
        out += stream + struct.pack("<Q", len(stream))
    return out


def kdump(frames, notes=b"", *, bits=64, version=6, machine=b"x86_64", packing=1, info=b""):
    """Return a compressed kdump of ``frames``, bytes by frame number."""
    most = max(frames, default=0) + 1
    blocks = -(-most // (8 * FRAME))
    header = bytearray(FRAME)
    header[:8] = b"KDUMP   "
    struct.pack_into("<I", header, 8, version)
    header[12 + 260 : 12 + 260 + len(machine)] = machine
    struct.pack_into("<IIiII", header, 424 if bits == 64 else 412, packing, FRAME, 1, 2 * blocks,
                     most)
    sub = bytearray(FRAME)
    notes_at = FRAME + 512
    if bits == 64:
        struct.pack_into("<QQQQ", sub, 32, notes_at if info else 0, len(info),
                         notes_at if notes else 0, len(notes))
        struct.pack_into("<Q", sub, 96, most)
    else:
        struct.pack_into("<QIQI", sub, 20, notes_at if info else 0, len(info),
                         notes_at if notes else 0, len(notes))
        struct.pack_into("<Q", sub, 72, most)
    sub[512 : 512 + len(notes or info)] = notes or info
    bitmap = bytearray(blocks * FRAME)
    for pfn in frames:
        bitmap[pfn >> 3] |= 1 << (pfn & 7)
    table, data = b"", b""
    start = 2 * FRAME + 2 * len(bitmap) + 24 * len(frames)
    for pfn in sorted(frames):
        packed = zlib.compress(frames[pfn]) if packing == 1 else frames[pfn]
        flags = packing if packing != 1 or len(packed) < FRAME else 0
        packed = packed if flags else frames[pfn]
        table += struct.pack("<QIIQ", start + len(data), len(packed), flags, 0)
        data += packed
    return bytes(header) + bytes(sub) + bytes(bitmap) * 2 + table + data


def flattened(data, pieces=7):
    """Return ``data`` in makedumpfile's flattened format, its pieces out of order."""
    out = struct.pack(">16sqq", b"makedumpfile", 1, 1)
    out += bytes(FRAME - len(out))
    step = -(-len(data) // pieces)
    for at in sorted(range(0, len(data), step), key=lambda at: at // step % 3):
        piece = data[at : at + step]
        out += struct.pack(">qq", at, len(piece)) + piece
    return out + struct.pack(">qq", -1, -1)
