import pytest

from pagewalk.model.address_space.kernel_half.mapping_ops import (
    KernelPageTableOps,
    page_kernel,
)
from pagewalk.model.x86 import IA32, X86_64

from ..dict_tables import DictTables


# Leaves of the direct map in the page tables of i686-A, and of amd64-B (booted with nopti).
@pytest.mark.parametrize(("mode", "flags"), [(IA32, 0x163), (X86_64, 0x8000_0000_0000_0163)])
def test_kernel_data_has_the_flags_of_a_real_kernel(mode, flags):
    assert page_kernel(mode) == flags


def test_tables_in_a_dictionary_are_kernel_page_tables():
    tables: KernelPageTableOps = DictTables()
    tables.set_page(0x1000, 1, 0x163)
    tables.clear_page(0x1000)
