/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/rpc/calls.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>

static struct rpc_call **bucket_of(struct rpc_calls *c, uint32_t msgid)
{
    return &c->buckets[msgid % RPC_CALLS_BUCKETS];
}

static struct rpc_call **calls_find(struct rpc_calls *c, uint32_t msgid)
{
    struct rpc_call **at = bucket_of(c, msgid);
    while (*at && (*at)->msgid != msgid)
        at = &(*at)->next;
    return at;
}

void rpc_calls_add(struct rpc_calls *c, struct rpc_call *call)
{
    assert(c->count < RPC_CALLS_MAX);
    do
        c->last_msgid++;
    while (c->last_msgid == 0 || *calls_find(c, c->last_msgid));
    struct rpc_call **bucket = bucket_of(c, c->last_msgid);
    call->msgid = c->last_msgid;
    call->next = *bucket;
    *bucket = call;
    c->count++;
}

struct rpc_call *rpc_calls_find(struct rpc_calls *c, uint32_t msgid)
{
    return *calls_find(c, msgid);
}

struct rpc_call *rpc_calls_take(struct rpc_calls *c, uint32_t msgid)
{
    struct rpc_call **at = calls_find(c, msgid);
    struct rpc_call *call = *at;
    if (!call)
        return NULL;
    *at = call->next;
    call->next = NULL;
    c->count--;
    return call;
}

struct rpc_call *rpc_calls_take_any(struct rpc_calls *c)
{
    for (uint32_t i = 0; i < RPC_CALLS_BUCKETS; i++)
        if (c->buckets[i])
            return rpc_calls_take(c, c->buckets[i]->msgid);
    return NULL;
}

void rpc_calls_expect_late(struct rpc_calls *c, uint32_t msgid)
{
    if (!c->late)
        c->late = calloc(RPC_LATE_MAX, sizeof(*c->late));
    if (!c->late)
        return; /* The connection then ends with the late answer. */
    c->late[c->late_at] = msgid;
    c->late_at = (c->late_at + 1) % RPC_LATE_MAX;
}

bool rpc_calls_was_late(struct rpc_calls *c, uint32_t msgid)
{
    if (!c->late || msgid == 0)
        return false;
    for (uint32_t i = 0; i < RPC_LATE_MAX; i++) {
        if (c->late[i] == msgid) {
            c->late[i] = 0;
            return true;
        }
    }
    return false;
}

void rpc_calls_free(struct rpc_calls *c)
{
    assert(c->count == 0);
    free(c->late);
    *c = (struct rpc_calls){0};
}
