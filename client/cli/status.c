/* SPDX-License-Identifier: Apache-2.0 */
/* The command status: the pool as tables. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/cli.h"
#include "client/cli/text.h"

static uint64_t number(const json_t *object, const char *name)
{
    json_int_t v = json_integer_value(json_object_get(object, name));
    return v > 0 ? (uint64_t)v : 0;
}

static const char *text(const json_t *object, const char *name)
{
    const char *s = json_string_value(json_object_get(object, name));
    return s && *s ? s : "-";
}

static void print_service(const json_t *pool)
{
    const json_t *s = json_object_get(pool, "service");
    char uptime[TEXT_TIME_MAX], used[TEXT_SIZE_MAX], limit[TEXT_SIZE_MAX];

    printf("service     version %s, reign %" PRIu64 ", up %s\n", text(s, "version"),
           number(s, "reign"), text_duration(number(s, "uptime_ms"), uptime));
    printf("            %" PRIu64 " objects, %" PRIu64 " pending puts, %" PRIu64 " sessions\n",
           number(s, "objects"), number(s, "pending_puts"), number(s, "sessions"));
    printf("            store %s of %s\n", text_size(number(s, "store_used_bytes"), used),
           text_size(number(s, "store_limit_bytes"), limit));
}

static void print_capacity(const json_t *pool)
{
    const json_t *c = json_object_get(pool, "capacity");
    char total[TEXT_SIZE_MAX], used[TEXT_SIZE_MAX], left[TEXT_SIZE_MAX], waits[TEXT_SIZE_MAX];

    printf("capacity    %s: %s used, %s free, %s in quarantine\n",
           text_size(number(c, "total_bytes"), total), text_size(number(c, "used_bytes"), used),
           text_size(number(c, "free_bytes"), left),
           text_size(number(c, "quarantined_bytes"), waits));
}

static void print_quarantine(const json_t *pool)
{
    const json_t *q = json_object_get(pool, "quarantine"), *s;
    char size[TEXT_SIZE_MAX];
    size_t i;

    printf("quarantine  %" PRIu64 " extents, %s\n", number(q, "extents"),
           text_size(number(q, "bytes"), size));
    if (number(q, "held_extents") > 0)
        printf("            views: %" PRIu64 " extents, %s\n", number(q, "held_extents"),
               text_size(number(q, "held_bytes"), size));
    json_array_foreach(json_object_get(q, "sessions"), i, s)
        printf("            session %" PRIu64 ": %" PRIu64 " extents, %s\n", number(s, "session"),
               number(s, "extents"), text_size(number(s, "bytes"), size));
}

/* How this process reaches a node. */
static const char *transport_to(const json_t *pool, uint64_t node)
{
    const json_t *t;
    size_t i;

    json_array_foreach(json_object_get(pool, "transports"), i, t)
    {
        if (number(t, "node") == node)
            return text(t, "transport");
    }
    return "-";
}

static void print_segment(const json_t *s)
{
    char size[TEXT_SIZE_MAX], used[TEXT_SIZE_MAX], populated[TEXT_SIZE_MAX];

    printf("  %#-18" PRIx64 " %-5s %11s %11s %11s  incarnation %" PRIu64 "\n", number(s, "gva"),
           text(s, "kind"), text_size(number(s, "length_bytes"), size),
           text_size(number(s, "used_bytes"), used),
           text_size(number(s, "populated_bytes"), populated), number(s, "incarnation"));
}

/* What a node, or this process, uses for RDMA: one line, whatever the number of rails. */
static void print_rdma(const json_t *r)
{
    const json_t *rail;
    const char *separator = " ";
    size_t i;

    json_array_foreach(json_object_get(r, "rails"), i, rail)
    {
        printf("%s%s", separator, json_string_value(rail));
        separator = "; ";
    }
    printf("%s%" PRIu64 " queue pairs, %" PRIu64 " regions, %" PRIu64 " errors", separator,
           number(r, "queue_pairs"), number(r, "regions"), number(r, "errors"));
    if (number(r, "fenced") > 0)
        printf(", %" PRIu64 " fenced", number(r, "fenced"));
    if (number(r, "rails_lost") > 0)
        printf(", %" PRIu64 " rails lost", number(r, "rails_lost"));
    printf("\n");
}

