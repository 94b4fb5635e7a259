"""``pagewalk dump``: listings, their formats and filters, and what is refused."""

import json
import lzma
import re
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pagewalk.model.x86 import X86_64
from pagewalk.sim.cli.main import main
from pagewalk.sim.image import Image
from pagewalk.sim.memory_file.open_memory import open_memory

DUMPS = Path(__file__).parents[2] / "data" / "dumps"
GUESTS = json.loads((DUMPS / "guests.json").read_text())
I686 = DUMPS / "i686.kdump.xz"
LA57 = DUMPS / "amd64-la57.kdump.xz"
ROOT = 0x1D2_8000  # of the i686 guest


@pytest.fixture
def dump(capsys):
    """Run ``pagewalk dump`` and return its exit code, output and errors."""
    def run(*words):
        code = main(["dump", *map(str, words)])
        streams = capsys.readouterr()
        return code, streams.out, streams.err

    return run


def printed(name):
    return lzma.decompress((DUMPS / f"{name}.txt.xz").read_bytes()).decode()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tlb", "mem"])
@pytest.mark.parametrize("file", ["elf", "kdump", "lime", "avml", "raw"])
def test_the_lines_are_those_of_the_emulator(kind, file, dump):
    code, out, err = dump(DUMPS / f"i686.{file}.xz", "--format", kind)
    assert (code, out) == (0, printed(f"i686.cpu0.{kind}"))
    assert ("has no registers" in err) == (file not in ("elf", "kdump"))


@pytest.mark.slow
def test_each_processor_can_be_chosen(dump):
    for number in (0, 1):
        _, out, _ = dump(LA57, "--format", "tlb", "--cpu", number)
        assert out == printed(f"amd64-la57.cpu{number}.tlb")
    code, _, err = dump(LA57, "--cpu", 2)
    assert code == 2
    assert err == ("pagewalk: error: argument --cpu: is 2; expected less than 2, the number of "
                   f"processors whose registers {LA57} has\n")


def test_the_table_of_a_guest(dump):
    code, out, err = dump(I686)
    lines = out.splitlines()
    assert (code, err) == (0, "")
    assert lines[0] == (f"{I686}: kdump, 80.2 MiB of physical memory at 0x0-0x5000000, "
                        "0xfffc0000-0x100000000")
    assert lines[2] == ("CPU 0: ia32 paging, CR3 0x1d28000, CR0 0x80050033, CR4 0x350ed0, "
                        "EFER 0x0; 6,329 pages mapped")
    assert lines[3:5] == [
        "start    end        size page    pages rights first frame at region",
        "08049000 0804a000     4K   4K        1 ur-x   0x000003e6b000 user"]
    assert lines[-1] == "findings: none"
    assert len(lines) == 5 + 101


@pytest.mark.slow
def test_the_same_page_again_and_again_is_one_line(dump):
    _, out, _ = dump(DUMPS / "amd64.kdump.xz")
    assert len(out.splitlines()) < 220
    line, = [line for line in out.splitlines() if "espfix" in line]
    assert line.endswith("espfix; 65,535 times more, every 0x10000 up to ffffff49ffff1000")
    assert "user, !! W+X" in out
    assert out.endswith("findings:\n  !! W+X: 1 page, the first at 0x7f1078dda000\n")


@pytest.mark.slow
@pytest.mark.parametrize("file", ["elf", "kdump", "lime", "avml", "raw"])
def test_the_figures_are_those_of_the_listing(file, dump):
    code, out, _ = dump(DUMPS / f"i686.{file}.xz", "--cr3", hex(ROOT), "--cr4", "0x350ed0",
                        "--json", "-")
    figures = json.loads(out)
    assert code == 0
    mappings = figures["mappings"]
    assert mappings == figures["cpus"][0]["mappings"]
    assert mappings[0] == {"start": 0x8049000, "end": 0x804A000, "page_bytes": 4096, "pages": 1,
                           "rights": "ur-x", "paddr": 0x3E6B000, "region": "user"}
    assert sum(one["pages"] for one in mappings) == figures["cpus"][0]["pages"] == 6329
    assert figures["cpus"][0]["findings"] == []


def test_filters(dump):
    def ranges(*words):
        _, out, _ = dump(I686, "--json", "-", *words)
        return [(one["start"], one["rights"]) for one in json.loads(out)["mappings"]]

    every = ranges()
    assert ranges("--filter", "w") == [one for one in every if "w" in one[1]]
    assert ranges("--filter", "u,x") == [one for one in every if one[1][0] + one[1][3] == "ux"]
    assert ranges("--between", "0x8049000", "0x10000000") == every[:2]
    assert ranges("--between", "0", "0x8049001") == every[:1]
    assert ranges("--between", "0x1000", "0x2000", "--filter", "w") == []


@pytest.mark.slow
def test_tables_tell_what_processors_share(dump):
    _, out, _ = dump(LA57, "--tables", "--json", "-")
    tables = json.loads(out)["tables"]
    assert [(one["pfn"], one["cpus"]) for one in tables if one["table"] == "PML5 table"] == [
        (int(cpu["cr3"], 16) >> 12, [f"CPU {number}"])
        for number, cpu in enumerate(GUESTS["amd64-la57"]["cpus"])]
    shared = [one for one in tables if len(one["cpus"]) == 2]
    assert any(one["table"] == "page-directory-pointer table" for one in shared)
    _, out, _ = dump(LA57, "--tables")
    assert out.count("CPU 0, CPU 1  shared\n") == len(shared)


