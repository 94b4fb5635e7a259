"""Memory images: page tables of real processes, and translations that an emulator found in them.

The file format is in ``image_format``. The images shipped in ``sim/data`` are cuts of larger
ones, one process each, made again with the command in ``sim/data/README.md``.
"""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..model.mmu.walk import Access, Control, walk
from ..model.physical.memory import PhysicalMemory
from ..model.x86 import IA32, LA57, PAGE_SHIFT, X86_64, Cr4, PagingMode
from .archive import Fields
from .errors import InputError, writing
from .image_format import IMAGE
from .registers import misfit

__all__ = ["SHIPPED", "UNMAPPED", "Image", "ProbeFlag", "ProbeRight", "Probes", "View", "thin"]

UNMAPPED = (1 << 64) - 1
"""The physical address of a probe that the page tables do not map."""

SHIPPED = {IA32: "i686.npz", X86_64: "amd64.npz"}
"""The file of the image that is shipped for a paging mode, for those that have one."""

WIDEST_PADDR = X86_64.max_paddr_bits  # so that no address in the page tables is reserved

NO_FLAGS = 0xFFFF
NO_RIGHTS = 0xFF


@dataclass(frozen=True, slots=True)
class Probes:
    """Linear addresses and what an emulator said of them, as arrays of equal length.

    ``row`` is the position in the image, ``va`` the linear address. ``pa`` is the physical address
    and ``size`` that of the page in bytes; ``UNMAPPED`` and 0 if the address is not mapped.
    ``flags`` are those of the leaf entry (``ProbeFlag``), recorded where ``has_flags``; ``rights``
    are combined over the whole walk (``ProbeRight``), recorded where ``has_rights``; ``source``
    is the number of the emulator command that the answer is from.
    """

    row: NDArray[np.int64]
    va: NDArray[np.uint64]
    pa: NDArray[np.uint64]
    size: NDArray[np.uint32]
    flags: NDArray[np.uint16]
    rights: NDArray[np.uint8]
    source: NDArray[np.uint8]

    def __len__(self) -> int:
        """Return the number of probes."""
        return len(self.row)

    def take(self, which: slice | NDArray[Any]) -> "Probes":
        """Return the probes at the indices, or in the slice, ``which``."""
        return Probes(*(getattr(self, field.name)[which] for field in dataclasses.fields(self)))

    @property
    def mapped(self) -> NDArray[np.bool_]:
        """Whether the page tables map the address."""
        mapped: NDArray[np.bool_] = self.pa != UNMAPPED
        return mapped

    @property
    def has_flags(self) -> NDArray[np.bool_]:
        """Whether the flags of the leaf entry were recorded."""
        recorded: NDArray[np.bool_] = self.flags != NO_FLAGS
        return self.mapped & recorded

    @property
    def has_rights(self) -> NDArray[np.bool_]:
        """Whether the rights combined over the walk were recorded."""
        recorded: NDArray[np.bool_] = self.rights != NO_RIGHTS
        return self.mapped & recorded


class ProbeFlag:
    """Bits of ``Probes.flags``, the flags of a leaf entry in QEMU's letters.

    ``P`` is bit 7, PS or the PAT of a 4K page, not the present flag. ``T`` is PWT, ``C`` PCD and
    ``X`` NX.
    """

    W = 1 << 0
    U = 1 << 1
    T = 1 << 2
    C = 1 << 3
    A = 1 << 4
    D = 1 << 5
    P = 1 << 6
    G = 1 << 7
    X = 1 << 8


class ProbeRight:
    """Bits of ``Probes.rights``, the rights combined over all levels; NX is not among them."""

    READ = 1 << 0
    WRITE = 1 << 1
    USER = 1 << 2


