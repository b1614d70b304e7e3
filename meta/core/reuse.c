/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/core/reuse.h"

#include <assert.h>
#include <stdlib.h>

#include "meta/core/put_wait.h"
#include "meta/core/record.h"
#include "meta/core/use.h"
#include "transport/base/log.h"
#include "transport/base/testswitch.h"

/* Records in one change of the store. */
#define DELETION_MAX 64u

struct ending *ending_new(struct core *c, struct object *o)
{
    uint32_t extents = object_extents(o);
    size_t size = sizeof(struct ending) + extents * sizeof(struct extent_work);
    struct ending *e = pool_take(&c->small, size);
    if (e == NULL)
        return NULL;
    e->size = (uint32_t)size;
    e->core = c;
    e->object = o;
    list_append(&c->reuse.all, &e->all);
    for (uint32_t i = 0; i < extents; i++) {
        e->extents[i].ending = e;
        e->extents[i].piece = i;
    }
    return e;
}

void ending_free(struct ending *e)
{
    link_remove(&e->all);
    pool_give(&e->core->small, e, e->size);
}

void reuse_free(struct core *c)
{
    struct link *l;
    while ((l = list_pop(&c->reuse.all)) != NULL)
        free(container_of(l, struct ending, all));
    free(c->reuse.deletion);
    c->reuse.deletion = NULL;
}

uint64_t reuse_lease_total_ms(uint64_t lease_ms)
{
    /* Two clocks may differ by 1%, and a stamp is as coarse as its unit. */
    return lease_ms + lease_ms / 100 + LEASE_UNIT_MS;
}

uint64_t reuse_lease_end(const struct core *c, const struct object *o)
{
    if (test_off(TEST_LEASE))
        return 0;
    uint64_t end = c->leased_until_ms > c->now_ms ? c->leased_until_ms : 0;
    if (o->lease_stamp == 0)
        return end;
    uint64_t stamped = c->started_ms + (o->lease_stamp - 1) * (uint64_t)LEASE_UNIT_MS;
    uint64_t own = stamped + reuse_lease_total_ms(c->options.lease_ms);
    return own > end ? own : end;
}

/* ---- accounting ---- */

static void count(struct ending *e, int sign)
{
    struct core *c = e->core;
    uint64_t bytes = 0, extents = 0;
    for (uint32_t i = 0; i < object_extents(e->object); i++) {
        const struct piece *p = object_piece(e->object, i);
        if (!piece_there(p))
            continue;
        uint64_t size = alloc_rounding(p->payload_len).size;
        struct incarnation *in = members_find(c, p->gva, size);
        if (in != NULL)
            in->quarantined_bytes += size * (uint64_t)sign;
        bytes += size;
        extents++;
    }
    bytes *= (uint64_t)sign;
    extents *= (uint64_t)sign;
    c->reuse.bytes += bytes;
    c->reuse.extents += extents;
    if (e->session != NULL) {
        e->session->ending_bytes += bytes;
        e->session->ending_extents += extents;
    }
}

/* ---- the last step: free ---- */

/* Giving back may need memory: then it is tried again. The record is gone already. */
static bool give_back(struct core *c, const struct piece *p)
{
    uint64_t size = alloc_rounding(p->payload_len).size;
    struct incarnation *i = members_find(c, p->gva, size);
    return i == NULL || alloc_give(i->alloc, p->gva.v - i->gva.v, size) != CENOTE_NO_MEMORY;
}

static void finish(struct ending *e)
{
    struct core *c = e->core;
    for (; e->given < object_extents(e->object); e->given++) {
        if (!give_back(c, object_piece(e->object, e->given))) {
            list_append(&c->reuse.retry, &e->link);
            return;
        }
    }
    count(e, -1);
    struct space *space = spaces_by_id(c, e->object->name_space);
    if (space != NULL)
        space->extant--;
    evict_given(c, e, use_bytes(e->object));
    table_delete(&c->table, e->object);
    struct session *s = e->session;
    ending_free(e);
    if (s != NULL)
        sessions_release(c, s);
}

void reuse_discard(struct ending *e)
{
    count(e, 1);
    e->deleted = true;
    finish(e);
}

/* Many records in one change of the store: one transaction costs the same for all of them, and what
 * was put together lies, and mostly ends, together. */
struct deletion {
    struct core *core;
    struct change change;
    uint32_t count;
    struct ending *endings[DELETION_MAX];
};

static void deleted(struct change *ch, int status)
{
    struct deletion *d = container_of(ch, struct deletion, change);
    struct core *c = d->core;
    for (uint32_t i = 0; i < d->count; i++) {
        struct ending *e = d->endings[i];
        e->deleting = false;
        e->deleted = status == CENOTE_OK;
        if (e->deleted)
            finish(e);
        else
            list_append(&c->reuse.retry, &e->link);
    }
    pool_give(&c->small, d, sizeof(*d));
    put_wait_run(c);
}

