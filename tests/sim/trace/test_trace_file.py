import re

import numpy as np
import pytest

from pagewalk.sim.trace import champsim_record, run_archive, text_words
from pagewalk.sim.trace.trace_error import FORMATS, TraceError
from pagewalk.sim.trace.trace_file import TraceFile

from .trace_samples import ACCESSES, PACKERS, RUNS, SAMPLES, archive, champsim, drmemtrace, lackey


def write(tmp_path, data, name="trace"):
    (tmp_path / name).write_bytes(data)
    return tmp_path / name


def read(path, name=None):
    trace = TraceFile(path, name)
    runs = [run for some in trace.runs() for run in zip(
        some.page.tolist(), some.kind.tolist(), some.count.tolist(), strict=True)]
    return trace, runs


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("packer", PACKERS)
def test_the_format_and_the_packing_are_told_by_the_content(tmp_path, name, packer):
    if name == "npz" and packer != "plain":
        pytest.skip("an archive is packed in itself")
    trace, runs = read(write(tmp_path, PACKERS[packer](SAMPLES[name])))
    assert (trace.format, runs) == (name, RUNS)
    assert (trace.totals.accesses, trace.totals.translations) == (len(ACCESSES), len(ACCESSES))
    assert trace.totals.instructions == 3
    if name != "npz":  # it has runs of both
        assert trace.totals.by_kind == {"loads": 2, "stores": 1, "fetches": 3}


def test_zstd(tmp_path):
    zstandard = pytest.importorskip("zstandard")
    data = lackey(ACCESSES * 20_000).encode()
    path = write(tmp_path, zstandard.ZstdCompressor().compress(data))
    assert read(path)[0].totals.accesses == 120_000
    with pytest.raises(TraceError, match=r"ends at byte \d+, within a stream of zstd; expected"):
        read(write(tmp_path, path.read_bytes()[:-9]))


@pytest.mark.parametrize(("data", "message"), [
    (b"", "is empty; expected a trace of one of lackey"),
    (b"\x7fELF\2\1\1\0" + bytes(range(128, 256)),
     "begins with 7f 45 4c 46 02 01 01 00; expected a trace of one of"),
    (b"==1== nothing\n", "has no access in it, as"),
    (b"\n\n# nothing\n", "has no access in it, as lines of an address"),
    (lackey().encode() + b" L 12", "line 8 is ' L 12'; expected 'I  addr,size'"),
    (lackey().encode() + b" X 7f000000,4\n", "line 8 is ' X 7f000000,4'; expected 'I  addr,size'"),
    (lackey().encode() + b" L 7f00000g,4\n", "line 8 is ' L 7f00000g,4'; expected"),
    (lackey().encode() + b" L 7f000000,0\n", "line 8 is ' L 7f000000,0'; expected"),
    (lackey().encode() + b" L \xff\x00,4\n", r"line 8 is ' L ÿ\x00,4'; expected"),
    (b"0x1000,r\n0x2000,q\n", "line 2 is '0x2000,q'; expected 'addr,rw' or 'addr,rw,pid'"),
    (b"0x1000,r\n0x2000\n", "line 2 is '0x2000'; expected"),
    (b"0x1000,r,-1\n", "line 1 is '0x1000,r,-1'; expected"),
    (b"0x1000,r\nab00,r\n", "line 2 is 'ab00,r'; expected"),
    (b"0x1000,r\n0x1" + b"0" * 16 + b",r\n", "line 2 is '0x10000000000000000,r'; expected"),
    (champsim()[:-1], "ends within record 2, after 63 of 64 bytes; expected 64-byte records"),
    (drmemtrace()[:-5], "ends within record 14, after 7 of 12 bytes; expected 12-byte records"),
    (drmemtrace() + bytes([99, *[0] * 11]), "record 15 is of type 99; expected types from 0 to 49"),
    (drmemtrace([]), "has no access in it, as 12-byte records"),
    (SAMPLES["exec"][:-40], "ends behind 5 records without a trailer"),
    (archive(va=np.array([4096, 1, 0, 0, 0])), "va of run 1 is 1; expected a multiple of 4096"),
    (archive(kind=np.array([0, 1, 2, 3, 0])), "kind of run 3 is 3; expected 0, 1 or 2"),
    (archive(count=np.array([1, 1, 0, 1, 1])), "count of run 2 is 0; expected at least 1"),
    (archive(count=np.array([1, 1])), "count has 2 values; expected 5, as va has"),
    (archive(count=False), "count is missing; expected an .npz of runs"),
    (archive(va=np.array([0.5])), "va has shape (1,) and type float64; expected one dimension"),
    (archive(*[np.zeros(0, np.uint64)] * 3), "has no access in it, as an .npz"),
    (PACKERS["gzip"](SAMPLES["lackey"])[:-10], "ends at byte "),
    (PACKERS["xz"](SAMPLES["lackey"])[:-30], "ends at byte "),
    (b"\x1f\x8b" + bytes(50), "cannot be unpacked: "),
    (PACKERS["zip"](SAMPLES["lackey"])[:-30], "cannot be unpacked: File is not a zip file"),
], ids=lambda one: one if isinstance(one, str) else "")
def test_bad_input_is_one_line_with_the_place(tmp_path, data, message):
    path = write(tmp_path, data)
    with pytest.raises(Exception, match=re.escape(f"{path}: {message}")) as error:
        read(path)
    assert "\n" not in str(error.value)


def test_a_damaged_archive_is_said_so(tmp_path):
    data = bytearray(SAMPLES["npz"])
    data[60] ^= 0xFF
    with pytest.raises(TraceError, match="cannot be unpacked"):
        read(write(tmp_path, bytes(data)))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(TraceError, match="cannot be read: No such file or directory; expected a"):
        TraceFile(tmp_path / "none")


def test_a_format_that_is_given_is_not_told_by_the_content(tmp_path):
    with pytest.raises(TraceError, match="line 1 is '==12== Lackey, an example Valgri"):
        read(write(tmp_path, SAMPLES["lackey"]), "text")


@pytest.mark.parametrize("size", [1, 20, 63, 64, 65, 1000])
def test_texts_do_not_depend_on_how_they_are_cut(tmp_path, monkeypatch, size):
    path = write(tmp_path, SAMPLES["lackey"])
    monkeypatch.setattr(text_words, "CHUNK", size)
    trace, _ = read(path)
    assert (trace.totals.accesses, trace.totals.by_kind["loads"]) == (len(ACCESSES), 2)


def test_a_text_without_a_last_newline_is_whole(tmp_path):
    assert read(write(tmp_path, SAMPLES["lackey"].rstrip(b"\n")))[1] == RUNS


def test_an_archive_is_read_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(run_archive, "CHUNK", 2)
    trace, runs = read(write(tmp_path, SAMPLES["npz"]))
    assert (runs, trace.totals.instructions, trace.totals.runs) == (RUNS, 3, 5)


def test_a_96_byte_file_is_no_64_byte_file():
    data = champsim(champsim_record.RECORD_96) * 10
    assert champsim_record.champsim_format(data) == "champsim96"
    assert champsim_record.champsim_format(champsim() * 10) == "champsim"
