/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/policy/workload.h"

#include <stdlib.h>

#define CHAIN_BLOCKS 8u
#define REQUESTS     40000u
#define CHAINS       10000u /* that come again; 80,000 blocks */
#define LOOP_CHAINS  1500u
#define PHASE        5000u    /* requests */
#define ONCE         1000000u /* chains from here on come once */

/* The same for the same arguments (the finaliser of splitmix64). */
static uint64_t mixed(uint64_t seed, uint64_t n)
{
    uint64_t x = seed + n * UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

/* Chain k comes about 1/k as often as the first: a product of uniform numbers has nearly that. */
static uint32_t zipf(uint64_t seed, uint32_t request)
{
    uint64_t bound = 1 + mixed(seed, 2 * (uint64_t)request) % CHAINS;
    return (uint32_t)(mixed(seed, 2 * (uint64_t)request + 1) % bound);
}

/* Every other request is of a chain that comes once. */
static uint32_t scan(uint64_t seed, uint32_t request)
{
    return request % 2 == 0 ? ONCE + request : zipf(seed, request);
}

/* Now and then somebody reads a long list of them, all at once. */
static uint32_t bursts(uint64_t seed, uint32_t request)
{
    return request % PHASE < PHASE / 2 ? zipf(seed, request) : ONCE + request;
}

static uint32_t loop(uint64_t seed, uint32_t request)
{
    (void)seed;
    return request % LOOP_CHAINS;
}

/* What is popular changes at once. */
static uint32_t shift(uint64_t seed, uint32_t request)
{
    return request / PHASE * CHAINS + zipf(seed, request);
}

/* Everything comes twice, the second time after so many others; then never again. */
static uint32_t twice(uint64_t seed, uint32_t request)
{
    const uint32_t later = 400;
    (void)seed;
    return request / (2 * later) * later + request % later;
}

const struct workload workloads[] = {
    {"zipf", "few chains popular, most rare", zipf},
    {"scan", "the same; every other chain comes once", scan},
    {"bursts", "the same; long runs of chains that come once", bursts},
    {"loop", "1,500 chains in turn", loop},
    {"shift", "zipf; what is popular changes every 5,000 requests", shift},
    {"twice", "each chain twice, 400 requests apart, then never", twice},
    {0},
};

bool workload_make(const struct workload *w, struct trace *out)
{
    *out = (struct trace){.request_count = REQUESTS,
                          .id_count = (size_t)REQUESTS * CHAIN_BLOCKS,
                          .longest = CHAIN_BLOCKS};
    out->requests = calloc(REQUESTS, sizeof(*out->requests));
    out->ids = calloc(out->id_count, sizeof(*out->ids));
    if (out->requests == NULL || out->ids == NULL) {
        trace_file_free(out);
        return false;
    }
    for (uint32_t r = 0; r < REQUESTS; r++) {
        size_t first = (size_t)r * CHAIN_BLOCKS;
        out->requests[r] =
            (struct trace_request){.first = first, .count = CHAIN_BLOCKS, .at_ms = 10 * r};
        for (uint32_t i = 0; i < CHAIN_BLOCKS; i++)
            out->ids[first + i] = w->chain(1, r) * CHAIN_BLOCKS + i;
    }
    return true;
}
