/* SPDX-License-Identifier: Apache-2.0 */
/* The state of the pool: the service's answer, and how this client reaches the nodes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/client.h"

#define TRANSPORTS_KEY ",\"transports\":"

/* The transports are encoded like the service's part, and made text by the same function. */
struct reach {
    struct wire_buf list;
    uint32_t count;
};

static void add_reach(void *arg, const struct map_node *node, const char *transport)
{
    struct reach *r = arg;

    wire_put_map(&r->list, 3);
    wire_put_str(&r->list, "node");
    wire_put_uint(&r->list, node->node);
    wire_put_str(&r->list, "name");
    wire_put_str(&r->list, node->name);
    wire_put_str(&r->list, "transport");
    if (transport)
        wire_put_str(&r->list, transport);
    else
        wire_put_nil(&r->list);
    r->count++;
}

/* [{node, name, transport}, ...] as text; NULL: no memory. */
static char *transports_json(struct drive *d)
{
    struct reach r = {0};
    struct wire_buf whole = {0};
    struct wire_msg holder;
    struct wire_value v;
    char *text = NULL;

    drive_transports(d, add_reach, &r);
    wire_put_array(&whole, r.count);
    if (r.list.failed || whole.failed)
        goto out;
    uint8_t *joined = realloc(whole.data, whole.len + r.list.len);
    if (!joined)
        goto out;
    whole.data = joined;
    if (r.list.len > 0)
        memcpy(joined + whole.len, r.list.data, r.list.len);
    if (wire_parse_value(joined, whole.len + r.list.len, &holder, &v) == CENOTE_OK) {
        text = wire_to_json(v);
        wire_msg_free(&holder);
    }
out:
    wire_buf_free(&whole);
    wire_buf_free(&r.list);
    return text;
}

/* {...} and [...] -> {..., "transports": [...]} */
static int join(const char *pool, const char *transports, char **json)
{
    size_t len = strlen(pool);

    if (len < 3 || pool[len - 1] != '}')
        return CENOTE_PROTOCOL;
    if (asprintf(json, "%.*s" TRANSPORTS_KEY "%s}", (int)len - 1, pool, transports) < 0)
        return CENOTE_NO_MEMORY;
    return CENOTE_OK;
}

static int pool_json(struct drive *d, char **out)
{
    struct wire_buf request = {0};
    struct rpc_answer answer = {0};
    int status;

    wire_put_request(&request, 0, METHOD_STATUS);
    wire_put_array(&request, 0);
    status = drive_ask(d, &request, &answer);
    wire_buf_free(&request);
    if (status != CENOTE_OK)
        return status;
    *out = wire_to_json(answer.msg.result);
    rpc_answer_free(&answer);
    return *out ? CENOTE_OK : CENOTE_NO_MEMORY;
}

int cenote_pool_status(struct cenote *client, char **json)
{
    char *pool = NULL, *transports, *whole = NULL;
    struct drive *d;
    int status = client_enter(client, &d);

    if (status == CENOTE_OK && !json)
        status = CENOTE_INVALID;
    if (status == CENOTE_OK)
        status = drive_refresh(d);
    if (status == CENOTE_OK)
        status = pool_json(d, &pool);
    if (status != CENOTE_OK)
        return status;
    transports = transports_json(d);
    status = transports ? join(pool, transports, &whole) : CENOTE_NO_MEMORY;
    free(transports);
    free(pool);
    if (status == CENOTE_OK)
        *json = whole;
    return status;
}
