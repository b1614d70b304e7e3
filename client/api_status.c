/* SPDX-License-Identifier: Apache-2.0 */
/* The state of the pool: the services' answers, and how this client reaches the nodes. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cenote/view.h>

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

/* What was encoded, as JSON; frees the buffer. NULL: no memory. */
static char *text_of(struct wire_buf *b)
{
    struct wire_msg holder;
    struct wire_value v;
    char *text = NULL;

    if (!b->failed && wire_parse_value(b->data, b->len, &holder, &v) == CENOTE_OK) {
        text = wire_to_json(v);
        wire_msg_free(&holder);
    }
    wire_buf_free(b);
    return text;
}

/* [{node, name, transport}, ...] as text; NULL: no memory. */
static char *transports_json(struct drive *d)
{
    struct wire_buf b = {0};
    struct drive_way *ways;
    uint32_t count;

    if (drive_ways(d, &ways, &count) != CENOTE_OK)
        return NULL;
    put_ways(&b, ways, count);
    free(ways);
    return text_of(&b);
}

/* ---- one service ----------------------------------------------------------------------------- */

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

/* Capacity of all services. */
struct total {
    uint64_t bytes[4];
    uint64_t epoch; /* by which the last one asked goes */
};
static const char *const total_names[] = {"total_bytes", "used_bytes", "free_bytes",
                                          "quarantined_bytes"};

static void take_numbers(struct wire_value status, struct total *t)
{
    struct wire_value capacity = wire_member(status, "capacity");
    uint64_t v;

    (void)wire_uint(wire_member(wire_member(status, "service"), "epoch"), &t->epoch);
    for (size_t i = 0; i < sizeof total_names / sizeof *total_names; i++) {
        if (wire_uint(wire_member(capacity, total_names[i]), &v))
            t->bytes[i] += v;
    }
}

static int pool_json(struct drive *d, char **out, struct total *t)
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
    take_numbers(answer.msg.result, t);
    *out = wire_to_json(answer.msg.result);
    rpc_answer_free(&answer);
    return *out ? CENOTE_OK : CENOTE_NO_MEMORY;
}

/* What the service says, and how this client reaches its nodes. */
static int service_json(struct drive *d, char **json, struct total *t)
{
    char *pool = NULL, *transports;
    int status = drive_refresh(d);

    if (status == CENOTE_OK)
        status = pool_json(d, &pool, t);
    if (status != CENOTE_OK)
        return status;
    transports = transports_json(d);
    status = transports ? join(pool, transports, json) : CENOTE_NO_MEMORY;
    free(transports);
    free(pool);
    return status;
}

/* ---- several --------------------------------------------------------------------------------- */

/* {"shard", "endpoint", "slots"}, and "error" */
static void put_head(struct wire_buf *b, const struct shards_entry *e, int status)
{
    wire_put_map(b, status == CENOTE_OK ? 3 : 4);
    wire_put_str(b, "shard");
    wire_put_uint(b, e->number);
    wire_put_str(b, "endpoint");
    wire_put_str(b, e->endpoint);
    wire_put_str(b, "slots");
    wire_put_uint(b, e->slots);
    if (status != CENOTE_OK) {
        wire_put_str(b, "error");
        wire_put_str(b, cenote_status_text(status));
    }
}

/* The head, and all that a single service says; one that doesn't answer has an error instead. */
static int shard_json(struct shards *s, const struct shards_entry *e, char **json, struct total *t)
{
    struct wire_buf b = {0};
    char *own = NULL, *head;
    struct drive *d;
    int status = shards_drive(s, e->shard, &d);

    if (status == CENOTE_OK)
        status = service_json(d, &own, t);
    if (status == CENOTE_NO_MEMORY)
        return status;
    put_head(&b, e, status);
    head = text_of(&b);
    if (!head || !own) {
        free(own);
        *json = head;
        return head ? CENOTE_OK : CENOTE_NO_MEMORY;
    }
    int len = asprintf(json, "%.*s,%s", (int)strlen(head) - 1, head, own + 1);
    free(head);
    free(own);
    return len < 0 ? CENOTE_NO_MEMORY : CENOTE_OK;
}

/* Takes more, which it frees. */
static int append(char **text, char *more)
{
    char *whole;
    int len = asprintf(&whole, "%s%s%s", *text ? *text : "", *text ? "," : "", more);

    free(more);
    if (len < 0)
        return CENOTE_NO_MEMORY;
    free(*text);
    *text = whole;
    return CENOTE_OK;
}

