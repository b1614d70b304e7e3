/* SPDX-License-Identifier: Apache-2.0 */
#include "client/put.h"

#include <assert.h>
#include <stdlib.h>

#include "client/retry.h"
#include "client/writing.h"
#include "transport/base/log.h"

#define MODULE "put"

/*
 * The life of one value:
 *
 *   START ---put_start---> WRITE ---> COMMIT ---put_commit---> DONE
 *     ^                      |
 *     '------ ABORT <--------'  a stripe has no visible extent
 *              '--------------------------------------------> DONE
 *
 * A put id that was granted is always answered for: by a commit, by an abort with the states of its
 * extents, or, when neither arrives, by the service's own time-out, which fences.
 */
enum value_state { VALUE_START, VALUE_WRITE, VALUE_COMMIT, VALUE_ABORT, VALUE_DONE };

struct value {
    enum value_state state;
    uint32_t rounds;              /* puts begun so far */
    struct cenote_put_item *item; /* NULL: it has been told that the put was cancelled */
    struct writing_value common;
    size_t first_writing;
    uint32_t writings, left; /* all extents, not yet done */
    int failure;             /* the answer, if it has to be aborted */
    bool fenced;             /* and why */
};

enum call { CALL_NONE, CALL_START, CALL_COMMIT, CALL_ABORT };

struct put {
    struct machine machine;
    struct machine_env env;
    struct cenote_put_item *items;
    size_t count, begun; /* items; those in this or an earlier window */
    unsigned flags;
    uint32_t replicas; /* 0: one */

    struct value *values; /* the window */
    uint32_t value_count;
    struct writing *writings; /* of the window; stripe by stripe, replica by replica */
    size_t writing_count, writing_room;
    struct fabric_req *copies;
    size_t copy_count, copy_room;

    struct wire_buf request;
    struct retry retry;
    uint64_t seq;
    enum call calling; /* the request waits to be sent (again), or for its answer */
    uint32_t *asked, asked_count, ask_max; /* indices of values; has room for the window */

    enum step_kind doing;
    uint32_t sessions; /* begun anew in this window */
    bool map_wanted;   /* a node is not where the map says */
    bool map_fresh;    /* refreshed since extents were granted */

    bool cancelled; /* the items are not ours any more */

    uint64_t *roots; /* of the value being encoded; has room for any of the window */
    uint8_t *states;
    uint32_t ends_room; /* extents */
};

static void put_next(struct machine *m, uint64_t now_ms, struct step *out);
static void put_done(struct machine *m, uint64_t now_ms, int status, struct wire_value result);
static bool put_cancel(struct machine *m, int status, bool sent);

static const struct machine_ops put_ops = {
    .next = put_next, .done = put_done, .cancel = put_cancel};

struct put *put_begin(const struct machine_env *env, struct cenote_put_item *items, size_t count,
                      unsigned flags)
{
    size_t window = count < PUT_WINDOW ? count : PUT_WINDOW;
    struct put *p = calloc(1, sizeof *p);

    assert(count > 0 && count <= CENOTE_BATCH_MAX);
    if (!p)
        return NULL;
    p->values = calloc(window, sizeof *p->values);
    p->asked = calloc(window, sizeof *p->asked);
    if (!p->values || !p->asked) {
        put_free(p);
        return NULL;
    }
    p->machine.ops = &put_ops;
    p->env = *env;
    p->items = items;
    p->count = count;
    p->flags = flags;
    p->replicas = (flags & CENOTE_PUT_REPLICAS_MASK) / CENOTE_PUT_REPLICAS(1);
    if (p->replicas == 0)
        p->replicas = env->replicas;
    p->ask_max = PUT_WINDOW;
    p->doing = STEP_DONE;
    return p;
}

struct machine *put_machine(struct put *p)
{
    return &p->machine;
}

