import pytest

from pagewalk.model.address_space.errors import SysError
from pagewalk.model.address_space.pkeys import ProtectionKeys


def test_the_lowest_free_key_is_given_out():
    keys = ProtectionKeys(available=True)
    assert [keys.alloc() for _ in range(15)] == list(range(1, 16))
    with pytest.raises(SysError, match="ENOSPC"):
        keys.alloc()
    assert keys.for_execute_only() == 0
    keys.free(7)
    assert keys.for_execute_only() == 7
    assert not keys.is_allocated(7)
    for key in (7, 16, -1):
        with pytest.raises(SysError, match="EINVAL"):
            keys.free(key)


def test_a_processor_without_keys_has_key_0():
    keys = ProtectionKeys(available=False)
    with pytest.raises(SysError, match="ENOSPC"):
        keys.alloc()
    assert keys.is_allocated(0)
    assert not keys.is_allocated(1)
