/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/core/evict.h"

#include <assert.h>

#include "meta/core/objects.h"
#include "meta/core/put_wait.h"
#include "meta/core/reuse.h"
#include "meta/core/use.h"
#include "transport/base/log.h"
#include "transport/base/testswitch.h"

/* Removals in one change of the store. */
#define EVICT_BATCH    64u
/* In a tick, in the background. */
#define TICK_BYTES     (UINT64_C(1) << 40)
/* A group of which a member can't go is left alone for so long. */
#define GROUP_AGAIN_MS 100u

enum { QUEUE_PLAIN, QUEUE_SOFT };

/* ---- objects come and go ---- */

static struct policy *queue_of(struct space *s, const struct object *o)
{
    return o->pin == KEEP_PIN_SOFT ? &s->evict.soft : &s->evict.queue;
}

void evict_entered(struct core *c, struct object *o, struct object *head)
{
    struct space *s = spaces_by_id(c, o->name_space);
    if (s == NULL)
        return;
    if (head != NULL && (head->name_space != o->name_space || head->pin != o->pin))
        head = NULL;
    if (o->pin != KEEP_PIN_HARD || test_off(TEST_EVICT_PIN))
        policy_add(queue_of(s, o), &c->table, o, head);
    expire_watch(c, o);
}

void evict_left(struct core *c, struct object *o)
{
    struct space *s = spaces_by_id(c, o->name_space);
    if (s != NULL && o->queue != 0)
        policy_remove(queue_of(s, o), &c->table, o);
}

static void repin(struct core *c, struct space *s, struct object *o, uint32_t pin)
{
    uint64_t bytes = use_bytes(o);
    evict_left(c, o);
    if (o->pin == KEEP_PIN_HARD)
        s->use.pinned_bytes -= bytes;
    o->pin = pin & 3u;
    if (o->pin == KEEP_PIN_HARD)
        s->use.pinned_bytes += bytes;
    if (o->pin != KEEP_PIN_HARD || test_off(TEST_EVICT_PIN))
        policy_add(queue_of(s, o), &c->table, o, NULL);
}

void evict_keep(struct core *c, struct object *o, struct evict_times times, uint32_t pin)
{
    struct space *s = spaces_by_id(c, o->name_space);
    bool same = times.expires == o->expires && times.pinned_until == o->pinned_until;
    if (s != NULL && pin != o->pin && !o->leaving)
        repin(c, s, o, pin);
    o->expires = times.expires;
    o->pinned_until = times.pinned_until;
    if (!same)
        expire_watch(c, o);
}

/* ---- what may go ---- */

struct search {
    struct core *core;
    struct space *space;
};

static bool leased(const struct core *c, const struct object *o)
{
    return !test_off(TEST_EVICT_LEASE) && reuse_lease_end(c, o) > c->now_ms;
}

/* Does it answer? One that has been silent for a while may be back in a moment, with all it has. */
static bool is_here(const struct node *n)
{
    return n->peer != NULL && n->state == NODE_ALIVE && !n->settle.wanted;
}

/* Would its space be free soon? */
static bool nodes_are_here(const struct core *c, struct object *o)
{
    for (uint32_t i = 0; i < object_extents(o); i++) {
        const struct piece *p = object_piece(o, i);
        const struct incarnation *in = members_find(c, p->gva, p->payload_len);
        if (in != NULL && !is_here(in->node))
            return false;
    }
    return true;
}

static bool may_go_alone(struct search *search, struct object *o)
{
    struct core *c = search->core;
    const struct claim *claim = claims_find(&c->claims, &o->key_hash);
    if (!o->visible || o->leaving || (claim != NULL && claim->busy) || leased(c, o)) {
        search->space->evict.soon = c->evict.soon = true;
        return false;
    }
    return (o->pin != KEEP_PIN_HARD || test_off(TEST_EVICT_PIN)) && nodes_are_here(c, o);
}

/* All of a group, or none. */
static bool may_go_together(struct search *search, struct group *group)
{
    struct core *c = search->core;
    if (c->now_ms < group->again_ms) {
        search->space->evict.soon = c->evict.soon = true;
        return false;
    }
    for (uint32_t i = 0; i < group->count; i++) {
        if (may_go_alone(search, table_at(&c->table, group->members[i])))
            continue;
        group->again_ms = c->now_ms + GROUP_AGAIN_MS;
        return false;
    }
    return true;
}

