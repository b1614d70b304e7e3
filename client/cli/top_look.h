/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A look at the pool: what its services told, added up; and what went on between two looks.
 */
#ifndef CENOTE_CLI_TOP_LOOK_H
#define CENOTE_CLI_TOP_LOOK_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "transport/base/metric.h"

#define TOP_METHODS_MAX 64u
#define TOP_NAME_MAX    32u
#define TOP_REASONS     5u

extern const char *const top_reasons[TOP_REASONS];

struct top_method {
    char name[TOP_NAME_MAX];
    uint64_t errors, max_us;
    struct metric_view view; /* of durations; it doesn't know the longest */
};

struct top_evicted {
    uint64_t objects, bytes;
};

struct top_look {
    json_t *pool; /* as cenote_pool_status() tells */
    uint64_t at_ms;
    uint64_t reigns, uptime_ms; /* of all services, added up; of the youngest */
    uint64_t objects, pending, sessions, waiting, store_used, store_limit;
    uint64_t hits, misses, bytes_in, bytes_out;
    struct top_evicted evicted[TOP_REASONS];
    struct top_method methods[TOP_METHODS_MAX];
    unsigned method_count;
};

/* A look at what was told; takes the reference. NULL: no memory, then the reference is kept. */
struct top_look *top_look_new(json_t *pool);
/* NULL is accepted. */
void top_look_free(struct top_look *l);

/* The number of an object's member; 0: it has no such number. */
uint64_t top_number(const json_t *object, const char *name);
/* The services: the only one, or those of the shards that answered. Returns the one at this place,
 * or NULL behind the last. */
const json_t *top_service(const struct top_look *l, size_t place);
const struct top_method *top_find_method(const struct top_look *l, const char *name);
/* Can the two be compared: were the same services there all the time? */
bool top_goes_on(const struct top_look *now, const struct top_look *before);
/* Durations of the calls between two looks. */
struct metric_view top_between(const struct top_method *now, const struct top_look *before);

#endif
