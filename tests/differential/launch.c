/* Runs a program with addresses that are not random. Standard input has a line with RLIMIT_STACK (0
   for what it is), whether to stop the program before its first instruction, and the numbers of
   arguments and of environment strings, and then the name of the file and those strings, each with
   a zero byte behind it. Where execve fails, it prints its errno and exits with 127. Of a program
   that is stopped it writes instruction pointer, stack pointer and the length of the mappings, 8
   bytes each, the mappings and the stack, and exits with 42; with 126 if programs cannot be stopped.
*/

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

static char *next(char **at)
{
    char *found = *at;
    *at += strlen(found) + 1;
    return found;
}

static int file_of(pid_t program, const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)program, name);
    return open(path, O_RDONLY);
}

static void show(pid_t program)
{
    static char maps[1 << 16], page[4096];
    int status, file;
    unsigned long sizes[3], place;
    struct user_regs_struct registers;
    ssize_t more;
    waitpid(program, &status, 0);
    if (WIFEXITED(status))
        _exit(WEXITSTATUS(status)); /* execve has failed */
    if (WIFSIGNALED(status)) {
        kill(getpid(), WTERMSIG(status));
        _exit(126);
    }
    if (ptrace(PTRACE_GETREGS, program, 0, &registers))
        _exit(126);
    sizes[0] = registers.rip, sizes[1] = place = registers.rsp, sizes[2] = 0;
    file = file_of(program, "maps");
    while ((more = read(file, maps + sizes[2], sizeof maps - sizes[2])) > 0)
        sizes[2] += more;
    fwrite(sizes, sizeof sizes, 1, stdout);
    fwrite(maps, sizes[2], 1, stdout);
    file = file_of(program, "mem");
    for (; (more = pread(file, page, 4096 - place % 4096, place)) > 0; place += more)
        fwrite(page, more, 1, stdout);
    fflush(stdout);
    kill(program, SIGKILL);
    _exit(42);
}

int main(void)
{
    size_t room = 16 << 20, size = 0;
    char *input = calloc(1, room + 1);
    ssize_t more;
    while ((more = read(0, input + size, room - size)) > 0)
        size += more;
    unsigned long limit;
    int stops, argc, envc, line = 0;
    sscanf(input, "%lu %d %d %d\n%n", &limit, &stops, &argc, &envc, &line);
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
    if (stops) {
        pid_t program = fork();
        if (program)
            show(program);
        if (ptrace(PTRACE_TRACEME, 0, 0, 0))
            _exit(126);
    }
    execve(name, argv, envp);
    dprintf(2, "execve %d\n", errno);
    _exit(127);
}
