"""``/proc/PID/status`` and ``statm``. [fs/proc/array.c, task_mem in fs/proc/task_mmu.c]

It lacks the lines of what a process does not have here: capabilities, filters of calls, processors.
Linux counts the pages of [vdso] among those of files, too.
"""

from ...address_space.vma import page_align
from ...x86 import PAGE_BYTES, PAGE_SHIFT
from ..process import Process
from ..tasks.task import TaskGroup
from .memory_counts import resident_pages
from .task_files import head_lines, tail_lines

__all__ = ["statm", "status"]

NAME_BYTES = 15  # of a command's name [TASK_COMM_LEN]
ESCAPED = {"\n": "\\n", "\\": "\\\\"}


def status(process: Process, group: TaskGroup | None = None) -> str:
    """Return the file; without what its tasks are, if nobody knows."""
    name = process.name.encode()[:NAME_BYTES].decode(errors="ignore")
    name = "".join(ESCAPED.get(letter, letter) for letter in name)
    head = {"State": "R (running)", "Tgid": f"{process.pid}", "Pid": f"{process.pid}",
            "TracerPid": "0"}
    tail = {"Threads": "1"}
    if group is not None:
        head, tail = head_lines(process, group), tail_lines(group)
    lines = [f"Name:\t{name}\n", *(f"{field}:\t{text}\n" for field, text in head.items())]
    lines += [f"{figure}:\t{size >> 10:8} kB\n" for figure, size in _memory(process).items()]
    lines += ["CoreDumping:\t0\n", "THP_enabled:\t1\n"]
    lines += [f"{field}:\t{text}\n" for field, text in tail.items()]
    return "".join(lines)


def statm(process: Process) -> str:
    """Return ``/proc/PID/statm``: all in pages. [proc_pid_statm]"""
    mm = process.mm
    anon, file, shmem = resident_pages(process)
    text = page_align(mm.end_code) - (mm.start_code & -PAGE_BYTES) >> PAGE_SHIFT
    shared = file + shmem
    return f"{mm.total_vm} {shared + anon} {shared} {text} 0 {mm.data_vm + mm.stack_vm} 0\n"


def _memory(process: Process) -> dict[str, int]:
    """Return the figures of the address space, in bytes. [task_mem, hugetlb_report_usage]"""
    mm, space = process.mm, process.space
    anon, file, shmem = resident_pages(process)
    resident = anon + file + shmem
    text = min(page_align(mm.end_code) - (mm.start_code & -PAGE_BYTES), mm.exec_vm * PAGE_BYTES)
    pages = {
        "VmPeak": max(mm.total_vm, mm.hiwater_vm), "VmSize": mm.total_vm, "VmLck": mm.locked_vm,
        "VmPin": 0, "VmHWM": max(resident, space.hiwater_rss), "VmRSS": resident,
        "RssAnon": anon, "RssFile": file, "RssShmem": shmem, "VmData": mm.data_vm,
        "VmStk": mm.stack_vm,
    }
    figures = {name: count * PAGE_BYTES for name, count in pages.items()}
    return figures | {
        "VmExe": text, "VmLib": mm.exec_vm * PAGE_BYTES - text,
        "VmPTE": space.tables.pgtables_bytes, "VmSwap": space.swapped * PAGE_BYTES,
        "HugetlbPages": space.huge.usage * PAGE_BYTES,
    }
