/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>

#include "meta/core/keep.h"
#include "meta/core/names.h"
#include "meta/core/objects.h"
#include "meta/core/put_phases.h"
#include "meta/core/use.h"
#include "transport/base/log.h"
#include "transport/base/testswitch.h"

void puts_show_successor(struct core *c, struct claim *claim)
{
    struct object *o = claim->successor;
    struct put *p = o->put;
    claim->successor = NULL;
    objects_show(c, o,
                 p != NULL && p->chained ? table_by_put(&c->table, o->put_id - PUT_IDS) : NULL);
    if (p == NULL)
        return;
    struct outcomes outcomes = p->outcomes;
    struct session *s = p->session;
    p->outcomes.first = NULL;
    ending_free(p->ending);
    put_forget(p);
    sessions_release(c, s);
    outcomes_tell(&outcomes, CENOTE_OK);
}

/* ---- extents that aren't kept ---- */

static bool all_visible(const struct put *p)
{
    for (uint32_t i = 0; i < object_extents(p->object); i++)
        if (!p->ending->extents[i].visible)
            return false;
    return true;
}

/* The extents that aren't visible change hands. */
static void exchange_dropped(struct put *p)
{
    for (uint32_t i = 0; i < object_extents(p->object); i++) {
        struct gva *own = &object_piece(p->object, i)->gva;
        struct gva *other = &object_piece(p->dropped->object, i)->gva;
        struct gva gva = *own;
        if (p->ending->extents[i].visible)
            continue;
        *own = *other;
        *other = gva;
    }
}

/* An object like the put's, with no extent yet. */
static struct ending *dropped_new(struct put *p)
{
    struct core *c = p->core;
    struct object *o = p->object;
    struct object *d = table_add(&c->table, o->put_id + 1, o->stripes, o->replicas);
    if (d == NULL)
        return NULL;
    d->state = OBJECT_ABORTING;
    d->key_hash = o->key_hash;
    d->session = o->session;
    d->name_space = o->name_space;
    d->pin = o->pin;
    struct ending *e = ending_new(c, d);
    if (e == NULL) {
        table_delete(&c->table, d);
        return NULL;
    }
    e->session = p->session;
    p->session->space->extant++;
    for (uint32_t i = 0; i < object_extents(d); i++) {
        object_piece(d, i)->payload_len = object_piece(o, i)->payload_len;
        e->extents[i].may_write = p->ending->extents[i].may_write;
    }
    return e;
}

/* What isn't visible leaves the put; see puts.h. */
static int drop(struct put *p)
{
    if (all_visible(p))
        return CENOTE_OK;
    p->dropped = dropped_new(p);
    if (p->dropped == NULL)
        return CENOTE_NO_MEMORY;
    exchange_dropped(p);
    return CENOTE_OK;
}

static void undo_drop(struct put *p)
{
    if (p->dropped == NULL)
        return;
    exchange_dropped(p);
    p->session->space->extant--;
    table_delete(&p->core->table, p->dropped->object);
    ending_free(p->dropped);
    p->dropped = NULL;
}

static void begin_dropped(struct put *p)
{
    struct ending *e = p->dropped;
    p->dropped = NULL;
    if (e == NULL)
        return;
    log_info("meta", "put %llx is visible without all of its replicas",
             (unsigned long long)p->object->put_id);
    use_drop(p->core, e->object);
    reuse_begin(e);
}

/* ---- the change ---- */

static void refused(struct put *p, int status)
{
    struct outcomes outcomes = p->outcomes;
    p->outcomes.first = NULL;
    if (p->older != NULL)
        ending_free(p->older);
    p->older = NULL;
    undo_drop(p);
    put_pend(p);
    if (p->session->ended)
        put_abort(p, CENOTE_ABORTED);
    outcomes_tell(&outcomes, status);
}

