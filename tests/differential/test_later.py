"""The rules of later kernels, and the document that lists them."""

from pathlib import Path

import pytest

from pagewalk.model.address_space import merge, mm, mmap, smaps_text

from .later import DIFFERENCES, later_rules

DOCUMENT = Path(__file__).parents[2] / "docs/verification.md"


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda one: one.what.strip("."))
def test_each_difference_is_documented(difference):
    how = ("the model has the rule" if difference.rule is not None
           else f"programs leave out {difference.avoided}")
    row = f"| {difference.since[0]}.{difference.since[1]} | {difference.what} | {how} |"
    assert row in DOCUMENT.read_text().splitlines()


def patched():
    return (mm.mremap, mm.madvise, mmap.map_region, mmap._merge_new, merge.may_share_anon_vma,
            tuple(smaps_text.MNEMONICS.values()))


def test_the_model_has_the_rules_of_later_kernels_for_a_while_only():
    before = patched()
    with later_rules((6, 1)):
        assert patched() == before
    with later_rules((6, 18)):
        assert not any(one == other for one, other in zip(patched(), before, strict=True))
    with later_rules((6, 18), [one.what for one in DIFFERENCES]):
        assert patched() == before
    assert patched() == before
