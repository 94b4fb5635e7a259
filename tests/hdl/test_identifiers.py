"""Words that can name something in Verilog, and those that cannot."""

import re

import pytest

from pagewalk.hdl.identifiers import check_identifier


@pytest.mark.parametrize("name", ["a", "A1", "_", "_x", "clk_i", "modules", "Module", "x" * 200])
def test_an_identifier_is_accepted(name):
    check_identifier("Port name", name)


@pytest.mark.parametrize("name", ["", "1x", "a-b", "a b", "a\n", "\\a", "a$", "a.b", "modul\u00e9"])
def test_what_is_no_identifier_is_refused(name):
    message = f"Port name must be a Verilog identifier, not {name!r}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_identifier("Port name", name)


@pytest.mark.parametrize("name", ["module", "wire", "reg", "logic", "bit", "priority", "xor"])
def test_a_keyword_is_refused(name):
    with pytest.raises(
            ValueError, match=f"^Clock name must not be a keyword of Verilog, as '{name}' is$"):
        check_identifier("Clock name", name)


@pytest.mark.parametrize("name", [None, 3, b"clk", ["clk"]])
def test_what_is_no_string_is_a_type_error(name):
    message = f"Clock name must be a string, not {name!r}"
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        check_identifier("Clock name", name)
