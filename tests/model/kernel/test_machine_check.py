"""What contradicts the counts of files and of promises is found."""

import pytest

from pagewalk.model.kernel.calls.syscalls import SystemCalls
from pagewalk.model.physical.errors import BrokenInvariant
from pagewalk.model.x86 import X86_64

from .machines import ANON, PAGE, RW, SHARED, machine


def test_users_and_promises_of_files_are_counted():
    kernel, cpu, process = machine(X86_64)
    call = SystemCalls(kernel)
    process.mm.mmap(0, 5 * PAGE, RW, ANON)
    start = process.mm.mmap(0, 3 * PAGE, RW, SHARED)
    cpu.store(start, b"x")
    fd = call.memfd_create("m", 0)
    file = process.files.get(fd).file
    inode = kernel.files.inodes[file]
    kernel.fork(process)
    kernel.check()
    for change in (1, -1):
        inode.users += change
        with pytest.raises(BrokenInvariant, match=r"^File /memfd:m \(deleted\) has 2 users, but "):
            kernel.check()
        inode.users -= change
    shared = kernel.files.inodes[process.mm.find_vma(start).file]
    shared.allocated -= 1
    with pytest.raises(BrokenInvariant, match=r"^File /dev/zero \(deleted\) has more pages than 0"):
        kernel.check()
    shared.allocated += 1
    kernel.commit.uncharge(1)
    with pytest.raises(BrokenInvariant, match=r"^13 pages are promised, but 12 counted$"):
        kernel.check()
    kernel.commit.charge(1)
    kernel.check()
