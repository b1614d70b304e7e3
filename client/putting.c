/* SPDX-License-Identifier: Apache-2.0 */
#include "client/putting.h"

#include <assert.h>
#include <stdlib.h>

#include "transport/base/log.h"

#define MODULE "put"

static bool copy_whole(void *arg, struct writing *w, const struct writing_value *v,
                       const struct locate *map, struct fabric_req *copy)
{
    (void)arg;
    return writing_next(w, v, map, copy);
}

void putting_begin(struct putting *p, struct machine *machine, const struct machine_env *env,
                   unsigned flags, struct putting_value *values)
{
    p->machine = machine;
    p->env = *env;
    p->replace = (flags & CENOTE_PUT_REPLACE) != 0;
    p->copy = copy_whole;
    p->values = values;
    p->doing = STEP_DONE;
    p->replicas = (flags & CENOTE_PUT_REPLICAS_MASK) / CENOTE_PUT_REPLICAS(1);
    if (p->replicas == 0)
        p->replicas = env->replicas;
}

void putting_end(struct putting *p)
{
    wire_buf_free(&p->request);
    free(p->copies);
    free(p->writings);
    free(p->roots);
    free(p->states);
}

void putting_values(struct putting *p, uint32_t count)
{
    p->value_count = count;
    p->writing_count = 0;
    p->ask_max = PUT_WINDOW;
    p->sessions = 0;
}

static void value_finish(struct putting_value *v, int status)
{
    if (v->status)
        *v->status = status;
    v->state = PUTTING_DONE;
}

static void finish_asked(struct putting *p, int status)
{
    for (uint32_t k = 0; k < p->asked_count; k++)
        value_finish(&p->values[p->asked[k]], status);
}

/* Collects the values in a state for the next call. False: there are none. */
static bool collect(struct putting *p, enum putting_state state)
{
    p->asked_count = 0;
    for (uint32_t i = 0; i < p->value_count && p->asked_count < p->ask_max; i++) {
        if (p->values[i].state == state)
            p->asked[p->asked_count++] = i;
    }
    wire_buf_clear(&p->request);
    return p->asked_count > 0;
}

static void begin_call(struct putting *p, enum putting_call call, uint64_t now_ms)
{
    if (p->request.failed) {
        finish_asked(p, CENOTE_NO_MEMORY);
        return;
    }
    retry_begin(&p->retry, now_ms, p->env.timeout_ms, call == CALL_COMMIT);
    p->calling = call;
}

/* ---- put_start ------------------------------------------------------------------------------- */

static bool ask_start(struct putting *p, uint64_t now_ms)
{
    uint32_t flags = put_start_flags(p->replace, p->replicas);

    if (!collect(p, PUTTING_START))
        return false;
    wire_put_request(&p->request, 0, METHOD_PUT_START);
    p->seq = p->env.next_seq(p->env.arg);
    bool asks = keep_asks(&p->keep);
    if (asks)
        put_start_kept_put(&p->request, p->seq, flags, p->asked_count);
    else
        put_start_params_put(&p->request, p->seq, flags, p->asked_count);
    for (uint32_t k = 0; k < p->asked_count; k++) {
        const struct putting_value *v = &p->values[p->asked[k]];
        put_start_key_put(&p->request, v->key->data, v->key->len_bytes, v->common.len_bytes);
    }
    if (asks)
        keep_put(&p->request, &p->keep);
    begin_call(p, CALL_START, now_ms);
    return true;
}

static struct writing *new_writing(struct putting *p)
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

static int begin_stripe(struct putting *p, struct putting_value *v, uint32_t index,
                        const struct stripe *s)
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
static bool ends_fit(struct putting *p, uint32_t extents)
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

static int begin_stripes(struct putting *p, struct putting_value *v,
                         const struct put_start_item *granted)
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

