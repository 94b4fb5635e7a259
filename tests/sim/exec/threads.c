/* Threads: mutexes, condition variables, time limits, locks of the dead, a word that processes share. */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

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

static pthread_mutex_t owned;
static volatile int held;

static void *dies(void *unused)
{
    pthread_mutex_lock(&owned);
    held = 1;
    usleep(2000);
    return unused;
}

static volatile int *shared_word(void)
{
    static volatile int *word;
    if (!word)
        word = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return word;
}

static void *last(void *unused)
{
    usleep(2000);
    printf("the last one\n");
    exit(6);
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
    pthread_mutex_init(&owned, &robust);
    pthread_create(&one, 0, dies, 0);
    while (!held)
        sched_yield();
    printf("owner died %d", pthread_mutex_lock(&owned) == EOWNERDEAD);
    printf(" %d\n", pthread_mutex_consistent(&owned));
    pthread_join(one, 0);
    struct rusage used, of_children;
    struct timespec process_time, thread_time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &process_time);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &thread_time);
    getrusage(RUSAGE_SELF, &used), getrusage(RUSAGE_CHILDREN, &of_children);
    printf("used %d %d %d %ld\n", used.ru_minflt > 10, used.ru_maxrss > 100,
           process_time.tv_nsec > thread_time.tv_nsec, of_children.ru_utime.tv_sec);
    printf("nice %d", nice(3)), printf(" %d\n", getpriority(PRIO_PROCESS, 0));
    *shared_word() = 1;
    if (!fork()) {
        usleep(1000);
        *shared_word() = 2;
        syscall(SYS_futex, shared_word(), FUTEX_WAKE, 9, 0, 0, 0);
        _exit(0);
    }
    while (*shared_word() == 1)
        syscall(SYS_futex, shared_word(), FUTEX_WAIT, 1, 0, 0, 0);
    printf("word %d\n", *shared_word());
    int status;
    wait(&status);
    pid_t child = vfork();
    if (!child) {
        held = 5;
        _exit(3);
    }
    waitpid(child, &status, 0);
    printf("vfork %d %d\n", held, WEXITSTATUS(status));
    fflush(stdout);
    pthread_create(&one, 0, last, 0);
    pthread_exit(0);
}
