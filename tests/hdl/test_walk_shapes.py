import pytest
from amaranth import Shape

from pagewalk.hdl.config import Config
from pagewalk.hdl.walk_shapes import WalkStep, key_layout, place_layout, table_layout
from pagewalk.model.x86 import MODES


@pytest.fixture(params=[Config(mode=mode, paddr_bits=bits)
                        for mode in MODES.values() for bits in (32, 52)],
                ids=lambda config: f"{config.mode.name}-{config.paddr_bits}")
def config(request):
    return request.param


def test_a_place_is_an_entry_of_a_table_at_any_level(config):
    layout = place_layout(config)
    widths = {name: Shape.cast(field.shape).width for name, field in layout}
    level_bits = {"ia32": 1, "x86_64": 2, "la57": 3}[config.mode.name]
    assert widths == {"level": level_bits, "table": config.root_bits + 3, "updating": 1}
    assert layout["table"].shape == table_layout(config)


def test_a_key_is_a_page_number_and_a_pcid(config):
    assert key_layout(config).size == config.vpn_bits + 12


def test_steps_have_codes_of_their_own_and_begin_is_the_one_of_a_cleared_signal():
    assert WalkStep(0) is WalkStep.BEGIN
    assert sorted(step.value for step in WalkStep) == list(range(6))