void put_free(struct put *p)
{
    if (!p)
        return;
    wire_buf_free(&p->request);
    free(p->copies);
    free(p->writings);
    free(p->roots);
    free(p->states);
    free(p->asked);
    free(p->values);
    free(p);
}

static void value_finish(struct value *v, int status)
{
    if (v->item)
        v->item->status = status;
    v->state = VALUE_DONE;
}

static void finish_asked(struct put *p, int status)
{
    for (uint32_t k = 0; k < p->asked_count; k++)
        value_finish(&p->values[p->asked[k]], status);
}

/* Collects the values in a state for the next call. False: there are none. */
static bool collect(struct put *p, enum value_state state)
{
    p->asked_count = 0;
    for (uint32_t i = 0; i < p->value_count && p->asked_count < p->ask_max; i++) {
        if (p->values[i].state == state)
            p->asked[p->asked_count++] = i;
    }
    wire_buf_clear(&p->request);
    return p->asked_count > 0;
}

static void begin_call(struct put *p, enum call call, uint64_t now_ms)
{
    if (p->request.failed) {
        finish_asked(p, CENOTE_NO_MEMORY);
        return;
    }
    retry_begin(&p->retry, now_ms, p->env.timeout_ms, call == CALL_COMMIT);
    p->calling = call;
}

/* ---- put_start ------------------------------------------------------------------------------- */

static bool ask_start(struct put *p, uint64_t now_ms)
{
    uint32_t flags = put_start_flags(p->flags & CENOTE_PUT_REPLACE, p->replicas);

    if (!collect(p, VALUE_START))
        return false;
    wire_put_request(&p->request, 0, METHOD_PUT_START);
    p->seq = p->env.next_seq(p->env.arg);
    put_start_params_put(&p->request, p->seq, flags, p->asked_count);
    for (uint32_t k = 0; k < p->asked_count; k++) {
        const struct value *v = &p->values[p->asked[k]];
        put_start_key_put(&p->request, v->item->key.data, v->item->key.len_bytes,
                          v->common.len_bytes);
    }
    begin_call(p, CALL_START, now_ms);
    return true;
}

static struct writing *new_writing(struct put *p)
{
    if (p->writing_count == p->writing_room) {
        size_t room = p->writing_room ? p->writing_room * 2 : p->value_count;
        struct writing *grown = realloc(p->writings, room * sizeof *grown);
        if (!grown)
            return NULL;
        p->writings = grown;
        p->writing_room = room;
    }
    return &p->writings[p->writing_count++];
}

static int begin_stripe(struct put *p, struct value *v, uint32_t index, const struct stripe *s)
{
    for (uint32_t i = 0; i < s->replicas; i++) {
        struct writing *w = new_writing(p);
        if (!w)
            return CENOTE_NO_MEMORY;
        writing_begin(w, (uint32_t)(v - p->values), (uint16_t)index, s, i);
        v->writings++;
        v->left++;
    }
    return CENOTE_OK;
}

/* Room to encode the end of a value with so many extents. */
static bool ends_fit(struct put *p, uint32_t extents)
{
    uint64_t *roots;
    uint8_t *states;

    if (extents <= p->ends_room)
        return true;
    roots = realloc(p->roots, extents * sizeof *roots);
    p->roots = roots ? roots : p->roots;
    states = realloc(p->states, extents * sizeof *states);
    p->states = states ? states : p->states;
    if (roots && states)
        p->ends_room = extents;
    return roots && states;
}

