"""What every ``--json`` says beside its figures, and standard output as its file."""

import dataclasses
import hashlib
import json
from importlib.metadata import version
from pathlib import Path
from uuid import UUID

import pytest

from pagewalk.hdl.config import Config
from pagewalk.model.kernel.swap.file import SwapFile
from pagewalk.model.x86 import IA32
from pagewalk.sim.cli import fpga, verilog
from pagewalk.sim.image import Image

from ..fpga.netlists import MEASURED

DATA = Path(__file__).parents[2] / "data"
TRACE, LISTS = DATA / "i686-A.trace-buddy.txt.gz", DATA / "i686-A.freelists.npz"
VECTORS = DATA / "vectors-ia32.npz"
BOOT = DATA / "boot" / "pge.ltr.xz"
GEOMETRY = ["--entries", "16", "--policy", "lru", "--latency", "7", "--paddr-bits", "40"]
VERILOG = [*GEOMETRY[:4], *GEOMETRY[6:], "--ports", "dma,walker2", "--tag-bits", "9",
           "--clock", "c", "--reset", "r"]
CONFIG = {"mode": "ia32", "ports": ["fetch", "data"], "entries": 16, "walk_cache": 8,
          "policy": "lru", "paddr_bits": 40, "tag_bits": 4, "access_bytes": 0, "misses": 1,
          "order": "request", "cancel": False, "hit_latency": 1,
          "ways": 0, "large_entries": 4, "index": "folded",
          "l2_entries": 0, "l2_ways": 4, "l2_policy": "plru", "prefetch": "none",
          "walkers": 1, "walk_stages": 1, "accessed": "use", "ad": "exchange",
          "memory_response": "direct", "rights": False,
          "probes": False, "checks": False, "dropped": False,
          "invalidation": "stream"}


@pytest.fixture
def image(tmp_path):
    Image.shipped(IA32).cut(limit=40).save(tmp_path / "ia32.npz")
    return tmp_path / "ia32.npz"


@pytest.fixture
def words_of(image, tmp_path, monkeypatch):
    """Return the words of a verb, and the files that it reads."""
    SwapFile.create(tmp_path / "swap", 100, uuid=UUID(int=1)).close()
    monkeypatch.setattr(fpga, "measure", lambda *_, **__: MEASURED)
    monkeypatch.setattr(verilog, "to_verilog", lambda *_, **__: "module x(\n);\n")
    return {
        "replay": (["replay", image, "--engine", "model", *GEOMETRY], [image]),
        "conform": (["conform", VECTORS, "--engine", "model", *GEOMETRY], [VECTORS]),
        "boot": (["boot", BOOT, "--engine", "model", "--limit", "50", *GEOMETRY], [BOOT]),
        "cosim": (["cosim", "zipf", "--mode", "ia32", "--engine", "model", "--accesses", "20",
                   "--pages", "20", "--seed", "3", "--swap", tmp_path / "swap", *GEOMETRY],
                  [tmp_path / "swap"]),
        "buddy": (["buddy", TRACE, LISTS, "--limit", "50"], [TRACE, LISTS]),
        "image": (["image", image], [image]),
        "verilog": (["verilog", "--mode", "ia32", "-o", tmp_path / "x.v",
                     *VERILOG], []),
        "fpga": (["fpga", "--mode", "ia32", *VERILOG[:-4]], []),
    }.__getitem__


VERBS = ["replay", "conform", "boot", "cosim", "buddy", "image", "verilog", "fpga"]


@pytest.mark.parametrize("verb", VERBS)
def test_figures_tell_their_conditions(verb, words_of, pagewalk, tmp_path):
    words, inputs = words_of(verb)
    hashes = [{"name": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
              for path in inputs]
    assert pagewalk(*words, "--json", tmp_path / "x.json")[0] == 0
    figures = json.loads((tmp_path / "x.json").read_text())
    assert figures["inputs"] == hashes
    assert figures["version"] == version("pagewalk")
    assert figures["latency"] == (
        7 if verb in ("replay", "conform", "boot", "cosim") else None)
    assert figures.get("seed") == (3 if verb == "cosim" else None)
    expected = {"cosim": CONFIG | {"ports": ["data"]}, "boot": CONFIG | {"mode": "x86_64"},
                "buddy": None, "image": None,
                **dict.fromkeys(("verilog", "fpga"), CONFIG | {"ports": ["dma", "walker2"],
                                                               "tag_bits": 9})}
    assert figures["config"] == expected.get(verb, CONFIG)
    names = [figures.get(name) for name in ("name", "clock", "reset")]
    assert names == (["pagewalk_mmu", "c", "r"] if verb == "verilog" else [None] * 3)


def test_every_parameter_is_told():
    assert {*CONFIG} == {field.name for field in dataclasses.fields(Config)}


@pytest.mark.parametrize("verb", VERBS)
def test_standard_output_has_the_figures_alone(verb, words_of, pagewalk):
    words, _ = words_of(verb)
    code, out, err = pagewalk(*words, "--json", "-")
    assert code == 0
    assert json.loads(out)["version"] == version("pagewalk")
    assert bool(err) == (verb != "verilog")  # the tables


def test_verilog_and_figures_do_not_share_standard_output(refused):
    assert refused("verilog", "--json", "-") == (
        "argument --json: standard output is where the Verilog goes; expected -o")
