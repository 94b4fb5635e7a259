"""The ``pagewalk`` command.

Exit codes: 0 all agreed; 1 a mismatch was found; 2 bad usage or bad input; 3 a needed tool is
missing. What goes wrong is said in one line on stderr that starts ``pagewalk: error:``.
"""

import argparse
import io
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from rich.progress import Progress

from ..model.x86 import IA32, MODES, X86_64, PagingMode
from .engine.base import Engine, EngineStalled
from .errors import InputError
from .image import Image
from .image_table import image_table
from .replay import ReplayResult, replay
from .report import make_console, mismatch_report, replay_table

__all__ = ["main"]

AGREED, MISMATCH, BAD_INPUT, TOOL_MISSING = range(4)
INTERRUPTED = 130  # what a shell reports of a program that SIGINT ended ...
PIPE_CLOSED = 141  # ... and of one that SIGPIPE ended

MODE_NAMES = {name: mode for name, mode in MODES.items()}
