// Runs programs of memory calls, loads and stores on the kernel of this machine.
//
// Started once, it prints its layout and then reads programs from standard input; program.py writes
// them. Each program runs in a process forked for it, and in the children that it forks itself:
// they take turns, so that one thing happens at a time. What each step came to is printed at once.
// All numbers are decimal.
//
//   input:   program STEPS MEMLOCK AS DATA FILE1 FILE2
//            step PROCESS OP ARGUMENTS (BASE VALUE)...
//   output:  step INDEX RESULT SIGNAL CODE ADDRESS MINOR MAJOR
//            status KBYTES of page tables, locked, mapped, data and stack, then what smaps says
//            of each mapping, without figures that are 0
//            end STATUS

#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "native_layout.h"

enum { STEPS = 512, ARGUMENTS = 6, PROCESSES = 4, FIRST_FILE = 10, MEMFD_PAGES = 24 };
enum Base { NUMBER, IN_ARENA, IN_HEAP, OF_FILE, OF_RESULT };

struct Step {
    int process, count;
    char op[12];
    int base[ARGUMENTS];
    word value[ARGUMENTS];
};

// What all processes of a program share.
struct Shared {
    word results[STEPS];
    int alive[PROCESSES], pids[PROCESSES];
};

// Who goes on, from which step on, and whose end is to be awaited first if that is not 0.
struct Turn {
    int step, ended;
};

static Step steps[STEPS];
static int step_count, me, turns[PROCESSES][2];
static Shared *shared;

// ---- steps

static sigjmp_buf escape;
static volatile bool accessing;
static volatile struct { int number, code; word address; } caught;

static void on_signal(int number, siginfo_t *info, void *) {
    if (!accessing) { say("error signal %d of the runner\n", number); _exit(1); }
    accessing = false;
    caught.number = number, caught.code = info->si_code, caught.address = (word)info->si_addr;
    siglongjmp(escape, 1);
}

static word access_memory(const char *op, word address, word value) {
    if (sigsetjmp(escape, 0)) return 0;
    accessing = true;
    word loaded = 0;
    if (!strcmp(op, "load")) loaded = *(volatile word *)address;
    if (!strcmp(op, "loadb")) loaded = *(volatile unsigned char *)address;
    if (!strcmp(op, "store")) *(volatile word *)address = value;
    if (!strcmp(op, "storeb")) *(volatile unsigned char *)address = (unsigned char)value;
    accessing = false;
    return loaded;
}

static const struct { const char *name; long number; } CALLS[] = {
    {"mmap", SYS_mmap}, {"munmap", SYS_munmap}, {"mprotect", SYS_mprotect},
    {"mremap", SYS_mremap}, {"madvise", SYS_madvise}, {"mlock", SYS_mlock},
    {"mlock2", SYS_mlock2}, {"munlock", SYS_munlock}, {"msync", SYS_msync}, {"brk", SYS_brk},
    {"mincore", SYS_mincore}, {"mlockall", SYS_mlockall}, {"munlockall", SYS_munlockall},
    {"pread", SYS_pread64}, {"pwrite", SYS_pwrite64}, {"ftruncate", SYS_ftruncate},
    {"fallocate", SYS_fallocate},
};

static word carry_out(const char *op, const word *a) {
    for (auto &call : CALLS)
        if (!strcmp(op, call.name)) {
            long result = syscall(call.number, a[0], a[1], a[2], a[3], a[4], a[5]);
            return result == -1 ? -errno : result;
        }
    return access_memory(op, a[0], a[1]);
}

static void new_process(int number) {
    int pid = fork();
    if (pid < 0) fail("fork");
    if (!pid) {
        me = number;
    } else {
        shared->pids[number] = pid;
        shared->alive[number] = 1;
    }
    touch_own_pages();
}

static word argument(const Step &step, int i) {
    switch (step.base[i]) {
    case NUMBER: return step.value[i];
    case IN_ARENA: return ARENA + step.value[i];
    case IN_HEAP: return heap + step.value[i];
    case OF_FILE: return FIRST_FILE + step.value[i];
    default: break;
    }
    word place = shared->results[step.base[i] - OF_RESULT];  // the arena where that is an error
    return (place > (word)-PAGE ? ARENA : place) + step.value[i];
}

static const char *const STATUS[] = {"VmPTE:", "VmLck:", "VmSize:", "VmData:", "VmStk:"};

