/* Tries to read what lies outside its root, and to write to what lies in it and outside, by all
   ways that it knows: itself, a thread, a child and a program that takes its place. It goes on only
   where it cannot do harm: as process 2 of a machine, which no kernel gives a program. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define LENGTH(list) (sizeof list / sizeof *list)
#define SECRET "SECRET"

static const char *secret, *who;
static int opened, written, leaks;

static const char *paths[] = {
    "../secret", "/../secret", "/../../secret", "relative", "absolute", "chain", "up/secret", "up",
    "/proc/self/root/../secret", "/proc/self/cwd/../secret", "/proc/self/root/up/secret",
    "/proc/self/fd/100/../secret", "/proc/self/fd/100/up/secret", "/proc/1/root/secret",
    "/proc/self/exe/../../secret", "/dev/fd/100/../secret", "made", "made2/secret", "made3",
    "d/../../secret", "d/./..//../secret", "/proc/self/task/2/root/../secret",
    "kept", "d/inner", "hard", "unreadable", "private", "fifo", "socket", "device", "disk",
    "\xff\xfe name", "d", "new", "d/new", "gone", "/dev/mem", "/dev/kmsg", "/dev/sda", "/dev/tty",
    "/dev/shm/new", "/proc/self/mem", "/proc/sys/kernel/core_pattern", "/sys/power/state",
    "/proc/sysrq-trigger", "huge"};

/* Note what was read: a secret, if it is one. */
static void look(const char *path, const char *way, const char *data, long size)
{
    if (size >= 6 && memmem(data, size, SECRET, 6))
        leaks++, printf("%s: %s of %s leaks\n", who, way, path);
}

static void use(int fd, const char *path, const char *way)
{
    char data[256], name[64];
    struct stat found;
    struct timespec times[2] = {{1, 0}, {2, 0}};
    if (fd < 0)
        return;
    opened++;
    look(path, way, data, read(fd, data, sizeof data));
    look(path, way, data, pread(fd, data, sizeof data, 0));
    written += write(fd, "attack", 6) > 0;
    written += pwrite(fd, "attack", 6, 0) > 0;
    written += !fallocate(fd, 0, 0, 5000);
    char *page = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED)
        page = mmap(0, 4096, PROT_READ, MAP_SHARED, fd, 0);
    else if (!fstat(fd, &found) && found.st_size)
        memcpy(page + 8, "mapped", 6), msync(page, 4096, MS_SYNC), written++;
    if (page != MAP_FAILED && !fstat(fd, &found) && found.st_size) {
        look(path, "mmap", page, 4096);
        if (!mprotect(page, 4096, PROT_READ | PROT_WRITE))
            memcpy(page, "turned", 6), written++;
    }
    written += !ftruncate(fd, 3);
    written += !fchmod(fd, 0777), written += !fchown(fd, 12, 12), written += !futimens(fd, times);
    sprintf(name, "/proc/self/fd/%d", fd);
    int again = open(name, O_RDWR | O_TRUNC | O_NONBLOCK);
    written += again >= 0 && write(again, "again", 5) > 0;
    close(again);
    written += !linkat(AT_FDCWD, name, AT_FDCWD, "linked", AT_SYMLINK_FOLLOW);
    written += !linkat(fd, "", AT_FDCWD, "linked2", AT_EMPTY_PATH);
    look(name, "readlink", data, readlink(name, data, sizeof data));
    DIR *folder = fdopendir(dup(fd));
    for (struct dirent *one; folder && (one = readdir(folder));)
        if (!strcmp(one->d_name, "secret"))
            leaks++, printf("%s: %s lists the folder of the secret\n", who, path);
    if (folder)
        closedir(folder);
    close(fd);
}

static void names(const char *path)
{
    struct stat found;
    struct timespec times[2] = {{1, 0}, {2, 0}};
    char text[256];
    if (!stat(path, &found) && found.st_size == 6 && strstr(path, "secret"))
        leaks++, printf("%s: stat of %s leaks\n", who, path);
    look(path, "readlink", text, readlink(path, text, sizeof text));
    written += !truncate(path, 2), written += !chmod(path, 0), written += !chown(path, 7, 7);
    written += !lchown(path, 8, 8), written += !utimensat(AT_FDCWD, path, times, 0);
    written += !utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW);
    written += !link(path, "second"), written += !symlink("/", path), written += !mkdir(path, 0777);
    written += !mknod(path, S_IFIFO | 0666, 0), written += !mknod(path, S_IFBLK | 0666, 0x801);
    written += !rename("kept", path), written += !rename(path, "other"), written += !unlink(path);
    written += !syscall(SYS_renameat2, AT_FDCWD, "other", AT_FDCWD, "kept", 2);
    written += !rename("other", path), written += !rename(path, "kept");
    written += !rmdir(path), written += !unlink("second");
}

