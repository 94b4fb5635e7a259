"""The MMU and its components as RTLIL."""

import re

import pytest

from pagewalk.hdl.config import Config
from pagewalk.model.x86 import IA32
from pagewalk.sim.fpga.component import component_names, design

SMALL = Config(mode=IA32, ports=("fetch", "data"), entries=2, walk_cache=0)

pytestmark = pytest.mark.slow


def test_the_whole_is_the_module_with_flat_ports():
    whole = design(SMALL)
    assert (whole.path, whole.top) == ("mmu", "pagewalk")
    assert re.search(r"wire width 32 input \d+  \\data_req_vaddr\n", whole.rtlil)


def test_a_file_is_the_first_component_in_it():
    assert design(SMALL, "responder").path == "fetch.responder"
    assert design(SMALL, "arbiter").top == "pagewalk.mmu.arbiter"


def test_a_path_is_that_component():
    assert design(SMALL, "data.responder").top == "pagewalk.mmu.data.responder"


def test_each_name_has_a_module():
    for name in component_names(SMALL):
        one = design(SMALL, name)
        assert f"\nmodule \\{one.top}\n" in one.rtlil


def test_the_same_parameters_are_the_same_text():
    assert design(SMALL) == design(SMALL)


@pytest.mark.parametrize("name", ["", "nothing", "data.nothing", "pagewalk", "Tlb"])
def test_what_is_no_component_is_refused(name):
    with pytest.raises(ValueError, match=(
            rf"^Component must be one of mmu, .*, or the path of one in the MMU, not '{name}'$")):
        design(SMALL, name)
