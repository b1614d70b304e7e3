/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules of the design that can be seen at one moment, looked at after each step.
 *
 * The service's own table says what it believes; here is kept what has ever been seen in it, and
 * what the others were told: leases that readers go by, views that are open, bytes that land. A
 * range of addresses that one put had and another one gets is reuse, and at that moment nobody may
 * look at it, and from then on nothing of the first may land there.
 */
#include <assert.h>
#include <endian.h>
#include <string.h>

#include "client/reading.h"
#include "meta/core/check.h"
#include "meta/service/peer.h"
#include "tests/sim/scene.h"
#include "transport/base/testswitch.h"

#define PUTS_MAX         2048u
#define PUT_BUCKETS      256u
#define EXTENTS_MAX      4096u
#define INCARNATIONS_MAX 64u
#define LEASES_MAX       4096u
#define VIEWS_MAX        64u

/* A put that has been in the table. */
struct seen_put {
    struct seen_put *next; /* of the bucket */
    uint64_t put_id;
    uint64_t own_id; /* of the put whose extents it has */
    struct hash128 key_hash;
    unsigned key; /* its number in the plan */
    uint8_t state;
    bool leaving; /* it is being evicted */
    bool expired;
    bool gone;
    bool lost;     /* it was committed when the database was lost: it may come back */
    uint64_t look; /* at which it was seen last */
    struct room room;
};

struct seen_extent {
    struct gva gva;
    uint64_t len_bytes;
    uint64_t put_id;
    uint32_t stripe;
    bool there; /* in the table now */
    bool reused;
    bool lost; /* there, when the database was lost: whose it is isn't known, until it is reused */
    uint64_t look;
};

struct seen_incarnation {
    uint64_t id;
    struct gva gva;
    uint64_t len_bytes;
    bool ended;
    bool dead; /* its memory is gone, or nobody is led there any more */
    uint64_t look;
};

struct lease {
    const struct process *client;
    uint64_t life, put_id, end_ms;
};

struct open_view {
    const struct process *client;
    const void *data;
    uint64_t len_bytes, put_id;
    struct gva gva; /* where that lies; 0: in memory that no node has any more */
};

static struct {
    struct seen_put *buckets[PUT_BUCKETS], puts[PUTS_MAX];
    struct seen_extent extents[EXTENTS_MAX];
    struct seen_incarnation incarnations[INCARNATIONS_MAX];
    struct lease leases[LEASES_MAX];
    struct open_view views[VIEWS_MAX];
    unsigned put_count, extent_count, incarnation_count, lease_count, view_count;
    uint64_t look, highest_put, reign;
    uint64_t objects;        /* of the namespace, without those that leave ... */
    bool stays;              /* one that was leaving stays after all */
    uint64_t highest_before; /* this look: a batch comes in any order */
} rules;

void rules_reset(void)
{
    memset(rules.buckets, 0, sizeof rules.buckets);
    rules.put_count = rules.extent_count = rules.incarnation_count = 0;
    rules.lease_count = rules.view_count = 0;
    rules.objects = 0;
    rules.stays = false;
    rules.look = rules.highest_put = rules.highest_before = rules.reign = 0;
    room_reset();
}

static struct seen_put *find_put(uint64_t put_id)
{
    struct seen_put *p = rules.buckets[put_id % PUT_BUCKETS];
    while (p != NULL && p->put_id != put_id)
        p = p->next;
    return p;
}

/* A put takes two ids: its own, and the next one for the extents that a commit drops. */
static bool same_put(uint64_t a, uint64_t b)
{
    const struct seen_put *x = find_put(a), *y = find_put(b);
    return (x != NULL ? x->own_id : a) == (y != NULL ? y->own_id : b);
}

/* ---- reuse ----------------------------------------------------------------------------------- */

static bool lease_runs(const struct lease *l)
{
    return l->client->alive && l->client->life == l->life &&
           process_ns(l->client) / NS_PER_MS < l->end_ms;
}

