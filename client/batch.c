/* SPDX-License-Identifier: Apache-2.0 */
#include "client/batch.h"

#include <stdlib.h>
#include <string.h>

#include "client/client.h"

struct work {
    const struct batch_kind *kind;
    char *items;
    size_t count;
    const struct batch_how *how;
};

static char *item_of(const struct work *w, size_t i)
{
    return w->items + i * w->kind->item_bytes;
}

static const struct cenote_key *key_in(const void *item)
{
    return item;
}

static int *status_in(const struct work *w, size_t i)
{
    void *status = item_of(w, i) + w->kind->status_at;
    return status;
}

int batch_check(const struct batch_kind *kind, const void *items, size_t count)
{
    const char *item = items;

    if (count > CENOTE_BATCH_MAX || (count > 0 && !items))
        return CENOTE_INVALID;
    for (size_t i = 0; i < count; i++, item += kind->item_bytes) {
        const void *buffers = item + kind->buffers_at, *number = item + kind->buffer_count_at;
        int status = client_check_key(key_in(item));
        if (status == CENOTE_OK)
            status = client_check_buffers(*(const struct cenote_buffer *const *)buffers,
                                          *(const size_t *)number);
        if (status != CENOTE_OK)
            return status;
    }
    return CENOTE_OK;
}

int batch_fail(const struct batch_kind *kind, void *items, size_t count, int status)
{
    const struct work w = {.kind = kind, .items = items, .count = count};

    for (size_t i = 0; items && i < count; i++)
        *status_in(&w, i) = status;
    return status;
}

/* Of all items; *wrong: some were refused because another service owns their keys. */
static int first_error(const struct work *w, bool *wrong)
{
    int first = CENOTE_OK;

    *wrong = false;
    for (size_t i = 0; i < w->count; i++) {
        int status = *status_in(w, i);
        *wrong = *wrong || status == CENOTE_WRONG_SHARD;
        if (first == CENOTE_OK && !(status == CENOTE_EXISTS && w->kind->exists_is_success))
            first = status;
    }
    return first;
}

/* Apart, so that kinds which count for themselves don't pay for it. */
static __attribute__((noinline)) uint64_t run_counted(const struct batch_kind *kind,
                                                      struct drive *d, void *items, size_t count,
                                                      const struct batch_how *how)
{
    const struct work w = {.kind = kind, .items = items, .count = count};
    uint64_t begun_ns = tally_begin();
    uint64_t epoch = kind->some(d, items, count, how);

    tally_took(drive_tally(d), kind->op, begun_ns);
    for (size_t i = 0; i < count; i++)
        tally_ended(drive_tally(d), kind->op, *status_in(&w, i));
    return epoch;
}

/* Does some items with one service, and counts how they ended, unless the kind does that itself. */
static uint64_t run_some(const struct batch_kind *kind, struct drive *d, void *items, size_t count,
                         const struct batch_how *how)
{
    return kind->counted ? run_counted(kind, d, items, count, how)
                         : kind->some(d, items, count, how);
}

/* ---- several services ------------------------------------------------------------------------ */

static struct cenote_key work_key(void *arg, size_t i)
{
    return *key_in(item_of(arg, i));
}

static int *work_status(void *arg, size_t i)
{
    return status_in(arg, i);
}

static uint64_t run_copies(struct work *w, struct drive *d, const uint16_t *items, size_t count)
{
    size_t bytes = w->kind->item_bytes;
    char *part = malloc(count * bytes);

    if (!part) {
        for (size_t i = 0; i < count; i++)
            *status_in(w, items[i]) = CENOTE_NO_MEMORY;
        return 0;
    }
    for (size_t i = 0; i < count; i++)
        memcpy(part + i * bytes, item_of(w, items[i]), bytes);
    uint64_t epoch = run_some(w->kind, d, part, count, w->how);
    for (size_t i = 0; i < count; i++)
        memcpy(item_of(w, items[i]), part + i * bytes, bytes);
    free(part);
    return epoch;
}

/* Items that follow each other still do. */
static uint64_t work_part(void *arg, struct drive *d, const uint16_t *items, size_t count)
{
    struct work *w = arg;

    if (count == w->count)
        return run_some(w->kind, d, w->items, count, w->how);
    return run_copies(w, d, items, count);
}

int batch_run(const struct batch_kind *kind, struct shards *s, void *items, size_t count,
              const struct batch_how *how)
{
    struct work w = {.kind = kind, .items = items, .count = count, .how = how};
    struct drive *only = shards_only(s);
    bool wrong;

    if (only)
        run_some(kind, only, items, count, how);
    else
        batch_fail(kind, items, count, CENOTE_WRONG_SHARD);
    int status = first_error(&w, &wrong);
    if (!wrong)
        return status;
    shards_run(
        s,
        &(struct shards_work){
            .count = count, .key = work_key, .status = work_status, .run = work_part, .arg = &w});
    return first_error(&w, &wrong);
}