@dataclass(frozen=True, slots=True)
class View:
    """One address space at one stop of the machine: its registers, page tables and probes.

    ``row`` is the position of the view in the image, ``cap`` that of the stop ("cap" in the file).
    PKRU is 0, for images do not hold it.
    """

    name: str
    row: int
    cap: int
    control: Control
    probes: Probes
    pfns: NDArray[np.uint64]
    frames: NDArray[np.unsignedinteger]

    def memory(self) -> PhysicalMemory:
        """Return a new physical memory that holds the page tables as they were captured."""
        memory = PhysicalMemory(len(self.pfns))
        memory.load(self.pfns, self.frames)
        return memory

    def reached(self, mode: PagingMode) -> set[int]:
        """Return the numbers of the page-table frames that walks of the probed addresses read."""
        memory = self.memory()
        return {
            step.paddr >> PAGE_SHIFT
            for va in self.probes.va.tolist()
            for step in walk(memory, mode, self.control, Access(va, ac=True), WIDEST_PADDR).steps
        }


class Image:
    """A memory image: views, and the paging mode that all of them run."""

    def __init__(self, path: str | Path, fields: Fields) -> None:
        """Take the ``fields``, checked as ``IMAGE.read`` does, of the file ``path``."""
        self.path = str(path)
        self._fields = fields
        long = fields["frame_data"].dtype.itemsize == X86_64.entry_bytes
        five = bool(len(fields["cr4"]) and fields["cr4"][0] & Cr4.LA57)
        self.mode = (LA57 if five else X86_64) if long else IA32
        self._check_registers()
        self._check_frames()
        self._check_probes()

    @classmethod
    def load(cls, path: str | Path) -> "Image":
        """Return the image in the file ``path``; raise ``InputError`` for all that is wrong."""
        return cls(path, IMAGE.read(path))

    @classmethod
    def shipped(cls, mode: PagingMode) -> "Image":
        """Return the image of ``mode`` that comes with the package."""
        return cls.load(cls.shipped_path(mode))

    @staticmethod
    def shipped_path(mode: PagingMode) -> Path:
        """Return the file of the image that is shipped for ``mode``."""
        return Path(__file__).with_name("data") / SHIPPED[mode]

    def save(self, path: str | Path) -> None:
        """Write the image to ``path``, compressed; raise ``InputError`` if that cannot be."""
        arrays: Any = self._fields  # numpy's own keywords have other types
        with writing(path), Path(path).open("wb") as file:
            np.savez_compressed(file, **arrays)

    @cached_property
    def views(self) -> tuple[View, ...]:
        """Every view, with all of its probes."""
        return tuple(self._view(row) for row in range(len(self._fields["view_name"])))

    def select(self, names: Iterable[str] | None = None) -> tuple[View, ...]:
        """Return the views called ``names``, or all; raise ``InputError`` for a name unknown."""
        if names is None:
            return self.views
        wanted = set(names)
        unknown = sorted(wanted - {view.name for view in self.views})
        if unknown:
            known = ", ".join(view.name for view in self.views)
            raise self._error("view_name", f"has no {unknown[0]!r}; expected one of {known}")
        return tuple(view for view in self.views if view.name in wanted)

    def cut(self, names: Iterable[str] | None = None, limit: int | None = None) -> "Image":
        """Return an image of the views ``names`` and of ``limit`` probes, chosen by ``thin``.

        Only the frames that the walks of these probes read are kept, and the caps of the views.
        """
        views = thin(self.select(names), limit)
        reached = {(view.cap, pfn) for view in views for pfn in view.reached(self.mode)}
        keys = zip(self._fields["frame_cap"].tolist(), self._fields["frame_pfn"].tolist(),
                   strict=True)
        rows: dict[str, NDArray[Any]] = {
            "cap": np.unique([view.cap for view in views]),
            "view": np.array([view.row for view in views]),
            "frame": np.flatnonzero([key in reached for key in keys]),
            "probe": np.concatenate([view.probes.row for view in views]),
        }
        cut = {name: self._fields[name][rows[field.group]] for name, field in IMAGE.fields.items()}
        for name, group in IMAGE.indices.items():
            cut[name] = np.searchsorted(rows[group], cut[name]).astype(cut[name].dtype)
        return Image(self.path, cut)

    def _view(self, row: int) -> View:
        f = self._fields
        cap = int(f["view_cap"][row])
        probes = np.flatnonzero(f["probe_view"] == row)
        frames = f["frame_cap"] == cap
        return View(
            name=str(f["view_name"][row]),
            row=row,
            cap=cap,
            control=Control(
                cr3=int(f["view_cr3"][row]),
                cr0=int(f["cr0"][cap]),
                cr4=int(f["cr4"][cap]),
                efer=int(f["efer"][cap]),
            ),
            probes=Probes(
                probes,
                *(f["probe_" + name][probes]
                  for name in ("va", "pa", "size", "flags", "eff", "src")),
            ),
            pfns=f["frame_pfn"][frames],
            frames=f["frame_data"][frames],
        )

    def _check_registers(self) -> None:
        """Every cap must run the paging mode whose entries the frames hold."""
        if wrong := misfit(self.mode, self._fields):
            name, cap, expected = wrong
            value, cap_name = int(self._fields[name][cap]), self._fields["cap_name"][cap]
            raise self._error(name, f"is {value:#x} in cap {cap_name}; expected {expected}")

    def _check_frames(self) -> None:
        """Frames are unique within a cap, and the root of every view is among them."""
        keys = list(zip(self._fields["frame_cap"].tolist(), self._fields["frame_pfn"].tolist(),
                        strict=True))
        known = set(keys)
        if len(known) != len(keys):
            (cap, pfn), _ = Counter(keys).most_common(1)[0]
            raise self._error("frame_pfn", f"has {pfn:#x} twice in cap {cap}; expected it once")
        roots = zip(self._fields["view_cap"].tolist(), self._fields["view_cr3"].tolist(),
                    strict=True)
        for cap, cr3 in roots:
            if (cap, (cr3 & ((1 << WIDEST_PADDR) - 1)) >> PAGE_SHIFT) not in known:
                raise self._error(
                    "view_cr3", f"is {cr3:#x}; expected the address of a frame of cap {cap}"
                )

    def _check_probes(self) -> None:
        """Addresses fit the mode, and sizes are those of its pages, or 0 if unmapped."""
        widest = (1 << self.mode.vaddr_bits) - 1
        wrong = np.flatnonzero(self._fields["probe_va"] > widest)
        if len(wrong):
            value = int(self._fields["probe_va"][wrong[0]])
            raise self._error("probe_va", f"holds {value:#x}; expected at most {widest:#x}")
        sizes = [level.page_bytes for level in self.mode.pages]
        mapped = self._fields["probe_pa"] != UNMAPPED
        size = self._fields["probe_size"]
        wrong = np.flatnonzero(np.where(mapped, ~np.isin(size, sizes), size != 0))
        if len(wrong):
            expected = " or ".join(map(str, sizes)) if mapped[wrong[0]] else "0, as unmapped"
            raise self._error(
                "probe_size", f"holds {size[wrong[0]]} for probe {wrong[0]}; expected {expected}"
            )

    def _error(self, field: str, what: str) -> InputError:
        return InputError(f"{self.path}: {field} {what}")


