"""Numbers that fit no register, address or entry are refused: alike by the scalar and the batch."""

import re

import numpy as np
import pytest

from pagewalk.model.mmu.batch import Accesses, Controls, FrameSource, RowSource, walk_batch
from pagewalk.model.mmu.tlb_history import TlbHistory
from pagewalk.model.mmu.walk import Access, Control, translate, walk
from pagewalk.model.mmu.widths import check_width, words
from pagewalk.model.x86 import IA32, MODES, X86_64, AccessKind, Cr0, Entry, InvalidateOp, Vector

from ...hdl.tables import Tables
from .one_page import one_page

WIDE = (1 << 32) + 0x123
every_mode = pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
every_register = pytest.mark.parametrize("name", ["cr3", "cr0", "cr4", "efer", "pkru"])


def wrong(message):
    return pytest.raises(ValueError, match=f"^{re.escape(message)}$")


def no_integer(name, value):
    return pytest.raises(TypeError, match=f"^{name} must be an integer, not {re.escape(value)}$")


def batch(mode, control, accesses, paddr_bits=40):
    """Walk a batch; see that tables were not changed if it is refused."""
    memory, _, _ = one_page(mode)
    before = memory.frames.copy()
    try:
        return walk_batch(FrameSource(memory, mode), mode, control, accesses, paddr_bits)
    except (ValueError, TypeError):
        assert (memory.frames == before).all()
        raise


# Linear addresses


@pytest.mark.parametrize("vaddr", [1 << 32, WIDE, (1 << 64) - 1], ids=hex)
def test_a_linear_address_wider_than_the_mode_is_refused(vaddr):
    memory, control, _ = one_page(IA32)
    before = memory.frames.copy()
    message = f"Linear address must be a number of 32 bits, not {vaddr:#x}"
    for golden in (walk, translate):
        with wrong(message):
            golden(memory, IA32, control, Access(vaddr))
    with wrong(message):
        TlbHistory(IA32, memory, control).outcomes(1, 1, control, Access(vaddr))
    for vaddrs in (vaddr, [vaddr], [0, vaddr, 0], [vaddr, (1 << 64) - 2]):
        with wrong(message):
            batch(IA32, control, Accesses(np.array(vaddrs, np.uint64)))
    assert (memory.frames == before).all()


def test_the_highest_linear_addresses_are_walked():
    for mode, vaddr in ((IA32, (1 << 32) - 1), (X86_64, (1 << 64) - 1)):
        memory, control, _ = one_page(mode)
        assert walk(memory, mode, control, Access(vaddr)).fault.vector is Vector.PF
        walks = batch(mode, control, Accesses(np.array([vaddr], np.uint64)))
        assert walks.vaddr.tolist() == [vaddr]


def test_without_paging_only_rows_with_paging_have_addresses_that_are_too_wide():
    """Only 32 bits reach the bus without paging: the others are cut off, as ``walk`` does."""
    memory, on, _ = one_page(IA32)
    off = Control(on.cr3, cr0=0)
    assert walk(memory, IA32, off, Access(WIDE)).paddr == 0x123
    assert batch(IA32, off, Accesses([WIDE, 0])).paddr.tolist() == [0x123, 0]
    mixed = Controls(on.cr3, np.array([0, Cr0.PG]), on.cr4, on.efer)
    assert batch(IA32, mixed, Accesses([WIDE, 0])).paddr.tolist() == [0x123, 0x7000]
    with wrong("Linear address must be a number of 32 bits, not 0x100000123"):
        batch(IA32, mixed, Accesses([WIDE + 1, WIDE]))


@every_mode
@pytest.mark.parametrize("vaddr", [-1, -(1 << 64), 1 << 64, (1 << 70) + 5], ids=hex)
def test_an_access_has_no_address_that_is_negative_or_wider_than_64_bits(mode, vaddr):
    message = f"Linear address must be a number of 64 bits, not {vaddr:#x}"
    with wrong(message):
        Access(vaddr)
    for vaddrs in (vaddr, [vaddr], [0, vaddr], [(1 << 63) + 1, vaddr],
                   np.array([0, vaddr], object)):
        with wrong(message):
            batch(mode, Control(0x1000), Accesses(vaddrs))


