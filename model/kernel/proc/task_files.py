"""``/proc/PID/stat``, and what ``status`` says of tasks. [fs/proc/array.c]"""

from collections.abc import Iterable

from ..process import Process
from ..tasks.signal_info import SignalInfo
from ..tasks.signal_rules import DEFAULT, IGNORE, bit
from ..tasks.task import TaskGroup
from .memory_counts import resident_pages

__all__ = ["head_lines", "stat_line", "tail_lines"]

TICK = 10 ** 7  # nanoseconds; USER_HZ is 100
LEAST_NUMBERS = 64  # that a table of open files has room for [NR_OPEN_DEFAULT]
STATES = {"R": "running", "S": "sleeping", "T": "stopped"}
INFINITE = (1 << 64) - 1
LOW = 0x7FFF_FFFF  # the signals that ``stat`` has room for


def _state(group: TaskGroup) -> str:
    """Return the letter for what the first task does: R, S or T. [get_task_state]"""
    if group.stopped:
        return "T"
    waits = group.tasks and group.tasks[0].waiting is not None
    return "S" if waits else "R"


def _parent(group: TaskGroup) -> int:
    return group.parent.pid if group.parent is not None else 0


def head_lines(process: Process, group: TaskGroup) -> dict[str, str]:
    """Return the lines of ``status`` before those of memory, by name. [task_state]"""
    who, state = process.credentials, _state(group)
    umask = process.fs.umask if process.fs is not None else 0
    numbers = max([LEAST_NUMBERS, *(fd + 1 for fd in process.files.numbers)])
    return {
        "Umask": f"{umask:04o}", "State": f"{state} ({STATES[state]})", "Tgid": f"{group.pid}",
        "Ngid": "0", "Pid": f"{group.pid}", "PPid": f"{_parent(group)}", "TracerPid": "0",
        "Uid": f"{who.uid}\t{who.euid}\t{who.saved_uid}\t{who.euid}",
        "Gid": f"{who.gid}\t{who.egid}\t{who.saved_gid}\t{who.egid}",
        "FDSize": f"{1 << (numbers - 1).bit_length()}",
        "Groups": "".join(f"{one} " for one in who.groups) or " ",
        "NStgid": f"{group.pid}", "NSpid": f"{group.pid}", "NSpgid": f"{group.pgid}",
        "NSsid": f"{group.sid}",
    }


def tail_lines(group: TaskGroup) -> dict[str, str]:
    """Return the lines of ``status`` behind those of memory, by name. [task_sig]"""
    first = group.tasks[0] if group.tasks else None
    masks = {
        "SigPnd": _mask(first.pending) if first is not None else 0,
        "ShdPnd": _mask(group.pending), "SigBlk": first.blocked if first is not None else 0,
        "SigIgn": _ignored(group), "SigCgt": _caught(group),
    }
    return {"Threads": f"{len(group.tasks)}",
            **{name: f"{mask:016x}" for name, mask in masks.items()},
            "NoNewPrivs": f"{int(group.no_new_privs)}"}


def _mask(infos: Iterable[SignalInfo]) -> int:
    found = 0
    for info in infos:
        found |= bit(info.number)
    return found


def _ignored(group: TaskGroup) -> int:
    return sum(bit(number) for number, one in group.actions.items() if one.handler == IGNORE)


def _caught(group: TaskGroup) -> int:
    return sum(bit(number) for number, one in group.actions.items()
               if one.handler not in (DEFAULT, IGNORE))


def stat_line(process: Process, group: TaskGroup) -> str:
    """Return ``/proc/PID/stat``; no terminal, one processor, started at 0. [do_task_stat]"""
    mm, first = process.mm, group.tasks[0] if group.tasks else None
    fields: list[object] = [
        group.pid, f"({process.name})", _state(group), _parent(group), group.pgid, group.sid,
        0, -1, 0,  # terminal, its process group, flags
        process.min_flt, 0, process.maj_flt, 0,
        group.run_time // TICK, 0, group.children_time // TICK, 0,
        20 + group.nice, group.nice, len(group.tasks), 0, 0,  # no timer; when it was started
        mm.total_vm << 12, sum(resident_pages(process)), INFINITE,
        mm.start_code, mm.end_code, mm.start_stack, 0, 0,
        _mask(first.pending) & LOW if first is not None else 0,
        first.blocked & LOW if first is not None else 0,
        _ignored(group) & LOW, _caught(group) & LOW,
        0, 0, 0, group.exit_signal, 0, 0, 0, 0,  # ... processor, priority, policy, delays
        0, 0,  # time for guests
        mm.start_data, mm.end_data, mm.start_brk,
        mm.arg_start, mm.arg_end, mm.env_start, mm.env_end, 0,
    ]
    return " ".join(map(str, fields)) + "\n"
