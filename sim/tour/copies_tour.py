"""System calls that copy: the kernel at a program's addresses, and what may go wrong there."""

from collections.abc import Sequence

from ...model.address_space.uapi import MapFlag, Prot
from ...model.x86 import PAGE_BYTES, Cr4
from .process_tour import ProcessTour
from .tour_step import Act, Block

__all__ = ["CopiesTour"]

RW = Prot.READ | Prot.WRITE
PRIVATE = MapFlag.PRIVATE | MapFlag.ANONYMOUS
SEEK_SET = 0
TEXT = b"written by the program"


class CopiesTour(ProcessTour):
    """A program that writes to a file and reads from it, with good and bad pointers.

    Members
    -------
    process
        The program.
    start
        Two pages that are mapped; the next one is not.
    """

    def __init__(self) -> None:
        super().__init__()
        self.process = self.kernel.spawn("tour")
        with self.kernel.acting(self.process):
            self.start = self.process.mm.mmap(0x10_0000, 2 * PAGE_BYTES, RW,
                                              PRIVATE | MapFlag.FIXED)
        for at, byte in enumerate(b"tour\0" + TEXT):
            self.store(self.process, self.start + at, byte)
        self.text = self.start + len(b"tour\0")

    def acts(self) -> Sequence[Act]:
        """Return the steps, to be taken in this order."""
        return (("A name", self._create), ("write", self._write),
                ("read into a page that is not there", self._read),
                ("A buffer that ends too early", self._partial),
                ("A pointer to the kernel", self._kernel_pointer),
                ("A buffer that is read-only", self._read_only),
                ("A page of the child", self._fork))

    def blocks(self) -> tuple[Block, ...]:
        """Return the mappings, and what the process has of them."""
        return (self.smaps(self.process, "Rss", "Shared_Dirty", "Private_Dirty"),
                self.meminfo("Shmem", "AnonPages"))

    def _call(self, name: str, *arguments: int) -> int:
        return self.call(self.process, name, *arguments)

    def _bytes(self, address: int, count: int) -> str:
        found = (self.load(self.process, address + at) for at in range(count))
        return bytes(byte or 0 for byte in found).decode()

    def _create(self) -> str:
        self.fd = self._call("memfd_create", self.start, 0)
        smap = bool(self.kernel.control.cr4 & Cr4.SMAP)
        return (f"The name is at {self.start:#x}, in memory of the program. The kernel reads it "
                f"there with its own rights. CR4.SMAP is {smap:d}, so that it has to set EFLAGS.AC "
                "around each copy; a bug elsewhere that follows a pointer of a program ends in a "
                f"fault. The file is {self.fd}.")

    def _write(self) -> str:
        done = self._call("write", self.fd, self.text, len(TEXT))
        return (f"{done} bytes were copied from {self.text:#x} to a page of the file, with "
                f"{len(self.events) - 1} faults.")

    def _read(self) -> str:
        self._call("lseek", self.fd, 0, SEEK_SET)
        target = self.start + PAGE_BYTES
        done = self._call("read", self.fd, target, len(TEXT))
        return (f"The page at {target:#x} was promised but not there: the copy itself faulted, the "
                f"kernel handled that as it would for the program, and went on. {done} bytes: "
                f"{self._bytes(target, done)!r}.")

    def _partial(self) -> str:
        self._call("lseek", self.fd, 0, SEEK_SET)
        room = len(TEXT) // 2
        target = self.start + 2 * PAGE_BYTES - room
        done = self._call("read", self.fd, target, len(TEXT))
        return (f"{room} bytes behind {target:#x} the mapping ends. The fault there cannot be "
                "handled; the kernel was prepared for that, and the call returned what it had: "
                f"{done} of {len(TEXT)} bytes.")

    def _kernel_pointer(self) -> str:
        address = self.kernel.layout.page_offset
        done = self._call("read", self.fd, address, len(TEXT))
        return (f"{address:#x} is the kernel's own memory. With the rights of the kernel the copy "
                "would succeed, so addresses are compared with the end of user space, "
                f"{self.kernel.layout.task_size:#x}, before: {len(self.events) - 1} faults, and "
                f"the result is {done}.")

    def _read_only(self) -> str:
        self._call("mprotect", self.start + PAGE_BYTES, PAGE_BYTES, Prot.READ)
        self._call("lseek", self.fd, 0, SEEK_SET)
        done = self._call("read", self.fd, self.start + PAGE_BYTES, len(TEXT))
        return ("CR0.WP is set: not even the kernel writes to a page that is read-only. The "
                f"result is {done}.")

    def _fork(self) -> str:
        child = self.kernel.fork(self.process)
        self._call("lseek", self.fd, 0, SEEK_SET)
        done = self._call("read", self.fd, self.start, len(TEXT))
        byte = self.load(child, self.start)
        self.kernel.switch(self.process)
        self.kernel.exit(child)
        return (f"After a fork the page at {self.start:#x} has two owners, and the kernel's store "
                f"makes the copy, as the program's would. {done} bytes; the child's first byte is "
                f"still {byte}.")
