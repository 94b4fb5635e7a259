"""What a page fault was, and what the kernel did about it, in words."""

from dataclasses import dataclass

from ...model.address_space.maps_text import maps_line
from ...model.kernel.fault_cause import FaultCause
from ...model.kernel.page_fault import FaultOutcome, FaultResult, SiCode, SignalNumber
from ...model.kernel.process import Process
from ...model.x86 import PAGE_BYTES, ErrorCode

__all__ = ["FaultReport", "fault_text"]

DONE = {
    FaultCause.ZERO_PAGE: "mapped the page of zeros",
    FaultCause.DEMAND_ZERO: "mapped a new page of zeros",
    FaultCause.FILE: "mapped the file's page",
    FaultCause.COPY_ON_WRITE: "copied the page (copy on write)",
    FaultCause.REUSE: "made the page writable, as nobody else has it",
    FaultCause.SHARED_WRITE: "made the page writable and the file dirty",
    FaultCause.SWAP_IN: "took the page from the swap cache",
    FaultCause.SPURIOUS: "nothing, as the access is permitted by now",
}
READ = {FaultCause.FILE: "read the page from the file",
        FaultCause.SWAP_IN: "read the page from swap",
        FaultCause.COPY_ON_WRITE: "read the page from the file and copied it"}
BITS = ("P", "WR", "US", "RSVD", "ID", "PK")
SEGV_TEXT = {SiCode.SEGV_MAPERR: "SEGV_MAPERR: nothing is mapped there",
             SiCode.SEGV_ACCERR: "SEGV_ACCERR: the mapping forbids it",
             SiCode.SEGV_PKUERR: "SEGV_PKUERR: the protection key forbids it"}


@dataclass(frozen=True, slots=True)
class FaultReport:
    """A page fault that was handled.

    Members
    -------
    process
        Whose it was.
    address, error_code
        As the hardware has them.
    mapping
        The line of ``/proc/PID/maps`` about the address, empty if there is none.
    result
        What it came to.
    swapped_out, more_pages
        How many pages were written to swap meanwhile, and how many more than one were mapped.
    was_zeros
        Whether the page of zeros, which all share, was mapped before.
    huge_bytes
        The size of the huge page that the address is in by now, 0 for a small one.
    """

    process: Process
    address: int
    error_code: int
    mapping: str
    result: FaultResult
    swapped_out: int = 0
    more_pages: int = 0
    huge_bytes: int = 0
    was_zeros: bool = False


def mapping_text(process: Process, address: int) -> str:
    """Return the line of ``/proc/PID/maps`` about an address, with single blanks."""
    vma = process.mm.tree.lookup(address)
    return "" if vma is None else " ".join(maps_line(process.mm, vma).split())


def fault_text(report: FaultReport, instruction: int | None = None) -> str:
    """Return a line about a fault.

    Of loads and stores of the program only the page is known. ``instruction`` is where they, and
    fetches, come from; None for the kernel, and for a program of which the byte is known.
    """
    code = report.error_code
    kind = "fetch" if code & ErrorCode.ID else "store" if code & ErrorCode.WR else "load"
    exact = instruction is None or code & ErrorCode.ID
    place = f"at {report.address:#x}" if exact else f"in page {report.address:#x}"
    if instruction is None:
        place += "" if code & ErrorCode.US else " by the kernel"
    elif not code & ErrorCode.ID:
        place += f" by {instruction:#x}"
    bits = "|".join(name for bit, name in enumerate(BITS) if code >> bit & 1) or "0"
    mapping = f", in {report.mapping}" if report.mapping else ""
    return (f"page fault: {kind} {place}, error code {code:#x} ({bits}): {_outcome(report)}"
            f"{mapping}")


def _outcome(report: FaultReport) -> str:
    result = report.result
    if result.outcome is FaultOutcome.FIXUP:
        return "the copy ends here"
    if result.signal is not None:
        return _signal(result)
    assert result.cause is not None
    text = DONE[result.cause]
    if report.was_zeros and result.cause is FaultCause.COPY_ON_WRITE:
        text = "mapped a new page of zeros in place of the shared one (copy on write)"
    if result.major:
        text = READ.get(result.cause, text)
    if report.huge_bytes > PAGE_BYTES:
        text = text.replace("page", f"huge page ({report.huge_bytes >> 20} Mbytes)", 1)
    elif report.more_pages > 0:
        text += f" and {report.more_pages} around it"
    if report.swapped_out:
        text += f"; {report.swapped_out} pages were written to swap to have room"
    return text


def _signal(result: FaultResult) -> str:
    signal = result.signal
    assert signal is not None
    if signal.number is SignalNumber.SIGKILL:
        return "SIGKILL, as there is no memory left"
    if signal.number is SignalNumber.SIGBUS:
        return "SIGBUS (BUS_ADRERR: the file has no such page)"
    return f"SIGSEGV ({SEGV_TEXT.get(SiCode(signal.code), signal.code)})"