static int begin_stripes(struct put *p, struct value *v, const struct put_start_item *granted)
{
    uint64_t offset = 0, len = v->common.len_bytes;
    struct stripe s;
    int status = CENOTE_OK;

    v->first_writing = p->writing_count;
    v->writings = v->left = 0;
    if (granted->stripe_count == 0 || granted->stripe_count > STRIPES_MAX)
        return CENOTE_PROTOCOL;
    for (uint32_t i = 0; i < granted->stripe_count && status == CENOTE_OK; i++) {
        if (!granted_stripe_get(wire_at(granted->stripes, i), &s) || s.offset != offset ||
            s.payload_len > len - offset || s.payload_len > EXTENT_PAYLOAD_MAX || s.replicas == 0)
            return CENOTE_PROTOCOL;
        offset += s.payload_len;
        status = begin_stripe(p, v, i, &s);
    }
    if (status == CENOTE_OK && !ends_fit(p, v->writings))
        status = CENOTE_NO_MEMORY;
    return status == CENOTE_OK && offset != len ? CENOTE_PROTOCOL : status;
}

static void value_granted(struct put *p, struct value *v, const struct put_start_item *granted)
{
    int status;

    v->common.put_id = granted->put_id;
    v->common.key_hash = granted->key_hash;
    v->common.session = p->machine.session;
    v->common.name_space = p->machine.name_space;
    v->common.stripes = granted->stripe_count;
    v->state = VALUE_WRITE;
    status = begin_stripes(p, v, granted);
    if (status != CENOTE_OK) {
        log_error(MODULE, "put_start's answer not taken: %s", cenote_status_text(status));
        value_finish(v, status);
    }
}

/* Was the put over before we heard of it? Then it is begun again. */
static bool granted_too_late(const struct put *p, const struct value *v, int status)
{
    return v->rounds < PUT_ROUNDS_MAX &&
           (status == CENOTE_UNKNOWN || (status == CENOTE_ABORTED && p->retry.lost));
}

static void take_grants(struct put *p, struct wire_value result)
{
    uint32_t count;
    bool sound = wire_array(result, &count) && count == p->asked_count;

    for (uint32_t k = 0; k < p->asked_count; k++) {
        struct value *v = &p->values[p->asked[k]];
        struct put_start_item granted;

        v->rounds++;
        if (!sound || !put_start_item_get(wire_at(result, k), &granted)) {
            log_error(MODULE, "put_start's answer is malformed");
            value_finish(v, CENOTE_PROTOCOL);
        } else if (granted_too_late(p, v, granted.status)) {
            continue;
        } else if (granted.status != CENOTE_OK) {
            value_finish(v, granted.status == CENOTE_UNKNOWN ? CENOTE_UNAVAILABLE : granted.status);
        } else {
            value_granted(p, v, &granted);
        }
    }
    p->map_fresh = false;
}

static void start_failed(struct put *p, int status)
{
    if (status == CENOTE_FRAME_SIZE && p->asked_count > 1) {
        p->ask_max = p->asked_count / 2; /* the answer would be too long: ask in parts */
        return;
    }
    if (status == CENOTE_UNKNOWN || status == CENOTE_NO_SESSION)
        status = CENOTE_UNAVAILABLE; /* whatever was begun is not visible and never will be */
    finish_asked(p, status);
}

/* ---- copy ------------------------------------------------------------------------------------ */

static bool is_open(const struct put *p, const struct writing *w)
{
    const struct value *v = &p->values[w->owner];
    size_t i = (size_t)(w - p->writings);
    /* Extents of an earlier round stay behind until the window ends. */
    return v->state == VALUE_WRITE && !w->done && i >= v->first_writing &&
           i - v->first_writing < v->writings;
}

static bool needs_map(const struct put *p)
{
    for (size_t i = 0; i < p->writing_count; i++) {
        if (is_open(p, &p->writings[i]) && !writing_has_place(&p->writings[i], p->env.map))
            return true;
    }
    return false;
}

static bool copies_fit(struct put *p)
{
    size_t room = p->copy_room ? p->copy_room * 2 : p->value_count;
    struct fabric_req *grown;

    if (p->copy_count < p->copy_room)
        return true;
    grown = realloc(p->copies, room * sizeof *grown);
    if (!grown)
        return false;
    p->copies = grown;
    p->copy_room = room;
    return true;
}

