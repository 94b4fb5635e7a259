"""The wheel holds every file of the packages and works far from the checkout."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("hdl", "model", "sim")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("git") is None, reason="git"),
]

# Imports the modules named on its command line and prints the file of each.
IMPORT_ALL = """
import importlib, sys
for name in sys.argv[1:]:
    print(importlib.import_module(name).__file__)
"""


def run(*command, cwd):
    """Run a command that sees nothing of the checkout, and return what it prints."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Copy what a commit would hold, so that the build leaves nothing in the checkout."""
    copy = tmp_path_factory.mktemp("sources")
    listing = run(
        "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT
    )
    for name in filter(None, listing.split("\0")):
        if (ROOT / name).is_file():  # not deleted since the last commit
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
    return copy


@pytest.fixture(scope="module")
def wheel(sources, tmp_path_factory):
    """Build the wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "-w", folder, sources, cwd=folder)
    (built,) = folder.glob("pagewalk-*.whl")
    return built


def test_wheel_holds_every_file_of_the_packages(sources, wheel):
    files = {
        f"pagewalk/{path.relative_to(sources).as_posix()}"
        for folder in FOLDERS
        for path in (sources / folder).rglob("*")
        if path.is_file()
    }
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if name.startswith("pagewalk/")}
    assert held == files


def test_wheel_works_in_a_clean_venv(sources, wheel, tmp_path):
    venv, elsewhere = tmp_path / "venv", tmp_path / "elsewhere"
    elsewhere.mkdir()
    run(sys.executable, "-m", "venv", venv, cwd=elsewhere)
    run(venv / "bin" / "pip", "install", wheel, cwd=elsewhere)

    modules = [
        ".".join(("pagewalk", *path.relative_to(sources).with_suffix("").parts))
        for folder in FOLDERS
        for path in sorted((sources / folder).rglob("*.py"))
    ]
    names = [module.removesuffix(".__init__") for module in modules]
    places = run(venv / "bin" / "python", "-c", IMPORT_ALL, *names, cwd=elsewhere).split("\n")[:-1]
    assert len(places) == len(names)
    assert [place for place in places if not Path(place).is_relative_to(venv)] == []

    run(venv / "bin" / "pagewalk", "run", cwd=elsewhere)
