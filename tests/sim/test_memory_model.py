"""The behaviour of memory and requesters: what it may be, and the numbers that it is drawn from."""

import math

import numpy as np
import pytest

from pagewalk.hdl.config import Config
from pagewalk.model.x86 import IA32
from pagewalk.sim.engine import ENGINES, create
from pagewalk.sim.engine.memory_model import MOST_LATENCY, PURPOSES, MemoryModel, draw


def test_draws_are_those_of_splitmix64():
    """The reference implementation, https://prng.di.unimi.it/splitmix64.c, with x = 1234567."""
    first = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    assert [draw(1234567, step) for step in range(1, 5)] == first


def test_draws_of_one_purpose_say_nothing_of_another():
    model = MemoryModel(seed=3)
    keys = [model.key(purpose) for purpose in range(len(PURPOSES) + 2)]
    assert len({*keys, *(MemoryModel(seed=4).key(purpose) for purpose in range(6))}) == 12
    tosses = np.array([[draw(key, cycle) >> 63 for cycle in range(4000)] for key in keys])
    same = np.abs(np.corrcoef(tosses) - np.eye(len(keys)))
    assert same.max() < 5 / math.sqrt(4000)


def test_a_chance_comes_as_often_as_it_says():
    key = MemoryModel(seed=5).key(0)
    draws = np.array([draw(key, cycle) >> 11 for cycle in range(20_000)])
    for chance in (0.001, 0.25, 0.9):
        came = (draws < MemoryModel.threshold(chance)).mean()
        assert abs(came - chance) < 5 * math.sqrt(chance * (1 - chance) / 20_000)
    assert (draws < MemoryModel.threshold(1)).all()
    assert not (draws < MemoryModel.threshold(0)).any()


def test_a_latency_alone_is_a_model():
    assert MemoryModel.of(7) == MemoryModel(latency=7)
    assert MemoryModel.of(7).latencies == (7, 7)
    assert MemoryModel.of(MemoryModel((1, MOST_LATENCY))).latencies == (1, MOST_LATENCY)
    assert MemoryModel() == MemoryModel(1, 0, 0, 0, 0)


def test_stalls_are_waited_for():
    assert MemoryModel(7).stall_limit == 170
    assert MemoryModel((1, 7), error_rate=1).stall_limit == 170
    # 0.5**58 is below 10**-17.
    assert MemoryModel(7, request_stall=0.5).stall_limit == 170 + 10 * 58
    assert MemoryModel(7, answer_stall=0.5, request_stall=0.5).stall_limit == 170 + 11 * 58


RANGE = r"Memory latency must be from 1 to 10000, not "


@pytest.mark.parametrize(("parameters", "message"), [
    ({"latency": 0}, RANGE + "0"),
    ({"latency": 10_001}, RANGE + "10001"),
    ({"latency": (0, 5)}, RANGE + "0"),
    ({"latency": (1, 10_001)}, RANGE + "10001"),
    ({"latency": (5, 4)}, "Memory latencies must be the lowest and the highest, not 5 and 4"),
    ({"latency": (1, 2, 3)}, r"Memory latencies must be two numbers, not \(1, 2, 3\)"),
    ({"request_stall": 1}, "Parameter request_stall must be from 0 to 0.99, not 1"),
    ({"request_stall": -0.5}, "Parameter request_stall must be from 0 to 0.99, not -0.5"),
    ({"answer_stall": 1.5}, "Parameter answer_stall must be from 0 to 0.99, not 1.5"),
    ({"error_rate": 1.01}, "Parameter error_rate must be from 0 to 1, not 1.01"),
    ({"error_rate": math.nan}, "Parameter error_rate must be from 0 to 1, not nan"),
    ({"seed": -1}, "Seed must be from 0 to 18446744073709551615, not -1"),
    ({"seed": 1 << 64}, "Seed must be from 0 to 18446744073709551615, not 18446744073709551616"),
])
def test_values_out_of_range(parameters, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        MemoryModel(**parameters)


@pytest.mark.parametrize(("parameters", "message"), [
    ({"latency": 1.0}, r"Memory latency must be an integer, not 1\.0"),
    ({"latency": True}, "Memory latency must be an integer, not True"),
    ({"latency": (1, "2")}, "Memory latency must be an integer, not '2'"),
    ({"latency": [1, 2]}, r"Memory latency must be an integer, not \[1, 2\]"),
    ({"request_stall": "often"}, "Parameter request_stall must be a number, not 'often'"),
    ({"answer_stall": None}, "Parameter answer_stall must be a number, not None"),
    ({"error_rate": True}, "Parameter error_rate must be a number, not True"),
    ({"seed": 0.5}, r"Seed must be an integer, not 0\.5"),
])
def test_values_of_another_type(parameters, message):
    with pytest.raises(TypeError, match=f"^{message}$"):
        MemoryModel(**parameters)


@pytest.mark.parametrize("name", ENGINES)
def test_no_engine_takes_a_latency_out_of_range(name):
    for latency in (0, 10_001):
        with pytest.raises(ValueError, match=f"^{RANGE}{latency}$"):
            create(name, Config(mode=IA32), latency)
