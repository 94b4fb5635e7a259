// What the runner needs before it runs anything: input and output, and a place for programs to be in
// that is apart from its own mappings.

#pragma once

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef unsigned long word;

static const long PAGE = 4096, ARENA = 0x1000000000;
static const word FENCE = 1 << 20, FENCE_MOST = 16 << 20;
enum { OWN = 64, TEXT = 1 << 20 };

static word heap_start, heap, fence, own[OWN][2];
static int own_count;
static char text[TEXT], line[4096], input[4096];

// ---- input and output without buffers of stdio, which would be on the heap

static void say(const char *format, ...) {
    static char out[4096];
    va_list arguments;
    va_start(arguments, format);
    ssize_t size = vsnprintf(out, sizeof out, format, arguments);
    va_end(arguments);
    if (size < 0 || write(1, out, size) != size) _exit(2);
}

static void fail(const char *what) {
    say("error %s: %s\n", what, strerror(errno));
    _exit(1);
}

static bool read_line() {
    static size_t start, end;
    for (size_t at = 0;;) {
        if (start == end) {
            ssize_t got = read(0, input, sizeof input);
            if (got <= 0) return false;
            start = 0, end = got;
        }
        char c = input[start++];
        if (c == '\n' || at == sizeof line - 1) { line[at] = 0; return true; }
        line[at++] = c;
    }
}

static const char *load_text(const char *path) {
    int fd = open(path, O_RDONLY);
    size_t size = 0;
    for (ssize_t got = 1; fd >= 0 && got > 0 && size < TEXT - 1; size += got > 0 ? got : 0)
        got = read(fd, text + size, TEXT - 1 - size);
    text[size] = 0;
    if (fd < 0 || !size || size == TEXT - 1) fail(path);
    close(fd);
    return text;
}

// ---- the layout of this process

static void find_own() {
    own_count = 0;
    for (const char *at = load_text("/proc/self/maps"); *at; at = strchr(at, '\n') + 1) {
        if (own_count == OWN) fail("too many mappings");
        char *rest;
        own[own_count][0] = strtoul(at, &rest, 16);
        own[own_count++][1] = strtoul(rest + 1, 0, 16);
    }
}

static bool is_own(word start) {
    for (int i = 0; i < own_count; i++)
        if (own[i][0] <= start && start < own[i][1]) return true;
    return false;
}

// Makes the pages of an own mapping present, and this process's own where it may write; returns
// whether they are now.
static bool populated(int i) {
    void *start = (void *)own[i][0];
    size_t size = own[i][1] - own[i][0];
    return !madvise(start, size, MADV_POPULATE_WRITE) || !madvise(start, size, MADV_POPULATE_READ);
}

static word map_fence(word start, word size) {
    int flags = MAP_SHARED | MAP_ANONYMOUS | (start ? MAP_FIXED : 0);
    void *fence = mmap((void *)start, size, PROT_NONE, flags, -1, 0);
    if (fence == MAP_FAILED || (start && (word)fence != start)) fail("mmap");
    return (word)fence;
}

// Keeps what programs map away from the runner: no holes are left between its own mappings, a
// mebibyte lies below them, and a page between its data and the heap. All of that is shared memory,
// each a file of its own, so that nothing merges with it. The last two belong to the program, which
// may reach into them.
static void put_up_fences() {
    find_own();
    for (int i = 0; i + 1 < own_count; i++) {
        word size = own[i + 1][0] - own[i][1];
        if (size && size < FENCE_MOST) map_fence(own[i][1], size);
    }
    find_own();
    heap_start = syscall(SYS_brk, 0);
    heap = syscall(SYS_brk, heap_start + PAGE);
    if (heap_start % PAGE || is_own(heap_start) || heap != heap_start + PAGE)
        fail("no heap of its own");
    map_fence(heap_start, PAGE);
    fence = map_fence(0, FENCE);
}

// Where the search for room from the top begins: the end of what lies without a hole above the
// highest place that is free.
static word find_mmap_base() {
    word base = fence + FENCE;
    for (int i = 0; i < own_count; i++)
        if (own[i][0] == base) base = own[i][1];
    return base;
}

// Prints what the model must know of this process: its places, then its own mappings with their
// rights and whether they have pages.
static void print_layout() {
    const char *at = strrchr(load_text("/proc/self/stat"), ')') + 2;
    for (int field = 3; field < 45; field++) at = strchr(at, ' ') + 1;
    char *rest;
    word start_data = strtoul(at, &rest, 10), end_data = strtoul(rest, 0, 10);
    bool randomised = !(personality(0xffffffff) & ADDR_NO_RANDOMIZE);
    say("layout %lu %lu %lu %lu %lu %lu %d\n", ARENA, heap_start, heap, fence, find_mmap_base(),
        end_data - start_data, randomised);
    at = load_text("/proc/self/maps");
    for (int i = 0; i < own_count; at = strchr(at, '\n') + 1)
        if (strtoul(at, 0, 16) == own[i][0]) {
            bool stack = own[i][0] <= (word)&rest && (word)&rest < own[i][1];
            say("own %lu %lu %d %.4s %d\n", own[i][0], own[i][1], populated(i),
                strchr(at, ' ') + 1, stack);
            i++;
        }
    say("ready\n");
}

// Touches all pages of the runner, so that it has no faults while they are counted.
static void touch_own_pages() {
    for (int i = 0; i < own_count; i++) populated(i);
}
