/* SPDX-License-Identifier: Apache-2.0 */
/* One queue: LRU, FIFO, CLOCK, SIEVE. */
#include "tests/policy/queues.h"

static void nothing(void *state, uint32_t block)
{
    (void)state;
    (void)block;
}

static void mark(void *state, uint32_t block)
{
    struct queues *qs = state;
    qs->uses[block] = 1;
}

static void renew(void *state, uint32_t block)
{
    queues_move(state, 0, block);
}

static void add(void *state, uint32_t block, uint32_t head)
{
    struct queues *qs = state;
    (void)head;
    queues_push(qs, 0, block);
    qs->uses[block] = 0;
}

static uint32_t oldest(void *state)
{
    struct queues *qs = state;
    return qs->q[0].count == 0 ? BLOCK_NONE : queues_pop(qs, 0);
}

const struct sim_policy policy_lru = {.name = "lru",
                                      .what = "least recently used, head first",
                                      .open = queues_open,
                                      .close = queues_close,
                                      .use = renew,
                                      .add = add,
                                      .victim = oldest};
const struct sim_policy policy_lru_tail = {.name = "lru-tail",
                                           .what = "the same, tail first",
                                           .tail_first = true,
                                           .open = queues_open,
                                           .close = queues_close,
                                           .use = renew,
                                           .add = add,
                                           .victim = oldest};
const struct sim_policy policy_fifo = {.name = "fifo",
                                       .what = "first in, first out",
                                       .open = queues_open,
                                       .close = queues_close,
                                       .use = nothing,
                                       .add = add,
                                       .victim = oldest};

/* --- LRU of leaves: uses counts the blocks that are there and follow this one. --- */

static void leaf_add(void *state, uint32_t block, uint32_t head)
{
    struct queues *qs = state;
    uint32_t before = qs->sim->before[block];
    (void)head;
    queues_push(qs, 0, block);
    if (before != BLOCK_NONE && qs->uses[before] < UINT8_MAX)
        qs->uses[before]++;
}

static uint32_t leaf_victim(void *state)
{
    struct queues *qs = state;
    uint32_t block = qs->q[0].oldest;
    while (block != BLOCK_NONE && qs->uses[block] > 0)
        block = qs->newer[block];
    if (block == BLOCK_NONE)
        return oldest(state);
    uint32_t before = qs->sim->before[block];
    queues_take(qs, block);
    /* A count that has reached its end stays there: many chains begin with that block. */
    if (before != BLOCK_NONE && qs->uses[before] > 0 && qs->uses[before] < UINT8_MAX)
        qs->uses[before]--;
    return block;
}

const struct sim_policy policy_lru_leaf = {.name = "lru-leaf",
                                           .what = "lru-tail, only blocks that none follows",
                                           .tail_first = true,
                                           .open = queues_open,
                                           .close = queues_close,
                                           .use = renew,
                                           .add = leaf_add,
                                           .victim = leaf_victim};

static uint32_t clock_victim(void *state)
{
    struct queues *qs = state;
    while (qs->q[0].count > 0) {
        uint32_t block = qs->q[0].oldest;
        if (qs->uses[block] == 0)
            return queues_pop(qs, 0);
        qs->uses[block] = 0;
        queues_move(qs, 0, block);
    }
    return BLOCK_NONE;
}

const struct sim_policy policy_clock = {.name = "clock",
                                        .what = "second chance, one bit",
                                        .tail_first = true,
                                        .open = queues_open,
                                        .close = queues_close,
                                        .use = mark,
                                        .add = add,
                                        .victim = clock_victim};

static uint32_t sieve_victim(void *state)
{
    struct queues *qs = state;
    if (qs->q[0].count == 0)
        return BLOCK_NONE;
    for (;;) {
        uint32_t block = qs->hand == BLOCK_NONE ? qs->q[0].oldest : qs->hand;
        qs->hand = qs->newer[block];
        if (qs->uses[block] == 0) {
            queues_take(qs, block);
            return block;
        }
        qs->uses[block] = 0;
    }
}

const struct sim_policy policy_sieve = {.name = "sieve",
                                        .what = "SIEVE (NSDI 2024)",
                                        .tail_first = true,
                                        .open = queues_open,
                                        .close = queues_close,
                                        .use = mark,
                                        .add = add,
                                        .victim = sieve_victim};
