/* Makes system calls of both kinds of programs without a library, and prints what they return and store.
 * It is given a folder that it may not change outside of memory. */
#include <asm/unistd.h>

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long word;

#ifdef __x86_64__
static long call(long number, long a, long b, long c, long d, long e, long f)
{
    long result;
    register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;

    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10),
                     "r"(r8), "r"(r9) : "rcx", "r11", "memory");
    return result;
}
#define LOW(value) (value)
#define HALVES(value) (long)(value), 0
#else
static long call(long number, long a, long b, long c, long d, long e, long f)
{
    long result;
    struct { long number, last; } held = {number, f};

    __asm__ volatile("push %%ebp; mov 4(%%eax), %%ebp; mov (%%eax), %%eax; int $0x80; pop %%ebp"
                     : "=a"(result) : "a"(&held), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e)
                     : "memory");
    return result;
}
#define HALVES(value) (long)(value), 0
#endif

#define C6(name, a, b, c, d, e, f, ...) call(__NR_##name, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
#define DO(...) C6(__VA_ARGS__, 0, 0, 0, 0, 0, 0, 0)
#define SHOW(...) show(#__VA_ARGS__, DO(__VA_ARGS__))
#define TELL(value) show(#value, (long)(value))

static void show(const char *name, long value)
{
    char line[120], digits[24];
    int at = 0, count = 0, negative = value < 0;

    while (*name && at < 80)
        line[at++] = *name++;
    line[at++] = ' ';
    if (negative)
        line[at++] = '-';
    do {
        digits[count++] = '0' + (negative ? -(value % 10) : value % 10);
        value /= 10;
    } while (value);
    while (count)
        line[at++] = digits[--count];
    line[at++] = '\n';
    DO(write, 1, line, at);
}

static u8 buffer[512], more[512];
static struct { void *base; word size; } parts[2] = {{buffer, 3}, {buffer + 8, 5}};
static word words[8];
static long long position;
static int ends[2];

static int same(const u8 *one, const char *other, int count)
{
    for (int at = 0; at < count; at++)
        if (one[at] != (u8)other[at])
            return 0;
    return 1;
}

static void transfers(void)
{
    long fd = DO(open, "made", 0102, 0644), to = DO(open, "other", 0102, 0600);

    TELL(DO(write, fd, "0123456789", 10));
    SHOW(sendfile, to, fd, 0, 5);
    SHOW(lseek, fd, 2, 0);
    SHOW(sendfile, to, fd, 0, 3);
    words[0] = 7;
    SHOW(sendfile, to, fd, words, 100);
    TELL(words[0]);
    SHOW(sendfile, to, fd, 8, 1);
    SHOW(sendfile, 99, fd, 0, 1);
    SHOW(sendfile, fd, 99, 0, 1);
    words[0] = -1;
    SHOW(sendfile, to, fd, words, 1);
    DO(pipe2, ends, 0);
    SHOW(sendfile, ends[1], fd, 0, 4);
    SHOW(sendfile, to, ends[0], 0, 4);
    SHOW(read, ends[0], buffer, 99);
    TELL(same(buffer, "567", 3));
    SHOW(lseek, to, 0, 0);
    TELL(DO(read, to, buffer, 99));
    TELL(same(buffer, "234789", 6));
    SHOW(lseek, fd, 0, 0);
    position = 4;
    SHOW(copy_file_range, fd, &position, to, 0, 3, 0);
    TELL(position);
    SHOW(copy_file_range, fd, 0, to, &position, 100, 0);
    SHOW(copy_file_range, fd, 0, to, &position, 100, 0);
    TELL(position);
    position = 0;
    SHOW(copy_file_range, fd, &position, fd, &position, 4, 0);
    SHOW(copy_file_range, fd, &position, to, 0, 4, 1);
    SHOW(copy_file_range, ends[0], 0, to, 0, 4, 0);
    SHOW(copy_file_range, fd, 0, ends[1], 0, 4, 0);
    SHOW(copy_file_range, DO(open, ".", 0), 0, to, 0, 4, 0);
    SHOW(copy_file_range, DO(open, "made", 0), 0, DO(open, "made", 0), 0, 4, 0);
}

