import os
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from pagewalk.hdl.config import Config
from pagewalk.model.x86 import IA32, LA57
from pagewalk.sim.errors import InputError
from pagewalk.sim.functional.compiled_function import FAST
from pagewalk.sim.functional.page_numbers import PageNumbers
from pagewalk.sim.functional.trace_figures import broken_identities, figures

from .played import played, random_text


def lackey(path, lines):
    path.write_text("".join(f"{kind} {vaddr:x},4\n" for kind, vaddr in lines))
    return path


def test_a_trace_by_hand(tmp_path):
    """Two entries each, LRU: pages A and B of code, 1 to 3 of data in one page table.

    Fetches: A A B A: 2 misses. Data: load 1, store 1 (not dirty: a miss that sets D), load 2,
    load 3 (drops 1), load 1: 5 misses. Each first touch faults, and is looked up once more.
    """
    a, b = 0x400000, 0x401000
    one, two, three = 0x600000, 0x601000, 0x602000
    path = lackey(tmp_path / "t", [
        ("I ", a), (" L", one), ("I ", a), (" S", one), ("I ", b), (" L", two), (" L", three),
        ("I ", a), (" L", one)])
    run = played(path, Config(entries=2, policy="lru", walk_cache=8))
    found = figures(run)
    fetch, data = found["ports"]["fetch"], found["ports"]["data"]
    assert (fetch["lookups"], fetch["hits"], fetch["misses"], fetch["faults"]) == (6, 2, 4, 2)
    assert (data["lookups"], data["hits"], data["misses"], data["faults"]) == (8, 0, 8, 3)
    assert fetch["mpki"] == 1000.0  # 4 misses of 4 instructions
    assert data["mpki"] == 2000.0
    # Each fault is two walks, the second from the root, as the first drops what led there: 6 from
    # the root, of which the first of all finds no PML4E. The first of 1 begins at the PDE, that of
    # B, 2, 3, the store, and the last load of 1 at the PTE.
    assert found["walks"] == 12
    assert found["reads"] == {"pml4e": 6, "pdpte": 5, "pde": 6, "pte": 10}
    assert found["walk_cache_hits"] == {"pml4e": 0, "pdpte": 1, "pde": 5}
    assert (found["updates"], found["faults"]) == (1, 5)
    assert broken_identities(run) == []


def lru_misses(accesses, entries, sets=1):
    """Count the misses of an LRU TLB of ``entries`` in so many sets, by page number."""
    held, misses = [OrderedDict() for _ in range(sets)], 0
    for page in accesses:
        row = held[page % sets]
        if page in row:
            row.move_to_end(page)
        else:
            misses += 1
            row[page] = None
            if len(row) > entries // sets:
                row.popitem(last=False)
    return misses


@pytest.mark.parametrize(("entries", "ways"), [(1, 0), (3, 0), (16, 0), (16, 4), (32, 2)])
@pytest.mark.parametrize("seed", range(3))
def test_misses_are_those_of_an_lru_of_its_own(tmp_path, seed, entries, ways):
    rng = np.random.default_rng(seed)
    pages = np.minimum(rng.zipf(1.3, 3000), 200)
    path = lackey(tmp_path / "t", [(" L", int(page) << 12) for page in pages])
    config = Config(entries=entries, ways=ways, policy="lru", index="plain", walk_cache=0)
    run = played(path, config, premapped=True)
    sets = entries // ways if ways else 1
    assert run.counts["data_miss"] == lru_misses(pages.tolist(), entries, sets)
    assert run.counts["fetch_lookup"] == 0
    second = Config(entries=1, policy="fifo", walk_cache=0, l2_entries=64, l2_ways=16,
                    l2_policy="lru")
    run = played(path, second, premapped=True)
    changes = [one for one, last in zip(pages.tolist(), [0, *pages.tolist()], strict=False)
               if one != last]
    assert run.counts["l2_lookup"] == len(changes)
    assert run.counts["l2_miss"] == lru_misses(changes, 64, 4)


def test_a_run_is_cut_where_the_limit_is(tmp_path):
    path = lackey(tmp_path / "t", [(" L", 0x1000)] * 10 + [(" L", 0x2000)] * 10)
    for limit in (1, 9, 10, 11, 20, 30):
        run = played(path, Config(), limit=limit)
        assert run.played == min(limit, 20)
        assert run.counts["data_miss"] == (2 if limit <= 10 else 4)


