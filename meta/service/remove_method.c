/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "meta/core/objects.h"
#include "meta/service/peer.h"
#include "meta/stub/messages.h"

struct remove_item {
    struct removal removal;
    struct outcome outcome;
    struct remove_request *request;
};

struct remove_request {
    struct request request;
    struct session *session;
    struct numbered *call;
    uint32_t left;
    struct remove_item items[];
};

static void step(struct remove_request *r)
{
    if (--r->left == 0)
        numbered_end(&r->request, r->session, r->call);
}

static void key_removed(struct outcome *o, int status)
{
    struct remove_item *item = container_of(o, struct remove_item, outcome);
    item->request->call->statuses[item->removal.item] = (int8_t)status;
    step(item->request);
}

int method_remove(struct service_peer *p, uint32_t msgid, struct wire_value params,
                  struct wire_buf *result)
{
    struct keys_params keys;
    if (!remove_params_get(params, &keys) || keys.count > CENOTE_BATCH_MAX)
        return keys_refusal(params, 1);
    struct remove_request *r =
        request_new(p->service, sizeof(*r) + keys.count * sizeof(struct remove_item));
    if (r == NULL)
        return CENOTE_NO_MEMORY;
    struct numbered_params call = {keys.seq, NUMBERED_REMOVE, keys.count};
    int status = numbered_begin(p, msgid, &call, result, &r->call);
    if (status != NUMBERED_RUN) {
        free(r);
        return status;
    }
    r->session = p->session;
    r->left = keys.count + 1;
    request_begin(&r->request, p, msgid);
    for (uint32_t i = 0; i < keys.count; i++) {
        const uint8_t *key = NULL;
        size_t len = 0;
        struct remove_item *item = &r->items[i];
        (void)wire_bin(wire_at(keys.keys, i), &key, &len);
        item->request = r;
        item->outcome.done = key_removed;
        item->removal =
            (struct removal){.core = &p->service->core,
                             .session = r->session,
                             .call = r->call,
                             .item = i,
                             .slot = shard_slot(&p->service->core, r->session->space, key, len),
                             .key_hash = space_hash(r->session->space, key, len),
                             .outcome = &item->outcome};
        if (r->call->statuses[i] == NUMBERED_OPEN)
            objects_remove(&item->removal);
        else
            objects_removed_before(&item->removal);
    }
    step(r);
    return METHOD_LATER;
}
