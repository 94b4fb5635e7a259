"""``pagewalk step``: cycles as text and as figures, and bad input in one line."""

import json
from pathlib import Path

import pytest

from ..waveform import Waveform

EXAMPLES = Path(__file__).parents[3] / "examples"
TOY = EXAMPLES / "tables" / "four_levels.toml"
REQUESTS = EXAMPLES / "requests" / "four_levels.txt"
WORDS = ["step", "--toy", TOY, "--entries", "4", "--walk-cache", "2"]


@pytest.fixture
def requests(tmp_path):
    path = tmp_path / "requests.txt"
    path.write_text("read 0x401010 user\nread 0x401018 user\n")
    return path


FIRST = """\
cycle 0
  data    offers 0: read 0x401010 user
cycle 1
  data    offers 1: read 0x401018 user, not accepted
  data    waits for the answer to 0
  memory  read 0x1000
  walk 0  0x401000 PML4E begins
  events  data_lookup data_miss data_stall walk_start walk_read_pml4e
cycle 2
  data    offers 1: read 0x401018 user, not accepted
  data    waits for the answer to 0
  memory  exchange 0x1000
  memory  responds 0x2007
  walk 0  0x401000 PML4E waits for memory: read 0x1000
  events  data_stall walk_update

answers
  0: read 0x401010 user: no answer yet
  1: read 0x401018 user: no answer yet

held in cycle 2
"""

LAST = """\
cycle 12
  data    offers 1: read 0x401018 user
  data    + 0: 0x401000 -> 0x51000 4K urw- clean PCID 0
cycle 13
  data    waits for the answer to 1
  data    answers 0x51018, 4K
  events  data_lookup data_hit_4k
cycle 14

answers
  0: read 0x401010 user: 0x51010 in cycle 10
  1: read 0x401018 user: 0x51018 in cycle 13

held in cycle 14
  data    0: 0x401000 -> 0x51000 4K urw- clean PCID 0
  walks   PML4E 0: 0x0 -> table 0x2000 urwx PCID 0
  walks   PDPTE 0: 0x0 -> table 0x3000 urwx PCID 0
  walks   PDE 0: 0x400000 -> table 0x4000 urwx PCID 0
"""


@pytest.mark.slow
def test_cycles_are_shown_one_after_the_other(pagewalk, requests):
    code, out, err = pagewalk(*WORDS, "--requests", requests, "--cycles", 3)
    assert (code, err) == (0, "")
    assert out == FIRST


@pytest.mark.slow
def test_it_goes_on_until_all_is_answered(pagewalk, requests):
    code, out, err = pagewalk(*WORDS, "--requests", requests)
    assert (code, err) == (0, "")
    assert out.endswith(LAST)
    assert out.count("\ncycle ") == 14


@pytest.mark.slow
def test_figures_have_every_cycle_and_every_answer(pagewalk, requests):
    code, out, err = pagewalk(*WORDS, "--requests", requests, "--json", "-")
    assert (code, err.count("cycle 3\n")) == (0, 1)
    figures = json.loads(out)
    assert [one["cycle"] for one in figures["cycles"]] == [*range(15)]
    assert figures["cycles"][1]["memory"] == {
        "op": "read", "address": 0x1000, "accepted": True, "response": None}
    assert figures["cycles"][2]["walks"] == [{
        "number": 0, "vaddr": 0x401000, "pcid": 0, "level": "PML4E", "sets_flags": False,
        "doing": "waits for memory", "awaits": "read 0x1000"}]
    assert figures["cycles"][14]["tlbs"] == {"fetch": [], "data": [{
        "place": "0", "vaddr": 0x401000, "paddr": 0x51000, "page_bytes": 4096, "pcid": 0,
        "global": False, "dirty": False, "rights": "urw-", "key": 0, "memory_type": 0}]}
    assert figures["cycles"][14]["walk_cache"][2] == {
        "place": "PDE 0", "level": "PDE", "vaddr": 0x400000, "pcid": 0, "table": 0x4000,
        "rights": "urwx"}
    assert [one["answer"]["paddr"] for one in figures["requests"]] == [0x51010, 0x51018]
    assert figures["config"]["entries"] == 4
    assert len(figures["inputs"]) == 2


@pytest.mark.slow
def test_the_example_ends_in_a_page_fault(pagewalk):
    code, out, _ = pagewalk("step", "--requests", REQUESTS, "--toy", TOY)
    assert code == 0
    assert "  6: write 0x400000 user: #PF 0x7 at 0x400000 in cycle 35\n" in out
    assert "  offers  4: invlpg 0x401000, not done\n" in out
    assert "  data    - 0: 0x401000 -> 0x51000 4K urw- dirty PCID 0\n" in out


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["ia32", "x86_64"])
def test_without_tables_it_walks_in_the_shipped_image(mode, pagewalk, requests):
    code, out, err = pagewalk("step", "--mode", mode, "--requests", requests, "--latency", 9)
    assert (code, err) == (0, "")
    assert "in cycle" in out


@pytest.mark.slow
def test_waveforms_are_written_beside(pagewalk, requests, tmp_path):
    code, *_ = pagewalk(*WORDS, "--requests", requests, "--vcd", tmp_path / "x.vcd")
    assert code == 0
    wave = Waveform(tmp_path / "x.vcd")
    assert wave.at(13, "bench.top.mmu.data__rsp__payload.paddr") == 0x51018


@pytest.mark.parametrize(("words", "message"), [
    (["--requests", "NONE"], ("NONE: cannot be read: No such file or directory; expected requests, "
                             "one a line")),
    (["--requests", "BAD"], "BAD:2: 'raed'; expected one of read, "),
    (["--requests", "GOOD", "--cycles", "0"],
     "argument --cycles: expected a whole number from 1 to 100000, not '0'"),
    (["--requests", "GOOD", "--mode", "la57"],
     "argument --mode: there is no image of la57; expected --image or --toy"),
    (["--requests", "GOOD", "--toy", str(EXAMPLES / "tables" / "toy_5_5.toml")],
     "argument --toy: "),
    (["--requests", "GOOD", "--toy", str(TOY), "--cpu", "1"],
     "argument --cpu: is not for toy tables; expected --image"),
    (["--requests", "GOOD", "--vcd", "-"], "argument --vcd: standard output takes no waveforms"),
    (["--requests", "GOOD", "--vcd", "GOOD"], "argument --vcd: GOOD is an input; expected another"),
    (["--requests", "GOOD", "--json", "GOOD"], "argument --json: GOOD is an input"),
    (["--requests", "GOOD", "--entries", "3"], "Entry count must be a power of two"),
    (["--requests", "GOOD", "--toy", str(TOY), "--ports", "a,a"], "Port names must be distinct"),
])
def test_bad_input_is_one_line(words, message, refused, requests, tmp_path):
    bad = tmp_path / "bad.txt"
    bad.write_text("read 0x10\nraed 0x10\n")
    names = {"NONE": str(tmp_path / "none"), "BAD": str(bad), "GOOD": str(requests)}
    for name, path in names.items():
        message = message.replace(name, path)
    assert refused("step", *(names.get(word, word) for word in words)).startswith(message)
