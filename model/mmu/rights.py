"""Access rights: what a translation permits, SMEP, SMAP and protection keys included.

[SDM volume 3A, 4.6 Access Rights, 4.6.2 Protection Keys]
"""

from dataclasses import dataclass

from ..x86 import AccessKind, Cr0, Cr4, Entry, PagingMode, lowest_bit
from .control import Access, Control

__all__ = ["ALL_RIGHTS", "Rights"]

KEY_SHIFT = lowest_bit(Entry.KEY)


@dataclass(frozen=True, slots=True)
class Rights:
    """Rights combined over the levels of a walk: the AND of R/W and U/S, the OR of XD. [SDM 4.6.1]

    ``key`` is the protection key of the last entry; only a leaf's counts.
    """

    writable: bool = True
    user_page: bool = True
    execute_disable: bool = False
    key: int = 0

    def below(self, mode: PagingMode, entry: int) -> "Rights":
        """Return the rights combined with those of an entry of the next level."""
        flags = mode.flags
        key = (entry & flags.KEY) >> KEY_SHIFT
        return Rights(
            self.writable and entry & flags.RW == flags.RW,
            self.user_page and entry & flags.US == flags.US,
            self.execute_disable or bool(entry & flags.XD and mode.has_execute_disable),
            key if key and mode.has_protection_keys else 0,
        )

    def permit(self, control: Control, access: Access) -> bool:
        """Return whether the rights permit the access, protection keys apart. [SDM 4.6.1]"""
        kind, cr4 = access.kind, control.cr4
        if kind is AccessKind.FETCH and self.execute_disable:
            return False
        if access.user and not access.implicit:
            return self.user_page and (kind is not AccessKind.WRITE or self.writable)
        if kind is AccessKind.FETCH:
            return not (self.user_page and cr4 & Cr4.SMEP)
        if self.user_page and cr4 & Cr4.SMAP and (access.implicit or not access.ac):
            return False
        return kind is AccessKind.READ or self.writable or not control.cr0 & Cr0.WP

    def key_blocks(self, mode: PagingMode, control: Control, access: Access) -> bool:
        """Return whether PKRU forbids the access: one to data of a user-mode page. [SDM 4.6.2]"""
        if not (control.cr4 & Cr4.PKE and self.user_page and mode.has_protection_keys):
            return False
        if access.kind is AccessKind.FETCH:
            return False
        access_disable = control.pkru >> (2 * self.key) & 1
        write_disable = control.pkru >> (2 * self.key + 1) & 1
        binding = (access.user and not access.implicit) or control.cr0 & Cr0.WP
        is_write = access.kind is AccessKind.WRITE
        return bool(access_disable or (write_disable and is_write and binding))


ALL_RIGHTS = Rights()
"""The rights above the root, and without paging."""
