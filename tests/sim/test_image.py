import re
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagewalk.model.mmu.walk import Access, walk
from pagewalk.model.x86 import IA32, LA57, X86_64, Cr4, Efer
from pagewalk.sim.errors import InputError
from pagewalk.sim.image import UNMAPPED, Image, thin
from pagewalk.sim.image_format import IMAGE


def refusal(path):
    """Return what is wrong with the image, after checking that it is one line about the file."""
    with pytest.raises(InputError) as caught:
        Image.load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "expected" in message
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


# What is read


def test_the_shipped_images_have_every_sort_of_probe(shipped):
    probes = shipped.views[0].probes
    sizes = {level.page_bytes for level in shipped.mode.pages}
    assert set(probes.size.tolist()) == sizes | {0}
    assert set(probes.source.tolist()) == {0, 1, 2}
    assert set(probes.rights[probes.has_rights].tolist()) == {1, 3, 5, 7}
    assert (probes.pa[~probes.mapped] == UNMAPPED).all()
    assert 2000 <= len(probes) <= 3000


def test_the_mode_follows_from_the_frames():
    assert Image.shipped(X86_64).mode is X86_64
    assert Image.shipped(IA32).mode is IA32


def test_a_view_has_the_registers_of_its_cap(small, arrays):
    view = small.views[0]
    assert view.name == arrays["view_name"][0]
    assert view.control.cr3 == arrays["view_cr3"][0]
    assert (view.control.cr0, view.control.cr4, view.control.efer, view.control.pkru) == (
        arrays["cr0"][0], arrays["cr4"][0], arrays["efer"][0], 0)


def test_a_view_has_the_frames_of_its_cap_only(arrays, write_image):
    """The same frame numbers stand in another cap with other contents."""
    for name in IMAGE.fields:
        if IMAGE.fields[name].group in ("cap", "frame"):
            arrays[name] = np.concatenate([arrays[name]] * 2)
    count = len(arrays["frame_cap"]) // 2
    arrays["frame_cap"][:count] = 1
    arrays["frame_data"][:count] = 0
    view = Image.load(write_image(arrays)).views[0]
    memory = view.memory()
    assert len(memory) == count
    assert memory.frames.any()


def test_each_memory_of_a_view_is_new(small):
    view = small.views[0]
    memory = view.memory()
    memory.frames[:] = 0
    assert view.memory().frames.any()


def test_fields_that_nobody_asked_for_are_not_read(arrays, write_image):
    arrays["pm_entry"] = np.array([object()])
    Image.load(write_image(arrays))


def test_any_width_and_order_of_whole_numbers_will_do(small, arrays, write_image):
    arrays["probe_view"] = arrays["probe_view"].astype(">i8")
    arrays["frame_data"] = arrays["frame_data"].astype(arrays["frame_data"].dtype.newbyteorder(">"))
    image = Image.load(write_image(arrays))
    assert (image.views[0].memory().frames == small.views[0].memory().frames).all()
    assert image.views[0].probes.row.tolist() == small.views[0].probes.row.tolist()


# What is refused


def change(name, update):
    def apply(arrays):
        arrays[name] = update(arrays[name])

    return apply


def put(name, index, value):
    def apply(arrays):
        arrays[name][index] = value

    return apply


