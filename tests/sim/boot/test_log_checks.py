import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagewalk.model.x86 import IA32, X86_64, AccessKind, Cr4, Efer
from pagewalk.sim.boot.log import DTYPES, SPECIAL, BootLog, RecordKind
from pagewalk.sim.boot.log_checks import load_log
from pagewalk.sim.errors import InputError

from .log_maker import LONG, ROOT, LogMaker, write_log

# Records 0 to 5 are the mark and the registers, 6 to 9 the entries, the last one the end.
ACCESS, END = 10, 14

KINDS = ", ".join(f"{kind:d}" for kind in RecordKind)
MODES_KNOWN = "expected 32-bit, 4-level or 5-level paging"
COUNTED = "the accesses that are there or left out"
IN_ORDER = "as special records come once each, in order"


def made(mode=X86_64, **registers):
    maker = LogMaker(mode, **registers)
    for _ in range(4 // len(mode.levels)):  # as many records in every mode
        maker.map(0x5000, 0x7000)
    maker.access(0x5000, 0x7000)
    maker.fault(0x9000, 2, AccessKind.WRITE)
    maker.access(0x5000, 0x7000, AccessKind.WRITE)
    maker.special(RecordKind.INVPCID, 0x5000, x=0, ppn=1)
    return maker.log()


@pytest.fixture
def refusal(tmp_path):
    """Return the line that refuses a log, without the name of its file."""

    def run(log):
        path = write_log(tmp_path / "x.ltr.xz", log)
        with pytest.raises(InputError) as caught:
            load_log(path)
        name, _, message = str(caught.value).partition(": ")
        assert name == str(path)
        assert "\n" not in message
        return message

    return run


def changed(log, name, index, value):
    """Return a log with another value in one place."""
    array = log[name].copy()
    array[index] = value
    return BootLog(log.fields | {name: array})


@pytest.mark.parametrize("mode", [X86_64, IA32], ids=lambda mode: mode.name)
def test_a_sound_log_is_as_it_was_written(mode, tmp_path):
    log = made(mode)
    read = load_log(write_log(tmp_path / "x.ltr.xz", log))
    assert all(np.array_equal(read[name], log[name]) for name in DTYPES)
    assert (read.mode, read.paddr_bits, read.ram_bytes) == (mode, 40, 1 << 24)
    assert (len(read), read.translations) == (15, 3)


@pytest.mark.parametrize(("name", "index", "value", "place", "expected"), [
    ("ev", ACCESS, 2, "record 10", "one of the 2 accesses"),
    ("ev", 4, SPECIAL + 5, "record 4", f"{SPECIAL + 4:#x}, {IN_ORDER}"),
    ("sp_kind", 3, 0, "record 3, of kind 0", f"one of {KINDS}"),
    ("sp_kind", 0, 6, "record 0, of kind 6", "14 for the first record, and only for it"),
    ("sp_kind", 4, 14, "record 4, of kind 14", "14 for the first record, and only for it"),
    ("sp_kind", -1, 6, "record 14, of kind 6", "15 for the last record, and only for it"),
    ("sp_ppn", 0, 31, "record 0, of kind 14", "MAXPHYADDR, from 32 to 52"),
    ("sp_val", 0, 1 << 52, "record 0, of kind 14", "bytes of RAM, of 52 bits"),
    ("sp_val", -1, 3, "record 14, of kind 15", f"0x2, {COUNTED}"),
    ("skipped", 3, 255, "record 3", "255 where skipped_big_at says so, and only there"),
    ("sp_val", 3, Efer.LMA, "record 3, of kind 9", "LME set, as in x86_64 paging"),
    ("sp_val", 1, 1 << 16, "record 1, of kind 6", "PG set, as in x86_64 paging"),
    ("acc_kind", 1, 3, "access 1", "0, 1 or 2"),
    ("acc_mode", 0, 16, "access 0", "a mode of 4 bits"),
    ("acc_vpn", 0, 1 << 52, "access 0", "a page number of 52 bits"),
    ("acc_ppn", 0, 1 << 28, "access 0", "a page number of 28 bits"),
    ("sp_fl", 10, 0x32, "record 11, of kind 13", "0, 1 or 2 above the mode of 4 bits"),
    ("sp_x", 10, 18, "record 11, of kind 13", "the vector of #GP or #PF"),
    ("sp_ppn", 10, 1 << 16, "record 11, of kind 13", "an error code of 16 bits"),
    ("sp_x", 6, 4096, "record 6, of kind 4", "an offset into a page"),
    ("sp_ppn", 7, 4096, "record 7, of kind 4", "a page of RAM, below 0x1000"),
    ("sp_val", 1, 3 << 31, "record 1, of kind 6", "a register of 32 bits"),
    ("sp_val", 5, 1 << 40, "record 5, of kind 7", "a root of 40 bits"),
    ("sp_x", 11, 4, "record 13, of kind 12", "a type, 0 to 3"),
    ("sp_ppn", 11, 4096, "record 13, of kind 12", "a PCID of 12 bits"),
])
def test_what_cannot_be_is_refused(refusal, name, index, value, place, expected):
    assert refusal(changed(made(), name, index, value)) == (
        f"{name} holds {value:#x} for {place}; expected {expected}")


@pytest.mark.parametrize(("name", "index", "value", "place", "expected"), [
    ("sp_val", 6, 1 << 32, "record 6, of kind 4", "an entry of 4 bytes"),
    ("sp_val", 5, 1 << 32, "record 5, of kind 7", "a root of 32 bits"),
    ("sp_val", 10, 1 << 32, "record 11, of kind 13", "a linear address"),
    ("sp_val", 11, 1 << 32, "record 13, of kind 12", "a linear address"),
    ("acc_vpn", 0, 1 << 20, "access 0", "a page number of 20 bits"),
])
def test_what_32_bit_paging_has_no_room_for_is_refused(
        refusal, name, index, value, place, expected):
    assert refusal(changed(made(IA32), name, index, value)) == (
        f"{name} holds {value:#x} for {place}; expected {expected}")


@pytest.mark.parametrize(("name", "index", "value", "message"), [
    ("ev", 0, 0, f"ev holds 0x80000001 for record 1; expected 0x80000000, {IN_ORDER}"),
    ("ev", END, 0, "ev names 12 special records; expected all 13"),
    ("skipped", 3, 1, f"sp_val holds 0x2 for record 14, of kind 15; expected 0x3, {COUNTED}"),
    ("sp_kind", 5, 10, "no record of kind 7 gives CR3 before record 10; expected one"),
    ("sp_kind", 1, 8, "no record of kind 6 gives CR0 before record 10; expected one"),
    ("sp_val", 3, 0,
     f"was recorded under PAE paging (CR4.PAE is set, EFER.LMA is clear); {MODES_KNOWN}"),
])
def test_what_is_missing_or_unknown_is_refused(refusal, name, index, value, message):
    assert refusal(changed(made(), name, index, value)) == message


def test_a_register_may_keep_what_is_cached_and_no_mode_may_change(refusal, tmp_path):
    load_log(write_log(tmp_path / "x.ltr.xz", made(cr3=1 << 63 | ROOT)))
    maker = LogMaker()
    maker.special(RecordKind.CR4, LONG["cr4"] & ~Cr4.PGE)
    maker.special(RecordKind.CR4, LONG["cr4"] & ~Cr4.PAE)
    assert refusal(maker.log()) == (
        "sp_val holds 0x300080 for record 7, of kind 8; expected PAE set, as in x86_64 paging")


@pytest.mark.parametrize(("names", "length", "message"), [
    (["sp_x"], 12, "sp_x has 12 values; expected 13, as many as sp_kind"),
    (["acc_ppn"], 0, "acc_ppn has 0 values; expected 2, as many as acc_kind"),
    (["skipped"], 14, "skipped has 14 values; expected 15, as many as ev"),
    (["ev", "skipped"], 0, "ev is empty; expected at least one record"),
    (["ev", "skipped"], 10, "ev names 10 special records; expected all 13"),
])
def test_arrays_of_other_lengths_are_refused(refusal, names, length, message):
    log = made()
    assert refusal(BootLog(log.fields | {name: log[name][:length] for name in names})) == message


@pytest.mark.parametrize(("at", "message"), [
    ([15], "skipped_big_at holds 0xf for value 0; expected a record below 15"),
    ([4, 4], "skipped_big_at holds 0x4 for value 1; expected records in order"),
    ([4], None),
])
def test_what_was_left_out_is_counted(refusal, tmp_path, at, message):
    log = changed(changed(made(), "skipped", 4, 255), "sp_val", -1, 2 + 1000)
    log = BootLog(log.fields | {
        "skipped_big_at": np.array(at), "skipped_big": np.full(len(at), 1000)})
    if message is None:
        load_log(write_log(tmp_path / "x.ltr.xz", log))
    else:
        assert refusal(log) == message


@pytest.mark.slow
@pytest.mark.parametrize("kind", [RecordKind.PTST, RecordKind.PTSET, RecordKind.AD])
def test_page_tables_that_would_fill_memory_are_refused(refusal, kind):
    maker = LogMaker()
    for pfn in range((1 << 17) + 1):
        maker.store(pfn << 12, 0, kind)
    assert refusal(changed(maker.log(), "sp_val", 0, 1 << 30)) == (
        "sp_ppn names 131073 frames of page tables; expected at most 131072")


@pytest.mark.slow
@pytest.mark.parametrize("group", ["sp", "acc"])
def test_records_and_accesses_that_would_fill_memory_are_refused(refusal, group):
    count = (1 << 22) + 1
    fields = made().fields | {name: np.zeros(count, dtype) for name, dtype in DTYPES.items()
                              if name.startswith(f"{group}_")}
    assert refusal(BootLog(fields)) == f"{group}_kind has 4194305 values; expected at most 4194304"


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_value_is_taken_or_refused(data, tmp_path_factory):
    log = made(data.draw(st.sampled_from([X86_64, IA32])))
    for _ in range(data.draw(st.integers(1, 3))):
        name = data.draw(st.sampled_from([name for name in DTYPES if len(log[name])]))
        index = data.draw(st.integers(0, len(log[name]) - 1))
        bits = 8 * log[name].dtype.itemsize
        value = data.draw(st.integers(0, 20) | st.integers(0, bits).map(lambda bit: (1 << bit) - 1)
                          | st.integers(0, bits - 1).map(lambda bit: 1 << bit))
        log = changed(log, name, index, value)
    path = write_log(tmp_path_factory.getbasetemp() / "x.ltr.xz", log)
    try:
        read = load_log(path)
    except InputError:
        return
    assert read.translations == sum(read["ev"] < SPECIAL) + sum(
        read["sp_kind"] == RecordKind.FAULT)
