/* Makes system calls and prints what they return, but for what differs between two machines. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#define SHOW(call) do { errno = 0; long got = (long)(call); \
    printf("%-45.45s %ld %s\n", #call, got, got == -1 ? strerror(errno) : ""); } while (0)
#define GOOD(call) printf("%-45.45s %d\n", #call, (call) ? 1 : 0)

static void files(const char *name)
{
    char buffer[64] = {0}, more[8] = {0};
    struct iovec parts[2] = {{buffer, 4}, {more, 3}};
    struct stat found;
    int fd = open(name, O_RDONLY);

    GOOD(fd > 2);
    SHOW(read(fd, buffer, 10));
    SHOW(lseek(fd, 2, SEEK_SET));
    SHOW(readv(fd, parts, 2));
    printf("%.4s %.3s\n", buffer, more);
    SHOW(pread(fd, buffer, 5, 1));
    SHOW(fstat(fd, &found));
    printf("%ld %o\n", (long)found.st_size, found.st_mode);
    SHOW(write(fd, buffer, 1));
    SHOW(ftruncate(fd, 0));
    SHOW(flock(fd, LOCK_EX));
    SHOW(flock(99, LOCK_EX));
    SHOW(isatty(fd));
    SHOW(fcntl(fd, F_GETFD));
    SHOW(fcntl(fd, F_GETFL));
    GOOD(dup(fd) > fd);
    SHOW(close(fd));
    SHOW(close(fd));
    SHOW(read(fd, buffer, 1));
    SHOW(open("/nowhere/at/all", O_RDONLY));
    SHOW(access(name, R_OK));
    SHOW(access("/nowhere", F_OK));
    SHOW(readlink(name, buffer, 8));
    SHOW(stat("", &found));
    SHOW(read(0, (char *)8, 1) < 1);
}

static void memory(void)
{
    char *place = mmap(0, 1 << 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct rlimit64 limit;

    GOOD(place != MAP_FAILED);
    memset(place, 7, 1 << 16);
    place = mremap(place, 1 << 16, 1 << 20, MREMAP_MAYMOVE);
    GOOD(place[0xFFFF] == 7 && !place[0x10000]);
    SHOW(mlock2(place, 4096, 0));
    SHOW(mlock2(place, 4096, 99));
    SHOW(madvise(place, 4096, MADV_DONTNEED));
    SHOW(munlock(place, 4096));
    SHOW(munlockall());
    SHOW(madvise(place, 4096, MADV_DONTNEED));
    GOOD(!place[0] && place[4096] == 7);
    SHOW(mprotect(place, 4096, PROT_READ));
    SHOW(mprotect(place + 1, 4096, PROT_READ));
    SHOW(munmap(place, 1 << 20));
    SHOW(madvise(place, 4096, MADV_DONTNEED));
    GOOD(sbrk(1 << 16) != (void *)-1);
    SHOW(syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, &limit));
    SHOW(syscall(SYS_prlimit64, 0, 99, 0, &limit));
}

static void process(void)
{
    struct sigaction asked = {.sa_handler = SIG_IGN}, before;
    struct utsname name;
    struct timespec first, second, pause = {0, 50000000};
    char random[16] = {0};
    sigset_t set, old;

    SHOW(sched_yield());
    GOOD(getpid() > 0 && getpid() == gettid());
    SHOW(uname(&name));
    printf("%s\n", name.sysname);
    SHOW(getrandom(random, sizeof random, 0));
    SHOW(getrandom(random, sizeof random, 99));
    SHOW(sigaction(SIGUSR1, &asked, 0));
    SHOW(sigaction(SIGUSR1, 0, &before));
    GOOD(before.sa_handler == SIG_IGN);
    SHOW(sigaction(SIGKILL, &asked, 0));
    SHOW(raise(SIGUSR1));
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    SHOW(sigprocmask(SIG_BLOCK, &set, &old));
    SHOW(raise(SIGUSR2));
    SHOW(sigprocmask(SIG_BLOCK, 0, &old));
    GOOD(sigismember(&old, SIGUSR2));
    SHOW(clock_gettime(CLOCK_MONOTONIC, &first));
    SHOW(nanosleep(&pause, 0));
    SHOW(clock_gettime(CLOCK_MONOTONIC, &second));
    GOOD((second.tv_sec - first.tv_sec) * 1000000000L + second.tv_nsec - first.tv_nsec >= 50000000);
    SHOW(clock_gettime(99, &first));
    SHOW(syscall(100000));
    SHOW(sigprocmask(SIG_UNBLOCK, &set, 0)); /* which ends it */
}

int main(int argc, char **argv)
{
    setvbuf(stdout, 0, _IOLBF, 0);
    files(argv[argc - 1]);
    memory();
    process();
    return 3;
}