// What the process has mapped beside the runner itself.
static void print_mappings() {
    load_text("/proc/self/status");
    say("status");
    for (const char *field : STATUS)
        say(" %lu", strtoul(strstr(text, field) + strlen(field), 0, 10));
    say("\n");
    bool wanted = false;
    static char out[TEXT];
    size_t size = 0;
    load_text("/proc/self/smaps");
    for (char *at = text, *next; *at; at = next) {
        next = strchr(at, '\n') + 1;
        next[-1] = 0;
        char *colon = strchr(at, ':'), *blank = strchr(at, ' ');
        if (colon > blank) {
            wanted = !is_own(strtoul(at, 0, 16));
            if (wanted) size += snprintf(out + size, TEXT - size, "%s\n", at);
        } else if (wanted && !strncmp(at, "VmFlags:", 8)) {
            size += snprintf(out + size, TEXT - size, "VmFlags:%s\n", at + 8);
        } else if (wanted && strtoul(colon + 1, 0, 10)) {
            *colon = 0;
            size += snprintf(out + size, TEXT - size, "%s: %lu\n", at, strtoul(colon + 1, 0, 10));
        }
    }
    if (write(1, out, size) != (ssize_t)size) fail("write");
}

static void take_step(int i) {
    Step &step = steps[i];
    word a[ARGUMENTS] = {};
    for (int k = 0; k < step.count; k++) a[k] = argument(step, k);
    if (!strcmp(step.op, "show")) {
        say("step %d 0 0 0 0 0 0\n", i);
        print_mappings();
        return;
    }
    if (!strcmp(step.op, "fork")) {
        int parent = me;
        bool fresh = a[0] < PROCESSES && !shared->pids[a[0]];
        shared->results[i] = fresh ? 0 : -EAGAIN;
        if (fresh) new_process(a[0]);
        if (me == parent) say("step %d %ld 0 0 0 0 0\n", i, (long)shared->results[i]);
        return;
    }
    caught.number = caught.code = 0, caught.address = 0;
    struct rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    word result = carry_out(step.op, a);
    getrusage(RUSAGE_SELF, &after);
    shared->results[i] = result;
    madvise((void *)heap_start, PAGE, MADV_COLD);  // puts new pages on the lists [lru_add_drain]
    say("step %d %lu %d %d %lu %ld %ld\n", i, result, caught.number, caught.code,
            caught.address, after.ru_minflt - before.ru_minflt,
            after.ru_majflt - before.ru_majflt);
}

// ---- processes, which take turns

static void give_turn(int process, Turn turn) {
    if (write(turns[process][1], &turn, sizeof turn) != sizeof turn) fail("write");
}

static Turn take_turn() {
    Turn turn;
    if (read(turns[me][0], &turn, sizeof turn) != sizeof turn) _exit(1);
    return turn;
}

// Waits until the memory of a process is gone, whoever's child it is.
static void wait_for(int process) {
    int fd = syscall(SYS_pidfd_open, shared->pids[process], 0);
    if (fd < 0) return;
    struct pollfd end = {fd, POLLIN, 0};
    poll(&end, 1, -1);
    close(fd);
}

static void exit_step(int i) {
    say("step %d 0 0 0 0 0 0\n", i);
    shared->alive[me] = 0;
    give_turn(0, {i + 1, me});
    _exit(0);
}

// Takes the steps of this process, and lets other processes take theirs.
static void run_steps(bool mine) {
    for (int i = 0; true;) {
        if (!mine) {
            Turn turn = take_turn();
            if (turn.ended) wait_for(turn.ended);
            i = turn.step, mine = true;
        }
        int process = i < step_count ? steps[i].process : 0;
        bool exits = i < step_count && !strcmp(steps[i].op, "exit");
        if (process < 0 || process >= PROCESSES || !shared->alive[process] ||
            (exits && !process)) {
            say("skip %d\n", i++);
        } else if (process != me) {
            give_turn(process, {i, 0});
            mine = false;
        } else if (i >= step_count) {
            return;
        } else if (exits) {
            exit_step(i);
        } else {
            take_step(i++);
            mine = process == me;
        }
    }
}