@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.int64])
def test_signed_arrays_are_taken_if_nothing_in_them_is_negative(dtype):
    assert batch(X86_64, Control(0x1000), Accesses(np.array([1, 2], dtype))).paddr.tolist() == [
        0x7001, 0x7002]
    with wrong("Linear address must be a number of 64 bits, not -0x5"):
        batch(X86_64, Control(0x1000), Accesses(np.array([1, -5, -1], dtype)))


@pytest.mark.parametrize("vaddr", [1.0, "1", None])
def test_an_address_that_is_no_integer_is_refused(vaddr):
    with no_integer("Linear address", repr(vaddr)):
        Access(vaddr)
    with no_integer("Linear address", repr(vaddr)):
        batch(X86_64, Control(0x1000), Accesses([vaddr]))


def test_numbers_of_numpy_are_integers():
    memory, control, _ = one_page(X86_64)
    assert walk(memory, X86_64, control, Access(np.uint64(5))).paddr == 0x7005
    with wrong("Linear address must be a number of 64 bits, not -0x3"):
        Access(np.int64(-3))


@pytest.mark.parametrize("kind", [0, 1, 3, -1, "WRITE", None])
def test_an_access_kind_that_is_none_is_refused(kind):
    """Of a kind that only equals WRITE, a write would set no dirty flag."""
    with pytest.raises(TypeError, match=f"^Access kind must be an AccessKind, not {kind!r}$"):
        Access(0, kind)


def test_an_access_kind_that_is_no_integer_is_refused():
    with no_integer("Access kind", "1.5"):
        batch(X86_64, Control(0x1000), Accesses([0, 0], [1, 1.5]))


# Registers


@every_register
def test_a_register_is_neither_negative_nor_wider_than_it_is(name):
    bits = 32 if name == "pkru" else 64
    defaults = {"cr3": 0x1000, "cr0": Cr0.PG, "cr4": 0, "efer": 0, "pkru": 0}
    for value in (-1, 1 << bits, 1 << 80, -(1 << 64)):
        message = f"{name.upper()} must be a number of {bits} bits, not {value:#x}"
        with wrong(message):
            Control(**{**defaults, name: value})
        for values in (value, [0, value]):
            with wrong(message):
                batch(X86_64, Controls(**{**defaults, name: values}), Accesses([0, 1]))
    highest = (1 << bits) - 1
    assert getattr(Control(**{**defaults, name: highest}), name) == highest
    batch(X86_64, Controls(**{**defaults, name: np.array([0, highest], np.uint64)}),
          Accesses([0, 1]))


@every_register
@pytest.mark.parametrize("value", [4096.0, "4096", None])
def test_a_register_that_is_no_integer_is_refused(name, value):
    with no_integer(name.upper(), repr(value)):
        Control(**{"cr3": 0, name: value})
    registers = {"cr3": 0, "cr0": 0, "cr4": 0, "efer": 0, name: [value]}
    with no_integer(name.upper(), repr(value)):
        batch(X86_64, Controls(**registers), Accesses(0))


@every_mode
@pytest.mark.parametrize("paddr_bits", [-1, 0, 31, 53, 64, "40", 40.5, None])
def test_maxphyaddr_is_from_32_to_52(mode, paddr_bits):
    memory, control, _ = one_page(mode)
    calls = [
        lambda: walk(memory, mode, control, Access(0), paddr_bits),
        lambda: translate(memory, mode, control, Access(0), paddr_bits),
        lambda: batch(mode, control, Accesses(0), paddr_bits),
        lambda: TlbHistory(mode, memory, control, paddr_bits),
    ]
    for call in calls:
        with wrong(f"MAXPHYADDR must be from 32 to 52 bits, not {paddr_bits!r}"):
            call()


