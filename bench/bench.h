/* SPDX-License-Identifier: Apache-2.0 */
/* What the benchmark's commands share: their options, and how they report. */
#ifndef CENOTE_BENCH_BENCH_H
#define CENOTE_BENCH_BENCH_H

#include <cenote/cenote.h>
#include <jansson.h>
#include <stdio.h>

#include "bench/samples.h"

struct bench_options {
    char *meta, *name_space, *redis, *metrics;
    int transport, verify;
    uint64_t block_bytes, workers, requests, objects, batch, rounds, cache_bytes, set_bytes;
    uint64_t sessions, depth, value_bytes;
    bool json, help, version;
    FILE *page; /* where --metrics goes; NULL: not given */
};

/* Each command: the positional arguments behind its name; returns the exit status. */
int bench_trace(const struct bench_options *o, int argc, char **argv);
int bench_lookup(const struct bench_options *o, int argc, char **argv);
int bench_get(const struct bench_options *o, int argc, char **argv);
int bench_small(const struct bench_options *o, int argc, char **argv);
int bench_copy(const struct bench_options *o, int argc, char **argv);
int bench_evict(const struct bench_options *o, int argc, char **argv);
int bench_commit(const struct bench_options *o, int argc, char **argv);

/* Makes the objects prefix0, prefix1 ... by protocol only: they are found, but hold no value. */
bool bench_fill(const struct bench_options *o, const char *prefix, uint64_t count);

/* Runs a measurement for each size among the arguments, or the default ones; ends at the first
 * failure: its status, or CENOTE_INVALID for what is no size from 1 to most. */
struct bench_sizes {
    const char *const *defaults; /* ends with NULL */
    uint64_t most_bytes;
    int (*measure)(const struct bench_options *o, void *arg, uint64_t len_bytes);
    void *arg;
};
int bench_each_size(const struct bench_options *o, const struct bench_sizes *sizes, int argc,
                    char **argv);

/* Opens a client with the options; prints the reason on failure. */
int bench_open(const struct bench_options *o, struct cenote **out);
/* Closes it, and writes what it has counted to the page; what: a word for it. NULL is accepted. */
void bench_close(const struct bench_options *o, struct cenote **client, const char *what);

/* {"count", "p50_us", "p90_us", "p99_us", "max_us"}; sorts the samples. */
json_t *bench_latencies(struct samples *s);
/* Prints a result: as JSON, or as lines "name value". Takes the reference. */
void bench_print(const struct bench_options *o, json_t *result);

#endif