static void committed(struct change *ch, int status)
{
    struct put *p = container_of(ch, struct put, change);
    struct core *c = p->core;
    struct hash128 key_hash = p->object->key_hash;
    struct claim *claim = claims_find(&c->claims, &key_hash);
    assert(claim != NULL && claim->busy && claim->successor == NULL);
    claim->busy = false;
    if (status == CENOTE_OK) {
        struct ending *older = p->older;
        p->older = NULL;
        p->phase = PUT_SHOWING;
        p->object->state = OBJECT_COMMITTED;
        c->stored_bytes += object_len(p->object);
        if (p->keep != NULL)
            keep_begin(c, p->object, p->keep);
        directory_committed(c, p->object);
        claim->successor = p->object;
        begin_dropped(p);
        if (older != NULL)
            objects_retire(older, claim);
        else if (claim->unsettled == 0)
            puts_show_successor(c, claim);
    } else {
        refused(p, status);
    }
    claim = claims_find(&c->claims, &key_hash); /* it may be over */
    if (claim != NULL)
        claims_wake(&c->claims, claim);
}

static void draft_kept(const struct put *p, uint64_t wall_ms)
{
    struct kept kept = {.ttl_from_ms = wall_ms, .pin_from_ms = wall_ms};
    if (p->keep != NULL)
        kept.keep = *p->keep;
    keep_draft(p->core, p->object, OBJECT_COMMITTED, &kept, wall_ms, p->key, p->key_len);
}

/* The record, the name, and the end of what it replaces: one change. */
static void draft(struct put *p, struct object *older)
{
    struct core *c = p->core;
    struct object *o = p->object;
    struct names_key name;
    struct record_key id = record_key(o->put_id);
    names_key_make(&name, o->name_space, p->key, p->key_len, &o->key_hash);
    draft_kept(p, core_wall_ms(c));
    change_put(&c->changes, STORE_NAMES, name.data, name.len, id.b, sizeof(id.b));
    if (p->dropped != NULL)
        objects_draft(c, p->dropped->object, OBJECT_ABORTING, put_needs_fence(p->dropped), 0, NULL,
                      0);
    if (older != NULL)
        objects_draft_removed(c, older, p->key, p->key_len);
}

/* The key may have gone to another service since the put began, in a restart. */
static bool is_ours(const struct put *p)
{
    const struct core *c = p->core;
    const struct space *space = c->shard.all ? NULL : spaces_by_id(c, p->object->name_space);
    return c->shard.all ||
           (space != NULL && shard_owns(c, shard_slot(c, space, p->key, p->key_len)));
}

static int submit(struct put *p, struct claim *claim, struct object *older)
{
    if (!is_ours(p))
        return CENOTE_WRONG_SHARD;
    if (older != NULL && (p->older = ending_new(p->core, older)) == NULL)
        return CENOTE_NO_MEMORY;
    int status = drop(p);
    if (status != CENOTE_OK)
        return status;
    draft(p, older);
    p->phase = PUT_COMMITTING;
    claim->busy = true;
    p->change.done = committed;
    change_submit(&p->core->changes, &p->change, CHANGE_FREES);
    return CENOTE_OK;
}

static void try_again(struct waiter *w);

/* In WAITING: commits when nothing else is under way with the key. */
static void try(struct put *p)
{
    struct core *c = p->core;
    struct claim *claim = claims_get(&c->claims, &p->object->key_hash);
    int status = CENOTE_NO_MEMORY;
    if (claim == NULL) {
        refused(p, status);
        return;
    }
    if (claim->busy || claim->successor != NULL) {
        p->waiter.run = try_again;
        status = claims_wait(&c->claims, claim, &p->waiter);
        if (status != CENOTE_OK)
            refused(p, status);
        return;
    }
    struct object *there = table_by_key(&c->table, &p->object->key_hash);
    if (there != NULL && !p->object->replace && !objects_lost(c, there) && !expire_over(c, there)) {
        put_abort(p, CENOTE_EXISTS);
    } else {
        status = submit(p, claim, there);
        if (status == CENOTE_OK)
            return;
        if (status == CENOTE_WRONG_SHARD)
            put_abort(p, status); /* it can't become visible here any more */
        else
            refused(p, status);
    }
    claims_wake(&c->claims, claim);
}

static void try_again(struct waiter *w)
{
    try(container_of(w, struct put, waiter));
}

/* ---- what the client says ---- */

static bool sane(const struct object *o, const struct put_end *end, bool commit)
{
    for (uint32_t i = 0; i < end->state_count; i++)
        if (end->states[i] > EXTENT_UNKNOWN)
            return false;
    return end->state_count == object_extents(o) && end->sum_kind <= SUM_XXH3 &&
           (end->root_count == o->stripes || (!commit && end->root_count == 0));
}

