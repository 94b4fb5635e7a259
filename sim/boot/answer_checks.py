"""What the answer to an access of a recorded boot must be, and in what another one differs."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...model.x86 import ErrorCode, Vector

__all__ = ["EXPECTED", "differ", "may_be_spurious", "packed_fault", "wrong_fields"]

EXPECTED = np.dtype([("paddr", "<u8"), ("vaddr", "<u8"), ("fault", "<u4")], align=True)
"""What an answer must have: the fields of ``ANSWER`` by their names, but for ``fault``, which has
flag, vector and error code together, as ``packed_fault`` gives them."""

FAULT_SHIFT, VECTOR_SHIFT, ERROR_BITS = 16, 24, 0xFFFF


def packed_fault(fault: ArrayLike, vector: ArrayLike, error: ArrayLike) -> NDArray[np.uint32]:
    """Return faults as numbers, 0 for none, that differ if flag, vector or error code do."""
    fault, vector, error = (np.asarray(part, np.uint32) for part in (fault, vector, error))
    packed: NDArray[np.uint32] = (
        error | fault << np.uint32(FAULT_SHIFT) | vector << np.uint32(VECTOR_SHIFT))
    return packed


def differ(answers: NDArray[np.void], expected: NDArray[np.void]) -> NDArray[np.bool_]:
    """Return which of the answers (N,) are not as ``expected`` (N,)."""
    fault = packed_fault(answers["fault"], answers["vector"], answers["error"])
    wrong: NDArray[np.bool_] = fault != expected["fault"]
    for name in ("paddr", "vaddr"):
        wrong |= answers[name] != expected[name]
    return wrong


def may_be_spurious(answer: np.void) -> bool:
    """Return whether an answer is a page fault of an entry that is present.

    Where an access is expected, it may come of a TLB entry that is stricter than memory, and the
    page fault itself drops that. [SDM 4.10.4.3]
    """
    return bool(answer["fault"] and answer["vector"] == Vector.PF
                and answer["error"] & ErrorCode.P)


def wrong_fields(answer: np.void, expected: np.void) -> dict[str, tuple[int, int]]:
    """Return in what an answer differs: by the kind of mismatch, what was expected and what came.

    The kinds are those of ``BootResult``.
    """
    packed = int(expected["fault"])
    fault = packed >> FAULT_SHIFT & 1
    if fault != answer["fault"]:
        return {"fault": (fault, int(answer["fault"]))}
    pairs = {
        "paddr": (int(expected["paddr"]), int(answer["paddr"])),
        "vector": (packed >> VECTOR_SHIFT, int(answer["vector"])),
        "error": (packed & ERROR_BITS, int(answer["error"])),
        "cr2": (int(expected["vaddr"]), int(answer["vaddr"])),
    }
    return {kind: (wanted, got) for kind, (wanted, got) in pairs.items() if wanted != got}