static void gather_copies(struct put *p)
{
    p->copy_count = 0;
    for (size_t i = 0; i < p->writing_count && p->copy_count < PUT_COPIES_MAX; i++) {
        struct writing *w = &p->writings[i];
        struct value *v = &p->values[w->owner];

        if (!is_open(p, w))
            continue;
        if (!copies_fit(p)) {
            w->done = true;
            w->status = CENOTE_NO_MEMORY;
        } else if (writing_next(w, &v->common, p->env.map, &p->copies[p->copy_count])) {
            p->copy_count++;
        }
        v->left -= w->done ? 1u : 0u;
    }
}

static void copies_done(struct put *p, uint64_t now_ms)
{
    for (size_t i = 0; i < p->copy_count; i++) {
        struct writing *w = p->copies[i].x.owner;
        writing_end(w, &p->copies[i]);
        slow_learn(p->env.slow, p->copies[i].node, p->copies[i].x.status, now_ms);
        p->values[w->owner].left--;
    }
}

/* ---- commit and abort ------------------------------------------------------------------------ */

/* Fills roots and states of a value. True: each stripe is readable somewhere. Otherwise *why says
 * what kept one from it. */
static bool value_readable(struct put *p, const struct value *v, int *why)
{
    const struct writing *w = &p->writings[v->first_writing];
    uint32_t readable = 0; /* stripes from the first on */

    for (uint32_t i = 0; i < v->writings; i++) {
        p->states[i] = w[i].state;
        if (w[i].state != EXTENT_VISIBLE)
            *why = w[i].status;
        else if (w[i].stripe == readable)
            p->roots[readable++] = w[i].root;
        else if (w[i].stripe < readable && w[i].root != p->roots[w[i].stripe])
            p->states[i] = EXTENT_DRAINED; /* the caller changed the bytes meanwhile */
    }
    return readable == v->common.stripes;
}

/* What a put answers that could not be written, by the reason why an extent could not. */
static int failure_of(int why)
{
    switch (why) {
    case CENOTE_TIMED_OUT:
    case CENOTE_NO_MEMORY:
        return why;
    case CENOTE_FENCED:
    case CENOTE_BAD_GRANT:
    case CENOTE_DENIED:
        return CENOTE_ABORTED;
    default:
        return CENOTE_NODE_DOWN;
    }
}

static void settle_written(struct put *p)
{
    for (uint32_t i = 0; i < p->value_count; i++) {
        struct value *v = &p->values[i];
        int why = CENOTE_OK;

        if (v->state != VALUE_WRITE || v->left > 0)
            continue;
        v->state = value_readable(p, v, &why) ? VALUE_COMMIT : VALUE_ABORT;
        v->failure = failure_of(why);
        v->fenced = why == CENOTE_FENCED;
    }
}

static bool ask_end(struct put *p, enum call call, uint64_t now_ms)
{
    bool commit = call == CALL_COMMIT;

    if (!collect(p, commit ? VALUE_COMMIT : VALUE_ABORT))
        return false;
    wire_put_request(&p->request, 0, commit ? METHOD_PUT_COMMIT : METHOD_PUT_ABORT);
    p->seq = p->env.next_seq(p->env.arg);
    put_end_params_put(&p->request, p->seq, p->asked_count);
    for (uint32_t k = 0; k < p->asked_count; k++) {
        const struct value *v = &p->values[p->asked[k]];
        int why;
        value_readable(p, v, &why);
        put_end_item_put(&p->request, v->common.put_id, SUM_XXH3, p->roots,
                         commit ? v->common.stripes : 0, p->states, v->writings);
    }
    begin_call(p, call, now_ms);
    return true;
}

