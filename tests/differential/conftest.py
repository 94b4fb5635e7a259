"""The two worlds that programs run in."""

import pytest

from .host import not_comparable, read_host
from .native import RunnerError
from .worlds import Worlds


@pytest.fixture(scope="module")
def worlds(tmp_path_factory, request):
    taken_for = request.config.getoption("kernel_release")
    reason = not_comparable(taken_for)
    if reason is not None:
        pytest.skip(reason)
    try:
        worlds = Worlds(tmp_path_factory.mktemp("differential"), read_host(taken_for))
    except RunnerError as error:
        pytest.skip(str(error))
    yield worlds
    worlds.close()
