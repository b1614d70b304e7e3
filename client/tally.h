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

#include <cenote/status.h>

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
    TALLY_QUEUE, /* in the background: until somebody has time, or room, for it */
    TALLY_PART,  /* in the background: what one of several services is asked for */
    TALLY_WARM,  /* what the client knows already */
    TALLY_STAGES
};

#define TALLY_STRIPES_BITS 4u
#define TALLY_STRIPES      (1u << TALLY_STRIPES_BITS)
#define TALLY_WARM_EVERY   64u /* one is timed */
#define TALLY_STATUSES     96u /* more than the lowest status says */

/* In a cache line of its own. */
struct tally_warm {
    _Alignas(64) metric_counter gets;
    metric_counter bytes, views;
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

/* Threads are told apart by where their stacks are, which costs no call. (One that calls from
 * different depths may have two stripes.) */
static inline struct tally_warm *tally_warm_stripe(struct tally *t)
{
    uint32_t page = (uint32_t)((uintptr_t)__builtin_frame_address(0) >> 12);
    return &t->warm[page * 0x9e3779b1u >> (32 - TALLY_STRIPES_BITS)];
}

/* When an operation begins, for tally_took(). */
static inline uint64_t tally_begin(void)
{
    return CENOTE_METRICS ? clock_now_ns() : 0;
}

/* A get of so many keys begins; when, or 0: it isn't timed unless it turns out to be cold. */
static inline uint64_t tally_get_begin(const struct tally_warm *w, size_t count)
{
    if (!CENOTE_METRICS)
        return 0;
    bool due = count > 1 || metric_get(&w->gets) % TALLY_WARM_EVERY == TALLY_WARM_EVERY - 1;
    return __builtin_expect(due, 0) ? clock_now_ns() : 0;
}

static inline void tally_warm_got(struct tally_warm *w, size_t count, uint64_t bytes)
{
    metric_add_shared(&w->gets, count);
    metric_add_shared(&w->bytes, bytes);
}

static inline bool tally_is_timed(uint64_t begun_ns)
{
    return CENOTE_METRICS && __builtin_expect(begun_ns != 0, 0);
}

/* An operation that all of was warm, and that is timed. */
static inline void tally_warm_took(struct tally *t, uint64_t begun_ns, size_t count)
{
    metric_observe_ns_shared(&t->durations[TALLY_GET], clock_now_ns() - begun_ns,
                             count > 1 ? 1 : TALLY_WARM_EVERY);
}

/* ---- of all others; t may be NULL ---- */

void tally_count_ended(struct tally *t, enum tally_op op, int status);
void tally_count_took(struct tally *t, enum tally_op op, uint64_t begun_ns);

/* How one key of it has ended. A status that may change in the next round doesn't count. */
static inline void tally_ended(struct tally *t, enum tally_op op, int status)
{
    if (CENOTE_METRICS && t && status != CENOTE_WRONG_SHARD)
        tally_count_ended(t, op, status);
}

static inline void tally_took(struct tally *t, enum tally_op op, uint64_t begun_ns)
{
    if (CENOTE_METRICS && t)
        tally_count_took(t, op, begun_ns);
}

/* Is it sent again? Returns that. */
static inline bool tally_again(struct tally *t, bool again)
{
    if (t && again)
        metric_add_shared(&t->retries, 1);
    return again;
}

static inline void tally_checksum_failure(struct tally *t)
{
    if (t)
        metric_add_shared(&t->checksum_failures, 1);
}

/* t isn't NULL here. */
static inline bool tally_traces(const struct tally *t)
{
    return trace_is_on(t->trace);
}

static inline uint64_t tally_trace(struct tally *t, enum tally_op op, enum tally_stage stage)
{
    return CENOTE_METRICS && t ? trace_begin(t->trace, t->points[op][stage]) : 0;
}

static inline void tally_traced(struct tally *t, enum tally_op op, enum tally_stage stage,
                                uint64_t begun_ns, uint64_t number)
{
    if (__builtin_expect(begun_ns != 0, 0))
        trace_end(t->trace, t->points[op][stage], begun_ns, number);
}

#endif
