"""The arguments of system calls, as they are shown. [man 2]"""

from collections.abc import Mapping

__all__ = ["HEX_RESULTS", "SIGNATURES", "unknown_signature"]

# A kind of each argument: d and l signed, of 32 bits and of a register; u unsigned; x in hex; p a
# pointer; f and D a file descriptor, of which AT_FDCWD is one; o octal; s a path or another text;
# w bytes that the program gives, their number the next argument, and r bytes that it gets, their
# number the result; any longer word is a set of flags in ``flag_names``.
TEXT = """
read f r u
write f w u
pread64 f r u l
pwrite64 f w u l
readv f p d
writev f p d
open s open o
openat D s open o
creat s o
close f
close_range u u x
lseek f l whence
_llseek f u u p whence
stat s p
lstat s p
fstat f p
stat64 s p
lstat64 s p
fstat64 f p
newfstatat D s p at
fstatat64 D s p at
statx D s at x p
access s access
faccessat D s access
faccessat2 D s access at
readlink s r u
readlinkat D s r u
ioctl f x p
fcntl f d x
fcntl64 f d x
dup f
dup2 f f
dup3 f f open
pipe p
pipe2 p open
poll p u d
ppoll p u p p u
select d p p p p
pselect6 d p p p p p
getdents f p u
getdents64 f p u
getcwd r u
chdir s
fchdir f
mkdir s o
mkdirat D s o
rmdir s
unlink s
unlinkat D s at
rename s s
renameat D s D s
renameat2 D s D s x
link s s
linkat D s D s at
symlink s s
symlinkat s D s
chmod s o
fchmod f o
fchmodat D s o
chown s d d
fchown f d d
fchownat D s d d at
utimensat D s p at
truncate s l
ftruncate f l
fallocate f x l l
fsync f
fdatasync f
flock f x
umask o
memfd_create s x
mmap p u prot map f x
mmap2 p u prot map f x
munmap p u
mprotect p u prot
pkey_mprotect p u prot d
mremap p u u mremap p
madvise p u madvise
msync p u msync
mincore p u p
mlock p u
mlock2 p u x
munlock p u
mlockall x
munlockall
brk p
fork
vfork
clone clone p p p p
execve s p p
exit d
exit_group d
wait4 d p wait p
waitpid d p wait
waitid d d p wait p
kill d signal
tkill d signal
tgkill d d signal
rt_sigaction signal p p u
rt_sigprocmask sigmask p p u
rt_sigreturn
sigreturn
rt_sigsuspend p u
rt_sigpending p u
sigaltstack p p
pause
alarm u
setitimer d p p
getitimer d p
nanosleep p p
clock_nanosleep clock x p p
clock_gettime clock p
clock_getres clock p
clock_gettime64 clock p
gettimeofday p p
time p
times p
futex p futex d p p d
set_robust_list p u
set_tid_address p
set_thread_area p
arch_prctl x p
prctl d x x x x
rseq p u x d
getpid
gettid
getppid
getpgrp
getpgid d
setpgid d d
getsid d
setsid
getuid
geteuid
getgid
getegid
getuid32
geteuid32
getgid32
getegid32
getgroups d p
getrandom p u x
getrlimit d p
setrlimit d p
ugetrlimit d p
prlimit64 d d p p
getrusage d p
sysinfo p
uname p
sched_yield
sched_getaffinity d u p
swapon s x
swapoff s
"""

SIGNATURES: Mapping[str, tuple[str, ...]] = {
    words[0]: tuple(words[1:]) for words in map(str.split, TEXT.strip().splitlines())}
"""The kinds of the arguments of a call, by its name."""

HEX_RESULTS = frozenset({"mmap", "mmap2", "brk", "mremap"})
"""Calls that return an address."""


def unknown_signature() -> tuple[str, ...]:
    """Return that of a call of which nothing is known: six numbers."""
    return ("x",) * 6
