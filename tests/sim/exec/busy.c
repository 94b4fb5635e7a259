/* Files that run cannot be written to, and files that are open to be written to cannot be run. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void tell(const char *what, long result)
{
    printf("%s %d\n", what, result < 0 ? errno : 0);
    fflush(stdout);
}

static void start(const char *path)
{
    int status;
    if (!fork()) {
        execl(path, path, "quick", (char *)0);
        tell("execl", -1);
        _exit(3);
    }
    wait(&status);
    printf("status %x\n", status);
}

int main(int count, char **words)
{
    char copy[] = "/tmp/busyXXXXXX", buffer[4096];
    long size;
    if (count > 1)
        return 9;
    tell("read and write", open(words[0], O_RDWR));
    tell("cut", open(words[0], O_RDONLY | O_TRUNC));
    tell("truncate", truncate(words[0], 0));
    tell("by its link", open("/proc/self/exe", O_WRONLY));
    tell("read", open(words[0], O_RDONLY));
    tell("path", open(words[0], O_PATH | O_RDWR));
    int in = open(words[0], O_RDONLY), out = mkstemp(copy);
    while ((size = read(in, buffer, sizeof buffer)) > 0)
        write(out, buffer, size);
    fchmod(out, 0755);
    start(copy);
    close(out);
    start(copy);
    tell("write what ran", open(copy, O_WRONLY));
    unlink(copy);
    return 6;
}
