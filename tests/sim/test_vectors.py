import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagewalk.model.x86 import IA32, LA57, MODES, X86_64, Cr0, Cr4, Efer
from pagewalk.sim.errors import InputError
from pagewalk.sim.vectors import VECTORS, Vectors


def refusal(path):
    """Return what is wrong with the file, after checking that it is one line about the file."""
    with pytest.raises(InputError) as caught:
        Vectors.load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "expected" in message
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


# What is read


@pytest.mark.parametrize("name", MODES)
def test_the_mode_follows_from_the_registers(name, vectors_file):
    vectors = Vectors.load(vectors_file(name))
    assert vectors.mode is MODES[name]
    assert len(vectors) == 4000
    assert vectors.row.tolist() == list(range(4000))
    for field in "entry_pa", "before", "after":
        assert vectors[field].shape == (4000, len(vectors.mode.levels))


def test_the_fields_are_those_of_the_file(vectors_file, vector_arrays):
    vectors = Vectors.load(vectors_file(X86_64.name))
    arrays = vector_arrays(X86_64)
    for name in VECTORS.fields:
        assert (vectors[name] == arrays[name]).all()


def test_any_width_of_whole_numbers_will_do(vector_arrays, write_image):
    arrays = vector_arrays(X86_64)
    wide = {name: array.astype(">u8") for name, array in arrays.items()}
    again = Vectors.load(write_image(wide))
    assert all((again[name] == arrays[name]).all() for name in VECTORS.fields)


def test_expected_answers_may_be_anything(vector_arrays, write_image):
    """They are compared, not judged: a wrong one is a mismatch."""
    arrays = vector_arrays(IA32)
    for name in "error", "vector", "cr2", "pa", "after":
        arrays[name] = ~arrays[name]
    arrays["fault"] ^= 1
    assert len(Vectors.load(write_image(arrays))) == 4000


