/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many requests in flight on many sessions, from one thread: a load that costs little itself, so
 * that the service is what is measured. Requests are encoded and answers read in place.
 */
#ifndef CENOTE_BENCH_ASKER_H
#define CENOTE_BENCH_ASKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "transport/wire/wire.h"

#define ASKER_SESSIONS_MAX 256u
#define ASKER_DEPTH_MAX    64u /* requests in flight on a session: below the protocol's window */

/* Reads values that wire_scan() has passed, one after another. */
struct reader {
    const uint8_t *at;
};
uint64_t reader_int(struct reader *r); /* negative ones as two's complement */
uint32_t reader_array(struct reader *r);
void reader_skip(struct reader *r); /* nil, bool, integer, str or bin */

struct asker_ops {
    /* Writes the next request of a stream; false: it has none any more. */
    bool (*ask)(void *arg, uint32_t stream, uint64_t seq, struct wire_buf *b);
    /* A request's result; false: not what was to be expected. */
    bool (*answered)(void *arg, uint32_t stream, struct reader *result);
};

/* Opens the sessions, runs each of sessions x depth streams until it has no next request, closes.
 * False: it has printed why. */
bool asker_run(const char *meta, const char *name_space, uint32_t sessions, uint32_t depth,
               const struct asker_ops *ops, void *arg);

#endif
