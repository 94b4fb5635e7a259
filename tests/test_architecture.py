"""The arrows between the packages, and the habits of the tree, read from the sources alone.

Each check takes the root of a tree and returns a list of what is wrong in it, so that it can be
shown to find a mistake in a small tree made for the purpose.
"""

import ast
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("hdl", "model", "sim")
MAX_LINES = 350

# What each package may import of the project ...
ARROWS = {
    "hdl": ("pagewalk.hdl", "pagewalk.model.x86"),
    "model": ("pagewalk.model",),
    "sim": ("pagewalk.sim", "pagewalk.hdl", "pagewalk.model"),
}
# ... and what it may not import of the world.
BARRED = {"model": ("amaranth",)}

# Names that several files may bear: the exceptions of a layer, and a verb of the command line,
# which is called as what it shows.
SHARED_NAMES = ("__init__", "errors")
VERBS = "sim/cli"


@dataclass(frozen=True)
class Import:
    """One imported name: where it stands, and the dotted path it leads to."""

    importer: str
    place: str
    target: str
    relative: bool


def source_files(root: Path) -> dict[str, Path]:
    """Return the file of each module of the tree by the module's installed name."""
    files = {}
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            files[".".join(("pagewalk", *parts)).removesuffix(".__init__")] = path
    return files


def imports(root: Path) -> Iterator[Import]:
    """Yield every import of the tree, those inside functions and conditions included."""
    for module, path in source_files(root).items():
        package = ["pagewalk", *path.parent.relative_to(root).parts]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                targets = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                above = package[: max(0, len(package) - node.level + 1)] if node.level else []
                base = ".".join([*above, *filter(None, [node.module])])
                targets = [f"{base}.{alias.name}".lstrip(".") for alias in node.names]
            else:
                continue
            place = f"{path.relative_to(root)}:{node.lineno}"
            relative = isinstance(node, ast.ImportFrom) and node.level > 0
            for target in targets:
                yield Import(module, place, target, relative)


def within(target: str, *packages: str) -> bool:
    """Return whether a dotted path is one of the packages or lies inside one."""
    return any(f"{target}.".startswith(f"{package}.") for package in packages)


def imports_against_arrows(root: Path) -> list[str]:
    """Find imports that no arrow of the design allows."""
    wrong = []
    for one in imports(root):
        folder = one.importer.split(".")[1]
        ours = one.relative or within(one.target, "pagewalk", *FOLDERS)
        if ours and not within(one.target, *ARROWS[folder]):
            wrong.append(f"{one.place} imports {one.target}")
        elif within(one.target, *BARRED.get(folder, ())):
            wrong.append(f"{one.place} imports {one.target}")
    return wrong


def absolute_imports(root: Path) -> list[str]:
    """Find imports of the project's own modules that are not relative."""
    return [
        f"{one.place} imports {one.target}"
        for one in imports(root)
        if not one.relative and within(one.target, "pagewalk", *FOLDERS)
    ]


def import_graph(root: Path) -> dict[str, set[str]]:
    """Return which modules of the tree each module imports, at the top of the file or later."""
    files = source_files(root)
    graph: dict[str, set[str]] = {module: set() for module in files}
    for one in imports(root):
        # `from .a import b` leads to the module a.b if there is one, or else to b inside a.
        for target in (one.target, one.target.rpartition(".")[0]):
            if target in files:
                graph[one.importer].add(target)
                break
    return graph


