import errno
import os
from uuid import UUID

import numpy as np
import pytest

from pagewalk.model.kernel.swap.disk import DiskCounters, DiskLatency
from pagewalk.model.kernel.swap.errors import (
    BadSwapHeader,
    SwapDeviceBusy,
    SwapFileShrunk,
    SwapFileTooSmall,
    SwapIoError,
)
from pagewalk.model.kernel.swap.file import SwapFile
from pagewalk.model.kernel.swap.header import SwapHeader

from ..swap_tools import mkswap, run

UUID_A = UUID("01234567-89ab-cdef-0123-456789abcdef")


def page(number):
    return bytes(np.full(1024, number, "<u4"))


@pytest.fixture
def swap_file(tmp_path):
    with SwapFile.create(tmp_path / "swap", 20, uuid=UUID_A, label="mine") as swap_file:
        yield swap_file


@pytest.mark.usefixtures("swap_file")
def test_created_file_is_byte_for_byte_what_mkswap_makes(tmp_path):
    made = mkswap(tmp_path / "made", 20, "-U", UUID_A, "-L", "mine")
    assert (tmp_path / "swap").read_bytes() == made.read_bytes()
    assert (tmp_path / "swap").stat().st_mode & 0o777 == 0o600


def test_file_of_mkswap_is_recognised_before_and_after_use(tmp_path):
    path = mkswap(tmp_path / "swap", 300, "-U", UUID_A, "-L", "label")
    before = run("file", path), run("swaplabel", path)
    assert "version 1, size 299 pages, 0 bad pages, LABEL=label" in before[0]
    with SwapFile(path) as swap_file:
        assert swap_file.header == SwapHeader(299, UUID_A, "label")
        for slot in range(1, 300):
            swap_file.write(slot, page(slot), slot)
        for slot in range(1, 300):
            assert swap_file.read(slot, slot) == page(slot)
    assert (run("file", path), run("swaplabel", path)) == before
    assert path.stat().st_size == 300 * 4096


def test_swaplabel_recognises_a_created_file_after_use(tmp_path, swap_file):
    for slot in range(1, 20):
        swap_file.write(slot, bytes(range(256)) * 16, 0)
    said = run("swaplabel", tmp_path / "swap")
    assert said.split() == ["LABEL:", "mine", "UUID:", str(UUID_A)]


def test_mkswap_makes_a_used_file_new(tmp_path, swap_file):
    swap_file.write(7, page(7), 0)
    swap_file.close()
    run("mkswap", "-U", UUID_A, tmp_path / "swap")
    with SwapFile(tmp_path / "swap") as again:
        assert (len(again), again.header.label) == (20, "")


def test_pages_stay_after_closing(tmp_path, swap_file):
    swap_file.write(7, page(7), 0)
    swap_file.close()
    swap_file.close()
    with SwapFile(tmp_path / "swap") as again:
        assert again.read(7, 0) == page(7)


@pytest.mark.usefixtures("swap_file")
def test_file_in_use_is_busy(tmp_path):
    with pytest.raises(SwapDeviceBusy, match=r"swap: the swap file is in use$"):
        SwapFile(tmp_path / "swap")


@pytest.mark.parametrize("size", [0, 4095, 19 * 4096, 20 * 4096 - 1])
def test_file_shorter_than_its_header_says_is_too_small(tmp_path, swap_file, size):
    swap_file.close()
    os.truncate(tmp_path / "swap", size)
    pages = size // 4096
    with pytest.raises(SwapFileTooSmall, match=rf"have {20 if pages else 2} pages, not {pages}$"):
        SwapFile(tmp_path / "swap")


def test_longer_file_is_used_as_far_as_its_header_says(tmp_path, swap_file):
    swap_file.close()
    os.truncate(tmp_path / "swap", 25 * 4096)
    with SwapFile(tmp_path / "swap") as again, pytest.raises(ValueError, match=r"and 19, not 20$"):
        again.read(20, 0)