static void limit(int resource, const char *field, long pages) {
    if (pages < 0) return;
    const char *used = strstr(load_text("/proc/self/status"), field);
    rlim_t bytes = (strtoul(strchr(used, ':') + 1, 0, 10) << 10) + pages * PAGE;
    struct rlimit limits = {bytes, bytes};
    if (setrlimit(resource, &limits)) fail(field);
}

// A process without the privilege to lock memory or map the lowest pages.
static void drop_privileges(rlim_t memlock) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct none[2] = {};
    struct rlimit limits = {memlock, memlock};
    if (setrlimit(RLIMIT_MEMLOCK, &limits) || syscall(SYS_capset, &header, none)) fail("capset");
}

static void move_fd(const char *name, int from, int to) {
    if (from < 0 || dup2(from, to) < 0) fail(name);
    close(from);
}

// Opens the files of a program: one to be written, one to be read, and one of shared memory.
static void open_files(const char *first, const char *second) {
    if (!strcmp(first, "-")) return;
    move_fd(first, open(first, O_RDWR), FIRST_FILE);
    move_fd(second, open(second, O_RDONLY), FIRST_FILE + 1);
    move_fd("memfd", memfd_create("file2", 0), FIRST_FILE + 2);
    if (ftruncate(FIRST_FILE + 2, MEMFD_PAGES * PAGE)) fail("ftruncate");
}

static void run_program(long memlock, long as, long data, const char *first, const char *second) {
    open_files(first, second);
    for (auto &turn : turns)
        if (pipe(turn)) fail("pipe");
    memset(shared, 0, sizeof *shared);
    shared->alive[0] = 1, shared->pids[0] = getpid();
    drop_privileges(memlock);
    limit(RLIMIT_DATA, "VmData", data);
    limit(RLIMIT_AS, "VmSize", as);
    map_fence(heap_start, PAGE);  // new ones, which no program before has written to
    map_fence(fence, FENCE);
    touch_own_pages();
    run_steps(true);
    for (int process = 1; process < PROCESSES; process++)
        if (shared->alive[process]) {
            kill(shared->pids[process], SIGKILL);
            wait_for(process);
        }
    _exit(0);
}

static void parse_step(char *at) {
    if (step_count == STEPS) fail("too many steps");
    Step &step = steps[step_count++];
    int used;
    step.count = 0;
    if (sscanf(at, "step %d %11s%n", &step.process, step.op, &used) != 2) fail(at);
    for (at += used; step.count < ARGUMENTS; at += used, step.count++)
        if (sscanf(at, " %d %lu%n", &step.base[step.count], &step.value[step.count], &used) != 2)
            break;
}

static void serve() {
    long memlock, as, data;
    static char first[1024], second[1024];
    while (read_line()) {
        int count;
        if (sscanf(line, "program %d %ld %ld %ld %1023s %1023s", &count, &memlock, &as, &data,
                   first, second) != 6)
            fail(line);
        for (step_count = 0; count && read_line(); count--) parse_step(line);
        int status, pid = fork();
        if (pid < 0) fail("fork");
        if (!pid) run_program(memlock, as, data, first, second);
        if (waitpid(pid, &status, 0) != pid) fail("waitpid");
        say("end %d\n", status);
    }
}

static void catch_signals() {
    static char stack[64 << 10];
    stack_t alternative = {stack, 0, sizeof stack};
    struct sigaction action = {};
    action.sa_sigaction = on_signal;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    if (sigaltstack(&alternative, 0) || sigaction(SIGSEGV, &action, 0) ||
        sigaction(SIGBUS, &action, 0))
        fail("sigaction");
}

int main(int, char **argv) {
    int persona = personality(0xffffffff);
    if (!(persona & ADDR_NO_RANDOMIZE) && personality(persona | ADDR_NO_RANDOMIZE) >= 0 &&
        personality(0xffffffff) & ADDR_NO_RANDOMIZE)
        execv("/proc/self/exe", argv);
    cpu_set_t cpu;
    CPU_ZERO(&cpu);
    CPU_SET(sched_getcpu(), &cpu);
    if (sched_setaffinity(0, sizeof cpu, &cpu)) fail("sched_setaffinity");
    if (prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0)) fail("PR_SET_THP_DISABLE");
    shared = (Shared *)mmap(0, sizeof(Shared), PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (shared == MAP_FAILED) fail("mmap");
    catch_signals();
    put_up_fences();
    print_layout();
    serve();
}
