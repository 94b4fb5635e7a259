"""What execve is given beside a file: strings for the new program, and whose it is."""

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Credentials", "ExecArguments"]


@dataclass(frozen=True, slots=True)
class ExecArguments:
    """The strings that a program starts with, without the zero bytes that end them.

    Raise ``TypeError`` for what is not bytes, ``ValueError`` for a string with a zero byte in it.

    Members
    -------
    filename
        The name that execve was given, which the program finds by AT_EXECFN.
    argv, envp
        Its arguments, the first of which is its own name, and its environment. It gets one empty
        argument if there is none.
    """

    filename: bytes
    argv: Sequence[bytes] = ()
    envp: Sequence[bytes] = ()

    def __post_init__(self) -> None:
        """Refuse what no string in memory can be."""
        for one in (self.filename, *self.argv, *self.envp):
            if not isinstance(one, bytes):
                raise TypeError(f"Arguments of a program must be bytes, not {one!r}")
            if b"\0" in one:
                raise ValueError(f"Arguments of a program must have no zero byte, not {one!r}")

    @property
    def all_argv(self) -> Sequence[bytes]:
        """The arguments as the program gets them. [do_execveat_common]"""
        return self.argv or (b"",)


@dataclass(frozen=True, slots=True)
class Credentials:
    """Whose a process is: the numbers of user and group. [struct cred]

    Members
    -------
    uid, euid, suid, gid, egid, sgid
        Real, effective and saved; those saved are None as long as they are the effective ones.
    groups
        Further groups.
    """

    uid: int = 0
    euid: int = 0
    gid: int = 0
    egid: int = 0
    suid: int | None = None
    sgid: int | None = None
    groups: tuple[int, ...] = ()

    @property
    def saved_uid(self) -> int:
        """The saved user."""
        return self.euid if self.suid is None else self.suid

    @property
    def saved_gid(self) -> int:
        """The saved group."""
        return self.egid if self.sgid is None else self.sgid

    def in_group(self, gid: int) -> bool:
        """Return whether a group is one of them. [in_group_p]"""
        return gid == self.egid or gid in self.groups

    @property
    def secure(self) -> bool:
        """Whether a program that starts has rights that its user lacks. [secureexec]"""
        return self.uid != self.euid or self.gid != self.egid
