/* SPDX-License-Identifier: Apache-2.0 */
/* Public functions on parts of values. */
#include <cenote/range.h>
#include <stdlib.h>

#include "client/client.h"
#include "client/get.h"

static int fail_ranges(struct cenote_range_item *items, size_t count, int status)
{
    for (size_t i = 0; items && i < count; i++)
        items[i].status = status;
    return status;
}

static int check_ranges(const struct cenote_range_item *items, size_t count)
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

/* With one service. Returns the newest epoch by which it refused items. */
static uint64_t get_some(struct drive *d, struct cenote_range_item *items, size_t count)
{
    struct machine_env env = drive_env(d);
    struct get *g = get_begin_ranges(&env, items, count);

    if (!g) {
        fail_ranges(items, count, CENOTE_NO_MEMORY);
        return 0;
    }
    drive_run(d, get_machine(g));
    uint64_t epoch = get_machine(g)->wrong_epoch;
    get_free(g);
    return epoch;
}

struct range_work {
    struct cenote_range_item *items;
    size_t count;
};

static struct cenote_key range_key(void *arg, size_t i)
{
    return ((struct range_work *)arg)->items[i].key;
}

static int *range_status(void *arg, size_t i)
{
    return &((struct range_work *)arg)->items[i].status;
}

/* Ranges of one key that follow each other still do. */
static uint64_t range_part(void *arg, struct drive *d, const uint16_t *items, size_t count)
{
    struct range_work *w = arg;
    struct cenote_range_item *part;
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

/* Of all items; *wrong: some were refused because another service owns their keys. */
static int first_error(const struct cenote_range_item *items, size_t count, bool *wrong)
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

int cenote_get_ranges(struct cenote *client, struct cenote_range_item *items, size_t count)
{
    struct range_work work = {.items = items, .count = count};
    struct shards *s;
    struct drive *only;
    bool wrong;
    int status = client_enter_shards(client, &s);

    if (status == CENOTE_OK)
        status = check_ranges(items, count);
    if (status != CENOTE_OK || count == 0)
        return fail_ranges(items, count, status);
    only = shards_only(s);
    if (only)
        get_some(only, items, count);
    else
        fail_ranges(items, count, CENOTE_WRONG_SHARD);
    status = first_error(items, count, &wrong);
    if (!wrong)
        return status;
    shards_run(s, &(struct shards_work){.count = count,
                                        .key = range_key,
                                        .status = range_status,
                                        .run = range_part,
                                        .arg = &work});
    return first_error(items, count, &wrong);
}
