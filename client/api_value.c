/* SPDX-License-Identifier: Apache-2.0 */
/* Public functions that move values. */
#include "client/batch.h"
#include "client/client.h"
#include "client/get.h"
#include "client/policy.h"
#include "client/put.h"

static uint64_t put_some(struct drive *d, void *array, size_t count, const struct batch_how *how);
static uint64_t get_some(struct drive *d, void *array, size_t count, const struct batch_how *how);

static const struct batch_kind put_kind = {BATCH_KIND(struct cenote_put_item),
                                           .exists_is_success = true, .some = put_some,
                                           .counted = true, .op = TALLY_PUT};
static const struct batch_kind get_kind = {BATCH_KIND(struct cenote_get_item), .some = get_some};

/* ---- puts ------------------------------------------------------------------------------------ */

int client_check_puts(const struct cenote_put_item *items, size_t count, unsigned flags)
{
    if (client_check_put_flags(flags) != CENOTE_OK)
        return CENOTE_INVALID;
    return batch_check(&put_kind, items, count);
}

static uint64_t put_some(struct drive *d, void *array, size_t count, const struct batch_how *how)
{
    struct cenote_put_item *items = array;
    struct machine_env env = drive_env(d);
    struct put *p = put_begin(&env, items, count, how->flags);

    if (!p) {
        batch_fail(&put_kind, items, count, CENOTE_NO_MEMORY);
        return 0;
    }
    put_keep(p, &how->keep);
    drive_run(d, put_machine(p));
    uint64_t epoch = put_machine(p)->wrong_epoch;
    put_free(p);
    for (size_t i = 0; i < count; i++) {
        if (items[i].status != CENOTE_EXISTS)
            drive_forget(d, &items[i].key);
    }
    return epoch;
}

int cenote_put_with(struct cenote *client, struct cenote_put_item *items, size_t count,
                    unsigned flags, const struct cenote_policy *policy)
{
    struct batch_how how = {.flags = flags};
    struct shards *s;
    int status = client_enter_shards(client, &s);

    if (status == CENOTE_OK)
        status = client_check_puts(items, count, flags);
    if (status == CENOTE_OK)
        status = policy_keep(policy, &how.keep);
    if (status != CENOTE_OK || count == 0)
        return batch_fail(&put_kind, items, count, status);
    return batch_run(&put_kind, s, items, count, &how);
}

int cenote_put_batch(struct cenote *client, struct cenote_put_item *items, size_t count,
                     unsigned flags)
{
    return cenote_put_with(client, items, count, flags, NULL);
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

/* ---- gets ------------------------------------------------------------------------------------ */

int client_check_gets(const struct cenote_get_item *items, size_t count)
{
    return batch_check(&get_kind, items, count);
}

static uint64_t get_cold(struct drive *d, struct cenote_get_item *items, size_t count)
{
    struct machine_env env = drive_env(d);
    struct get *g = get_begin(&env, items, count);

    if (!g) {
        batch_fail(&get_kind, items, count, CENOTE_NO_MEMORY);
        return 0;
    }
    drive_run(d, get_machine(g));
    uint64_t epoch = get_machine(g)->wrong_epoch;
    get_free(g);
    return epoch;
}

/* Apart, so that what is known and near keeps no registers for it. */
static __attribute__((noinline)) uint64_t get_rest(struct drive *d, struct cenote_get_item *items,
                                                   size_t count, uint64_t begun_ns)
{
    begun_ns = begun_ns != 0 ? begun_ns : tally_begin();
    uint64_t epoch = get_cold(d, items, count);
    tally_took(drive_tally(d), TALLY_GET, begun_ns);
    for (size_t i = 0; i < count; i++)
        tally_ended(drive_tally(d), TALLY_GET, items[i].status);
    return epoch;
}

/* What is known and near is there at once. */
static inline __attribute__((always_inline)) uint64_t
get_all(struct drive *d, struct tally *t, struct cenote_get_item *items, size_t count, bool traced)
{
    struct tally_warm *stripe = CENOTE_METRICS ? tally_warm_stripe(t) : NULL;
    uint64_t traced_ns = traced ? tally_trace(t, TALLY_GET, TALLY_WARM) : 0;
    uint64_t begun_ns = tally_get_begin(stripe, count), warm_bytes = 0;
    size_t warm = 0;

    while (warm < count && drive_get_warm(d, &items[warm]))
        warm_bytes += items[warm++].len_bytes;
    if (traced)
        tally_traced(t, TALLY_GET, TALLY_WARM, traced_ns, warm);
    if (warm > 0)
        tally_warm_got(stripe, warm, warm_bytes);
    if (warm < count)
        return get_rest(d, items + warm, count - warm, begun_ns);
    if (tally_is_timed(begun_ns))
        tally_warm_took(t, begun_ns, count);
    return 0;
}

/* Apart, as above. */
static __attribute__((noinline)) uint64_t
get_all_traced(struct drive *d, struct tally *t, struct cenote_get_item *items, size_t count)
{
    return get_all(d, t, items, count, true);
}

static uint64_t get_some(struct drive *d, void *array, size_t count, const struct batch_how *how)
{
    struct tally *t = CENOTE_METRICS ? drive_tally(d) : NULL;

    (void)how;
    if (CENOTE_METRICS && tally_traces(t))
        return get_all_traced(d, t, array, count);
    return get_all(d, t, array, count, false);
}

int cenote_get_batch(struct cenote *client, struct cenote_get_item *items, size_t count)
{
    struct shards *s;
    int status = client_enter_shards(client, &s);

    if (status == CENOTE_OK)
        status = client_check_gets(items, count);
    if (status != CENOTE_OK || count == 0)
        return batch_fail(&get_kind, items, count, status);
    return batch_run(&get_kind, s, items, count, &(struct batch_how){0});
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