def a_cycle(graph: dict[str, set[str]]) -> list[str]:
    """Find a chain of modules or folders that import each other."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return [" imports ".join(reversed(error.args[1]))]
    return []


def import_cycles(root: Path) -> list[str]:
    """Find a chain of modules that import each other."""
    return a_cycle(import_graph(root))


def room_cycles(root: Path) -> list[str]:
    """Find a chain of folders that import each other: a room is a layer, its parent another."""
    rooms = {
        module: path.parent.relative_to(root).as_posix()
        for module, path in source_files(root).items()
    }
    graph: dict[str, set[str]] = {room: set() for room in rooms.values()}
    for importer, targets in import_graph(root).items():
        graph[rooms[importer]] |= {rooms[target] for target in targets} - {rooms[importer]}
    return a_cycle(graph)


def homonyms(root: Path) -> list[str]:
    """Find files that only their folder tells apart, and classes of one name in two files.

    What the hardware and the model both call so, after the SDM, is one thing in two forms.
    """
    files: dict[str, list[str]] = defaultdict(list)
    classes: dict[str, list[str]] = defaultdict(list)
    for path in source_files(root).values():
        place = path.relative_to(root)
        if path.stem not in SHARED_NAMES and place.parent.as_posix() != VERBS:
            files[path.name].append(place.as_posix())
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                classes[node.name].append(place.as_posix())
    return [
        f"{name} stands for {' and '.join(places)}"
        for name, places in [*files.items(), *classes.items()]
        if len(places) > 1 and set(places) != {"hdl/shapes.py", "model/x86.py"}
    ]


def long_files(root: Path) -> list[str]:
    """Find files that do more than one thing, judged by their length."""
    counts = {
        path: len(path.read_text(encoding="utf-8").splitlines())
        for path in source_files(root).values()
    }
    return [
        f"{path.relative_to(root)}: {count} lines"
        for path, count in counts.items()
        if count > MAX_LINES
    ]


def package_mistakes(root: Path) -> list[str]:
    """Find folders of Python files that setup.py would not find, and so not install."""
    wrong = [
        f"{folder.relative_to(root).as_posix()} has no __init__.py"
        for folder in sorted({path.parent for path in source_files(root).values()})
        if not (folder / "__init__.py").is_file()
    ]
    facade = root / "model" / "__init__.py"
    if facade.is_file() and facade.read_text(encoding="utf-8"):
        wrong.append("model/__init__.py is not empty: model.x86 would pull in what it imports")
    return wrong


def misnamed_tests(root: Path) -> list[str]:
    """Find names under tests/ that would shadow or join packages."""
    wrong = [
        f"{path.relative_to(root)} turns a folder of tests into a package"
        for path in sorted((root / "tests").rglob("__init__.py"))
    ]
    if (root / "tests" / "cocotb").exists():
        wrong.append("tests/cocotb can shadow the package cocotb")
    return wrong


CHECKS = (
    imports_against_arrows,
    absolute_imports,
    import_cycles,
    room_cycles,
    homonyms,
    long_files,
    package_mistakes,
    misnamed_tests,
)


@pytest.mark.parametrize("check", CHECKS)
def test_the_tree_keeps_its_own_rules(check):
    assert check(ROOT) == []


# Each mistake, as the one file added to a sound tree, and what the check says of it.
MISTAKES = [
    (imports_against_arrows, "model/x86.py", "from amaranth import Signal",
     ["model/x86.py:1 imports amaranth.Signal"]),
    (imports_against_arrows, "model/x86.py", "import amaranth.lib.data",
     ["model/x86.py:1 imports amaranth.lib.data"]),
    (imports_against_arrows, "model/x86.py", "from ..hdl import tlb",
     ["model/x86.py:1 imports pagewalk.hdl.tlb"]),
    (imports_against_arrows, "model/x86.py", "def late():\n    from ..sim.cli import main",
     ["model/x86.py:2 imports pagewalk.sim.cli.main"]),
    (imports_against_arrows, "hdl/tlb.py", "from ..model.mmu.walk import translate",
     ["hdl/tlb.py:1 imports pagewalk.model.mmu.walk.translate"]),
    (imports_against_arrows, "hdl/tlb.py", "from ..model import x86_more",
     ["hdl/tlb.py:1 imports pagewalk.model.x86_more"]),
    (imports_against_arrows, "hdl/tlb.py", "from .. import sim",
     ["hdl/tlb.py:1 imports pagewalk.sim"]),
    (imports_against_arrows, "hdl/tlb.py", "import sim.cli",
     ["hdl/tlb.py:1 imports sim.cli"]),
    (imports_against_arrows, "sim/cli.py", "from ...tests import helper",
     ["sim/cli.py:1 imports tests.helper"]),
    (absolute_imports, "sim/cli.py", "import pagewalk.hdl.mmu",
     ["sim/cli.py:1 imports pagewalk.hdl.mmu"]),
    (absolute_imports, "sim/cli.py", "from model.x86 import MODES",
     ["sim/cli.py:1 imports model.x86.MODES"]),
    (import_cycles, "model/x86.py", "def late():\n    from .mmu.walk import translate",
     ["pagewalk.model.x86 imports pagewalk.model.mmu.walk imports pagewalk.model.x86"]),
    (import_cycles, "model/mmu/__init__.py", "from . import walk",
     []),
    (import_cycles, "sim/cli.py", "from . import cli",
     ["pagewalk.sim.cli imports pagewalk.sim.cli"]),
    (long_files, "hdl/tlb.py", "\n" * (MAX_LINES + 1),
     ["hdl/tlb.py: 351 lines"]),
    (long_files, "hdl/tlb.py", "\n" * MAX_LINES,
     []),
    (package_mistakes, "hdl/bus/axi.py", "",
     ["hdl/bus has no __init__.py"]),
    (package_mistakes, "model/__init__.py", "from . import x86",
     ["model/__init__.py is not empty: model.x86 would pull in what it imports"]),
    (misnamed_tests, "tests/hdl/__init__.py", "",
     ["tests/hdl/__init__.py turns a folder of tests into a package"]),
    (misnamed_tests, "tests/cocotb/test_mmu.py", "",
     ["tests/cocotb can shadow the package cocotb"]),
    (room_cycles, "model/mmu/deep/tlb.py", "from .. import walk",
     []),
    (room_cycles, "model/x86.py", "def late():\n    from .mmu import walk",
     ["model imports model/mmu imports model"]),
    (homonyms, "sim/tlb.py", "",
     ["tlb.py stands for hdl/tlb.py and sim/tlb.py"]),
    (homonyms, "sim/cli/tlb.py", "",
     []),
    (homonyms, "sim/errors.py", "",
     []),
    (homonyms, "sim/other.py", "class Mmu:\n    pass\nclass _Mmu:\n    pass",
     ["Mmu stands for hdl/mmu.py and sim/other.py"]),
]

SOUND = {
    "hdl/__init__.py": "",
    "hdl/tlb.py": "from amaranth import Signal\nfrom ..model.x86 import MODES",
    "hdl/mmu.py": "from ..model import x86\nfrom . import tlb\nclass Mmu:\n    pass",
    "hdl/errors.py": "",
    "model/__init__.py": "",
    "model/x86.py": "import enum",
    "model/mmu/__init__.py": "",
    "model/mmu/walk.py": "from ..x86 import MODES",
    "sim/__init__.py": "",
    "sim/cli.py": "from ..hdl.mmu import Mmu\nfrom ..model.mmu import walk",
    "tests/hdl/test_tlb.py": "from pagewalk.hdl.tlb import Tlb",
}


def plant(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


@pytest.mark.parametrize("check", CHECKS)
def test_a_sound_tree_passes(check, tmp_path):
    assert check(plant(tmp_path, SOUND)) == []


@pytest.mark.parametrize("check", CHECKS)
def test_a_tree_without_sources_passes(check, tmp_path):
    assert check(plant(tmp_path, {"README.md": ""})) == []


@pytest.mark.parametrize(("check", "name", "text", "found"), MISTAKES)
def test_a_mistake_is_found(check, name, text, found, tmp_path):
    assert check(plant(tmp_path, SOUND | {name: text})) == found
