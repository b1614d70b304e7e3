/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is a history of operations on one key linearizable? (M. Herlihy, J. Wing, "Linearizability: a
 * correctness condition for concurrent objects", ACM TOPLAS 12(3), 1990.)
 *
 * The search is Wing and Gong's ("Testing and verifying concurrent objects", Journal of Parallel
 * and Distributed Computing 17, 1993): some operation that was invoked before the first return is
 * the first to take effect; try each. Pruned as Lowe proposes ("Testing for linearizability",
 * Concurrency and Computation: Practice and Experience 29(4), 2017): what is left to do depends on
 * the operations that have taken effect and on the object's state only, so that no such pair is
 * searched twice. Keys are objects of their own, and are judged one by one (A. Horn, D. Kroening,
 * "Faster linearizability checking via P-compositionality", FORTE 2015).
 *
 * The object is a key of a store of immutable values. Each write brings a value of its own, which
 * names it. The model is strict; it bends in two places only:
 *
 *   unknown   an answer was lost, or its client died: the operation took effect at any moment after
 *             its invocation, or never
 *   loss      the only node that held a value may have died with it: from then on the value may be
 *             missed, by each operation anew, until something else is known of the key
 *
 * No I/O, no clock.
 */
#ifndef CENOTE_TESTS_LINEAR_LINEAR_H
#define CENOTE_TESTS_LINEAR_LINEAR_H

#include <stddef.h>
#include <stdint.h>

/* Operations of one key under way at one time, answered ones. */
#define LINEAR_OPEN_MAX    64u
/* Operations of one key that were never answered. */
#define LINEAR_UNKNOWN_MAX 128u
/* Pairs of state and operations kept between two quiescent moments. */
#define LINEAR_CONFIGS_MAX (UINT64_C(1) << 22)
/* Operations of one key. */
#define LINEAR_OPS_MAX     (UINT64_C(1) << 24)
/* Returns that a window may go back to before the last quiescent moment. */
#define LINEAR_WINDOW      64u
/* Searches that are spent on making a failing window shorter. */
#define LINEAR_SHRINK_MAX  4096u

enum linear_kind {
    LINEAR_PUT,     /* DONE, THERE (put-if-absent: nothing changed), UNKNOWN */
    LINEAR_REPLACE, /* DONE, UNKNOWN */
    LINEAR_REMOVE,  /* DONE, MISSING, UNKNOWN */
    LINEAR_GET,     /* DONE with the value, MISSING */
    LINEAR_EXISTS,  /* THERE, MISSING */
    LINEAR_KINDS
};

enum linear_outcome { LINEAR_DONE, LINEAR_THERE, LINEAR_MISSING, LINEAR_UNKNOWN, LINEAR_OUTCOMES };

struct linear_op {
    uint64_t invoked_ns;
    uint64_t returned_ns; /* not before invoked_ns; of an UNKNOWN one without meaning */
    uint64_t value;       /* that was written or read; not 0 */
    enum linear_kind kind;
    enum linear_outcome outcome;
    uint32_t tag; /* the caller's */
};

/* Values whose write began before until_ns may be missed from from_ns on. */
struct linear_loss {
    uint64_t from_ns, until_ns;
};

/* Of one key, absent at the beginning; in any order. */
struct linear_history {
    const struct linear_op *ops;
    size_t count;
    const struct linear_loss *losses;
    size_t loss_count;
};

enum linear_verdict {
    LINEAR_GOOD,
    LINEAR_BAD,
    LINEAR_LIMIT,     /* one of the limits above: not decided */
    LINEAR_MALFORMED, /* an outcome that its kind doesn't have, a return before its invocation */
    LINEAR_NO_MEMORY
};

#define LINEAR_STATES_MAX 8u

struct linear_result {
    enum linear_verdict verdict;
    uint64_t configs;  /* pairs that were looked at */
    uint64_t segments; /* between quiescent moments */
    /* LINEAR_BAD: the operation (its index) whose answer can't be explained, and values that the
     * key may have held when it was the next to return; 0: absent. */
    size_t culprit;
    uint64_t states[LINEAR_STATES_MAX];
    uint32_t state_count;
    /* LINEAR_BAD: what is needed to see it: operations (indices, by invocation) up to the culprit,
     * without the reads that don't matter; and the values that the key may have held before. None
     * of these: it can't be explained whatever the key held. */
    size_t *window; /* see linear_result_free() */
    size_t window_count;
    uint64_t before[LINEAR_STATES_MAX];
    uint32_t before_count;
};

void linear_check(const struct linear_history *h, struct linear_result *out);
void linear_result_free(struct linear_result *r);

#endif
