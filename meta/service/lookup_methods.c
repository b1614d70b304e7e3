/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "meta/core/keep.h"
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
        s->hashes[i] = space_hash(p->session->space, key, len);
        s->slots[i] = (uint16_t)shard_slot(&s->core, p->session->space, key, len);
        table_prefetch(&s->core.table, &s->hashes[i]);
    }
    *count = keys.count;
    s->traffic.now.keys = keys.count;
    return true;
}

/* Finds what the scratch names; how many leading ones are there. */
static uint32_t find_all(struct service *s, uint32_t count)
{
    uint32_t leading = count;
    for (uint32_t i = 0; i < count; i++) {
        s->found[i] = objects_find(&s->core, &s->hashes[i]);
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
                                .len_bytes = object_len(o),
                                .sum_kind = o->sum_kind,
                                .stripe_count = o->stripes};
}

/* CENOTE_OK: it may be answered for. */
static int admit(const struct service *s, uint32_t i, uint32_t *extents)
{
    const struct object *o = s->found[i];
    if (o == NULL)
        return shard_owns(&s->core, s->slots[i]) ? CENOTE_NOT_FOUND : CENOTE_WRONG_SHARD;
    if (*extents + object_extents(o) > ANSWER_EXTENTS_MAX)
        return CENOTE_LIMIT;
    *extents += object_extents(o);
    return CENOTE_OK;
}

static void answer_lookup(struct service *s, uint32_t count, struct wire_buf *b)
{
    uint32_t extents = 0, refused = 0, misses = 0, leading = find_all(s, count);
    uint64_t found_bytes = 0;
    wire_put_array(b, 2);
    wire_put_uint(b, leading);
    wire_put_array(b, count);
    for (uint32_t i = 0; i < count; i++) {
        struct object *o = s->found[i];
        int status = admit(s, i, &extents);
        if (status != CENOTE_OK) {
            misses += status == CENOTE_NOT_FOUND;
            refused++;
            refusal_put(&s->core, b, status);
            continue;
        }
        objects_stamp(&s->core, o);
        evict_used(o);
        struct lookup_item item = item_of(o);
        item.lease_ms = expire_cap(&s->core, o, s->core.options.lease_ms);
        found_bytes += item.len_bytes;
        lookup_item_put(b, &item);
        located_stripes(&s->core, o, b);
    }
    metric_add(&s->traffic.hits, count - refused);
    metric_add(&s->traffic.misses, misses);
    metric_add(&s->traffic.found_bytes, found_bytes);
}

static uint64_t left_of(const struct core *c, uint32_t stamp, uint64_t span_ms)
{
    uint64_t left_ms = keep_left_ms(c, stamp);
    return left_ms < span_ms ? left_ms : span_ms;
}

/* How it is kept, with what is left of the times. */
static void left_put(const struct core *c, const struct object *o, const struct record *r,
                     struct wire_buf *b)
{
    struct keep keep = r->kept.keep;
    keep.ttl_ms = left_of(c, o->expires, keep.ttl_ms);
    keep.pin = o->pin;
    keep.pin_ms = left_of(c, o->pinned_until, keep.pin_ms);
    if (o->pinned_until > 0 && keep.pin_ms == 0)
        keep.pin = KEEP_PIN_NONE;
    keep_put(b, &keep);
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
        left_put(&s->core, o, &r, b);
    }
}

static void bit_set(uint8_t *bitmap, uint32_t i, bool value)
{
    bitmap[i / 8] = (uint8_t)(bitmap[i / 8] | (unsigned)value << (i % 8));
}

/* What has not settled is there. */
static bool is_there(struct service *s, const struct hash128 *hash)
{
    const struct claim *claim = claims_find(&s->core.claims, hash);
    return objects_find(&s->core, hash) != NULL || (claim != NULL && claim_hides(claim));
}

/* Puts the epoch and a bitmap of the keys that aren't ours. */
static void strangers_put(const struct service *s, uint32_t count, struct wire_buf *b)
{
    uint8_t bitmap[CENOTE_BATCH_MAX / 8] = {0};
    for (uint32_t i = 0; i < count; i++)
        bit_set(bitmap, i, !shard_owns(&s->core, s->slots[i]));
    wire_put_uint(b, s->core.shard.map.epoch);
    wire_put_bin(b, bitmap, (count + 7) / 8);
}

