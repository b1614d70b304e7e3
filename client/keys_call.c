/* SPDX-License-Identifier: Apache-2.0 */
#include "client/keys_call.h"

#include "client/change_call.h"

void keys_call_ask(struct keys_call *c, const char *method, const struct cenote_key *keys,
                   size_t count)
{
    wire_buf_clear(&c->request);
    wire_put_request(&c->request, 0, method);
    keys_params_put(&c->request, (uint32_t)count);
    for (size_t i = 0; i < count; i++)
        wire_put_bin(&c->request, keys[i].data, keys[i].len_bytes);
}

void keys_fail(int *statuses, size_t count, int status)
{
    for (size_t i = 0; i < count; i++)
        statuses[i] = status;
}

/* ---- several services ------------------------------------------------------------------------ */

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
    uint64_t epoch = c->some(c, d, c->part, count, c->part_statuses);
    for (size_t i = 0; i < count; i++)
        c->statuses[items[i]] = c->part_statuses[i];
    return epoch;
}

void keys_call_run(struct shards *s, struct keys_call *c)
{
    struct drive *only = shards_only(s);
    bool wrong = !only;

    if (only)
        c->some(c, only, c->keys, c->count, c->statuses);
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

/* ---- changes --------------------------------------------------------------------------------- */

struct some_keys {
    struct change_call call; /* first */
    const struct keys_change *change;
    const struct cenote_key *keys;
    size_t count;
};

static void encode_some(const struct change_call *c, uint64_t seq, struct wire_buf *request)
{
    const struct some_keys *some = (const struct some_keys *)c;
    some->change->encode(some->change, seq, some->keys, some->count, request);
}

static void tally_some(const struct some_keys *some, const struct drive *d, const int *statuses,
                       uint64_t begun_ns)
{
    if (!some->change->counted)
        return;
    tally_took(drive_tally(d), some->change->op, begun_ns);
    for (size_t i = 0; i < some->count; i++)
        tally_ended(drive_tally(d), some->change->op, statuses[i]);
}

static uint64_t change_some(struct keys_call *c, struct drive *d, const struct cenote_key *keys,
                            size_t count, int *statuses)
{
    struct some_keys some = {{encode_some}, c->arg, keys, count};
    struct rpc_answer answer = {0};
    enum tally_op op = some.change->op;
    uint64_t newest = 0, begun_ns = tally_begin();
    uint64_t traced_ns = some.change->counted ? tally_trace(drive_tally(d), op, TALLY_WHOLE) : 0;
    int whole = change_run(d, &some.call, &c->request, &answer);

    tally_traced(drive_tally(d), op, TALLY_WHOLE, traced_ns, count);

    for (size_t i = 0; i < count; i++)
        drive_forget(d, &keys[i]);
    if (whole != CENOTE_OK) {
        keys_fail(statuses, count, whole);
        tally_some(&some, d, statuses, begun_ns);
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
    tally_some(&some, d, statuses, begun_ns);
    return newest;
}

int keys_change_run(struct shards *s, const struct keys_change *change,
                    const struct cenote_key *keys, size_t count, int *statuses)
{
    struct keys_call call = {.some = change_some, .arg = change};
    int first = CENOTE_OK;

    for (size_t at = 0; at < count; at += call.count) {
        call.keys = keys + at;
        call.count = keys_call_size(count - at);
        keys_call_run(s, &call);
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
