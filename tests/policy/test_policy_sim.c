/* SPDX-License-Identifier: Apache-2.0 */
/* The simulator of policies against what is known: textbooks, oracles, an exhaustive search. */
#include <criterion/criterion.h>
#include <string.h>

#include "tests/policy/sim.h"

#define LENGTH 400u

/* Requests of these many blocks each, over ids. */
struct made {
    struct trace trace;
    struct trace_request requests[LENGTH];
    uint32_t ids[16 * LENGTH];
};

static void make_add(struct made *m, const uint32_t *ids, uint32_t count)
{
    struct trace *t = &m->trace;
    t->requests = m->requests;
    t->ids = m->ids;
    m->requests[t->request_count++] = (struct trace_request){.first = t->id_count, .count = count};
    memcpy(m->ids + t->id_count, ids, count * sizeof(*ids));
    t->id_count += count;
}

static struct result run(const struct made *m, uint32_t room, const struct sim_policy *policy)
{
    struct sim s;
    struct result r;
    cr_assert(sim_init(&s, &m->trace, room));
    cr_assert(sim_run(&s, policy, &r));
    cr_assert_eq(r.refused, 0);
    sim_free(&s);
    return r;
}

static struct result run_min(const struct made *m, uint32_t room, bool bypass)
{
    struct sim s;
    struct result r;
    cr_assert(sim_init(&s, &m->trace, room));
    cr_assert(sim_min(&s, bypass, &r));
    sim_free(&s);
    return r;
}

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13, *state ^= *state >> 7, *state ^= *state << 17;
    return *state >> 8;
}

/* The sequence of Belady's anomaly, as every textbook has it. */
Test(sim, textbook__by_hand)
{
    static struct made m;
    const uint32_t ids[] = {1, 2, 3, 4, 1, 2, 5, 1, 2, 3, 4, 5};
    for (size_t i = 0; i < 12; i++)
        make_add(&m, &ids[i], 1);
    cr_assert_eq(run_min(&m, 3, false).block_hits, 5);
    cr_assert_eq(run_min(&m, 4, false).block_hits, 6);
    cr_assert_eq(run(&m, 3, &policy_lru).block_hits, 2);
    cr_assert_eq(run(&m, 4, &policy_lru).block_hits, 4);
    cr_assert_eq(run(&m, 3, &policy_fifo).block_hits, 3);
    cr_assert_eq(run(&m, 4, &policy_fifo).block_hits, 2);
    cr_assert_eq(run(&m, 5, &policy_shipped).block_hits, 7);
}

/* Room is made for 3: LRU by head gives 1 away, then 2 counts by block only. */
Test(sim, definitions__a_hole_in_a_prefix)
{
    static struct made m;
    make_add(&m, (const uint32_t[]){1, 2}, 2);
    make_add(&m, (const uint32_t[]){3}, 1);
    make_add(&m, (const uint32_t[]){1, 2}, 2);
    struct result head = run(&m, 2, &policy_lru), tail = run(&m, 2, &policy_lru_tail);
    cr_assert_eq(head.blocks, 5);
    cr_assert_eq(head.block_hits, 1);
    cr_assert_eq(head.prefix_hits, 0);
    cr_assert_eq(tail.block_hits, 1);
    cr_assert_eq(tail.prefix_hits, 1);
    cr_assert_eq(run(&m, 2, &policy_shipped).prefix_hits, 1);
}

Test(sim, longer_than_the_cache__the_rest_is_refused)
{
    static struct made m;
    struct sim s;
    struct result r;
    make_add(&m, (const uint32_t[]){1, 2, 3, 4}, 4);
    make_add(&m, (const uint32_t[]){1, 2, 3, 4}, 4);
    cr_assert(sim_init(&s, &m.trace, 3));
    cr_assert(sim_run(&s, &policy_shipped, &r));
    cr_assert_gt(r.refused, 0);
    sim_free(&s);
}

/* Newest first; as plain as can be. */
static uint64_t lru_oracle(const struct made *m, size_t room)
{
    uint32_t held[64];
    size_t count = 0;
    uint64_t hits = 0;
    for (size_t i = 0; i < m->trace.id_count; i++) {
        size_t at = 0;
        while (at < count && held[at] != m->ids[i])
            at++;
        if (at < count)
            hits++;
        else if (count < room)
            count++;
        else
            at = count - 1;
        memmove(held + 1, held, at * sizeof(*held));
        held[0] = m->ids[i];
    }
    return hits;
}

Test(sim, lru__as_the_oracle_says)
{
    uint64_t random = 4;
    static struct made m;
    for (size_t i = 0; i < LENGTH; i++) {
        uint32_t id = (uint32_t)(next_random(&random) % 30 * (next_random(&random) % 3));
        make_add(&m, &id, 1);
    }
    for (uint32_t room = 1; room <= 64; room++)
        cr_assert_eq(run(&m, room, &policy_lru).block_hits, lru_oracle(&m, room));
}

/* The most hits from position i on, with the blocks in held. */
static uint32_t best(const struct made *m, size_t i, uint32_t held, uint32_t room, bool bypass)
{
    if (i == m->trace.id_count)
        return 0;
    uint32_t bit = 1u << m->ids[i];
    if (held & bit)
        return 1 + best(m, i + 1, held, room, bypass);
    if ((uint32_t)__builtin_popcount(held) < room)
        return best(m, i + 1, held | bit, room, bypass);
    uint32_t most = bypass ? best(m, i + 1, held, room, bypass) : 0;
    for (uint32_t b = 0; b < 32; b++) {
        if (!(held >> b & 1))
            continue;
        uint32_t hits = best(m, i + 1, (held & ~(1u << b)) | bit, room, bypass);
        most = hits > most ? hits : most;
    }
    return most;
}

Test(sim, min__as_an_exhaustive_search_says)
{
    uint64_t random = 9;
    for (unsigned times = 0; times < 60; times++) {
        static struct made m;
        m = (struct made){0};
        for (size_t i = 0; i < 13; i++) {
            uint32_t id = (uint32_t)(next_random(&random) % 5);
            make_add(&m, &id, 1);
        }
        for (uint32_t room = 1; room <= 3; room++) {
            cr_assert_eq(run_min(&m, room, false).block_hits, best(&m, 0, 0, room, false));
            cr_assert_eq(run_min(&m, room, true).block_hits, best(&m, 0, 0, room, true));
        }
    }
}

/* Chains: no policy is above the bound, by either definition, and the bound has no holes. */
Test(sim, bound__above_all)
{
    static const struct sim_policy *const all[] = {
        &policy_lru,   &policy_lru_tail, &policy_lru_leaf, &policy_fifo,   &policy_clock,
        &policy_sieve, &policy_twoq,     &policy_arc,      &policy_s3fifo, &policy_shipped};
    static struct made m;
    uint64_t random = 77;
    for (size_t i = 0; i < LENGTH; i++) {
        uint32_t ids[16], chain = (uint32_t)(next_random(&random) % 40);
        uint32_t count = 1 + (uint32_t)(next_random(&random) % 16);
        for (uint32_t k = 0; k < count; k++)
            ids[k] = chain * 16 + k;
        make_add(&m, ids, count);
    }
    for (uint32_t room = 20; room <= 640; room *= 2) {
        struct result bound = run_min(&m, room, true);
        cr_assert_eq(bound.block_hits, bound.prefix_hits);
        for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
            struct result r = run(&m, room, all[i]);
            cr_assert_leq(r.block_hits, bound.block_hits, "%s", all[i]->name);
            cr_assert_leq(r.prefix_hits, r.block_hits, "%s", all[i]->name);
        }
    }
}
