// Calls and faults whose lines are known.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int count, char **words) {
    char byte[8];
    (void)words;
    open("/no\twhere", O_RDWR | O_CLOEXEC);
    pwrite(77, "text\n", 5, 9);
    int file = openat(AT_FDCWD, "/proc/version", O_RDONLY);
    read(file, byte, 5);
    lseek(file, -1, SEEK_CUR);
    volatile char *area = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    (void)area[0];
    area[0] = 1;
    area[4096] = 2;
    if (!fork()) {
        area[0] = 3;
        mprotect((void *)area, 4096, PROT_NONE);
        *(volatile char *)0x123456 = 1;
    }
    wait(0);
    read(file, (void *)0x10, 1);
    madvise((void *)area, 8192, MADV_PAGEOUT);
    byte[0] = area[4096];
    if (count > 1)
        for (;;)
            getppid();
    return 3;
}
