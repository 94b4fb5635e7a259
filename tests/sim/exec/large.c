/* Writes 24 Mbytes, changes each page three times in another order, and prints a sum. */
#include <stdio.h>
#include <stdlib.h>

int main(void)
{
    enum { PAGES = 6144, WORDS = 512 };
    unsigned long *data = malloc(PAGES * WORDS * sizeof *data), sum = 0, at = 1;

    for (long one = 0; one < PAGES * WORDS; one += 8)
        data[one] = one * 2654435761u;
    for (int round = 0; round < 3 * PAGES; round++) {
        at = (at * 1103515245 + 12345) & 0x7FFFFFFF;
        data[at % PAGES * WORDS] += round;
    }
    for (long one = 0; one < PAGES * WORDS; one += 8)
        sum = sum * 31 + data[one];
    printf("%lx\n", sum);
    return 5;
}