static void take_commits(struct put *p, struct wire_value result)
{
    struct wire_value list = wire_at(result, 0);
    uint32_t count;
    bool sound = wire_array(list, &count) && count == p->asked_count;

    for (uint32_t k = 0; k < p->asked_count; k++) {
        int status = CENOTE_PROTOCOL;

        if (!sound || !wire_i32(wire_at(list, k), &status) || status > 0) {
            log_error(MODULE, "put_commit's answer is malformed");
            status = CENOTE_PROTOCOL;
        }
        /* The service ended the put, or its session; unless that was after a commit whose answer
         * was lost. */
        if (status == CENOTE_NO_SUCH_PUT || status == CENOTE_DENIED)
            status = p->retry.lost ? CENOTE_UNKNOWN : CENOTE_ABORTED;
        value_finish(&p->values[p->asked[k]], status);
    }
}

static void commit_failed(struct put *p, int status)
{
    if (p->retry.lost)
        status = CENOTE_UNKNOWN;
    else if (status == CENOTE_NO_SESSION)
        status = CENOTE_ABORTED; /* the puts ended with their session */
    finish_asked(p, status);
}

/* Another node, or the node's next life, may take it; and a fence that was meant for another put of
 * ours, which was given up in the middle, has hit this one if the service still had it. */
static bool begins_again(const struct put *p, const struct value *v, int answer)
{
    if (p->cancelled || v->rounds >= PUT_ROUNDS_MAX)
        return false;
    return v->failure == CENOTE_NODE_DOWN || (v->fenced && answer == CENOTE_OK);
}

/* Whether or not the abort arrived: the service ends by itself what it doesn't hear of. */
static void abort_done(struct put *p, struct wire_value result)
{
    for (uint32_t k = 0; k < p->asked_count; k++) {
        struct value *v = &p->values[p->asked[k]];
        int answer = CENOTE_UNKNOWN;

        wire_i32(wire_at(wire_at(result, 0), k), &answer);
        if (!begins_again(p, v, answer)) {
            value_finish(v, v->failure);
            continue;
        }
        v->state = VALUE_START;
        p->map_wanted = true;
    }
}

static void call_ended(struct put *p, enum call call, int status, struct wire_value result)
{
    if (call == CALL_ABORT)
        abort_done(p, result);
    else if (call == CALL_START && status == CENOTE_OK)
        take_grants(p, result);
    else if (call == CALL_START)
        start_failed(p, status);
    else if (status == CENOTE_OK)
        take_commits(p, result);
    else
        commit_failed(p, status);
}

/* After a call that was under way when the put was cancelled: what was granted has to be given
 * back, and nothing begins any more. */
static void give_back(struct put *p)
{
    for (uint32_t i = 0; i < p->value_count; i++) {
        struct value *v = &p->values[i];

        if (v->state == VALUE_START)
            value_finish(v, CENOTE_CANCELLED);
        else if (v->state == VALUE_WRITE)
            v->state = VALUE_ABORT;
    }
}

static void call_done(struct put *p, uint64_t now_ms, int status, struct wire_value result)
{
    enum call call = p->calling;
    bool ended = status == CENOTE_NO_SESSION; /* a call is numbered for its own session only */

    if (call != CALL_ABORT && !ended && !p->cancelled && retry_again(&p->retry, now_ms, status))
        return;
    p->calling = CALL_NONE;
    if (call == CALL_START && ended && !p->cancelled && p->sessions++ < RETRY_SESSIONS_MAX)
        return; /* begin again, in the new session */
    call_ended(p, call, status, result);
    if (p->cancelled)
        give_back(p);
}

/* ---- steps ----------------------------------------------------------------------------------- */

static bool window_busy(const struct put *p)
{
    for (uint32_t i = 0; i < p->value_count; i++) {
        if (p->values[i].state != VALUE_DONE)
            return true;
    }
    return false;
}

static uint64_t length_of(const struct cenote_put_item *item)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < item->buffer_count; i++)
        sum += item->buffers[i].len_bytes;
    return sum;
}

