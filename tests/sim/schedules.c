/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A schedule is a shape of plans: the pool, the operations and the faults that make its danger
 * likely; the seed draws the rest. Each runs in many variations, all of which must keep the rules.
 * With its mechanism switched off (the control in CMakeLists.txt) one of them must not.
 */
#include "tests/sim/schedules.h"

#include <string.h>

#include <cenote/policy.h>

#include "tests/sim/scene.h"

#define SHM  (1u << BY_SHM)
#define RDMA (1u << BY_RDMA)
#define TCP  (1u << BY_TCP)
#define ANY  0u

/* ---- what they are made of ------------------------------------------------------------------- */

/* One host for all that share memory, nodes with room for a few small values. */
static struct chance base(struct plan *p, uint64_t seed, unsigned nodes, unsigned clients,
                          unsigned ways)
{
    struct chance c = chance_of(seed, 9);
    *p = (struct plan){.seed = seed,
                       .nodes = nodes,
                       .clients = clients,
                       .threads = 1,
                       .keys = 2,
                       .hosts = 3,
                       .segment_bytes = 1024u * chance_between(&c, 2, 8),
                       .lease_ms = 200,
                       .put_timeout_ms = 400,
                       .session_grace_ms = 300,
                       .heartbeat_ms = 50,
                       .suspect_ms = 200,
                       .dead_ms = 1500,
                       .client_timeout_ms = 300,
                       .named = true,
                       .ways = ways != ANY ? ways : (unsigned)chance_between(&c, 1, 7)};
    for (unsigned i = 0; i < PLAN_NODES_MAX; i++)
        p->node_host[i] = (uint8_t)(1 + i % 2);
    for (unsigned i = 0; i < PLAN_CLIENTS_MAX; i++)
        p->client_host[i] = (uint8_t)(1 + i % 2);
    if (p->ways == SHM)
        memset(p->client_host, 1, sizeof p->client_host);
    return c;
}

static struct plan_op *op(struct plan *p, struct chance *c, unsigned client, enum plan_kind kind,
                          unsigned key, unsigned pause_ms)
{
    struct plan_op *o = &p->ops[p->op_count];
    *o = (struct plan_op){.client = (uint8_t)client,
                          .kind = (uint8_t)kind,
                          .key = (uint8_t)key,
                          .replicas = 1,
                          .len_bytes = (uint32_t)chance_between(c, 100, 700),
                          .pause_us = (uint32_t)chance_below(c, pause_ms * 1000u + 1),
                          .look_us = 100000,
                          .number = (uint16_t)p->op_count};
    p->op_count++;
    return o;
}

static struct plan_fault *fault_at(struct plan *p, struct chance *c, enum plan_fault_kind kind,
                                   enum plan_moment moment, unsigned lasts_ms)
{
    struct plan_fault *f = &p->faults[p->fault_count];
    *f = (struct plan_fault){.kind = (uint8_t)kind,
                             .target = TARGET_THERE,
                             .moment = (uint8_t)moment,
                             .nth = (uint8_t)chance_between(c, 1, 5),
                             .lasts_ms = lasts_ms,
                             .number = (uint16_t)p->fault_count};
    p->fault_count++;
    return f;
}

static struct plan_fault *fault_in(struct plan *p, struct chance *c, enum plan_fault_kind kind,
                                   unsigned target, unsigned until_ms, unsigned lasts_ms)
{
    struct plan_fault *f = fault_at(p, c, kind, AT_TIME, lasts_ms);
    f->target = (uint8_t)target;
    f->at_ms = 300 + (uint32_t)chance_below(c, until_ms);
    return f;
}

/* Values come and go, so that space is wanted all the time. */
static void churn(struct plan *p, struct chance *c, unsigned client, unsigned count,
                  unsigned pause_ms)
{
    static const enum plan_kind kinds[] = {OP_REPLACE, OP_REPLACE, OP_REMOVE, OP_PUT, OP_GET};
    for (unsigned i = 0; i < count; i++)
        op(p, c, client, kinds[chance_below(c, 5)], (unsigned)chance_below(c, p->keys), pause_ms);
}