def test_a_frame_tells_what_maps_it(dump):
    _, out, _ = dump(I686, "--frame", hex(ROOT >> 12))
    assert out.splitlines()[3:] == [
        "CPU 0: frame 0x1d28 is a page directory, from 0x0 on",
        "CPU 0: frame 0x1d28 is mapped at 0xc1d28000, in a page of 4K, -rwx"]
    _, out, _ = dump(I686, "--frame", "0xfffff")
    assert out.splitlines()[3:] == ["CPU 0: nothing maps frame 0xfffff"]
    _, out, _ = dump(I686, "--frame", ROOT >> 12, "--json", "-")
    assert json.loads(out)["cpus"][0]["frame"] == [
        {"vaddr": 0xC1D28000, "page_bytes": 4096, "rights": "-rwx"}]


@pytest.mark.slow
def test_the_search_lists_roots(dump):
    _, out, _ = dump(DUMPS / "i686.raw.xz", "--search")
    assert out.splitlines()[1:] == ["CR3            mode            pages  maps itself",
                                    "0x1d28000      ia32            6,329  yes"]
    _, out, _ = dump(DUMPS / "i686.raw.xz", "--search", "--json", "-")
    assert json.loads(out)["candidates"] == [
        {"cr3": ROOT, "mode": "ia32", "pages": 6329, "maps_itself": True}]


@pytest.mark.slow
def test_a_raw_file_may_have_memory_at_other_places(dump, tmp_path):
    flat = lzma.decompress((DUMPS / "i686.raw.xz").read_bytes())
    path = tmp_path / "parts"
    path.write_bytes(flat[0x100_0000:] + flat[:0x100_0000])
    end = len(flat)
    _, out, _ = dump(path, "--map", f"0x1000000-{end:#x}@0", "--map",
                     f"0-0x1000000@{end - 0x100_0000}", "--format", "tlb", "--cr3", hex(ROOT))
    assert out == printed("i686.cpu0.tlb")


@pytest.mark.slow
def test_an_image_is_dumped_by_its_views(dump):
    path, name = Image.shipped_path(X86_64), Image.shipped(X86_64).views[0].name
    code, out, _ = dump(path, "--view", name)
    assert code == 0
    assert f"\n{name}: x86_64 paging, CR3 " in out


REFUSED = [
    (["--cr3", "0x7000"], r"argument --cr3: .*|.*CR3 0x7000 of CR3 maps nothing.*"),
    (["--cr3", "0xfffffffffffff000", "--mode", "x86_64"], r".*has no memory at .*"),
    (["--mode", "x86_64"], r"argument --mode: is the mode of --cr3, which is missing.*"),
    (["--mode", "pae"], r"argument --mode: invalid choice.*"),
    (["--cr3", "0x10000000000000000"], r"argument --cr3: expected a number of 64 bits.*"),
    (["--cr3", "-1"], r"argument --cr3: expected .*"),
    (["--cr3", "\u0661"], r"argument --cr3: expected a number of 64 bits.*"),
    (["--cr4", "0x20"], r".*CPU 0 has PAE paging .*"),
    (["--cr0", "0"], r".*CPU 0 has no paging .*"),
    (["--cpu", "7"], r"argument --cpu: is 7; expected less than 1.*"),
    (["--filter", "rwq"], r"argument --filter: expected letters of w, x and u, not 'rwq'"),
    (["--filter", ""], r"argument --filter: expected letters of w, x and u, not ''"),
    (["--between", "5", "5"], r"argument --between: 0x5 is not behind 0x5; expected .*"),
    (["--frame", "0x10000000000"], r"argument --frame: expected a number of 40 bits.*"),
    (["--map", "5-6"], r"argument --map: expected START-END@OFFSET.*"),
    (["--map", "0x1-0x2@0"], r"argument --map: expected START-END@OFFSET.*"),
    (["--map", "0-0xffffffffff@0"], r".*ends at byte .*"),
    (["--view", "x"], r".*has no views; expected a memory image .*"),
]


@pytest.mark.parametrize(("words", "what"), REFUSED, ids=lambda value: str(value)[:40])
def test_what_is_refused_is_one_line(words, what, dump):
    code, out, err = dump(I686, *words)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert re.fullmatch(rf"pagewalk: error: ({what})", err.rstrip("\n")), err


@pytest.mark.slow
@given(cr3=st.integers(0, (1 << 64) - 1) | st.integers(0, 0x4FFF).map(lambda pfn: pfn << 12),
       mode=st.sampled_from(["ia32", "x86_64", "la57", None]))
@settings(max_examples=60, deadline=None, suppress_health_check=[
    HealthCheck.function_scoped_fixture])
def test_a_wild_cr3_is_one_line(cr3, mode, capsys, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "i686.raw"
    if not path.exists():
        with lzma.open(DUMPS / "i686.raw.xz") as packed, path.open("wb") as out:
            shutil.copyfileobj(packed, out)
    words = [] if mode is None else ["--mode", mode]
    code = main(["dump", str(path), "--cr3", hex(cr3), *words])
    err = capsys.readouterr().err
    assert code in (0, 2)
    assert err.count("\n") == (code == 2)


def test_the_guest_is_that_of_the_registers():
    assert [cpu.control.cr3 for cpu in open_memory(I686).cpus] == [ROOT]