static int by_put_id(const void *a, const void *b)
{
    const struct ending *const *x = a, *const *y = b;
    uint64_t left = (*x)->object->put_id, right = (*y)->object->put_id;
    return left < right ? -1 : left > right;
}

void reuse_delete(struct core *c)
{
    struct deletion *d = c->reuse.deletion;
    c->reuse.deletion = NULL;
    if (d == NULL)
        return;
    qsort(d->endings, d->count, sizeof(d->endings[0]), by_put_id);
    for (uint32_t i = 0; i < d->count; i++) {
        struct record_key key = record_key(d->endings[i]->object->put_id);
        change_remove(&c->changes, STORE_OBJECTS, key.b, sizeof(key.b));
    }
    d->change.done = deleted;
    change_submit(&c->changes, &d->change, CHANGE_FREES);
}

static void delete_record(struct ending *e)
{
    struct core *c = e->core;
    struct deletion *d = c->reuse.deletion;
    if (d == NULL)
        d = c->reuse.deletion = pool_take(&c->small, sizeof(*d));
    if (d == NULL) {
        list_append(&c->reuse.retry, &e->link);
        return;
    }
    d->core = c;
    e->deleting = true;
    d->endings[d->count++] = e;
    if (d->count == DELETION_MAX)
        reuse_delete(c);
}

/* ---- leases ---- */

static void wait_for_lease(struct ending *e)
{
    struct core *c = e->core;
    uint64_t slot = e->lease_end_ms / LEASE_UNIT_MS + 1;
    if (slot > c->reuse.slot + LEASE_SLOTS - 1)
        slot = c->reuse.slot + LEASE_SLOTS - 1;
    list_append(&c->reuse.leased[slot % LEASE_SLOTS], &e->link);
}

static void settle(struct ending *e)
{
    struct core *c = e->core;
    struct claim *claim = e->claim;
    if (claim == NULL)
        return;
    e->claim = NULL;
    assert(claim->unsettled > 0);
    claim->unsettled--;
    claim->missed -= e->missed;
    claim->recovered -= e->recovered;
    struct outcomes outcomes = e->outcomes;
    e->outcomes.first = NULL;
    if (claim->unsettled == 0 && claim->successor != NULL)
        puts_show_successor(c, claim);
    outcomes_tell(&outcomes, e->missed ? CENOTE_OK : CENOTE_NOT_FOUND);
    claims_wake(&c->claims, claim);
}

/* Where is it on its way? To be asked whenever an extent is done or the lease may be over. */
void ending_consider(struct ending *e)
{
    bool leased = e->lease_end_ms > e->core->now_ms;
    if (!leased || (e->live == 0 && !e->live_seal))
        settle(e);
    if (leased) {
        if (!link_used(&e->link))
            wait_for_lease(e);
        return;
    }
    link_remove(&e->link);
    if (e->deleted)
        finish(e);
    else if (e->left == 0 && !e->change.in_flight && !e->deleting)
        delete_record(e);
}

void reuse_tick(struct core *c)
{
    struct list due = {0};
    if (c->now_ms >= c->reuse.retry_ms) {
        list_move_all(&due, &c->reuse.retry);
        c->reuse.retry_ms = c->now_ms + STORE_RETRY_MS;
    }
    uint64_t last = c->now_ms / LEASE_UNIT_MS;
    if (last > c->reuse.slot + LEASE_SLOTS)
        c->reuse.slot = last - LEASE_SLOTS;
    while (c->reuse.slot < last) {
        c->reuse.slot++;
        list_move_all(&due, &c->reuse.leased[c->reuse.slot % LEASE_SLOTS]);
    }
    struct link *l;
    while ((l = list_pop(&due)) != NULL)
        ending_consider(container_of(l, struct ending, link));
}

void reuse_begin(struct ending *e)
{
    struct core *c = e->core;
    uint32_t extents = object_extents(e->object);
    e->left = e->live = extents;
    count(e, 1);
    if (test_off(TEST_QUARANTINE)) {
        e->left = e->live = 0;
        e->lease_end_ms = 0;
        ending_consider(e);
        return;
    }
    for (uint32_t k = 0; k < extents; k++)
        extent_begin(&e->extents[k]);
    for (uint32_t k = 0; k < extents; k++) {
        struct incarnation *i = extent_incarnation(&e->extents[k]);
        if (i != NULL)
            reuse_drive(c, i->node);
    }
    ending_consider(e);
}