static void print_node(const json_t *pool, const json_t *n)
{
    char age[TEXT_TIME_MAX];
    const json_t *rdma = json_object_get(n, "rdma"), *s;
    size_t i;

    printf("\nnode %s (%" PRIu64 "): %s, by %s, heartbeat %s ago\n", text(n, "name"),
           number(n, "node"), text(n, "state"), transport_to(pool, number(n, "node")),
           text_duration(number(n, "heartbeat_age_ms"), age));
    printf("  shm %s, tcp %s\n", text(n, "shm"), text(n, "tcp"));
    if (json_is_object(rdma)) {
        printf("  rdma %s:", text(rdma, "endpoint"));
        print_rdma(rdma);
    }
    printf("  %-18s %-5s %11s %11s %11s\n", "segment", "kind", "length", "used", "populated");
    json_array_foreach(json_object_get(n, "segments"), i, s) print_segment(s);
    printf("  directory: %" PRIu64 " extents, %" PRIu64 " not yet told\n",
           number(n, "directory_extents"), number(n, "directory_lag"));
}

static void print_slots(const json_t *pool)
{
    const json_t *s = json_object_get(pool, "service");

    if (number(s, "epoch") > 0)
        printf("            shard %" PRIu64 ", %" PRIu64 " slots, epoch %" PRIu64 "\n",
               number(s, "shard"), number(s, "slots"), number(s, "epoch"));
}

static void print_one(const json_t *pool)
{
    const json_t *n;
    size_t i;

    print_service(pool);
    print_slots(pool);
    print_capacity(pool);
    print_quarantine(pool);
    json_array_foreach(json_object_get(pool, "nodes"), i, n) print_node(pool, n);
}

/* One service of several, or why it doesn't answer. */
static void print_shard(const json_t *shard)
{
    printf("\nshard %" PRIu64 " at %s: %" PRIu64 " slots\n", number(shard, "shard"),
           text(shard, "endpoint"), number(shard, "slots"));
    if (json_object_get(shard, "error"))
        printf("%s\n", text(shard, "error"));
    else
        print_one(shard);
}

/* The devices of this process, once something went by them. */
static void print_client(const json_t *pool)
{
    const json_t *rdma = json_object_get(json_object_get(pool, "client"), "rdma");

    if (json_array_size(json_object_get(rdma, "rails")) == 0)
        return;
    printf("\nclient rdma:");
    print_rdma(rdma);
}

static void print_pool(const json_t *pool)
{
    const json_t *shards = json_object_get(pool, "shards"), *shard;
    size_t i;

    if (!shards) {
        print_one(pool);
        print_client(pool);
        return;
    }
    printf("pool        %zu services, slots of epoch %" PRIu64 "\n", json_array_size(shards),
           number(pool, "epoch"));
    print_capacity(pool);
    json_array_foreach(shards, i, shard) print_shard(shard);
    print_client(pool);
}

int cli_status(struct cli *cli)
{
    json_error_t error;
    char *answer;
    int status = cenote_pool_status(cli->client, &answer);
    int code = EXIT_DONE;

    if (status != CENOTE_OK)
        return cli_complain(cli, NULL, status);
    json_t *pool = json_loads(answer, 0, &error);
    if (!pool) {
        fprintf(stderr, "cenote: status: the service's answer is no JSON: %s\n", error.text);
        code = EXIT_FAILED;
    } else if (cli->json) {
        code = text_json_print(pool) == 0 ? EXIT_DONE : cli_complain_errno(cli, "standard output");
        pool = NULL;
    } else {
        print_pool(pool);
    }
    json_decref(pool);
    free(answer);
    return code;
}
