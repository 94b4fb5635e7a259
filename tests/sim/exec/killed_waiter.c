/* A word in shared memory: of two who wait there, the first is killed; one wake is for the other. */
#define _GNU_SOURCE
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <pthread.h>
#include <unistd.h>

static int *word;

static void *waits(void *unused)
{
    syscall(SYS_futex, word, FUTEX_WAIT, 0, 0, 0, 0);
    return unused;
}

int main(void)
{
    int status;
    pthread_t thread;
    word = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t first = fork();
    if (!first) {
        pthread_create(&thread, 0, waits, 0);
        for (;;)
            pause();
    }
    usleep(20000);
    pid_t second = fork();
    if (!second) {
        waits(0);
        _exit(7);
    }
    usleep(20000);
    kill(first, SIGKILL);
    waitpid(first, &status, 0);
    printf("killed %d\n", WTERMSIG(status));
    printf("woken %d\n", (int)syscall(SYS_futex, word, FUTEX_WAKE, 1, 0, 0, 0));
    waitpid(second, &status, 0);
    printf("ended %d\n", WEXITSTATUS(status));
    return 0;
}