static bool is_aborted(const struct object *o)
{
    return o->state == OBJECT_ABORTING || (o->put != NULL && o->put->phase == PUT_ABORTING);
}

/* A control's mistake: any pending put of the session. */
static struct object *any_pending(const struct core *c, const struct session *s)
{
    list_each(&c->puts, l)
    {
        struct put *p = container_of(l, struct put, by_age);
        if (p->object->session == s->id)
            return p->object;
    }
    return NULL;
}

/* Finds the put that is to end; CENOTE_OK: *object is there, the session's, and started. */
static int find(const struct core *c, const struct session *s, uint64_t put_id,
                struct object **object)
{
    *object = table_by_put(&c->table, put_id);
    if (test_off(TEST_PUT_ID) && (*object == NULL || is_aborted(*object)))
        *object = any_pending(c, s);
    if (*object == NULL || ((*object)->put != NULL && (*object)->put->phase == PUT_STARTING))
        return CENOTE_NO_SUCH_PUT;
    return (*object)->session == s->id ? CENOTE_OK : CENOTE_DENIED;
}

/* Takes over what the client knows of the extents. */
static void take_states(struct put *p, const struct put_end *end)
{
    for (uint32_t i = 0; i < end->state_count; i++) {
        struct extent_work *x = &p->ending->extents[i];
        x->may_write = end->states[i] == EXTENT_UNKNOWN;
        x->visible = end->states[i] == EXTENT_VISIBLE;
    }
}

/* CENOTE_OK: a replica of the stripe can be read. */
static int judge_stripe(const struct put *p, uint32_t stripe)
{
    const struct extent_work *x = &p->ending->extents[stripe * p->object->replicas];
    int status = CENOTE_ABORTED;
    for (uint32_t k = 0; k < p->object->replicas; k++) {
        bool alive = extent_incarnation(&x[k]) != NULL;
        if (alive && x[k].visible)
            return CENOTE_OK;
        status = alive ? status : CENOTE_NODE_DOWN;
    }
    return status;
}

static void take_roots(struct put *p, const struct put_end *end)
{
    p->object->sum_kind = end->sum_kind & OBJECT_SUM_KIND;
    for (uint32_t i = 0; i < object_extents(p->object); i++)
        object_piece(p->object, i)->root = end->roots[i / p->object->replicas];
}

static void commit(struct put *p, const struct put_end *end, struct outcome *told)
{
    int status = CENOTE_OK;
    outcomes_add(&p->outcomes, told);
    take_roots(p, end);
    take_states(p, end);
    for (uint32_t i = 0; status == CENOTE_OK && i < p->object->stripes; i++)
        status = judge_stripe(p, i);
    if (status != CENOTE_OK) {
        put_abort(p, status);
        return;
    }
    link_remove(&p->by_age);
    p->phase = PUT_WAITING;
    try(p);
}

void puts_commit(struct core *c, struct session *s, const struct put_end *end, struct outcome *told)
{
    struct object *o;
    int status = find(c, s, end->put_id, &o);
    if (status != CENOTE_OK)
        told->done(told, status);
    else if (is_aborted(o))
        told->done(told, CENOTE_ABORTED);
    else if (o->put == NULL)
        told->done(told, CENOTE_OK); /* committed already: that answer was lost */
    else if (o->put->phase != PUT_PENDING)
        outcomes_add(&o->put->outcomes, told);
    else if (!sane(o, end, true))
        told->done(told, CENOTE_INVALID);
    else
        commit(o->put, end, told);
}

void puts_abort(struct core *c, struct session *s, const struct put_end *end, struct outcome *told)
{
    struct object *o;
    int status = find(c, s, end->put_id, &o);
    if (status != CENOTE_OK)
        told->done(told, status);
    else if (is_aborted(o))
        told->done(told, CENOTE_OK);
    else if (o->put == NULL)
        told->done(told, CENOTE_EXISTS); /* too late: it is committed */
    else if (o->put->phase != PUT_PENDING || !sane(o, end, false))
        told->done(told, CENOTE_INVALID); /* or: it is being committed */
    else {
        outcomes_add(&o->put->outcomes, told);
        take_states(o->put, end);
        put_abort(o->put, CENOTE_OK);
    }
}