static void check_reuse(struct seen_extent *old, uint64_t put_id)
{
    old->reused = true;
    for (unsigned i = 0; i < rules.lease_count; i++) {
        if (rules.leases[i].put_id == old->put_id && lease_runs(&rules.leases[i]))
            violation("an extent of put %llu is given to put %llu while %s has a lease on it",
                      (unsigned long long)old->put_id, (unsigned long long)put_id,
                      rules.leases[i].client->name);
    }
}

static bool overlap(const struct seen_extent *e, struct gva gva, uint64_t len_bytes)
{
    return e->gva.v < gva.v + len_bytes && gva.v < e->gva.v + e->len_bytes;
}

/* All of what is seen counts, and only that: other replicas of it may go. */
static void check_views(struct gva gva, uint64_t len_bytes, uint64_t put_id)
{
    for (unsigned i = 0; i < rules.view_count; i++) {
        const struct open_view *v = &rules.views[i];
        if (v->gva.v < gva.v + len_bytes && gva.v < v->gva.v + v->len_bytes)
            violation("an extent of put %llu is given to put %llu while %s looks at it",
                      (unsigned long long)v->put_id, (unsigned long long)put_id, v->client->name);
    }
}

static void see_extent(uint64_t put_id, uint32_t stripe, struct gva gva, uint64_t len_bytes)
{
    struct seen_extent *mine = NULL;
    for (unsigned i = 0; i < rules.extent_count; i++) {
        struct seen_extent *e = &rules.extents[i];
        if (!overlap(e, gva, len_bytes))
            continue;
        if (same_put(e->put_id, put_id))
            mine = e;
        else if (e->look == rules.look)
            violation("puts %llu and %llu have the same bytes at %#llx",
                      (unsigned long long)e->put_id, (unsigned long long)put_id,
                      (unsigned long long)gva.v);
        else if (!e->reused)
            check_reuse(e, put_id);
    }
    if (mine == NULL && rules.extent_count < EXTENTS_MAX) {
        mine = &rules.extents[rules.extent_count++];
        *mine = (struct seen_extent){
            .gva = gva, .len_bytes = len_bytes, .put_id = put_id, .stripe = stripe};
        check_views(gva, len_bytes, put_id);
    }
    if (mine == NULL)
        return;
    mine->look = rules.look;
    mine->put_id = put_id; /* the second one, once a commit has dropped it */
}

/* ---- puts ------------------------------------------------------------------------------------ */

/* Of which of the plan's keys this is the hash. */
static unsigned key_of(const struct object *o)
{
    const struct space *space = spaces_by_id(&scene.meta.service->core, o->name_space);
    unsigned key = 0;
    for (; key < scene.plan->keys; key++) {
        char text[APP_KEY_BYTES];
        size_t len = app_key(key, text);
        struct hash128 hash = space_hash(space, text, len);
        if (memcmp(&hash, &o->key_hash, sizeof hash) == 0)
            break;
    }
    return key;
}

static struct seen_put *first_seen(const struct object *o)
{
    if (rules.put_count == PUTS_MAX)
        return NULL;
    const struct seen_put *before = find_put(o->put_id - 1);
    bool dropped = before != NULL && before->own_id == before->put_id;
    if (o->put_id <= rules.highest_before && !dropped)
        violation("put id %llu comes after %llu", (unsigned long long)o->put_id,
                  (unsigned long long)rules.highest_before);
    if (o->put_id > rules.highest_put)
        rules.highest_put = o->put_id;
    struct seen_put *p = &rules.puts[rules.put_count++];
    *p = (struct seen_put){.next = rules.buckets[o->put_id % PUT_BUCKETS],
                           .put_id = o->put_id,
                           .own_id = dropped ? before->put_id : o->put_id,
                           .key_hash = o->key_hash,
                           .key = key_of(o),
                           .state = (uint8_t)o->state};
    rules.buckets[o->put_id % PUT_BUCKETS] = p;
    return p;
}

