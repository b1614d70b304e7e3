/* SPDX-License-Identifier: Apache-2.0 */
/* The public functions about how values are kept, and about namespaces: their arguments, their
 * answers, and answers that are lost. */
#include <cenote/async.h>
#include <cenote/namespace.h>
#include <cenote/policy.h>
#include <cenote/range.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/scenario/check.h"
#include "tests/scenario/client/service.h"

#define VALUE_BYTES 100u

static struct service service;
static struct cenote *client;
static uint8_t value[VALUE_BYTES];

static int put(const char *key, size_t len)
{
    return cenote_put(client, key, strlen(key), value, len, 0);
}

static void policies(void)
{
    const struct cenote_key keys[2] = {{"p", 1}, {"none", 4}};
    const struct cenote_policy policy = {
        .ttl_ms = 1000, .pin = CENOTE_PIN_SOFT, .pin_ms = 2000, .group = "g", .group_len_bytes = 1};
    struct cenote_buffer piece = {value, 10};
    struct cenote_put_item item = {.key = keys[0], .buffers = &piece, .buffer_count = 1};
    struct cenote_kept kept;
    struct cenote_writer *writer;
    int statuses[2];

    expect("put_with", cenote_put_with(client, &item, 1, 0, &policy), CENOTE_OK);
    expect("set_policy", cenote_set_policy(client, keys, 2, &policy, CENOTE_POLICY_ALL, statuses),
           CENOTE_NOT_FOUND);
    CHECK(statuses[0] == CENOTE_OK && statuses[1] == CENOTE_NOT_FOUND);
    expect("get_policy", cenote_get_policy(client, "p", 1, &kept), CENOTE_OK);
    CHECK(kept.ttl_left_ms == 1000 && kept.pin == CENOTE_PIN_SOFT && kept.pin_left_ms == 2000);
    CHECK(kept.group_len_bytes == 1 && kept.group[0] == 'g');
    expect("get_policy", cenote_get_policy(client, "none", 4, &kept), CENOTE_NOT_FOUND);
    service_lose(&service, METHOD_KEEP, 2);
    expect("set_policy", cenote_set_policy(client, keys, 1, &policy, CENOTE_POLICY_PIN, NULL),
           CENOTE_OK);
    expect("writer", cenote_writer_open_with(client, "w", 1, 10, 0, &policy, &writer), CENOTE_OK);
    expect("writer", cenote_writer_write(writer, 0, value, 10), CENOTE_OK);
    expect("writer", cenote_writer_commit(writer), CENOTE_OK);
    cenote_writer_close(&writer);
}

static void bad_policies(void)
{
    const struct cenote_key key = {"p", 1};
    static const struct cenote_policy bad[] = {
        {.ttl_ms = CENOTE_TTL_MAX_MS + 1},
        {.pin = 3},
        {.pin_ms = 1},
        {.pin = CENOTE_PIN_HARD, .pin_ms = 1},
        {.pin = CENOTE_PIN_SOFT, .pin_ms = UINT64_MAX},
        {.group = "g", .group_len_bytes = CENOTE_GROUP_MAX + 1},
        {.group_len_bytes = 1},
    };
    struct cenote_buffer piece = {value, 10};
    struct cenote_put_item item = {.key = key, .buffers = &piece, .buffer_count = 1};
    struct cenote_writer *writer;
    int status;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const struct cenote_submit how = {.policy = &bad[i]};
        expect("put_with", cenote_put_with(client, &item, 1, 0, &bad[i]), CENOTE_INVALID);
        CHECK(item.status == CENOTE_INVALID);
        status = CENOTE_OK;
        expect("set", cenote_set_policy(client, &key, 1, &bad[i], 7, &status), CENOTE_INVALID);
        CHECK(status == CENOTE_INVALID);
        expect("writer", cenote_writer_open_with(client, "w", 1, 10, 0, &bad[i], &writer),
               CENOTE_INVALID);
        expect("submit", cenote_submit_put(client, &item, 1, 0, &how, NULL), CENOTE_INVALID);
    }
    expect("set", cenote_set_policy(client, &key, 1, NULL, 7, NULL), CENOTE_INVALID);
    expect("set", cenote_set_policy(client, &key, 1, &(struct cenote_policy){0}, 0, NULL),
           CENOTE_INVALID);
    expect("set", cenote_set_policy(client, &key, 1, &(struct cenote_policy){0}, 8, NULL),
           CENOTE_INVALID);
    expect("set", cenote_set_policy(client, NULL, 1, &(struct cenote_policy){0}, 7, NULL),
           CENOTE_INVALID);
    expect("get", cenote_get_policy(client, "p", 1, NULL), CENOTE_INVALID);
    expect("get", cenote_get_policy(NULL, "p", 1, &(struct cenote_kept){0}), CENOTE_INVALID);
}

