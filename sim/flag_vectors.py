"""What access vectors become where the MMU sets flags by other rules than the recorder did.

The recording processor sets A as soon as a walk goes on from an entry, and D with a write. Where
flags are set at the end of a walk, one that faults sets none. Where software sets them, an access
that lacks one ends in a page fault, and is then made again with the flags set.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..model.mmu.flag_rules import FlagRules
from ..model.x86 import AccessKind, Cr4, Efer, ErrorCode, Vector
from .vectors import NO_PADDR, Vectors

__all__ = ["under_rules"]


def under_rules(vectors: Vectors, flags: FlagRules) -> Vectors:
    """Return ``vectors`` with the answers and entries that an MMU with these rules must give.

    Accesses that lack a flag which software has to set come up once more, in the same order behind
    all others, with the flags set.
    """
    if not flags.at_the_end:
        return vectors
    faults = vectors["fault"] != 0
    after = np.where(faults[:, None], vectors["before"], vectors["after"])
    if flags.ad != "fault":
        return replace(vectors, fields={**vectors.fields, "after": after})
    lacking = (after != vectors["before"]).any(axis=1)
    told = {
        "after": vectors["before"],
        "fault": np.where(lacking, 1, vectors["fault"]).astype(vectors["fault"].dtype),
        "vector": np.where(lacking, Vector.PF, vectors["vector"]).astype(vectors["vector"].dtype),
        "error": np.where(lacking, _error_codes(vectors), vectors["error"]).astype(
            vectors["error"].dtype),
        "cr2": np.where(lacking, vectors["va"], vectors["cr2"]),
        "pa": np.where(lacking, np.uint64(NO_PADDR), vectors["pa"]),
    }
    again = vectors.take(np.flatnonzero(lacking))
    again_fields = {**again.fields, "before": again["after"]}
    fields = {name: np.concatenate([told.get(name, vectors[name]), again_fields[name]])
              for name in vectors.fields}
    return Vectors(vectors.mode, fields, np.concatenate([vectors.row, again.row]))


def _error_codes(vectors: Vectors) -> NDArray[np.int64]:
    """Return the error code of each access, should it fault at a present page. [SDM 4.7]"""
    no_execute = (vectors["cr4"] & Cr4.PAE != 0) & (vectors["efer"] & Efer.NXE != 0)
    shows_fetch = no_execute | (vectors["cr4"] & Cr4.SMEP != 0)
    fetch = vectors["kind"] == AccessKind.FETCH
    codes: NDArray[np.int64] = (
        ErrorCode.P + ErrorCode.WR * (vectors["kind"] == AccessKind.WRITE)
        + ErrorCode.US * (vectors["cpl"] == 3) + ErrorCode.ID * (shows_fetch & fetch))
    return codes
