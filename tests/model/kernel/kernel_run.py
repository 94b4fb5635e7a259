"""The test program of the boots on the kernel model, call by call and access by access."""

from uuid import UUID

from pagewalk.model.address_space.exec_program import exec_program
from pagewalk.model.address_space.vma import File
from pagewalk.model.kernel.kernel import Kernel
from pagewalk.model.kernel.swap.file import SwapFile
from pagewalk.model.kernel.thp import ThpEnabled
from pagewalk.model.x86 import MODES

from ..address_space import linux_programs
from ..address_space.linux_run import ARGUMENTS, DATA, FACTS, Machine, Run
from .machines import MIB, PAGE, Cpu

__all__ = ["KernelRun", "swap_area"]

FILE_PAGES = 64  # of /tmp/file.bin that the program has written


class KernelRun(Run):
    """A process on the kernel model, which has the boot's huge pages, but none of 1 Gbyte."""

    def __init__(self, machine: Machine, process: str, files: dict[str, File],
                 swap: SwapFile) -> None:
        self.machine, self.arch, self._files = machine, machine.arch, files
        mode = MODES["x86_64" if self.arch == "amd64" else "ia32"]
        self.kernel = Kernel.boot(mode, 64 * MIB, pke=self.arch == "amd64")
        self._set_huge_pages_aside()
        machine.kernel_files = self.kernel.files
        machine.kernel_files.hugetlb = machine.pools
        self.kernel.state.thp.enabled = ThpEnabled.ALWAYS
        self.kernel.swapon(swap)
        self.process = self.kernel.spawn(process)
        self.process.mm.privileged = True
        self.kernel.switch(self.process)
        self.mm = self.process.mm
        self.cpu = Cpu(self.kernel)
        self.faults: list[tuple[int, int]] = []
        for file in files.values():
            if not (file.is_shmem or file.vm_flags):
                self.kernel.register_file(file, bytes(1 << 20))
        program = linux_programs.program(self.arch, "/zoo_static", files)
        exec_program(self.mm, program, self.kernel.user.layout(), ARGUMENTS, FACTS)
        self.base = self._lowest(program.file)
        self._log = iter((DATA / machine.boot / "proc" / f"{process}.actions.txt").read_text()
                         .splitlines()[1:])

    def _set_huge_pages_aside(self) -> None:
        """Put pools of the kernel in place of those that only count, where there is memory."""
        pools = self.machine.pools
        for size, counted in pools.items():
            pool = self.kernel.state.hugetlb[size]
            if self.kernel.set_nr_hugepages(counted.free, size) == counted.free:
                pool.minor, pool.next_inode = counted.minor, counted.next_inode
                pools[size] = pool
            else:
                del self.kernel.state.hugetlb[size]

    @classmethod
    def start(cls, boot: str, swap: SwapFile) -> "KernelRun":
        """Return the process as it comes to map and touch its memory."""
        machine = Machine(boot)
        files = dict(machine.files("s1"))
        files["/tmp/file.bin"] = File("/tmp/file.bin", is_shmem=True)
        run = cls(machine, "s1", files, swap)
        linux_programs.start_static(run, "/zoo_static")
        run.faults.clear()
        state = run.kernel.state
        pages = state.page_cache.space(files["/tmp/file.bin"])
        for index in range(FILE_PAGES):
            pfn, _ = state.file_page(pages, index)
            state.page_cache.set_dirty(pfn)
            state.lruvec.set_referenced(pfn)  # as write(2) does
            state.frames.put(pfn)
        return run

    def fork(self) -> None:
        """Go on as the child; ``back`` goes on as the parent."""
        child = self.kernel.fork(self.process)
        self.kernel.switch(child)

    def back(self) -> None:
        self.kernel.switch(self.process)

    def _access(self, start: int, pages: range, access) -> None:
        known = len(self.cpu.results)
        handle = self.kernel.handle_page_fault

        def watched(address, error_code, **options):
            self.faults.append((address // PAGE, error_code))
            return handle(address, error_code, **options)

        self.kernel.handle_page_fault = watched
        for page in pages:
            access(start + page * PAGE)
        self.kernel.handle_page_fault = handle
        assert len(self.cpu.results) - known <= 2 * len(pages)

    def write(self, start: int, pages: range) -> None:
        self._access(start, pages, lambda vaddr: self.cpu.store(vaddr, b"data"))

    def read(self, start: int, pages: range) -> None:
        self._access(start, pages, lambda vaddr: self.cpu.load(vaddr, 4))

    def write_huge(self, start: int, pages: range) -> None:
        """Write to pages that may be huge, but for one of 1 Gbyte."""
        vma = self.mm.tree.lookup(start)
        if vma is not None and vma.page_bytes < 1 << 30:
            self.write(start, pages)

    read_huge = read

    def populated(self, start: int, pages: range) -> None:
        """Leave alone what a call has filled."""


def swap_area(folder):
    """An area that is large enough for what the program pages out."""
    return SwapFile.create(folder / "swap", 4096, uuid=UUID(int=1))
