"""Names of module, clock and reset are checked before anything that takes long."""

import pytest

from pagewalk.hdl import verilog
from pagewalk.hdl.config import Config
from pagewalk.hdl.flat import flat_names
from pagewalk.hdl.verilog import to_verilog
from pagewalk.hdl.verilog_unused import SINK
from pagewalk.model.x86 import IA32

CONFIG = Config(IA32, ports=("data",))


@pytest.fixture(autouse=True)
def no_netlist(monkeypatch):
    monkeypatch.setattr(verilog, "netlist", lambda *_: pytest.fail("began the expensive part"))


@pytest.mark.parametrize(("names", "message"), [
    ({"name": "2x"}, "Module name must be a Verilog identifier, not '2x'"),
    ({"clock": "my-clock"}, "Clock name must be a Verilog identifier, not 'my-clock'"),
    ({"reset": ""}, "Reset name must be a Verilog identifier, not ''"),
    ({"name": "module"}, "Module name must not be a keyword of Verilog, as 'module' is"),
    ({"clock": "posedge"}, "Clock name must not be a keyword of Verilog, as 'posedge' is"),
    ({"reset": "soft"}, "Reset name must not be a keyword of Verilog, as 'soft' is"),
])
def test_what_cannot_be_a_name_is_refused(names, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        to_verilog(CONFIG, **names)


@pytest.mark.parametrize("name", [
    "control_pg", "data_req_valid", "data_rsp_tag", "memory_req_ready", "events_walk_read_pde",
    "invalidate_op", SINK])
@pytest.mark.parametrize("what", ["name", "clock", "reset"])
def test_a_name_that_a_signal_has_is_refused(what, name):
    word = {"name": "Module"}.get(what, what.capitalize())
    with pytest.raises(
            ValueError, match=f"^{word} name must be one that no other signal has, not '{name}'$"):
        to_verilog(CONFIG, **{what: name})


@pytest.mark.parametrize(("names", "offender"), [
    ({"clock": "rst"}, "Reset name must be one that no other signal has, not 'rst'"),
    ({"reset": "clk"}, "Reset name must be one that no other signal has, not 'clk'"),
    ({"clock": "x", "name": "x"}, "Module name must be one that no other signal has, not 'x'"),
    ({"name": "rst"}, "Module name must be one that no other signal has, not 'rst'"),
])
def test_module_clock_and_reset_have_different_names(names, offender):
    with pytest.raises(ValueError, match=f"^{offender}$"):
        to_verilog(CONFIG, **names)


def test_a_name_that_is_no_string_is_a_type_error():
    with pytest.raises(TypeError, match=r"^Clock name must be a string, not None$"):
        to_verilog(CONFIG, clock=None)


def test_names_of_other_ports_are_free():
    assert "fetch_req_valid" not in flat_names(CONFIG)
    verilog.check_names(CONFIG, "mmu", clock="fetch_req_valid", reset="data")
