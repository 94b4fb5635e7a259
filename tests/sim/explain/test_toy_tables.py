"""Toy tables: what a file says is in memory, and what is wrong in it is one line."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagewalk.model.mmu.walk import Access, walk
from pagewalk.model.x86 import IA32, X86_64, AccessKind, Leaf, Vector
from pagewalk.sim.errors import InputError
from pagewalk.sim.explain.toy_tables import ToyTables

EXAMPLES = Path(__file__).parents[3] / "examples" / "tables"


@pytest.fixture
def toy(tmp_path):
    """Return the tables of a text."""
    def read(text):
        path = tmp_path / "toy.toml"
        path.write_text(text)
        return ToyTables(path)

    return read


def outcome(tables, vaddr, **access):
    """Return the physical address of an access, or vector and error code of its fault."""
    done = walk(tables.memory(), tables.mode, tables.control, Access(vaddr, **access), 52)
    return done.paddr if done.fault is None else (done.fault.vector, done.fault.error_code)


PF = Vector.PF
WRITE, FETCH = AccessKind.WRITE, AccessKind.FETCH


@pytest.mark.parametrize(("name", "vaddr", "access", "expected"), [
    ("two_levels", 0x1ABC, {"user": True}, 0x11ABC),
    ("two_levels", 0x0ABC, {"user": True, "kind": WRITE}, (PF, 7)),
    ("two_levels", 0x2000, {"user": True}, (PF, 5)),
    ("two_levels", 0x2004, {}, 0x12004),
    ("two_levels", 0x3000, {}, (PF, 0)),
    ("toy_5_5", 0x21004, {}, 0x5004),
    ("toy_5_5", 0x21004, {"kind": WRITE}, (PF, 3)),
    ("toy_5_5", 0x07FFF, {}, 0x27FFF),
    ("toy_5_5", 0x08000, {}, (PF, 0)),
    ("four_levels", 0x400123, {"user": True, "kind": FETCH}, 0x50123),
    ("four_levels", 0x401000, {"user": True, "kind": FETCH}, (PF, 0x15)),
    ("four_levels", 0x6ABCDE, {"user": True, "kind": WRITE}, 0x6ABCDE),
    ("four_levels", 0xFFFFFFFF81000000, {}, 0x1000000),
    ("four_levels", 0xFFFFFFFF81000000, {"user": True}, (PF, 5)),
    ("four_levels", 0x800000000000, {}, (Vector.GP, 0)),
    ("protection_keys", 0x0000, {"user": True, "kind": WRITE}, 0x10000),
    ("protection_keys", 0x1000, {"user": True}, 0x11000),
    ("protection_keys", 0x1000, {"user": True, "kind": WRITE}, (PF, 0x27)),
    ("reserved_bits", 0x0000, {}, 0x200000),
    ("reserved_bits", 0x200000, {}, (PF, 9)),
    ("reserved_bits", 0x8000000000, {}, (PF, 9)),
])
def test_the_examples_do_what_their_comments_say(name, vaddr, access, expected):
    assert outcome(ToyTables(EXAMPLES / f"{name}.toml"), vaddr, **access) == expected


def test_every_example_is_tested():
    assert len([*EXAMPLES.glob("*.toml")]) == 5


def test_a_geometry_is_a_paging_mode(toy):
    tables = toy("""
        root = 3
        [geometry]
        entry_bytes = 8
        levels = [{ name = "A", bits = 4 }, { name = "B", bits = 9, large = true },
                  { name = "C", bits = 3 }]
        [frames.3]
        15 = { frame = 4, flags = "P RW" }
        [frames.4]
        0x1ff = { frame = 0x58, flags = "P PS XD" }
        0 = 0x5001
        [frames.5]
        "0-3" = { frame = 9, flags = "P" }
    """)
    assert [(level.name, level.shift, level.index_bits, level.leaf) for level in
            tables.mode.levels] == [("A", 24, 4, Leaf.NEVER), ("B", 15, 9, Leaf.IF_PS),
                                    ("C", 12, 3, Leaf.ALWAYS)]
    assert (tables.mode.vaddr_bits, tables.mode.entry_bytes) == (28, 8)
    assert outcome(tables, 0xFFF8123) == 0x58123
    assert outcome(tables, 0xFFF8123, kind=FETCH)[1] == 0x11
    assert [outcome(tables, 0xF000000 + page * 0x1000) for page in range(5)] == [
        0x9000, 0xA000, 0xB000, 0xC000, (PF, 0)]


def test_memory_is_new_each_time(toy):
    tables = toy('geometry = "ia32"\nroot = 1\n[frames.1]\n0 = { frame = 2, flags = "P" }\n'
                 "[frames.2]\n1 = 0x3001")
    memory = tables.memory()
    memory.write(0x1000, 4, 0)
    assert tables.memory().read(0x1000, 4) == 0x2001
    assert (tables.mode, tables.control.cr3) == (IA32, 0x1000)


def large(mode_name, at):
    return f'geometry = "{mode_name}"\nroot = 1\n[frames.1]\n{at}'


def test_a_range_of_large_pages_goes_on_by_their_size(toy):
    tables = toy(large("ia32", '"0-2" = { frame = 0x400, flags = "P PS PAT" }'))
    assert [outcome(tables, page << 22) for page in range(3)] == [0x400000, 0x800000, 0xC00000]
    assert tables.memory().read(0x1000, 4) == 0x401081


HEAD = 'geometry = "x86_64"\nroot = 1\n'
GEOMETRY = "root = 1\n[geometry]\n"
BAD = {
    "no toml": ("root = = 1", r"cannot be read: .*"),
    "no text": ("\0", r"cannot be read: .*"),
    "no geometry": ("root = 1", r"geometry: is missing"),
    "unknown geometry": ('geometry = "pae"', r"geometry: is 'pae'"),
    "unknown field": (HEAD + "roots = 2", r"roots: is unknown"),
    "no root": ('geometry = "ia32"', r"root: is missing"),
    "negative root": ('geometry = "ia32"\nroot = -1', r"root: is -1"),
    "root too wide": ('geometry = "ia32"\nroot = 0x100000', r"root: is 1048576"),
    "root without entries": (HEAD, r"root: is frame 1"),
    "unknown flag": (HEAD + '[frames.1]\n0 = { frame = 2, flags = "P RX" }',
                     r"frames.1.0: unknown flag 'RX'"),
    "flag of another mode": (large("ia32", '0 = { frame = 2, flags = "XD" }'),
                             r"frames.1.0: unknown flag 'XD'"),
    "loop": (HEAD + '[frames.1]\n0 = { frame = 1, flags = "P" }',
             r"frames.1.0: makes a loop: frame 1 leads to itself"),
    "long loop": (HEAD + '[frames.1]\n0 = { frame = 2, flags = "P" }\n[frames.2]\n'
                  '5 = { frame = 1, flags = "P" }',
                  r"frames.2.5: makes a loop: frame 1 leads to itself"),
    "two levels": (HEAD + '[frames.1]\n0 = { frame = 2, flags = "P" }\n1 = { frame = 3, flags = "P"'
                   ' }\n[frames.2]\n0 = { frame = 3, flags = "P" }\n[frames.3]',
                   r"frames.3: is a table at two levels"),
    "no such table": (HEAD + '[frames.1]\n0 = { frame = 7, flags = "P" }',
                      r"frames.1.0: points to frame 7, which has no entries"),
    "unused table": (HEAD + "[frames.1]\n[frames.2]", r"frames.2: no table leads to it"),
    "overlap": (HEAD + '[frames.1]\n"0-7" = 0\n7 = 0',
                r"frames.1.7: overlaps: entry 7 is there twice"),
    "overlap in other words": (HEAD + "[frames.1]\n0x7 = 0\n7 = 0", r"frames.1.7: overlaps: .*"),
    "a frame twice": (HEAD + "[frames.1]\n[frames.0x1]",
                      r"frames.0x1: overlaps another table of that number"),
    "index too high": (HEAD + "[frames.1]\n512 = 0", r"frames.1.512: is out of range"),
    "no index": (HEAD + "[frames.1]\nx = 0", r"frames.1.x: is out of range"),
    "range backwards": (HEAD + '[frames.1]\n"5-4" = 0', r"frames.1.5-4: ends before it begins"),
    "entry too wide": (large("ia32", "0 = 0x100000000"), r"frames.1.0: is 4294967296"),
    "a text": (HEAD + '[frames.1]\n0 = "P"', r"frames.1.0: is 'P'"),
    "unknown word": (HEAD + "[frames.1]\n0 = { pfn = 2 }", r"frames.1.0: is .*"),
    "frame too wide": (HEAD + '[frames.1]\n"0-1" = { frame = 0xffffffffff, flags = "" }',
                       r"frames.1.0-1.frame: is 1099511627776"),
    "frames a number": (HEAD + "frames = 3", r"frames: is 3"),
    "table a number": (HEAD + "frames.1 = 3", r"frames.1: is 3"),
    "frame number": (HEAD + "frames.-1 = {}", r"frames.-1: is out of range"),
    "key": (HEAD + "[frames.1]\n0 = { key = 16 }", r"frames.1.0: '16' is no number of 4 bits"),
    "registers": (HEAD + "[registers]\ncr3 = 0", r"registers: is .*"),
    "register too wide": (HEAD + "[registers]\npkru = 0x100000000", r"registers.pkru: is .*"),
    "no levels": (GEOMETRY + "entry_bytes = 4", r"geometry: levels is None"),
    "entry bytes": (GEOMETRY + "entry_bytes = 2\nlevels = []", r"geometry: has .*"),
    "level bits": (GEOMETRY + 'levels = [{ name = "A", bits = 11 }]',
                   r"geometry: level A has bits 11"),
    "level name": (GEOMETRY + 'levels = [{ name = "A B", bits = 1 }]', r"geometry: a level has .*"),
    "level field": (GEOMETRY + "levels = [{ shift = 3 }]", r"geometry: a level is .*"),
    "level large": (GEOMETRY + 'levels = [{ name = "A", bits = 1, large = 1 }]',
                    r"geometry: level A has large 1"),
    "large pages": (GEOMETRY + 'levels = [{ name = "A", bits = 1, large = true },'
                    ' { name = "B", bits = 5 }]', r"geometry: level A has large pages of .*"),
    "levels of one name": (GEOMETRY + 'levels = [{ name = "A", bits = 1 }, { name = "A", bits = 1 '
                           "}]", r"geometry: has two levels of one name"),
    "too wide": (GEOMETRY + "levels = [" + ", ".join(
        f'{{ name = "L{number}", bits = 10 }}' for number in range(3)) + "]",
        r"geometry: has linear addresses of 42 bits"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_told_in_one_line(name, toy, tmp_path):
    text, what = BAD[name]
    with pytest.raises(InputError, match=rf"^{tmp_path}/toy.toml: {what}; expected [^\n]+$"):
        toy(text)


@pytest.mark.parametrize("path", ["/", "no-such-file.toml", "/dev/zero", "\0"])
def test_what_is_no_file_is_told(path):
    with pytest.raises(InputError, match=r"^.*; expected .*toy tables \(.toml\)$"):
        ToyTables(path)


@pytest.mark.slow
@given(name=st.sampled_from(sorted(path.name for path in EXAMPLES.glob("*.toml"))),
       changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True),
                                  st.sampled_from("0123456789.=[]{}\"'#PRWUSXD-_ \nx")),
                        min_size=1, max_size=5))
@settings(max_examples=200, deadline=2000)
def test_damage_is_never_a_traceback(name, changes, tmp_path_factory):
    text = (EXAMPLES / name).read_text()
    for place, letter in changes:
        at = int(place * len(text))
        text = text[:at] + letter + text[at + 1:]
    path = tmp_path_factory.getbasetemp() / "damaged.toml"
    path.write_text(text)
    try:
        tables = ToyTables(path)
    except InputError as error:
        message = str(error)
    else:
        outcome(tables, 0)
        return
    assert "; expected " in message
    assert message.startswith(f"{path}: ")


def test_long_numbers_are_cut(toy):
    with pytest.raises(InputError, match=r"^.{0,400}$"):
        toy(f"geometry = {'9' * 4000}")


def test_the_mode_is_that_of_the_name(toy):
    assert toy(HEAD + "[frames.1]\n0 = 0").mode is X86_64
