"""Numbers of open files, who shares them, and the files that go with the last."""

import errno

import pytest

from pagewalk.model.address_space.errors import SysError
from pagewalk.model.address_space.kernel_files import KernelFiles
from pagewalk.model.address_space.vma import File
from pagewalk.model.kernel.calls.syscalls import SystemCalls
from pagewalk.model.kernel.file_table import FileTable

from .machines import MODES, machine

both = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)


def fails(call, *arguments):
    with pytest.raises(SysError) as caught:
        call(*arguments)
    return caught.value.errno


def test_numbers_of_files():
    file, table = File("file"), FileTable(KernelFiles())
    assert [table.open(file, 1024) for _ in range(3)] == [0, 1, 2]
    table.close(1)
    assert fails(table.get, 1) == errno.EBADF
    assert fails(table.close, 1) == errno.EBADF
    child = table.copy()
    assert table.open(file, 1024) == 1
    assert fails(child.get, 1) == errno.EBADF
    child.get(0).position = 5
    assert table.get(0).position == 5
    table.put()
    assert fails(table.get, 0) == errno.EBADF
    assert child.get(0).position == 5


def test_no_more_than_the_limit():
    file, table = File("file"), FileTable(KernelFiles())
    assert [table.open(file, 2) for _ in range(2)] == [0, 1]
    assert fails(table.open, file, 2) == errno.EMFILE
    table.close(0)
    assert table.open(file, 2) == 0


def test_each_number_is_a_user_of_its_file():
    files = KernelFiles()
    file, table = files.open_shmem(100), FileTable(files)
    table.open(file, 9)
    table.open(file, 9)
    child = table.copy()
    table.put()
    assert (list(files.take_unused()), files.inodes[file].users) == ([], 2)
    child.close(0)
    child.close(1)
    assert [one for one, _ in files.take_unused()] == [file]


@both
def test_a_child_has_its_parent_s_files_until_it_ends(mode):
    kernel, _, process = machine(mode)
    call = SystemCalls(kernel)
    file = File("file")
    kernel.register_file(file, b"text")
    assert call.open(file) == 0
    child = kernel.fork(process)
    assert call.close(0) == 0
    kernel.switch(child)
    assert call.pread(0, 0, 0, 0) == 0
    call.exit()
    assert fails(child.files.get, 0) == errno.EBADF


def test_processes_that_share_a_table():
    file, table = File("file"), FileTable(KernelFiles())
    assert table.share() is table
    table.open(file, 9)
    own = table.unshare()
    assert own is not table
    assert own.open(file, 9) == 1
    assert fails(table.get, 1) == errno.EBADF
    assert table.unshare() is table  # nobody else has it any more
    table.share()
    table.put()
    assert table.get(0).file is file
    table.put()
    assert fails(table.get, 0) == errno.EBADF
    assert own.get(0).users == 1


def test_a_kernel_counts_a_shared_table_once():
    kernel, _, process = machine(MODES[0])
    file = kernel.files.open_memfd("shared", sealable=False)
    process.files.open(file, 9)
    child = kernel.fork(process, shares_files=True, shares_fs=True)
    assert child.files is process.files
    kernel.check()
    kernel.exit(child)
    kernel.check()
    assert process.files.get(0).file is file
