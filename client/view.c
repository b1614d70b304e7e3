/* SPDX-License-Identifier: Apache-2.0 */
#include "client/view.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "client/reading.h"
#include "client/retry.h"
#include "transport/base/log.h"
#include "transport/base/testswitch.h"

#define MODULE "view"

/*
 * The life of a view, until it is open:
 *
 *   ASK ---lookup---> CHOOSE ---hold, seal and sums are right, lease valid---> DONE
 *    ^                 |  ^
 *    |   none is left  |  | hold, but it isn't what was looked up
 *    '-----------------'  LEAVE
 *
 * A lookup in the cache takes the place of the first ASK; if no replica is right by it, it leaves
 * the cache. It also remembers which replica's bytes have been summed: once is enough, since nobody
 * writes to them while the seal is live.
 *
 * A copy is judged when it has ended; a view is judged when the hold is there, and then stays. The
 * lease must be valid at that moment, like that of a get at its end: a node that is away from the
 * service may not have voided what has been removed. Afterwards the hold alone counts.
 */
enum view_state { VIEW_ASK, VIEW_CHOOSE, VIEW_LEAVE, VIEW_DONE };

struct view {
    struct machine machine;
    struct machine_env env;
    const struct cenote_key *key;
    enum view_state state;
    uint32_t rounds; /* lookups of this put so far */
    uint64_t begun_ms;

    struct wire_buf request;
    struct retry retry;
    uint64_t asked_ms; /* before the request was sent */

    struct cache_found found;
    bool cached; /* it came from the cache */
    struct reading_value common;
    struct reading reading;
    struct fabric_req replica; /* as reading_next() chose it; held instead of copied */
    struct fabric_hold hold;
    bool unsupported; /* a replica is there, and can't be mapped */
    bool late;        /* the lease ran out */
    bool doubted;     /* what the last lookup led to failed verification */

    enum step_kind doing;
    bool recalled;   /* the cache was asked */
    bool calling;    /* the request waits to be sent (again) */
    bool map_wanted; /* a node is not where the map says */
    bool map_fresh;  /* refreshed since the last lookup */
    struct view_result result;
};

static void view_next(struct machine *m, uint64_t now_ms, struct step *out);
static void view_done(struct machine *m, uint64_t now_ms, int status, struct wire_value result);

static const struct machine_ops view_ops = {.op = TALLY_VIEW, .next = view_next, .done = view_done};

struct view *view_begin(const struct machine_env *env, const struct cenote_key *key, uint32_t slot)
{
    struct view *v = calloc(1, sizeof *v);

    if (!v)
        return NULL;
    v->machine.ops = &view_ops;
    v->env = *env;
    v->key = key;
    v->hold.x.slot = slot;
    v->doing = STEP_DONE;
    return v;
}

struct machine *view_machine(struct view *v)
{
    return &v->machine;
}

void view_take_result(const struct view *v, struct view_result *out)
{
    assert(v->state == VIEW_DONE);
    *out = v->result;
}

void view_free(struct view *v)
{
    if (!v)
        return;
    wire_buf_free(&v->request);
    free(v);
}

static void finish(struct view *v, int status)
{
    v->result.status = status;
    v->state = VIEW_DONE;
}

/* This lookup's replicas didn't help; another one may, see get.c. */
static void ask_again(struct view *v, int failure, uint64_t now_ms)
{
    if (v->cached && failure != CENOTE_NO_MEMORY && failure != CENOTE_NOT_SUPPORTED) {
        cache_drop(v->env.cache, v->key, v->common.put_id);
        v->cached = false;
        v->begun_ms = now_ms;
        v->state = VIEW_ASK;
        v->map_wanted = v->map_wanted || failure == CENOTE_NODE_DOWN;
        return;
    }

    bool late = failure == CENOTE_NODE_DOWN && now_ms >= v->begun_ms + v->env.timeout_ms;
    bool doubtful = reading_is_doubtful(failure, &v->doubted);

    if (failure == CENOTE_TIMED_OUT || failure == CENOTE_NO_MEMORY || late ||
        failure == CENOTE_NOT_SUPPORTED || (v->rounds >= VIEW_ROUNDS_MAX && !doubtful)) {
        finish(v, failure == CENOTE_STALE ? CENOTE_TIMED_OUT : failure);
        return;
    }
    v->state = VIEW_ASK;
    v->map_wanted = v->map_wanted || failure == CENOTE_NODE_DOWN;
}

/* ---- lookup ---------------------------------------------------------------------------------- */

