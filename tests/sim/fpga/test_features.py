"""The list of features has whatever a designer may choose."""

import argparse
from dataclasses import fields

import pytest

from pagewalk.hdl.config import RULES, Config
from pagewalk.hdl.replacement import POLICIES
from pagewalk.sim.cli.whole_config import add_config, config_of
from pagewalk.sim.fpga.features import BASES, feature_rows


def configs():
    """The configuration of each row, by its name, and what that is compared with."""
    parser = argparse.ArgumentParser()
    add_config(parser)
    made = {row.name: config_of(parser.parse_args(row.words.split())) for row in feature_rows()}
    assert len(made) == len(feature_rows())
    return made, {row.name: row.over for row in feature_rows()}


CONFIGS, OVER = configs()


def changed(name):
    """The fields that a row changes."""
    return {field.name for field in fields(Config) if OVER[name]
            and getattr(CONFIGS[name], field.name) != getattr(CONFIGS[OVER[name]], field.name)}


@pytest.mark.parametrize("mode", BASES)
def test_every_field_is_that_of_a_feature_in_each_mode(mode):
    names = {name for row in OVER if row.split(",")[0] == mode for name in changed(row)}
    all_names = {field.name for field in fields(Config)}
    # The only mode of 32 bits has nothing else to choose in its place.
    assert names == all_names - ({"mode"} if mode == "ia32" else set())


@pytest.mark.parametrize("name", OVER)
def test_a_row_changes_something_and_comes_after_what_it_is_compared_with(name):
    if name in BASES:
        assert not OVER[name]
    else:
        assert changed(name)
        assert [*OVER].index(OVER[name]) < [*OVER].index(name)


@pytest.mark.parametrize("mode", BASES)
def test_every_word_that_a_parameter_may_be_is_measured(mode):
    for field, words in {**RULES, "policy": POLICIES}.items():
        assert {getattr(CONFIGS[name], field) for name in OVER
                if name.split(",")[0] == mode} == {*words}, field
