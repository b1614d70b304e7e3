/* SPDX-License-Identifier: Apache-2.0 */
/* Where a value lies. */
#include <stdlib.h>
#include <string.h>

#include "client/client.h"
#include "transport/base/log.h"

#define MODULE "client"

_Static_assert(CENOTE_NODE_NAME_MAX == NODE_NAME_MAX, "a node's name fits a place");
_Static_assert(CENOTE_ZONE_MAX + 1 == TEXT_MAX, "a zone fits a place");

/* False: a replica is on no map. */
static bool name_place(const struct locate *map, struct gva gva, struct cenote_place *p)
{
    struct location at;
    struct map_node node;

    if (!locate_find(map, gva, extent_size(p->len_bytes), &at) || !locate_node(map, at.node, &node))
        return false;
    memcpy(p->node, node.name, sizeof p->node);
    memcpy(p->zone, node.zone, sizeof p->zone);
    return true;
}

struct places {
    struct cenote_place *list;
    size_t count;
    bool unnamed;
};

static int read_places(const struct locate *map, const struct lookup_item *found,
                       struct places *out)
{
    out->list = calloc((size_t)found->stripe_count * REPLICAS_MAX, sizeof *out->list);
    if (!out->list)
        return CENOTE_NO_MEMORY;
    for (uint32_t i = 0; i < found->stripe_count; i++) {
        struct stripe s;
        if (!located_stripe_get(wire_at(found->stripes, i), &s))
            return CENOTE_PROTOCOL;
        for (uint32_t k = 0; k < s.replicas; k++) {
            struct cenote_place *p = &out->list[out->count++];
            p->offset = s.offset;
            p->len_bytes = s.payload_len;
            out->unnamed |= !name_place(map, s.gva[k], p);
        }
    }
    return CENOTE_OK;
}

static int ask_places(struct drive *d, const struct cenote_key *key, struct places *out,
                      uint64_t *epoch)
{
    struct wire_buf request = {0};
    struct rpc_answer answer = {0};
    struct lookup_item found;
    int status;

    *out = (struct places){0};
    wire_put_request(&request, 0, METHOD_STAT);
    keys_params_put(&request, 1);
    wire_put_bin(&request, key->data, key->len_bytes);
    status = drive_ask(d, &request, &answer);
    wire_buf_free(&request);
    if (status != CENOTE_OK)
        return status;
    *epoch = wrong_shard_epoch(wire_at(answer.msg.result, 0));
    if (!stat_item_get(wire_at(answer.msg.result, 0), &found))
        status = CENOTE_PROTOCOL;
    else if (found.status != CENOTE_OK)
        status = found.status;
    else
        status = read_places(drive_env(d).map, &found, out);
    if (status == CENOTE_PROTOCOL)
        log_error(MODULE, "stat's answer is malformed");
    if (status != CENOTE_OK)
        free(out->list);
    rpc_answer_free(&answer);
    return status;
}

struct places_call {
    const struct cenote_key *key;
    struct places found;
};

static int places_one(void *arg, struct drive *d, uint64_t *epoch)
{
    struct places_call *c = arg;
    int status = ask_places(d, c->key, &c->found, epoch);

    if (status == CENOTE_OK && c->found.unnamed) {
        /* The map is older than the value. Without a newer one the name stays empty. */
        free(c->found.list);
        (void)drive_refresh(d);
        status = ask_places(d, c->key, &c->found, epoch);
    }
    return status;
}

int cenote_places(struct cenote *client, const void *key, size_t key_len_bytes,
                  struct cenote_place **places, size_t *count)
{
    const struct cenote_key one = {key, key_len_bytes};
    struct places_call call = {.key = &one};
    struct shards *s;
    int status = client_enter_shards(client, &s);

    if (status == CENOTE_OK)
        status = places && count ? client_check_key(&one) : CENOTE_INVALID;
    if (status == CENOTE_OK)
        status = shards_one(s, &one, places_one, &call);
    if (status != CENOTE_OK)
        return status;
    *places = call.found.list;
    *count = call.found.count;
    return CENOTE_OK;
}
