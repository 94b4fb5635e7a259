/* A child with threads that take turns, and a parent that reads from it and waits for it. */
#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turned = PTHREAD_COND_INITIALIZER;
static long turn, sum;
static double shares[3];

static void *works(void *number)
{
    for (int round = 0; round < 4; round++) {
        pthread_mutex_lock(&lock);
        while (turn % 3 != (long)number)
            pthread_cond_wait(&turned, &lock);
        sum = sum * 7 + (long)number;
        shares[(long)number] += sum / 8.0;
        turn++;
        pthread_cond_broadcast(&turned);
        pthread_mutex_unlock(&lock);
    }
    return 0;
}

int main(void)
{
    int ends[2], status;
    char text[8];
    pthread_t threads[3];
    pipe(ends);
    if (!fork()) {
        sum = 5;
        for (long one = 0; one < 3; one++)
            pthread_create(&threads[one], 0, works, (void *)one);
        for (int one = 0; one < 3; one++)
            pthread_join(threads[one], 0);
        printf("%ld %.3f %.3f %.3f\n", sum, shares[0], shares[1], shares[2]);
        fflush(stdout);
        write(ends[1], "done", 5);
        _exit(7);
    }
    read(ends[0], text, 5);
    wait(&status);
    printf("%s %d %ld\n", text, WEXITSTATUS(status), sum);
    return WEXITSTATUS(status) * 6;
}
