/* A program that a seed chooses: stores of all kinds, some to pages that are not there or may not be
   written to, mappings, forks of forks, threads, signals, code that changes. It needs no library, so
   that there is one for 32 bits, too. It writes a line with a hash after each step. */
#ifdef __x86_64__
#define LONG 1
#define W 8
#define R "r"
#define CALL_LONG(n64, n32) n64
#else
#define LONG 0
#define W 4
#define R "e"
#define CALL_LONG(n64, n32) n32
#endif

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef unsigned long word;

enum {
    READ = CALL_LONG(0, 3), WRITE = CALL_LONG(1, 4), MMAP = CALL_LONG(9, 192),
    MPROTECT = CALL_LONG(10, 125), MUNMAP = CALL_LONG(11, 91), BRK = CALL_LONG(12, 45),
    SIGACTION = CALL_LONG(13, 174), SIGPROCMASK = CALL_LONG(14, 175), PIPE = CALL_LONG(22, 42),
    MREMAP = CALL_LONG(25, 163), MADVISE = CALL_LONG(28, 219), GETPID = CALL_LONG(39, 20),
    FORK = CALL_LONG(57, 2), EXIT = CALL_LONG(60, 1), WAIT4 = CALL_LONG(61, 114),
    TGKILL = CALL_LONG(234, 270), FTRUNCATE = CALL_LONG(77, 93), SIGALTSTACK = CALL_LONG(131, 186),
    GETTID = CALL_LONG(186, 224), FUTEX = CALL_LONG(202, 240), EXIT_GROUP = CALL_LONG(231, 252),
    MEMFD = CALL_LONG(319, 356), CLOSE = CALL_LONG(3, 6), YIELD = CALL_LONG(24, 158)
};

#if LONG
static long call6(long n, long a, long b, long c, long d, long e, long f)
{
    long result;
    register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
    __asm__ volatile("syscall" : "=a"(result) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8),
                     "r"(r9) : "rcx", "r11", "memory");
    return result;
}
#else
long call6(long n, long a, long b, long c, long d, long e, long f);
__asm__("call6: push %ebp; push %ebx; push %esi; push %edi\n"
        "mov 20(%esp), %eax; mov 24(%esp), %ebx; mov 28(%esp), %ecx; mov 32(%esp), %edx\n"
        "mov 36(%esp), %esi; mov 40(%esp), %edi; mov 44(%esp), %ebp; int $0x80\n"
        "pop %edi; pop %esi; pop %ebx; pop %ebp; ret");
