// Processes that end in all ways while memory is short: by themselves, by SIGKILL, by execve of a
// thread that is not the first, after an execve that failed. Each has pages that are swapped.
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BYTES = 1 << 20, CHILDREN = 12 };

static char *program;
static char *area;

static long sum(void) {
    long found = 0;
    for (long at = 0; at < BYTES; at += 4096)
        found += area[at];
    return found;
}

static void *replace(void *unused) {
    char *words[] = {program, "again", 0};
    (void)unused;
    execv("/nowhere", words);
    execv(program, words);
    return 0;
}

static int child(int number) {
    pthread_t thread;
    memset(area, number, BYTES);
    if (number % 4 == 0)
        return sum() / 256;
    if (number % 4 == 1) {
        kill(getpid(), SIGKILL);
    } else if (number % 4 == 2) {
        pthread_create(&thread, 0, replace, 0);
        for (;;)
            pause();
    }
    execl("/nowhere", "nowhere", (char *)0);
    mmap(0, BYTES, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE | MAP_POPULATE, -1, 0);
    return errno;
}

int main(int count, char **words) {
    if (count > 1)
        return 77;
    program = words[0];
    area = malloc(BYTES);
    memset(area, 1, BYTES);
    for (int number = 0; number < CHILDREN; number++) {
        int status;
        pid_t pid = fork();
        if (!pid)
            _exit(child(number));
        if (number % 3 == 2)
            continue;  // which all run at once with the next
        while (waitpid(-1, &status, 0) > 0)
            printf("%d\n", WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status));
    }
    printf("%ld\n", sum());
    return 9;
}
