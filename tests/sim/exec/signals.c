/* Masks, pending signals, restarts, alarms, nested handlers, SIGCHLD, SIGPIPE. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile int count, order[16];

static void note(int number) { order[count++] = number; }

static void told(int number, siginfo_t *info, void *context)
{
    (void)context;
    printf("%d code %d pid %d status %d\n", number, info->si_code,
           info->si_pid == getpid(), number == SIGCHLD ? info->si_status : -1);
}

static void caught(int number, void (*handler)(int), int flags)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    action.sa_flags = flags;
    sigaction(number, &action, 0);
}

static void masks(void)
{
    sigset_t set, old, pending;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1), sigaddset(&set, SIGUSR2), sigaddset(&set, SIGRTMIN);
    caught(SIGUSR1, note, 0), caught(SIGUSR2, note, 0), caught(SIGRTMIN, note, 0);
    sigprocmask(SIG_BLOCK, &set, &old);
    raise(SIGUSR2), raise(SIGUSR1), raise(SIGUSR1), raise(SIGRTMIN), raise(SIGRTMIN);
    sigpending(&pending);
    printf("pending %d %d %d\n", sigismember(&pending, SIGUSR1), sigismember(&pending, SIGUSR2),
           sigismember(&pending, SIGTERM));
    sigprocmask(SIG_SETMASK, &old, 0);
    for (int at = 0; at < count; at++)
        printf("%d ", order[at]);
    printf("\n");
    count = 0;
    sigprocmask(SIG_BLOCK, &set, &old);
    raise(SIGUSR1);
    printf("suspend %d", sigsuspend(&old)), printf(" %d %d\n", errno == EINTR, count);
    struct timespec moment = {0, 1000};
    printf("timedwait %d", sigtimedwait(&set, 0, &moment)), printf(" %d\n", errno == EAGAIN);
    raise(SIGUSR2);
    siginfo_t info;
    printf("timedwait %d", sigwaitinfo(&set, &info)), printf(" code %d\n", info.si_code);
    sigprocmask(SIG_SETMASK, &old, 0);
}

static void restarts(void)
{
    int ends[2];
    char byte;
    if (pipe(ends))
        return;
    for (int flags = 0; flags < 2; flags++) {
        caught(SIGUSR1, note, flags ? SA_RESTART : 0);
        pid_t child = fork();
        if (!child) {
            struct timespec time = {0, 50000000};
            nanosleep(&time, 0);
            kill(getppid(), SIGUSR1);
            nanosleep(&time, 0);
            _exit(write(ends[1], "x", 1) != 1);
        }
        count = 0;
        int done = read(ends[0], &byte, 1);
        printf("read %d %d count %d\n", done, done < 0 ? errno == EINTR : 0, count);
        waitpid(child, 0, 0);
        if (done < 0)
            printf("read %d\n", (int)read(ends[0], &byte, 1));
    }
    struct itimerval once = {{0, 0}, {0, 20000}};
    caught(SIGALRM, note, SA_RESTART);
    setitimer(ITIMER_REAL, &once, 0);
    struct timespec second = {1, 0}, left = {0, 0};
    count = 0;
    printf("sleep %d", nanosleep(&second, &left)), printf(" %d %d left %d\n", errno == EINTR,
                                                          count, left.tv_nsec > 900000000);
    setitimer(ITIMER_REAL, &once, 0);
    struct pollfd one = {ends[0], POLLIN, 0};
    printf("poll %d", poll(&one, 1, -1)), printf(" %d\n", errno == EINTR);
    alarm(1);
    printf("alarm %d\n", (int)alarm(0));
    close(ends[0]);
    caught(SIGPIPE, note, 0);
    count = 0;
    printf("write %d", (int)write(ends[1], "x", 1)), printf(" %d %d\n", errno == EPIPE, count);
}

static void children(void)
{
    struct sigaction action;
    int status;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = told;
    action.sa_flags = SA_SIGINFO | SA_RESTART;
    sigaction(SIGCHLD, &action, 0), sigaction(SIGUSR1, &action, 0);
    raise(SIGUSR1);
    union sigval value = {.sival_int = 1234};
    sigset_t set;
    sigemptyset(&set), sigaddset(&set, SIGRTMIN + 1);
    sigprocmask(SIG_BLOCK, &set, 0);
    sigqueue(getpid(), SIGRTMIN + 1, value);
    siginfo_t info;
    printf("queued %d", sigwaitinfo(&set, &info) == SIGRTMIN + 1);
    printf(" code %d value %d\n", info.si_code, info.si_value.sival_int);
    fflush(stdout);
    for (int kind = 0; kind < 3; kind++) {
        pid_t child = fork();
        if (!child) {
            if (kind == 1)
                kill(getpid(), SIGKILL);
            if (kind == 2)
                raise(SIGTERM);
            _exit(40);
        }
        printf("wait %d", waitpid(child, &status, 0) == child);
        printf(" %d %d %d\n", WIFEXITED(status), WIFEXITED(status) ? WEXITSTATUS(status) : -1,
               WIFSIGNALED(status) ? WTERMSIG(status) : -1);
        fflush(stdout);
    }
    signal(SIGCHLD, SIG_IGN);
    if (!fork())
        _exit(0);
    printf("wait %d", (int)wait(&status)), printf(" %d\n", errno == ECHILD);
    printf("wait %d", (int)waitpid(-1, &status, WNOHANG)), printf(" %d\n", errno == ECHILD);
}

static void stops(void)
{
    int status;
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = told;
    action.sa_flags = SA_SIGINFO | SA_RESTART;
    sigaction(SIGCHLD, &action, 0);
    fflush(stdout);
    pid_t child = fork();
    if (!child) {
        raise(SIGSTOP);
        _exit(8);
    }
    printf("stop %d", waitpid(child, &status, WUNTRACED) == child);
    printf(" %d %d\n", WIFSTOPPED(status), WSTOPSIG(status));
    printf("nothing %d\n", (int)waitpid(child, &status, WUNTRACED | WNOHANG));
    signal(SIGCHLD, SIG_DFL);
    kill(child, SIGCONT);
    siginfo_t info;
    waitid(P_PID, child, &info, WCONTINUED | WEXITED | WNOWAIT);
    printf("waitid %d\n", info.si_pid == child);
    while (waitpid(child, &status, 0) == child && !WIFEXITED(status))
        ;
    printf("end %d\n", WEXITSTATUS(status));
}

int main(void)
{
    masks();
    stops();
    restarts();
    children();
    fflush(stdout);
    signal(SIGPIPE, SIG_DFL);
    raise(SIGTERM);
    return 0;
}