/* Each of three clients does so. */
static void churn_all(struct plan *p, struct chance *c, unsigned count, unsigned pause_ms)
{
    for (unsigned i = 0; i < 3; i++)
        churn(p, c, i, count, pause_ms);
}

static void read_much(struct plan *p, struct chance *c, unsigned client, unsigned count,
                      unsigned pause_ms)
{
    for (unsigned i = 0; i < count; i++)
        op(p, c, client, OP_GET, (unsigned)chance_below(c, p->keys), pause_ms);
}

/* ---- the design's ---------------------------------------------------------------------------- */

static void draw_reattach(struct plan *p, uint64_t seed)
{
    struct chance c = base(p, seed, 1, 3, SHM);
    churn(p, &c, 0, 12, 30);
    churn(p, &c, 1, 30, 120);
    churn(p, &c, 2, 30, 120);
    struct plan_fault *f = fault_at(p, &c, FAULT_STOP_CLIENT, AT_WRITING, 3000);
    *fault_at(p, &c, FAULT_KILL_NODE, AT_WRITING, 100) = (struct plan_fault){
        .kind = FAULT_KILL_NODE, .moment = AT_WRITING, .nth = f->nth, .lasts_ms = 100, .number = 1};
    if (chance_in(&c, 2))
        fault_at(p, &c, FAULT_BREAK, AT_WRITING, 1)->nth = f->nth;
}

/* The same, by a client that has no descriptors any more: what says that it writes must not lie in
 * one. */
static void draw_closed(struct plan *p, uint64_t seed)
{
    struct chance c = base(p, seed, 1, 3, SHM);
    p->named = !chance_in(&c, 4);
    p->threads = 1 + (unsigned)(seed % 2);
    churn(p, &c, 0, 12, 30);
    churn(p, &c, 1, 30, 120);
    churn(p, &c, 2, 30, 120);
    for (unsigned i = 0; i < 6; i++)
        op(p, &c, i % 3, OP_VIEW, i % 2, 100)->look_us = 1500000;
    for (unsigned i = 0; i < p->op_count; i++)
        p->ops[i].thread = (uint8_t)(i % p->threads);
    for (unsigned i = 0; i < 2; i++) {
        struct plan_fault *f = fault_at(p, &c, FAULT_CLOSEFROM, AT_WRITING, 1);
        if (chance_in(&c, 2))
            fault_at(p, &c, FAULT_STOP_CLIENT, AT_WRITING, 3000)->nth = f->nth;
        if (chance_in(&c, 2))
            fault_at(p, &c, FAULT_KILL_NODE, AT_WRITING, 100)->nth = f->nth;
        f->after_us = (uint32_t)chance_below(&c, 30);
    }
    fault_at(p, &c, FAULT_CLOSEFROM, AT_VIEWING, 1);
}

static void draw_view(struct plan *p, uint64_t seed)
{
    struct chance c = base(p, seed, 1, 3, SHM);
    for (unsigned i = 0; i < 8; i++) {
        op(p, &c, 0, OP_VIEW, i % 2, 60)->look_us = 1500000;
        churn(p, &c, 0, 1, 20);
    }
    churn(p, &c, 1, 40, 100);
    churn(p, &c, 2, 20, 100);
    fault_at(p, &c, FAULT_KILL_META, AT_VIEWING, 400);
    fault_at(p, &c, FAULT_STOP_CLIENT, AT_VIEWING, 1000);
}

static void draw_stale(struct plan *p, uint64_t seed)
{
    struct chance c = base(p, seed, 1 + (unsigned)(seed % 2), 3, ANY);
    p->lease_ms = 1000;
    read_much(p, &c, 0, 32, 30);
    read_much(p, &c, 1, 24, 30);
    churn(p, &c, 2, 28, 40);
    for (unsigned i = 0; i < p->op_count; i++) {
        if (p->ops[i].kind == OP_PUT || p->ops[i].kind == OP_REPLACE)
            p->ops[i].ttl_ms = chance_in(&c, 2) ? (uint16_t)chance_between(&c, 30, 900) : 0;
    }
    p->named = chance_in(&c, 2);
    fault_in(p, &c, FAULT_KILL_NODE, 0, 1000, 200);
    fault_in(p, &c, FAULT_CUT, 2, 1000, 2500);
}