static void value_granted(struct putting *p, struct putting_value *v,
                          const struct put_start_item *granted)
{
    int status;

    v->common.put_id = granted->put_id;
    v->common.key_hash = granted->key_hash;
    v->common.session = p->machine->session;
    v->common.name_space = p->machine->name_space;
    v->common.stripes = granted->stripe_count;
    v->state = PUTTING_WRITE;
    status = begin_stripes(p, v, granted);
    if (status != CENOTE_OK) {
        log_error(MODULE, "put_start's answer not taken: %s", cenote_status_text(status));
        value_finish(v, status);
    }
}

/* Was the put over before we heard of it? Then it is begun again. */
static bool granted_too_late(const struct putting *p, const struct putting_value *v, int status)
{
    return v->rounds < PUT_ROUNDS_MAX &&
           (status == CENOTE_UNKNOWN || (status == CENOTE_ABORTED && p->retry.lost));
}

static void take_grants(struct putting *p, struct wire_value result)
{
    uint32_t count;
    bool sound = wire_array(result, &count) && count == p->asked_count;

    for (uint32_t k = 0; k < p->asked_count; k++) {
        struct putting_value *v = &p->values[p->asked[k]];
        struct put_start_item granted;

        v->rounds++;
        if (!sound || !put_start_item_get(wire_at(result, k), &granted)) {
            log_error(MODULE, "put_start's answer is malformed");
            value_finish(v, CENOTE_PROTOCOL);
        } else if (granted_too_late(p, v, granted.status)) {
            continue;
        } else if (granted.status != CENOTE_OK) {
            machine_note_refusal(p->machine, wire_at(result, k));
            value_finish(v, granted.status == CENOTE_UNKNOWN ? CENOTE_UNAVAILABLE : granted.status);
        } else {
            value_granted(p, v, &granted);
        }
    }
    p->map_fresh = false;
}

static void start_failed(struct putting *p, int status)
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

static bool is_open(const struct putting *p, const struct writing *w)
{
    const struct putting_value *v = &p->values[w->owner];
    size_t i = (size_t)(w - p->writings);
    /* Extents of an earlier round stay behind until the window ends. */
    return v->state == PUTTING_WRITE && !w->done && i >= v->first_writing &&
           i - v->first_writing < v->writings;
}

static bool needs_map(const struct putting *p)
{
    for (size_t i = 0; i < p->writing_count; i++) {
        if (is_open(p, &p->writings[i]) && !writing_has_place(&p->writings[i], p->env.map))
            return true;
    }
    return false;
}

static bool copies_fit(struct putting *p)
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

static void gather_copies(struct putting *p)
{
    p->copy_count = 0;
    for (size_t i = 0; !p->held && i < p->writing_count && p->copy_count < PUT_COPIES_MAX; i++) {
        struct writing *w = &p->writings[i];
        struct putting_value *v = &p->values[w->owner];

        if (!is_open(p, w))
            continue;
        if (!copies_fit(p)) {
            w->done = true;
            w->status = CENOTE_NO_MEMORY;
        } else if (p->copy(p->arg, w, &v->common, p->env.map, &p->copies[p->copy_count])) {
            p->copy_count++;
        }
        v->left -= w->done ? 1u : 0u;
    }
}

static void copies_done(struct putting *p, uint64_t now_ms)
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
static bool value_readable(struct putting *p, const struct putting_value *v, int *why)
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

int putting_failure(int why)
{
    switch (why) {
    case CENOTE_TIMED_OUT:
    case CENOTE_NO_MEMORY:
    case CENOTE_BAD_ADDRESS:
        return why;
    case CENOTE_FENCED:
    case CENOTE_BAD_GRANT:
    case CENOTE_DENIED:
        return CENOTE_ABORTED;
    default:
        return CENOTE_NODE_DOWN;
    }
}

