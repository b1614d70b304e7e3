/* SPDX-License-Identifier: Apache-2.0 */
/* Public functions that move values. */
#include <stdlib.h>

#include "client/client.h"
#include "client/get.h"
#include "client/put.h"

static int fail_puts(struct cenote_put_item *items, size_t count, int status)
{
    for (size_t i = 0; items && i < count; i++)
        items[i].status = status;
    return status;
}

int client_check_puts(const struct cenote_put_item *items, size_t count, unsigned flags)
{
    if (count > CENOTE_BATCH_MAX || (count > 0 && !items))
        return CENOTE_INVALID;
    if (client_check_put_flags(flags) != CENOTE_OK)
        return CENOTE_INVALID;
    for (size_t i = 0; i < count; i++) {
        int status = client_check_key(&items[i].key);
        if (status == CENOTE_OK)
            status = client_check_buffers(items[i].buffers, items[i].buffer_count);
        if (status != CENOTE_OK)
            return status;
    }
    return CENOTE_OK;
}

/* With one service. Returns the newest epoch by which it refused items. */
static uint64_t put_some(struct drive *d, struct cenote_put_item *items, size_t count,
                         unsigned flags)
{
    struct machine_env env = drive_env(d);
    struct put *p = put_begin(&env, items, count, flags);

    if (!p) {
        fail_puts(items, count, CENOTE_NO_MEMORY);
        return 0;
    }
    drive_run(d, put_machine(p));
    uint64_t epoch = put_machine(p)->wrong_epoch;
    put_free(p);
    for (size_t i = 0; i < count; i++) {
        if (items[i].status != CENOTE_EXISTS)
            drive_forget(d, &items[i].key);
    }
    return epoch;
}

struct put_work {
    struct cenote_put_item *items;
    size_t count;
    unsigned flags;
};

static struct cenote_key put_key(void *arg, size_t i)
{
    return ((struct put_work *)arg)->items[i].key;
}

static int *put_status(void *arg, size_t i)
{
    return &((struct put_work *)arg)->items[i].status;
}

static uint64_t put_part(void *arg, struct drive *d, const uint16_t *items, size_t count)
{
    struct put_work *w = arg;
    struct cenote_put_item *part;
    uint64_t epoch = 0;

    if (count == w->count)
        return put_some(d, w->items, count, w->flags);
    part = malloc(count * sizeof *part);
    for (size_t i = 0; part && i < count; i++)
        part[i] = w->items[items[i]];
    if (part)
        epoch = put_some(d, part, count, w->flags);
    for (size_t i = 0; i < count; i++)
        w->items[items[i]].status = part ? part[i].status : CENOTE_NO_MEMORY;
    free(part);
    return epoch;
}

/* Of all items; *wrong: some were refused because another service owns their keys. */
static int first_put_error(const struct cenote_put_item *items, size_t count, bool *wrong)
{
    int first = CENOTE_OK;

    *wrong = false;
    for (size_t i = 0; i < count; i++) {
        int status = items[i].status;
        *wrong = *wrong || status == CENOTE_WRONG_SHARD;
        if (first == CENOTE_OK && status != CENOTE_EXISTS)
            first = status;
    }
    return first;
}

int cenote_put_batch(struct cenote *client, struct cenote_put_item *items, size_t count,
                     unsigned flags)
{
    struct put_work work = {.items = items, .count = count, .flags = flags};
    struct shards *s;
    struct drive *only;
    bool wrong;
    int status = client_enter_shards(client, &s);

    if (status == CENOTE_OK)
        status = client_check_puts(items, count, flags);
    if (status != CENOTE_OK || count == 0)
        return fail_puts(items, count, status);
    only = shards_only(s);
    if (only)
        put_some(only, items, count, flags);
    else
        fail_puts(items, count, CENOTE_WRONG_SHARD);
    status = first_put_error(items, count, &wrong);
    if (!wrong)
        return status;
    shards_run(
        s,
        &(struct shards_work){
            .count = count, .key = put_key, .status = put_status, .run = put_part, .arg = &work});
    return first_put_error(items, count, &wrong);
}

int cenote_put(struct cenote *client, const void *key, size_t key_len_bytes, const void *data,
               size_t len_bytes, unsigned flags)
{
    struct cenote_buffer piece = {.addr = (void *)(uintptr_t)data, .len_bytes = len_bytes};
    struct cenote_put_item item = {
        .key = {key, key_len_bytes}, .buffers = &piece, .buffer_count = 1};

    cenote_put_batch(client, &item, 1, flags);
    return item.status;
}