static void folders(const char *path)
{
    int before = open(".", O_PATH | O_DIRECTORY);
    if (!chdir(path) || !chroot(path)) {
        use(open("secret", O_RDWR), path, "chdir");
        use(open("../secret", O_RDWR), path, "chdir ..");
        use(open("../../secret", O_RDWR | O_CREAT | O_TRUNC, 0666), path, "chdir ../..");
        written += !rename("../kept", "taken");
        fchdir(before);
    }
    int fd = open(path, O_PATH | O_DIRECTORY);
    use(openat(fd, "secret", O_RDONLY), path, "openat");
    use(openat(fd, "../secret", O_RDWR), path, "openat ..");
    use(openat(fd, "../root/../secret", O_RDWR), path, "openat ../root");
    written += !unlinkat(fd, "../secret", 0), written += !mkdirat(fd, "../made", 0777);
    written += !renameat(fd, "../secret", AT_FDCWD, "stolen");
    close(fd), close(before);
}

static void powers(void)
{
    static const int calls[] = {
        SYS_mount, SYS_umount2, SYS_pivot_root, SYS_swapon, SYS_swapoff, SYS_reboot, SYS_acct,
        SYS_init_module, SYS_iopl, SYS_ioperm, SYS_settimeofday, SYS_sethostname, SYS_ptrace,
        SYS_open_by_handle_at, SYS_name_to_handle_at, SYS_setns, SYS_unshare, SYS_bpf, SYS_keyctl,
        SYS_perf_event_open, SYS_io_uring_setup, SYS_userfaultfd, SYS_process_vm_writev,
        SYS_process_vm_readv, SYS_pidfd_open, SYS_kexec_load, SYS_quotactl, SYS_fanotify_init,
        SYS_inotify_init1, SYS_socket, SYS_socketpair, SYS_connect, SYS_bind, SYS_syslog};
    for (unsigned at = 0; at < LENGTH(calls); at++)
        syscall(calls[at], 2, 1, 0, paths[0], 4096, 0);
    if (socket(AF_UNIX, SOCK_STREAM, 0) >= 0 || socket(AF_INET, SOCK_STREAM, 0) >= 0)
        leaks++, printf("%s: a socket\n", who);
    kill(1, SIGTERM), kill(atoi(getenv("HOST")), SIGKILL), kill(atoi(getenv("HOST")), SIGSTOP);
    syscall(SYS_tgkill, atoi(getenv("HOST")), atoi(getenv("HOST")), SIGKILL);
}

static void attack(void)
{
    static const int ways[] = {
        O_RDONLY, O_WRONLY, O_RDWR, O_RDWR | O_TRUNC, O_RDWR | O_CREAT | O_TRUNC, O_RDONLY | O_TRUNC,
        O_PATH, O_RDWR | O_CREAT | O_EXCL, O_RDONLY | O_NOFOLLOW, O_RDWR | O_TMPFILE,
        O_WRONLY | O_APPEND, O_RDONLY | O_DIRECTORY};
    symlink("../secret", "made"), symlink("..", "made2"), symlink(secret, "made3");
    symlink("/proc/self/root/../secret", "made4");
    dup2(open("/", O_RDONLY | O_DIRECTORY), 100);
    for (unsigned at = 0; at < LENGTH(paths); at++) {
        folders(paths[at]);
        for (unsigned way = 0; way < LENGTH(ways); way++)
            use(open(paths[at], ways[way] | O_NONBLOCK, 0666), paths[at], "open");
        int from = open(paths[at], O_RDONLY | O_NONBLOCK);
        int to = open("copy", O_RDWR | O_CREAT, 0666);
        char data[64];
        sendfile(to, from, 0, 64), copy_file_range(from, 0, to, 0, 64, 0);
        look(paths[at], "sendfile", data, pread(to, data, sizeof data, 0));
        close(from), close(to);
        if (!vfork()) {
            execl(paths[at], paths[at], (char *)0);
            _exit(9);
        }
        wait(0);
    }
    powers();
    for (unsigned at = 0; at < LENGTH(paths); at++)
        names(paths[at]);
    use(open(secret, O_RDWR), secret, "open");
    printf("%s: %d opened, %d written, %d leaks\n", who, opened > 40, written > 100, leaks);
    fflush(stdout);
}

static void *threaded(void *unused)
{
    attack();
    return unused;
}

int main(int count, char **words)
{
    pthread_t thread;
    if (count < 3 || (getpid() != 2 && !getenv("INSIDE")))
        return 1;
    setenv("INSIDE", "1", 1);
    secret = words[1], who = words[2];
    if (!strcmp(who, "thread"))
        pthread_create(&thread, 0, threaded, 0), pthread_join(thread, 0);
    else if (!strcmp(who, "child")) {
        if (!fork()) {
            attack();
            _exit(0);
        }
        wait(0);
    } else if (!strcmp(who, "program"))
        execl("/proc/self/exe", "other", secret, "itself", (char *)0);
    else
        attack();
    return 0;
}