static void settle_written(struct putting *p)
{
    for (uint32_t i = 0; i < p->value_count; i++) {
        struct putting_value *v = &p->values[i];
        int why = CENOTE_OK;

        if (v->state != PUTTING_WRITE || v->left > 0)
            continue;
        v->state = value_readable(p, v, &why) ? PUTTING_COMMIT : PUTTING_ABORT;
        v->failure = putting_failure(why);
        v->fenced = why == CENOTE_FENCED;
    }
}

static bool ask_end(struct putting *p, enum putting_call call, uint64_t now_ms)
{
    bool commit = call == CALL_COMMIT;

    if (!collect(p, commit ? PUTTING_COMMIT : PUTTING_ABORT))
        return false;
    wire_put_request(&p->request, 0, commit ? METHOD_PUT_COMMIT : METHOD_PUT_ABORT);
    p->seq = p->env.next_seq(p->env.arg);
    put_end_params_put(&p->request, p->seq, p->asked_count);
    for (uint32_t k = 0; k < p->asked_count; k++) {
        const struct putting_value *v = &p->values[p->asked[k]];
        int why;
        value_readable(p, v, &why);
        put_end_item_put(&p->request, v->common.put_id, SUM_XXH3, p->roots,
                         commit ? v->common.stripes : 0, p->states, v->writings);
    }
    begin_call(p, call, now_ms);
    return true;
}

static void take_commits(struct putting *p, struct wire_value result)
{
    struct wire_value list = wire_at(result, 0);
    uint32_t count;
    bool sound = wire_array(list, &count) && count == p->asked_count;

    for (uint32_t k = 0; k < p->asked_count; k++) {
        int status = CENOTE_PROTOCOL;

        if (!sound || !key_status_get(wire_at(list, k), &status)) {
            log_error(MODULE, "put_commit's answer is malformed");
            status = CENOTE_PROTOCOL;
        }
        machine_note_refusal(p->machine, wire_at(list, k));
        /* The service ended the put, or its session; unless that was after a commit whose answer
         * was lost. */
        if (status == CENOTE_NO_SUCH_PUT || status == CENOTE_DENIED)
            status = p->retry.lost ? CENOTE_UNKNOWN : CENOTE_ABORTED;
        value_finish(&p->values[p->asked[k]], status);
    }
}

static void commit_failed(struct putting *p, int status)
{
    if (p->retry.lost)
        status = CENOTE_UNKNOWN;
    else if (status == CENOTE_NO_SESSION)
        status = CENOTE_ABORTED; /* the puts ended with their session */
    finish_asked(p, status);
}

/* Another node, or the node's next life, may take it; and a fence that was meant for another put of
 * ours, which was given up in the middle, has hit this one if the service still had it. */
static bool begins_again(const struct putting *p, const struct putting_value *v, int answer)
{
    if (p->cancelled || v->rounds >= PUT_ROUNDS_MAX)
        return false;
    return v->failure == CENOTE_NODE_DOWN || (v->fenced && answer == CENOTE_OK);
}

/* Whether or not the abort arrived: the service ends by itself what it doesn't hear of. */
static void abort_done(struct putting *p, struct wire_value result)
{
    for (uint32_t k = 0; k < p->asked_count; k++) {
        struct putting_value *v = &p->values[p->asked[k]];
        int answer = CENOTE_UNKNOWN;

        wire_i32(wire_at(wire_at(result, 0), k), &answer);
        if (!begins_again(p, v, answer)) {
            value_finish(v, v->failure);
            continue;
        }
        v->state = PUTTING_START;
        p->map_wanted = true;
    }
}

static void call_ended(struct putting *p, enum putting_call call, int status,
                       struct wire_value result)
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
static void give_back(struct putting *p)
{
    for (uint32_t i = 0; i < p->value_count; i++) {
        struct putting_value *v = &p->values[i];

        if (v->state == PUTTING_START)
            value_finish(v, CENOTE_CANCELLED);
        else if (v->state == PUTTING_WRITE)
            v->state = PUTTING_ABORT;
    }
}