static bool may_become(unsigned from, unsigned to)
{
    return from == to || (from == OBJECT_PENDING && to == OBJECT_COMMITTED) ||
           (from == OBJECT_PENDING && to == OBJECT_ABORTING) ||
           ((from == OBJECT_COMMITTED || from == OBJECT_PENDING) && to == OBJECT_REMOVED);
}

/* What is evicted may be missed, and isn't leased. */
static void see_eviction(const struct seen_put *p)
{
    history_loss(p->key, world.now_ns);
    for (unsigned i = 0; i < rules.lease_count; i++) {
        if (rules.leases[i].put_id == p->put_id && lease_runs(&rules.leases[i]))
            violation("put %llu is evicted while %s has a lease on it",
                      (unsigned long long)p->put_id, rules.leases[i].client->name);
    }
}

/* Pins hold, and a group goes as a whole. What has expired goes by itself. */
static void see_kept(struct object *o)
{
    struct core *c = &scene.meta.service->core;
    const struct group *group = groups_of(&c->evict.groups, o);
    if (expire_over(c, o))
        return;
    if (o->pin == KEEP_PIN_HARD)
        violation("put %llu is evicted although it is pinned", (unsigned long long)o->put_id);
    for (uint32_t i = 0; group != NULL && i < group->count; i++) {
        const struct object *fellow = table_at(&c->table, group->members[i]);
        if (fellow->visible && !fellow->leaving)
            violation("put %llu is evicted, and put %llu of its group is not",
                      (unsigned long long)o->put_id, (unsigned long long)fellow->put_id);
    }
}

/* From then on it may be missed. */
static void see_expiry(struct seen_put *p, const struct object *o)
{
    if (p->expired || !expire_over(&scene.meta.service->core, o))
        return;
    p->expired = true;
    history_loss(p->key, world.now_ns);
}

/* Nothing is put beyond a quota; what was there before it was set goes bit by bit. */
static void see_quota(const struct core *c)
{
    list_each(&c->spaces.list, l)
    {
        const struct space *s = container_of(l, struct space, link);
        uint64_t objects = s->use.objects - s->evict.leaving_objects;
        if (strcmp(s->name, "default") != 0)
            continue;
        if (s->settings.quota_objects != 0 && objects > s->settings.quota_objects &&
            objects > rules.objects && !rules.stays)
            violation("%llu objects are there, the quota is %llu", (unsigned long long)objects,
                      (unsigned long long)s->settings.quota_objects);
        rules.objects = objects;
    }
    rules.stays = false;
}

/* The name of what a commit drops is given when the commit is durable. Until then nobody else has
 * heard of it, and a service that is killed, or whose store refuses, takes it back: the put is
 * pending as before, and its next commit drops what isn't visible under the same name. */
static bool was_taken_back(const struct seen_put *p)
{
    const struct seen_put *own = p->own_id != p->put_id ? find_put(p->own_id) : NULL;
    return own != NULL && !own->gone && own->state == OBJECT_PENDING;
}

static void see_put(struct object *o)
{
    struct seen_put *p = find_put(o->put_id);
    if (p == NULL)
        p = first_seen(o);
    if (p == NULL)
        return;
    if (p->gone && (p->lost || was_taken_back(p)))
        p->gone = p->lost = false;
    if (p->gone || memcmp(&p->key_hash, &o->key_hash, sizeof p->key_hash) != 0)
        violation("put id %llu is given a second time", (unsigned long long)o->put_id);
    if (!may_become(p->state, o->state))
        violation("put %llu goes from state %u to %u", (unsigned long long)o->put_id, p->state,
                  (unsigned)o->state);
    if (o->leaving && !p->leaving) {
        see_eviction(p);
        see_kept(o);
    }
    see_expiry(p, o);
    room_see(&p->room, o);
    rules.stays |= p->leaving && !o->leaving;
    p->leaving = o->leaving;
    p->state = (uint8_t)o->state;
    p->look = rules.look;
    for (uint32_t i = 0; i < object_extents(o); i++) {
        const struct piece *piece = object_piece(o, i);
        if (piece_there(piece))
            see_extent(o->put_id, i / o->replicas, piece->gva, extent_size(piece->payload_len));
    }
}

