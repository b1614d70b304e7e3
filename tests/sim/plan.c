/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cenote/policy.h>

#include "tests/sim/chance.h"
#include "tests/sim/scene.h"

#define CHUNK_BYTES 65536u

static const char *const op_names[OP_KINDS] = {"put",    "replace", "remove", "get",
                                               "exists", "view",    "puts",   "gets",
                                               "ranges", "writer",  "rewrite"};
static const char *const fault_names[FAULT_KINDS] = {
    "kill-meta", "stop-meta",  "kill-node",    "stop-node", "kill-client", "stop-client",
    "closefrom", "break",      "half",         "late",      "cut",         "cut-in",
    "cut-out",   "slow",       "disk",         "memory",    "flip",        "machine",
    "lose-meta", "crash-meta", "restore-meta", "twin-meta"};

static const char *const moments[MOMENTS] = {"",      "writing", "reading", "viewing", "lookup",
                                             "start", "commit",  "remove",  "fence",   "void"};

static uint32_t some_len(struct chance *c, const struct plan *p)
{
    if (p->segment_bytes > 512 * 1024 && chance_in(c, 12))
        return (uint32_t)chance_between(c, CHUNK_BYTES - 64, 3 * CHUNK_BYTES);
    if (chance_in(c, 6))
        return (uint32_t)chance_between(c, 16, 4000);
    return (uint32_t)chance_between(c, 16, 300);
}

static enum plan_kind some_kind(struct chance *c)
{
    static const enum plan_kind kinds[] = {
        OP_PUT,  OP_PUT,    OP_REPLACE, OP_REPLACE, OP_REPLACE, OP_REMOVE, OP_REMOVE, OP_GET,
        OP_GET,  OP_GET,    OP_GET,     OP_GET,     OP_EXISTS,  OP_VIEW,   OP_VIEW,   OP_PUTS,
        OP_GETS, OP_RANGES, OP_RANGES,  OP_WRITER,  OP_REWRITE, OP_GET};
    return kinds[chance_below(c, sizeof kinds / sizeof kinds[0])];
}

/* Operations follow each other closely, or are apart by about a lease. */
static uint32_t some_pause(struct chance *c, const struct plan *p)
{
    if (chance_in(c, 8))
        return (uint32_t)chance_below(c, p->lease_ms * 1500u);
    return (uint32_t)chance_below(c, 20000);
}

static void make_ops(struct plan *p, struct chance *c)
{
    p->op_count = (unsigned)chance_between(c, 6, 48);
    for (unsigned i = 0; i < p->op_count; i++) {
        struct plan_op *o = &p->ops[i];
        *o = (struct plan_op){.client = (uint8_t)chance_below(c, p->clients),
                              .thread = (uint8_t)chance_below(c, p->threads),
                              .kind = (uint8_t)some_kind(c),
                              .key = (uint8_t)chance_below(c, p->keys),
                              .replicas = (uint8_t)chance_between(c, 1, chance_in(c, 3) ? 2 : 1),
                              .len_bytes = some_len(c, p),
                              .pause_us = some_pause(c, p),
                              .look_us = (uint32_t)chance_below(c, p->lease_ms * 2000u),
                              .number = (uint16_t)i};
        if (o->replicas > p->nodes)
            o->replicas = (uint8_t)p->nodes;
        o->seals = chance_in(c, 6);
    }
}

void plan_keep(struct plan_op *o, struct chance *c)
{
    if (o->kind != OP_PUT && o->kind != OP_REPLACE)
        return;
    o->ttl_ms = chance_in(c, 3) ? (uint16_t)chance_between(c, 20, 800) : 0;
    o->pin = chance_in(c, 4) ? (uint8_t)chance_between(c, CENOTE_PIN_SOFT, CENOTE_PIN_HARD) : 0;
    o->group = chance_in(c, 3) ? (uint8_t)chance_between(c, 1, 2) : 0;
}

/* Half of all worlds have values that are kept in their own ways, some a quota. */
static void make_kept(struct plan *p, struct chance *c)
{
    bool some = chance_in(c, 2);
    for (unsigned i = 0; some && i < p->op_count; i++)
        plan_keep(&p->ops[i], c);
    if (some && chance_in(c, 2))
        p->quota_objects = (uint32_t)chance_between(c, 1, 4);
}

