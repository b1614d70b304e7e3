/* SPDX-License-Identifier: Apache-2.0 */
/* The pool that fuzz_service.c plays with, always the same one, so that seeds can be made for it:
 * two nodes, two clients, a committed value and a pending put. */
#ifndef CENOTE_TESTS_FUZZ_POOL_H
#define CENOTE_TESTS_FUZZ_POOL_H

#include "tests/support/metaworld.h"

enum fuzz_who {
    WHO_STRANGER, /* a connection without a session */
    WHO_ALICE,
    WHO_BOB,
    WHO_NODE,
    WHO_OTHER_NODE,
    WHOS
};

struct fuzz_pool {
    struct world *world;
    struct end *ends[WHOS];
    struct put_start_item put; /* alice's, pending */
};

#define FUZZ_NODE_BYTES (UINT64_C(1) << 20)

/* Ends with world_free(). */
void fuzz_pool_up(struct fuzz_pool *p);

/* Methods by the numbers that corpora know them by. */
extern const char *const fuzz_methods[];
extern const size_t fuzz_method_count;

#endif
