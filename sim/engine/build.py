"""Shared libraries made of C++, mostly with hardware in it, and the cache that keeps them."""

import ctypes
import hashlib
import time
from collections.abc import Iterable
from pathlib import Path
from uuid import uuid4

from ...hdl.outside_tool import ToolFailed, ToolMissing, work_folder
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
from .recipe import LIBRARY, BuildRecipe

__all__ = ["build_library"]

DIGEST_BYTES = hashlib.sha256().digest_size


def build_library(recipe: BuildRecipe) -> ctypes.CDLL:
    """Return the library that comes of ``recipe``.

    What the same tools made of the same texts before comes from the cache, even if a tool is gone
    by now. That hardware is compiled, and in which step, is said by warnings of the logger
    ``pagewalk``. Raise ``ToolMissing`` or ``ToolFailed``.
    """
    stem = _digest("\0".join(recipe.decisive))
    versions = [(tool, tool.version()) for tool in recipe.tools]
    missing = next((tool.missing for tool, version in versions if version is None), None)
    try:
        cache = cache_folder("pagewalk")
        check_trusted(cache)
        if missing is not None:
            return _load_any(cache.glob(f"{stem}-*.so"), missing)
        tools = _digest("\0".join(version or "" for _, version in versions))
        path = cache / f"{stem}-{tools[:16]}.so"
        if library := _load(path):
            return library
        make_own(cache)
    except CacheUnusable as error:
        if missing is not None:
            raise ToolMissing(missing) from None
        if recipe.engine is not None:
            LOG.warning("%s; until then each run compiles the hardware anew", error)
        return _build(None, recipe)
    with locked(path.with_suffix(".lock"), "compiles the same hardware"):
        if library := _load(path):
            return library
        if recipe.engine is not None:
            LOG.warning("the hardware is compiled for the engine %s; it stays in %s",
                        recipe.engine, cache)
        return _build(path, recipe)


def _build(path: Path | None, recipe: BuildRecipe) -> ctypes.CDLL:
    """Make a library, load it, and keep it at ``path`` if there is one that can be written."""
    with work_folder() as folder:
        _make(folder, recipe)
        made = folder / LIBRARY
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


def _make(folder: Path, recipe: BuildRecipe) -> None:
    """Carry out the steps of ``recipe`` in ``folder``, and say of hardware how far they are."""
    start = time.monotonic()
    for name, text in recipe.sources.items():
        (folder / name).write_text(text, encoding="utf-8")
    for number, step in enumerate(recipe.steps, start=1):
        if recipe.engine is not None:
            LOG.warning("step %d of %d, after %.0f s: %s", number, len(recipe.steps),
                        time.monotonic() - start, step.text)
        step.run(folder)


def _keep(library: bytes, path: Path) -> None:
    """Write a library and its digest to ``path``, all at once; raise ``OSError``."""
    partial = path.with_suffix(f".{uuid4().hex}")
    try:
        partial.touch(mode=0o600, exist_ok=False)
        partial.write_bytes(library + hashlib.sha256(library).digest())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _load_any(paths: Iterable[Path], missing: str) -> ctypes.CDLL:
    """Return the first library of ``paths`` that is sound, or raise ``ToolMissing(missing)``."""
    for path in paths:
        if library := _load(path):
            return library
    raise ToolMissing(missing)


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


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