def test_file_that_is_no_swap_file_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "text"
    path.write_bytes(page(1))
    with pytest.raises(BadSwapHeader, match="signature"):
        SwapFile(path)
    with pytest.raises(FileExistsError):
        SwapFile.create(path, 10, uuid=UUID_A)
    assert path.read_bytes() == page(1)


def test_only_a_partition_may_have_bad_pages(tmp_path):
    path = tmp_path / "swap"
    path.write_bytes(SwapHeader(9, UUID_A, badpages=(4,)).pack(">") + bytes(9 * 4096))
    with pytest.raises(BadSwapHeader, match=r"nr_badpages .* 0 in a file that is no"):
        SwapFile(path)
    with SwapFile(path, partition=True) as disk:
        assert disk.header.badpages == (4,)


def test_mkswap_and_we_ask_for_ten_pages(tmp_path):
    for pages in (9, (1 << 32) + 1):
        with pytest.raises(ValueError, match=f"^Swap file must have from 10 to .* not {pages}$"):
            SwapFile.create(tmp_path / "swap", pages, uuid=UUID_A)
    assert not (tmp_path / "swap").exists()


@pytest.mark.parametrize("slot", [-1, 0, 20])
def test_header_and_what_is_not_there_are_no_slots(swap_file, slot):
    with pytest.raises(ValueError, match=rf"^Slot must be between 1 and 19, not {slot}$"):
        swap_file.read(slot, 0)
    with pytest.raises(ValueError, match=rf"^Slot must be between 1 and 19, not {slot}$"):
        swap_file.write(slot, page(0), 0)


def test_page_has_4096_bytes(swap_file):
    with pytest.raises(ValueError, match=r"^A page must have 4096 bytes, not 4095$"):
        swap_file.write(1, bytes(4095), 0)
    swap_file.write(1, memoryview(np.arange(512, dtype="<u8")), 0)
    assert swap_file.read(1, 0) == np.arange(512, dtype="<u8").tobytes()


def test_file_that_shrinks_under_the_run_is_noticed_and_not_lengthened(tmp_path, swap_file):
    for slot in range(1, 20):
        swap_file.write(slot, page(slot), 0)
    before = DiskCounters(**{name: getattr(swap_file.counters, name)
                             for name in DiskCounters.__slots__})
    os.truncate(tmp_path / "swap", 10 * 4096 + 100)
    for slot in (10, 19):
        with pytest.raises(SwapFileShrunk, match=rf"read slot {slot} for page 0x123: .* ends"):
            swap_file.read(slot, 0x123)
        with pytest.raises(SwapFileShrunk, match=rf"write slot {slot} for page 0x123: .* ends"):
            swap_file.write(slot, page(slot), 0x123)
    assert (tmp_path / "swap").stat().st_size == 10 * 4096 + 100
    assert swap_file.counters == before
    assert swap_file.read(9, 0) == page(9)


@pytest.mark.parametrize("action", ["read", "write"])
def test_error_of_the_disk_names_slot_and_page(swap_file, monkeypatch, action):
    def broken(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "pread", broken)
    monkeypatch.setattr(os, "pwrite", broken)
    with pytest.raises(SwapIoError, match=f"{action} slot 5 for page 0xabc: Input/output") as info:
        swap_file.read(5, 0xABC) if action == "read" else swap_file.write(5, page(5), 0xABC)
    assert (info.value.slot, info.value.pfn, info.value.action) == (5, 0xABC, action)
    assert swap_file.counters == DiskCounters()


def test_full_file_system_is_an_error(swap_file, monkeypatch):
    monkeypatch.setattr(os, "pwrite", lambda *_: 512)
    with pytest.raises(SwapIoError, match=r"only 512 bytes were written$"):
        swap_file.write(5, page(5), 0)


def test_time_is_seeks_and_transfers(swap_file):
    swap_file.latency = DiskLatency(seek_ns=1000, transfer_ns=10)
    for slot in (3, 4, 5, 9):
        swap_file.write(slot, page(slot), 0)
    for slot in (10, 4, 4, 5):
        swap_file.read(slot, 0)
    assert swap_file.counters == DiskCounters(pages_in=4, pages_out=4, seeks=4, time_ns=4080)
