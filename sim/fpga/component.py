"""The hardware that is measured: the whole MMU, or one component as it is in the MMU."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from amaranth import ClockDomain, Signal
from amaranth.back import rtlil
from amaranth.hdl import Fragment

from ...hdl.config import Config
from ...hdl.flat import FlatMmu
from .origin import mark_origins

__all__ = ["CLOCK", "WHOLE", "Design", "component_names", "design"]

CLOCK = "clk"
WHOLE = "mmu"  # the name of the whole, and of its instance in the module with flat ports
TOP = "pagewalk"


@dataclass(frozen=True, slots=True)
class Design:
    """Hardware as RTLIL.

    Members
    -------
    rtlil : str
        The whole MMU with all its components, a module each, with marks of where things come from.
    top : str
        The module to build.
    path : str
        The path of that component in the MMU, such as ``data.tlb``, and ``mmu`` for the whole.
    """

    rtlil: str
    top: str
    path: str


def design(config: Config, component: str = WHOLE) -> Design:
    """Return the MMU, or one component of it with the ports that it has there.

    ``component`` is a path in the MMU, or the name of a file of ``hdl/``, which is that of the
    first component from it.

    Raises
    ------
    :exc:`ValueError`
        If the MMU has no such component.
    """
    text, known = _build(config)
    path = _by_file(known).get(component, component)
    if path not in known:
        raise ValueError(f"Component must be one of {', '.join(_by_file(known))}, or the path of "
                         f"one in the MMU, not {component!r}")
    top = _module(path)
    return Design(mark_origins(text, top), top, path)


def component_names(config: Config) -> list[str]:
    """Return the names of the components that an MMU has: files of ``hdl/``, the MMU first."""
    return list(_by_file(_build(config)[1]))


@lru_cache(maxsize=1)  # for one component after the other
def _build(config: Config) -> tuple[str, dict[str, str]]:
    """Return the MMU as RTLIL, and the file of each component in it by the component's path."""
    domain = ClockDomain("sync")
    domain.clk, domain.rst = Signal(name=CLOCK), Signal(name="rst")
    flat = FlatMmu(config)
    fragment = Fragment.get(flat, None)
    fragment.add_domains(domain)
    components = _components(fragment)
    ports = [domain.clk, domain.rst, *flat.inputs.values(), *flat.outputs.values()]
    text = rtlil.convert(fragment, name=TOP, ports=ports, emit_src=False)
    # Of what has no logic, as a walk cache without entries, there is no module.
    return text, {path: file for path, file in components.items()
                  if f"\nmodule \\{_module(path)}\n" in text}


def _module(path: str) -> str:
    return TOP if path == WHOLE else f"{TOP}.{WHOLE}.{path}"


def _components(fragment: Any) -> dict[str, str]:
    """Return the file of each component that has one of its own in ``hdl/``, by its path."""
    files: dict[str, str] = {}

    def visit(part: Any, path: tuple[str, ...]) -> None:
        module = type(part.origins[0]).__module__ if part.origins else ""
        if path and module.startswith("pagewalk."):
            files[".".join(path[1:]) or WHOLE] = module.rpartition(".")[2]
        for inner, name, _ in part.subfragments:
            visit(inner, (*path, str(name)))

    visit(fragment, ())
    return files


def _by_file(files: dict[str, str]) -> dict[str, str]:
    """Return the path of the first component of each file, by the file."""
    paths: dict[str, str] = {}
    for path, file in files.items():
        paths.setdefault(file, path)
    return paths