static bool may_go(void *arg, struct object *o)
{
    struct search *search = arg;
    if (!may_go_alone(search, o))
        return false;
    return !o->grouped || test_off(TEST_GROUP) ||
           may_go_together(search, groups_of(&search->core->evict.groups, o));
}

static bool exhausted(const struct space *s, unsigned queue)
{
    const struct policy *p = queue == QUEUE_SOFT ? &s->evict.soft : &s->evict.queue;
    return p->count == 0 || s->evict.looks[queue] >= policy_round(p);
}

bool evict_barren(const struct core *c, const struct space *s)
{
    if (s != NULL)
        return !s->evict.soon && s->evict.leaving_objects == 0 && exhausted(s, QUEUE_PLAIN) &&
               exhausted(s, QUEUE_SOFT);
    if (c->evict.soon || c->evict.leaving_bytes > 0 || c->evict.coming_bytes > 0)
        return false;
    list_each(&c->spaces.list, l)
    {
        const struct space *other = container_of(l, struct space, link);
        if (!exhausted(other, QUEUE_PLAIN) || !exhausted(other, QUEUE_SOFT))
            return false;
    }
    return true;
}

/* ---- batches ---- */

struct evict_batch {
    struct core *core;
    struct change change;
    uint32_t count;
    struct ending *endings[EVICT_BATCH];
};

static void evicted(struct change *ch, int status)
{
    struct evict_batch *b = container_of(ch, struct evict_batch, change);
    struct core *c = b->core;
    if (status != CENOTE_OK)
        log_error("meta", "%u objects can't be evicted: %s", b->count, cenote_status_text(status));
    for (uint32_t i = 0; i < b->count; i++)
        objects_ended(b->endings[i], status);
    pool_give(&c->small, b, sizeof(*b));
    put_wait_run(c);
}

void evict_submit(struct core *c, struct evict_batch **batch)
{
    struct evict_batch *b = *batch;
    *batch = NULL;
    if (b == NULL)
        return;
    if (b->count == 0) {
        pool_give(&c->small, b, sizeof(*b));
        return;
    }
    b->change.done = evicted;
    change_submit(&c->changes, &b->change, CHANGE_FREES);
}

static bool batch_with_room(struct core *c, struct evict_batch **batch)
{
    if (*batch != NULL && (*batch)->count == EVICT_BATCH)
        evict_submit(c, batch);
    if (*batch == NULL && (*batch = pool_take(&c->small, sizeof(**batch))) != NULL)
        (*batch)->core = c;
    return *batch != NULL;
}

/* One that goes with the next change. */
static int leave(struct core *c, struct evict_batch **batch, struct object *o)
{
    struct claim *claim = claims_get(&c->claims, &o->key_hash);
    struct evict_batch *b = *batch;
    if (claim == NULL)
        return CENOTE_NO_MEMORY;
    if (claim->busy)
        return CENOTE_UNAVAILABLE;
    int status = objects_draft_end(c, o, claim, &b->endings[b->count]);
    if (status == CENOTE_OK)
        return status;
    evict_submit(c, batch); /* who is woken may draft something himself */
    claims_wake(&c->claims, claim);
    return status;
}

static void count(struct evict_count *count, uint64_t bytes)
{
    count->objects++;
    count->bytes += bytes;
}

int evict_take(struct core *c, struct evict_batch **batch, struct object *o,
               enum evict_reason reason)
{
    struct space *s = spaces_by_id(c, o->name_space);
    if (!batch_with_room(c, batch))
        return CENOTE_NO_MEMORY;
    int status = leave(c, batch, o);
    if (status != CENOTE_OK)
        return status;
    struct ending *e = (*batch)->endings[(*batch)->count++];
    uint64_t bytes = use_bytes(o);
    e->evicted = true;
    evict_left(c, o);
    o->leaving = true;
    s->evict.leaving_bytes += bytes;
    s->evict.leaving_objects++;
    c->evict.leaving_bytes += bytes;
    count(&s->evict.count, bytes);
    count(&c->evict.counts[reason], bytes);
    return CENOTE_OK;
}

void evict_ended(struct ending *e, int status)
{
    struct core *c = e->core;
    struct space *s = spaces_by_id(c, e->object->name_space);
    uint64_t bytes = use_bytes(e->object);
    s->evict.leaving_bytes -= bytes;
    s->evict.leaving_objects--;
    c->evict.leaving_bytes -= bytes;
    e->object->leaving = false;
    if (status == CENOTE_OK) {
        c->evict.coming_bytes += bytes;
        return;
    }
    s->evict.soon = c->evict.soon = true;
    if (e->object->pin != KEEP_PIN_HARD)
        policy_add(queue_of(s, e->object), &c->table, e->object, NULL);
    expire_again(c, e->object);
}

