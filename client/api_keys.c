/* SPDX-License-Identifier: Apache-2.0 */
/* Public functions that only talk to the service about keys. */
#include <string.h>

#include "client/client.h"
#include "client/retry.h"
#include "transport/base/log.h"

#define MODULE "client"

/* Keys of one call to the service: with keys of full length half a MiB. */
#define CALL_KEYS 512u

static size_t call_size(size_t left)
{
    return left < CALL_KEYS ? left : CALL_KEYS;
}

/* Begins a request whose parameters are one list of keys. */
static void ask_keys(struct wire_buf *request, const char *method, const struct cenote_key *keys,
                     size_t count)
{
    wire_buf_clear(request);
    wire_put_request(request, 0, method);
    keys_params_put(request, (uint32_t)count);
    for (size_t i = 0; i < count; i++)
        wire_put_bin(request, keys[i].data, keys[i].len_bytes);
}

/* ---- keys of one call, divided among the services -------------------------------------------- */

/* Asks one service about keys, sets their statuses, and returns the newest epoch by which it
 * refused some. */
typedef uint64_t (*keys_fn)(struct drive *d, struct wire_buf *request,
                            const struct cenote_key *keys, size_t count, int *statuses);

struct keys_call {
    keys_fn fn;
    const struct cenote_key *keys;
    size_t count; /* at most CALL_KEYS */
    struct wire_buf request;
    int statuses[CALL_KEYS];
    struct cenote_key part[CALL_KEYS]; /* of one service */
    int part_statuses[CALL_KEYS];
};

static struct cenote_key call_key(void *arg, size_t i)
{
    return ((struct keys_call *)arg)->keys[i];
}

static int *call_status(void *arg, size_t i)
{
    return &((struct keys_call *)arg)->statuses[i];
}

static uint64_t call_part(void *arg, struct drive *d, const uint16_t *items, size_t count)
{
    struct keys_call *c = arg;

    for (size_t i = 0; i < count; i++)
        c->part[i] = c->keys[items[i]];
    uint64_t epoch = c->fn(d, &c->request, c->part, count, c->part_statuses);
    for (size_t i = 0; i < count; i++)
        c->statuses[items[i]] = c->part_statuses[i];
    return epoch;
}

static void call_run(struct shards *s, struct keys_call *c)
{
    struct drive *only = shards_only(s);
    bool wrong = !only;

    if (only)
        c->fn(only, &c->request, c->keys, c->count, c->statuses);
    for (size_t i = 0; i < c->count; i++) {
        if (!only)
            c->statuses[i] = CENOTE_WRONG_SHARD;
        wrong = wrong || c->statuses[i] == CENOTE_WRONG_SHARD;
    }
    if (wrong)
        shards_run(s, &(struct shards_work){.count = c->count,
                                            .key = call_key,
                                            .status = call_status,
                                            .run = call_part,
                                            .arg = c});
}

static void fail_all(int *statuses, size_t count, int status)
{
    for (size_t i = 0; i < count; i++)
        statuses[i] = status;
}

/* ---- remove ---------------------------------------------------------------------------------- */

static void ask_remove(uint64_t seq, struct wire_buf *request, const struct cenote_key *keys,
                       size_t count)
{
    wire_buf_clear(request);
    wire_put_request(request, 0, METHOD_REMOVE);
    remove_params_put(request, seq, (uint32_t)count);
    for (size_t i = 0; i < count; i++)
        wire_put_bin(request, keys[i].data, keys[i].len_bytes);
}

/* The service refuses a number that is too old, item by item: the others of this session were
 * faster. */
static bool too_old(const struct rpc_answer *answer)
{
    int status;
    return key_status_get(wire_at(answer->msg.result, 0), &status) && status == CENOTE_UNKNOWN;
}

/* Takes a new number as long as it is certain that the call had no effect under the last one. */
static int remove_call(struct drive *d, struct wire_buf *request, const struct cenote_key *keys,
                       size_t count, struct rpc_answer *answer)
{
    struct machine_env env = drive_env(d);
    int status = CENOTE_NO_SESSION;

    for (uint32_t i = 0; i <= RETRY_SESSIONS_MAX && status == CENOTE_NO_SESSION; i++) {
        uint64_t seq = env.next_seq(env.arg);
        bool lost;
        ask_remove(seq, request, keys, count);
        status = drive_change(d, seq, request, answer, &lost);
        if (status == CENOTE_OK && !lost && too_old(answer)) {
            rpc_answer_free(answer);
            status = CENOTE_NO_SESSION;
        }
    }
    return status == CENOTE_NO_SESSION ? CENOTE_UNAVAILABLE : status;
}