static bool all_ours(const struct service *s, uint32_t count)
{
    uint32_t i = 0;
    while (!s->core.shard.all && i < count && shard_owns(&s->core, s->slots[i]))
        i++;
    return s->core.shard.all || i == count;
}

static void answer_exists(struct service *s, uint32_t count, struct wire_buf *b)
{
    uint8_t bitmap[CENOTE_BATCH_MAX / 8] = {0};
    uint32_t leading = 0;
    bool gap = false, ours = all_ours(s, count);
    for (uint32_t i = 0; i < count; i++) {
        bool there = is_there(s, &s->hashes[i]);
        bit_set(bitmap, i, there);
        gap = gap || !there;
        leading += !gap;
    }
    wire_put_array(b, ours ? 2 : 4);
    wire_put_uint(b, leading);
    wire_put_bin(b, bitmap, (count + 7) / 8);
    if (!ours)
        strangers_put(s, count, b);
}

/* ---- a key whose older object has not settled is waited for ---- */

struct keys_method {
    void (*answer)(struct service *s, uint32_t count, struct wire_buf *b);
    bool (*waits)(const struct claim *claim);
};

struct waiting_key {
    struct hash128 hash;
    uint16_t slot;
};

struct keys_request {
    struct request request;
    struct waiter waiter;
    const struct keys_method *method;
    uint32_t count;
    struct waiting_key keys[];
};

/* A claim that one of the keys in the scratch must wait for; NULL: none. */
static struct claim *blocked(struct service *s, const struct keys_method *m, uint32_t count)
{
    struct claims *claims = &s->core.claims;
    for (uint32_t i = 0; claims->count > 0 && i < count; i++) {
        struct claim *claim = claims_find(claims, &s->hashes[i]);
        if (claim != NULL && m->waits(claim))
            return claim;
    }
    return NULL;
}

static void try_keys(struct waiter *w)
{
    struct keys_request *r = container_of(w, struct keys_request, waiter);
    struct service *s = r->request.peer->service;
    for (uint32_t i = 0; i < r->count; i++) {
        s->hashes[i] = r->keys[i].hash;
        s->slots[i] = r->keys[i].slot;
    }
    struct claim *claim = blocked(s, r->method, r->count);
    if (claim != NULL) {
        int status = claims_wait(&s->core.claims, claim, w);
        if (status != CENOTE_OK)
            request_fail(&r->request, status);
        return;
    }
    struct wire_buf b = answer_begin(s);
    request_result(&r->request, &b);
    r->method->answer(s, r->count, &b);
    request_end(&r->request, &b);
}

static int answer_keys(struct service_peer *p, uint32_t msgid, struct wire_value params,
                       struct wire_buf *result, const struct keys_method *m)
{
    struct service *s = p->service;
    uint32_t count;
    if (!hash_keys(p, params, &count))
        return keys_refusal(params, 0);
    if (blocked(s, m, count) == NULL) {
        m->answer(s, count, result);
        return CENOTE_OK;
    }
    struct keys_request *r =
        request_new(p->service, sizeof(*r) + count * sizeof(struct waiting_key));
    if (r == NULL)
        return CENOTE_NO_MEMORY;
    r->method = m;
    r->count = count;
    for (uint32_t i = 0; i < count; i++)
        r->keys[i] = (struct waiting_key){s->hashes[i], s->slots[i]};
    r->waiter.run = try_keys;
    request_begin(&r->request, p, msgid);
    try_keys(&r->waiter);
    return METHOD_LATER;
}

int method_lookup(struct service_peer *p, uint32_t msgid, struct wire_value params,
                  struct wire_buf *result)
{
    static const struct keys_method m = {.answer = answer_lookup, .waits = claim_hides};
    return answer_keys(p, msgid, params, result, &m);
}

int method_stat(struct service_peer *p, uint32_t msgid, struct wire_value params,
                struct wire_buf *result)
{
    static const struct keys_method m = {.answer = answer_stat, .waits = claim_hides};
    return answer_keys(p, msgid, params, result, &m);
}

/* Takes no lease, and so needn't wait for those of others. */
int method_exists(struct service_peer *p, uint32_t msgid, struct wire_value params,
                  struct wire_buf *result)
{
    static const struct keys_method m = {.answer = answer_exists, .waits = claim_unsure};
    return answer_keys(p, msgid, params, result, &m);
}