static uint32_t some_time(struct chance *c, const struct plan *p)
{
    if (chance_in(c, 3))
        return (uint32_t)chance_below(c, p->dead_ms * 2);
    return (uint32_t)chance_below(c, p->lease_ms * 2);
}

static uint8_t some_target(struct chance *c, const struct plan *p, enum plan_fault_kind kind)
{
    switch (kind) {
    case FAULT_KILL_NODE:
    case FAULT_STOP_NODE:
        return (uint8_t)chance_below(c, p->nodes);
    case FAULT_KILL_CLIENT:
    case FAULT_STOP_CLIENT:
    case FAULT_CLOSEFROM:
        return (uint8_t)chance_below(c, p->clients);
    case FAULT_BREAK:
    case FAULT_HALF:
    case FAULT_LATE:
    case FAULT_MEMORY:
        return (uint8_t)chance_below(c, 1 + p->nodes + p->clients);
    case FAULT_CUT:
    case FAULT_CUT_IN:
    case FAULT_CUT_OUT:
    case FAULT_MACHINE:
        return (uint8_t)chance_between(c, 1, p->hosts - 1);
    default:
        return 0;
    }
}

/* Not at a time, but when something is under way. */
static void at_moment(struct plan_fault *f, struct chance *c)
{
    f->moment = (uint8_t)chance_between(c, AT_TIME + 1, MOMENTS - 1);
    f->nth = (uint8_t)chance_between(c, 1, 6);
    f->after_us = chance_in(c, 2) ? 0 : (uint32_t)chance_below(c, 300);
    bool of_host = f->kind == FAULT_MACHINE || (f->kind >= FAULT_CUT && f->kind <= FAULT_CUT_OUT);
    if (!of_host && chance_in(c, 2))
        f->target = TARGET_THERE;
}

static void make_faults(struct plan *p, struct chance *c)
{
    p->fault_count = (unsigned)chance_below(c, chance_in(c, 3) ? PLAN_FAULTS_MAX : 5);
    for (unsigned i = 0; i < p->fault_count; i++) {
        struct plan_fault *f = &p->faults[i];
        enum plan_fault_kind kind = (enum plan_fault_kind)chance_below(c, FAULT_KINDS_DRAWN);
        if ((kind == FAULT_MACHINE || kind == FAULT_FLIP) && !chance_in(c, 3))
            kind = FAULT_BREAK;
        *f = (struct plan_fault){.kind = (uint8_t)kind,
                                 .target = some_target(c, p, kind),
                                 .at_ms = 50 + (uint32_t)chance_below(c, 1500),
                                 .lasts_ms = 1 + some_time(c, p),
                                 .number = (uint16_t)i};
        if (chance_in(c, 2))
            at_moment(f, c);
    }
}

