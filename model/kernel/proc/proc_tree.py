"""``/proc`` as a file system: the model's own figures, by path. [fs/proc/root.c, fs/proc/base.c]"""

import errno
import stat
from collections.abc import Callable

from ...address_space.errors import SysError
from ...address_space.maps_text import maps_text
from ..kernel import Kernel
from ..process import Process
from ..tasks.task import TaskGroup
from ..tasks.task_table import TaskTable
from ..vfs.file_system import FileSystem
from ..vfs.folder import Folder, FolderEntry, path_of
from ..vfs.text_stream import TextStream
from ..vfs.vnode import MagicLink, SpecialFile, SymbolicLink, VfsNode, Volume
from .meminfo import meminfo
from .oom_files import oom_score, oom_score_adj, write_oom_score_adj
from .process_memory import cmdline, environ
from .smaps import smaps, smaps_rollup
from .status import statm, status
from .sysctl_vm import SysctlVm
from .task_files import stat_line
from .vmstat import vmstat

__all__ = ["mount_proc"]

VERSION = "Linux version 6.1.0 (pagewalk) #1 SMP PREEMPT_DYNAMIC Debian 6.1.0-1\n"
NO_LOGIN = f"{(1 << 32) - 1}"  # nobody has logged in [INVALID_UID]
Text = Callable[[], str | bytes]


def mount_proc(system: FileSystem, kernel: Kernel, tasks: TaskTable | None = None) -> Folder:
    """Put ``/proc`` into the root of a file system; return it.

    It has ``meminfo``, ``vmstat``, ``version``, ``uptime``, ``loadavg``, ``self``, ``sys/vm``, and
    a folder for each process, of which ``tasks`` knows parents and signals. The machine was
    started just now.
    """
    folder = system.new_root(0o555, Volume.PROC)
    _put_text(folder, "meminfo", lambda: meminfo(kernel))
    _put_text(folder, "vmstat", lambda: vmstat(kernel))
    _put_machine(system, folder, kernel)
    folder.put(b"self", SymbolicLink(folder.volume, stat.S_IFLNK | 0o777,
                                     text=lambda: b"%d" % _current(kernel).pid))
    _put_sysctl(folder, kernel)
    folder.fixed, folder.lower = True, _Processes(kernel, system, folder, tasks)
    system.mount(system.root, b"proc", folder)
    return folder


def _put_machine(system: FileSystem, folder: Folder, kernel: Kernel) -> None:
    """Put what is known of the machine into the root. [fs/proc/uptime.c, loadavg.c, version.c]"""
    boot = system.clock()

    def uptime() -> str:
        hundredths = (system.clock() - boot) // 10 ** 7
        return f"{hundredths // 100}.{hundredths % 100:02} 0.00\n"

    def loadavg() -> str:
        count = len(kernel.processes)
        return f"0.00 0.00 0.00 1/{count} {max(kernel.processes, default=0)}\n"
    _put_text(folder, "uptime", uptime)
    _put_text(folder, "loadavg", loadavg)
    _put_text(folder, "version", lambda: VERSION)


def _current(kernel: Kernel) -> Process:
    if kernel.current is None:
        raise SysError(errno.ENOENT)
    return kernel.current


def _put_text(folder: Folder, name: str, make: Text,
              write: Callable[[bytes], None] | None = None) -> None:
    """Put a file into a folder whose text is made when it is read."""
    def text() -> bytes:
        made = make()
        return made if isinstance(made, bytes) else made.encode(errors="surrogateescape")
    mode = stat.S_IFREG | (0o444 if write is None else 0o644)
    folder.put(name.encode(), SpecialFile(folder.volume, mode, uid=folder.uid, gid=folder.gid,
                                          opener=lambda _: TextStream(text, write)))


def _folder(parent: Folder, mode: int = 0o555) -> Folder:
    return Folder(parent.volume, stat.S_IFDIR | mode, uid=parent.uid, gid=parent.gid, links=2)


def _put_sysctl(root: Folder, kernel: Kernel) -> None:
    """Put ``sys/vm`` into the root. [vm_table in kernel/sysctl.c]"""
    system, tunables, files = _folder(root), _folder(root), SysctlVm(kernel)

    def put(name: str) -> None:
        _put_text(tunables, name, lambda: files.read(name),
                  lambda data: files.write(name, data.decode(errors="replace")))
    for name in files:
        put(name)
    root.put(b"sys", system)
    system.put(b"vm", tunables)
    system.fixed = tunables.fixed = True