#endif
#define CALL(n, a, b, c, d, e, f) \
    call6(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
#define CALL3(n, a, b, c) CALL(n, a, b, c, 0, 0, 0)

/* ---- single instructions, with registers before and after, which may fault */

struct regs { word ax, cx, dx, si, di, bx; u8 xmm[16]; word flags; };

#if LONG
#define LOAD_ARGUMENT "mov rax, rdi\n"
#else
#define LOAD_ARGUMENT "mov eax, [esp + 4 + 4 * 5]\n"
#endif
/* BP holds where the stack is, and on it the address of what follows the instruction. */
#define PROBE(name, text) \
    void name(struct regs *); \
    __asm__(".intel_syntax noprefix\n" #name ":\n" \
        "push " R "bx\n push " R "bp\n push " R "si\n push " R "di\n push " R "cx\n" \
        LOAD_ARGUMENT "push " R "ax\n lea " R "cx, [1f" RIP "]\n push " R "cx\n mov " R "bp, " R "sp\n" \
        "movdqu xmm1, [" R "ax + 6 * " WS "]\n mov " R "cx, [" R "ax + " WS "]\n" \
        "mov " R "dx, [" R "ax + 2 * " WS "]\n mov " R "si, [" R "ax + 3 * " WS "]\n" \
        "mov " R "di, [" R "ax + 4 * " WS "]\n mov " R "bx, [" R "ax + 5 * " WS "]\n" \
        "mov " R "ax, [" R "ax]\n test " R "bp, " R "bp\n" text "\n" \
        "1: cld\n mov " R "sp, " R "bp\n mov [" R "sp], " R "ax\n mov " R "ax, [" R "sp + " WS "]\n" \
        "mov [" R "ax + " WS "], " R "cx\n mov [" R "ax + 2 * " WS "], " R "dx\n" \
        "mov [" R "ax + 3 * " WS "], " R "si\n mov [" R "ax + 4 * " WS "], " R "di\n" \
        "mov [" R "ax + 5 * " WS "], " R "bx\n movdqu [" R "ax + 6 * " WS "], xmm1\n" \
        "pop " R "cx\n mov [" R "ax], " R "cx\n pop " R "cx\n" \
        "pop " R "cx\n pop " R "di\n pop " R "si\n pop " R "bp\n pop " R "bx\n ret\n" \
        ".att_syntax prefix\n")
#if LONG
#define WS "8"
#define RIP " + rip"
#else
#define WS "4"
#define RIP ""
#endif

PROBE(store1, "mov [" R "di], cl");
PROBE(store2, "mov [" R "di], cx");
PROBE(store4, "mov [" R "di], ecx");
PROBE(load_word, "mov " R "ax, [" R "si]");
PROBE(store_word, "mov [" R "di], " R "cx");
PROBE(store16, "movdqu [" R "di], xmm1");
PROBE(load16, "movdqu xmm1, [" R "si]");
PROBE(aligned16, "and " R "di, -16\n movdqa [" R "di], xmm1");
PROBE(moves, "rep movsb");
PROBE(moves_words, "rep movsd");
PROBE(moves_down, "std\n rep movsb");
PROBE(fills, "rep stosb");
PROBE(fills_down, "std\n rep stosd");
/* A processor reads the first operand first, the emulator's the second. So that is read before. */
PROBE(compares, "cmp al, [" R "di]\n repe cmpsb");
PROBE(scans, "repne scasb");
PROBE(adds, "xadd [" R "di], " R "cx");
PROBE(locked, "lock xadd [" R "di], ecx");
PROBE(exchanges, "cmpxchg [" R "di], " R "cx");
PROBE(swaps, "xchg [" R "di], ecx");
PROBE(exchanges8, "cmpxchg8b [" R "di]");
PROBE(bits, "bts [" R "di], edx");
PROBE(increments, "inc dword ptr [" R "di]");
PROBE(pushes, "push [" R "si]\n pop [" R "di]");
PROBE(pops_deep, "mov " R "sp, " R "di\n push " R "cx\n push " R "dx");
PROBE(calls_deep, "mov " R "sp, " R "di\n call 3f\n 3: nop");
/* A processor lets ENTER fault unless the end of the new frame can be written; the emulator's does not.
   So a store does that before. */
PROBE(enters, "mov " R "sp, " R "di\n mov [" R "sp - 32 - 2 * " WS "], " R "cx\n push " R "bp\n"
              "enter 32, 0\n mov " R "bp, [" R "bp + " WS "]");
PROBE(floats, "fninit\n fld1\n fldpi\n fst qword ptr [" R "di]\n fadd dword ptr [" R "si]\n"
              "fstp tbyte ptr [" R "di]\n fninit");
PROBE(saves, "and " R "di, -512\n fninit\n fldpi\n fxsave [" R "di]\n mov dword ptr [" R "di + 8], 0\n"
             "mov dword ptr [" R "di + 12], 0\n mov dword ptr [" R "di + 16], 0\n"
             "mov dword ptr [" R "di + 20], 0\n mov dword ptr [" R "di + 28], 0\n"
             "mov word ptr [" R "di + 6], 0\n fninit");
PROBE(gathers, "and " R "si, -16\n addps xmm1, [" R "si]\n xorps xmm1, xmm1");
PROBE(masks, "pcmpeqb xmm2, xmm2\n maskmovdqu xmm1, xmm2");
PROBE(divides, "xor edx, edx\n div dword ptr [" R "si]\n test eax, eax");
PROBE(jumps, "jmp " R "di");
PROBE(reads_far, "mov " R "ax, gs:[" R "si]");

void no_probe(void);
__asm__("no_probe: ret");
typedef void probe(struct regs *);
static probe *const probes[] = {
    store1, store2, store4, load_word, store_word, store16, load16, aligned16, moves, moves_words,
    moves_down, fills, fills_down, compares, scans, adds, locked, exchanges, swaps, exchanges8, bits,
    increments, pushes, pops_deep, calls_deep, enters, floats, saves, gathers, masks, divides, jumps};
#define PROBES (sizeof probes / sizeof *probes)

/* ---- workers */

#define PAGE 4096
#define BASE 0x20000000UL
#define ZONE (64 * PAGE)
#define PAGES 48
#define CODE_PAGE 50
#define ALIAS_PAGE 52
#define SIGNAL_PAGE 48
#define BARRIERS 8  /* pages in front, that may be written to once the handler has seen it */
#define WORKERS 12
#define RESULTS 0x18000000UL

struct worker {
    u64 hash, random;
    u8 *zone;
    int depth, number, faults, place;
    u8 handlers[1 << 16];
    u8 stack[1 << 15];
} __attribute__((aligned(64)));
static struct worker workers[WORKERS];
static volatile u64 *const results = (u64 *)RESULTS;
static volatile int alive[WORKERS];
static int tells;

static void mix(struct worker *me, u64 value)
{
    me->hash = (me->hash ^ value) * 0x100000001b3ULL;
    me->hash ^= me->hash >> 29;
}

#ifdef TRACE
static void put(const char *name, int number, u64 value);
static void mix_(struct worker *me, u64 value) { mix(me, value); put(me->number ? "  thread" : me->depth ? "  child" : "  mix", me->place * 10 + me->number, value); }
#define mix mix_
#endif
static u32 draw(struct worker *me, u32 below)
{
    me->random = me->random * 6364136223846793005ULL + 1442695040888963407ULL;
    return (u32)((me->random >> 33) * below >> 31);
}

static void put(const char *name, int number, u64 value)
{
    char line[80], *at = line;
    while (*name)
        *at++ = *name++;
    *at++ = ' ', *at++ = '0' + number / 100 % 10, *at++ = '0' + number / 10 % 10;
    *at++ = '0' + number % 10, *at++ = ' ';
    for (int shift = 60; shift >= 0; shift -= 4)
        *at++ = "0123456789abcdef"[value >> shift & 15];
    *at++ = '\n';
    CALL3(WRITE, 1, line, at - line);
}

/* ---- signals */

struct action { void *handler; word flags; void *restorer; u64 mask; };
void restore(void);
#if LONG
__asm__("restore: mov $15, %eax; syscall");
enum { UC_DI = 13, UC_SI = 14, UC_BP = 15, UC_BX = 16, UC_DX = 17, UC_AX = 18, UC_CX = 19, UC_SP = 20,
       UC_PC = 21, UC_FLAGS = 22, UC_ERROR = 24, UC_TRAP = 25 };
#else
__asm__("restore: mov $173, %eax; int $0x80");
enum { UC_DI = 9, UC_SI = 10, UC_BP = 11, UC_SP = 12, UC_BX = 13, UC_DX = 14, UC_CX = 15, UC_AX = 16,
       UC_TRAP = 17, UC_ERROR = 18, UC_PC = 19, UC_FLAGS = 21 };
#endif

static struct worker *mine(word sp)
{
    return &workers[(sp - (word)workers) / sizeof *workers];
}

static int on_stack_of_handlers(word sp)
{
    return sp >= (word)workers && sp < (word)workers + sizeof workers;
}

static void fault(int number, u32 *info, word *context)
{
    struct worker *me = mine((word)&number);
    word address = *(word *)(info + (LONG ? 4 : 3));
    word page = address & -PAGE, in_zone = address - (word)me->zone;
    volatile double spoil = number * 1.25;
    me->faults++;
    if (context[UC_PC] - (word)store1 < (word)no_probe - (word)store1 && *(unsigned short *)context[UC_PC] == 0xAE0F)
        address = page;  /* FXSAVE looks at its last byte first, or at its first */
    mix(me, number), mix(me, info[2]), mix(me, address), mix(me, context[UC_TRAP]);
    mix(me, context[UC_ERROR] & (LONG ? ~0UL : ~0x10UL));  /* two-level paging does not tell fetches */
    if (number == 11 && info[2] == 2 && context[UC_ERROR] & 2 && in_zone < BARRIERS * PAGE) {
        CALL3(MPROTECT, page, PAGE, 3);
        return;
    }
    if (context[UC_PC] != 0x1000 && context[UC_PC] - (word)me->zone >= ZONE && context[UC_PC] - (word)store1 >= (word)no_probe - (word)store1) {
        put("a fault elsewhere", number, context[UC_PC]);
        CALL3(EXIT_GROUP, 99, 0, 0);
    }
    context[UC_AX] = info[2] ^ (context[UC_FLAGS] & 0xCD5) << 8;
    context[UC_PC] = *(word *)context[UC_BP], context[UC_SP] = context[UC_BP];
    spoil *= 3;
}

static void told(int number, u32 *info, word *context)
{
    struct worker *me = mine((word)&number);
    u8 here[64];
    for (int at = 0; at < 64; at++)
        here[at] = number + at;
    me->zone[SIGNAL_PAGE * PAGE + number] += here[number] + info[2];
    mix(me, number);
    if (number > 34 && draw(me, 2))
        CALL3(TGKILL, CALL3(GETPID, 0, 0, 0), CALL3(GETTID, 0, 0, 0), number - 1);
}

static void signals(void)
{
    struct action action = {fault, 4 | 0x08000000 | 0x04000000 | 0x40000000, restore, 0};
    CALL(SIGACTION, 11, &action, 0, 8, 0, 0), CALL(SIGACTION, 7, &action, 0, 8, 0, 0);
    CALL(SIGACTION, 8, &action, 0, 8, 0, 0), CALL(SIGACTION, 4, &action, 0, 8, 0, 0);
    action.handler = told;
    for (int number = 34; number < 40; number++)
        CALL(SIGACTION, number, &action, 0, 8, 0, 0);
}

static void handler_stack(struct worker *me)
{
    struct { void *start; int flags; word size; } stack = {me->handlers, 0, sizeof me->handlers};
    CALL3(SIGALTSTACK, &stack, 0, 0);
}

/* ---- steps */

static void *map(word at, long size, int prot, int flags, int fd)
{
    return (void *)CALL(MMAP, at, size, prot, flags, fd, 0);
}

static void work(struct worker *me, int steps);

static u8 *place(struct worker *me)
{
    u8 *at = me->zone + draw(me, PAGES) * PAGE;
    switch (draw(me, 4)) {
    case 0: return at + draw(me, PAGE);
    case 1: return at + PAGE - 1 - draw(me, 32);
    case 2: return at + draw(me, 40);
    default: return at + (draw(me, PAGE) & -16);
    }
}

static void probing(struct worker *me)
{
    struct regs regs;
    u32 kind = draw(me, PROBES);
    regs.ax = draw(me, 1 << 30), regs.cx = draw(me, 600), regs.dx = draw(me, 70000);
    regs.bx = draw(me, 1 << 20);
    regs.si = (word)place(me), regs.di = (word)place(me);
    for (int at = 0; at < 16; at++)
        regs.xmm[at] = draw(me, 256);
    if (probes[kind] == jumps)
        regs.di = LONG ? (word)me->zone + draw(me, BARRIERS) * PAGE + 3 : 0x1000;
    else if (LONG && probes[kind] != pops_deep && probes[kind] != calls_deep && probes[kind] != enters
             && !draw(me, 20))
        regs.di = (word)0x8000ULL << 32 | draw(me, PAGE);
    probes[kind](&regs);
    mix(me, kind), mix(me, regs.ax), mix(me, regs.cx), mix(me, regs.dx), mix(me, regs.si);
    mix(me, regs.di), mix(me, regs.bx);
    for (int at = 0; at < 16; at++)
        mix(me, regs.xmm[at]);
}

static void rights(struct worker *me)
{
    static const u8 kinds[] = {0, 1, 3, 3, 1, 7, 5, 3};
    u32 first = draw(me, PAGES), count = 1 + draw(me, PAGES - first);
    count = count > 6 ? 6 : count;
    u32 prot = kinds[draw(me, 8)];
    if (first < BARRIERS)
        prot = 1;
    mix(me, CALL3(MPROTECT, me->zone + first * PAGE, count * PAGE, prot));
}

static void mapping(struct worker *me)
{
    u32 first = BARRIERS + draw(me, PAGES - BARRIERS - 4), count = 1 + draw(me, 4);
    u8 *at = me->zone + first * PAGE;
    switch (draw(me, 5)) {
    case 0: mix(me, CALL3(MUNMAP, at, count * PAGE, 0)); break;
    case 1: mix(me, (word)map((word)at, count * PAGE, 3, 0x32, -1)); break;
    case 2: mix(me, CALL3(MADVISE, at, count * PAGE, 4)); break;
    case 3: mix(me, CALL(MREMAP, at, PAGE, count * PAGE, 3, me->zone + (56 * PAGE), 0));
            mix(me, CALL(MREMAP, me->zone + 56 * PAGE, count * PAGE, count * PAGE, 3, at, 0)); break;
    default: mix(me, (word)map((word)at, count * PAGE, 1, 0x32, -1)); break;
    }
}

static void hashing(struct worker *me)
{
    struct regs regs;
    for (int page = 0; page < PAGES; page++)
        for (int at = page & 7; at < PAGE; at += 8 * 37) {
            regs.si = (word)me->zone + page * PAGE + at, regs.ax = 7;
            if (regs.si % PAGE > PAGE - 8)
                continue;
            load_word(&regs), mix(me, (u32)regs.ax);
        }
}

typedef int function(void);

static void coding(struct worker *me)
{
    u8 *code = me->zone + CODE_PAGE * PAGE + draw(me, 2) * (PAGE - 3), *alias = 0;
    int way = draw(me, 4), fd = -1;
    word page = (word)me->zone + CODE_PAGE * PAGE;
    if (way == 1) {
        fd = CALL3(MEMFD, "code", 0, 0);
        CALL3(FTRUNCATE, fd, 2 * PAGE, 0);
        map(page, 2 * PAGE, 5, 0x11, fd);
        map((word)me->zone + ALIAS_PAGE * PAGE, 2 * PAGE, 3, 0x11, fd);
        CALL3(CLOSE, fd, 0, 0);
        alias = me->zone + ALIAS_PAGE * PAGE + (code - (u8 *)page);
    } else
        map(page, 2 * PAGE, 7, 0x32, -1);
    for (int round = 0; round < 4; round++) {
        u32 value = draw(me, 1 << 30);
        u8 text[6] = {0xB8, value, value >> 8, value >> 16, value >> 24, 0xC3};
        u8 *target = alias ? alias : code;
        if (way == 2)
            CALL3(MPROTECT, page, 2 * PAGE, 3);
        if (way == 3) {
            int ends[2];
            CALL3(PIPE, ends, 0, 0), CALL3(WRITE, ends[1], text, 6);
            mix(me, CALL3(READ, ends[0], target, 6));
            CALL3(CLOSE, ends[0], 0, 0), CALL3(CLOSE, ends[1], 0, 0);
        } else
            for (int at = 0; at < 6; at++)
                ((volatile u8 *)target)[at] = text[at];
        if (way == 2)
            CALL3(MPROTECT, page, 2 * PAGE, 5);
        mix(me, ((function *)code)());
        if (round == 2)
            CALL3(MADVISE, page, PAGE, 21);
    }
    CALL3(MUNMAP, page, 6 * PAGE, 0);
}

static void copying(struct worker *me)
{
    int ends[2];
    u8 *from = place(me), *to = place(me);
    if (CALL3(PIPE, ends, 0, 0))
        return;
    long done = CALL3(WRITE, ends[1], from, draw(me, 3 * PAGE));
    mix(me, done);
    if (done > 0)
        mix(me, CALL3(READ, ends[0], to, draw(me, 3 * PAGE) + 1));
    CALL3(CLOSE, ends[0], 0, 0), CALL3(CLOSE, ends[1], 0, 0);
}

static void raising(struct worker *me)
{
    u64 all = ~0ULL & ~(1ULL << 10 | 1ULL << 6 | 1 << 7 | 1 << 3), old;
    int blocks = draw(me, 2);
    if (blocks)
        CALL(SIGPROCMASK, 0, &all, &old, 8, 0, 0);
    for (int count = 1 + draw(me, 4); count; count--)
        mix(me, CALL3(TGKILL, CALL3(GETPID, 0, 0, 0), CALL3(GETTID, 0, 0, 0), 34 + draw(me, 6)));
    if (blocks)
        CALL(SIGPROCMASK, 2, &old, 0, 8, 0, 0);
}

static int deep(volatile u8 *above, int left)
{
    volatile u8 here[3000];
    here[0] = above[0] + left;
    return left ? deep(here, left - 1) + here[0] : here[0];
}

static word first_stack;
int on_stack(word stack, int (*function)(volatile u8 *, int), volatile u8 *above, int left);
#if LONG
__asm__("on_stack: push %rbp; mov %rsp, %rbp; mov %rdi, %rsp; mov %rsi, %rax; mov %rdx, %rdi\n"
        "mov %ecx, %esi; call *%rax; leave; ret");
#else
__asm__("on_stack: push %ebp; mov %esp, %ebp; mov 8(%ebp), %esp; push 20(%ebp); push 16(%ebp)\n"
        "call *12(%ebp); leave; ret");
#endif

static void growing(struct worker *me)
{
    u8 first = me->number;
    if (me->number || me->depth)
        return;
    mix(me, on_stack(first_stack & -64, deep, &first, draw(me, 60)));
    word end = CALL3(BRK, 0, 0, 0), more = draw(me, 9) * PAGE + draw(me, PAGE);
    CALL3(BRK, end + more, 0, 0);
    for (word at = 0; at < more; at += 1000)
        mix(me, ((u8 *)end)[at]), ((u8 *)end)[at] = at;
    CALL3(BRK, end + draw(me, more + 1), 0, 0), CALL3(BRK, end, 0, 0);
}

static void forking(struct worker *me)
{
    int status, children = 1 + draw(me, 2);
    long pids[2];
    if (me->depth > 2)
        return;
    for (int child = 0; child < children; child++) {
        u32 seed = draw(me, 1 << 30);
        pids[child] = CALL3(FORK, 0, 0, 0);
        if (!pids[child]) {
            me->random += seed, me->depth++, me->place = me->place * 2 + 1 + child;
            work(me, 4 + draw(me, 8));
            results[me->place] = me->hash;
            CALL3(EXIT_GROUP, me->hash & 0xFF, 0, 0);
        }
        probing(me), probing(me);
    }
    for (int child = 0; child < children; child++) {
        mix(me, CALL(WAIT4, pids[child], &status, 0, 0, 0, 0) == pids[child]), mix(me, status);
        mix(me, results[me->place * 2 + 1 + child]);
    }
}

long start(long flags, void *stack, volatile int *tid, volatile int *clear, struct worker *worker);
#if LONG
__asm__("start: mov %rcx, %r10; mov %r8, %r9; xor %r8, %r8; mov $56, %eax; syscall\n"
        "test %rax, %rax; jnz 1f; mov %r9, %rdi; call thread; 1: ret");
#else
__asm__("start: push %ebx; push %esi; push %edi; push %ebp; mov 20(%esp), %ebx; mov 24(%esp), %ecx\n"
        "mov 28(%esp), %edx; mov 32(%esp), %edi; xor %esi, %esi; mov 36(%esp), %ebp\n"
        "mov $120, %eax; int $0x80; test %eax, %eax; jnz 1f; push %ebp; call thread\n"
        "1: pop %ebp; pop %edi; pop %esi; pop %ebx; ret");
#endif

__attribute__((used)) void thread(struct worker *me)
{
    handler_stack(me);
    work(me, 10);
    CALL3(EXIT, 0, 0, 0);
}

static void fresh(struct worker *me, int number, u64 seed)
{
    me->hash = 0xcbf29ce484222325ULL, me->random = seed, me->number = number, me->faults = 0;
    me->zone = (u8 *)BASE + number * ZONE;
    map((word)me->zone, ZONE, 0, 0x32, -1);
    map((word)me->zone, (PAGES + 1) * PAGE, 3, 0x32, -1);
    CALL3(MPROTECT, me->zone, BARRIERS * PAGE, 1);
}

static void threading(struct worker *me)
{
    int count = 1 + draw(me, 3);
    if (me->number)
        return;
    for (int one = 1; one <= count; one++) {
        fresh(&workers[one], one, draw(me, 1 << 30));
        workers[one].depth = 3, alive[one] = 1;
        start(0x3D0F00 & ~0x80000, workers[one].stack + sizeof workers[one].stack - 64,
              &alive[one], &alive[one], &workers[one]);
    }
    for (int number = 0; number < 12; number++)
        probing(me);
    for (int one = 1; one <= count; one++) {
        for (int tid; (tid = alive[one]);)
            CALL(FUTEX, &alive[one], 0, tid, 0, 0, 0);
        mix(me, workers[one].hash);
        CALL3(MUNMAP, workers[one].zone, ZONE, 0);
    }
}

static void work(struct worker *me, int steps)
{
    static void (*const kinds[])(struct worker *) = {
        probing, probing, probing, probing, probing, probing, rights, rights, mapping, mapping,
        coding, copying, raising, growing, forking, threading, hashing};
    static const char *const names[] = {
        "probe", "probe", "probe", "probe", "probe", "probe", "rights", "rights", "map", "map",
        "code", "copy", "raise", "grow", "fork", "thread", "hash"};
    for (int step = 0; step < steps; step++) {
        u32 kind = draw(me, sizeof kinds / sizeof *kinds);
        kinds[kind](me);
        if (tells && !me->number && !me->depth)
            put(names[kind], step, me->hash);
    }
    hashing(me);
}

static u64 number(const char *text)
{
    u64 value = 0;
    while (*text)
        value = value * 10 + *text++ - '0';
    return value;
}

/* Begin with the stack that the kernel has made; all but what makes that grow uses another. */
__attribute__((used)) void begin(word *stack)
{
    struct worker *me = &workers[0];
    first_stack = (word)stack, tells = stack[0] > 3;
    map(RESULTS, PAGE, 3, 0x31, -1);
    fresh(me, 0, number((char *)stack[2]) * 0x9E3779B97F4A7C15ULL + 1);
    signals(), handler_stack(me);
    work(me, number((char *)stack[3]));
    put("faults", me->faults, 0);
    put("end", 0, me->hash);
    CALL3(EXIT_GROUP, me->hash & 0x7F, 0, 0);
}
#define TOP "workers + 98304"
#if LONG
__asm__(".globl _start; _start: mov %rsp, %rdi; lea " TOP "(%rip), %rsp; call begin");
#else
__asm__(".globl _start; _start: mov %esp, %eax; lea " TOP ", %esp; push %eax; call begin");
#endif

void *memset(void *at, int value, word size)
{
    for (word one = 0; one < size; one++)
        ((volatile u8 *)at)[one] = value;
    return at;
}

void *memcpy(void *to, const void *from, word size)
{
    for (word one = 0; one < size; one++)
        ((volatile u8 *)to)[one] = ((const u8 *)from)[one];
    return to;
}