static int shards_json(struct shards *s, char **json)
{
    struct shards_entry services[SHARDS_MAX + 1];
    struct total t = {0};
    uint64_t epoch;
    uint32_t count = shards_list(s, services, &epoch);
    char *list = NULL, *one;
    int status = CENOTE_OK;

    for (uint32_t i = 0; i < count && status == CENOTE_OK; i++) {
        status = shard_json(s, &services[i], &one, &t);
        if (status == CENOTE_OK)
            status = append(&list, one);
    }
    if (status == CENOTE_OK &&
        asprintf(json,
                 "{\"epoch\":%" PRIu64 ",\"capacity\":{\"%s\":%" PRIu64 ",\"%s\":%" PRIu64
                 ",\"%s\":%" PRIu64 ",\"%s\":%" PRIu64 "},\"shards\":[%s]}",
                 epoch, total_names[0], t.bytes[0], total_names[1], t.bytes[1], total_names[2],
                 t.bytes[2], total_names[3], t.bytes[3], list) < 0)
        status = CENOTE_NO_MEMORY;
    free(list);
    return status;
}

static void put_number(struct wire_buf *b, const char *name, uint64_t value)
{
    wire_put_str(b, name);
    wire_put_uint(b, value);
}

static void put_report(struct wire_buf *b, const struct xcopy_report *r)
{
    wire_put_map(b, 7);
    wire_put_str(b, "rails");
    wire_put_array(b, r->rail_count);
    for (uint32_t i = 0; i < r->rail_count; i++)
        wire_put_str(b, r->rails[i]);
    put_number(b, "connections", r->connections);
    put_number(b, "queue_pairs", r->queue_pairs);
    put_number(b, "regions", r->regions);
    put_number(b, "errors", r->errors);
    put_number(b, "fenced", r->fenced);
    put_number(b, "rails_lost", r->rails_lost);
}

/* {"views", "views_limit", and for each transport with devices what it uses} */
static void put_client(struct wire_buf *b, struct shards *s)
{
    const struct fabric *f = drive_fabric(shards_home(s)); /* devices are the same for all */
    struct xcopy_report report;
    const char *name;
    uint32_t count = 0;

    while (fabric_report(f, count, &report))
        count++;
    wire_put_map(b, 2 + count);
    put_number(b, "views", views_count(shards_views(s)));
    put_number(b, "views_limit", CENOTE_VIEWS_MAX);
    for (uint32_t i = 0; (name = fabric_report(f, i, &report)) != NULL; i++) {
        wire_put_str(b, name);
        put_report(b, &report);
    }
}

/* {...} -> {..., "client": {...}}; takes the text. */
static int with_client(struct shards *s, char **json)
{
    size_t len = strlen(*json);
    struct wire_buf b = {0};
    char *whole, *client;

    if (len < 3 || (*json)[len - 1] != '}')
        return CENOTE_PROTOCOL;
    put_client(&b, s);
    client = text_of(&b);
    if (!client)
        return CENOTE_NO_MEMORY;
    int written = asprintf(&whole, "%.*s,\"client\":%s}", (int)len - 1, *json, client);
    free(client);
    if (written < 0)
        return CENOTE_NO_MEMORY;
    free(*json);
    *json = whole;
    return CENOTE_OK;
}

/* Of the home, or of all if it isn't alone. */
static int home_json(struct shards *s, char **json)
{
    struct drive *home = shards_home(s);
    struct total t = {0};
    int status = service_json(home, json, &t);

    if (status != CENOTE_OK || t.epoch == 0)
        return status;
    shards_learn(s, home, t.epoch);
    if (shards_only(s))
        return CENOTE_OK;
    free(*json);
    return shards_json(s, json);
}

int cenote_pool_status(struct cenote *client, char **json)
{
    struct shards *s;
    char *text;
    int status = client_enter_shards(client, &s);

    if (status == CENOTE_OK && !json)
        status = CENOTE_INVALID;
    if (status != CENOTE_OK)
        return status;
    if (shards_only(s)) {
        status = home_json(s, &text);
    } else {
        (void)shards_refresh(s, shards_home(s)); /* the map that is known has to do otherwise */
        status = shards_json(s, &text);
    }
    if (status != CENOTE_OK)
        return status;
    status = with_client(s, &text);
    if (status == CENOTE_OK)
        *json = text;
    else
        free(text);
    return status;
}