static void draw_mixture(struct plan *p, uint64_t seed)
{
    struct chance c = base(p, seed, 1, 3, ANY);
    p->lease_ms = 100;
    read_much(p, &c, 0, 30, 30);
    churn(p, &c, 1, 34, 60);
    churn(p, &c, 2, 28, 60);
    for (unsigned i = 0; i < 4; i++)
        fault_at(p, &c, FAULT_STOP_CLIENT, AT_READING, 600);
}

static void draw_queued(struct plan *p, uint64_t seed)
{
    struct chance c = base(p, seed, 2, 3, chance_of(seed, 2).state % 3 ? RDMA : RDMA | TCP);
    churn_all(p, &c, 24, 100);
    for (unsigned i = 0; i < p->op_count; i++)
        p->ops[i].replicas = (uint8_t)(1 + chance_below(&c, 2));
    for (unsigned i = 0; i < 3; i++)
        fault_at(p, &c, chance_in(&c, 2) ? FAULT_STOP_CLIENT : FAULT_STOP_NODE, AT_WRITING, 900);
    fault_in(p, &c, FAULT_CUT, 1, 1500, 700);
    fault_in(p, &c, FAULT_SLOW, 0, 1500, 1000);
}

static void draw_restarts(struct plan *p, uint64_t seed)
{
    struct chance c = base(p, seed, 2, 3, chance_of(seed, 3).state % 2 ? TCP : ANY);
    p->named = !chance_in(&c, 4);
    p->dead_ms = 600;
    churn_all(p, &c, 28, 100);
    fault_at(p, &c, FAULT_STOP_CLIENT, AT_WRITING, 1500);
    fault_at(p, &c, FAULT_STOP_CLIENT, AT_START, 1500);
    fault_in(p, &c, FAULT_KILL_NODE, 0, 2000, 150);
    fault_in(p, &c, FAULT_KILL_NODE, 1, 2000, 150);
    fault_in(p, &c, FAULT_CUT, 1 + (unsigned)(seed % 2), 2000, 1500);
}

static void draw_rebuild(struct plan *p, uint64_t seed)
{
    struct chance c = base(p, seed, 1 + (unsigned)(seed % 2), 3, seed % 3 ? SHM : ANY);
    p->directories = true;
    p->dead_ms = 4000;
    churn_all(p, &c, 28, 120);
    for (unsigned i = 0; i < 2; i++)
        fault_at(p, &c, FAULT_STOP_CLIENT, AT_WRITING, 3000);
    fault_at(p, &c, FAULT_STOP_CLIENT, AT_COMMIT, 1500);
    fault_in(p, &c, FAULT_LOSE_META, 0, 1500, 50);
    if (chance_in(&c, 2))
        fault_in(p, &c, FAULT_KILL_META, 0, 2000, 50);
    if (chance_in(&c, 3))
        fault_in(p, &c, FAULT_LOSE_META, 0, 3000, 50);
}

/* Values hold live seals of what lay in their place before: who believes an older entry of the
 * directory finds what was removed. */
static void draw_seals(struct plan *p, uint64_t seed)
{
    struct chance c = base(p, seed, 1 + (unsigned)(seed % 2), 3, ANY);
    p->directories = true;
    p->dead_ms = 4000;
    p->keys = 3;
    p->segment_bytes = 1024u * chance_between(&c, 3, 8);
    for (unsigned i = 0; i < 3; i++)
        churn(p, &c, i, 30, 100);
    for (unsigned i = 0; i < p->op_count; i++) {
        struct plan_op *o = &p->ops[i];
        o->seals = !chance_in(&c, 3);
        if (o->seals)
            o->len_bytes += (uint32_t)chance_below(&c, 600);
    }
    for (unsigned i = 0; i < 3; i++)
        fault_in(p, &c, FAULT_LOSE_META, 0, 2500, 50);
    fault_at(p, &c, FAULT_STOP_CLIENT, AT_READING, 600);
    if (chance_in(&c, 2))
        fault_in(p, &c, FAULT_KILL_META, 0, 2000, 50);
}

