"""Random traffic on the MMU's Verilog in Icarus Verilog, compared cycle by cycle.

The environment variable ``PAGEWALK_SEED`` replays a run, or makes another one.
"""

import os
from pathlib import Path

import pytest
from cocotb_tools.runner import get_runner

from pagewalk.hdl.config import Config
from pagewalk.hdl.verilog import to_verilog
from pagewalk.model.x86 import IA32, MODES, X86_64

HERE = Path(__file__).parent


@pytest.mark.cocotb
@pytest.mark.slow
@pytest.mark.parametrize(("mode", "walk_cache"), [
    *((mode, Config.walk_cache) for mode in MODES), (IA32.name, 0), (X86_64.name, 0)])
def test_verilog_agrees_with_the_reference_in_every_cycle(mode, walk_cache, tmp_path, monkeypatch):
    config = Config(mode=MODES[mode], walk_cache=walk_cache)
    source = tmp_path / "mmu.v"
    source.write_text(to_verilog(config))
    seed = os.environ.get("PAGEWALK_SEED", "2")
    print(f"replay with PAGEWALK_SEED={seed}")
    monkeypatch.syspath_prepend(HERE)  # the runner hands sys.path on to the simulator
    runner = get_runner("icarus")
    runner.build(sources=[source], hdl_toplevel="pagewalk_mmu", build_dir=tmp_path,
                 build_args=["-g2012", "-Wall"], timescale=("1ns", "1ps"))
    runner.test(
        test_module="bench_mmu", hdl_toplevel="pagewalk_mmu", build_dir=tmp_path,
        test_dir=tmp_path,
        extra_env={
            "PAGEWALK_MODE": mode,
            "PAGEWALK_ENTRIES": str(config.entries),
            "PAGEWALK_WALK_CACHE": str(config.walk_cache),
            "PAGEWALK_SEED": seed,
        })
