/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "meta/core/objects.h"
#include "meta/service/peer.h"
#include "meta/stub/messages.h"

struct remove_item {
    struct removal removal;
    struct outcome outcome;
    struct remove_request *request;
    int status;
};

struct remove_request {
    struct request request;
    uint32_t count;
    uint32_t left;
    struct remove_item items[];
};

static void step(struct remove_request *r)
{
    if (--r->left > 0)
        return;
    struct wire_buf b = {0};
    request_result(&r->request, &b);
    wire_put_array(&b, r->count);
    for (uint32_t i = 0; i < r->count; i++)
        wire_put_int(&b, r->items[i].status);
    request_end(&r->request, &b);
}

static void key_removed(struct outcome *o, int status)
{
    struct remove_item *item = container_of(o, struct remove_item, outcome);
    item->status = status;
    step(item->request);
}

int method_remove(struct service_peer *p, uint32_t msgid, struct wire_value params,
                  struct wire_buf *result)
{
    struct keys_params keys;
    (void)result;
    if (!remove_params_get(params, &keys) || keys.count > CENOTE_BATCH_MAX)
        return keys_refusal(params, 1);
    struct remove_request *r = calloc(1, sizeof(*r) + keys.count * sizeof(struct remove_item));
    if (r == NULL)
        return CENOTE_NO_MEMORY;
    r->count = keys.count;
    r->left = keys.count + 1;
    request_begin(&r->request, p, msgid);
    for (uint32_t i = 0; i < keys.count; i++) {
        const uint8_t *key = NULL;
        size_t len = 0;
        struct remove_item *item = &r->items[i];
        (void)wire_bin(wire_at(keys.keys, i), &key, &len);
        item->request = r;
        item->outcome.done = key_removed;
        item->removal = (struct removal){.core = &p->service->core,
                                         .key_hash = space_hash(p->session->space, key, len),
                                         .outcome = &item->outcome};
        objects_remove(&item->removal);
    }
    step(r);
    return METHOD_LATER;
}