static void draw_reigns(struct plan *p, uint64_t seed)
{
    struct chance c = base(p, seed, 2, 3, ANY);
    churn_all(p, &c, 28, 100);
    for (unsigned i = 0; i < 3; i++)
        fault_at(p, &c, FAULT_KILL_META, (enum plan_moment)chance_between(&c, AT_LOOKUP, AT_VOID),
                 50);
    fault_in(p, &c, FAULT_STOP_NODE, 0, 1000, 300);
}

/* In the mode `process` the database goes back to some earlier moment; a service that believed it
 * would bring back what was removed, and have forgotten what was put. */
static void draw_crash(struct plan *p, uint64_t seed)
{
    struct chance c = base(p, seed, 1 + (unsigned)(seed % 2), 3, ANY);
    p->directories = true;
    p->dead_ms = 4000;
    churn_all(p, &c, 28, 100);
    fault_at(p, &c, FAULT_STOP_CLIENT, AT_WRITING, 2000);
    fault_at(p, &c, FAULT_STOP_CLIENT, AT_READING, 600);
    fault_in(p, &c, FAULT_CRASH_META, 0, 1500, 50);
    if (chance_in(&c, 3))
        fault_in(p, &c, FAULT_KILL_META, 0, 2500, 50);
    if (chance_in(&c, 3))
        fault_in(p, &c, FAULT_CRASH_META, 0, 3000, 400);
}

/* Nodes know a higher reign than the database that is put back, or the same reign of another life;
 * and however often the restored service is started, it isn't believed. */
static void draw_restored(struct plan *p, uint64_t seed)
{
    struct chance c = base(p, seed, 1 + (unsigned)(seed % 2), 3, ANY);
    p->directories = true;
    p->dead_ms = 4000;
    churn_all(p, &c, 30, 100);
    fault_at(p, &c, FAULT_STOP_CLIENT, AT_WRITING, 1000);
    fault_in(p, &c, FAULT_RESTORE_META, 0, 300, (unsigned)chance_between(&c, 50, 900));
    for (unsigned i = 0; i < 4; i++)
        fault_in(p, &c, FAULT_KILL_META, 0, 2500, 20);
    if (chance_in(&c, 3))
        fault_in(p, &c, FAULT_BREAK, 1, 2500, 1);
    if (chance_in(&c, 4))
        fault_in(p, &c, FAULT_KILL_NODE, 0, 2000, 100);
}

/* A copy of the database begins beside the service, and new connections lead to either. Some nodes
 * forget whom they have met, and join the first that they reach. */
static void draw_twins(struct plan *p, uint64_t seed)
{
    struct chance c = base(p, seed, 1 + (unsigned)(seed % 3), 3, ANY);
    p->directories = chance_in(&c, 2);
    p->named = chance_in(&c, 2);
    p->session_grace_ms = (uint32_t)chance_between(&c, 100, 1000);
    for (unsigned i = 0; i < 3; i++) {
        read_much(p, &c, i, 6, 100);
        churn(p, &c, i, 24, 100);
    }
    fault_in(p, &c, FAULT_TWIN_META, 0, 1, 1)->at_ms = (uint32_t)chance_between(&c, 10, 300);
    fault_at(p, &c, FAULT_STOP_CLIENT, AT_WRITING, 1000);
    for (unsigned i = 0; i < 6; i++)
        fault_in(p, &c, FAULT_BREAK, 1 + p->nodes + i % 3, 2000, 1);
    for (unsigned i = 0; i < 3; i++)
        fault_in(p, &c, FAULT_KILL_CLIENT, i, 800, 20);
    fault_in(p, &c, FAULT_BREAK, 1, 2000, 1);
    fault_in(p, &c, FAULT_KILL_META, 0, 2000, 50);
    fault_in(p, &c, FAULT_KILL_META, TARGET_TWIN, 2000, 50);
    fault_in(p, &c, FAULT_KILL_NODE, 0, 2000, 100);
}