@pytest.mark.parametrize("mode", ["x86_64", None, 64])
def test_a_mode_is_not_a_name(mode):
    memory, control, _ = one_page(X86_64)
    source = FrameSource(memory, X86_64)
    for call in (lambda: walk(memory, mode, control, Access(0)),
                 lambda: walk_batch(source, mode, control, Accesses(0)),
                 lambda: TlbHistory(mode, memory, control)):
        with pytest.raises(TypeError, match=f"^Paging mode must be a PagingMode, not {mode!r}$"):
            call()


# Histories of entries and invalidations


@every_mode
def test_an_entry_of_a_history_fits_its_place(mode):
    memory, control, leaf = one_page(mode)
    history = TlbHistory(mode, memory, control)
    bits = 8 * mode.entry_bytes
    for entry in (-1, 1 << bits):
        with wrong(f"Entry must be a number of {bits} bits, not {entry:#x}"):
            history.write(3, leaf, entry)
    with pytest.raises(ValueError, match=r"^Physical address of . bytes must be a multiple"):
        history.write(3, leaf + 2, Entry.P)
    assert len(history.values(leaf)) == 1


def test_operands_of_an_invalidation_fit_their_registers():
    memory, control, _ = one_page(IA32)
    drops = TlbHistory(IA32, memory, control).drops
    with wrong(f"Linear address must be a number of 32 bits, not {WIDE:#x}"):
        drops.operation(3, InvalidateOp.INVLPG, {"vaddr": WIDE}, pcid=0, pcide=False)
    memory, control, _ = one_page(X86_64)
    drops = TlbHistory(X86_64, memory, control).drops
    for vaddr in (-1, 1 << 64):
        with wrong(f"Linear address must be a number of 64 bits, not {vaddr:#x}"):
            drops.operation(3, InvalidateOp.INVLPG, {"vaddr": vaddr}, pcid=0, pcide=False)
    for op in (InvalidateOp.INVPCID_ADDRESS, InvalidateOp.INVPCID_CONTEXT):
        for pcid in (-1, 0x1000):
            with wrong(f"PCID must be a number of 12 bits, not {pcid:#x}"):
                drops.operation(3, op, {"vaddr": 0, "pcid": pcid}, pcid=0, pcide=True)


def test_recorded_entries_fit_their_places():
    paddrs = np.array([[0x1000, 0x2000]], np.uint64)
    with wrong("Entry must be a number of 32 bits, not 0x100000001"):
        RowSource(IA32, paddrs, np.array([[1, (1 << 32) + 1]], np.uint64))


# The checks themselves


def test_words_are_not_copied_if_they_are_words_already():
    given = np.arange(4, dtype=np.uint64)
    assert words("Number", given) is given
    assert words("Number", [0, (1 << 64) - 1]).tolist() == [0, (1 << 64) - 1]
    assert words("Number", []).dtype == np.uint64
    assert words("Number", 5).shape == ()


@pytest.mark.parametrize("bits", [1, 12, 32, 52, 64])
def test_a_width_is_exact(bits):
    check_width("Number", (1 << bits) - 1, bits)
    assert words("Number", [(1 << bits) - 1], bits).tolist() == [(1 << bits) - 1]
    for value in (1 << bits, -1):
        with wrong(f"Number must be a number of {bits} bits, not {value:#x}"):
            check_width("Number", value, bits)
        with wrong(f"Number must be a number of {bits} bits, not {value:#x}"):
            words("Number", [0, value], bits)


def test_scalar_and_batch_map_the_last_page():
    for mode in (IA32, X86_64):
        tables = Tables(mode)
        last = (1 << mode.vaddr_bits) - 0x1000
        tables.map(last, 0x5000)
        found = walk(tables.memory, mode, Control(tables.cr3), Access(last, AccessKind.WRITE))
        walks = walk_batch(FrameSource(tables.memory, mode), mode, Control(tables.cr3),
                           Accesses(np.array([last], np.uint64), AccessKind.WRITE))
        assert walks.paddr.tolist() == [found.paddr] == [0x5000]