static void ask(struct view *v, uint64_t now_ms)
{
    wire_buf_clear(&v->request);
    wire_put_request(&v->request, 0, METHOD_LOOKUP);
    keys_params_put(&v->request, 1);
    wire_put_bin(&v->request, v->key->data, v->key->len_bytes);
    if (v->request.failed) {
        finish(v, CENOTE_NO_MEMORY);
        return;
    }
    retry_begin(&v->retry, now_ms, v->env.timeout_ms, false);
    v->calling = true;
}

static bool whole_value(const struct lookup_item *found, struct stripe *out)
{
    return located_stripe_get(wire_at(found->stripes, 0), out) && out->offset == 0 &&
           out->payload_len == found->len_bytes && out->payload_len <= EXTENT_PAYLOAD_MAX &&
           out->replicas > 0;
}

static void begin_choosing(struct view *v)
{
    v->common = (struct reading_value){.put_id = v->found.put_id,
                                       .sums = v->env.verify == CENOTE_VERIFY_FULL &&
                                               v->found.sum_kind != SUM_NONE,
                                       .tally = v->env.tally};
    reading_begin(&v->reading, 0, 0, &v->found.stripes[0]);
    v->unsupported = v->late = v->map_fresh = false;
    v->state = VIEW_CHOOSE;
}

/* Begins with what is known of the key, if anything is. */
static void recall(struct view *v, uint64_t now_ms)
{
    v->begun_ms = now_ms;
    v->recalled = true;
    if (!v->env.cache || !cache_find(v->env.cache, v->key, now_ms, &v->found))
        return;
    v->cached = true;
    begin_choosing(v);
    if (v->found.stripe_count > 1)
        finish(v, CENOTE_NOT_SUPPORTED);
}

static void remember(const struct view *v, bool summed)
{
    if (!v->env.cache)
        return;
    if (!v->cached)
        cache_add(v->env.cache, v->key, &v->found);
    if (summed)
        cache_verify(v->env.cache, v->key, v->found.put_id, 1u << reading_replica(&v->reading));
}

static int take_found(struct view *v, const struct lookup_item *found, uint64_t now_ms)
{
    struct stripe s;

    if (found->status != CENOTE_OK)
        return found->status;
    if (v->rounds > 0 && v->common.put_id != found->put_id) {
        if (now_ms >= v->begun_ms + v->env.timeout_ms)
            return CENOTE_TIMED_OUT;
        v->rounds = 0; /* somebody was faster */
        v->doubted = false;
    }
    v->rounds++;
    v->common.put_id = found->put_id;
    if (found->stripe_count > 1)
        return CENOTE_NOT_SUPPORTED;
    if (!whole_value(found, &s)) {
        log_error(MODULE, "lookup's answer is malformed");
        return CENOTE_PROTOCOL;
    }
    v->found = (struct cache_found){.put_id = found->put_id,
                                    .len_bytes = found->len_bytes,
                                    .lease_end_ms = reading_lease_end(v->asked_ms, found->lease_ms),
                                    .sum_kind = found->sum_kind,
                                    .stripe_count = 1,
                                    .stripes = {s}};
    if (v->env.cache)
        v->found.verified = cache_verified(v->env.cache, v->key, &v->found);
    begin_choosing(v);
    return CENOTE_OK;
}

static void lookup_done(struct view *v, uint64_t now_ms, int status, struct wire_value result)
{
    struct wire_value list = wire_at(result, 1);
    struct lookup_item found;
    uint32_t count;

    v->calling =
        status != CENOTE_OK && tally_again(v->env.tally, retry_again(&v->retry, now_ms, status));
    if (v->calling)
        return;
    if (status == CENOTE_UNKNOWN || status == CENOTE_NO_SESSION)
        status = CENOTE_UNAVAILABLE;
    if (status == CENOTE_OK &&
        !(wire_array(list, &count) && count == 1 && lookup_item_get(wire_at(list, 0), &found)))
        status = CENOTE_PROTOCOL;
    if (status == CENOTE_OK) {
        machine_note_refusal(&v->machine, wire_at(list, 0));
        status = take_found(v, &found, now_ms);
    }
    if (status != CENOTE_OK)
        finish(v, status);
}

/* ---- hold ------------------------------------------------------------------------------------ */

static int failure_of(const struct view *v)
{
    int failure = reading_failure(&v->reading);

    if (v->late)
        return CENOTE_STALE;
    return v->unsupported && failure == CENOTE_NODE_DOWN ? CENOTE_NOT_SUPPORTED : failure;
}