static void call_done(struct putting *p, uint64_t now_ms, int status, struct wire_value result)
{
    enum putting_call call = p->calling;
    bool ended = status == CENOTE_NO_SESSION; /* a call is numbered for its own session only */

    if (call != CALL_ABORT && !ended && !p->cancelled &&
        tally_again(p->env.tally, retry_again(&p->retry, now_ms, status)))
        return;
    p->calling = CALL_NONE;
    if (call == CALL_START && ended && !p->cancelled && p->sessions++ < RETRY_SESSIONS_MAX)
        return; /* begin again, in the new session */
    call_ended(p, call, status, result);
    if (p->cancelled)
        give_back(p);
}

/* ---- steps ----------------------------------------------------------------------------------- */

static void step_call(const struct putting *p, uint64_t now_ms, struct step *out)
{
    if (now_ms < p->retry.not_before_ms)
        *out = (struct step){.kind = STEP_WAIT, .until_ms = p->retry.not_before_ms};
    else
        *out = (struct step){.kind = STEP_CALL, .request = &p->request, .seq = p->seq};
}

static bool values_open(const struct putting *p)
{
    for (uint32_t i = 0; !p->held && i < p->value_count; i++) {
        if (p->values[i].state != PUTTING_DONE)
            return true;
    }
    return false;
}

/* Every turn of the loop moves a value on. */
void putting_next(struct putting *p, uint64_t now_ms, struct step *out)
{
    *out = (struct step){.kind = STEP_DONE};
    while (out->kind == STEP_DONE) {
        if (!p->held)
            settle_written(p);
        if (p->calling != CALL_NONE)
            step_call(p, now_ms, out);
        else if (ask_start(p, now_ms))
            continue;
        else if (!p->held && (p->map_wanted || (!p->map_fresh && needs_map(p))))
            *out = (struct step){.kind = STEP_REFRESH_MAP};
        else if (gather_copies(p), p->copy_count > 0)
            *out =
                (struct step){.kind = STEP_COPY, .copies = p->copies, .copy_count = p->copy_count};
        else if (ask_end(p, CALL_COMMIT, now_ms) || ask_end(p, CALL_ABORT, now_ms))
            continue;
        else if (!values_open(p))
            break;
    }
    p->doing = out->kind;
}

void putting_done(struct putting *p, uint64_t now_ms, int status, struct wire_value result)
{
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
    case STEP_HOLD:
    case STEP_UNHOLD:
        break;
    case STEP_DONE:
        assert(!"the machine was not asked for a step");
    }
}

/* ---- cancelling ------------------------------------------------------------------------------ */

static void cancel_value(struct putting_value *v, enum putting_call calling, bool asked, int status)
{
    bool committing = calling == CALL_COMMIT && asked;

    *v->status = committing ? CENOTE_UNKNOWN : status;
    v->status = NULL;
    v->failure = status;
    if (v->state == PUTTING_START && !asked)
        v->state = PUTTING_DONE;
    else if (v->state == PUTTING_WRITE || (v->state == PUTTING_COMMIT && !committing))
        v->state = PUTTING_ABORT;
}

bool putting_cancel(struct putting *p, int status, bool sent)
{
    uint32_t k = 0; /* asked[] is in order */

    p->cancelled = true;
    if (!sent && !p->retry.lost)
        p->calling = CALL_NONE; /* the service has never heard of it */
    for (uint32_t i = 0; i < p->value_count; i++) {
        struct putting_value *v = &p->values[i];
        bool asked;

        while (k < p->asked_count && p->asked[k] < i)
            k++;
        asked = p->calling != CALL_NONE && k < p->asked_count && p->asked[k] == i;
        if (v->state != PUTTING_DONE)
            cancel_value(v, p->calling, asked, status);
    }
    p->map_wanted = false;
    for (uint32_t i = 0; i < p->value_count; i++) {
        if (p->values[i].state != PUTTING_DONE)
            return true;
    }
    return false;
}
