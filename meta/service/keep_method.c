/* SPDX-License-Identifier: Apache-2.0 */
/* keep: how long and how firmly values are kept that are there. */
#include <stdlib.h>

#include "meta/core/keep.h"
#include "meta/service/peer.h"
#include "meta/stub/messages.h"

struct keep_item {
    struct keeping keeping;
    struct outcome outcome;
    struct keep_request *request;
};

struct keep_request {
    struct request request;
    struct session *session;
    struct numbered *call;
    struct keep keep;
    uint32_t left;
    struct keep_item items[];
};

static void step(struct keep_request *r)
{
    if (--r->left == 0)
        numbered_end(&r->request, r->session, r->call);
}

static void key_kept(struct outcome *o, int status)
{
    struct keep_item *item = container_of(o, struct keep_item, outcome);
    item->request->call->statuses[item->keeping.item] = (int8_t)status;
    step(item->request);
}

static void begin_item(struct keep_request *r, uint32_t i, struct wire_value v, unsigned fields)
{
    struct core *c = r->session->core;
    const uint8_t *key = NULL;
    size_t len = 0;
    struct keep_item *item = &r->items[i];
    (void)wire_bin(v, &key, &len);
    item->request = r;
    item->outcome.done = key_kept;
    item->keeping = (struct keeping){.core = c,
                                     .session = r->session,
                                     .call = r->call,
                                     .item = i,
                                     .slot = shard_slot(c, r->session->space, key, len),
                                     .key_hash = space_hash(r->session->space, key, len),
                                     .keep = &r->keep,
                                     .fields = fields,
                                     .outcome = &item->outcome};
    if (r->call->statuses[i] == NUMBERED_OPEN)
        keep_set(&item->keeping);
    else
        step(r); /* done before a restart */
}

int method_keep(struct service_peer *p, uint32_t msgid, struct wire_value params,
                struct wire_buf *result)
{
    struct keep_params keys;
    struct keep keep;
    if (!keep_params_get(params, &keys) || keys.count > CENOTE_BATCH_MAX)
        return keys_refusal(params, 1);
    int status = keep_get(keys.keep, &keep);
    if (status != CENOTE_OK)
        return status;
    if (keys.fields == 0 || (keys.fields & ~(uint32_t)KEEP_ALL) != 0)
        return CENOTE_INVALID;
    struct keep_request *r =
        request_new(p->service, sizeof(*r) + keys.count * sizeof(struct keep_item));
    if (r == NULL)
        return CENOTE_NO_MEMORY;
    struct numbered_params call = {keys.seq, NUMBERED_KEEP, keys.count};
    status = numbered_begin(p, msgid, &call, result, &r->call);
    if (status != NUMBERED_RUN) {
        free(r);
        return status;
    }
    r->session = p->session;
    r->keep = keep;
    r->left = keys.count + 1;
    request_begin(&r->request, p, msgid);
    for (uint32_t i = 0; i < keys.count; i++)
        begin_item(r, i, wire_at(keys.keys, i), keys.fields);
    step(r);
    return METHOD_LATER;
}
