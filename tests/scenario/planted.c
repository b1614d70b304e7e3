/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Planted faults. The sanitizer builds are only worth their time if they see a leak, a race, an
 * overrun and undefined arithmetic; ctest runs this program with each fault and expects the report.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int shared_count;

static void *count_up(void *arg)
{
    for (int i = 0; i < 1000; i++)
        shared_count++;
    return arg;
}

static int run_two_threads(bool at_once)
{
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) {
        if (pthread_create(&threads[i], NULL, count_up, NULL) != 0)
            return 1;
        if (!at_once)
            pthread_join(threads[i], NULL);
    }
    for (int i = 0; at_once && i < 2; i++)
        pthread_join(threads[i], NULL);
    return 0;
}

/* Its result goes through volatile, so that the compiler can't see the fault and leave it out. */
static char *allocate(size_t len_bytes)
{
    char *volatile memory = malloc(len_bytes);
    if (memory)
        memset(memory, 1, len_bytes);
    return memory;
}

static int overrun(void)
{
    volatile size_t offset = 16;
    char *memory = allocate(offset);
    int byte = memory ? memory[offset] : 0;
    free(memory);
    return byte == 77;
}

static int overflow(void)
{
    volatile int huge = 0x7fffffff;
    return huge + 1 == 77;
}

int main(int argc, char **argv)
{
    const char *fault = argc > 1 ? argv[1] : "none";
    if (strcmp(fault, "leak") == 0)
        return allocate(1234) == NULL;
    if (strcmp(fault, "race") == 0)
        return run_two_threads(true);
    if (strcmp(fault, "overrun") == 0)
        return overrun();
    if (strcmp(fault, "overflow") == 0)
        return overflow();
    if (strcmp(fault, "none") == 0) {
        free(allocate(1234));
        return run_two_threads(false);
    }
    fprintf(stderr, "usage: %s none|leak|race|overrun|overflow\n", argv[0]);
    return 2;
}