static void draw_lookups(struct plan *p, uint64_t seed)
{
    struct chance c = base(p, seed, 1, 3, ANY);
    p->lease_ms = 600;
    p->later_lease_ms = 50;
    read_much(p, &c, 0, 32, 30);
    read_much(p, &c, 1, 32, 30);
    churn(p, &c, 2, 32, 40);
    fault_at(p, &c, FAULT_KILL_META, AT_REMOVE, 60);
    fault_at(p, &c, FAULT_KILL_META, AT_LOOKUP, 60);
    fault_at(p, &c, FAULT_STOP_CLIENT, AT_READING, 500);
    fault_at(p, &c, FAULT_STOP_NODE, AT_VOID, 900);
}

static void draw_answers(struct plan *p, uint64_t seed)
{
    struct chance c = base(p, seed, 1, 3, ANY);
    p->client_timeout_ms = 2000;
    p->session_grace_ms = 1500;
    churn_all(p, &c, 24, 40);
    for (unsigned i = 0; i < 10; i++) {
        enum plan_moment m = (enum plan_moment)chance_between(&c, AT_START, AT_REMOVE);
        fault_at(p, &c, chance_in(&c, 5) ? FAULT_KILL_META : FAULT_BREAK, m, 50)->after_us =
            (uint32_t)chance_below(&c, 300);
    }
}

/* What was sent over a connection that is given up arrives when it has been sent again: twice, and
 * after what was sent later. */
static void draw_overtaken(struct plan *p, uint64_t seed)
{
    struct chance c = base(p, seed, 1 + (unsigned)(seed % 2), 3, ANY);
    p->client_timeout_ms = 2000;
    p->session_grace_ms = (uint32_t)chance_between(&c, 100, 1500);
    for (unsigned i = 0; i < 3; i++)
        churn(p, &c, i, 24, 40);
    for (unsigned i = 0; i < 10; i++) {
        enum plan_moment m = (enum plan_moment)chance_between(&c, AT_START, AT_REMOVE);
        fault_at(p, &c, FAULT_LATE, m, (unsigned)chance_below(&c, chance_in(&c, 2) ? 30 : 600))
            ->nth = (uint8_t)chance_between(&c, 1, 12);
    }
    fault_in(p, &c, FAULT_LATE, 1, 1500, 200);
    fault_in(p, &c, FAULT_STOP_META, 0, 1500, 100);
}

/* One side hears the other and isn't heard, or believes in a connection that is gone. */
static void draw_oneway(struct plan *p, uint64_t seed)
{
    struct chance c = base(p, seed, 1 + (unsigned)(seed % 2), 3, ANY);
    p->dead_ms = 600;
    p->named = chance_in(&c, 2);
    p->client_timeout_ms = (uint32_t)chance_between(&c, 200, 2000);
    for (unsigned i = 0; i < 3; i++) {
        churn(p, &c, i, 20, 80);
        read_much(p, &c, i, 10, 60);
    }
    for (unsigned i = 0; i < 4; i++)
        fault_in(p, &c, i % 2 ? FAULT_CUT_IN : FAULT_CUT_OUT, (unsigned)chance_between(&c, 1, 2),
                 2000, (unsigned)chance_between(&c, 50, 1500));
    for (unsigned i = 0; i < 3; i++)
        fault_at(p, &c, FAULT_HALF, (enum plan_moment)chance_between(&c, AT_LOOKUP, AT_VOID),
                 (unsigned)chance_between(&c, 50, 2000));
    fault_in(p, &c, FAULT_HALF, 1 + (unsigned)(seed % p->nodes), 2000, 1500);
    fault_at(p, &c, FAULT_STOP_CLIENT, AT_WRITING, 1200);
}

static void draw_failover(struct plan *p, uint64_t seed)
{
    struct chance c = base(p, seed, 2, 2, chance_of(seed, 4).state % 2 ? TCP : RDMA);
    p->client_timeout_ms = 150;
    p->dead_ms = 3000;
    for (unsigned i = 0; i < 6; i++)
        op(p, &c, 1, OP_REPLACE, i % 2, 30)->replicas = 2;
    read_much(p, &c, 0, 30, 30);
    for (unsigned i = 0; i < 4; i++)
        fault_at(p, &c, chance_in(&c, 2) ? FAULT_STOP_NODE : FAULT_CUT, AT_READING, 400)->target =
            chance_in(&c, 2) ? 1 : 0;
    for (unsigned i = 0; i < p->fault_count; i++) {
        struct plan_fault *f = &p->faults[i];
        f->target = f->kind == FAULT_CUT ? (uint8_t)chance_between(&c, 1, 2) : TARGET_THERE;
    }
}

