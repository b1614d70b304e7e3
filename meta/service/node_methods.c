/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "meta/service/peer.h"
#include "meta/stub/messages.h"

static void joined(void *arg, int status, struct node *node, const struct node_join_result *result)
{
    struct request *r = arg;
    (void)node;
    if (status != CENOTE_OK) {
        request_fail(r, status);
        return;
    }
    struct wire_buf b = {0};
    request_result(r, &b);
    node_join_result_put(&b, result);
    request_end_done(r, &b);
}

int method_node_join(struct service_peer *p, uint32_t msgid, struct wire_value params,
                     struct wire_buf *result)
{
    struct core *c = &p->service->core;
    struct node_join_params join;
    (void)result;
    if (!node_join_params_get(params, &join))
        return CENOTE_MALFORMED;
    const struct node *other = members_of_peer(c, p);
    if (p->session != NULL || (other != NULL && strcmp(other->name, join.name) != 0))
        return CENOTE_INVALID; /* one connection, one role */
    struct request *r = request_new(p->service, sizeof(*r));
    if (r == NULL)
        return CENOTE_NO_MEMORY;
    request_begin(r, p, msgid);
    int status = rebuild_under_way(&c->rebuild) ? rebuild_join(c, &join, &p->line, p, joined, r)
                                                : members_join(c, &join, &p->line, p, joined, r);
    if (status != CENOTE_OK)
        request_fail(r, status);
    return METHOD_LATER;
}

int method_node_heartbeat(struct service_peer *p, uint32_t msgid, struct wire_value params,
                          struct wire_buf *result)
{
    struct core *c = &p->service->core;
    struct node_heartbeat_params beat;
    (void)msgid;
    if (!node_heartbeat_params_get(params, &beat))
        return CENOTE_MALFORMED;
    int status = members_populated(c, members_of_peer(c, p), &beat);
    if (status != CENOTE_OK)
        return status;
    wire_put_array(result, 1);
    wire_put_uint(result, c->ids.reign);
    return CENOTE_OK;
}

int method_node_leave(struct service_peer *p, uint32_t msgid, struct wire_value params,
                      struct wire_buf *result)
{
    struct core *c = &p->service->core;
    (void)msgid;
    (void)params;
    struct node *n = members_of_peer(c, p);
    if (n->join != NULL)
        return CENOTE_NODE_KNOWN; /* it joins just now over another connection */
    n->leaving = true;
    node_kill(c, n);
    wire_put_nil(result);
    return CENOTE_OK;
}

int method_extent_damaged(struct service_peer *p, uint32_t msgid, struct wire_value params,
                          struct wire_buf *result)
{
    struct core *c = &p->service->core;
    uint64_t put_id;
    struct gva gva;
    (void)msgid;
    if (!extent_damaged_params_get(params, &put_id, &gva))
        return CENOTE_MALFORMED;
    if (rebuild_under_way(&c->rebuild))
        return CENOTE_LIMIT;
    int status = damage_found(c, members_of_peer(c, p), put_id, gva);
    wire_put_nil(result);
    return status;
}