static uint64_t remove_some(struct drive *d, struct wire_buf *request,
                            const struct cenote_key *keys, size_t count, int *statuses)
{
    struct rpc_answer answer = {0};
    uint64_t newest = 0;
    int whole = remove_call(d, request, keys, count, &answer);

    for (size_t i = 0; i < count; i++)
        drive_forget(d, &keys[i]);
    if (whole != CENOTE_OK) {
        fail_all(statuses, count, whole);
        return 0;
    }
    for (size_t i = 0; i < count; i++) {
        struct wire_value v = wire_at(answer.msg.result, (uint32_t)i);
        uint64_t epoch = wrong_shard_epoch(v);
        newest = epoch > newest ? epoch : newest;
        if (!key_status_get(v, &statuses[i]))
            statuses[i] = CENOTE_PROTOCOL;
    }
    rpc_answer_free(&answer);
    return newest;
}

int cenote_remove(struct cenote *client, const struct cenote_key *keys, size_t count, int *statuses)
{
    struct keys_call call = {.fn = remove_some};
    struct shards *s;
    int first = client_enter_shards(client, &s);

    if (first == CENOTE_OK)
        first = client_check_keys(keys, count);
    if (first != CENOTE_OK) {
        if (statuses)
            fail_all(statuses, count, first);
        return first;
    }
    for (size_t at = 0; at < count; at += call.count) {
        call.keys = keys + at;
        call.count = call_size(count - at);
        call_run(s, &call);
        for (size_t i = 0; i < call.count; i++) {
            if (statuses)
                statuses[at + i] = call.statuses[i];
            if (first == CENOTE_OK)
                first = call.statuses[i];
        }
    }
    wire_buf_free(&call.request);
    return first;
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
static uint64_t exists_some(struct drive *d, struct wire_buf *request,
                            const struct cenote_key *keys, size_t count, int *statuses)
{
    struct rpc_answer answer = {0};
    uint64_t epoch = 0;

    ask_keys(request, METHOD_EXISTS, keys, count);
    int status = drive_ask(d, request, &answer);
    if (status == CENOTE_OK) {
        if (!read_exists(answer.msg.result, count, statuses, &epoch)) {
            log_error(MODULE, "exists' answer is malformed");
            status = CENOTE_PROTOCOL;
        }
        rpc_answer_free(&answer);
    }
    if (status != CENOTE_OK)
        fail_all(statuses, count, status);
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
    struct keys_call call = {.fn = exists_some};
    bool there[CENOTE_BATCH_MAX];
    size_t leading = 0;
    struct shards *s;
    int status = client_enter_shards(client, &s);

    if (status == CENOTE_OK)
        status = client_check_keys(keys, count);
    for (size_t at = 0; status == CENOTE_OK && at < count; at += call.count) {
        call.keys = keys + at;
        call.count = call_size(count - at);
        call_run(s, &call);
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

static int read_stat(struct wire_value v, struct cenote_stat *out)
{
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

struct stat_call {
    const struct cenote_key *key;
    struct cenote_stat *out;
};

static int stat_one(void *arg, struct drive *d, uint64_t *epoch)
{
    struct stat_call *c = arg;
    struct wire_buf request = {0};
    struct rpc_answer answer = {0};

    ask_keys(&request, METHOD_STAT, c->key, 1);
    int status = drive_ask(d, &request, &answer);
    wire_buf_free(&request);
    if (status != CENOTE_OK)
        return status;
    *epoch = wrong_shard_epoch(wire_at(answer.msg.result, 0));
    status = read_stat(wire_at(answer.msg.result, 0), c->out);
    rpc_answer_free(&answer);
    return status;
}

int cenote_stat(struct cenote *client, const void *key, size_t key_len_bytes,
                struct cenote_stat *out)
{
    const struct cenote_key one = {key, key_len_bytes};
    struct stat_call call = {.key = &one, .out = out};
    struct shards *s;
    int status = client_enter_shards(client, &s);

    if (status == CENOTE_OK)
        status = out ? client_check_key(&one) : CENOTE_INVALID;
    return status == CENOTE_OK ? shards_one(s, &one, stat_one, &call) : status;
}