void plan_draw(struct plan *p, uint64_t seed)
{
    struct chance c = chance_of(seed, 7);
    *p = (struct plan){.seed = seed};
    p->nodes = (unsigned)chance_between(&c, 1, chance_in(&c, 2) ? 1 : PLAN_NODES_MAX);
    p->clients = (unsigned)chance_between(&c, 1, PLAN_CLIENTS_MAX - 1);
    p->threads = (unsigned)chance_between(&c, 1, PLAN_THREADS_MAX);
    p->keys = (unsigned)chance_between(&c, 1, chance_in(&c, 3) ? PLAN_KEYS_MAX : 2);
    p->hosts = (unsigned)chance_between(&c, 2, 4);
    p->segment_bytes = chance_in(&c, 8)   ? 1 << 20
                       : chance_in(&c, 2) ? chance_between(&c, 2, 8) * 1024
                                          : chance_between(&c, 2, 32) * 4096;
    p->lease_ms = (uint32_t)chance_between(&c, 100, chance_in(&c, 2) ? 300 : 1500);
    p->put_timeout_ms = (uint32_t)chance_between(&c, 200, 2000);
    p->session_grace_ms = (uint32_t)chance_between(&c, 200, 1500);
    p->heartbeat_ms = 100;
    p->suspect_ms = 300;
    p->dead_ms = (uint32_t)chance_between(&c, 500, 2000);
    p->client_timeout_ms = (uint32_t)chance_between(&c, 100, 2000);
    p->stripe_bytes = chance_in(&c, 2) ? CHUNK_BYTES : 0;
    p->evict_high = chance_in(&c, 4) ? 100 : (uint32_t)chance_between(&c, 40, 99);
    p->evict_low = p->evict_high - (uint32_t)chance_below(&c, 20);
    p->named = chance_in(&c, 2);
    p->directories = chance_in(&c, 8);
    p->ways = (unsigned)chance_between(&c, 1, 7);
    if (p->ways == 1u << BY_SHM)
        p->ways |= chance_in(&c, 2) ? 1u << BY_TCP : 1u << BY_RDMA;
    for (unsigned i = 0; i < p->nodes; i++)
        p->node_host[i] = (uint8_t)chance_between(&c, 1, p->hosts - 1);
    for (unsigned i = 0; i < PLAN_CLIENTS_MAX; i++)
        p->client_host[i] = (uint8_t)chance_between(&c, 1, p->hosts - 1);
    make_ops(p, &c);
    make_faults(p, &c);
    c = chance_of(seed, 13);
    make_kept(p, &c);
}

/* ---- leaving out ----------------------------------------------------------------------------- */

static void drop_op(struct plan *p, unsigned long number)
{
    for (unsigned i = 0; i < p->op_count; i++) {
        if (p->ops[i].number != number)
            continue;
        memmove(&p->ops[i], &p->ops[i + 1], (--p->op_count - i) * sizeof p->ops[0]);
        return;
    }
}

static void drop_fault(struct plan *p, unsigned long number)
{
    for (unsigned i = 0; i < p->fault_count; i++) {
        if (p->faults[i].number != number)
            continue;
        memmove(&p->faults[i], &p->faults[i + 1], (--p->fault_count - i) * sizeof p->faults[0]);
        return;
    }
}

bool plan_skip(struct plan *p, const char *what)
{
    while (*what != '\0') {
        char *end;
        char kind = *what++;
        unsigned long number = strtoul(what, &end, 10);
        if (end == what || (kind != 'o' && kind != 'f') || (*end != '\0' && *end != ','))
            return false;
        if (kind == 'o')
            drop_op(p, number);
        else
            drop_fault(p, number);
        what = *end == ',' ? end + 1 : end;
    }
    return true;
}

void plan_print(const struct plan *p)
{
    printf("seed %llu: %u nodes of %llu bytes%s, ways %u, %u clients of %u threads, %u keys\n",
           (unsigned long long)p->seed, p->nodes, (unsigned long long)p->segment_bytes,
           p->named ? " (named)" : "", p->ways, p->clients, p->threads, p->keys);
    printf("lease %u ms, put %u ms, grace %u ms, dead %u ms, client's time-out %u ms\n",
           p->lease_ms, p->put_timeout_ms, p->session_grace_ms, p->dead_ms, p->client_timeout_ms);
    for (unsigned i = 0; i < p->op_count; i++) {
        const struct plan_op *o = &p->ops[i];
        printf("  o%u client %u.%u after %u us: %s key %u, %u bytes, %u replicas", o->number,
               o->client, o->thread, o->pause_us, op_names[o->kind], o->key, o->len_bytes,
               o->replicas);
        printf(", ttl %u, pin %u, group %u%s\n", o->ttl_ms, o->pin, o->group,
               o->seals ? ", with seals" : "");
    }
    for (unsigned i = 0; i < p->fault_count; i++) {
        const struct plan_fault *f = &p->faults[i];
        printf("  f%u ", f->number);
        if (f->moment == AT_TIME)
            printf("at %u ms", f->at_ms);
        else
            printf("at %s %u, %u us later", moments[f->moment], f->nth, f->after_us);
        printf(": %s %u for %u ms\n", fault_names[f->kind], f->target, f->lasts_ms);
    }
}
