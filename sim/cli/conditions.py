"""Under which conditions figures came about, so that two results can be told apart."""

import argparse
import dataclasses
import hashlib
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ...hdl.config import Config
from ..errors import InputError

__all__ = ["conditions", "config_as_json", "release"]


def conditions(args: argparse.Namespace, config: Config | None = None,
               inputs: Iterable[str | Path] = ()) -> dict[str, Any]:
    """Return what the files of ``--json`` and ``--html`` say of a run beside its figures.

    That is ``config``, every parameter of the hardware, and ``latency`` of its memory in cycles,
    both None for a verb without; ``seed`` if the verb has one; ``inputs``, name and SHA-256 of each
    file; and the ``version``. No file is read where no figures are asked for. Raise ``InputError``
    for a file that cannot be read.
    """
    if args.json is None and getattr(args, "html", None) is None:
        return {}
    return {
        "config": None if config is None else config_as_json(config),
        "latency": getattr(args, "latency", None),
        **({"seed": args.seed} if "seed" in args else {}),
        "inputs": [{"name": str(path), "sha256": _sha256(path)} for path in inputs],
        "version": release(),
    }


def config_as_json(config: Config) -> dict[str, Any]:
    """Return every parameter by its name; the mode is one, too."""
    fields = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    return fields | {"mode": config.mode.name, "ports": list(config.ports)}


def release() -> str:
    """Return the version that is installed, or ``unknown`` where only the sources are."""
    try:
        return version("pagewalk")
    except PackageNotFoundError:
        return "unknown"


def _sha256(path: str | Path) -> str:
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}; expected an input") from None
