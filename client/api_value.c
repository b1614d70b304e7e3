/* SPDX-License-Identifier: Apache-2.0 */
/* Public functions that move values. */
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

int cenote_put_batch(struct cenote *client, struct cenote_put_item *items, size_t count,
                     unsigned flags)
{
    struct drive *d;
    int status = client_enter(client, &d);

    if (status == CENOTE_OK)
        status = client_check_puts(items, count, flags);
    if (status != CENOTE_OK || count == 0)
        return fail_puts(items, count, status);

    struct machine_env env = drive_env(d);
    struct put *p = put_begin(&env, items, count, flags);
    if (!p)
        return fail_puts(items, count, CENOTE_NO_MEMORY);
    drive_run(d, put_machine(p));
    put_free(p);

    for (size_t i = 0; i < count; i++) {
        if (items[i].status != CENOTE_EXISTS)
            drive_forget(d, &items[i].key);
    }
    for (size_t i = 0; i < count; i++) {
        if (items[i].status != CENOTE_OK && items[i].status != CENOTE_EXISTS)
            return items[i].status;
    }
    return CENOTE_OK;
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

static int get_cold(struct drive *d, struct cenote_get_item *items, size_t count)
{
    struct machine_env env = drive_env(d);
    struct get *g = get_begin(&env, items, count);

    if (!g)
        return fail_gets(items, count, CENOTE_NO_MEMORY);
    drive_run(d, get_machine(g));
    get_free(g);
    return CENOTE_OK;
}

int cenote_get_batch(struct cenote *client, struct cenote_get_item *items, size_t count)
{
    struct drive *d;
    size_t warm = 0;
    int status = client_enter(client, &d);

    if (status == CENOTE_OK)
        status = client_check_gets(items, count);
    if (status != CENOTE_OK || count == 0)
        return fail_gets(items, count, status);

    while (warm < count && drive_get_warm(d, &items[warm]))
        warm++;
    if (warm < count)
        status = get_cold(d, items + warm, count - warm);
    if (status != CENOTE_OK)
        return status;

    for (size_t i = 0; i < count; i++) {
        if (items[i].status != CENOTE_OK)
            return items[i].status;
    }
    return CENOTE_OK;
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
