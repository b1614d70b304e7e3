/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plays a trace of requests against a cache of so many blocks, without a pool: which share of the
 * blocks would have been found, by which policy.
 *
 * A request does what cenote-bench trace does (bench/trace.c): it asks how many of its leading
 * blocks are there; gets those; puts the others, all in one batch, for which room is made first. A
 * hit counts by one of two definitions:
 *
 *   prefix  the blocks before it in its request are there as well: what a get brings;
 *   block   it is there, whatever is before it: what papers about caches count.
 *
 * Blocks are numbered densely here, and a position is an index into the trace's blocks.
 */
#ifndef TESTS_POLICY_SIM_H
#define TESTS_POLICY_SIM_H

#include <stdbool.h>

#include "bench/trace_file.h"

#define BLOCK_NONE UINT32_MAX
#define BLOCKS_MAX 100000000u /* that a cache may have */

struct sim {
    const struct trace *trace;
    uint32_t *ids;    /* trace->ids, as dense numbers */
    uint32_t *before; /* of a block: the one before it in its chain; BLOCK_NONE: it is a first */
    uint32_t unique;  /* how many blocks there are */
    uint32_t room;    /* blocks that the cache holds */
    uint32_t high_percent, low_percent; /* of the room: above, evicts down to; 100: off */
    uint64_t lease_ms;
    uint64_t now_ms;        /* the running request's */
    uint64_t *leased_until; /* of each block */
    bool *cached;           /* each block: is it there? */
    uint32_t cached_count;
};

struct result {
    uint64_t blocks, prefix_hits, block_hits;
    uint64_t refused; /* puts without room */
};

/* A policy; state is what open made of it. */
struct sim_policy {
    const char *name, *what;
    bool tail_first; /* uses and additions of a request come from its tail */
    void *(*open)(struct sim *s);
    void (*close)(void *state);
    void (*use)(void *state, uint32_t block);
    /* head: the block that was added before it for this request, or BLOCK_NONE. */
    void (*add)(void *state, uint32_t block, uint32_t head);
    /* Takes out the next; BLOCK_NONE: nothing may go. */
    uint32_t (*victim)(void *state);
};

/* False: no memory. trace stays the caller's. */
bool sim_init(struct sim *s, const struct trace *trace, uint32_t room);
void sim_free(struct sim *s);

bool sim_run(struct sim *s, const struct sim_policy *policy, struct result *out);
/* Belady's MIN: the next to go is the one whose next use is furthest. It sees the future, block by
 * block; bypass: what is put need not be kept at all. In these traces each block has one chain, so
 * that a use of a block is a use of all before it: what MIN keeps has no holes, and both
 * definitions give the same. With bypass no policy can do better by either. */
bool sim_min(struct sim *s, bool bypass, struct result *out);

extern const struct sim_policy policy_lru, policy_lru_tail, policy_lru_leaf, policy_fifo,
    policy_clock, policy_sieve, policy_s3fifo, policy_twoq, policy_arc, policy_shipped;

#endif