class _Processes:
    """The folders of the processes that live; see ``LowerFolder``."""

    def __init__(self, kernel: Kernel, system: FileSystem, root: Folder,
                 tasks: TaskTable | None) -> None:
        self._kernel = kernel
        self._tasks = tasks
        self._system = system
        self._root = root
        self._made: dict[int, tuple[Process, Folder]] = {}

    def look(self, name: bytes) -> VfsNode | None:
        """Return the folder of a process."""
        if not name.isdigit() or name.startswith(b"0"):
            return None
        process = self._kernel.processes.get(int(name))
        if process is None:
            return None
        made = self._made.get(process.pid)
        if made is None or made[0] is not process:
            self._made = {pid: one for pid, one in self._made.items()
                          if pid in self._kernel.processes}
            self._made[process.pid] = process, self._make(process)
        return self._made[process.pid][1]

    def listing(self) -> list[FolderEntry]:
        """Return the numbers of all processes."""
        return [FolderEntry(b"%d" % pid, 0x1000 + pid, stat.S_IFDIR)
                for pid in sorted(self._kernel.processes)]

    def _make(self, process: Process) -> Folder:
        state, folder = self._kernel.state, _folder(self._root)
        folder.uid, folder.gid = process.credentials.euid, process.credentials.egid
        for name, make in (
                ("maps", lambda: maps_text(process.mm)), ("smaps", lambda: smaps(state, process)),
                ("smaps_rollup", lambda: smaps_rollup(state, process)),
                ("status", lambda: status(process, self._group(process))),
                ("loginuid", lambda: NO_LOGIN), ("statm", lambda: statm(process)),
                ("cmdline", lambda: cmdline(process)),
                ("environ", lambda: environ(process)), ("comm", lambda: process.name + "\n"),
                ("oom_score", lambda: oom_score(state, process))):
            _put_text(folder, name, self._of_living(process, make))
        if self._tasks is not None:
            _put_text(folder, "stat", self._of_living(process, lambda: self._stat(process)))
        _put_text(folder, "oom_score_adj", lambda: oom_score_adj(process),
                  lambda data: write_oom_score_adj(
                      process, data.decode(errors="replace"),
                      privileged=_current(self._kernel).mm.privileged))
        folder.put(b"exe", self._link(folder, lambda: process.exe))
        folder.put(b"cwd", self._link(folder, lambda: process.fs.folder if process.fs else None))
        folder.put(b"root", self._link(folder, lambda: process.fs.root if process.fs else None))
        numbers = _folder(folder, 0o500)
        numbers.lower, numbers.fixed = _Numbers(self, process, numbers), True
        folder.put(b"fd", numbers)
        folder.fixed = True
        return folder

    def _group(self, process: Process) -> TaskGroup | None:
        """Return the tasks of a process, None if nobody knows."""
        return self._tasks.groups.get(process.pid) if self._tasks is not None else None

    def _stat(self, process: Process) -> str:
        group = self._group(process)
        if group is None:
            raise SysError(errno.ESRCH)
        return stat_line(process, group)

    def _of_living(self, process: Process, make: Text) -> Text:
        """Return what makes a text as long as a process lives; ESRCH then."""
        def text() -> str | bytes:
            if self._kernel.processes.get(process.pid) is not process:
                raise SysError(errno.ESRCH)
            return make()
        return text

    def _link(self, folder: Folder, target: Callable[[], VfsNode | None]) -> MagicLink:
        """Return a link to a node that may be another each time."""
        def node() -> VfsNode:
            found = target()
            if found is None:
                raise SysError(errno.ENOENT)
            return found
        return MagicLink(folder.volume, stat.S_IFLNK | 0o777, own_size=64, target=node,
                         text=lambda: path_of(node(), self._system.root))

    def link_to_number(self, folder: Folder, process: Process, fd: int) -> MagicLink:
        """Return the link to what a process has open under a number. [proc_fd_link]"""
        def node() -> VfsNode:
            found = process.files.get(fd).node
            if found is None:
                raise SysError(errno.ENXIO)
            return found

        def text() -> bytes:
            opened = process.files.get(fd)
            if opened.node is None or (opened.node.parent is None and opened.stream is not None):
                return opened.file.name.encode(errors="surrogateescape")
            return path_of(opened.node, self._system.root)
        return MagicLink(folder.volume, stat.S_IFLNK | 0o700, own_size=64, target=node, text=text)


class _Numbers:
    """What a process has open; see ``LowerFolder``."""

    def __init__(self, processes: _Processes, process: Process, folder: Folder) -> None:
        self._processes = processes
        self._process = process
        self._folder = folder

    def look(self, name: bytes) -> VfsNode | None:
        """Return the link of a number."""
        if not name.isdigit() or int(name) not in self._process.files.numbers:
            return None
        return self._processes.link_to_number(self._folder, self._process, int(name))

    def listing(self) -> list[FolderEntry]:
        """Return all numbers."""
        return [FolderEntry(b"%d" % fd, 0x8000 + fd, stat.S_IFLNK)
                for fd in self._process.files.numbers]
