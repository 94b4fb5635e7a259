"""Between them the standard configurations have every option, with every word that it can be."""

from dataclasses import fields

import pytest

from pagewalk.hdl.config import RANGES, RULES, SWITCHES, Config
from pagewalk.hdl.replacement import POLICIES
from pagewalk.model.x86 import MODES

from .standard_configs import STANDARD

CONFIGS = [one.config for one in STANDARD.values()]
WORDS = {
    "mode": {*MODES.values(), MODES["x86_64"].without_1g_pages()},
    "policy": {*POLICIES}, "l2_policy": {*POLICIES},
    **{name: {*rules} for name, rules in RULES.items()},
    **{name: {False, True} for name in SWITCHES},
}
NUMBERS = {  # what numbers there must be among others: of small ranges all, of others the lowest
    "hit_latency": {0, 1, 2}, "walk_stages": {1, 2}, "misses": {1, 4, 8}, "walkers": {1, 2, 8},
    "walk_cache": {0, 8}, "l2_entries": {0}, "ways": {0, 1, 4}, "l2_ways": {1, 4}, "tag_bits": {1},
    "large_entries": {1, 4}, "entries": {5, 32}, "paddr_bits": {40}, "access_bytes": {0, 16},
}
L2_ONLY = {"l2_policy", "l2_ways", "prefetch"}


def values(name):
    return {getattr(config, name) for config in CONFIGS
            if config.l2_entries or name not in L2_ONLY}


@pytest.mark.parametrize("name", [field.name for field in fields(Config)])
def test_every_option_comes_up(name):
    if name == "ports":
        assert {len(config.ports) for config in CONFIGS} == {1, 2, 3}
    elif name in WORDS:
        assert values(name) == WORDS[name]
    else:
        assert name in RANGES
        assert values(name) >= NUMBERS[name]


def test_each_is_there_once_and_every_mode_has_several():
    assert len({*CONFIGS}) == len(CONFIGS) >= 8
    assert all(sum(config.mode.name == name for config in CONFIGS) >= 2 for name in MODES)


def test_every_word_of_the_table_is_one_of_the_options():
    """A new option without a standard configuration is found by the test above."""
    assert {*WORDS, *NUMBERS, "ports"} == {field.name for field in fields(Config)}