static void see_puts(const struct core *c)
{
    uint32_t left = c->table.count;
    for (uint32_t ref = 0; left > 0 && ref < table_refs(&c->table); ref++) {
        struct object *o = table_at(&c->table, ref);
        if (o == NULL)
            continue;
        see_put(o);
        left--;
    }
    /* What a rebuild hasn't come to yet isn't gone; what it hasn't brought back stays so. */
    for (unsigned i = 0; i < rules.put_count && !rebuild_under_way(&c->rebuild); i++) {
        rules.puts[i].gone |= rules.puts[i].look != rules.look;
        rules.puts[i].lost = false;
    }
    for (unsigned i = 0; i < rules.extent_count; i++)
        rules.extents[i].there = rules.extents[i].look == rules.look;
}

/* A node has settled: whoever wrote there before the database was lost is gone. */
static void see_settled(const struct core *c)
{
    for (unsigned i = 0; i < rules.extent_count && !rebuild_under_way(&c->rebuild); i++) {
        struct seen_extent *e = &rules.extents[i];
        const struct incarnation *x = e->lost ? members_find(c, e->gva, 1) : NULL;
        if (x != NULL && !x->node->settle.wanted)
            e->lost = false;
    }
}

/* ---- losses ---------------------------------------------------------------------------------- */

static bool memory_lives(struct gva gva)
{
    for (unsigned i = 0; i < rules.incarnation_count; i++) {
        const struct seen_incarnation *s = &rules.incarnations[i];
        if (gva_covers(s->gva, s->len_bytes, gva, 1))
            return !s->dead;
    }
    return false;
}

/* Is there a stripe of which no replica is left? Of a put that is pending nobody knows yet which
 * replicas it will keep. */
static bool is_lost(const struct seen_put *p)
{
    uint64_t stripes = 0, living = 0, dead = 0;
    for (unsigned i = 0; i < rules.extent_count; i++) {
        const struct seen_extent *e = &rules.extents[i];
        if (!e->there || e->put_id != p->put_id)
            continue;
        uint64_t bit = UINT64_C(1) << e->stripe % 64;
        stripes |= bit;
        *(memory_lives(e->gva) ? &living : &dead) |= bit;
    }
    return p->state == OBJECT_PENDING ? dead != 0 : living != stripes;
}

void rules_memory_died(uint64_t incarnation)
{
    bool keys[PLAN_KEYS_MAX + 1] = {false};
    for (unsigned i = 0; i < rules.incarnation_count; i++) {
        if (rules.incarnations[i].id == incarnation)
            rules.incarnations[i].dead = true;
    }
    for (unsigned i = 0; i < rules.put_count; i++) {
        const struct seen_put *p = &rules.puts[i];
        if (!p->gone && p->state <= OBJECT_COMMITTED && is_lost(p))
            keys[p->key] = true;
    }
    for (unsigned key = 0; key < scene.plan->keys; key++) {
        if (keys[key])
            history_loss(key, world.now_ns);
    }
}

/* ---- incarnations ---------------------------------------------------------------------------- */

static void see_incarnation(const struct incarnation *x)
{
    struct seen_incarnation *mine = NULL;
    for (unsigned i = 0; i < rules.incarnation_count; i++) {
        struct seen_incarnation *s = &rules.incarnations[i];
        if (s->id == x->id)
            mine = s;
        else if (s->gva.v < x->gva.v + x->len_bytes && x->gva.v < s->gva.v + s->len_bytes)
            violation("a range of addresses is given to incarnations %llu and %llu",
                      (unsigned long long)s->id, (unsigned long long)x->id);
    }
    if (mine != NULL && (mine->ended || mine->gva.v != x->gva.v))
        violation("incarnation %llu comes back", (unsigned long long)x->id);
    if (mine == NULL && rules.incarnation_count < INCARNATIONS_MAX) {
        mine = &rules.incarnations[rules.incarnation_count++];
        *mine = (struct seen_incarnation){.id = x->id, .gva = x->gva, .len_bytes = x->len_bytes};
    }
    if (mine != NULL)
        mine->look = rules.look;
}

