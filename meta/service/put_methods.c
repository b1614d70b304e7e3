/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "meta/core/objects.h"
#include "meta/core/puts.h"
#include "meta/service/peer.h"
#include "meta/stub/messages.h"

/* ---- put_start ---- */

struct start_request {
    struct request request;
    struct start start;
    struct start_item items[];
};

/* False: a node that was chosen is gone. */
static bool grant_all(const struct core *c, struct object *o)
{
    for (uint32_t i = 0; i < object_extents(o); i++)
        if (!objects_alive(c, o, i))
            return false;
    return true;
}

static struct write_grant grant_for(const struct core *c, const struct object *o,
                                    const struct piece *p)
{
    const struct node *n = members_find(c, p->gva, p->payload_len)->node;
    return grant_make(&n->grant_key, n->boot, o->session, o->put_id, p->gva,
                      extent_size(p->payload_len));
}

static void encode_stripes(const struct core *c, struct object *o, struct wire_buf *b)
{
    uint64_t offset = 0;
    for (uint32_t i = 0; i < o->stripes; i++) {
        const struct piece *first = object_piece(o, i * o->replicas);
        struct stripe s = {
            .offset = offset, .payload_len = first->payload_len, .replicas = o->replicas};
        for (uint32_t k = 0; k < o->replicas; k++) {
            s.gva[k] = first[k].gva;
            s.grant[k] = grant_for(c, o, &first[k]);
        }
        granted_stripe_put(b, &s);
        offset += s.payload_len;
    }
}

bool put_can_be_granted(const struct core *c, struct object *o)
{
    for (uint32_t i = 0; i < o->stripes; i++) {
        const struct piece *p = object_piece(o, i);
        const struct incarnation *in = members_find(c, p->gva, p->payload_len);
        if (in != NULL && (in->node->peer == NULL || in->node->join != NULL))
            return false;
    }
    return true;
}

void put_start_item_answer(struct core *c, int status, struct object *o, struct wire_buf *b)
{
    if (status == CENOTE_OK && (o == NULL || o->put == NULL || o->put->phase != PUT_PENDING))
        status = CENOTE_ABORTED; /* over by now: never a second grant for a finished put */
    if (status == CENOTE_OK && !grant_all(c, o)) {
        puts_abort_unsent(o->put);
        status = CENOTE_NODE_DOWN;
    }
    if (status != CENOTE_OK) {
        refusal_put(c, b, status);
        return;
    }
    struct put_start_item head = {.status = CENOTE_OK,
                                  .put_id = o->put_id,
                                  .key_hash = o->key_hash,
                                  .stripe_count = o->stripes};
    put_start_item_put(b, &head);
    encode_stripes(c, o, b);
}

static void put_started(struct start *s)
{
    struct start_request *r = container_of(s, struct start_request, start);
    numbered_end(&r->request, s->session, s->call);
}

static bool start_wanted(const struct start *s)
{
    const struct start_request *r = container_of(s, struct start_request, start);
    return numbered_wanted(&r->request, s->call);
}

static void start_forget(struct start *s)
{
    struct start_request *r = container_of(s, struct start_request, start);
    numbered_forget(&r->request, s->session, s->call);
}

static bool start_items_sane(const struct put_start_params *start)
{
    for (uint32_t i = 0; i < start->count; i++) {
        const uint8_t *key;
        size_t key_len;
        uint64_t len;
        if (!put_start_key_get(wire_at(start->items, i), &key, &key_len, &len))
            return false;
    }
    return start->count > 0;
}

int method_put_start(struct service_peer *p, uint32_t msgid, struct wire_value params,
                     struct wire_buf *result)
{
    struct put_start_params start;
    if (!put_start_params_get(params, &start) || !start_items_sane(&start))
        return keys_refusal(params, 2);
    if ((start.flags & ~(uint32_t)(PUT_START_REPLACE | PUT_START_REPLICAS)) != 0)
        return CENOTE_INVALID;
    if (put_start_replicas(start.flags) > REPLICAS_MAX)
        return CENOTE_LIMIT;
    struct keep keep;
    int status = keep_get(start.keep, &keep);
    if (status != CENOTE_OK)
        return status;
    struct start_request *r =
        request_new(p->service, sizeof(*r) + start.count * sizeof(struct start_item));
    if (r == NULL)
        return CENOTE_NO_MEMORY;
    struct numbered_params call = {start.seq, NUMBERED_START, start.count};
    status = numbered_begin(p, msgid, &call, result, &r->start.call);
    if (status != NUMBERED_RUN) {
        free(r);
        return status;
    }
    r->start.core = &p->service->core;
    r->start.session = p->session;
    r->start.items = r->items;
    r->start.done = put_started;
    r->start.wanted = start_wanted;
    r->start.forget = start_forget;
    r->start.replace = (start.flags & PUT_START_REPLACE) != 0;
    r->start.replicas = put_start_replicas(start.flags);
    r->start.keep = keep;
    request_begin(&r->request, p, msgid);
    for (uint32_t i = 0; i < start.count; i++) {
        struct start_item *item = &r->items[i];
        size_t key_len;
        (void)put_start_key_get(wire_at(start.items, i), &item->key, &key_len, &item->len_bytes);
        item->key_len = (uint32_t)key_len;
    }
    r->start.count = start.count;
    puts_start(&r->start);
    return METHOD_LATER;
}

