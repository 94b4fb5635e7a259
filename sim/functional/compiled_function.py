"""Functions that numba compiles if it is installed; without it they run as they are, slowly."""

import hashlib
import os
from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from ...hdl.user_cache import LOG, CacheUnusable, cache_folder, make_own

__all__ = ["FAST", "compiled"]

F = TypeVar("F", bound=Callable[..., Any])

FAST = find_spec("numba") is not None and os.environ.get("NUMBA_DISABLE_JIT", "0") == "0"
"""Whether functions are compiled: numba is installed, and not told to do nothing."""


def compiled(function: F) -> F:
    """Return ``function`` as numba compiles it when it is called, or ``function`` without numba.

    What it is compiled to stays in the user's cache, by what all files of this folder hold:
    constants and functions of other folders must not be used.
    """
    if not FAST:
        return function
    numba: Any = import_module("numba")  # which has no types where it is not installed
    folder, before = _folder(), numba.config.CACHE_DIR
    if folder is None:
        fast: F = numba.njit(nogil=True)(function)
        return fast
    numba.config.CACHE_DIR = str(folder)  # where it keeps a function is settled as it takes it
    try:
        kept: F = numba.njit(nogil=True, cache=True)(function)
    finally:
        numba.config.CACHE_DIR = before
    return kept


@cache
def _folder() -> Path | None:
    """Return where compiled functions stay, None if they cannot."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    try:
        folder = cache_folder("pagewalk") / f"numba-{digest.hexdigest()[:16]}"
        is_new = not folder.exists()
        make_own(folder)
    except CacheUnusable as error:
        LOG.warning("%s; until then each run compiles what plays traces anew", error)
        return None
    if is_new:
        LOG.warning("what plays traces is compiled by numba; it stays in %s", folder)
    return folder
