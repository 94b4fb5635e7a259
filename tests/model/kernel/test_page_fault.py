"""From address and error code to signals, fixups and oopses, as Linux has them."""

import pytest

from pagewalk.model.address_space.uapi import MapFlag, Prot
from pagewalk.model.address_space.vma import File
from pagewalk.model.kernel.fault_cause import FaultCause
from pagewalk.model.kernel.page_fault import (
    FaultOutcome,
    Oops,
    SiCode,
    Signal,
    SignalNumber,
    handle_general_protection,
)
from pagewalk.model.mmu.control import Access
from pagewalk.model.mmu.walk import walk
from pagewalk.model.x86 import X86_64, AccessKind, ErrorCode, Vector

from .machines import ANON, MODES, PAGE, RW, Killed, machine

both = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
P, WR, US, RSVD, ID = (ErrorCode.P, ErrorCode.WR, ErrorCode.US, ErrorCode.RSVD, ErrorCode.ID)


def signal_of(kernel, address, code):
    result = kernel.handle_page_fault(address, code)
    assert result.outcome is FaultOutcome.SIGNAL
    return result.signal.number, result.signal.code, result.signal.address


@both
def test_signals_of_user_accesses(mode):
    kernel, cpu, process = machine(mode)
    page = process.mm.mmap(0, 3 * PAGE, RW, ANON)
    process.mm.mprotect(page, PAGE, Prot.READ)
    process.mm.mprotect(page + PAGE, PAGE, Prot.NONE)
    segv = SignalNumber.SIGSEGV
    assert signal_of(kernel, 0x10, US) == (segv, SiCode.SEGV_MAPERR, 0x10)
    assert signal_of(kernel, page - 1, US) == (segv, SiCode.SEGV_MAPERR, page - 1)
    assert signal_of(kernel, page, US | WR) == (segv, SiCode.SEGV_ACCERR, page)
    assert signal_of(kernel, page + PAGE, US) == (segv, SiCode.SEGV_ACCERR, page + PAGE)
    assert (process.min_flt, process.maj_flt) == (0, 0)
    with pytest.raises(Killed):
        cpu.store(page, b"x")


@both
def test_a_user_mode_read_of_each_kernel_area_faults_and_is_a_mapping_error(mode):
    kernel, _, _ = machine(mode)
    for area in kernel.layout.areas:
        if area.start < kernel.layout.task_size or area.kind.value == "non-canonical hole":
            continue
        found = walk(kernel.state.memory, mode, kernel.control, Access(area.start, user=True))
        mapped = kernel.state.kernel_walk(Access(area.start)).fault is None
        assert found.fault.error_code == US | (P if mapped else 0)
        assert signal_of(kernel, area.start, found.fault.error_code) == (
            SignalNumber.SIGSEGV, SiCode.SEGV_MAPERR, area.start)


@both
def test_past_the_end_of_a_file_is_a_bus_error(mode):
    kernel, cpu, process = machine(mode)
    file = File("data")
    kernel.register_file(file, b"abc" * 2000)  # two pages, the second in part
    start = process.mm.mmap(0, 3 * PAGE, Prot.READ, MapFlag.PRIVATE, file)
    assert cpu.load(start, 6000) == b"abc" * 2000
    assert cpu.load(start + 6000, 2192) == bytes(2192)
    assert signal_of(kernel, start + 2 * PAGE, US) == (
        SignalNumber.SIGBUS, SiCode.BUS_ADRERR, start + 2 * PAGE)
    assert process.maj_flt == 2


@both
def test_a_stack_grows_to_its_limit(mode):
    kernel, cpu, process = machine(mode)
    top = process.mm.mmap(0, PAGE, RW, ANON | MapFlag.GROWSDOWN | MapFlag.STACK)
    cpu.store(top - 1, b"x")
    assert process.mm.find_vma(top).start == top - PAGE
    cpu.store(top - (1 << 20), b"x")  # jumps as far as it likes
    limit = process.mm.rlimits.stack
    assert signal_of(kernel, top + PAGE - limit - 1, US | WR)[1] is SiCode.SEGV_MAPERR