/* ---- put_commit, put_abort ---- */

struct end_item {
    struct outcome outcome;
    struct end_request *request;
};

struct end_request {
    struct request request;
    struct session *session;
    struct numbered *call;
    uint32_t left;
    struct end_item items[];
};

static void end_step(struct end_request *r)
{
    if (--r->left == 0)
        numbered_end(&r->request, r->session, r->call);
}

static void put_ended(struct outcome *o, int status)
{
    struct end_item *item = container_of(o, struct end_item, outcome);
    item->request->call->statuses[item - item->request->items] = (int8_t)status;
    end_step(item->request);
}

typedef void (*end_fn)(struct core *c, struct session *s, const struct put_end *end,
                       struct outcome *o);

static bool read_end(struct wire_value v, struct put_end *end, uint64_t roots[STRIPES_MAX],
                     uint8_t states[STRIPES_MAX * REPLICAS_MAX])
{
    struct put_end_item item;
    if (!put_end_item_get(v, &item) || item.root_count > STRIPES_MAX ||
        item.state_count > STRIPES_MAX * REPLICAS_MAX)
        return false;
    for (uint32_t i = 0; i < item.root_count; i++)
        if (!wire_uint(wire_at(item.roots, i), &roots[i]))
            return false;
    for (uint32_t i = 0; i < item.state_count; i++) {
        uint16_t state;
        if (!wire_u16(wire_at(item.states, i), &state) || state > EXTENT_UNKNOWN)
            return false;
        states[i] = (uint8_t)state;
    }
    *end = (struct put_end){.put_id = item.put_id,
                            .sum_kind = item.sum_kind,
                            .roots = roots,
                            .root_count = item.root_count,
                            .states = states,
                            .state_count = item.state_count};
    return true;
}

static int end_puts(struct service_peer *p, uint32_t msgid, struct wire_value params,
                    enum numbered_kind kind, struct wire_buf *result)
{
    end_fn fn = kind == NUMBERED_COMMIT ? puts_commit : puts_abort;
    struct put_end_params ends;
    if (!put_end_params_get(params, &ends) || ends.count == 0 || ends.count > CENOTE_BATCH_MAX)
        return CENOTE_MALFORMED;
    struct end_request *r =
        request_new(p->service, sizeof(*r) + ends.count * sizeof(struct end_item));
    if (r == NULL)
        return CENOTE_NO_MEMORY;
    struct numbered_params call = {ends.seq, kind, ends.count};
    int status = numbered_begin(p, msgid, &call, result, &r->call);
    if (status != NUMBERED_RUN) {
        free(r);
        return status;
    }
    r->session = p->session;
    r->left = ends.count + 1;
    request_begin(&r->request, p, msgid);
    for (uint32_t i = 0; i < ends.count; i++) {
        uint64_t roots[STRIPES_MAX];
        uint8_t states[STRIPES_MAX * REPLICAS_MAX];
        struct put_end end;
        struct end_item *item = &r->items[i];
        item->request = r;
        item->outcome.done = put_ended;
        if (read_end(wire_at(ends.items, i), &end, roots, states))
            fn(&p->service->core, r->session, &end, &item->outcome);
        else
            put_ended(&item->outcome, CENOTE_INVALID);
    }
    end_step(r);
    return METHOD_LATER;
}

int method_put_commit(struct service_peer *p, uint32_t msgid, struct wire_value params,
                      struct wire_buf *result)
{
    return end_puts(p, msgid, params, NUMBERED_COMMIT, result);
}

int method_put_abort(struct service_peer *p, uint32_t msgid, struct wire_value params,
                     struct wire_buf *result)
{
    return end_puts(p, msgid, params, NUMBERED_ABORT, result);
}
