"""The list of packages, found and not written: a new room cannot be forgotten.

``packages.find`` of pyproject.toml cannot put a prefix before the names that it finds.
"""

from setuptools import find_packages, setup

FOLDERS = ("hdl", "model", "sim")

setup(packages=[
    f"pagewalk.{package}"
    for folder in FOLDERS
    for package in (folder, *(f"{folder}.{room}" for room in find_packages(folder)))
])
