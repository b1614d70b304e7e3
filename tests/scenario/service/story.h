/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a pool in two hundred lines: everything that a service is asked for, deaths and a
 * restart included, ending with an empty pool.
 */
#ifndef CENOTE_TESTS_STORY_H
#define CENOTE_TESTS_STORY_H

#include <stdbool.h>

struct world;

struct story {
    unsigned errors;  /* answers, and connections, that failed on the way */
    unsigned changes; /* of the store */
};

/* Whatever happens, the pool's contents are right after each step, and nothing is left at the end;
 * otherwise the program ends. troubled: may anything fail? */
struct story story_run(bool troubled, void (*prepare)(struct world *w));

#endif
