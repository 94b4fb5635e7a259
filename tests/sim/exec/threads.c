/* Threads: mutexes, condition variables with time limits, thread-local storage, joins, barriers. */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

#define THREADS 5
#define ROUNDS 20000

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turned = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t barrier;
static __thread long own;
static long sum, turn, items;
static sem_t filled;
static volatile int handled;

static void *adds(void *number)
{
    for (int round = 0; round < ROUNDS; round++) {
        pthread_mutex_lock(&lock);
        sum += round & 3;
        pthread_mutex_unlock(&lock);
        own++;
    }
    pthread_barrier_wait(&barrier);
    for (int round = 0; round < 3; round++) {
        pthread_mutex_lock(&lock);
        while (turn % THREADS != (long)number)
            pthread_cond_wait(&turned, &lock);
        printf("%ld ", (long)number);
        turn++;
        pthread_cond_broadcast(&turned);
        pthread_mutex_unlock(&lock);
    }
    return (void *)own;
}

static void *takes(void *unused)
{
    for (int one = 0; one < 100; one++)
        sem_wait(&filled), items++;
    return unused;
}

static void note(int number) { handled = number; }

static void *waits(void *unused)
{
    while (!handled)
        sched_yield();
    return unused;
}

int main(void)
{
    pthread_t threads[THREADS], one;
    void *result;
    long all = 0;
    pthread_barrier_init(&barrier, 0, THREADS);
    for (long number = 0; number < THREADS; number++)
        pthread_create(&threads[number], 0, adds, (void *)number);
    for (int number = 0; number < THREADS; number++)
        pthread_join(threads[number], &result), all += (long)result;
    printf("\nsum %ld own %ld %ld\n", sum, all, own);
    sem_init(&filled, 0, 0);
    pthread_create(&one, 0, takes, 0);
    for (int item = 0; item < 100; item++)
        sem_post(&filled);
    pthread_join(one, 0);
    printf("items %ld\n", items);
    struct timespec limit;
    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_nsec += 5000000;
    if (limit.tv_nsec >= 1000000000)
        limit.tv_sec++, limit.tv_nsec -= 1000000000;
    pthread_mutex_lock(&lock);
    int timed;
    while (!(timed = pthread_cond_timedwait(&turned, &lock, &limit)))
        ;
    printf("timed out %d\n", timed == ETIMEDOUT);
    signal(SIGUSR1, note);
    pthread_create(&one, 0, waits, 0);
    pthread_kill(one, SIGUSR1);
    pthread_join(one, 0);
    printf("handled %d\n", handled);
    pthread_mutexattr_t robust;
    pthread_mutexattr_init(&robust);
    pthread_mutexattr_setrobust(&robust, PTHREAD_MUTEX_ROBUST);
    return 6;
}
