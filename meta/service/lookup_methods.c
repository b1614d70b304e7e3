/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "meta/core/objects.h"
#include "meta/service/peer.h"
#include "meta/stub/messages.h"

/* ---- batches of keys ---- */

/* Hashes all keys into the service's scratch; the slots of the index come from memory meanwhile. */
static bool hash_keys(struct service_peer *p, struct wire_value params, uint32_t *count)
{
    struct service *s = p->service;
    struct keys_params keys;
    if (!keys_params_get(params, &keys) || keys.count > CENOTE_BATCH_MAX)
        return false;
    for (uint32_t i = 0; i < keys.count; i++) {
        const uint8_t *key = NULL;
        size_t len = 0;
        if (!wire_bin(wire_at(keys.keys, i), &key, &len))
            return false;
        s->keys[i].hash = space_hash(p->session->space, key, len);
        s->keys[i].slot = shard_slot(&s->core, p->session->space, key, len);
        table_prefetch(&s->core.table, &s->keys[i].hash);
    }
    *count = keys.count;
    return true;
}

/* Finds what the scratch names; how many leading ones are there. */
static uint32_t find_all(struct service *s, uint32_t count)
{
    uint32_t leading = count;
    for (uint32_t i = 0; i < count; i++) {
        s->found[i] = objects_find(&s->core, &s->keys[i].hash);
        if (s->found[i] == NULL && leading == count)
            leading = i;
    }
    return leading;
}

/* Only the replicas that live. */
static void located_stripes(const struct core *c, struct object *o, struct wire_buf *b)
{
    uint64_t offset = 0;
    for (uint32_t i = 0; i < o->stripes; i++) {
        const struct piece *first = object_piece(o, i * o->replicas);
        struct stripe s = {
            .offset = offset, .payload_len = first->payload_len, .root = first->root};
        for (uint32_t k = 0; k < o->replicas; k++)
            if (objects_alive(c, o, i * o->replicas + k))
                s.gva[s.replicas++] = first[k].gva;
        located_stripe_put(b, &s);
        offset += s.payload_len;
    }
}

static struct lookup_item item_of(const struct object *o)
{
    return (struct lookup_item){.status = CENOTE_OK,
                                .put_id = o->put_id,
                                .len_bytes = o->len_bytes,
                                .sum_kind = o->sum_kind,
                                .stripe_count = o->stripes};
}

/* CENOTE_OK: it may be answered for. */
static int admit(const struct service *s, uint32_t i, uint32_t *extents)
{
    const struct object *o = s->found[i];
    if (!shard_owns(&s->core, s->keys[i].slot))
        return CENOTE_WRONG_SHARD;
    if (o == NULL)
        return CENOTE_NOT_FOUND;
    if (*extents + object_extents(o) > ANSWER_EXTENTS_MAX)
        return CENOTE_LIMIT;
    *extents += object_extents(o);
    return CENOTE_OK;
}

static void answer_lookup(struct service *s, uint32_t count, struct wire_buf *b)
{
    uint32_t extents = 0, leading = find_all(s, count);
    wire_put_array(b, 2);
    wire_put_uint(b, leading);
    wire_put_array(b, count);
    for (uint32_t i = 0; i < count; i++) {
        struct object *o = s->found[i];
        int status = admit(s, i, &extents);
        if (status != CENOTE_OK) {
            refusal_put(&s->core, b, status);
            continue;
        }
        objects_stamp(&s->core, o);
        struct lookup_item item = item_of(o);
        item.lease_ms = s->core.options.lease_ms;
        lookup_item_put(b, &item);
        located_stripes(&s->core, o, b);
    }
}

static void answer_stat(struct service *s, uint32_t count, struct wire_buf *b)
{
    uint32_t extents = 0;
    find_all(s, count);
    wire_put_array(b, count);
    for (uint32_t i = 0; i < count; i++) {
        struct object *o = s->found[i];
        struct record r;
        int status = admit(s, i, &extents);
        if (status == CENOTE_OK)
            status = objects_record(&s->core, o, &r);
        if (status != CENOTE_OK) {
            refusal_put(&s->core, b, status);
            continue;
        }
        struct lookup_item item = item_of(o);
        item.created_ms = r.created_ms;
        stat_item_put(b, &item);
        located_stripes(&s->core, o, b);
    }
}

