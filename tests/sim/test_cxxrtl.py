"""The compiled engine: what it keeps for next time, and what it does when something is wrong."""

import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from pagewalk.hdl.config import Config
from pagewalk.hdl.toolchain import ToolFailed, ToolMissing
from pagewalk.model.mmu.walk import Control
from pagewalk.model.physical.memory import PhysicalMemory
from pagewalk.model.x86 import IA32, X86_64, Entry, InvalidateOp
from pagewalk.sim.engine import compiled, create, cxxrtl, recipe
from pagewalk.sim.engine.base import EngineStalled
from pagewalk.sim.engine.command import accesses, invalidation
from pagewalk.sim.engine.memory_model import MemoryModel

pytestmark = pytest.mark.slow

CONFIG = Config(mode=IA32, entries=1, policy="random", ports=("only",), tag_bits=1)
ROOT, TABLE, PAGE = 0x1000, 0x2000, 0x3000
DESIGN = cache(compiled.design_text)
CONTROL = Control(ROOT, cr4=0, efer=0)

# Yosys keeps its own compilation below the folder that these tests take from it.
YOWASP_CACHE = os.environ.get("YOWASP_CACHE_DIR") or str(
    Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "YoWASP")

# It takes the place of g++, which would need some seconds for each test.
FAKE_COMPILER = """\
#!{python}
import pathlib, sys
if "--version" in sys.argv:
    print("a compiler for tests")
else:
    with open({log!r}, "a") as log:
        print(sys.argv[-1], file=log)
    pathlib.Path(sys.argv[-1]).write_bytes(pathlib.Path({library!r}).read_bytes())
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """The library of ``CONFIG``, made by the real g++."""
    folder = tmp_path_factory.mktemp("real")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("YOWASP_CACHE_DIR", YOWASP_CACHE)
        patch.setenv("XDG_CACHE_HOME", str(folder))
        cxxrtl.CxxrtlEngine(CONFIG)
    path, = folder.glob("pagewalk/*.so")
    return path


class Toolchain:
    """A g++ of our own, alone on PATH, and an empty cache."""

    def __init__(self, folder, library):
        self.cache = folder / "cache" / "pagewalk"
        self._log = folder / "log"
        self._compiler = folder / "bin" / "g++"
        self._compiler.parent.mkdir()
        self.install(FAKE_COMPILER.format(
            python=sys.executable, log=str(self._log), library=str(library)))

    def install(self, script):
        self._compiler.write_text(script)
        self._compiler.chmod(0o755)

    def uninstall(self):
        self._compiler.unlink()

    @property
    def compilations(self):
        return len(self._log.read_text().split()) if self._log.exists() else 0

    @property
    def kept(self):
        path, = self.cache.glob("*.so")
        return path


@pytest.fixture
def toolchain(tmp_path, library, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("YOWASP_CACHE_DIR", YOWASP_CACHE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(cxxrtl, "run_yosys", lambda *_: None)
    monkeypatch.setattr(compiled, "design_text", DESIGN)
    return Toolchain(tmp_path, library)


@pytest.fixture
def memory():
    """Page tables that map the first page."""
    memory = PhysicalMemory()
    memory.add([ROOT >> 12, TABLE >> 12])
    flags = Entry.P | Entry.RW | Entry.US
    memory.write(ROOT, 4, TABLE | flags)
    memory.write(TABLE, 4, PAGE | flags)
    return memory


def works(engine, memory):
    run = engine.run(memory, accesses(CONTROL, [0x123, 0x456]))
    return run.answers["paddr"].tolist() == [PAGE + 0x123, PAGE + 0x456]


def test_a_library_is_compiled_once(toolchain, memory):
    assert works(cxxrtl.CxxrtlEngine(CONFIG), memory)
    assert works(cxxrtl.CxxrtlEngine(CONFIG, latency=5), memory)
    assert toolchain.compilations == 1
    assert toolchain.kept.exists()


def test_another_design_is_another_library(toolchain, monkeypatch):
    cxxrtl.CxxrtlEngine(CONFIG)
    monkeypatch.setattr(recipe, "FLAGS", (*recipe.FLAGS, "-g"))
    cxxrtl.CxxrtlEngine(CONFIG)
    assert toolchain.compilations == 2


def test_kept_libraries_need_no_tools(toolchain, memory, monkeypatch):
    cxxrtl.CxxrtlEngine(CONFIG)
    toolchain.uninstall()
    monkeypatch.setattr(cxxrtl, "run_yosys", None)
    assert works(cxxrtl.CxxrtlEngine(CONFIG), memory)


def test_processes_share_libraries(toolchain):
    script = """if True:
        from pagewalk.hdl.config import Config
        from pagewalk.model.x86 import IA32
        from pagewalk.sim.engine.cxxrtl import CxxrtlEngine
        CxxrtlEngine(Config(mode=IA32, entries=1, policy="random", ports=("only",), tag_bits=1))
    """
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    # The text of a design must not depend on how a process orders its sets.
    runs = [subprocess.Popen([sys.executable, "-c", script], env=env | {"PYTHONHASHSEED": seed})
            for seed in "12"]
    assert [run.wait() for run in runs] == [0, 0]
    assert toolchain.compilations == 1


def truncate(content):
    return content[:len(content) // 2]


def flip_a_bit(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1:]


@pytest.mark.parametrize("damage", [truncate, flip_a_bit, lambda _: b""],
                         ids=["truncated", "flipped", "empty"])
def test_a_damaged_library_is_made_anew(toolchain, memory, damage):
    cxxrtl.CxxrtlEngine(CONFIG)
    # Not in place, as this process has the file mapped.
    damaged = damage(toolchain.kept.read_bytes())
    path = toolchain.kept
    path.unlink()
    path.write_bytes(damaged)
    assert works(cxxrtl.CxxrtlEngine(CONFIG), memory)
    assert toolchain.compilations == 2
    assert works(cxxrtl.CxxrtlEngine(CONFIG), memory)
    assert toolchain.compilations == 2


def test_a_cache_that_cannot_be_written_is_done_without(toolchain, memory):
    toolchain.cache.parent.touch()
    assert works(cxxrtl.CxxrtlEngine(CONFIG), memory)
    assert works(cxxrtl.CxxrtlEngine(CONFIG), memory)
    assert toolchain.compilations == 2


def test_missing_compiler(toolchain):
    toolchain.uninstall()
    with pytest.raises(ToolMissing, match=r"^g\+\+ is missing: install it with '.*install g\+\+'$"):
        cxxrtl.CxxrtlEngine(CONFIG)


def test_failing_compiler(toolchain):
    toolchain.install('#!/bin/sh\n[ "$1" = --version ] || { echo disk full >&2; exit 1; }\n')
    with pytest.raises(ToolFailed, match=r"^g\+\+ failed: disk full$"):
        cxxrtl.CxxrtlEngine(CONFIG)
    assert not list(toolchain.cache.glob("*.so"))


@pytest.mark.usefixtures("toolchain")
def test_engines_of_one_design_have_tlbs_of_their_own(memory):
    one, other = (cxxrtl.CxxrtlEngine(CONFIG) for _ in range(2))
    access = accesses(CONTROL, 0x123)
    assert one.run(memory, access).events["only_miss"] == 1
    assert one.run(memory, access).events["only_miss"] == 0
    assert other.run(memory, access).events["only_miss"] == 1


@pytest.mark.usefixtures("toolchain")
def test_flags_are_set_in_place(memory):
    frames = memory.frames
    cxxrtl.CxxrtlEngine(CONFIG).run(memory, accesses(CONTROL, 0x123, 1))
    assert memory.read(TABLE, 4) & (Entry.A | Entry.D) == Entry.A | Entry.D
    assert np.shares_memory(frames, memory.frames)
    assert (frames == memory.frames).all()


@pytest.mark.usefixtures("toolchain")
def test_no_commands_take_no_time(memory):
    run = cxxrtl.CxxrtlEngine(CONFIG).run(memory, accesses(CONTROL, []))
    assert len(run.answers) == run.cycles == sum(run.events.values()) == 0


@pytest.mark.usefixtures("toolchain")
def test_commands_need_not_be_contiguous(memory):
    commands = accesses(CONTROL, [0x123, 0x5000, 0x456, 0x6000])
    run = cxxrtl.CxxrtlEngine(CONFIG).run(memory, commands[::2])
    assert run.answers["paddr"].tolist() == [PAGE + 0x123, PAGE + 0x456]


@pytest.mark.usefixtures("toolchain")
def test_a_port_that_is_not_there(memory):
    flush = invalidation(CONTROL, InvalidateOp.INVPCID_ALL)
    flush["port"] = 7  # of no meaning
    commands = np.concatenate([flush, accesses(CONTROL, 0x123, port=1)])
    with pytest.raises(IndexError, match=r"^Command 1 is for port 1, of 1$"):
        cxxrtl.CxxrtlEngine(CONFIG).run(memory, commands)


@pytest.mark.parametrize("name", ["amaranth", "cxxrtl"])
@pytest.mark.usefixtures("toolchain")
def test_stalled_hardware_is_given_up(memory, monkeypatch, name):
    engine = create(name, CONFIG, latency=50)
    with monkeypatch.context() as patch:
        patch.setattr(MemoryModel, "stall_limit", 20)
        with pytest.raises(EngineStalled, match=r"^No progress for 20 cycles, at command 1 of 2$"):
            engine.run(memory, accesses(CONTROL, [0x123, 0x456]))
    assert works(engine, memory)


def test_an_answer_with_a_wrong_tag_is_noticed(memory, monkeypatch):
    read = "return take(top.p_only__rsp__tag);"
    glue = compiled.glue_text(CONFIG)
    assert glue.count(read) == 1
    glue = glue.replace(read, "return 0;")
    monkeypatch.setattr(compiled, "glue_text", lambda _: glue)
    monkeypatch.setattr(recipe, "FLAGS", (*recipe.FLAGS, "-O0"))
    with pytest.raises(AssertionError, match=r"^Answer in cycle 9 is to no command that waits$"):
        cxxrtl.CxxrtlEngine(CONFIG).run(memory, accesses(CONTROL, [0x123, 0x456]))


@pytest.mark.parametrize("mode", [IA32, X86_64], ids=lambda mode: mode.name)
def test_every_memory_has_an_address_of_a_bit_or_more(mode):
    # `memory_index` of CXXRTL reads the address of a memory of one word from beyond its object.
    text = DESIGN(Config(mode, entries=1, walk_cache=1))
    ports = re.findall(r"cell \$mem(?:rd|wr)\w* .*?parameter \\ABITS (\d+)", text, re.DOTALL)
    assert len(ports) == 2 * (len(mode.levels) + 1)  # the walk cache, and a TLB for each port
    assert "0" not in ports