static void see_incarnations(const struct core *c)
{
    for (uint32_t i = 0; i < c->members.range_count; i++)
        see_incarnation(c->members.ranges[i]);
    for (unsigned i = 0; i < rules.incarnation_count; i++) {
        struct seen_incarnation *s = &rules.incarnations[i];
        if (s->look == rules.look || s->ended || rebuild_under_way(&c->rebuild))
            continue;
        s->ended = true;
        rules_memory_died(s->id);
    }
}

static void see_reign(uint64_t reign)
{
    if (reign < rules.reign)
        violation("reign %llu comes after %llu", (unsigned long long)reign,
                  (unsigned long long)rules.reign);
    rules.reign = reign;
}

void rules_step(void)
{
    const struct meta *m = &scene.meta;
    if (world.last != m->process || m->service == NULL || !m->ready)
        return;
    if (m->restored) /* what comes of what it believes is judged where it lands */
        return;
    rules.look++;
    room_look();
    rules.highest_before = rules.highest_put;
    if (m->service->core.ids.reign != 0) /* a rebuild asks the nodes for the highest one first */
        see_reign(m->service->core.ids.reign);
    see_incarnations(&m->service->core);
    see_puts(&m->service->core);
    see_settled(&m->service->core);
    see_quota(&m->service->core);
}

/* ---- what others were told ------------------------------------------------------------------- */

/* What a restored service tells counts as a lease, too; but it may be of what is no more. */
static void see_lease(struct process *client, uint64_t put_id, uint64_t end_ms, bool doubted)
{
    struct lease *l = NULL;
    for (unsigned i = 0; i < rules.lease_count && l == NULL; i++) {
        if (rules.leases[i].client == client && rules.leases[i].life == client->life &&
            rules.leases[i].put_id == put_id)
            l = &rules.leases[i];
    }
    if (l == NULL && rules.lease_count < LEASES_MAX) {
        l = &rules.leases[rules.lease_count++];
        *l = (struct lease){client, client->life, put_id, 0};
    }
    if (l == NULL)
        return;
    l->end_ms = end_ms > l->end_ms ? end_ms : l->end_ms;
    for (unsigned i = 0; i < rules.extent_count && lease_runs(l) && !doubted; i++) {
        if (rules.extents[i].put_id == put_id && rules.extents[i].reused)
            violation("%s is told of put %llu, whose extent is another's by now", client->name,
                      (unsigned long long)put_id);
    }
}

static void see_lookup(struct process *client, uint64_t asked_ms, struct wire_value result,
                       bool doubted)
{
    struct wire_value list = wire_at(result, 1);
    uint32_t count = 0;
    wire_array(list, &count);
    for (uint32_t i = 0; i < count; i++) {
        struct lookup_item item;
        if (lookup_item_get(wire_at(list, i), &item) && item.status == CENOTE_OK)
            see_lease(client, item.put_id, reading_lease_end(asked_ms, item.lease_ms), doubted);
    }
}

void rules_answered(struct process *client, const uint8_t *request, size_t request_bytes,
                    uint64_t asked_ms, const uint8_t *answer, size_t answer_bytes, bool doubted)
{
    struct wire_msg q, a;
    struct process *me = world_enter(NULL);
    bool asked = wire_parse(request, request_bytes, &q) == CENOTE_OK;
    bool answered = wire_parse(answer, answer_bytes, &a) == CENOTE_OK;
    if (asked && answered && strcmp(q.method, METHOD_LOOKUP) == 0 && a.error == CENOTE_OK)
        see_lookup(client, asked_ms, a.result, doubted);
    if (asked && answered && !doubted)
        room_answered(client, &q, &a);
    if (asked)
        wire_msg_free(&q);
    if (answered)
        wire_msg_free(&a);
    world_enter(me);
}

