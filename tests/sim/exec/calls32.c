/* Makes the system calls that 32-bit programs have in a form of their own, without a library; prints
 * what they return and store. */
#define PRINT(value) print(#value, (unsigned)(value))

static long call(long number, long a, long b, long c, long d, long e, long f)
{
    long result;
    struct { long number, last; } held = {number, f};

    /* EBP is not the compiler's to give. */
    __asm__ volatile("push %%ebp; mov 4(%%eax), %%ebp; mov (%%eax), %%eax; int $0x80; pop %%ebp"
                     : "=a"(result) : "a"(&held), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e)
                     : "memory");
    return result;
}

static void print(const char *name, unsigned value)
{
    char line[80];
    int at = 0;

    while (*name && at < 60)
        line[at++] = *name++;
    line[at++] = ' ';
    for (int shift = 28; shift >= 0; shift -= 4)
        line[at++] = "0123456789abcdef"[value >> shift & 15];
    line[at++] = '\n';
    call(4, 1, (long)line, at, 0, 0, 0);
}

static unsigned buffer[64];

static int failed(long result) { return result < 0 && result > -4096; }

static void files(const char *name)
{
    long fd = call(5, (long)name, 0, 0, 0, 0, 0);
    unsigned *mapped;

    PRINT(fd < 3);
    PRINT(call(197, fd, (long)buffer, 0, 0, 0, 0)); /* fstat64 */
    PRINT(buffer[11]); /* st_size */
    PRINT(buffer[4]); /* st_mode */
    PRINT(call(195, (long)name, (long)buffer, 0, 0, 0, 0)); /* stat64 */
    PRINT(buffer[11]);
    PRINT(call(300, -100, (long)name, (long)buffer, 0, 0, 0)); /* fstatat64 */
    PRINT(call(140, fd, 1, 5, (long)buffer, 0, 0)); /* _llseek to 4 Gbytes and 5 */
    PRINT(buffer[0]);
    PRINT(buffer[1]);
    PRINT(call(180, fd, (long)buffer, 4, 5, 0, 0)); /* pread64 at 5 */
    PRINT(buffer[0]);
    PRINT(call(180, fd, (long)buffer, 4, 5, 1, 0)); /* at 4 Gbytes and 5 */
    PRINT(call(180, fd, (long)buffer, 4, 5, -1, 0)); /* at less than 0 */
    mapped = (unsigned *)call(192, 0, 4096, 1, 2, fd, 1); /* mmap2 from the second page on */
    PRINT(mapped[0]);
    PRINT(mapped[1]);
    PRINT(call(91, (long)mapped, 4096, 0, 0, 0, 0));
    PRINT(call(33, (long)name, 4, 0, 0, 0, 0)); /* access */
    PRINT(call(194, fd, 0, 0, 0, 0, 0)); /* ftruncate64 of a file to be read */
    PRINT(call(221, fd, 3, 0, 0, 0, 0)); /* fcntl64 F_GETFL */
    PRINT(call(6, fd, 0, 0, 0, 0, 0));
}

static void memory(void)
{
    long six[6] = {0, 8192, 3, 0x22, -1, 0};
    unsigned *place = (unsigned *)call(90, (long)six, 0, 0, 0, 0, 0); /* old mmap */

    PRINT(failed((long)place));
    place[1024] = 7;
    PRINT(place[0] + place[1024]);
    PRINT(failed(call(163, (long)place, 8192, 16384, 1, 0, 0))); /* mremap */
    PRINT(call(90, 8, 0, 0, 0, 0, 0));
    PRINT(call(191, 7, (long)buffer, 0, 0, 0, 0)); /* ugetrlimit RLIMIT_NOFILE */
    PRINT(call(191, 99, (long)buffer, 0, 0, 0, 0));
}

static void process(void)
{
    static unsigned word = 0x12345678;
    unsigned area[4] = {-1, (unsigned)&word, 0xFFFFF, 0x51}, read;

    PRINT(call(243, (long)area, 0, 0, 0, 0, 0)); /* set_thread_area */
    __asm__ volatile("mov %1, %%gs; mov %%gs:0, %0" : "=r"(read) : "r"(area[0] * 8 + 3));
    PRINT(read);
    PRINT(call(243, 8, 0, 0, 0, 0, 0));
    area[0] = 40;
    PRINT(call(243, (long)area, 0, 0, 0, 0, 0));
    buffer[0] = 0;
    PRINT(call(122, (long)buffer, 0, 0, 0, 0, 0)); /* uname */
    PRINT(buffer[0]);
    PRINT(call(265, 1, (long)buffer, 0, 0, 0, 0)); /* clock_gettime */
    PRINT(buffer[1] < 1000000000);
    PRINT(call(403, 0, (long)buffer, 0, 0, 0, 0)); /* clock_gettime64 */
    PRINT(buffer[2] < 1000000000 && !buffer[1] && !buffer[3]);
    buffer[0] = buffer[1] = 0; /* sa_handler, sa_flags */
    PRINT(call(174, 10, (long)buffer, (long)(buffer + 8), 8, 0, 0)); /* rt_sigaction */
    PRINT(call(174, 10, 0, (long)(buffer + 8), 4, 0, 0));
    PRINT(call(20, 0, 0, 0, 0, 0, 0) == call(224, 0, 0, 0, 0, 0, 0)); /* getpid, gettid */
    PRINT(call(199, 0, 0, 0, 0, 0, 0) == call(24, 0, 0, 0, 0, 0, 0)); /* getuid32, getuid */
    PRINT(call(355, (long)buffer, 16, 0, 0, 0, 0)); /* getrandom */
    PRINT(call(5000, 0, 0, 0, 0, 0, 0));
}

__attribute__((used)) static void run(long *stack)
{
    files((char *)stack[stack[0]]);
    memory();
    process();
    call(252, 6, 0, 0, 0, 0, 0);
}

__asm__(".globl _start\n_start: mov %esp, %eax\n and $-16, %esp\n sub $12, %esp\n push %eax\n call run");
