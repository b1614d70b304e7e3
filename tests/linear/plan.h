/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A history as the search needs it. Answered operations are ordered by their return; the search
 * stands before one of these returns, its cursor. Then every operation that returned earlier has
 * taken effect, and of those that were open at the cursor, some. An open operation has a slot,
 * which no other has meanwhile, so that 64 bits name those. Whatever wasn't answered stays open for
 * ever.
 */
#ifndef CENOTE_TESTS_LINEAR_PLAN_H
#define CENOTE_TESTS_LINEAR_PLAN_H

#include <stdbool.h>

#include "tests/linear/linear.h"

#define PLAN_IMPOSSIBLE UINT32_MAX
#define PLAN_NEVER      UINT64_MAX

struct plan {
    const struct linear_history *history;
    uint32_t *returns; /* answered operations, by return */
    uint32_t return_count;
    uint32_t *unknown; /* the others, by invocation */
    uint32_t unknown_count;
    uint8_t *slot;          /* of each operation */
    uint32_t *open;         /* lists of what is open at each return */
    uint32_t *open_from;    /* where they begin; one more than returns */
    uint32_t *unknown_at;   /* how many unknown ones were invoked before each return */
    uint32_t *source;       /* of each get: who wrote what it read; PLAN_IMPOSSIBLE: nobody */
    bool *quiet;            /* is nothing open after so many returns? */
    uint64_t *lost_from_ns; /* of each operation: from when on what it wrote may be missed */
};

/* LINEAR_GOOD, _LIMIT, _MALFORMED or _NO_MEMORY. */
enum linear_verdict plan_make(struct plan *p, const struct linear_history *h);
void plan_free(struct plan *p);

/* The state that an operation leaves; PLAN_IMPOSSIBLE: it can't have had its answer then. A state
 * is 1 + the operation that wrote the key's value; 0: absent. */
uint32_t plan_effect(const struct plan *p, uint32_t state, uint32_t op);
/* The value of a state; 0: absent. */
uint64_t plan_value(const struct plan *p, uint32_t state);

#endif