def test_a_switch_drops_all_but_with_pcids(tmp_path):
    path = tmp_path / "t"
    path.write_text("0x1000,r,1\n0x1000,r,2\n0x1000,r,1\n0x1000,r,2\n")
    plain, tagged = (played(path, Config(l2_entries=64), pcids=pcids, premapped=True).counts
                     for pcids in (False, True))
    assert (plain["flush"], plain["data_miss"], plain["walk_start"]) == (3, 4, 4)
    assert (tagged["flush"], tagged["data_miss"], tagged["walk_start"]) == (0, 2, 2)


def test_premapped_pages_have_no_faults_and_no_flags_to_set(tmp_path):
    run = played(random_text(tmp_path / "t", 500, seed=5), Config(entries=4), premapped=True)
    assert (run.counts["walk_fault"], run.counts["walk_update"]) == (0, 0)
    assert run.counts["data_lookup"] + run.counts["fetch_lookup"] == run.played == 500


@pytest.mark.parametrize(("mode", "address", "sound"), [
    ("x86_64", 0x7FFF_FFFF_F000, True), ("x86_64", 0x8000_0000_0000, False),
    ("x86_64", 0xFFFF_8000_0000_0000, True), ("x86_64", 0xFFFF_7FFF_FFFF_F000, False),
    ("la57", 0x8000_0000_0000, True), ("la57", 0x0100_0000_0000_0000, False),
    ("ia32", 0xFFFF_F000, True), ("ia32", 0x1_0000_0000, False)])
def test_addresses_are_of_the_mode(tmp_path, mode, address, sound):
    path = tmp_path / "t"
    path.write_text(f"{address:#x},r\n")
    config = {"ia32": Config(mode=IA32), "la57": Config(mode=LA57)}.get(mode, Config())
    if sound:
        assert played(path, config).counts["data_miss"] == 2
    else:
        with pytest.raises(InputError, match=f"{address:#x}; expected an address of --mode {mode}"):
            played(path, config)


def test_relocation_leaves_misses_but_not_tables(tmp_path):
    path = random_text(tmp_path / "t", 2000, seed=6, spaces=1, bits=31)
    near = played(path, Config(entries=8, policy="lru", walk_cache=2))
    far = played(path, Config(entries=8, policy="lru", walk_cache=2), relocate=1)
    assert near.counts["data_miss"] == far.counts["data_miss"]
    assert near.counts["walk_read_pte"] <= far.counts["walk_read_pte"]
    assert near.counts["walk_read_pdpte"] < far.counts["walk_read_pdpte"]
    assert near.pages.nodes < far.pages.nodes


def test_pages_are_numbered_as_they_come_up():
    rng = np.random.default_rng(7)
    numbers, known = PageNumbers(), {}
    for _ in range(10):
        keys = rng.integers(0, 1 << 62, 1000) % (1 << int(rng.integers(4, 62)))
        for key in keys.tolist():
            known.setdefault(key, len(known))
        found, new = numbers.of(keys)
        assert found.tolist() == [known[key] for key in keys.tolist()]
        assert numbers.count == len(known)
        assert new == list(known)[len(known) - len(new):]


PLAIN = """
import sys
sys.path.insert(0, {folder!r})
from pathlib import Path
from pagewalk.hdl.config import Config
from played import played
for policy in ("plru", "lru", "fifo", "random"):
    config = Config(entries=8, ways=4, policy=policy, walk_cache=2, l2_entries=32, l2_policy=policy)
    print(sorted(played(Path({path!r}), config, thp=policy == "lru").counts.items()))
"""


@pytest.mark.slow
@pytest.mark.skipif(not FAST, reason="numba is not installed: all tests are those of plain Python")
def test_plain_python_has_the_same_figures(tmp_path):
    path = random_text(tmp_path / "t", 20_000, seed=8)
    program = PLAIN.format(folder=str(Path(__file__).parent), path=str(path))
    texts = [subprocess.run([sys.executable, "-c", program], check=True, text=True,
                            capture_output=True, env=os.environ | {"NUMBA_DISABLE_JIT": off}).stdout
             for off in ("0", "1")]
    assert texts[0] == texts[1]
    assert texts[0].count("\n") == 4
