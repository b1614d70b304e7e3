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
    return wire_i32(wire_at(answer->msg.result, 0), &status) && status == CENOTE_UNKNOWN;
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

/* Removes the keys of one call; first gets the first error. */
static void remove_some(struct drive *d, struct wire_buf *request, const struct cenote_key *keys,
                        size_t count, int *statuses, int *first)
{
    struct rpc_answer answer = {0};
    int whole = remove_call(d, request, keys, count, &answer);

    for (size_t i = 0; i < count; i++) {
        int status = whole;
        if (whole == CENOTE_OK &&
            (!wire_i32(wire_at(answer.msg.result, (uint32_t)i), &status) || status > 0))
            status = CENOTE_PROTOCOL;
        drive_forget(d, &keys[i]);
        if (statuses)
            statuses[i] = status;
        if (*first == CENOTE_OK)
            *first = status;
    }
    if (whole == CENOTE_OK)
        rpc_answer_free(&answer);
}

int cenote_remove(struct cenote *client, const struct cenote_key *keys, size_t count, int *statuses)
{
    struct wire_buf request = {0};
    struct drive *d;
    int status = client_enter(client, &d);

    if (status == CENOTE_OK)
        status = client_check_keys(keys, count);
    if (status != CENOTE_OK) {
        for (size_t i = 0; statuses && i < count; i++)
            statuses[i] = status;
        return status;
    }
    for (size_t i = 0, n; i < count; i += n) {
        n = call_size(count - i);
        remove_some(d, &request, keys + i, n, statuses ? statuses + i : NULL, &status);
    }
    wire_buf_free(&request);
    return status;
}

/* ---- exists ---------------------------------------------------------------------------------- */

_Static_assert(CALL_KEYS % 8 == 0, "each call's bits begin a byte");

static int exists_some(struct drive *d, struct wire_buf *request, const struct cenote_key *keys,
                       size_t count, uint8_t *bitmap)
{
    struct rpc_answer answer = {0};
    const uint8_t *bits;
    size_t len, want = (count + 7) / 8;

    ask_keys(request, METHOD_EXISTS, keys, count);
    int status = drive_ask(d, request, &answer);
    if (status != CENOTE_OK)
        return status;
    if (wire_bin(wire_at(answer.msg.result, 1), &bits, &len) && len == want) {
        memcpy(bitmap, bits, want);
    } else {
        log_error(MODULE, "exists' answer is malformed");
        status = CENOTE_PROTOCOL;
    }
    rpc_answer_free(&answer);
    return status;
}

int cenote_exists(struct cenote *client, const struct cenote_key *keys, size_t count, bool *present,
                  size_t *prefix)
{
    uint8_t bitmap[CENOTE_BATCH_MAX / 8];
    struct wire_buf request = {0};
    size_t leading = 0;
    struct drive *d;
    int status = client_enter(client, &d);

    if (status == CENOTE_OK)
        status = client_check_keys(keys, count);
    for (size_t i = 0, n; status == CENOTE_OK && i < count; i += n) {
        n = call_size(count - i);
        status = exists_some(d, &request, keys + i, n, bitmap + i / 8);
    }
    wire_buf_free(&request);
    if (status != CENOTE_OK)
        return status;
    for (size_t i = 0; i < count; i++) {
        bool there = bitmap[i / 8] >> (i % 8) & 1;
        leading += there && leading == i;
        if (present)
            present[i] = there;
    }
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

int cenote_stat(struct cenote *client, const void *key, size_t key_len_bytes,
                struct cenote_stat *out)
{
    const struct cenote_key one = {key, key_len_bytes};
    struct wire_buf request = {0};
    struct rpc_answer answer = {0};
    struct drive *d;
    int status = client_enter(client, &d);

    if (status == CENOTE_OK)
        status = out ? client_check_key(&one) : CENOTE_INVALID;
    if (status != CENOTE_OK)
        return status;
    ask_keys(&request, METHOD_STAT, &one, 1);
    status = drive_ask(d, &request, &answer);
    wire_buf_free(&request);
    if (status != CENOTE_OK)
        return status;
    status = read_stat(wire_at(answer.msg.result, 0), out);
    rpc_answer_free(&answer);
    return status;
}