static bool next_window(struct put *p)
{
    uint64_t bytes = 0;

    p->value_count = 0;
    p->writing_count = 0;
    p->ask_max = PUT_WINDOW;
    p->sessions = 0;
    while (p->begun < p->count && p->value_count < PUT_WINDOW && bytes < PUT_WINDOW_BYTES) {
        struct cenote_put_item *item = &p->items[p->begun++];
        uint64_t len = length_of(item);

        p->values[p->value_count++] = (struct value){
            .state = VALUE_START,
            .item = item,
            .common = {
                .len_bytes = len, .buffers = item->buffers, .buffer_count = item->buffer_count}};
        bytes += len * (p->replicas == 0 ? 1 : p->replicas);
    }
    return p->value_count > 0;
}

static void step_call(const struct put *p, uint64_t now_ms, struct step *out)
{
    if (now_ms < p->retry.not_before_ms)
        *out = (struct step){.kind = STEP_WAIT, .until_ms = p->retry.not_before_ms};
    else
        *out = (struct step){.kind = STEP_CALL, .request = &p->request, .seq = p->seq};
}

/* Every turn of the loop moves a value on, begins a window, or uses up a round. */
static void put_next(struct machine *m, uint64_t now_ms, struct step *out)
{
    struct put *p = (struct put *)m;

    *out = (struct step){.kind = STEP_DONE};
    while (out->kind == STEP_DONE) {
        settle_written(p);
        if (p->calling != CALL_NONE)
            step_call(p, now_ms, out);
        else if (ask_start(p, now_ms))
            continue;
        else if (p->map_wanted || (!p->map_fresh && needs_map(p)))
            *out = (struct step){.kind = STEP_REFRESH_MAP};
        else if (gather_copies(p), p->copy_count > 0)
            *out =
                (struct step){.kind = STEP_COPY, .copies = p->copies, .copy_count = p->copy_count};
        else if (ask_end(p, CALL_COMMIT, now_ms) || ask_end(p, CALL_ABORT, now_ms))
            continue;
        else if (!window_busy(p) && !next_window(p))
            break;
    }
    p->doing = out->kind;
}

static void put_done(struct machine *m, uint64_t now_ms, int status, struct wire_value result)
{
    struct put *p = (struct put *)m;

    switch (p->doing) {
    case STEP_CALL:
        call_done(p, now_ms, status, result);
        break;
    case STEP_COPY:
        copies_done(p, now_ms);
        break;
    case STEP_REFRESH_MAP: /* if it failed, what is unknown stays unreachable */
        p->map_wanted = false;
        p->map_fresh = true;
        break;
    case STEP_WAIT:
        break;
    case STEP_DONE:
        assert(!"the machine was not asked for a step");
    }
}

/* ---- cancelling ------------------------------------------------------------------------------ */

static void cancel_value(struct value *v, enum call calling, bool asked, int status)
{
    bool committing = calling == CALL_COMMIT && asked;

    v->item->status = committing ? CENOTE_UNKNOWN : status;
    v->item = NULL;
    v->failure = status;
    if (v->state == VALUE_START && !asked)
        v->state = VALUE_DONE;
    else if (v->state == VALUE_WRITE || (v->state == VALUE_COMMIT && !committing))
        v->state = VALUE_ABORT;
}

static bool put_cancel(struct machine *m, int status, bool sent)
{
    struct put *p = (struct put *)m;
    uint32_t k = 0; /* asked[] is in order */

    p->cancelled = true;
    if (!sent && !p->retry.lost)
        p->calling = CALL_NONE; /* the service has never heard of it */
    for (uint32_t i = 0; i < p->value_count; i++) {
        struct value *v = &p->values[i];
        bool asked;

        while (k < p->asked_count && p->asked[k] < i)
            k++;
        asked = p->calling != CALL_NONE && k < p->asked_count && p->asked[k] == i;
        if (v->state != VALUE_DONE)
            cancel_value(v, p->calling, asked, status);
    }
    for (; p->begun < p->count; p->begun++)
        p->items[p->begun].status = status;
    p->map_wanted = false;
    return window_busy(p);
}
