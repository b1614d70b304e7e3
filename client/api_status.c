/* SPDX-License-Identifier: Apache-2.0 */
/* The state of the pool: the service's answer, and how this client reaches the nodes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/client.h"

#define TRANSPORTS_KEY ",\"transports\":"

/* Encoded like the service's part, and made text by the same function. */
static void put_ways(struct wire_buf *b, const struct drive_way *ways, uint32_t count)
{
    wire_put_array(b, count);
    for (uint32_t i = 0; i < count; i++) {
        wire_put_map(b, 3);
        wire_put_str(b, "node");
        wire_put_uint(b, ways[i].node.node);
        wire_put_str(b, "name");
        wire_put_str(b, ways[i].node.name);
        wire_put_str(b, "transport");
        if (ways[i].transport)
            wire_put_str(b, ways[i].transport);
        else
            wire_put_nil(b);
    }
}

/* [{node, name, transport}, ...] as text; NULL: no memory. */
static char *transports_json(struct drive *d)
{
    struct wire_buf b = {0};
    struct wire_msg holder;
    struct wire_value v;
    struct drive_way *ways;
    uint32_t count;
    char *text = NULL;

    if (drive_ways(d, &ways, &count) != CENOTE_OK)
        return NULL;
    put_ways(&b, ways, count);
    free(ways);
    if (!b.failed && wire_parse_value(b.data, b.len, &holder, &v) == CENOTE_OK) {
        text = wire_to_json(v);
        wire_msg_free(&holder);
    }
    wire_buf_free(&b);
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