@both
def test_kernel_mode_faults_are_fixed_up_or_an_oops(mode):
    kernel, _, process = machine(mode)
    assert kernel.handle_page_fault(0x10, 0, ac=True, fixup=True).outcome is FaultOutcome.FIXUP
    with pytest.raises(Oops, match="NULL pointer dereference: address 0x10"):
        kernel.handle_page_fault(0x10, 0, ac=True)
    bad = kernel.layout.vmalloc.start + 5
    with pytest.raises(Oops, match="unable to handle kernel paging request"):
        kernel.handle_page_fault(bad, WR)
    page = process.mm.mmap(0, PAGE, RW, ANON)
    with pytest.raises(Oops, match="SMAP"):
        kernel.handle_page_fault(page, 0, fixup=True)
    assert kernel.handle_page_fault(page, 0, ac=True).cause is FaultCause.ZERO_PAGE
    with pytest.raises(Oops, match="SMEP"):
        kernel.handle_page_fault(page, P | ID)
    with pytest.raises(Oops, match="Bad pagetable"):
        kernel.handle_page_fault(page, P | RSVD | US)


@both
def test_user_space_ends_at_its_last_byte(mode):
    """Only there SMAP forbids the kernel to access it; above, a fixup is all there is."""
    kernel, _, _ = machine(mode)
    with pytest.raises(Oops, match="SMAP"):
        kernel.handle_page_fault(kernel.layout.task_size - 1, 0, fixup=True)
    assert kernel.handle_page_fault(kernel.layout.task_size, 0, fixup=True).outcome is (
        FaultOutcome.FIXUP)


@both
def test_a_kernel_fault_that_the_tables_permit_by_now_is_spurious(mode):
    kernel, _, _ = machine(mode)
    address = kernel.layout.page_offset + (2 << 20)
    result = kernel.handle_page_fault(address, P | WR)
    assert (result.outcome, result.cause) == (FaultOutcome.RETRY, FaultCause.SPURIOUS)


def test_fetching_from_data_is_caught_when_the_page_is_there():
    _, cpu, process = machine(X86_64)
    page = process.mm.mmap(0, PAGE, RW, ANON)
    with pytest.raises(Killed) as caught:
        cpu.translate(page, AccessKind.FETCH)
    assert caught.value.signal.code is SiCode.SEGV_ACCERR
    assert [result.cause for result in cpu.results] == [FaultCause.ZERO_PAGE, None]


def test_protection_keys():
    _, cpu, process = machine(X86_64, pke=True)
    page = process.mm.mmap(0, 2 * PAGE, RW, ANON)
    key = process.mm.pkeys.alloc()
    process.mm.mprotect(page, PAGE, RW, key)
    assert process.pkru == 0x5555_5554  # Linux starts programs without access by any key but 0
    process.pkru = 0
    cpu.store(page, b"x")
    process.pkru = 2 << 2 * key  # reading is allowed
    cpu.tlb.entries.clear()
    assert cpu.load(page) == b"x"
    with pytest.raises(Killed) as caught:
        cpu.store(page, b"y")
    assert (caught.value.signal.code, caught.value.signal.pkey) == (SiCode.SEGV_PKUERR, key)


@pytest.mark.parametrize(("vector", "number"), [
    (Vector.GP, SignalNumber.SIGSEGV), (Vector.SS, SignalNumber.SIGBUS)])
def test_an_address_that_is_not_canonical_is_told_to_nobody(vector, number):
    """force_sig sends SI_KERNEL, 0x80, and no address."""
    result = handle_general_protection(vector, 1 << 47, user=True)
    assert (result.outcome, result.signal) == (FaultOutcome.SIGNAL, Signal(number, 0x80, 0))
    assert result.signal.code is SiCode.SI_KERNEL
    fixed = handle_general_protection(vector, 1 << 47, user=False, fixup=True)
    assert fixed.outcome is FaultOutcome.FIXUP
    with pytest.raises(Oops, match=r"address 0x800000000000, error code 0x0$"):
        handle_general_protection(vector, 1 << 47, user=False)


@both
def test_a_page_fault_is_at_a_canonical_address(mode):
    kernel, _, _ = machine(mode)
    bad = [-1, 1 << mode.vaddr_bits, (1 << 64) + 5, *([1 << 47, 1 << 63] if mode is X86_64 else [])]
    for address in bad:
        with pytest.raises(ValueError, match=r"^A page fault must be at a canonical address, not "):
            kernel.handle_page_fault(address, US)
    last = (1 << mode.vaddr_bits) - 1
    assert signal_of(kernel, last, US) == (SignalNumber.SIGSEGV, SiCode.SEGV_MAPERR, last)
