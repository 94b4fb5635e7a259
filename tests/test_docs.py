"""What the documents name exists: files, names in them, headings, and the rules that code cites.

Each check takes the root of a tree and returns a list of what is wrong in it, so that it can be
shown to find a mistake in a small tree made for the purpose, as in ``test_architecture``.
"""

import ast
import fnmatch
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CODE = ("hdl", "model", "sim", "tests")
RULES = "docs/x86-rules.md"
DESIGN = "docs/design.md"
PAGES = ("README.md", "CONTRIBUTING.md", "docs/*.md")
SEVERAL = r"(?: ?(?:,|and|to) ?\d+)*"  # 27, 28 and 35 to 37

# A path in the text, in code or not; `::` and a name in that file may follow.
PATH = re.compile(
    r"(?<![\w./-])((?:docs|examples|hdl|model|sim|tests)/[\w./*{},-]*|[\w-]+\.(?:cff|md|py|toml))"
    r"(?:::([\w.*]+))?")
MODULE = re.compile(r"(?<![\w.])(?:pagewalk\.)?((?:hdl|model|sim)(?:\.\w+)+)")
LINK = re.compile(r"\]\(([^()\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def pages(root: Path) -> Iterator[tuple[Path, str]]:
    """Yield the documents and their texts."""
    for pattern in PAGES:
        for path in sorted(root.glob(pattern)):
            yield path, path.read_text(encoding="utf-8")


def rules(root: Path) -> list[int]:
    """Return the numbers of the rules in their order."""
    path = root / RULES
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return [int(number) for number in re.findall(r"^### Rule (\d+)$", text, re.MULTILINE)]


def cited_rules(root: Path) -> dict[int, list[str]]:
    """Return where each number is cited: ``rule 27``, ``rules 27 to 30``, ``test_rule_27_...``."""
    cited: dict[int, list[str]] = {}
    for folder in CODE:
        for path in sorted((root / folder).rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            for found in re.finditer(rf"(?<![a-z])rules?[ _]\d+{SEVERAL}", text, re.IGNORECASE):
                line = text.count("\n", 0, found.start()) + 1
                for number in re.findall(r"\d+", found[0]):
                    cited.setdefault(int(number), []).append(f"{path.relative_to(root)}:{line}")
    return cited


def unknown_rules(root: Path) -> list[str]:
    """Find citations of rules that are not in the list."""
    known = rules(root)
    return [f"{place} cites rule {number}" for number, places in cited_rules(root).items()
            if number not in known for place in places]


def untested_rules(root: Path) -> list[str]:
    """Find rules that no code cites, and numbers that do not follow one another."""
    known, cited = rules(root), cited_rules(root)
    wrong = [f"rule {number} is cited nowhere" for number in known if number not in cited]
    if known != [*range(1, len(known) + 1)]:
        wrong.append(f"{RULES} has rules {known}")
    return wrong


def spelled_out(pattern: str) -> list[str]:
    """Return the paths that braces stand for: ``a{b,c}`` for ``ab`` and ``ac``."""
    parts = [part.split(",") for part in re.split(r"[{}]", pattern)]
    return ["".join(choice) for choice in product(*parts)]


def names_in(path: Path) -> set[str]:
    """Return the functions, classes, methods and attributes that a Python file defines."""
    names: set[str] = set()

    def collect(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                names.add(prefix + node.name)
                collect(node.body, f"{prefix}{node.name}.")
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                for target in targets:
                    names.update(prefix + one.id for one in ast.walk(target)
                                 if isinstance(one, ast.Name))

    collect(ast.parse(path.read_text(encoding="utf-8")).body, "")
    return names


def missing_paths(root: Path) -> list[str]:
    """Find paths that lead nowhere, and names that are not in the file before them."""
    wrong = []
    for page, text in pages(root):
        for found in PATH.finditer(LINK.sub("]", text)):  # links have a check of their own
            pattern, name = found[1].rstrip(".,"), found[2]
            for one in spelled_out(pattern):
                files = sorted(root.glob(one)) or sorted(page.parent.glob(one))
                if not files:
                    wrong.append(f"{page.relative_to(root)} names {one}")
                elif name and not fnmatch.filter(names_in(files[0]), name.rstrip(".")):
                    wrong.append(f"{page.relative_to(root)} names {one}::{name}")
    return wrong


def missing_modules(root: Path) -> list[str]:
    """Find dotted names of modules that are not there, or do not have what is named of them."""
    wrong = []
    for page, text in pages(root):
        for found in MODULE.finditer(text):
            parts = found[1].split(".")
            place = root / parts.pop(0)
            while parts and (place / parts[0]).is_dir():
                place /= parts.pop(0)
            if parts and (place / f"{parts[0]}.py").is_file():
                place /= f"{parts.pop(0)}.py"
            if parts and not (place.is_file() and ".".join(parts) in names_in(place)):
                wrong.append(f"{page.relative_to(root)} names {found[1]}")
    return wrong


def anchors(text: str) -> set[str]:
    """Return what links to the headings of a page end in."""
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
            for heading in HEADING.findall(text)}


def broken_links(root: Path) -> list[str]:
    """Find links to files and headings that are not there."""
    wrong = []
    for page, text in pages(root):
        for target in LINK.findall(text):
            if re.match(r"[a-z]+:", target):
                continue
            name, _, anchor = target.partition("#")
            path = page.parent / name if name else page
            if not path.exists() or (
                    anchor and anchor not in anchors(path.read_text(encoding="utf-8"))):
                wrong.append(f"{page.relative_to(root)} links to {target}")
    return wrong


def unmapped_folders(root: Path) -> list[str]:
    """Find folders of product code that the map of folders in the design leaves out."""
    path = root / DESIGN
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    folders = {file.parent.relative_to(root).as_posix()
               for folder in CODE[:3] for file in (root / folder).rglob("*.py")}
    return [f"{DESIGN} has no row for {folder}/" for folder in sorted(folders)
            if f"| `{folder}/` |" not in text]


CHECKS = (unknown_rules, untested_rules, missing_paths, missing_modules, broken_links,
          unmapped_folders)


@pytest.mark.parametrize("check", CHECKS)
def test_the_documents_name_what_there_is(check):
    assert check(ROOT) == []


def test_the_documents_were_read():
    """The checks above do not pass because they look at nothing."""
    assert rules(ROOT) == [*range(1, 38)]
    texts = {page.relative_to(ROOT).as_posix(): text for page, text in pages(ROOT)}
    assert texts.keys() >= {"README.md", "docs/x86-rules.md"}
    assert len(PATH.findall(texts["docs/x86-rules.md"])) > 90
    assert len(LINK.findall(texts["docs/x86-rules.md"])) > 10


# Each mistake, as the one file added to a sound tree, and what the check says of it. The numbers
# are put in so that this file does not cite them itself.
MISTAKES = [
    (unknown_rules, "tests/sim/test_tlb.py", f"def test_rule_{99}_holds(): pass",
     [f"tests/sim/test_tlb.py:1 cites rule {99}"]),
    (unknown_rules, "hdl/tlb.py", f"\n# rule {40}\n",
     [f"hdl/tlb.py:2 cites rule {40}"]),
    (unknown_rules, "model/x86.py", f'"""Rules {1} to {2} and {3}."""',
     [f"model/x86.py:1 cites rule {3}"]),
    (unknown_rules, "sim/other.py", f"# an overrule {99}",
     []),
    (untested_rules, "docs/x86-rules.md", "### Rule 1\n### Rule 2\n### Rule 3\n",
     [f"rule {3} is cited nowhere"]),
    (untested_rules, "docs/x86-rules.md", "### Rule 2\n### Rule 1\n",
     ["docs/x86-rules.md has rules [2, 1]"]),
    (missing_paths, "README.md", "see `hdl/walker.py`",
     ["README.md names hdl/walker.py"]),
    (missing_paths, "CONTRIBUTING.md", "    pytest tests/hdl/test_tlb.py tests/hdl/test_other.py",
     ["CONTRIBUTING.md names tests/hdl/test_other.py"]),
    (missing_paths, "docs/style.md", "`hdl/{tlb,port}.py` and `tests/hdl/test_*.py`, in `hdl/`.",
     ["docs/style.md names hdl/port.py"]),
    (missing_paths, "docs/style.md", "`tests/sim/test_*.py`",
     ["docs/style.md names tests/sim/test_*.py"]),
    (missing_paths, "docs/style.md", "`setup.py`",
     ["docs/style.md names setup.py"]),
    (missing_paths, "docs/style.md", "`hdl/tlb.py::Tlb.elaborate` and `hdl/tlb.py::Tlb.fill`",
     ["docs/style.md names hdl/tlb.py::Tlb.fill"]),
    (missing_paths, "docs/style.md", "`tests/hdl/test_tlb.py::test_pages_*`",
     ["docs/style.md names tests/hdl/test_tlb.py::test_pages_*"]),
    (missing_modules, "docs/style.md", "`pagewalk.hdl.tlb`, `hdl.tlb.Tlb`, `hdl.port`",
     ["docs/style.md names hdl.port"]),
    (missing_modules, "docs/style.md", "`hdl.tlb.Port`",
     ["docs/style.md names hdl.tlb.Port"]),
    (broken_links, "docs/style.md", "[rule](x86-rules.md#rule-2) [rule](x86-rules.md#rule-3)",
     ["docs/style.md links to x86-rules.md#rule-3"]),
    (broken_links, "README.md", "[site](https://example.org/x.md) [page](docs/none.md)",
     ["README.md links to docs/none.md"]),
    (unmapped_folders, "hdl/bus/axi.py", "",
     ["docs/design.md has no row for hdl/bus/"]),
    (broken_links, "README.md", "# What it is for\n[here](#what-it-is-for) [there](#what-else)",
     ["README.md links to #what-else"]),
]

SOUND = {
    "README.md": "`hdl/tlb.py` and [the rules](docs/x86-rules.md#rule-1)",
    "docs/x86-rules.md": "### Rule 1\n`tests/hdl/test_tlb.py::test_rule_1_*`\n### Rule 2\n",
    "docs/design.md": "| `hdl/` | the hardware |",
    "hdl/tlb.py": "class Tlb:\n    def elaborate(self): pass",
    "tests/hdl/test_tlb.py": f"def test_rule_{1}_holds(): pass\ndef test_rule_{2}_holds(): pass",
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


@pytest.mark.parametrize(("check", "name", "text", "found"), MISTAKES)
def test_a_mistake_is_found(check, name, text, found, tmp_path):
    assert check(plant(tmp_path, SOUND | {name: text})) == found
