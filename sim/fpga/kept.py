"""Results of the FPGA tools, which are kept in the user's cache from one run to the next."""

import hashlib
import zlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from ...hdl.user_cache import (
    LOG,
    CacheUnusable,
    cache_folder,
    check_trusted,
    is_trusted_file,
    make_own,
)

__all__ = ["kept", "recall"]

DIGEST_BYTES = hashlib.sha256().digest_size


def kept(kind: str, causes: Iterable[str], make: Callable[[], str]) -> str:
    """Return the text that ``make`` makes of the ``causes``, or what it made of the same before.

    The causes are all that the text depends on. It stays in the user's cache, in a file whose name
    begins with ``kind``. If nothing can be kept there, a warning says so.
    """
    try:
        path = _path(kind, causes)
        text = _read(path)
        if text is None:
            make_own(path.parent)
    except CacheUnusable as error:
        LOG.warning("%s; until then nothing is kept of what the FPGA tools make", error)
        return make()
    if text is None:
        text = make()
        _write(path, text)
    return text


def recall(kind: str, causes: Iterable[str]) -> str | None:
    """Return the text that ``kept`` has made of the ``causes`` before, None if there is none."""
    try:
        return _read(_path(kind, causes))
    except CacheUnusable:
        return None


def _path(kind: str, causes: Iterable[str]) -> Path:
    """Return where a text is kept; raise ``CacheUnusable`` if nobody should read there."""
    digest = hashlib.sha256("\0".join(causes).encode()).hexdigest()
    folder = cache_folder("pagewalk") / "fpga"
    check_trusted(folder.parent)
    check_trusted(folder)
    return folder / f"{kind}-{digest}"


def _read(path: Path) -> str | None:
    """Return the text kept at ``path``, None if there is none or it is damaged."""
    try:
        if not is_trusted_file(path):
            return None
        content = path.read_bytes()
    except OSError:
        return None
    packed, digest = content[:-DIGEST_BYTES], content[-DIGEST_BYTES:]
    if hashlib.sha256(packed).digest() != digest:
        return None
    return zlib.decompress(packed).decode()


def _write(path: Path, text: str) -> None:
    """Keep a text at ``path``, all at once; if that cannot be done, a warning says so."""
    packed = zlib.compress(text.encode(), level=1)
    partial = path.with_name(f"{path.name}.{uuid4().hex}")
    try:
        partial.touch(mode=0o600, exist_ok=False)
        partial.write_bytes(packed + hashlib.sha256(packed).digest())
        partial.replace(path)
    except OSError as error:
        LOG.warning("%s cannot be written: %s", path.parent, error.strerror)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
