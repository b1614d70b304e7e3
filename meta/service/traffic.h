/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What goes through the service: how often each method is called, how long it takes, what fails,
 * which calls were the slowest of late.
 *
 * The time of a call that is answered later is that from its message to its answer. One that is
 * answered at once is timed without reading the clock once more: its time ends when the next
 * message begins, or when the loop, about to wait, has sent its answers. So it includes the sending
 * of the answer and the reading of the next message.
 *
 * The service's thread writes; counters and histograms may be read by others.
 */
#ifndef CENOTE_META_TRAFFIC_H
#define CENOTE_META_TRAFFIC_H

#include <stdbool.h>

#include "transport/base/metric.h"

#define TRAFFIC_METHODS_MAX 32u /* one place is for methods that aren't known */
/* The slowest of a while are kept, of the present one and the one before. */
#define TRAFFIC_SLOW        8u
#define TRAFFIC_WHILE_MS    60000u

struct method_traffic {
    struct metric_histogram durations; /* of calls that were answered, errors included */
    metric_counter errors;
    uint64_t notable_ns; /* what is faster is neither its longest call nor one of the slowest */
};

/* A call: which method, and of how many keys. */
struct traffic_call {
    uint64_t begun_ns;
    uint32_t method;
    uint32_t keys;
};

struct slow_call {
    uint64_t ended_ms; /* wall clock */
    uint64_t ns;
    uint32_t method, keys;
};

struct slow_list {
    struct slow_call calls[TRAFFIC_SLOW];
    uint32_t count;
};

struct traffic {
    struct method_traffic methods[TRAFFIC_METHODS_MAX];
    metric_counter hits, misses;
    metric_counter found_bytes; /* lengths of what was found: readers may have fetched so much */
    struct traffic_call now;    /* the message that is being handled, or was the last one */
    bool goes_on;               /* it was answered, and its time isn't over */
    struct slow_list slow, slow_before;
    uint64_t slow_ns; /* what is faster doesn't belong in the list */
    uint64_t slow_since_ms;
};

/* Counts a call that has taken so long; true: it is to be noted, as its method's longest or as one
 * of the slowest. */
static inline bool traffic_count(struct traffic *t, const struct traffic_call *call, uint64_t ns)
{
    struct method_traffic *m = &t->methods[call->method];
    metric_tally_ns(&m->durations, ns);
    return __builtin_expect(ns > m->notable_ns, 0);
}

void traffic_note_slow(struct traffic *t, const struct traffic_call *call, uint64_t ns,
                       uint64_t wall_ms);
/* Begins a new list now and then. */
void traffic_tick(struct traffic *t, uint64_t now_ms);
/* The slowest calls that are remembered, slowest first. Returns how many. */
uint32_t traffic_slowest(const struct traffic *t, struct slow_call out[2 * TRAFFIC_SLOW]);

#endif
