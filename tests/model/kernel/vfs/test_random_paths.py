"""Random programs of calls about paths come to the same as on the kernel of this machine."""

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pagewalk.model.kernel.vfs.open_flag import OpenFlag

from .path_world import UIDS, ModelPrograms, NativePrograms, plain, plant, snapshot

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="only user 0 can change its root")

LONG = {"4095": "a/" * 2047 + "b", "4096": "a/" * 2048}
FDCWD, FIRST = -100, 0
NAMES = st.sampled_from(["a", "b", "d", "e", "f", "g", "h", "l", "m", "n", "o", "abs", "s", "out",
                         "up", "self", "new", "new2", ".", "..", "N" * 255, "N" * 256])
PATHS = st.builds(
    lambda lead, parts, end: lead + "/".join(parts) + end,
    st.sampled_from(["", "", "", "/", "//"]), st.lists(NAMES, max_size=4),
    st.sampled_from(["", "", "", "/", "//", "/."])) | st.sampled_from(list(LONG))
FDS = st.integers(FIRST, FIRST + 3) | st.just(99)
DIRS = st.just(FDCWD) | st.just(FDCWD) | FDS
MODES = st.sampled_from([0o777, 0o644, 0o000, 0o2755, 0o1777, 0o4711])
ACCESS = st.sampled_from([0, 1, 2, 3])
# O_DIRECTORY with O_CREAT is another matter since Linux 6.4.
OPEN_BITS = st.sampled_from([
    0, 0, OpenFlag.CREAT, OpenFlag.CREAT | OpenFlag.EXCL, OpenFlag.TRUNC,
    OpenFlag.CREAT | OpenFlag.TRUNC, OpenFlag.DIRECTORY, OpenFlag.NOFOLLOW,
    OpenFlag.CREAT | OpenFlag.NOFOLLOW, OpenFlag.PATH, OpenFlag.PATH | OpenFlag.NOFOLLOW,
    OpenFlag.APPEND | OpenFlag.CREAT, OpenFlag.NOATIME, OpenFlag.DIRECTORY | OpenFlag.NOFOLLOW])
FLAGS = st.builds(lambda access, bits: access | bits | OpenFlag.LARGEFILE, ACCESS, OPEN_BITS)
SIZES = st.sampled_from([0, 1, 5, 300, 4096, 4097, 8000])

# Hard links of others' files are refused to users here. [protected_hardlinks]
BOTH = [
    st.tuples(st.just("openat"), DIRS, PATHS, FLAGS, MODES),
    st.tuples(st.just("openat"), DIRS, PATHS, FLAGS, MODES),
    st.tuples(st.just("mkdirat"), DIRS, PATHS, MODES),
    st.tuples(st.just("symlinkat"), PATHS, DIRS, PATHS),
    st.tuples(st.just("unlinkat"), DIRS, PATHS, st.sampled_from([0, 0, 0x200, 1])),
    st.tuples(st.just("renameat2"), DIRS, PATHS, DIRS, PATHS, st.sampled_from([0, 0, 1, 2, 3])),
    st.tuples(st.just("readlinkat"), DIRS, PATHS, st.just("BUFFER"), st.sampled_from([0, 3, 4000])),
    st.tuples(st.just("newfstatat"), DIRS, PATHS, st.just("BUFFER"),
              st.sampled_from([0, 0x100, 0x1000, 2])),
    st.tuples(st.just("fchmodat"), DIRS, PATHS, MODES),
    st.tuples(st.just("faccessat2"), DIRS, PATHS, st.integers(0, 8), st.just(0)),
    st.tuples(st.just("mknodat"), DIRS, PATHS, st.sampled_from([0o644, 0o100600, 0o140644])),
    st.tuples(st.just("chdir"), PATHS), st.tuples(st.just("fchdir"), FDS),
    st.tuples(st.just("getcwd"), st.just("BUFFER"), st.sampled_from([4096, 3])),
    st.tuples(st.just("getdents64"), FDS, st.just("BUFFER"), st.just(8192)),
    st.tuples(st.just("read"), FDS, st.just("BUFFER"), SIZES),
    st.tuples(st.just("write"), FDS, st.just("BUFFER"), SIZES),
    st.tuples(st.just("lseek"), FDS, st.integers(-2, 5000), st.sampled_from([0, 1, 2, 9])),
    st.tuples(st.just("truncate"), PATHS, SIZES), st.tuples(st.just("ftruncate"), FDS, SIZES),
    st.tuples(st.just("fstat"), FDS, st.just("BUFFER")),
    st.tuples(st.just("close"), FDS), st.tuples(st.just("dup"), FDS),
    st.tuples(st.just("dup2"), FDS, FDS),
]
IDS = st.sampled_from([-1, 0, 1000, 7])
BOTH += [
    st.tuples(st.just("fchownat"), DIRS, PATHS, IDS, IDS, st.sampled_from([0, 0x100])),
    st.tuples(st.just("fchmod"), FDS, MODES), st.tuples(st.just("fchown"), FDS, IDS, IDS),
    st.tuples(st.just("fcntl"), FDS, st.sampled_from([0, 1, 2, 3, 4, 1030]),
              st.sampled_from([0, 1, 5, 0o2000, 0o4000])),
    st.tuples(st.just("dup3"), FDS, FDS, st.sampled_from([0, 0o2000000, 1])),
    st.tuples(st.just("pread"), FDS, st.just("BUFFER"), SIZES, SIZES),
    st.tuples(st.just("pwrite"), FDS, st.just("BUFFER"), SIZES, SIZES),
    st.tuples(st.just("umask"), MODES),
    st.tuples(st.just("utimensat"), DIRS, PATHS | st.just(0), st.just(0), st.just(0)),
    st.tuples(st.just("fsync"), FDS),
    st.tuples(st.just("close_range"), FDS, FDS, st.sampled_from([0, 2, 4, 8])),
    st.tuples(st.just("statx"), DIRS, PATHS, st.sampled_from([0, 0x100, 0x1000, 1 << 20]),
              st.just(0xFFF), st.just("BUFFER")),
]
LINK = st.tuples(st.just("linkat"), DIRS, PATHS, DIRS, PATHS, st.sampled_from([0, 0x400, 1]))
CALLS = {0: st.lists(st.one_of(*BOTH, LINK), max_size=25), 1000: st.lists(
    st.one_of(*BOTH), max_size=25)}