void evict_given(struct core *c, const struct ending *e, uint64_t bytes)
{
    c->evict.given_bytes += bytes;
    if (e->evicted)
        c->evict.coming_bytes -= bytes;
}

/* ---- whose ---- */

static uint64_t held_by(const struct space *s)
{
    return s->use.bytes - s->evict.leaving_bytes;
}

/* The one that holds most, of those that may give something; NULL: none. */
static struct space *find_most(struct core *c, unsigned queue)
{
    struct space *most = NULL;
    list_each(&c->spaces.list, l)
    {
        struct space *s = container_of(l, struct space, link);
        if (!exhausted(s, queue) && (most == NULL || held_by(s) > held_by(most)))
            most = s;
    }
    return most;
}

/* Who gives for a put of s (NULL: for nobody's); NULL: nobody can. */
static struct space *giver(struct core *c, struct space *s, unsigned queue)
{
    struct evict *e = &c->evict;
    uint32_t holding = e->holding > 0 ? e->holding : 1;
    if (s != NULL && held_by(s) >= e->room_bytes / holding && !exhausted(s, queue))
        return s;
    if (queue == QUEUE_PLAIN && e->most != NULL && !exhausted(e->most, queue))
        return e->most;
    struct space *most = find_most(c, queue);
    if (queue == QUEUE_PLAIN)
        e->most = most;
    return most;
}

/* ---- evicting ---- */

struct work {
    struct core *core;
    struct evict_batch *batch;
    enum evict_reason reason;
    int64_t looks;
    uint64_t most; /* objects; 0: as many as there are looks */
    struct evict_want done;
    bool failed; /* no memory, or a record can't be read: no more now */
};

static bool go(struct work *w, struct object *o, enum evict_reason reason)
{
    uint64_t bytes = use_bytes(o);
    int status = evict_take(w->core, &w->batch, o, reason);
    if (status == CENOTE_OK) {
        w->done.bytes += bytes;
        w->done.objects++;
    }
    w->failed = status != CENOTE_OK;
    return !w->failed;
}

static void go_together(struct work *w, struct object *o)
{
    struct group *group = groups_of(&w->core->evict.groups, o);
    for (uint32_t i = group->count; i-- > 0 && !w->failed;) {
        struct object *member = table_at(&w->core->table, group->members[i]);
        (void)go(w, member, member == o ? w->reason : EVICT_GROUP);
    }
}

/* One victim of a namespace, and its group. False: none was found this time. */
static bool one_of(struct work *w, struct space *s, unsigned queue)
{
    struct core *c = w->core;
    struct policy *p = queue == QUEUE_SOFT ? &s->evict.soft : &s->evict.queue;
    struct search search = {.core = c, .space = s};
    struct object *o = policy_victim(p, &c->table, may_go, &search);
    if (o == NULL) {
        s->evict.looks[queue] += POLICY_STEPS;
        w->looks -= POLICY_STEPS;
        return false;
    }
    s->evict.looks[queue] = 0;
    w->looks--;
    if (o->grouped && !test_off(TEST_GROUP))
        go_together(w, o);
    else
        (void)go(w, o, w->reason);
    return true;
}

static bool goes_on(const struct work *w)
{
    return w->looks > 0 && !w->failed && (w->most == 0 || w->done.objects < w->most);
}

static void evict_from_pool(struct work *w, struct space *asking, uint64_t bytes)
{
    if (test_off(TEST_EVICT))
        return;
    for (unsigned queue = QUEUE_PLAIN; queue <= QUEUE_SOFT; queue++) {
        while (w->done.bytes < bytes && goes_on(w)) {
            struct space *s = giver(w->core, asking, queue);
            if (s == NULL)
                break;
            (void)one_of(w, s, queue);
        }
    }
    evict_submit(w->core, &w->batch);
}

uint64_t evict_for_space(struct core *c, struct space *s, uint64_t bytes, uint32_t looks)
{
    struct work w = {.core = c, .reason = EVICT_SPACE, .looks = looks};
    evict_from_pool(&w, s, bytes);
    return w.done.bytes;
}

