"""The two worlds that programs run in."""

import pytest

from .host import not_comparable, read_host
from .native import RunnerError
from .native_exec import Launcher
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


@pytest.fixture(scope="module")
def launcher(tmp_path_factory, request):
    reason = not_comparable(request.config.getoption("kernel_release"))
    if reason is not None:
        pytest.skip(reason)
    return Launcher(tmp_path_factory.mktemp("launcher"))