static void namespaces(void)
{
    const struct cenote_namespace_settings some = {.quota_bytes = 60, .quota_objects = 5};
    const struct cenote_namespace_settings forever = {.ttl_ms = CENOTE_TTL_MAX_MS + 1};
    struct cenote_namespace *list;
    uint64_t removed = 7;
    size_t count;

    expect("set", cenote_namespace_set(client, "space", &some), CENOTE_NOT_FOUND);
    service_lose(&service, METHOD_SPACE_SET, 2);
    expect("create", cenote_namespace_create(client, "space", &some), CENOTE_OK);
    expect("create", cenote_namespace_create(client, "space", &some), CENOTE_EXISTS);
    expect("set", cenote_namespace_set(client, "space", &some), CENOTE_OK);
    expect("list", cenote_namespaces(client, &list, &count), CENOTE_OK);
    CHECK(count == 2 && strcmp(list[0].name, "default") == 0);
    CHECK(strcmp(list[1].name, "space") == 0 && list[1].settings.quota_objects == 5);
    CHECK(list[1].used_bytes == 100 && list[1].excess_bytes == 40 && list[1].excess_objects == 0);
    CHECK(list[1].services == 1);
    free(list);
    expect("create", cenote_namespace_create(client, "no spaces", NULL), CENOTE_INVALID);
    expect("create", cenote_namespace_create(client, NULL, NULL), CENOTE_INVALID);
    expect("set", cenote_namespace_set(client, "space", &forever), CENOTE_INVALID);
    expect("clear", cenote_namespace_clear(client, "missing", &removed), CENOTE_NOT_FOUND);
    CHECK(removed == 0);
    expect("remove", cenote_namespace_remove(client, "space"), CENOTE_OK);
    expect("remove", cenote_namespace_remove(client, "space"), CENOTE_NOT_FOUND);
    expect("list", cenote_namespaces(client, NULL, &count), CENOTE_INVALID);
}

static void prefixes(void)
{
    uint64_t removed = 0;
    char key[8];

    for (unsigned i = 0; i < 7; i++) {
        snprintf(key, sizeof key, "x/%u", i);
        expect("put", put(key, 10), CENOTE_OK);
    }
    expect("put", put("y", 10), CENOTE_OK);
    expect("prefix", cenote_remove_prefix(client, "x/", 2, &removed), CENOTE_OK);
    CHECK(removed == 7);
    expect("prefix", cenote_remove_prefix(client, "x/", 2, &removed), CENOTE_OK);
    CHECK(removed == 0);
    expect("get", cenote_get(client, "y", 1, value, VALUE_BYTES, NULL), CENOTE_OK);
    expect("prefix", cenote_remove_prefix(client, NULL, 1, NULL), CENOTE_INVALID);
    expect("clear", cenote_namespace_clear(client, "default", &removed), CENOTE_OK);
    CHECK(removed >= 1);
}

/* In the background, with a policy that is gone by then. */
static void submissions(void)
{
    struct cenote_buffer piece = {value, 10};
    struct cenote_put_item item = {.key = {"s", 1}, .buffers = &piece, .buffer_count = 1};
    struct cenote_policy policy = {.ttl_ms = 5000, .group = "group", .group_len_bytes = 5};
    const struct cenote_submit how = {.policy = &policy};
    struct cenote_completion done;

    expect("submit", cenote_submit_put(client, &item, 1, 0, &how, NULL), CENOTE_OK);
    policy = (struct cenote_policy){.pin = 99};
    CHECK(cenote_completions(client, &done, 1, 5000) == 1);
    expect("submit", done.status, CENOTE_OK);
}

int main(void)
{
    char path[64];

    snprintf(path, sizeof path, "@cenote-client-policies-%ld", (long)getpid());
    fake_fill(value, sizeof value, 9);
    service_begin(&service, path);
    const struct cenote_options o = {
        .meta = service.where, .transport = CENOTE_TRANSPORT_TCP, .timeout_ms = 5000};
    expect("open", cenote_open(&o, &client), CENOTE_OK);
    policies();
    bad_policies();
    namespaces();
    submissions();
    prefixes();
    cenote_close(&client);
    service_end(&service);
    return 0;
}