/* 0: it isn't in a node's memory, or not any more; nobody is given its addresses again. */
static struct gva gva_of(const void *data)
{
    for (unsigned i = 0; i < scene.plan->nodes; i++) {
        const struct memory_sim *m = scene.donors[i].memory;
        uintptr_t offset = m != NULL ? (uintptr_t)data - (uintptr_t)m->base : 0;
        if (m != NULL && !scene.donors[i].strayed && m->gva.v != 0 && offset < m->len_bytes)
            return gva_add(m->gva, offset);
    }
    return (struct gva){0};
}

void rules_view_opened(const struct process *client, const struct cenote_view *v)
{
    if (rules.view_count < VIEWS_MAX)
        rules.views[rules.view_count++] =
            (struct open_view){client, v->data, v->len_bytes, v->put_id, gva_of(v->data)};
}

void rules_view_closed(const struct process *client, const struct cenote_view *v)
{
    for (unsigned i = 0; i < rules.view_count; i++) {
        if (rules.views[i].client != client || rules.views[i].data != v->data)
            continue;
        rules.views[i] = rules.views[--rules.view_count];
        return;
    }
}

void rules_client_died(const struct process *client)
{
    unsigned left = 0;
    for (unsigned i = 0; i < rules.view_count; i++) {
        if (rules.views[i].client != client)
            rules.views[left++] = rules.views[i];
    }
    rules.view_count = left;
}

/* ---- what lands ------------------------------------------------------------------------------ */

static bool incarnation_lives(uint64_t id)
{
    for (unsigned i = 0; i < rules.incarnation_count; i++) {
        if (rules.incarnations[i].id == id)
            return !rules.incarnations[i].ended;
    }
    return false;
}

/* Its writer knows of no loss, and may go on until the node has settled. */
static bool was_lost(struct gva gva, uint64_t len_bytes, uint64_t put_id)
{
    for (unsigned i = 0; i < rules.extent_count; i++) {
        const struct seen_extent *e = &rules.extents[i];
        if (e->lost && !e->reused && same_put(e->put_id, put_id) && overlap(e, gva, len_bytes))
            return true;
    }
    return false;
}

void rules_lost(void)
{
    for (unsigned i = 0; i < rules.put_count; i++)
        rules.puts[i].lost = !rules.puts[i].gone && rules.puts[i].state == OBJECT_COMMITTED;
    for (unsigned i = 0; i < rules.extent_count; i++)
        rules.extents[i].lost |= rules.extents[i].there;
}

void rules_landing(const struct memory_sim *m, uint64_t offset, uint64_t len_bytes, uint64_t put_id,
                   const struct process *writer)
{
    struct gva gva = {m->gva.v + offset};
    bool own = false;
    if (len_bytes == 0 || m->gva.v == 0 || !incarnation_lives(m->incarnation))
        return;
    for (unsigned i = 0; i < rules.extent_count; i++) {
        const struct seen_extent *e = &rules.extents[i];
        if (!e->there || !overlap(e, gva, len_bytes))
            continue;
        own = own || same_put(e->put_id, put_id);
        if (!same_put(e->put_id, put_id))
            violation("%s writes for put %llu into the extent of put %llu", writer->name,
                      (unsigned long long)put_id, (unsigned long long)e->put_id);
    }
    if (!own && !was_lost(gva, len_bytes, put_id))
        violation("%s writes for put %llu, whose extent has been given back", writer->name,
                  (unsigned long long)put_id);
}

