/* SPDX-License-Identifier: Apache-2.0 */
/* Several queues, and ghosts: S3-FIFO, 2Q, ARC. */
#include "tests/policy/queues.h"

enum { NEW, OLD, NEW_GHOSTS, OLD_GHOSTS };

/* Drops what is too old of a queue of ghosts. */
static void trim(struct queues *qs, uint32_t k, uint32_t count)
{
    while (qs->q[k].count > count)
        queues_pop(qs, k);
}

/* Into OLD when it is remembered, else into NEW. */
static void add_known(void *state, uint32_t block, uint32_t head)
{
    struct queues *qs = state;
    bool known = qs->in[block] != 0;
    (void)head;
    if (known)
        queues_take(qs, block);
    queues_push(qs, known ? OLD : NEW, block);
    qs->uses[block] = 0;
}

/* --- S3-FIFO as in the paper: a tenth on probation, ghosts for the rest. --- */

static void s3_use(void *state, uint32_t block)
{
    struct queues *qs = state;
    if (qs->uses[block] < 3)
        qs->uses[block]++;
}

static uint32_t s3_victim(void *state)
{
    struct queues *qs = state;
    uint32_t probation = qs->sim->room / 10;
    while (qs->q[NEW].count + qs->q[OLD].count > 0) {
        bool fresh =
            qs->q[OLD].count == 0 || (qs->q[NEW].count > 0 && qs->q[NEW].count >= probation);
        uint32_t block = qs->q[fresh ? NEW : OLD].oldest;
        if (qs->uses[block] == 0) {
            queues_take(qs, block);
            if (fresh)
                queues_push(qs, NEW_GHOSTS, block);
            trim(qs, NEW_GHOSTS, qs->sim->room - probation);
            return block;
        }
        qs->uses[block] = fresh ? 0 : (uint8_t)(qs->uses[block] - 1);
        queues_move(qs, OLD, block);
    }
    return BLOCK_NONE;
}

const struct sim_policy policy_s3fifo = {.name = "s3fifo",
                                         .what = "S3-FIFO (SOSP 2023), a tenth on probation",
                                         .tail_first = true,
                                         .open = queues_open,
                                         .close = queues_close,
                                         .use = s3_use,
                                         .add = add_known,
                                         .victim = s3_victim};

/* --- 2Q: a quarter on probation, ghosts for half of the room. --- */

static void renew_old(void *state, uint32_t block)
{
    struct queues *qs = state;
    if (queues_in(qs, OLD, block))
        queues_move(qs, OLD, block);
}

static uint32_t twoq_victim(void *state)
{
    struct queues *qs = state;
    if (qs->q[NEW].count > qs->sim->room / 4 || qs->q[OLD].count == 0) {
        if (qs->q[NEW].count == 0)
            return BLOCK_NONE;
        uint32_t block = queues_pop(qs, NEW);
        queues_push(qs, NEW_GHOSTS, block);
        trim(qs, NEW_GHOSTS, qs->sim->room / 2);
        return block;
    }
    return queues_pop(qs, OLD);
}

const struct sim_policy policy_twoq = {.name = "2q",
                                       .what = "2Q (VLDB 1994)",
                                       .tail_first = true,
                                       .open = queues_open,
                                       .close = queues_close,
                                       .use = renew_old,
                                       .add = add_known,
                                       .victim = twoq_victim};

/* --- ARC: target is how long the queue of new ones should be. --- */

static uint32_t at_least_one(uint32_t a, uint32_t b)
{
    return a < b || b == 0 ? 1 : a / b;
}

static void arc_use(void *state, uint32_t block)
{
    queues_move(state, OLD, block);
}

static void arc_add(void *state, uint32_t block, uint32_t head)
{
    struct queues *qs = state;
    uint32_t new_ghosts = qs->q[NEW_GHOSTS].count, old_ghosts = qs->q[OLD_GHOSTS].count;
    uint32_t room = qs->sim->room;
    if (queues_in(qs, NEW_GHOSTS, block)) {
        uint32_t more = at_least_one(old_ghosts, new_ghosts);
        qs->target = more > room - qs->target ? room : qs->target + more;
    } else if (queues_in(qs, OLD_GHOSTS, block)) {
        uint32_t less = at_least_one(new_ghosts, old_ghosts);
        qs->target = less > qs->target ? 0 : qs->target - less;
    }
    add_known(state, block, head);
    uint32_t fresh = qs->q[NEW].count;
    trim(qs, NEW_GHOSTS, fresh < room ? room - fresh : 0);
    trim(qs, OLD_GHOSTS, room);
}

static uint32_t arc_victim(void *state)
{
    struct queues *qs = state;
    if (qs->q[NEW].count + qs->q[OLD].count == 0)
        return BLOCK_NONE;
    bool fresh = qs->q[OLD].count == 0 || (qs->q[NEW].count > 0 && qs->q[NEW].count > qs->target);
    uint32_t block = queues_pop(qs, fresh ? NEW : OLD);
    queues_push(qs, fresh ? NEW_GHOSTS : OLD_GHOSTS, block);
    return block;
}

const struct sim_policy policy_arc = {.name = "arc",
                                      .what = "ARC (FAST 2003)",
                                      .tail_first = true,
                                      .open = queues_open,
                                      .close = queues_close,
                                      .use = arc_use,
                                      .add = arc_add,
                                      .victim = arc_victim};