/* ---- a key whose older object has not settled is waited for ---- */

struct keys_request {
    struct request request;
    struct waiter waiter;
    void (*answer)(struct service *s, uint32_t count, struct wire_buf *b);
    uint32_t count;
    struct asked_key keys[];
};

/* A claim that one of the keys in the scratch must wait for; NULL: none. */
static struct claim *blocked(struct service *s, uint32_t count)
{
    struct claims *claims = &s->core.claims;
    for (uint32_t i = 0; claims->count > 0 && i < count; i++) {
        struct claim *claim = claims_find(claims, &s->keys[i].hash);
        if (claim != NULL && claim_hides(claim))
            return claim;
    }
    return NULL;
}

static void try_keys(struct waiter *w)
{
    struct keys_request *r = container_of(w, struct keys_request, waiter);
    struct service *s = r->request.peer->service;
    memcpy(s->keys, r->keys, r->count * sizeof(r->keys[0]));
    struct claim *claim = blocked(s, r->count);
    if (claim != NULL) {
        int status = claims_wait(&s->core.claims, claim, w);
        if (status != CENOTE_OK)
            request_fail(&r->request, status);
        return;
    }
    struct wire_buf b = {0};
    request_result(&r->request, &b);
    r->answer(s, r->count, &b);
    request_end(&r->request, &b);
}

static int answer_keys(struct service_peer *p, uint32_t msgid, struct wire_value params,
                       struct wire_buf *result,
                       void (*answer)(struct service *s, uint32_t count, struct wire_buf *b))
{
    struct service *s = p->service;
    uint32_t count;
    if (!hash_keys(p, params, &count))
        return keys_refusal(params, 0);
    if (blocked(s, count) == NULL) {
        answer(s, count, result);
        return CENOTE_OK;
    }
    struct keys_request *r = calloc(1, sizeof(*r) + count * sizeof(struct asked_key));
    if (r == NULL)
        return CENOTE_NO_MEMORY;
    r->answer = answer;
    r->count = count;
    memcpy(r->keys, s->keys, count * sizeof(r->keys[0]));
    r->waiter.run = try_keys;
    request_begin(&r->request, p, msgid);
    try_keys(&r->waiter);
    return METHOD_LATER;
}

int method_lookup(struct service_peer *p, uint32_t msgid, struct wire_value params,
                  struct wire_buf *result)
{
    return answer_keys(p, msgid, params, result, answer_lookup);
}

int method_stat(struct service_peer *p, uint32_t msgid, struct wire_value params,
                struct wire_buf *result)
{
    return answer_keys(p, msgid, params, result, answer_stat);
}

/* Takes no lease, and so needn't wait: what has not settled is there. */
static bool is_there(struct service *s, uint32_t i)
{
    const struct claim *claim = claims_find(&s->core.claims, &s->keys[i].hash);
    return objects_find(&s->core, &s->keys[i].hash) != NULL ||
           (claim != NULL && claim_hides(claim));
}

static void bit_set(uint8_t *bitmap, uint32_t i, bool value)
{
    bitmap[i / 8] = (uint8_t)(bitmap[i / 8] | (unsigned)value << (i % 8));
}

int method_exists(struct service_peer *p, uint32_t msgid, struct wire_value params,
                  struct wire_buf *result)
{
    struct service *s = p->service;
    uint8_t there[CENOTE_BATCH_MAX / 8] = {0}, strange[CENOTE_BATCH_MAX / 8] = {0};
    uint32_t count, leading = 0;
    bool gap = false, any_strange = false;
    (void)msgid;
    if (!hash_keys(p, params, &count))
        return keys_refusal(params, 0);
    for (uint32_t i = 0; i < count; i++) {
        bool found = is_there(s, i), ours = shard_owns(&s->core, s->keys[i].slot);
        bit_set(there, i, found);
        bit_set(strange, i, !ours);
        any_strange = any_strange || !ours;
        gap = gap || !found;
        leading += !gap;
    }
    wire_put_array(result, any_strange ? 4 : 2);
    wire_put_uint(result, leading);
    wire_put_bin(result, there, (count + 7) / 8);
    if (any_strange) {
        wire_put_uint(result, s->core.shard.map.epoch);
        wire_put_bin(result, strange, (count + 7) / 8);
    }
    return CENOTE_OK;
}
