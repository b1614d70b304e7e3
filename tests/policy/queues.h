/* SPDX-License-Identifier: Apache-2.0 */
/* Queues of blocks, by arrays of links: a block is in one at most. */
#ifndef TESTS_POLICY_QUEUES_H
#define TESTS_POLICY_QUEUES_H

#include "tests/policy/sim.h"

#define QUEUES 4u

struct queue {
    uint32_t newest, oldest, count;
};

struct queues {
    struct sim *sim;
    struct queue q[QUEUES];
    uint32_t *newer, *older;
    uint8_t *in;   /* the queue's number + 1; 0: in none */
    uint8_t *uses; /* for the policy */
    uint32_t hand; /* for the policy; BLOCK_NONE at first */
    uint32_t target;
};

void *queues_open(struct sim *s);
void queues_close(void *state);
/* As the newest. */
void queues_push(struct queues *qs, uint32_t k, uint32_t block);
void queues_take(struct queues *qs, uint32_t block);
/* Takes the oldest of queue k, which isn't empty. */
uint32_t queues_pop(struct queues *qs, uint32_t k);

static inline void queues_move(struct queues *qs, uint32_t k, uint32_t block)
{
    queues_take(qs, block);
    queues_push(qs, k, block);
}

static inline bool queues_in(const struct queues *qs, uint32_t k, uint32_t block)
{
    return qs->in[block] == k + 1;
}

#endif