static void within(struct work *w, struct space *s, struct evict_want want)
{
    want.bytes += w->done.bytes;
    want.objects += w->done.objects;
    for (unsigned queue = QUEUE_PLAIN; queue <= QUEUE_SOFT; queue++)
        while ((w->done.bytes < want.bytes || w->done.objects < want.objects) && goes_on(w) &&
               !exhausted(s, queue))
            (void)one_of(w, s, queue);
}

void evict_within(struct core *c, struct space *s, struct evict_want want, uint32_t looks)
{
    struct work w = {.core = c, .reason = EVICT_QUOTA, .looks = looks};
    within(&w, s, want);
    evict_submit(c, &w.batch);
}

/* ---- in the background ---- */

static uint64_t mark(const struct core *c, uint32_t percent)
{
    return c->evict.room_bytes / 100 * percent;
}

/* A step towards the low watermark, of so many bytes. How many of these are still to go. */
static uint64_t background(struct core *c, uint64_t bytes, uint32_t looks)
{
    struct evict *e = &c->evict;
    uint64_t used = e->used_bytes - e->leaving_bytes;
    uint64_t low = mark(c, c->options.evict_low);
    if (c->options.evict_high >= 100 || e->room_bytes == 0)
        return 0;
    e->draining = used > (e->draining ? low : mark(c, c->options.evict_high));
    if (!e->draining)
        return 0;
    bytes = bytes < used - low ? bytes : used - low;
    struct work w = {.core = c, .reason = EVICT_BACKGROUND, .looks = looks, .most = EVICT_STEP};
    evict_from_pool(&w, NULL, bytes);
    return goes_on(&w) || w.failed || w.done.bytes >= bytes ? 0 : bytes - w.done.bytes;
}

void evict_owe(struct core *c, uint64_t bytes)
{
    c->evict.owed_bytes += 2 * bytes;
}

/* A change of the store, and a call at the node, cost much the same for one object and for
 * many: little by little is dear. But much less than what lies between the marks, where that is
 * little. */
static uint64_t worthwhile(const struct core *c)
{
    uint64_t between = mark(c, c->options.evict_high) - mark(c, c->options.evict_low);
    uint64_t each = c->table.count > 0 ? c->evict.used_bytes / c->table.count : 0;
    return each * EVICT_LOOKS_TURN < between / 2 ? each * EVICT_LOOKS_TURN : between / 2;
}

/* A step towards the quotas that were lowered. Is there more to do? */
static bool keep_quotas(struct core *c, uint32_t looks)
{
    struct evict *e = &c->evict;
    struct work w = {.core = c, .reason = EVICT_QUOTA, .looks = looks, .most = EVICT_STEP};
    uint32_t at = 0;
    list_each(&c->spaces.list, l)
    {
        struct space *s = container_of(l, struct space, link);
        if (at++ < e->quotas_at)
            continue;
        within(&w, s, use_above(s, (struct evict_want){0}));
        if (!goes_on(&w))
            break;
    }
    e->quotas_at = goes_on(&w) ? 0 : at - 1;
    evict_submit(c, &w.batch);
    return e->quotas_at > 0 || (w.done.objects > 0 && !w.failed);
}

void evict_turn(struct core *c)
{
    struct evict *e = &c->evict;
    if (e->expiring)
        expire_turn(c);
    if (e->above)
        e->above = keep_quotas(c, EVICT_LOOKS_TURN);
    if (e->owed_bytes > worthwhile(c))
        e->owed_bytes = background(c, e->owed_bytes, EVICT_LOOKS_TURN);
}

void evict_look_again(struct core *c)
{
    c->evict.most = NULL;
    c->evict.soon = false;
    list_each(&c->spaces.list, l)
    {
        struct space *s = container_of(l, struct space, link);
        s->evict.soon = false;
        s->evict.looks[QUEUE_PLAIN] = s->evict.looks[QUEUE_SOFT] = 0;
    }
}

void evict_tick(struct core *c)
{
    struct evict *e = &c->evict;
    evict_look_again(c);
    expire_tick(c);
    e->above = keep_quotas(c, EVICT_LOOKS_TICK);
    uint64_t owed = background(c, TICK_BYTES, EVICT_LOOKS_TICK);
    if (owed > e->owed_bytes)
        e->owed_bytes = owed; /* the turns go on */
    put_wait_tick(c);
}

void evict_free(struct core *c)
{
    put_wait_free(c);
    groups_free(&c->evict.groups);
    dues_free(&c->evict.dues);
}
