/* A SIGSEGV write barrier, handlers on a stack of their own, siglongjmp out of them, x87 and SSE. */
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096
#define PAGES 8

static char *area;
static volatile int dirty, last_code, on_stack;
static sigjmp_buf back;
static char stack[1 << 16];

static void barrier(int number, siginfo_t *info, void *context)
{
    char here;
    (void)number, (void)context;
    last_code = info->si_code;
    on_stack = &here >= stack && &here < stack + sizeof stack;
    char *at = info->si_addr;
    if (at < area || at >= area + PAGES * PAGE)
        siglongjmp(back, 1);
    dirty++;
    mprotect((char *)((uintptr_t)at & -PAGE), PAGE, PROT_READ | PROT_WRITE);
    volatile double other = 1.5;
    other *= 3;
}

static void jump(int number, siginfo_t *info, void *context)
{
    (void)context;
    printf("signal %d code %d at %d\n", number, info->si_code, info->si_addr == (void *)0x1234);
    siglongjmp(back, 2);
}

static void too_deep(int number, siginfo_t *info, void *context)
{
    (void)context;
    printf("signal %d in the stack %d\n", number, labs((char *)info->si_addr - (char *)&number) > 1);
    siglongjmp(back, 3);
}

static int deep(volatile char *above)
{
    volatile char here[4096];
    here[0] = above[0] + 1;
    return deep(here) + here[0];
}

static void caught(int number, void (*handler)(int, siginfo_t *, void *), int flags)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = handler;
    action.sa_flags = SA_SIGINFO | flags;
    sigaction(number, &action, 0);
}

int main(void)
{
    stack_t other = {.ss_sp = stack, .ss_size = sizeof stack};
    sigaltstack(&other, 0);
    area = mmap(0, PAGES * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    caught(SIGSEGV, barrier, SA_ONSTACK);
    double sum = 0.25;
    for (int at = 0; at < PAGES * PAGE; at += 512) {
        sum += at * 0.5;
        area[at] = (char)at;
        sum *= 1.0001;
    }
    printf("dirty %d code %d on stack %d sum %.6f\n", dirty, last_code, on_stack, sum);
    if (!sigsetjmp(back, 1))
        *(volatile char *)8 = 1;
    else
        printf("jumped, code %d\n", last_code);
    caught(SIGSEGV, too_deep, SA_ONSTACK);
    if (!sigsetjmp(back, 1))
        deep(area);
    caught(SIGSEGV, jump, 0);
    for (int round = 0; round < 3; round++)
        if (!sigsetjmp(back, 1))
            *(volatile char *)0x1234 = 1;
    caught(SIGFPE, jump, SA_RESETHAND);
    volatile int zero = 0;
    if (!sigsetjmp(back, 1))
        zero = 100 / zero;
    struct sigaction now;
    sigaction(SIGFPE, 0, &now);
    printf("default again %d\n", now.sa_handler == SIG_DFL);
    caught(SIGBUS, jump, 0);
    FILE *file = tmpfile();
    char *mapped = mmap(0, PAGE, PROT_READ, MAP_SHARED, fileno(file), 0);
    if (!sigsetjmp(back, 1))
        zero = *(volatile char *)mapped;
    zero = 0;
    fflush(stdout);
    zero = 100 / zero;
    return 0;
}
