/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rule that a pool isn't full while something may be evicted.
 *
 * A put of one value, with one replica, may end without room only if no value was there that could
 * have gone all the time while the put waited, and whose extent would have held it: then neither
 * holes nor the order in which values go are an excuse. A value could have gone when it is visible,
 * nothing is under way with its key, it is in no group and has no hard pin, its node is there, and
 * for much longer than a lease nobody has looked it up, and the service hasn't been restarted.
 */
#include <string.h>

#include "meta/core/claims.h"
#include "meta/service/peer.h"
#include "tests/sim/scene.h"

#define ASKS_MAX HISTORY_MAX

/* A put_start of one value, as it was sent first. */
struct ask {
    const struct process *client;
    uint64_t life, seq, asked_ns;
};

static struct {
    struct room *could_go; /* at the last look */
    uint64_t life;         /* of the service ... */
    uint64_t begun_ns;     /* ... since then */
    struct ask asks[ASKS_MAX];
    unsigned ask_count;
} all;

void room_reset(void)
{
    all.could_go = NULL;
    all.life = all.begun_ns = 0;
    all.ask_count = 0;
}

void room_look(void)
{
    const struct process *p = scene.meta.process;
    all.could_go = NULL;
    if (p->life != all.life)
        all.begun_ns = world.now_ns;
    all.life = p->life;
}

/* By any clock, and after a restart with another one. */
static uint64_t lease_over_ns(void)
{
    return 2 * NS_PER_MS * (scene.plan->lease_ms + LEASE_UNIT_MS);
}

static bool nodes_are_there(const struct core *c, struct object *o)
{
    for (uint32_t i = 0; i < object_extents(o); i++) {
        const struct piece *piece = object_piece(o, i);
        const struct incarnation *in = members_find(c, piece->gva, 1);
        if (in == NULL || in->node->peer == NULL || in->node->state != NODE_ALIVE ||
            in->node->settle.wanted || in->node->join != NULL)
            return false;
    }
    return true;
}

static bool could_go(const struct core *c, const struct room *r, struct object *o)
{
    const struct claim *claim = claims_find(&c->claims, &o->key_hash);
    return o->visible && !o->leaving && o->state == OBJECT_COMMITTED && !o->grouped &&
           o->pin != KEEP_PIN_HARD && (claim == NULL || !claim->busy) &&
           world.now_ns >= r->asked_for_ns + lease_over_ns() &&
           world.now_ns >= all.begun_ns + lease_over_ns() && nodes_are_there(c, o);
}

void room_see(struct room *r, struct object *o)
{
    const struct core *c = &scene.meta.service->core;
    if (r->asked_for_ns == 0 || r->lease_stamp != o->lease_stamp)
        r->asked_for_ns = world.now_ns;
    r->lease_stamp = o->lease_stamp;
    if (rebuild_under_way(&c->rebuild) || !could_go(c, r, o)) {
        r->since_ns = 0;
        return;
    }
    if (r->since_ns == 0)
        r->since_ns = world.now_ns;
    r->put_id = o->put_id;
    r->shape = alloc_rounding(object_piece(o, 0)->payload_len);
    r->next = all.could_go;
    all.could_go = r;
}

/* ---- who asks for it ------------------------------------------------------------------------- */

static bool is_simple(const struct wire_msg *m, struct put_start_params *p)
{
    return strcmp(m->method, METHOD_PUT_START) == 0 && put_start_params_get(m->params, p) &&
           p->count == 1 && put_start_replicas(p->flags) == 1;
}

static struct ask *find_ask(const struct process *client, uint64_t seq)
{
    for (unsigned i = all.ask_count; i-- > 0;) {
        struct ask *a = &all.asks[i];
        if (a->client == client && a->life == client->life && a->seq == seq)
            return a;
    }
    return NULL;
}

void room_asked(const struct process *client, const struct wire_msg *request)
{
    struct put_start_params p;
    if (!is_simple(request, &p) || find_ask(client, p.seq) != NULL || all.ask_count == ASKS_MAX)
        return;
    all.asks[all.ask_count++] = (struct ask){client, client->life, p.seq, world.now_ns};
}

static void judge(const struct process *client, const struct ask *asked, uint64_t len_bytes)
{
    struct alloc_shape shape = alloc_rounding(len_bytes);
    for (const struct room *r = all.could_go; r != NULL; r = r->next) {
        if (r->since_ns < asked->asked_ns && shape.size <= r->shape.size &&
            shape.align <= r->shape.align)
            violation("%s is told that there is no room for %llu bytes, and put %llu may go",
                      client->name, (unsigned long long)len_bytes, (unsigned long long)r->put_id);
    }
}

void room_answered(const struct process *client, const struct wire_msg *request,
                   const struct wire_msg *answer)
{
    struct put_start_params p;
    struct put_start_item item;
    const uint8_t *key;
    size_t key_len;
    uint64_t len_bytes;
    if (answer->error != CENOTE_OK || !is_simple(request, &p) ||
        !put_start_item_get(wire_at(answer->result, 0), &item) || item.status != CENOTE_NO_SPACE)
        return;
    const struct ask *asked = find_ask(client, p.seq);
    if (asked != NULL && put_start_key_get(wire_at(p.items, 0), &key, &key_len, &len_bytes))
        judge(client, asked, len_bytes);
}