BAD_FIELDS = [
    (change("probe_pa", lambda a: a[:-1]),
     r"probe_pa has 299 values; expected 300, as many as probe_va"),
    (change("frame_pfn", lambda a: a[:-1]),
     r"frame_pfn has \d+ values; expected \d+, as many as frame_data"),
    (change("view_cr3", lambda a: np.append(a, a)), r"view_cr3 has 2 values; expected 1, .*"),
    (change("efer", lambda a: a[:0]), r"efer has 0 values; expected 1, as many as cap_name"),
    (change("probe_va", lambda a: a.astype(float)), r"probe_va is float64; expected whole numbers"),
    (change("probe_va", lambda a: a[:, None]),
     r"probe_va has shape \(300, 1\); expected one dimension"),
    (change("cr4", lambda a: a[0]), r"cr4 has shape \(\); expected one dimension"),
    (change("view_name", lambda a: a.astype("S")), r"view_name is \|S\d+; expected text"),
    (change("cap_name", lambda a: a.astype(object)), r"cannot be read: Object arrays .*"),
    (change("frame_data", lambda a: a[:, :-1]),
     r"frame_data is uint\d+ of shape .*; expected \(N, 512\) 8-byte or \(N, 1024\) 4-byte .*"),
    (change("frame_data", lambda a: a.astype(float)), r"frame_data is float64 of shape .*"),
    (change("frame_data", lambda a: a[0]), r"frame_data is .* of shape .*"),
    (put("frame_cap", 0, 1), r"frame_cap holds 1; expected an index into cap_name, from 0 to 0"),
    (put("view_cap", 0, -1), r"view_cap holds -1; expected an index into cap_name, from 0 to 0"),
    (put("probe_view", 7, 9), r"probe_view holds 9; expected an index into view_name, from 0 to 0"),
    (change("probe_eff", lambda a: a.astype(int) + 256),
     r"probe_eff holds 2\d\d; expected values from 0 to 255|probe_eff holds 511; .*"),
    (change("probe_va", lambda a: a.astype(int) * 0 - 1),
     r"probe_va holds -1; expected values from 0 to 18446744073709551615"),
    (put("probe_size", 0, 8192), r"probe_size holds 8192 for probe 0; expected 4096 or .*"),
    (put("probe_pa", 0, UNMAPPED), r"probe_size holds \d+ for probe 0; expected 0, as unmapped"),
    (put("view_cr3", 0, 0x123000), r"view_cr3 is 0x123000; expected the address of a frame of .*"),
    (put("cr0", 0, 0x11), r"cr0 is 0x11 in cap .*; expected PG set, as in .* paging"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("breakage", "message"), BAD_FIELDS)
def test_a_bad_field_is_named(breakage, message, arrays, write_image):
    breakage(arrays)
    assert re.fullmatch(message, refusal(write_image(arrays)))


@pytest.mark.parametrize("name", IMAGE.fields)
def test_a_missing_field_is_named(name, arrays, write_image):
    del arrays[name]
    assert re.fullmatch(f"{name} is missing; expected .+", refusal(write_image(arrays)))


@pytest.mark.parametrize("group", ["cap", "view", "frame", "probe"])
def test_an_empty_group_is_refused(group, arrays, write_image):
    for name, field in IMAGE.fields.items():
        if field.group == group:
            arrays[name] = arrays[name][:0]
    assert "is empty; expected at least one" in refusal(write_image(arrays))


def test_a_frame_that_is_there_twice_is_refused(arrays, write_image):
    arrays["frame_pfn"][1] = arrays["frame_pfn"][0]
    assert re.fullmatch(r"frame_pfn has 0x.* twice in cap 0; expected it once",
                        refusal(write_image(arrays)))


LONG_MODE_BITS = [("cr4", Cr4.PAE, "PAE"), ("efer", Efer.LMA, "LMA"), ("efer", Efer.LME, "LME")]


@pytest.mark.parametrize(("name", "bit", "bit_name"), LONG_MODE_BITS)
def test_the_registers_must_run_the_mode_of_the_frames(
        name, bit, bit_name, small, arrays, write_image):
    arrays[name][0] ^= bit
    state = "set" if small.mode is X86_64 else "clear"
    assert f"expected {bit_name} {state}, as in {small.mode.name}" in refusal(write_image(arrays))


def test_cr4_tells_how_many_levels_there_are(small, arrays, write_image):
    arrays["cr4"] |= Cr4.LA57
    if small.mode is X86_64:
        assert Image.load(write_image(arrays)).mode is LA57
    else:
        assert "expected LA57 clear, as in ia32" in refusal(write_image(arrays))


def test_wide_addresses_need_a_wide_mode(arrays, write_image):
    arrays["probe_va"][3] = 1 << 32
    path = write_image(arrays)
    if arrays["frame_data"].dtype.itemsize == 8:
        Image.load(path)
    else:
        assert refusal(path) == "probe_va holds 0x100000000; expected at most 0xffffffff"


def test_what_is_not_an_image_is_refused(tmp_path):
    assert refusal(tmp_path / "none.npz").startswith("cannot be read: No such file or directory;")
    assert refusal(tmp_path).startswith("cannot be read: Is a directory;")
    np.save(tmp_path / "array.npy", np.arange(3))
    for name, content in ("empty.npz", b""), ("text.npz", b"hello\n"), ("zip.npz", b"PK\3\4oh"):
        (tmp_path / name).write_bytes(content)
    for name in ("array.npy", "empty.npz", "text.npz", "zip.npz"):
        assert refusal(tmp_path / name) == (
            "is not a whole .npz archive; expected a memory image (.npz)")


def test_a_truncated_image_is_refused_wherever_it_ends(arrays, write_image, tmp_path):
    whole = write_image(arrays).read_bytes()
    cut = tmp_path / "cut.npz"
    for length in range(0, len(whole), len(whole) // 50):
        cut.write_bytes(whole[:length])
        refusal(cut)


def cut_bytes():
    with TemporaryDirectory() as folder:
        path = Path(folder) / "cut.npz"
        Image.shipped(IA32).cut(limit=20).save(path)
        return path.read_bytes()


CUT = cut_bytes()


@settings(max_examples=150, deadline=None)
@given(position=st.floats(0, 1, exclude_max=True), byte=st.integers(0, 255))
def test_a_damaged_image_is_read_or_refused(tmp_path_factory, position, byte):
    data = bytearray(CUT)
    data[int(position * len(data))] = byte
    path = tmp_path_factory.getbasetemp() / "damaged.npz"
    path.write_bytes(data)
    message = ""
    try:
        Image.load(path)
    except InputError as error:
        message = str(error)
    assert "\n" not in message


# What is chosen, cut and saved


@settings(max_examples=50, deadline=None)
@given(limit=st.integers(1, 4000))
def test_thinning_keeps_the_number_asked_for_and_the_order(limit):
    views = Image.shipped(IA32).views
    thinned = thin(views, limit)
    rows = np.concatenate([view.probes.row for view in thinned])
    assert len(rows) == min(limit, sum(len(view.probes) for view in views))
    assert (np.diff(rows) > 0).all()


def test_thinning_keeps_every_sort(shipped):
    def sorts(views):
        return {sort for view in views for sort in zip(
            view.probes.size.tolist(), view.probes.source.tolist(), view.probes.rights.tolist(),
            strict=True)}

    assert sorts(thin(shipped.views, 100)) == sorts(shipped.views)


def test_thinning_spreads_over_all_views_and_drops_none_that_fits(arrays, write_image):
    for name, field in IMAGE.fields.items():
        if field.group == "view":
            arrays[name] = np.repeat(arrays[name], 3)
    arrays["probe_view"][:] = np.arange(300) % 3
    views = Image.load(write_image(arrays)).views
    assert [len(view.probes) for view in views] == [100] * 3
    assert all(20 <= len(view.probes) <= 40 for view in thin(views, 90))
    assert len(thin(views, 1)) == 1
    assert thin(views, None) == views


def test_a_cut_is_a_whole_image_again(shipped, tmp_path):
    cut = shipped.cut([shipped.views[0].name], 200)
    cut.save(tmp_path / "cut")
    again = Image.load(tmp_path / "cut")
    assert again.mode is cut.mode
    assert len(again.views[0].probes) == 200
    assert (again.views[0].probes.va == cut.views[0].probes.va).all()
    assert again.views[0].control == shipped.views[0].control


def test_a_cut_has_the_frames_that_its_walks_read_and_no_others(shipped):
    cut = shipped.cut(limit=30)
    before, after = shipped.views[0], cut.views[0]
    assert 0 < len(after.pfns) < len(before.pfns)
    assert set(after.pfns.tolist()) == after.reached(cut.mode)
    for va in after.probes.va.tolist():
        walks = [walk(view.memory(), cut.mode, view.control, Access(va, ac=True))
                 for view in (before, after)]
        assert walks[0] == walks[1]


def test_a_cut_of_one_view_renumbers_what_is_left(small, arrays, write_image):
    for name, field in IMAGE.fields.items():
        arrays[name] = np.concatenate([arrays[name]] * 2)
        if field.group != "probe" and arrays[name].dtype.kind == "U":
            arrays[name] = np.array(["first", "second"])
    for name in IMAGE.indices:
        arrays[name][len(arrays[name]) // 2:] = 1
    cut = Image.load(write_image(arrays)).cut(["second"])
    view = cut.views[0]
    assert (view.name, view.row, view.cap) == ("second", 0, 0)
    assert (view.probes.va == small.views[0].probes.va).all()
    assert len(cut.views) == 1


def test_an_unknown_view_is_refused(small):
    with pytest.raises(InputError, match=r": view_name has no 'x'; expected one of \S+$"):
        small.select(["x"])


def test_saving_where_nothing_can_be_saved_is_refused(small, tmp_path):
    with pytest.raises(InputError, match=r"cannot be written: No such file or directory; "):
        small.save(tmp_path / "none" / "x.npz")
