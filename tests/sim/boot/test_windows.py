"""Windows of recorded boots, and the mistakes of an MMU that they notice."""

from functools import cache
from pathlib import Path

import pytest

from pagewalk.hdl.config import Config
from pagewalk.model.x86 import IA32, X86_64
from pagewalk.sim.boot.log_checks import load_log
from pagewalk.sim.boot.replay_log import replay_log
from pagewalk.sim.engine import create

from ..engine_runs import COMPILED
from .planted_bugs import BuggyEngine

pytestmark = pytest.mark.slow

DATA = Path(__file__).parents[2] / "data" / "boot"

WINDOWS = {  # and how many translations are in each
    "pti": 283_197,
    "nopcid": 194_625,
    "swap": 196_332,
    "tables": 296_604,
    "i686": 190_926,
    "1g": 195_419,
    "pge": 30_354,
    "la57": 200_000,
}


def window(name):
    return load_log(DATA / f"{name}.ltr.xz")


@pytest.mark.parametrize("engine", COMPILED)
@pytest.mark.parametrize("name", WINDOWS)
def test_the_hardware_agrees(name, engine):
    log = window(name)
    result = replay_log(log, create(engine, Config(log.mode, paddr_bits=log.paddr_bits)))
    assert (result.total, result.mismatches, result.spurious_faults) == (WINDOWS[name], 0, 0)


@pytest.mark.parametrize("name", WINDOWS)
def test_the_golden_walk_agrees(name):
    log = window(name)
    result = replay_log(log, create("model", Config(log.mode, paddr_bits=log.paddr_bits)),
                        limit=20_000)
    assert (result.total, result.mismatches) == (20_000, 0)


@cache
def buggy(mode):
    create("cxxrtl", Config(mode))  # whose text, which is kept, must not be taken for the other's
    return BuggyEngine(mode)


@pytest.mark.parametrize(("bug", "name"), [
    ("PCID ignored", "pti"),
    ("INVLPG ignored", "i686"),
    ("INVLPG keeps global pages", "i686"),
    ("MOV CR3 ignored", "nopcid"),
    ("MOV CR3 keeps the walk cache", "nopcid"),
    ("#PF drops nothing", "pti"),
])
def test_a_mistake_is_noticed(bug, name):
    log = window(name)
    engine = buggy(IA32 if log.mode is IA32 else X86_64)
    engine.choose("none")
    assert replay_log(log, engine).agreed
    engine.choose(bug)
    assert not replay_log(log, engine).agreed
