/* Runs a program with addresses that are not random. Standard input has a line with RLIMIT_STACK (0
   for what it is) and the numbers of arguments and of environment strings, and then the name of the
   file and those strings, each with a zero byte behind it. Where execve fails, it prints its errno
   and exits with 127. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <unistd.h>

static char *next(char **at)
{
    char *found = *at;
    *at += strlen(found) + 1;
    return found;
}

int main(void)
{
    size_t room = 16 << 20, size = 0;
    char *input = calloc(1, room + 1);
    ssize_t more;
    while ((more = read(0, input + size, room - size)) > 0)
        size += more;
    unsigned long limit;
    int argc, envc, line = 0;
    sscanf(input, "%lu %d %d\n%n", &limit, &argc, &envc, &line);
    char *at = input + line, *name = next(&at);
    char **argv = calloc(argc + 1, sizeof *argv), **envp = calloc(envc + 1, sizeof *envp);
    for (int i = 0; i < argc; i++)
        argv[i] = next(&at);
    for (int i = 0; i < envc; i++)
        envp[i] = next(&at);
    struct rlimit stack;
    getrlimit(RLIMIT_STACK, &stack);
    if (limit)
        stack.rlim_cur = limit;
    personality(ADDR_NO_RANDOMIZE);
    setrlimit(RLIMIT_STACK, &stack);
    execve(name, argv, envp);
    dprintf(2, "execve %d\n", errno);
    _exit(127);
}
