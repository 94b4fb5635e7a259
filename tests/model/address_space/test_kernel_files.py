import pytest

from pagewalk.model.address_space.errors import SysError
from pagewalk.model.address_space.kernel_files import HugetlbPool, KernelFiles


def test_files_of_shared_memory_are_numbered_in_order():
    files = KernelFiles()
    first, segment, second = files.open_shmem(), files.open_sysv(0xAB, 9, 4096), files.open_shmem()
    assert [(one.name, one.minor, one.inode) for one in (first, segment, second)] == [
        ("/dev/zero (deleted)", 1, 2), ("/SYSV000000ab (deleted)", 1, 9),
        ("/dev/zero (deleted)", 1, 4)]


def test_the_first_pool_is_the_default():
    files = KernelFiles({2 << 20: HugetlbPool(4, 15, 100), 1 << 30: HugetlbPool(1, 16, 200)})
    opened = [files.open_hugetlb(size) for size in (0, 21, 30)]
    assert [(one.huge_page_bytes, one.minor, one.inode) for one in opened] == [
        (2 << 20, 15, 100), (2 << 20, 15, 101), (1 << 30, 16, 200)]
    with pytest.raises(SysError, match="EINVAL"):
        files.open_hugetlb(22)


def test_a_pool_gives_what_it_has():
    pool = HugetlbPool(2)
    pool.reserve(2)
    with pytest.raises(SysError, match="ENOMEM"):
        pool.reserve(1)
    pool.release(1)
    pool.reserve(1)
    assert pool.free == 0
