/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A value that is wanted for an hour, in a namespace with a quota: it is evicted together with the
 * others of its session, and is pinned while that runs. Usage: policy [NAMESPACE]
 */
#include <cenote/namespace.h>
#include <cenote/policy.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static int open_within(const char *name, struct cenote **client)
{
    const struct cenote_options options = {.name_space = name};
    return cenote_open(&options, client);
}

/* By an operator, once. */
static int prepare(const char *name)
{
    const struct cenote_namespace_settings settings = {.quota_bytes = 1 << 26};
    struct cenote *client;
    int status = cenote_open(NULL, &client);

    if (status != CENOTE_OK)
        return status;
    status = cenote_namespace_create(client, name, &settings);
    cenote_close(&client);
    return status == CENOTE_EXISTS ? CENOTE_OK : status;
}

static int put(struct cenote *client, const char *key, const char *text)
{
    const struct cenote_policy policy = {.ttl_ms = 3600 * 1000,
                                         .pin = CENOTE_PIN_SOFT,
                                         .pin_ms = 60 * 1000,
                                         .group = "session 7",
                                         .group_len_bytes = strlen("session 7")};
    struct cenote_buffer piece = {.addr = (void *)(uintptr_t)text, .len_bytes = strlen(text)};
    struct cenote_put_item item = {.key = {key, strlen(key)}, .buffers = &piece, .buffer_count = 1};

    return cenote_put_with(client, &item, 1, CENOTE_PUT_REPLACE, &policy);
}

/* The session has ended: the value may go whenever room is wanted. */
static int unpin(struct cenote *client, const char *key)
{
    const struct cenote_key one = {key, strlen(key)};
    const struct cenote_policy none = {.pin = CENOTE_PIN_NONE};
    struct cenote_kept kept;
    int status = cenote_set_policy(client, &one, 1, &none, CENOTE_POLICY_PIN, NULL);

    if (status == CENOTE_OK)
        status = cenote_get_policy(client, key, strlen(key), &kept);
    if (status == CENOTE_OK)
        printf("pinned: %s, to live: %" PRIu64 " min\n", kept.pin ? "yes" : "no",
               (kept.ttl_left_ms + 59999) / 60000);
    return status;
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "example", *key = "notes";
    struct cenote *client = NULL;
    int status = prepare(name);

    if (status == CENOTE_OK)
        status = open_within(name, &client);
    if (status == CENOTE_OK)
        status = put(client, key, "what was said so far");
    if (status == CENOTE_OK)
        status = unpin(client, key);
    if (status != CENOTE_OK)
        fprintf(stderr, "policy: %s\n", cenote_status_text(status));
    cenote_close(&client);
    return status == CENOTE_OK ? 0 : 1;
}