@settings(max_examples=50, deadline=None)
@given(limit=st.integers(1, 5000))
def test_thinning_spreads_evenly_and_keeps_the_order(limit, vectors):
    thinned = vectors.thin(limit)
    assert len(thinned) == min(limit, 4000)
    steps = set(np.diff(thinned.row).tolist())
    assert steps <= {4000 // limit, 4000 // limit + 1} or limit > 4000
    assert (thinned["va"] == vectors["va"][thinned.row]).all()
    assert vectors.thin(None) is vectors


def test_each_access_has_tables_of_its_own_in_the_frames_of_all(vectors):
    few = vectors.take(np.arange(7, 4000, 400))
    pfns = {paddr >> 12 for paddr in few["entry_pa"].reshape(-1).tolist() if paddr}
    assert set(few.frames().index()[0].tolist()) == pfns
    assert not few.frames().frames.any()
    for index in range(len(few)):
        memory = few.tables(index)
        assert set(memory.index()[0].tolist()) == pfns
        entries = {paddr: entry for paddr, entry in zip(
            few["entry_pa"][index].tolist(), few["before"][index].tolist(), strict=True) if paddr}
        for paddr, entry in entries.items():
            assert memory.read(paddr, few.mode.entry_bytes) == entry
            memory.write(paddr, few.mode.entry_bytes, 0)
        assert not memory.frames.any()


# What is refused


def change(name, update):
    def apply(arrays):
        arrays[name] = update(arrays[name])

    return apply


def put(name, where, value):
    def apply(arrays):
        arrays[name] = arrays[name].astype(np.int64 if value < 0 else np.uint64)
        arrays[name][where] = value

    return apply


BAD_FIELDS = [
    (X86_64, change("pa", lambda a: a[:-1]), "pa has 3999 values; expected 4000, as many as va"),
    (X86_64, change("va", lambda a: a.astype(float)), "va is float64; expected whole numbers"),
    (X86_64, change("after", lambda a: a[:, :3]),
     r"after has shape \(4000, 3\); expected \(N, 4\) or \(N, 5\)"),
    (X86_64, change("before", lambda a: a[:, 0]),
     r"before has shape \(4000,\); expected \(N, 4\) or \(N, 5\)"),
    (X86_64, change("after", lambda a: np.pad(a, ((0, 0), (0, 1)))),
     r"after has shape \(4000, 5\); expected \(N, 4\), as in x86_64 paging"),
    (LA57, change("before", lambda a: a[:, :4]),
     r"before has shape \(4000, 4\); expected \(N, 5\), as in la57 paging"),
    (X86_64, change("va", lambda a: a[:0]), "kind has 4000 values; expected 0, as many as va"),
    (X86_64, put("kind", 5, 3), "kind holds 3 for access 5; expected one of 0, 1, 2"),
    (X86_64, put("cpl", 6, 1), "cpl holds 1 for access 6; expected one of 0, 3"),
    (X86_64, put("ac", 7, 2), "ac holds 2 for access 7; expected one of 0, 1"),
    (X86_64, put("fault", 8, 2), "fault holds 2 for access 8; expected one of 0, 1"),
    (X86_64, put("vector", 9, 256), "vector holds 256; expected values from 0 to 255"),
    (X86_64, put("error", 9, -1), "error holds -1; expected values from 0 to 255"),
    (X86_64, put("pkru", 9, 1 << 32), r"pkru holds 4294967296; expected values from 0 to \d+"),
    (IA32, put("va", 4, 1 << 32),
     "va holds 0x100000000 for access 4; expected at most 0xffffffff"),
    (IA32, put("before", (4, 1), 1 << 32),
     "before holds 0x100000000 for access 4, level 1; expected an entry of 4 bytes"),
    (IA32, put("entry_pa", (4, 2), 0x1000),
     "entry_pa holds 0x1000 for access 4, level 2; expected 0, as ia32 paging has 2 levels"),
    (IA32, put("entry_pa", (4, 0), 1 << 32),
     "entry_pa holds 0x100000000 for access 4, level 0; expected an address of 32 bits"),
    (X86_64, put("entry_pa", (4, 1), 1 << 52),
     "entry_pa holds 0x10000000000000 for access 4, level 1; expected an address of 52 bits"),
    (X86_64, put("entry_pa", (4, 1), 0x1004),
     "entry_pa holds 0x1004 for access 4, level 1; expected a multiple of 8"),
    (IA32, put("entry_pa", (4, 0), 0x1002),
     "entry_pa holds 0x1002 for access 4, level 0; expected a multiple of 4"),
    (X86_64, put("entry_pa", (4, 0), 0),
     "entry_pa holds 0x0 for access 4, level 0; expected the address of the root's entry"),
    (X86_64, put("entry_pa", (2, 1), 0),
     r"entry_pa holds 0x\w+ for access 2, level 2; expected 0, as the level above is not reached"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "breakage", "message"), BAD_FIELDS,
                         ids=[message[:40] for *_, message in BAD_FIELDS])
def test_a_bad_field_is_named(mode, breakage, message, vector_arrays, write_image):
    arrays = vector_arrays(mode)
    breakage(arrays)
    assert re.fullmatch(message, refusal(write_image(arrays)))


@pytest.mark.parametrize("name", VECTORS.fields)
def test_a_missing_field_is_named(name, vector_arrays, write_image):
    arrays = vector_arrays(IA32)
    del arrays[name]
    assert re.fullmatch(f"{name} is missing; expected (one value|4 or 5 values) for each access",
                        refusal(write_image(arrays)))


def test_no_access_at_all_is_refused(vector_arrays, write_image):
    empty = {name: array[:0] for name, array in vector_arrays(IA32).items()}
    assert refusal(write_image(empty)) == "va is empty; expected at least one access"


@pytest.mark.parametrize(("mode", "name", "bit", "expected"), [
    (X86_64, "cr4", Cr4.PAE, "PAE set"),
    (X86_64, "efer", Efer.LMA, "LMA set"),
    (X86_64, "cr0", Cr0.PG, "PG set"),
    (X86_64, "cr4", Cr4.LA57, "LA57 clear"),
    (IA32, "cr4", Cr4.PAE, "PAE clear"),
    (IA32, "efer", Efer.LMA, "LMA clear"),
])
def test_all_accesses_must_run_the_mode_of_the_first(
        mode, name, bit, expected, vector_arrays, write_image):
    arrays = vector_arrays(mode)
    arrays[name][77] ^= bit
    value = int(arrays[name][77])
    assert refusal(write_image(arrays)) == (
        f"{name} holds {value:#x} for access 77; expected {expected}, as in {mode.name} paging, "
        "the mode of access 0")


def test_vectors_of_two_modes_are_refused(vector_arrays, write_image):
    both = [vector_arrays(mode) for mode in (IA32, X86_64)]
    mixed = {name: np.concatenate([one[name] for one in both]) for name in VECTORS.fields}
    assert "for access 4000; expected PAE clear, as in ia32 paging" in refusal(write_image(mixed))


def test_an_image_is_no_file_of_vectors(small, tmp_path):
    small.save(tmp_path / "image.npz")
    assert refusal(tmp_path / "image.npz") == "va is missing; expected one value for each access"


def test_a_truncated_file_is_refused(vectors_file, tmp_path):
    whole = vectors_file(IA32.name).read_bytes()
    for length in range(0, len(whole), len(whole) // 20):
        (tmp_path / "cut.npz").write_bytes(whole[:length])
        assert refusal(tmp_path / "cut.npz") == (
            "is not a whole .npz archive; expected access vectors (.npz)")