static void draw_woken(struct plan *p, uint64_t seed)
{
    static const unsigned ways[] = {SHM, RDMA, TCP};
    struct chance c = base(p, seed, 1, 3, ways[seed % 3]);
    churn_all(p, &c, 28, 120);
    for (unsigned i = 0; i < 3; i++)
        fault_at(p, &c, FAULT_STOP_CLIENT, AT_WRITING, 1800);
    fault_in(p, &c, FAULT_SLOW, 0, 1500, 1000);
}

static void draw_flips(struct plan *p, uint64_t seed)
{
    struct chance c = base(p, seed, 2, 2, ANY);
    churn(p, &c, 0, 24, 60);
    read_much(p, &c, 1, 36, 40);
    for (unsigned i = 0; i < p->op_count; i++)
        p->ops[i].replicas = (uint8_t)(1 + chance_below(&c, 2));
    for (unsigned i = 0; i < 8; i++)
        fault_in(p, &c, FAULT_FLIP, 0, 1200, (unsigned)chance_below(&c, 100000));
}

static void draw_full(struct plan *p, uint64_t seed)
{
    struct chance c = base(p, seed, 1, 3, ANY);
    p->keys = PLAN_KEYS_MAX;
    p->segment_bytes = 1024u * chance_between(&c, 2, 5);
    p->evict_high = 60;
    p->evict_low = 40;
    for (unsigned i = 0; i < 2; i++)
        churn(p, &c, i, 32, 60);
    read_much(p, &c, 2, 32, 30);
    for (unsigned i = 0; i < 3; i++)
        fault_at(p, &c, FAULT_STOP_CLIENT, AT_READING, 300);
    fault_in(p, &c, FAULT_KILL_META, 0, 1500, 50);
}

/* Puts that wait for room as long as they have to. */
static void draw_room(struct plan *p, uint64_t seed)
{
    struct chance c = base(p, seed, 1 + (unsigned)(seed % 2), 3, ANY);
    p->keys = PLAN_KEYS_MAX;
    p->segment_bytes = 1024u * chance_between(&c, 2, 4);
    p->client_timeout_ms = 9000;
    p->evict_high = chance_in(&c, 2) ? 100 : 70;
    p->evict_low = p->evict_high - 10;
    for (unsigned i = 0; i < 60; i++) {
        struct plan_op *o = op(p, &c, i % 3, i % 7 ? OP_REPLACE : OP_GET,
                               (unsigned)chance_below(&c, p->keys), i % 5 ? 60 : 900);
        if (o->kind == OP_REPLACE && chance_in(&c, 6))
            o->pin = (uint8_t)chance_between(&c, CENOTE_PIN_SOFT, CENOTE_PIN_HARD);
        if (chance_in(&c, 4))
            o->len_bytes = (uint32_t)chance_between(&c, 700, 2000);
    }
    for (unsigned i = 0; i < 2; i++)
        op(p, &c, i, OP_VIEW, i, 500)->look_us = 2000000;
    fault_in(p, &c, FAULT_STOP_NODE, 0, 4000, (unsigned)chance_between(&c, 50, 1500));
    fault_in(p, &c, FAULT_KILL_META, 0, 4000, 50);
    fault_in(p, &c, FAULT_DISK, 0, 4000, (unsigned)chance_below(&c, 4));
    fault_at(p, &c, FAULT_STOP_CLIENT, AT_READING, 300);
}

/* In the tick in which a node came back, or the store had refused an eviction, a put was refused,
 * as the eviction had looked through all before. */
static void draw_returned(struct plan *p, uint64_t seed)
{
    draw_room(p, seed);
    struct chance c = chance_of(seed, 12);
    p->ways = chance_in(&c, 2) ? RDMA : TCP;
    for (unsigned i = 0; i < 4; i++)
        fault_in(p, &c, FAULT_STOP_NODE, (unsigned)(seed % p->nodes), 4000,
                 (unsigned)chance_between(&c, 250, 900));
    for (unsigned i = 0; i < 3; i++)
        fault_in(p, &c, FAULT_DISK, 0, 4000, (unsigned)chance_below(&c, 4));
}

