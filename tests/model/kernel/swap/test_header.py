from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagewalk.model.kernel.swap.errors import BadSwapHeader
from pagewalk.model.kernel.swap.header import MAX_SWAP_BADPAGES, SwapHeader

from ..swap_tools import mkswap, run

UUID_A = UUID("01234567-89ab-cdef-0123-456789abcdef")
labels = st.text().filter(lambda text: len(text.encode()) <= 15 and "\0" not in text)


def patched(page, offset, data):
    return page[:offset] + data + page[offset + len(data):]


@st.composite
def headers(draw):
    last_page = draw(st.integers(2, 2**32 - 1))
    bad = draw(st.sets(st.integers(1, last_page), max_size=min(last_page - 1, MAX_SWAP_BADPAGES)))
    return SwapHeader(last_page, draw(st.uuids()), draw(labels), tuple(bad))


@given(headers(), st.sampled_from("<>"))
def test_header_packed_in_either_byte_order_parses_to_itself(header, order):
    assert SwapHeader.parse(header.pack(order), "f") == header


@pytest.mark.parametrize("label", ["", "x", "fifteen letters"])
def test_header_is_the_one_mkswap_writes(tmp_path, label):
    path = mkswap(tmp_path / "swap", 77, "-U", UUID_A, "-L", label)
    assert path.read_bytes()[:4096] == SwapHeader(76, UUID_A, label).pack()


@pytest.mark.parametrize(("order", "words"), [("<", "little endian"), (">", "big endian")])
def test_file_recognises_the_header(tmp_path, order, words):
    path = tmp_path / "swap"
    path.write_bytes(SwapHeader(9, UUID_A, "label", (3, 5)).pack(order) + bytes(9 * 4096))
    said = run("file", "-b", path)
    assert words in said
    assert "version 1, size 9 pages, 2 bad pages, LABEL=label" in said
    assert str(UUID_A) in said


@pytest.mark.parametrize(("offset", "data", "message"), [
    (4086, b"SWAP-SPACE", r"signature .* must be b'SWAPSPACE2', not b'SWAP-SPACE'"),
    (1024, b"\2\0\0\0", "version .* must be 1, not 2"),
    (1024, b"\0\0\0\2", "version .* must be 1, not 33554432"),
    (1028, bytes(4), "last_page .* must be at least 1, not 0"),
    (1032, b"\x7e\2\0\0", "nr_badpages .* must be at most 637, not 638"),
    (1032, b"\1\0\0\0", "badpages .* must be between 1 and 9, not 0"),
    (1536, b"\x0a\0\0\0", "badpages .* must be between 1 and 9, not 10"),
])
def test_header_with_one_field_wrong_is_refused(offset, data, message):
    page = SwapHeader(9, UUID_A, badpages=(4,)).pack()
    if (offset, data) == (1032, b"\1\0\0\0"):
        page = SwapHeader(9, UUID_A).pack()
    with pytest.raises(BadSwapHeader, match=rf"^dir/swap: {message}$"):
        SwapHeader.parse(patched(page, offset, data), "dir/swap")


def test_header_with_nothing_but_bad_pages_is_refused():
    page = SwapHeader(3, UUID_A, badpages=(1, 2, 3)).pack()
    with pytest.raises(BadSwapHeader, match=r"nr_badpages .* fewer than the 3 pages"):
        SwapHeader.parse(page, "f")


def test_what_does_not_fit_the_header_is_refused():
    with pytest.raises(ValueError, match=r"^Swap label must have at most 15 bytes, not '0{16}'$"):
        SwapHeader(9, UUID_A, 16 * "0").pack()
    with pytest.raises(ValueError, match=r"^Bad pages must be at most 637, not 638$"):
        SwapHeader(999, UUID_A, badpages=tuple(range(1, 639))).pack()
