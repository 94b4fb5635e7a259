import pytest

from pagewalk.model.address_space.errors import SysError
from pagewalk.model.address_space.limits import Commit, Overcommit, UserSpace
from pagewalk.model.address_space.user_layout import USER_AMD64, USER_I686


def test_the_space_of_a_kernel():
    amd64, i686 = (UserSpace.of(build, pkeys=True) for build in (USER_AMD64, USER_I686))
    assert (amd64.task_size, i686.task_size) == (0x7FFF_FFFF_F000, 0xC000_0000)
    assert (amd64.huge_page_bytes, i686.huge_page_bytes) == (2 << 20, 4 << 20)
    assert (amd64.soft_dirty, amd64.pkeys, i686.soft_dirty, i686.pkeys) == (1, 1, 0, 0)
    assert (amd64.search_floor, i686.search_floor) == (0x1000, 0x1_0000)
    assert (amd64.unmapped_base, i686.unmapped_base) == (0x2AAA_AAAA_B000, 0x4000_0000)


@pytest.mark.parametrize(("mode", "first", "second"), [
    (Overcommit.GUESS, 10, 10), (Overcommit.ALWAYS, 99, 99), (Overcommit.NEVER, 6, 3)])
def test_promises_are_kept_by_mode(mode, first, second):
    commit = Commit(limit=10, mode=mode)
    commit.charge(first)
    commit.charge(second)
    for pages in (11, 1) if mode == Overcommit.NEVER else (11,) * (mode == Overcommit.GUESS):
        with pytest.raises(SysError, match="ENOMEM"):
            commit.charge(pages)
    commit.uncharge(second)
    assert commit.committed == first
