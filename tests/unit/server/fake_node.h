/* SPDX-License-Identifier: Apache-2.0 */
/* A node with one small segment and exporters that do what a test tells them. */
#ifndef CENOTE_TESTS_FAKE_NODE_H
#define CENOTE_TESTS_FAKE_NODE_H

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "server/node/node.h"

#define FAKE_BOOT    77u
#define FAKE_LEN     65536u
#define FAKE_GVA     (GVA_FIRST + 5 * GVA_ALIGN)
#define FAKE_REIGN   3u
#define FAKE_DONES   8192u
#define FAKE_SESSION 11u

struct fake_exporter {
    struct xcopy_exporter base; /* first */
    unsigned segments;
    unsigned fences; /* begun */
    uint64_t held;   /* address of an extent that somebody looks at; 0: none */
    void (*done[FAKE_DONES])(void *arg);
    void *arg[FAKE_DONES];
};

struct fake_node {
    struct node *node;
    struct memory memory;
    struct fake_exporter exporters[2];
    unsigned nudges;
    unsigned fenced; /* calls */
    uint64_t tag;    /* of the last */
};

static inline int fake_add_segment(struct xcopy_exporter *e, const struct xcopy_segment *segment)
{
    (void)segment;
    ((struct fake_exporter *)e)->segments++;
    return CENOTE_OK;
}

static inline void fake_fence(struct xcopy_exporter *e, uint64_t session, uint64_t horizon,
                              void (*done)(void *arg), void *arg)
{
    struct fake_exporter *f = (struct fake_exporter *)e;
    (void)session;
    (void)horizon;
    f->done[f->fences] = done;
    f->arg[f->fences++] = arg;
}

static inline void fake_held(struct xcopy_exporter *e, const struct gva *extents, size_t count,
                             bool *held)
{
    for (size_t i = 0; i < count; i++) {
        assert(i == 0 || extents[i - 1].v <= extents[i].v);
        held[i] = held[i] || extents[i].v == ((struct fake_exporter *)e)->held;
    }
}

static inline uint32_t fake_hold_count(struct xcopy_exporter *e)
{
    return ((struct fake_exporter *)e)->held != 0;
}

static const struct xcopy_exporter_ops fake_ops = {.name = "fake",
                                                   .add_segment = fake_add_segment,
                                                   .fence = fake_fence,
                                                   .held = fake_held,
                                                   .hold_count = fake_hold_count};

/* The exporter's i-th fence is done. */
static inline void fake_done(struct fake_exporter *e, unsigned i)
{
    e->done[i](e->arg[i]);
}

static inline void fake_fenced(void *arg, uint64_t tag)
{
    struct fake_node *f = arg;
    f->fenced++;
    f->tag = tag;
}

static inline void fake_nudge(void *arg)
{
    struct fake_node *f = arg;
    __atomic_fetch_add(&f->nudges, 1, __ATOMIC_RELAXED);
}

static const struct hash_key fake_grant_key = {{1, 2, 3}};
static const struct hash_key fake_pool_key = {{4, 5, 6}};

static inline void fake_node_init(struct fake_node *f)
{
    struct node_options o = {.boot = FAKE_BOOT,
                             .grant_key = fake_grant_key,
                             .highest_reign = FAKE_REIGN,
                             .fenced = fake_fenced,
                             .nudge = fake_nudge,
                             .arg = f};
    *f = (struct fake_node){.memory = {.len_bytes = FAKE_LEN, .fd = -1}};
    f->memory.base = aligned_alloc(64, FAKE_LEN);
    memset(f->memory.base, 0, FAKE_LEN);
    f->node = node_new(&o);
    node_add_memory(f->node, &f->memory);
    for (int i = 0; i < 2; i++) {
        f->exporters[i].base.ops = &fake_ops;
        node_add_exporter(f->node, &f->exporters[i].base);
    }
}

static inline void fake_node_free(struct fake_node *f)
{
    node_free(f->node);
    free(f->memory.base);
}

static inline struct node_join_result fake_join_result(void)
{
    return (struct node_join_result){
        .node = 1,
        .reign = FAKE_REIGN,
        .pool_key = fake_pool_key,
        .heartbeat_ms = 1000,
        .segment_count = 1,
        .segments = {{.incarnation = 9, .gva = {FAKE_GVA}}},
    };
}

#endif