static int fail_gets(struct cenote_get_item *items, size_t count, int status)
{
    for (size_t i = 0; items && i < count; i++)
        items[i].status = status;
    return status;
}

int client_check_gets(const struct cenote_get_item *items, size_t count)
{
    if (count > CENOTE_BATCH_MAX || (count > 0 && !items))
        return CENOTE_INVALID;
    for (size_t i = 0; i < count; i++) {
        int status = client_check_key(&items[i].key);
        if (status == CENOTE_OK)
            status = client_check_buffers(items[i].buffers, items[i].buffer_count);
        if (status != CENOTE_OK)
            return status;
    }
    return CENOTE_OK;
}

static uint64_t get_cold(struct drive *d, struct cenote_get_item *items, size_t count)
{
    struct machine_env env = drive_env(d);
    struct get *g = get_begin(&env, items, count);

    if (!g) {
        fail_gets(items, count, CENOTE_NO_MEMORY);
        return 0;
    }
    drive_run(d, get_machine(g));
    uint64_t epoch = get_machine(g)->wrong_epoch;
    get_free(g);
    return epoch;
}

/* With one service. Returns the newest epoch by which it refused items. */
static uint64_t get_some(struct drive *d, struct cenote_get_item *items, size_t count)
{
    size_t warm = 0;

    while (warm < count && drive_get_warm(d, &items[warm]))
        warm++;
    return warm < count ? get_cold(d, items + warm, count - warm) : 0;
}

struct get_work {
    struct cenote_get_item *items;
    size_t count;
};

static struct cenote_key get_key(void *arg, size_t i)
{
    return ((struct get_work *)arg)->items[i].key;
}

static int *get_status(void *arg, size_t i)
{
    return &((struct get_work *)arg)->items[i].status;
}

static uint64_t get_part(void *arg, struct drive *d, const uint16_t *items, size_t count)
{
    struct get_work *w = arg;
    struct cenote_get_item *part;
    uint64_t epoch = 0;

    if (count == w->count)
        return get_some(d, w->items, count);
    part = malloc(count * sizeof *part);
    for (size_t i = 0; part && i < count; i++)
        part[i] = w->items[items[i]];
    if (part)
        epoch = get_some(d, part, count);
    for (size_t i = 0; i < count; i++) {
        if (part)
            w->items[items[i]] = part[i];
        else
            w->items[items[i]].status = CENOTE_NO_MEMORY;
    }
    free(part);
    return epoch;
}

static int first_get_error(const struct cenote_get_item *items, size_t count, bool *wrong)
{
    int first = CENOTE_OK;

    *wrong = false;
    for (size_t i = 0; i < count; i++) {
        *wrong = *wrong || items[i].status == CENOTE_WRONG_SHARD;
        if (first == CENOTE_OK)
            first = items[i].status;
    }
    return first;
}

int cenote_get_batch(struct cenote *client, struct cenote_get_item *items, size_t count)
{
    struct get_work work = {.items = items, .count = count};
    struct shards *s;
    struct drive *only;
    bool wrong;
    int status = client_enter_shards(client, &s);

    if (status == CENOTE_OK)
        status = client_check_gets(items, count);
    if (status != CENOTE_OK || count == 0)
        return fail_gets(items, count, status);
    only = shards_only(s);
    if (only)
        get_some(only, items, count);
    else
        fail_gets(items, count, CENOTE_WRONG_SHARD);
    status = first_get_error(items, count, &wrong);
    if (!wrong)
        return status;
    shards_run(
        s,
        &(struct shards_work){
            .count = count, .key = get_key, .status = get_status, .run = get_part, .arg = &work});
    return first_get_error(items, count, &wrong);
}

int cenote_get(struct cenote *client, const void *key, size_t key_len_bytes, void *buffer,
               size_t size_bytes, uint64_t *len_bytes)
{
    struct cenote_buffer piece = {.addr = buffer, .len_bytes = size_bytes};
    struct cenote_get_item item = {
        .key = {key, key_len_bytes}, .buffers = &piece, .buffer_count = 1};

    cenote_get_batch(client, &item, 1);
    if (len_bytes && (item.status == CENOTE_OK || item.status == CENOTE_BUFFER_SIZE))
        *len_bytes = item.len_bytes;
    return item.status;
}
