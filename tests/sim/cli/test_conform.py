import json

import numpy as np
import pytest

from pagewalk.model.x86 import IA32, X86_64
from pagewalk.sim.cli import vcd_option
from pagewalk.sim.engine.model import ModelEngine


def test_conform_agrees(pagewalk, vectors_file, tmp_path):
    file = tmp_path / "figures.json"
    code, out, err = pagewalk("conform", vectors_file("x86_64"), "--engine", "model",
                              "--limit", 300, "--json", file)
    assert (code, err) == (0, "")
    assert out.split()[:4] == ["x86_64,", "model", "vectors", "300"]
    assert "cycles" not in out
    figures = json.loads(file.read_text())
    assert (figures["total"], figures["mismatches"], figures["mismatches_by_field"]) == (300, 0, {})
    assert (figures["engine"], figures["mode"], figures["cycles"]) == ("model", "x86_64", 0)
    assert figures["seconds"] > 0


@pytest.mark.slow
def test_hardware_has_cycles(pagewalk, vectors_file, tmp_path):
    file = tmp_path / "figures.json"
    assert pagewalk("conform", vectors_file("ia32"), "--limit", 100, "--json", file)[0] == 0
    figures = json.loads(file.read_text())
    assert figures["engine"] == "cxxrtl"
    assert figures["cycles"] > 1000
    assert figures["events"]["walk_start"] == 100


@pytest.mark.parametrize("mode", [IA32, X86_64], ids=lambda mode: mode.name)
def test_a_mismatch_is_exit_1_and_a_walk(mode, pagewalk, vector_arrays, write_image, tmp_path):
    arrays, file = vector_arrays(mode), tmp_path / "figures.json"
    row = int(np.flatnonzero(arrays["fault"] == 0)[0])
    arrays["pa"][row] ^= 1 << 20
    arrays["after"][row, 0] ^= 1 << 9
    code, out, err = pagewalk("conform", write_image(arrays), "--engine", "model", "--json", file)
    assert (code, err) == (1, "")
    root = mode.levels[0].name.lower()
    assert f"Mismatch in row {row}, field pa: expected {arrays['pa'][row]:#x}, got 0x" in out
    assert f"Mismatch in row {row}, field after_{root}: expected 0x" in out
    assert out.count("The golden model walks") == 1
    assert "  in pa" in out
    figures = json.loads(file.read_text())
    assert figures["mismatches"] == 1
    assert figures["mismatches_by_field"] == {"pa": 1, f"after_{root}": 1}


def test_geometry_reaches_the_engine(pagewalk, vectors_file, monkeypatch):
    seen = []

    def create(name, config, latency):
        seen.append((name, config.mode, config.entries, config.policy, config.paddr_bits, latency))
        return ModelEngine(config.mode, config.physical_bits)

    monkeypatch.setattr(vcd_option, "create", create)
    arguments = ["conform", vectors_file("ia32"), "--limit", 50]
    assert pagewalk(*arguments)[0] == 0
    assert pagewalk(*arguments, "--engine", "amaranth", "--entries", 6, "--policy", "lru",
                    "--paddr-bits", 36, "--latency", 9)[0] == 1  # the file is of MAXPHYADDR 40
    assert seen == [("cxxrtl", IA32, 32, "plru", 40, 1), ("amaranth", IA32, 6, "lru", 36, 9)]


@pytest.mark.parametrize(("arguments", "message"), [
    ([], "the following arguments are required: VECTORS.npz"),
    (["x", "--limit", "0"], "argument --limit: expected a whole number from 1, not '0'"),
    (["x", "--engine", "qemu"], "argument --engine: invalid choice: 'qemu'"),
])
def test_bad_usage_is_one_line(arguments, message, refused):
    assert refused("conform", *arguments).startswith(message)


def test_bad_input_is_one_line(refused, vector_arrays, write_image, small, tmp_path):
    path = tmp_path / "none.npz"
    assert refused("conform", path).startswith(f"{path}: cannot be read: No such file")
    small.save(path)
    assert refused("conform", path) == (
        f"{path}: va is missing; expected one value for each access")
    arrays = vector_arrays(X86_64)
    arrays["efer"][3] = 0
    path = write_image(arrays)
    assert refused("conform", path) == (
        f"{path}: efer holds 0x0 for access 3; expected LMA set, as in x86_64 paging, the mode of "
        "access 0")
