"""A machine with less memory than its process has written."""

from .machines import ANON, PAGE, RW, machine

__all__ = ["swapping", "write_all"]


def write_all(cpu, start, pages):
    for number in range(pages):
        cpu.store(start + number * PAGE, number.to_bytes(2, "little"))


def swapping(mode, device, pages=1500):
    """A process that has written more pages than there are frames."""
    kernel, cpu, process = machine(mode, megabytes=4)
    kernel.swapon(device)
    start = process.mm.mmap(0, pages * PAGE, RW, ANON)
    write_all(cpu, start, pages)
    return kernel, cpu, process, start
