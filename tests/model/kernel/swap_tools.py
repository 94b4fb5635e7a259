"""The programs of util-linux and file(1) that make and recognise swap areas."""

import os
import shutil
import subprocess

import pytest

PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


def run(tool, *arguments):
    """Return what ``tool`` prints, or skip the test if there is no such tool."""
    program = shutil.which(tool, path=PATH)
    if program is None:
        pytest.skip(f"needs {tool}")
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True,
                          check=True, env={**os.environ, "LC_ALL": "C"})
    return done.stdout


def mkswap(path, pages, *arguments):
    """Make ``path`` a swap area of ``pages`` pages with the real ``mkswap``."""
    path.write_bytes(bytes(pages * 4096))
    path.chmod(0o600)
    run("mkswap", *arguments, path)
    return path