static void vectors(void)
{
    long fd = DO(open, "vectors", 0102, 0644);

    TELL(DO(write, fd, "abcdefghij", 10));
    SHOW(preadv, fd, parts, 2, HALVES(1));
    TELL(same(buffer, "bcd", 3) && same(buffer + 8, "efghi", 5));
    SHOW(pwritev, fd, parts, 2, HALVES(100));
    SHOW(preadv2, fd, parts, 2, HALVES(104), 0);
    SHOW(preadv2, fd, parts, 2, HALVES(104), 4);
    SHOW(preadv2, fd, parts, 2, HALVES(104), 1 << 20);
    SHOW(pwritev2, fd, parts, 1, -1, -1, 2);
    SHOW(lseek, fd, 0, 1);
    SHOW(preadv, fd, parts, 2, -5, -1);
    SHOW(preadv, ends[0], parts, 2, HALVES(0));
    SHOW(fsync, fd);
    SHOW(fdatasync, fd);
    SHOW(fdatasync, ends[0]);
    SHOW(syncfs, fd);
    SHOW(syncfs, 99);
    SHOW(sync);
    SHOW(readahead, fd, HALVES(0), 100);
    SHOW(readahead, 99, HALVES(0), 100);
}

static void names(void)
{
    SHOW(mknod, "pipe", 010644, 0);
    SHOW(mknod, "pipe", 010644, 0);
    SHOW(mknodat, -100, "plain", 0100600, 0);
    SHOW(mknod, "folder", 040755, 0);
    SHOW(chown, "plain", 5, 6);
    SHOW(lchown, "plain", -1, 7);
    SHOW(fchownat, -100, "plain", 8, -1, 0);
    SHOW(fchownat, -100, "plain", 8, -1, 1);
    SHOW(chown, "nowhere", 8, -1);
    SHOW(fchown, 99, 8, -1);
    SHOW(setxattr, "plain", "user.x", "v", 1, 99);
    SHOW(removexattr, "nowhere", "user.x");
    words[0] = 1000, words[1] = 2000;
    SHOW(utime, "plain", words);
    words[0] = 3000, words[1] = 4, words[2] = 5000, words[3] = 1000000;
    SHOW(utimes, "plain", words);
    words[3] = 999999;
    SHOW(utimes, "plain", words);
    SHOW(futimesat, -100, "plain", words);
    SHOW(utime, "nowhere", words);
    SHOW(statfs, ".", buffer);
    SHOW(statfs, "nowhere", buffer);
    SHOW(fstatfs, 99, buffer);
    SHOW(fstatfs, ends[0], buffer);
#ifdef __i386__
    SHOW(statfs64, ".", 84, buffer);
    SHOW(statfs64, ".", 99, buffer);
    SHOW(stat, "plain", buffer);
    TELL(*(u16 *)(buffer + 8)); /* st_mode */
    TELL(*(u16 *)(buffer + 12)); /* st_uid */
    TELL(*(u32 *)(buffer + 20)); /* st_size */
    TELL(*(u32 *)(buffer + 40)); /* st_mtime */
    TELL(*(u32 *)(buffer + 44));
    SHOW(lstat, "nowhere", buffer);
    SHOW(fstat, 99, buffer);
    SHOW(chown32, "plain", 70000, -1);
    SHOW(stat, "plain", buffer);
    TELL(*(u16 *)(buffer + 12));
#endif
}

static void identity(void)
{
    word three[3];

    SHOW(getgroups, -1, buffer);
    SHOW(setgroups, 0, 0);
    SHOW(getgroups, 0, 0);
    SHOW(getresuid, three, three + 1, three + 2);
    SHOW(setresuid, 5, 6, 7);
    SHOW(getuid);
    SHOW(geteuid);
    SHOW(setuid, 8);
    SHOW(setuid, 7);
    SHOW(geteuid);
    SHOW(setreuid, -1, 5);
    SHOW(setreuid, 6, -1);
    SHOW(setgid, 99);
    SHOW(setgroups, 0, 0);
    SHOW(setfsuid, 5);
    SHOW(chown, "plain", 9, 9);
    SHOW(open, "made", 1);
}

static void personal(void)
{
    DO(prctl, 15, "a-name-that-is-too-long", 0, 0, 0);
    SHOW(prctl, 16, buffer, 0, 0, 0);
    TELL(same(buffer, "a-name-that-is-", 16));
    SHOW(prctl, 3, 0, 0, 0, 0);
    SHOW(prctl, 38, 1, 0, 0, 0);
    SHOW(prctl, 39, 0, 0, 0, 0);
    SHOW(prctl, 9999, 0, 0, 0, 0);
    SHOW(personality, 0xFFFFFFFF);
    SHOW(personality, 0x0040000);
    SHOW(personality, 0xFFFFFFFF);
    SHOW(unshare, 0);
    SHOW(sched_getaffinity, 0, 1, buffer);
    SHOW(sched_getscheduler, 0);
    SHOW(sched_getparam, 0, buffer);
    SHOW(sched_get_priority_max, 1);
    SHOW(sched_get_priority_min, 1);
    SHOW(sched_get_priority_max, 99);
    SHOW(ioprio_get, 1, 0);
    SHOW(ioprio_get, 9, 0);
    SHOW(getcpu, buffer, 0, 0);
}

