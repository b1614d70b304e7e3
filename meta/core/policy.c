/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/core/policy.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define BUCKET_GHOSTS 16u
#define GHOSTS_MIN    64u
/* Of a table's size in victims: stamps count these, and come round after 16 sizes. */
#define STAMP_UNITS   4096u

static struct object *at(const struct table *t, uint32_t ref)
{
    return ref == INDEX_NONE ? NULL : table_at(t, ref);
}

static struct policy_fifo *queue_of(struct policy *p, const struct object *o)
{
    assert(o->queue == POLICY_PROBATION || o->queue == POLICY_MAIN);
    return &p->queue[o->queue - 1];
}

void policy_init(struct policy *p)
{
    const struct policy_fifo empty = {
        .newest = INDEX_NONE, .oldest = INDEX_NONE, .last = INDEX_NONE};
    *p = (struct policy){.queue = {empty, empty}, .last = INDEX_NONE};
}

void policy_free(struct policy *p)
{
    free(p->ghosts);
    p->ghosts = NULL;
    p->ghost_count = 0;
}

static uint32_t share(const struct policy *p, uint32_t percent)
{
    return (uint32_t)((uint64_t)p->count * percent / 100);
}

/* --- ghosts --- */

static struct ghost *bucket_of(const struct policy *p, const struct object *o)
{
    uint32_t h;
    memcpy(&h, o->key_hash.b + 8, sizeof(h));
    return &p->ghosts[(h & (p->ghost_count - 1)) & ~(BUCKET_GHOSTS - 1)];
}

static uint16_t fingerprint_of(const struct object *o)
{
    uint16_t fingerprint;
    memcpy(&fingerprint, o->key_hash.b + 12, sizeof(fingerprint));
    return fingerprint;
}

static uint32_t stamp_unit(const struct policy *p)
{
    return p->ghost_count > STAMP_UNITS ? p->ghost_count / STAMP_UNITS : 1;
}

static uint16_t stamp_now(const struct policy *p)
{
    uint16_t stamp = (uint16_t)(p->victims / stamp_unit(p));
    return stamp == 0 ? 1 : stamp;
}

static uint16_t age_of(const struct ghost *g, uint16_t now)
{
    return (uint16_t)(now - g->stamp);
}

/* More than the ghosts that count, so that few buckets run over. A larger table begins empty: a
 * namespace that grows has had little to forget, and copying would take as long as it is large. */
static void ghosts_size(struct policy *p)
{
    uint32_t count = GHOSTS_MIN;
    while (count < p->count && count <= UINT32_MAX / 2)
        count *= 2;
    if (p->ghosts != NULL && p->ghost_count >= count)
        return;
    struct ghost *ghosts = calloc(count, sizeof(*ghosts)); /* large ones: zeroed when touched */
    if (ghosts == NULL)
        return; /* what there is goes on */
    free(p->ghosts);
    p->ghosts = ghosts;
    p->ghost_count = count;
}

static void ghost_add(struct policy *p, const struct object *o)
{
    ghosts_size(p);
    if (p->ghosts == NULL)
        return;
    p->victims++;
    struct ghost *bucket = bucket_of(p, o), *oldest = bucket;
    uint16_t fingerprint = fingerprint_of(o), now = stamp_now(p);
    for (uint32_t i = 0; i < BUCKET_GHOSTS; i++) {
        struct ghost *g = &bucket[i];
        if (g->stamp == 0 || g->fingerprint == fingerprint) {
            oldest = g;
            break;
        }
        if (age_of(g, now) > age_of(oldest, now))
            oldest = g;
    }
    *oldest = (struct ghost){.fingerprint = fingerprint, .stamp = now};
}

/* Was it among the last victims? It isn't any more, then. */
static bool ghost_take(struct policy *p, const struct object *o)
{
    if (p->ghosts == NULL)
        return false;
    struct ghost *bucket = bucket_of(p, o);
    uint16_t fingerprint = fingerprint_of(o);
    for (uint32_t i = 0; i < BUCKET_GHOSTS; i++) {
        struct ghost *g = &bucket[i];
        if (g->stamp == 0 || g->fingerprint != fingerprint)
            continue;
        bool young = age_of(g, stamp_now(p)) < share(p, POLICY_GHOSTS_PERCENT) / stamp_unit(p);
        g->stamp = 0;
        return young;
    }
    return false;
}

/* --- queues --- */

