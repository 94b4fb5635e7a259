// How fast this machine does what bench_exec.py measures: nanoseconds of CPU time each.
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { PAGES = 1 << 15, CALLS = 2000000, TURNS = 300000000, LOOP = 7 };

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return time.tv_sec * 1e9 + time.tv_nsec;
}

int main(void) {
    double start = now();
    volatile char *area = mmap(0, PAGES * 4096L, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (long page = 0; page < PAGES; page++)
        area[page * 4096] = 1;
    printf("demand-zero faults: %f\n", (now() - start) / PAGES);
    start = now();
    for (long number = 0; number < CALLS; number++)
        syscall(SYS_getppid);
    printf("system calls: %f\n", (now() - start) / CALLS);
    uint32_t words[4] = {1, 2, 3, 4}, one = 0, two = 0;
    start = now();
    for (uint32_t left = TURNS; left; left--) {  // as LOOP in bench_exec.py
        __asm__ volatile("add %2, %0\n xor %0, %1\n mov %1, (%3)\n add 8(%3), %1\n rol $3, %0"
                         : "+r"(one), "+r"(two) : "r"(left), "r"(words) : "memory");
    }
    printf("instructions: %f\n", (now() - start) / TURNS / LOOP);
    return one + two == 1;
}
