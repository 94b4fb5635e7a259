"""Files of ``/proc/sys/vm``: tunables of a kernel that runs. [vm_table in kernel/sysctl.c]

Those are there that the model minds. ``lowmem_reserve_ratio`` and ``swappiness`` are left out, and
an ``overcommit_ratio`` below 0, which Linux takes for a huge one.
"""

import errno
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ...address_space.errors import SysError
from ..kernel import Kernel

__all__ = ["SysctlVm"]

INT_MAX = (1 << 31) - 1
MIN_HIGH_FRACTION = 8  # of per-CPU lists, if it is not 0 [MIN_PERCPU_PAGELIST_HIGH_FRACTION]
NUMBER = re.compile(r"\s*(-?)(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)(?:\s|$)")


@dataclass(frozen=True, slots=True)
class _Tunable:
    """A file: how its number is read and set, and within which bounds."""

    read: Callable[[], int]
    write: Callable[[int], object]
    least: int
    most: int


class SysctlVm:
    """The tunables of a kernel, by the names of their files.

    Parameters
    ----------
    kernel
        The kernel.
    """

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._word_max = kernel.space.word(-1)
        self._files = self._promises() | self._page_allocator()
        self._files["max_map_count"] = _Tunable(
            lambda: kernel.space.max_map_count,
            lambda value: setattr(kernel.space, "max_map_count", value), 0, INT_MAX)
        self._files["nr_hugepages"] = _Tunable(
            lambda: next(iter(kernel.state.hugetlb.values())).total, kernel.set_nr_hugepages,
            0, self._word_max)

    def __iter__(self) -> Iterator[str]:
        """Yield the names of the files."""
        return iter(self._files)

    def read(self, name: str) -> str:
        """Return the text of a file; raise ``SysError(ENOENT)`` if it is not there."""
        return f"{self._file(name).read()}\n"

    def write(self, name: str, text: str) -> None:
        """Write to a file what ``echo`` would: the first number in it counts.

        It is decimal, octal after 0 or hexadecimal after 0x. Raise ``SysError``: ENOENT if there is
        no such file, EINVAL for what is no number or out of bounds. [proc_get_long]
        """
        file, found = self._file(name), NUMBER.match(text)
        if found is None:
            raise SysError(errno.EINVAL)
        digits = found[2]
        base = 16 if digits[:2].lower() == "0x" else 8 if digits[0] == "0" else 10
        value = int(digits, base) * (-1 if found[1] else 1)
        if not file.least <= value <= file.most:
            raise SysError(errno.EINVAL)
        file.write(value)

    def _file(self, name: str) -> _Tunable:
        if name not in self._files:
            raise SysError(errno.ENOENT)
        return self._files[name]

    def _promises(self) -> dict[str, _Tunable]:
        """Return what is about promises: one of ratio and kbytes counts, and the other is 0.

        [overcommit_policy_handler, overcommit_ratio_handler, overcommit_kbytes_handler]
        """
        commit = self._kernel.commit

        def ratio(value: int) -> None:
            commit.overcommit_ratio, commit.overcommit_kbytes = value, 0

        def kbytes(value: int) -> None:
            commit.overcommit_ratio, commit.overcommit_kbytes = 0, value

        files = {
            "overcommit_memory": _Tunable(lambda: commit.mode,
                                          lambda value: setattr(commit, "mode", value), 0, 2),
            "overcommit_ratio": _Tunable(lambda: commit.overcommit_ratio, ratio, 0, INT_MAX),
            "overcommit_kbytes": _Tunable(lambda: commit.overcommit_kbytes, kbytes, 0,
                                          self._word_max),
        }
        for name in ("admin_reserve_kbytes", "user_reserve_kbytes"):
            files[name] = self._attribute(commit, name)
        return files

    def _attribute(self, owner: object, name: str) -> _Tunable:
        return _Tunable(lambda: int(getattr(owner, name)),
                        lambda value: setattr(owner, name, value), 0, self._word_max)

    def _page_allocator(self) -> dict[str, _Tunable]:
        """Return what watermarks and per-CPU lists are made from."""
        reserves = self._kernel.state.allocator.reserves

        def high_fraction(value: int) -> None:
            if 0 < value < MIN_HIGH_FRACTION:
                raise SysError(errno.EINVAL)
            reserves.write(percpu_pagelist_high_fraction=value)

        def setting(name: str, least: int = 0, most: int = INT_MAX) -> _Tunable:
            return _Tunable(lambda: int(getattr(reserves.sysctl, name)),
                            lambda value: reserves.write(**{name: value}), least, most)

        return {
            "min_free_kbytes": _Tunable(lambda: reserves.min_free_kbytes,
                                        lambda value: reserves.write(min_free_kbytes=value),
                                        0, INT_MAX),
            "watermark_boost_factor": setting("watermark_boost_factor"),
            "watermark_scale_factor": setting("watermark_scale_factor", 1, 3000),
            "percpu_pagelist_high_fraction": _Tunable(
                lambda: reserves.sysctl.percpu_pagelist_high_fraction, high_fraction, 0, INT_MAX),
        }