static struct memory_sim *memory_of(struct gva gva)
{
    for (unsigned i = 0; i < scene.plan->nodes; i++) {
        struct memory_sim *m = scene.donors[i].memory;
        if (m != NULL && m->gva.v != 0 && gva_covers(m->gva, m->len_bytes, gva, 1))
            return m;
    }
    return NULL;
}

bool rules_flip(uint32_t which)
{
    for (unsigned i = 0; i < rules.extent_count; i++) {
        const struct seen_extent *e = &rules.extents[(which + i) % rules.extent_count];
        struct memory_sim *m = e->there ? memory_of(e->gva) : NULL;
        const struct seen_put *p = find_put(e->put_id);
        if (m == NULL || p == NULL || p->state != OBJECT_COMMITTED)
            continue;
        uint64_t at = e->gva.v - m->gva.v + which * UINT64_C(2654435761) % e->len_bytes;
        m->base[at] ^= (uint8_t)(1u << which % 8);
        TRACE("a bit of put %llu flips, byte %llu of %llu", (unsigned long long)e->put_id,
              (unsigned long long)(at - (e->gva.v - m->gva.v)), (unsigned long long)e->len_bytes);
        return true;
    }
    return false;
}

static bool seal_of(const struct seen_extent *e, uint8_t out[SEAL_BYTES])
{
    const struct memory_sim *m = memory_of(e->gva);
    uint32_t live = htole32(SEAL_STATE_LIVE);
    struct seal seal;
    if (m == NULL)
        return false;
    memcpy(out, m->base + (e->gva.v - m->gva.v) + e->len_bytes - SEAL_BYTES, SEAL_BYTES);
    memcpy(out + SEAL_STATE_OFFSET, &live, sizeof live);
    return seal_decode(out, &seal) == CENOTE_OK && same_put(seal.put_id, e->put_id);
}

void rules_forge(uint8_t *bytes, uint64_t len_bytes)
{
    for (unsigned i = 0; i < rules.extent_count; i++) {
        uint8_t seal[SEAL_BYTES];
        const struct seen_extent *e = &rules.extents[i];
        if (e->len_bytes > SEAL_BYTES && e->len_bytes <= len_bytes && seal_of(e, seal))
            memcpy(bytes + e->len_bytes - SEAL_BYTES, seal, SEAL_BYTES);
    }
}

/* ---- the end --------------------------------------------------------------------------------- */

/* Does the node's directory name what lies there, and nothing else? */
static bool directory_agrees(const struct core *c, const struct donor *d)
{
    uint64_t entries = 0;
    for (unsigned i = 0; i < rules.extent_count; i++) {
        const struct seen_extent *e = &rules.extents[i];
        struct directory_entry entry;
        if (!e->there || !members_find(c, e->gva, 1) ||
            !gva_covers(d->memory->gva, d->memory->len_bytes, e->gva, 1))
            continue;
        entries++;
        if (!directory_find(d->directory, e->gva, &entry) || entry.put_id != e->put_id)
            return false;
    }
    return directory_sum(d->directory).entries == entries;
}

static bool directories_agree(const struct core *c)
{
    for (unsigned i = 0; i < scene.plan->nodes; i++) {
        const struct donor *d = &scene.donors[i];
        if (d->directory != NULL && d->memory->gva.v != 0 && !directory_agrees(c, d))
            return false;
    }
    return true;
}

bool rules_settled(void)
{
    const struct core *c = &scene.meta.service->core;
    return c->reuse.extents == 0 && c->pending == 0 && memstore_waiting(scene.meta.disk) == 0 &&
           directories_agree(c);
}

void rules_end(void)
{
    struct core *c = &scene.meta.service->core;
    unsigned differences = service_check(scene.meta.service);
    if (differences > 0)
        violation("%u differences between store, table and allocators", differences);
    if (c->reuse.extents > 0 || c->pending > 0)
        violation("at the end %llu extents wait to be given back, %u puts are pending",
                  (unsigned long long)c->reuse.extents, c->pending);
}
