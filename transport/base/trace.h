/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trace points: how long the stages of operations take, for as long as somebody wants to know.
 *
 * A point stands for an operation, or for a stage of one (lookup, queue, copy, verify, commit). A
 * span is one time that it was gone through. While tracing is on, points count their spans, those
 * under way, the shortest, the longest and a histogram, and the newest spans are kept in rings, one
 * for each thread, as far as TRACE_RINGS goes round. They can be fetched as a Chrome trace (JSON),
 * which Perfetto and chrome://tracing open.
 *
 * Off, a point costs a look at one flag. Any thread; who traces never waits but for a moment, while
 * his ring is being read.
 *
 * Spans of one thread nest: what begins last ends first. Where that isn't so (an operation goes on
 * while its thread does others) the span is of the kind that overlaps, and is shown apart: alone,
 * or with the others of its group, among which spans nest again.
 */
#ifndef CENOTE_BASE_TRACE_H
#define CENOTE_BASE_TRACE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "transport/base/metric.h"
#include "transport/base/textbuf.h"

#define TRACE_POINTS_MAX  96u
/* Threads share a ring when there are more of them. */
#define TRACE_RINGS       16u
#define TRACE_RING_EVENTS 4096u /* the newest ones are kept */

struct trace;

/* Off, without points. NULL: no memory. */
struct trace *trace_new(void);
/* Nobody is inside of a span. NULL is accepted. */
void trace_free(struct trace *t);

/* A point of this name, made unless it is there; the names are static. stage NULL: the operation as
 * a whole. A NULL trace has a point 0. */
unsigned trace_point(struct trace *t, const char *operation, const char *stage);

/* Spans that begin before it is switched on again are forgotten, numbers are kept. CENOTE_OK or
 * CENOTE_NO_MEMORY: then it is off. */
int trace_switch(struct trace *t, bool on);

struct trace_flag {
    atomic_bool on;
};

/* The flag is the first thing in it. */
static inline bool trace_is_on(const struct trace *t)
{
    const struct trace_flag *flag = (const struct trace_flag *)t;
    return CENOTE_METRICS &&
           __builtin_expect(atomic_load_explicit(&flag->on, memory_order_relaxed), 0);
}

/* NULL is accepted and is off. */
static inline bool trace_on(const struct trace *t)
{
    return t != NULL && trace_is_on(t);
}

/* In place of a group: it nests in its thread's spans; it overlaps, and has no group. */
#define TRACE_NESTS 0u
#define TRACE_ALONE UINT64_MAX

/* A new group: an operation and its stages, whatever threads they end on. */
uint64_t trace_group(struct trace *t);

uint64_t trace_begin_now(struct trace *t, unsigned point);
void trace_end_now(struct trace *t, unsigned point, uint64_t begun_ns, uint64_t number,
                   uint64_t group);
void trace_drop_now(struct trace *t, unsigned point);

/* When the span begins, for its end; 0: tracing is off. */
static inline uint64_t trace_begin(struct trace *t, unsigned point)
{
    return trace_on(t) ? trace_begin_now(t, point) : 0;
}

/* number: of keys, bytes, changes, whatever is worth telling. */
static inline void trace_end(struct trace *t, unsigned point, uint64_t begun_ns, uint64_t number)
{
    if (CENOTE_METRICS && __builtin_expect(begun_ns != 0, 0))
        trace_end_now(t, point, begun_ns, number, TRACE_NESTS);
}

static inline void trace_end_overlapping(struct trace *t, unsigned point, uint64_t begun_ns,
                                         uint64_t number)
{
    if (CENOTE_METRICS && __builtin_expect(begun_ns != 0, 0))
        trace_end_now(t, point, begun_ns, number, TRACE_ALONE);
}

static inline void trace_end_grouped(struct trace *t, unsigned point, uint64_t begun_ns,
                                     uint64_t number, uint64_t group)
{
    if (CENOTE_METRICS && __builtin_expect(begun_ns != 0, 0))
        trace_end_now(t, point, begun_ns, number, group);
}

/* It was none: it has no end, or there was nothing to it. */
static inline void trace_drop(struct trace *t, unsigned point, uint64_t begun_ns)
{
    if (CENOTE_METRICS && __builtin_expect(begun_ns != 0, 0))
        trace_drop_now(t, point);
}

/* The newest spans as a Chrome trace, oldest first in each ring. */
void trace_dump(struct trace *t, struct textbuf *out);
/* What the points have counted, as families of a page; the prefix of their names ends in '_'. */
extern const struct metric trace_metrics[];
#define TRACE_METRICS 4u
void trace_page(struct trace *t, struct textbuf *page);

#endif
