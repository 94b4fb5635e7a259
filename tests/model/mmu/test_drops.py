"""What operations drop, as far as it depends on their operands; see also ``test_tlb_history``."""

import pytest

from pagewalk.model.mmu.tlb_history import TlbHistory
from pagewalk.model.mmu.walk import Access
from pagewalk.model.x86 import X86_64, Entry, InvalidateOp, Vector

from .one_page import one_page

BY_ADDRESS = pytest.mark.parametrize(
    "op", [InvalidateOp.INVLPG, InvalidateOp.INVPCID_ADDRESS], ids=lambda op: op.name)


def answers_after(op, vaddr, *, unlinked):
    """Return the answers for address 0 after an operation and then a new leaf.

    Before the operation, the entry for address 0 in the table ``unlinked`` was cleared, so that the
    new leaf, which maps 0x9000, is found only from the paging-structure caches.
    """
    memory, control, leaf = one_page(X86_64)
    history = TlbHistory(X86_64, memory, control)
    history.write(5, unlinked << 12, 0)
    history.drops.operation(7, op, {"vaddr": vaddr, "pcid": 0}, pcid=0, pcide=False)
    history.write(8, leaf, 0x9000 | Entry.P)
    return history.outcomes(10, 10, control, Access(0))


@BY_ADDRESS
@pytest.mark.parametrize("unlinked", [1, 2, 3])
@pytest.mark.parametrize("vaddr", [1 << 47, (1 << 48) - 1, 1 << 60, 1 << 63, (1 << 63) + (1 << 47)],
                         ids=hex)
def test_an_operation_with_an_address_that_is_not_canonical_drops_nothing(op, vaddr, unlinked):
    found = answers_after(op, vaddr, unlinked=unlinked)
    assert {(one.paddr, one.vector) for one in found} == {
        (0x7000, None), (0x9000, None), (0, Vector.PF)}


@BY_ADDRESS
@pytest.mark.parametrize("unlinked", [1, 2, 3])
@pytest.mark.parametrize("vaddr", [0x5000, (1 << 47) - 1, (1 << 64) - (1 << 47)], ids=hex)
def test_an_operation_with_any_canonical_address_drops_all_tables_of_the_pcid(op, vaddr, unlinked):
    found = answers_after(op, vaddr, unlinked=unlinked)
    # The translation of address 0 itself may have stayed: the operation names another page.
    assert {(one.paddr, one.vector) for one in found} == {(0x7000, None), (0, Vector.PF)}
