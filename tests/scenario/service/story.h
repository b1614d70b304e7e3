/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a pool in two hundred lines: everything that a service is asked for, deaths and a
 * restart included, ending with an empty pool.
 */
#ifndef CENOTE_TESTS_STORY_H
#define CENOTE_TESTS_STORY_H

#include <stdbool.h>

#include <stdint.h>

#define STORY_KEYS      20u
#define STORY_KEY_BYTES 16u

struct world;
struct world_disk;

/* Who wants to know what the pool's clients do, and what they were told. */
struct story_watch {
    /* Something was asked for that lets a key lead to a put (0: to nothing) ... */
    void (*asked)(void *arg, unsigned key, uint64_t put_id);
    /* ... and was answered with CENOTE_OK. */
    void (*told)(void *arg, unsigned key, uint64_t put_id);
    /* A put has its space; its end was asked for. */
    void (*granted)(void *arg, uint64_t put_id);
    void (*ends)(void *arg, uint64_t put_id);
    void *arg;
};

struct story_options {
    bool troubled; /* may anything fail? */
    void (*prepare)(struct world *w);
    bool (*broken)(void);            /* must the service be started again? NULL: never */
    const struct world_disk *disk;   /* NULL: none */
    const struct story_watch *watch; /* NULL: nobody */
};

struct story {
    unsigned errors;  /* answers, and connections, that failed on the way */
    unsigned changes; /* of the store */
};

/* Whatever happens, the pool's contents are right after each step, and nothing is left at the end;
 * otherwise the program ends. */
struct story story_run(const struct story_options *options);

void story_key(unsigned key, char out[STORY_KEY_BYTES]);

#endif