static void choose(struct view *v, uint64_t now_ms, struct step *out)
{
    struct reading_choice choice = {.map = v->env.map, .slow = v->env.slow, .now_ms = now_ms};
    int status = reading_next(&v->reading, &v->common, &choice, &v->replica);

    if (status != CENOTE_OK) {
        ask_again(v, status == CENOTE_NOT_FOUND ? failure_of(v) : status, now_ms);
        return;
    }
    v->hold.node = v->replica.node;
    v->hold.x.gva = v->replica.x.gva;
    v->hold.x.payload_len = v->replica.x.payload_len;
    v->hold.x.put_id = v->replica.x.put_id;
    *out = (struct step){.kind = STEP_HOLD, .hold = &v->hold};
}

/* What a copy would have brought is there already. */
static bool judge(struct view *v, int status)
{
    struct xcopy_req *x = &v->replica.x;

    if (v->found.verified & 1u << reading_replica(&v->reading))
        reading_waive_sums(&v->reading, &v->common, &v->replica);
    bool summed = x->sums != NULL;
    x->status = status;
    if (status == CENOTE_OK) {
        memcpy(v->reading.seal, v->hold.x.seal, SEAL_BYTES);
        if (x->sums)
            sums_update(x->sums, v->hold.x.data, (size_t)x->payload_len);
    }
    reading_end(&v->reading, &v->common, &v->replica);
    return summed;
}

static void hold_done(struct view *v, uint64_t now_ms, int status)
{
    v->unsupported = v->unsupported || status == CENOTE_NOT_SUPPORTED;
    slow_learn(v->env.slow, v->replica.node, status, now_ms);
    bool summed = judge(v, status);
    v->late = now_ms >= v->found.lease_end_ms && !test_off(TEST_LEASE);
    if (v->reading.accepted && !v->late) {
        remember(v, summed);
        v->result = (struct view_result){.data = v->hold.x.data,
                                         .len_bytes = v->replica.x.payload_len,
                                         .put_id = v->common.put_id,
                                         .link = v->hold.link};
        finish(v, CENOTE_OK);
    } else if (status == CENOTE_OK) {
        v->state = VIEW_LEAVE;
    }
}

static void left(struct view *v, uint64_t now_ms)
{
    v->state = VIEW_CHOOSE;
    if (v->late)
        ask_again(v, CENOTE_STALE, now_ms);
}

/* ---- steps ----------------------------------------------------------------------------------- */

static void step_call(struct view *v, uint64_t now_ms, struct step *out)
{
    if (now_ms < v->retry.not_before_ms) {
        *out = (struct step){.kind = STEP_WAIT, .until_ms = v->retry.not_before_ms};
        return;
    }
    v->asked_ms = now_ms;
    *out = (struct step){.kind = STEP_CALL, .request = &v->request};
}

/* Every turn of the loop uses up a replica or a round. */
static void view_next(struct machine *m, uint64_t now_ms, struct step *out)
{
    struct view *v = (struct view *)m;

    *out = (struct step){.kind = STEP_DONE};
    while (out->kind == STEP_DONE && v->state != VIEW_DONE) {
        if (v->calling)
            step_call(v, now_ms, out);
        else if (!v->recalled)
            recall(v, now_ms);
        else if (v->state == VIEW_ASK)
            ask(v, now_ms);
        else if (v->state == VIEW_LEAVE)
            *out = (struct step){.kind = STEP_UNHOLD, .hold = &v->hold};
        else if (v->map_wanted || (!v->map_fresh && reading_needs_map(&v->reading, v->env.map)))
            *out = (struct step){.kind = STEP_REFRESH_MAP};
        else
            choose(v, now_ms, out);
    }
    v->doing = out->kind;
}

static void view_done(struct machine *m, uint64_t now_ms, int status, struct wire_value result)
{
    struct view *v = (struct view *)m;

    switch (v->doing) {
    case STEP_CALL:
        lookup_done(v, now_ms, status, result);
        break;
    case STEP_HOLD:
        hold_done(v, now_ms, status);
        break;
    case STEP_UNHOLD:
        left(v, now_ms);
        break;
    case STEP_REFRESH_MAP: /* if it failed, what is unknown stays unreachable */
        v->map_wanted = false;
        v->map_fresh = true;
        break;
    case STEP_WAIT:
        break;
    case STEP_COPY:
    case STEP_DONE:
        assert(!"the machine was not asked for a step");
    }
}
