/* A 32-bit program without a library: both kinds of frames, x87 and SSE kept, fork, alarm, threads. */
#define CALL(name, number) \
    static long name(long a, long b, long c, long d, long e) \
    { \
        long result; \
        __asm__ volatile("int $0x80" : "=a"(result) \
                         : "a"(number), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e) : "memory"); \
        return result; \
    }
CALL(write_, 4)
CALL(fork_, 2)
CALL(waitpid_, 7)
CALL(getpid_, 20)
CALL(kill_, 37)
CALL(alarm_, 27)
CALL(pause_, 29)
CALL(exit_, 1)
CALL(exit_group_, 252)
CALL(sigaction_, 174)
CALL(sigprocmask_, 175)
CALL(sigaltstack_, 186)
CALL(futex_, 240)
CALL(set_thread_area_, 243)
CALL(yield_, 158)

struct action { void *handler; unsigned long flags; void *restorer; unsigned long mask[2]; };
struct entry { unsigned number, base, limit, bits; };

void restore(void);
void rt_restore(void);
long start_thread(long flags, void *stack, void *tid, void *entry, void *clear, void (*run)(void));
__asm__("restore: popl %eax; movl $119, %eax; int $0x80\n"
        "rt_restore: movl $173, %eax; int $0x80\n"
        "start_thread: pushl %ebx; pushl %esi; pushl %edi; pushl %ebp\n"
        "movl 20(%esp), %ebx; movl 24(%esp), %ecx; movl 28(%esp), %edx; movl 32(%esp), %esi\n"
        "movl 36(%esp), %edi; movl 40(%esp), %ebp; movl $120, %eax; int $0x80\n"
        "testl %eax, %eax; jnz 1f; call *%ebp; movl $1, %eax; xorl %ebx, %ebx; int $0x80\n"
        "1: popl %ebp; popl %edi; popl %esi; popl %ebx; ret\n");

static volatile int caught, code, address;
static char stack[1 << 14], other[1 << 14] __attribute__((aligned(16)));
static volatile int tid, seen, locals[2][16];

static void put(const char *text, long value)
{
    char line[64];
    int at = 0, digits = 1;
    while (*text)
        line[at++] = *text++;
    line[at++] = ' ';
    if (value < 0)
        line[at++] = '-', value = -value;
    for (long rest = value; rest >= 10; rest /= 10)
        digits++;
    for (int place = digits; place--; value /= 10)
        line[at + place] = '0' + value % 10;
    at += digits;
    line[at++] = '\n';
    write_(1, (long)line, at, 0, 0);
}

static void plain(int number)
{
    volatile float value = 3.25f;
    volatile double wide = 7;
    value *= 2, wide /= 3;
    caught = caught * 100 + number;
}

static void full(int number, int *info, int *context)
{
    char here;
    caught = number, code = info[2], address = info[3];
    if (number == 11)
        context[5 + 14] += 10;
    put("on the other stack", &here >= stack && &here < stack + sizeof stack);
}

static void handle(int number, void *handler, unsigned long flags)
{
    struct action action = {handler, flags | 0x04000000,
                            flags & 4 ? (void *)rt_restore : (void *)restore, {0, 0}};
    put("sigaction", sigaction_(number, (long)&action, 0, 8, 0));
}

static int local(void)
{
    int value;
    __asm__ volatile("movl %%gs:4, %0" : "=r"(value));
    return value;
}

static void thread(void)
{
    seen = local();
    for (int round = 0; round < 3; round++)
        yield_(0, 0, 0, 0, 0), seen = seen * 10 + local();
}

static void threads(void)
{
    struct entry entry = {-1, (unsigned)locals[0], 0xfffff, 0x51};
    locals[0][1] = 1, locals[1][1] = 2;
    put("area", set_thread_area_((long)&entry, 0, 0, 0, 0));
    __asm__ volatile("movw %w0, %%gs" : : "r"(entry.number * 8 + 3));
    entry.base = (unsigned)locals[1];
    tid = 1;
    put("started", start_thread(0x3d0f00, other + sizeof other, (void *)&tid, &entry,
                                (void *)&tid, thread) > 0);
    for (int value; (value = tid);)
        futex_((long)&tid, 0, value, 0, 0);
    put("seen", seen), put("mine", local());
}

void _start(void)
{
    int status = 0;
    struct { void *start; int flags; unsigned size; } alternative = {stack, 0, sizeof stack};
    handle(10, plain, 0), handle(14, plain, 0x40000000);
    handle(11, full, 4 | 0x08000000), handle(12, full, 4);
    put("altstack", sigaltstack_((long)&alternative, 0, 0, 0, 0));
    long double wide = 1.5L + getpid_(0, 0, 0, 0, 0) * 0;
    float narrow = 2.5f + status;
    kill_(getpid_(0, 0, 0, 0, 0), 10, 0, 0, 0);
    put("caught", caught), put("x87", (long)(wide * 1000)), put("sse", (long)(narrow * 1000));
    kill_(getpid_(0, 0, 0, 0, 0), 12, 0, 0, 0);
    put("caught", caught), put("code", code);
    __asm__ volatile("movl $0, 0x1234" : : : "memory");
    __asm__ volatile("nop; nop; nop; nop");
    put("caught", caught), put("code", code), put("address", address);
    long child = fork_(0, 0, 0, 0, 0);
    if (!child)
        exit_(9, 0, 0, 0, 0);
    put("child", waitpid_(child, (long)&status, 0, 0, 0) == child), put("status", status);
    caught = 0;
    alarm_(1, 0, 0, 0, 0);
    put("pause", pause_(0, 0, 0, 0, 0)), put("caught", caught);
    threads();
    exit_group_(3, 0, 0, 0, 0);
}
