// A program with the C library: sorting, floating point, large memory, and output of many formats.

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b) {
    const unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;
    return x < y ? -1 : x > y;
}

int main(int argc, char **argv) {
    const unsigned count = 200000;
    unsigned *values = malloc(count * sizeof *values);
    unsigned long long seed = 1, hash = 0;
    for (unsigned i = 0; i < count; ++i) {
        seed = seed * 6364136223846793005ull + 1442695040888963407ull;
        values[i] = seed >> 33;
    }
    qsort(values, count, sizeof *values, compare);
    for (unsigned i = 0; i < count; ++i)
        hash = hash * 31 + values[i];
    double sum = 0;
    for (int i = 1; i < 100000; ++i)
        sum += sqrt(i) * sin(i) / i;
    char *text = malloc(3000000);
    memset(text, 'x', 2999999);
    text[2999999] = 0;
    memmove(text + 7, text, 2999000);
    printf("%s %d %llx %.15g %.18Lg %zu\n", argv[1], argc, hash, sum, (long double)sum / 3,
           strlen(text));
    char line[100];
    snprintf(line, sizeof line, "%a %e", sum, sum);
    puts(line);
    return argc;
}