/* A full pool of values that are kept in all ways. */
static void draw_kept(struct plan *p, uint64_t seed)
{
    draw_full(p, seed);
    struct chance c = chance_of(seed, 11);
    for (unsigned i = 0; i < p->op_count; i++)
        plan_keep(&p->ops[i], &c);
    p->quota_objects = chance_in(&c, 2) ? (uint32_t)chance_between(&c, 2, 4) : 0;
}

static void draw_late(struct plan *p, uint64_t seed)
{
    struct chance c = base(p, seed, 1, 2, ANY);
    p->threads = 2;
    p->keys = 4;
    p->put_timeout_ms = 150;
    p->session_grace_ms = 5000;
    p->client_timeout_ms = 2000;
    for (unsigned i = 0; i < 80; i++)
        op(p, &c, i % 2, chance_in(&c, 4) ? OP_GET : OP_REPLACE,
           (unsigned)chance_below(&c, p->keys), 4)
            ->thread = (uint8_t)(i / 2 % 2);
    for (unsigned i = 0; i < 6; i++)
        fault_at(p, &c, i % 2 ? FAULT_STOP_CLIENT : FAULT_SLOW, AT_WRITING, 250)->nth =
            (uint8_t)chance_between(&c, 1, 30);
}

static void draw_directory(struct plan *p, uint64_t seed)
{
    struct chance c = base(p, seed, 2, 2, ANY);
    p->directories = true;
    p->segment_bytes = 16384;
    for (unsigned i = 0; i < 2; i++)
        churn(p, &c, i, 40, 60);
    fault_in(p, &c, FAULT_KILL_NODE, 0, 1500, 100);
    fault_in(p, &c, FAULT_KILL_META, 0, 1500, 100);
    fault_in(p, &c, FAULT_BREAK, 1, 1500, 1);
    fault_in(p, &c, FAULT_MEMORY, 2, 1500, (unsigned)chance_below(&c, 96));
}

/* ---- of bugs --------------------------------------------------------------------------------- */

/* A remove whose answer was lost ended with CENOTE_NO_MEMORY when there was none for the next
 * connection, although it had taken effect. */
static void draw_no_memory(struct plan *p, uint64_t seed)
{
    struct chance c = base(p, seed, 1, 2, ANY);
    for (unsigned i = 0; i < 60; i++)
        op(p, &c, i % 2, i % 3 ? OP_REMOVE : OP_PUT, (unsigned)chance_below(&c, p->keys), 20);
    for (unsigned i = 0; i < 6; i++) {
        struct plan_fault *f = fault_at(p, &c, FAULT_BREAK, AT_REMOVE, 1);
        f->nth = (uint8_t)(3 * i + 1);
        f->after_us = (uint32_t)chance_below(&c, 300);
        fault_at(p, &c, FAULT_MEMORY, AT_REMOVE, (unsigned)chance_below(&c, 6))->nth = f->nth;
    }
}

/* The same with the want of memory at the service: it had done the remove, and refused to look up
 * what it had answered. */
static void draw_refused(struct plan *p, uint64_t seed)
{
    static const enum plan_kind kinds[] = {OP_PUT, OP_REMOVE, OP_GET};
    struct chance c = base(p, seed, 1, 2, ANY);
    p->client_timeout_ms = 1000;
    for (unsigned i = 0; i < 72; i++)
        op(p, &c, i % 2, kinds[i / 2 % 3], i % 2, 10);
    for (unsigned i = 0; i < 8; i++) {
        struct plan_fault *f = fault_at(p, &c, FAULT_BREAK, AT_REMOVE, 1);
        struct plan_fault *m =
            fault_at(p, &c, FAULT_MEMORY, AT_REMOVE, (unsigned)chance_below(&c, 12));
        f->nth = m->nth = (uint8_t)(3 * i + 1);
        f->after_us = m->after_us = (uint32_t)chance_between(&c, 40, 200);
        m->target = 0;
    }
}

/* A client waited for somebody else's connection to a node, which was declared dead meanwhile: the
 * link that it then made was nobody's, and stayed. */