LOOK = [("newfstatat", FDCWD, name, "BUFFER", 0x100)
        for name in ("a", "b", "e", "new", "a/new", "a/f", "a/d", "a/d/g")]


@pytest.fixture(scope="module")
def kernels():
    with NativePrograms() as native:
        yield ModelPrograms(), native


def compared(kernels, uid, calls):
    model, native = kernels
    with tempfile.TemporaryDirectory() as place:
        first = plant(Path(place, "model"))
        second = plant(Path(place, "native"))
        for folder in (first, second):
            folder.chmod(0o755)
        before = snapshot(first)
        calls = [[LONG.get(word, word) for word in one] for one in (*calls, *LOOK)]
        expected = native.run(second, uid, calls)
        found = model.run(first, uid, calls)
        assert snapshot(first) == before
    for number, (one, left, right) in enumerate(zip(calls, found, expected, strict=True)):
        assert plain(one[0], left) == plain(one[0], right), calls[: number + 1]


def test_forty_links_are_followed_and_no_more(kernels):
    calls = [["symlinkat", "a/f", FDCWD, "new"]]
    calls += [["symlinkat", f"new{number - 1}" if number else "new", FDCWD, f"new{number}"]
              for number in range(42)]
    calls += [["openat", FDCWD, f"new{number}", 0, 0] for number in (0, 37, 38, 39, 40)]
    calls += [["newfstatat", FDCWD, f"new{number}/", "BUFFER", 0] for number in (38, 39)]
    compared(kernels, 0, calls)


@pytest.mark.parametrize("uid", UIDS)
@pytest.mark.parametrize("change", [["write", 0, "BUFFER", 5], ["ftruncate", 0, 3],
                                    ["truncate", "a/new", 3], ["pwrite", 0, "BUFFER", 0, 0]])
@pytest.mark.parametrize("mode", [0o6777, 0o6767, 0o2755])
def test_who_writes_to_a_file_takes_its_special_rights(kernels, uid, change, mode):
    compared(kernels, uid, [
        ["openat", FDCWD, "a/new", OpenFlag.CREAT | OpenFlag.RDWR, 0o600],
        ["fchmod", 0, mode], change, ["fstat", 0, "BUFFER"]])


@pytest.mark.slow
@pytest.mark.parametrize("uid", UIDS)
def test_random_programs_end_alike(kernels, uid):
    @settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
    @given(CALLS[uid])
    def check(calls):
        compared(kernels, uid, calls)
    check()
