"""Engines: what carries out accesses and other commands, with and without hardware."""

from .create import ENGINES, create

__all__ = ["ENGINES", "create"]