static void draw_dropped(struct plan *p, uint64_t seed)
{
    struct chance c = base(p, seed, 1, 3, ANY);
    p->threads = 2;
    p->dead_ms = 600;
    p->client_timeout_ms = 1200;
    for (unsigned i = 0; i < 48; i++)
        op(p, &c, i % 3, i % 4 ? OP_GET : OP_REPLACE, (unsigned)chance_below(&c, p->keys), 40)
            ->thread = (uint8_t)(i / 3 % 2);
    for (unsigned i = 0; i < 2; i++)
        fault_at(p, &c, FAULT_STOP_NODE, i ? AT_START : AT_COMMIT,
                 700 + (unsigned)chance_below(&c, 600))
            ->target = 0;
}

/* A service that was started anew let a ttl end by its own reckoning, and evicted what an earlier
 * life had granted a lease on that ended with the ttl by that one's, which was a little later. */
static void draw_expiry(struct plan *p, uint64_t seed)
{
    struct chance c = base(p, seed, 1, 2, ANY);
    p->lease_ms = 700;
    for (unsigned i = 0; i < 48; i++)
        op(p, &c, i % 2, i % 3 ? OP_GET : OP_REPLACE, (unsigned)chance_below(&c, p->keys), 60)
            ->ttl_ms = (uint16_t)chance_between(&c, 100, 500);
    for (unsigned i = 0; i < 4; i++)
        fault_at(p, &c, FAULT_KILL_META, AT_LOOKUP, 40)->nth = (uint8_t)(1 + 4 * i);
}

/* ---- all of them ----------------------------------------------------------------------------- */

static const struct schedule schedules[] = {
    {"reattach", "1. a writer in its copy while the node is killed and takes its memory over",
     draw_reattach},
    {"closed", "1b. the same, by a client that closes its descriptors half-way", draw_closed},
    {"view", "2. a view while the service is away for longer than the lease", draw_view},
    {"stale", "3. a reader that knows the older value", draw_stale},
    {"mixture", "4. an old seal and a new payload in one read", draw_mixture},
    {"queued", "5. an abort with requests on their way, a commit with one replica unknown",
     draw_queued},
    {"restarts", "6. nodes that know no fences any more, or come back from the dead",
     draw_restarts},
    {"rebuild", "7. a database that is lost, with writers and aborts of before under way",
     draw_rebuild},
    {"seals", "7b. the same, with values that hold seals of what was there before", draw_seals},
    {"reigns", "8. a service that is killed and begins again", draw_reigns},
    {"crash", "8b. its machine crashes, and the newest changes of the database are gone",
     draw_crash},
    {"restored", "8c. an older database is put back", draw_restored},
    {"twins", "8d. two services: a copy of the database begins beside it", draw_twins},
    {"lookups", "9. lookups that race removals; shorter leases after a restart", draw_lookups},
    {"answers", "10. answers that are lost", draw_answers},
    {"overtaken", "10b. calls that arrive late, when they have been sent again", draw_overtaken},
    {"oneway", "6b. cuts in one direction, and connections that are half-open", draw_oneway},
    {"failover", "11. another replica into a buffer that a late transfer knows", draw_failover},
    {"full", "a pool that is full all the time", draw_full},
    {"kept", "a full pool of values with ttls, pins and groups, and a quota", draw_kept},
    {"room", "puts that wait for what may go", draw_room},
    {"returned", "the same, when a node comes back or the store refuses", draw_returned},
    {"late", "commits of puts that have been aborted", draw_late},
    {"directory", "what nodes write down of what lies there", draw_directory},
    {"no-memory", "a lost answer, and no memory to ask again", draw_no_memory},
    {"refused", "a lost answer, and a service that has no memory to repeat it", draw_refused},
    {"dropped", "connections to a node that is declared dead meanwhile", draw_dropped},
    {"expiry", "ttls that end after a restart, and leases of before", draw_expiry},
    {"flips", "bits that flip where values lie", draw_flips},
    {"woken", "12. a writer that is stopped half-way, given up, and woken", draw_woken},
};

const struct schedule *schedules_at(unsigned at)
{
    return at < sizeof schedules / sizeof schedules[0] ? &schedules[at] : NULL;
}
