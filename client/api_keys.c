/* SPDX-License-Identifier: Apache-2.0 */
/* Public functions that only talk to the service about keys. */
#include <string.h>

#include "client/client.h"
#include "client/keys_call.h"
#include "transport/base/log.h"

#define MODULE "client"

/* ---- remove ---------------------------------------------------------------------------------- */

static void encode_remove(const struct keys_change *change, uint64_t seq,
                          const struct cenote_key *keys, size_t count, struct wire_buf *request)
{
    (void)change;
    wire_put_request(request, 0, METHOD_REMOVE);
    remove_params_put(request, seq, (uint32_t)count);
    for (size_t i = 0; i < count; i++)
        wire_put_bin(request, keys[i].data, keys[i].len_bytes);
}

int cenote_remove(struct cenote *client, const struct cenote_key *keys, size_t count, int *statuses)
{
    static const struct keys_change change = {encode_remove, true, TALLY_REMOVE};
    struct shards *s;
    int status = client_enter_shards(client, &s);

    if (status == CENOTE_OK)
        status = client_check_keys(keys, count);
    if (status == CENOTE_OK)
        return keys_change_run(s, &change, keys, count, statuses);
    if (statuses)
        keys_fail(statuses, count, status);
    return status;
}

/* ---- exists ---------------------------------------------------------------------------------- */

static bool bit(const uint8_t *bits, size_t i)
{
    return (bits[i / 8] >> (i % 8) & 1) != 0;
}

/* [leading, there], and [..., epoch, refused] if some were. */
static bool read_exists(struct wire_value result, size_t count, int *statuses, uint64_t *epoch)
{
    const uint8_t *there, *refused;
    size_t len, want = (count + 7) / 8;
    uint32_t fields;

    if (!wire_array(result, &fields) || !wire_bin(wire_at(result, 1), &there, &len) || len != want)
        return false;
    for (size_t i = 0; i < count; i++)
        statuses[i] = bit(there, i) ? CENOTE_OK : CENOTE_NOT_FOUND;
    if (fields < 4)
        return true;
    if (!wire_uint(wire_at(result, 2), epoch) || !wire_bin(wire_at(result, 3), &refused, &len) ||
        len != want)
        return false;
    for (size_t i = 0; i < count; i++)
        statuses[i] = bit(refused, i) ? CENOTE_WRONG_SHARD : statuses[i];
    return true;
}

/* What is there gets CENOTE_OK, what isn't CENOTE_NOT_FOUND. */
static uint64_t exists_some(struct keys_call *c, struct drive *d, const struct cenote_key *keys,
                            size_t count, int *statuses)
{
    struct rpc_answer answer = {0};
    uint64_t epoch = 0, begun_ns = tally_begin();

    keys_call_ask(c, METHOD_EXISTS, keys, count);
    uint64_t traced_ns = tally_trace(drive_tally(d), TALLY_EXISTS, TALLY_WHOLE);
    int status = drive_ask(d, &c->request, &answer);
    tally_traced(drive_tally(d), TALLY_EXISTS, TALLY_WHOLE, traced_ns, count);
    tally_took(drive_tally(d), TALLY_EXISTS, begun_ns);
    if (status == CENOTE_OK) {
        if (!read_exists(answer.msg.result, count, statuses, &epoch)) {
            log_error(MODULE, "exists' answer is malformed");
            status = CENOTE_PROTOCOL;
        }
        rpc_answer_free(&answer);
    }
    if (status != CENOTE_OK)
        keys_fail(statuses, count, status);
    for (size_t i = 0; i < count; i++)
        tally_ended(drive_tally(d), TALLY_EXISTS, statuses[i]);
    return epoch;
}

/* Adds what a call told. */
static int take_presence(const struct keys_call *c, bool *out, size_t at, size_t *leading)
{
    for (size_t i = 0; i < c->count; i++) {
        bool there = c->statuses[i] == CENOTE_OK;
        if (!there && c->statuses[i] != CENOTE_NOT_FOUND)
            return c->statuses[i];
        *leading += there && *leading == at + i;
        out[i] = there;
    }
    return CENOTE_OK;
}