def thin(views: Sequence[View], limit: int | None) -> tuple[View, ...]:
    """Return the views with ``limit`` probes in all, or with all of theirs if they have fewer.

    Probes are of one sort if view, page size, source and rights are the same. Every sort gets
    the same share; of a sort smaller than its share, all are taken. So the few 1-Gbyte pages of
    an image are there beside its many 4-Kbyte pages. Within a sort the choice is spread evenly.
    Views that are left without probes are dropped.
    """
    if limit is None:
        return tuple(views)
    sorts = np.concatenate([
        np.column_stack([np.full(len(view.probes), index), view.probes.size, view.probes.source,
                         view.probes.rights])
        for index, view in enumerate(views)
    ])
    _, sort, counts = np.unique(sorts, axis=0, return_inverse=True, return_counts=True)
    members = np.split(np.argsort(sort, kind="stable"), np.cumsum(counts)[:-1])
    # The smallest sort first: what it leaves of its share is divided among those after it.
    chosen = np.zeros(len(sorts), bool)
    for left, of_sort in enumerate(sorted(members, key=len)):
        share = min(len(of_sort), (limit - int(chosen.sum())) // (len(members) - left))
        chosen[of_sort[np.arange(share) * len(of_sort) // max(share, 1)]] = True
    ends = np.cumsum([len(view.probes) for view in views])
    parts = np.split(chosen, ends[:-1])
    thinned = (replace(view, probes=view.probes.take(np.flatnonzero(part)))
               for view, part in zip(views, parts, strict=True))
    return tuple(view for view in thinned if len(view.probes))