/* Behind (older than) newer; NULL: as the newest. */
static void link_behind(struct policy *p, const struct table *t, struct object *o,
                        enum policy_queue queue, struct object *newer)
{
    struct policy_fifo *q = &p->queue[queue - 1];
    uint32_t older = newer == NULL ? q->newest : newer->older;
    assert(o->queue == POLICY_NONE);
    o->newer = newer == NULL ? INDEX_NONE : newer->ref;
    o->older = older;
    if (newer == NULL)
        q->newest = o->ref;
    else
        newer->older = o->ref;
    if (older == INDEX_NONE)
        q->oldest = o->ref;
    else
        at(t, older)->newer = o->ref;
    o->queue = queue & 3u;
    q->count++;
    p->count++;
}

static void unlink_object(struct policy *p, const struct table *t, struct object *o)
{
    struct policy_fifo *q = queue_of(p, o);
    assert(q->count > 0);
    if (o->newer == INDEX_NONE)
        q->newest = o->older;
    else
        at(t, o->newer)->older = o->older;
    if (o->older == INDEX_NONE)
        q->oldest = o->newer;
    else
        at(t, o->older)->newer = o->newer;
    if (q->last == o->ref)
        q->last = INDEX_NONE;
    o->queue = POLICY_NONE;
    o->newer = o->older = INDEX_NONE;
    q->count--;
    p->count--;
}

/* Of a chain only its beginning may go to the main queue: what follows a block that is on probation
 * would outlive it for nothing. */
void policy_add(struct policy *p, const struct table *t, struct object *o, struct object *head)
{
    bool known = ghost_take(p, o);
    if (head == NULL || head->ref != p->last) /* another chain */
        p->queue[0].last = p->queue[1].last = INDEX_NONE;
    else if (p->queue[POLICY_MAIN - 1].last != p->last)
        known = false;
    enum policy_queue queue = known ? POLICY_MAIN : POLICY_PROBATION;
    struct policy_fifo *q = &p->queue[queue - 1];
    link_behind(p, t, o, queue, at(t, q->last));
    q->last = p->last = o->ref;
    o->uses = 0;
}

void policy_remove(struct policy *p, const struct table *t, struct object *o)
{
    if (p->last == o->ref)
        p->last = INDEX_NONE;
    unlink_object(p, t, o);
}

static void move_to_main(struct policy *p, const struct table *t, struct object *o)
{
    unlink_object(p, t, o);
    link_behind(p, t, o, POLICY_MAIN, NULL);
}

/* The probation, when more than its share are in it; or the other one. */
static struct policy_fifo *choose(struct policy *p, bool other)
{
    struct policy_fifo *probation = &p->queue[0], *rest = &p->queue[1];
    bool from_rest = probation->count <= share(p, POLICY_PROBATION_PERCENT);
    if (from_rest != other)
        return rest->count > 0 ? rest : probation;
    return probation->count > 0 ? probation : rest;
}

struct object *policy_victim(struct policy *p, const struct table *t,
                             bool (*may)(void *arg, struct object *o), void *arg)
{
    uint32_t refused = 0;
    for (uint32_t n = 0; n < POLICY_STEPS && p->count > 0; n++) {
        struct object *o = at(t, choose(p, refused >= POLICY_STEPS / 2)->oldest);
        bool probation = o->queue == POLICY_PROBATION;
        if (o->uses > 0) {
            o->uses = probation ? 0 : (o->uses - 1) & POLICY_USES_MAX;
        } else if (may(arg, o)) {
            if (probation)
                ghost_add(p, o);
            return o;
        } else {
            refused++;
        }
        move_to_main(p, t, o);
    }
    return NULL;
}

static bool queue_check(const struct policy *p, const struct table *t, enum policy_queue queue)
{
    const struct policy_fifo *q = &p->queue[queue - 1];
    uint32_t count = 0, newer = INDEX_NONE;
    for (uint32_t ref = q->newest; ref != INDEX_NONE; count++) {
        const struct object *o = at(t, ref);
        if (o == NULL || o->queue != queue || o->newer != newer || count >= q->count)
            return false;
        newer = ref;
        ref = o->older;
    }
    return count == q->count && q->oldest == newer;
}

bool policy_check(const struct policy *p, const struct table *t)
{
    return p->count == p->queue[0].count + p->queue[1].count &&
           queue_check(p, t, POLICY_PROBATION) && queue_check(p, t, POLICY_MAIN);
}