int cenote_exists(struct cenote *client, const struct cenote_key *keys, size_t count, bool *present,
                  size_t *prefix)
{
    struct keys_call call = {.some = exists_some};
    bool there[CENOTE_BATCH_MAX];
    size_t leading = 0;
    struct shards *s;
    int status = client_enter_shards(client, &s);

    if (status == CENOTE_OK)
        status = client_check_keys(keys, count);
    for (size_t at = 0; status == CENOTE_OK && at < count; at += call.count) {
        call.keys = keys + at;
        call.count = keys_call_size(count - at);
        keys_call_run(s, &call);
        status = take_presence(&call, there + at, at, &leading);
    }
    wire_buf_free(&call.request);
    if (status != CENOTE_OK)
        return status;
    for (size_t i = 0; present && i < count; i++)
        present[i] = there[i];
    if (prefix)
        *prefix = leading;
    return status;
}

/* ---- stat ------------------------------------------------------------------------------------ */

static int read_stat(struct wire_value v, void *arg)
{
    struct cenote_stat *out = arg;
    struct lookup_item found;
    struct stripe s;
    uint32_t least = REPLICAS_MAX;

    if (!stat_item_get(v, &found))
        return CENOTE_PROTOCOL;
    if (found.status != CENOTE_OK)
        return found.status;
    for (uint32_t i = 0; i < found.stripe_count; i++) {
        if (!located_stripe_get(wire_at(found.stripes, i), &s))
            return CENOTE_PROTOCOL;
        least = s.replicas < least ? s.replicas : least;
    }
    *out = (struct cenote_stat){.len_bytes = found.len_bytes,
                                .put_id = found.put_id,
                                .created_ms = found.created_ms,
                                .stripes = found.stripe_count,
                                .replicas = least,
                                .has_sums = found.sum_kind != SUM_NONE};
    return CENOTE_OK;
}

/* The answer to stat of one key. */
struct stat_call {
    const struct cenote_key *key;
    int (*read)(struct wire_value v, void *out);
    void *out;
};

static int stat_one(void *arg, struct drive *d, uint64_t *epoch)
{
    struct stat_call *c = arg;
    struct wire_buf request = {0};
    struct rpc_answer answer = {0};

    wire_put_request(&request, 0, METHOD_STAT);
    keys_params_put(&request, 1);
    wire_put_bin(&request, c->key->data, c->key->len_bytes);
    uint64_t begun_ns = tally_begin();
    uint64_t traced_ns = tally_trace(drive_tally(d), TALLY_STAT, TALLY_WHOLE);
    int status = drive_ask(d, &request, &answer);
    tally_traced(drive_tally(d), TALLY_STAT, TALLY_WHOLE, traced_ns, 1);
    tally_took(drive_tally(d), TALLY_STAT, begun_ns);
    wire_buf_free(&request);
    if (status != CENOTE_OK) {
        tally_ended(drive_tally(d), TALLY_STAT, status);
        return status;
    }
    *epoch = wrong_shard_epoch(wire_at(answer.msg.result, 0));
    status = c->read(wire_at(answer.msg.result, 0), c->out);
    tally_ended(drive_tally(d), TALLY_STAT, status);
    rpc_answer_free(&answer);
    return status;
}

int client_stat(struct cenote *client, const struct cenote_key *key,
                int (*read)(struct wire_value v, void *out), void *out)
{
    struct stat_call call = {.key = key, .read = read, .out = out};
    struct shards *s;
    int status = client_enter_shards(client, &s);

    if (status == CENOTE_OK)
        status = out ? client_check_key(key) : CENOTE_INVALID;
    return status == CENOTE_OK ? shards_one(s, key, stat_one, &call) : status;
}

int cenote_stat(struct cenote *client, const void *key, size_t key_len_bytes,
                struct cenote_stat *out)
{
    const struct cenote_key one = {key, key_len_bytes};
    return client_stat(client, &one, read_stat, out);
}