static volatile int rung;

static void on_signal(int number) { rung += number; }

static void timers(void)
{
    u32 event[16] = {0};
    int number;

    event[sizeof(word) / 4] = 10;
    SHOW(timer_create, 1, event, &number);
    words[0] = 0, words[1] = 1000000, words[2] = 0, words[3] = 5000000;
    SHOW(timer_settime, number, 0, words, 0);
    SHOW(timer_gettime, number, words + 4);
    TELL(words[5] == 1000000);
    while (rung < 30)
        ;
    SHOW(timer_delete, number);
    SHOW(timer_delete, number);
    event[sizeof(word) / 4] = 99;
    SHOW(timer_create, 1, event, &number);
    SHOW(timer_create, 99, 0, &number);
    SHOW(timer_settime, 77, 0, words, 0);
    SHOW(timer_getoverrun, 77);
}

static void futexes(void)
{
    static u32 one, two = 5;

    SHOW(futex, &one, 5, 1, 1, &two, 1 << 28 | 3 << 12); /* add 3, compare with 0 */
    TELL(two);
    SHOW(futex, &one, 5, 1, 1, &two, (8u | 2) << 28 | 4 << 12); /* or 1 << 4 */
    TELL(two);
    SHOW(futex, &one, 5, 1, 1, &two, 7u << 28);
    SHOW(futex, &one, 5, 1, 1, 4, 0);
}

#ifdef __i386__
static void old_signals(void)
{
    u32 action[4] = {(u32)on_signal, 1 << 11, 0, 0}, before[4];

    SHOW(sigaction, 10, action, before);
    SHOW(sigaction, 10, 0, before);
    TELL(before[1]);
    SHOW(sigaction, 9, action, 0);
    words[0] = 1 << 9;
    SHOW(sigprocmask, 0, words, words + 1);
    SHOW(sigprocmask, 9, words, 0);
    SHOW(kill, DO(getpid), 10);
    SHOW(sigpending, words + 2);
    TELL(words[2]);
    SHOW(sigsuspend, 0, 0, 0);
    TELL(rung);
    SHOW(sgetmask);
    SHOW(ssetmask, 0);
    SHOW(signal, 12, 1);
    SHOW(signal, 12, 0);
    SHOW(signal, 9, 1);
    rung = 0;
    SHOW(nice, 1);
    SHOW(getrlimit, 3, words); /* the stack */
    SHOW(getrlimit, 99, words);
    SHOW(getuid);
}
#endif

static void shared(void)
{
    static unsigned long long args[11] = {0, 0, 0, 0, 17};
    long child = DO(clone, 0x600 | 17, 0, 0, 0, 0); /* CLONE_FS, CLONE_FILES */

    if (!child) {
        DO(dup2, 1, 50);
        DO(chdir, "/");
        DO(exit, 0);
    }
    TELL(DO(wait4, child, 0, 0, 0) == child);
    SHOW(fcntl, 50, 1, 0);
    SHOW(getcwd, buffer, 99);
    child = DO(clone, 0x400 | 17, 0, 0, 0, 0);
    if (!child) {
        SHOW(unshare, 0x600);
        SHOW(close, 50);
        SHOW(close_range, 40, 60, 2);
        DO(exit, 0);
    }
    TELL(DO(wait4, child, 0, 0, 0) == child);
    SHOW(fcntl, 50, 1, 0);
    child = DO(clone3, args, 64);
    if (!child)
        DO(exit, 3);
    TELL(DO(wait4, child, words, 0, 0) == child);
    TELL(*(int *)words);
    SHOW(clone3, args, 63);
    SHOW(clone3, args, 5000);
    SHOW(clone3, 8, 64);
    args[5] = 4096;
    SHOW(clone3, args, 64); /* a stack of no size */
    args[5] = 0, args[0] = 0x10000;
    SHOW(clone3, args, 64); /* a thread alone */
    SHOW(clone, 0x800 | 17, 0, 0, 0, 0); /* handlers without memory */
}

void __attribute__((force_align_arg_pointer)) _start(void)
{
    struct { word handler, flags, restorer; u8 mask[8]; } action = {(word)on_signal, 0, 0, {0}};
#ifdef __x86_64__
    extern void back(void);

    action.flags = 0x04000000;
    action.restorer = (word)back;
    __asm__ volatile(".pushsection .back, \"ax\"\nback: mov $15, %eax\nsyscall\n.popsection");
#endif
    transfers();
    vectors();
    names();
    personal();
#ifdef __i386__
    old_signals();
#endif
    SHOW(rt_sigaction, 10, &action, 0, 8);
    timers();
    futexes();
    identity();
    shared();
    DO(exit_group, 5);
}
