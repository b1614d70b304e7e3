/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one client has done: operations by how they ended, how long they took, what was sent again;
 * and its trace. Thread-safe, without locks.
 *
 * Warm gets are over in less than a microsecond, so they are counted apart, in stripes that threads
 * seldom share, and only every so many is timed, and stands for those before it.
 */
#ifndef CENOTE_CLIENT_TALLY_H
#define CENOTE_CLIENT_TALLY_H

#include <pthread.h>

#include "transport/base/clock.h"
#include "transport/base/trace.h"

enum tally_op {
    TALLY_GET,
    TALLY_PUT,
    TALLY_REMOVE,
    TALLY_EXISTS,
    TALLY_STAT,
    TALLY_VIEW,
    TALLY_OPS
};

/* Parts of operations, as a trace shows them. */
enum tally_stage {
    TALLY_WHOLE,
    TALLY_LOOKUP, /* a call that changes nothing */
    TALLY_START,
    TALLY_COPY,
    TALLY_VERIFY,
    TALLY_COMMIT, /* or abort */
    TALLY_WAIT,
    TALLY_STAGES
};

#define TALLY_STRIPES_BITS 4u
#define TALLY_STRIPES      (1u << TALLY_STRIPES_BITS)
#define TALLY_WARM_EVERY   64u /* one is timed */
#define TALLY_STATUSES     96u /* more than the lowest status says */

struct tally_warm {
    _Alignas(64) metric_counter gets, bytes, views;
};

struct tally {
    struct tally_warm warm[TALLY_STRIPES];
    metric_counter ended[TALLY_OPS][TALLY_STATUSES]; /* but for warm gets; by -status */
    struct metric_histogram durations[TALLY_OPS];
    metric_counter checksum_failures;
    metric_counter retries;
    struct trace *trace;
    unsigned points[TALLY_OPS][TALLY_STAGES];
};

/* NULL: no memory. */
struct tally *tally_new(void);
void tally_free(struct tally *t);

static inline struct tally_warm *tally_warm_stripe(struct tally *t)
{
    uint64_t x = (uint64_t)pthread_self();
    return &t->warm[(x >> 6) * UINT64_C(0x9e3779b97f4a7c15) >> (64 - TALLY_STRIPES_BITS)];
}

/* A get of so many keys begins; when, or 0: it isn't timed unless it turns out to be cold. */
static inline uint64_t tally_get_begin(const struct tally_warm *w, size_t count)
{
    bool due = count > 1 || metric_get(&w->gets) % TALLY_WARM_EVERY == TALLY_WARM_EVERY - 1;
    return __builtin_expect(due, 0) ? clock_now_ns() : 0;
}

static inline void tally_warm_got(struct tally_warm *w, size_t count, uint64_t bytes)
{
    metric_add_shared(&w->gets, count);
    metric_add_shared(&w->bytes, bytes);
}

/* An operation that all of was warm. */
static inline void tally_warm_end(struct tally *t, uint64_t begun_ns, size_t count)
{
    if (__builtin_expect(begun_ns != 0, 0))
        metric_observe_ns_shared(&t->durations[TALLY_GET], clock_now_ns() - begun_ns,
                                 count > 1 ? 1 : TALLY_WARM_EVERY);
}

/* How one key of it has ended; a status that the operation's next round may change doesn't count.
 * t may be NULL, as in the next ones. */
void tally_ended(struct tally *t, enum tally_op op, int status);
void tally_took(struct tally *t, enum tally_op op, uint64_t begun_ns);
/* Is it sent again? Returns that. */
bool tally_again(struct tally *t, bool again);
void tally_checksum_failure(struct tally *t);

uint64_t tally_trace(struct tally *t, enum tally_op op, enum tally_stage stage);
void tally_traced(struct tally *t, enum tally_op op, enum tally_stage stage, uint64_t begun_ns,
                  uint64_t number);

#endif
