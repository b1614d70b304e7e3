/* SPDX-License-Identifier: Apache-2.0 */
#include "client/get.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "client/reading.h"
#include "client/retry.h"
#include "client/wanted.h"
#include "transport/base/log.h"
#include "transport/base/testswitch.h"

#define MODULE "get"

/*
 * The life of one value:
 *
 *   ASK ---lookup---> READ ---all stripes accepted, lease valid---> DONE
 *    ^                  |
 *    '------------------'  a stripe has no replica left, or the lease ran out
 *
 * A lookup that names the same put again keeps what was accepted: the service answered that the
 * object lives, so none of its extents has been reused up to then, and bytes that were verified
 * before are good however long the copy took. That is how values are read whose copy takes longer
 * than a lease. Another put id begins the value anew, rounds included: somebody was faster.
 *
 * A value whose lookup is in the cache begins in READ, as if that answer had just come, with what
 * is left of its lease. If it can't be read by that answer, the answer leaves the cache and the
 * value goes to ASK, once, for whatever reason; nothing else is different.
 */
enum value_state { VALUE_ASK, VALUE_READ, VALUE_DONE };

struct value {
    enum value_state state;
    uint32_t rounds; /* lookups of this put so far */
    uint64_t begun_ms;
    struct wanted want;
    struct reading_value common;
    uint64_t lease_end_ms;
    uint32_t sum_kind;
    bool cached;  /* read by an answer from the cache */
    bool late;    /* the nodes that it named were silent for a whole time-out */
    bool doubted; /* what the last lookup led to failed verification */
    size_t first_reading;
    uint32_t first_stripe;  /* that is wanted */
    uint32_t stripes, left; /* that are wanted, of these not yet accepted */
    uint32_t all_stripes;   /* of the value */
};

struct get {
    struct machine machine;
    struct machine_env env;
    struct cenote_get_item *items;
    struct cenote_range_item *ranges; /* instead of items */
    size_t count, begun;              /* items; those in this or an earlier window */

    struct value *values; /* the window */
    uint32_t value_count;
    struct reading *readings; /* of the window; grows while its lookups are answered */
    size_t reading_count, reading_room;
    struct fabric_req *copies;
    size_t copy_count, copy_room;

    struct wire_buf request;
    struct retry retry;
    uint64_t asked_ms; /* before the request was sent */
    uint32_t asked_count, ask_max;

    enum step_kind doing;
    bool calling;    /* the request waits to be sent (again) */
    bool map_wanted; /* an address is unknown, or a node is not where the map says */
    bool map_fresh;  /* refreshed since the last lookup */

    /* The first asked_count are set; not cleared at the beginning, which would cost a short get. */
    uint32_t asked[GET_WINDOW];
    uint32_t asking[GET_WINDOW]; /* values from asked[] on that share the question */
};

static void get_next(struct machine *m, uint64_t now_ms, struct step *out);
static void get_done(struct machine *m, uint64_t now_ms, int status, struct wire_value result);
static bool get_cancel(struct machine *m, int status, bool sent);

static const struct machine_ops get_ops = {
    .op = TALLY_GET, .next = get_next, .done = get_done, .cancel = get_cancel};

static struct get *begin(const struct machine_env *env, size_t count)
{
    size_t window = count < GET_WINDOW ? count : GET_WINDOW;
    struct get *g = malloc(sizeof *g);

    assert(count > 0 && count <= CENOTE_BATCH_MAX);
    if (!g)
        return NULL;
    memset(g, 0, offsetof(struct get, asked));
    g->values = calloc(window, sizeof *g->values);
    if (!g->values) {
        free(g);
        return NULL;
    }
    g->machine.ops = &get_ops;
    g->env = *env;
    g->count = count;
    g->ask_max = GET_WINDOW;
    g->doing = STEP_DONE;
    return g;
}

struct get *get_begin(const struct machine_env *env, struct cenote_get_item *items, size_t count)
{
    struct get *g = begin(env, count);

    if (g)
        g->items = items;
    return g;
}

struct get *get_begin_ranges(const struct machine_env *env, struct cenote_range_item *items,
                             size_t count)
{
    struct get *g = begin(env, count);

    if (g)
        g->ranges = items;
    return g;
}

struct machine *get_machine(struct get *g)
{
    return &g->machine;
}

void get_free(struct get *g)
{
    if (!g)
        return;
    wire_buf_free(&g->request);
    free(g->copies);
    free(g->readings);
    free(g->values);
    free(g);
}

static void value_finish(struct value *v, int status)
{
    *v->want.status = status;
    v->state = VALUE_DONE;
}

/* This lookup's replicas didn't help. Another one may: the value may have been replaced, removed or
 * copied elsewhere. Nodes that don't answer are waited for only once. */
static void value_ask_again(struct get *g, struct value *v, int failure, uint64_t now_ms)
{
    if (v->cached && failure != CENOTE_NO_MEMORY && failure != CENOTE_BAD_ADDRESS) {
        cache_drop(g->env.cache, v->want.key, v->common.put_id);
        v->cached = false;
        v->late = failure == CENOTE_TIMED_OUT;
        v->begun_ms = now_ms;
        v->state = VALUE_ASK;
        g->map_wanted = g->map_wanted || failure == CENOTE_NODE_DOWN;
        return;
    }

    bool late = failure == CENOTE_NODE_DOWN && now_ms >= v->begun_ms + g->env.timeout_ms;
    bool doubtful = reading_is_doubtful(failure, &v->doubted);

    if (failure == CENOTE_TIMED_OUT || failure == CENOTE_NO_MEMORY ||
        failure == CENOTE_BAD_ADDRESS || late || (v->rounds >= GET_ROUNDS_MAX && !doubtful)) {
        value_finish(v, failure);
        return;
    }
    v->state = VALUE_ASK;
    if (failure == CENOTE_NODE_DOWN)
        g->map_wanted = true; /* the node may have moved, or live another life */
}

/* ---- lookup ---------------------------------------------------------------------------------- */

/* How many values from i on ask for the same key. */
static uint32_t run_at(const struct get *g, uint32_t i)
{
    uint32_t n = 1;

    while (g->ranges && i + n < g->value_count && g->values[i + n].state == VALUE_ASK &&
           wanted_same_key(&g->values[i].want, &g->values[i + n].want))
        n++;
    return n;
}

static void asked_finish(struct get *g, int status)
{
    for (uint32_t k = 0; k < g->asked_count; k++) {
        for (uint32_t i = 0; i < g->asking[k]; i++)
            value_finish(&g->values[g->asked[k] + i], status);
    }
}

static bool collect(struct get *g)
{
    uint32_t n;

    g->asked_count = 0;
    for (uint32_t i = 0; i < g->value_count && g->asked_count < g->ask_max; i += n) {
        n = 1;
        if (g->values[i].state != VALUE_ASK)
            continue;
        n = run_at(g, i);
        g->asking[g->asked_count] = n;
        g->asked[g->asked_count++] = i;
    }
    return g->asked_count > 0;
}

/* Encodes the next lookup of the window. False: nothing to ask. */
static bool ask(struct get *g, uint64_t now_ms)
{
    if (!collect(g))
        return false;

    wire_buf_clear(&g->request);
    wire_put_request(&g->request, 0, METHOD_LOOKUP);
    keys_params_put(&g->request, g->asked_count);
    for (uint32_t k = 0; k < g->asked_count; k++) {
        const struct cenote_key *key = g->values[g->asked[k]].want.key;
        wire_put_bin(&g->request, key->data, key->len_bytes);
    }
    if (g->request.failed) {
        asked_finish(g, CENOTE_NO_MEMORY);
        return true;
    }
    retry_begin(&g->retry, now_ms, g->env.timeout_ms, false);
    g->calling = true;
    return true;
}

static struct reading *new_reading(struct get *g)
{
    if (g->reading_count == g->reading_room) {
        size_t room = g->reading_room ? g->reading_room * 2 : g->value_count;
        struct reading *grown = realloc(g->readings, room * sizeof *grown);
        if (!grown)
            return NULL;
        g->readings = grown;
        g->reading_room = room;
    }
    return &g->readings[g->reading_count++];
}

/* Reads stripe i of an answer; it must go on at *offset, which moves behind it. */
static bool stripe_at(const struct lookup_item *found, uint32_t i, uint64_t *offset,
                      struct stripe *out)
{
    if (!located_stripe_get(wire_at(found->stripes, i), out) || out->offset != *offset ||
        out->payload_len > found->len_bytes - *offset || out->payload_len > EXTENT_PAYLOAD_MAX ||
        out->replicas == 0)
        return false;
    *offset += out->payload_len;
    return true;
}

/* The part of a stripe that is wanted; nothing is allocated where none is. */
static int begin_stripe(struct get *g, struct value *v, uint32_t i, const struct stripe *s)
{
    struct wanted_part part;
    struct reading *r;

    if (!wanted_of_stripe(&v->want, s, &part))
        return CENOTE_OK;
    if (!(r = new_reading(g)))
        return CENOTE_NO_MEMORY;
    reading_begin(r, (uint32_t)(v - g->values), (uint16_t)i, s);
    if (part.len_bytes > 0)
        reading_narrow(r, part.at, part.len_bytes, part.skip_bytes);
    if (v->stripes++ == 0)
        v->first_stripe = i;
    v->left++;
    return CENOTE_OK;
}

static int begin_stripes(struct get *g, struct value *v, const struct lookup_item *found)
{
    int status = CENOTE_OK;
    uint64_t offset = 0;
    struct stripe s;

    v->first_reading = g->reading_count;
    v->stripes = v->left = 0;
    for (uint32_t i = 0; i < found->stripe_count && status == CENOTE_OK; i++)
        status = stripe_at(found, i, &offset, &s) ? begin_stripe(g, v, i, &s) : CENOTE_PROTOCOL;
    v->all_stripes = found->stripe_count;
    if (status != CENOTE_OK)
        return status;
    return found->stripe_count > 0 && offset == found->len_bytes ? CENOTE_OK : CENOTE_PROTOCOL;
}

static int confirm_stripes(struct get *g, struct value *v, const struct lookup_item *found)
{
    uint64_t offset = 0;
    struct stripe s;

    if (found->stripe_count < v->first_stripe + v->stripes)
        return CENOTE_PROTOCOL;
    v->left = 0;
    for (uint32_t i = 0; i < v->first_stripe + v->stripes; i++) {
        if (!stripe_at(found, i, &offset, &s))
            return CENOTE_PROTOCOL;
        if (i < v->first_stripe)
            continue;
        struct reading *r = &g->readings[v->first_reading + i - v->first_stripe];
        if (!reading_again(r, &s))
            return CENOTE_PROTOCOL;
        v->left += !r->accepted;
    }
    return CENOTE_OK;
}

static void begin_reading(struct get *g, struct value *v, uint64_t put_id, uint32_t sum_kind)
{
    v->common =
        (struct reading_value){.put_id = put_id,
                               .sums = g->env.verify == CENOTE_VERIFY_FULL && sum_kind != SUM_NONE,
                               .buffers = v->want.buffers,
                               .buffer_count = v->want.buffer_count,
                               .tally = g->env.tally};
    v->sum_kind = sum_kind;
    v->state = VALUE_READ;
}

/* The answer was good once: other gets can begin with it. */
static void value_remember(struct get *g, const struct value *v)
{
    struct cache_found found = {.put_id = v->common.put_id,
                                .len_bytes = *v->want.value_len_bytes,
                                .lease_end_ms = v->lease_end_ms,
                                .sum_kind = v->sum_kind,
                                .stripe_count = v->stripes};

    if (!g->env.cache || v->cached || v->stripes != v->all_stripes ||
        v->stripes > CACHE_STRIPES_MAX)
        return; /* of a range's value all stripes are known where it touches all */
    for (uint32_t i = 0; i < v->stripes; i++) {
        const struct reading *r = &g->readings[v->first_reading + i];
        struct stripe *s = &found.stripes[i];
        *s = (struct stripe){.offset = r->offset,
                             .payload_len = r->payload_len,
                             .root = r->root,
                             .replicas = r->replicas};
        memcpy(s->gva, r->gva, sizeof s->gva);
    }
    cache_add(g->env.cache, v->want.key, &found);
}

static void value_complete(struct get *g, struct value *v)
{
    value_remember(g, v);
    value_finish(v, CENOTE_OK);
}

static void value_found(struct get *g, struct value *v, const struct lookup_item *found,
                        uint64_t now_ms)
{
    bool same = v->stripes > 0 && v->common.put_id == found->put_id;
    int status;

    if (!same && v->stripes > 0) {
        v->rounds = 1;
        v->doubted = false;
        if (now_ms >= v->begun_ms + g->env.timeout_ms) {
            value_finish(v, CENOTE_TIMED_OUT);
            return;
        }
    }
    status = wanted_fits(&v->want, found->put_id, found->len_bytes);
    if (status != CENOTE_OK) {
        value_finish(v, status);
        return;
    }
    if (same && v->late) { /* once is enough */
        value_finish(v, CENOTE_TIMED_OUT);
        return;
    }
    begin_reading(g, v, found->put_id, found->sum_kind);
    v->lease_end_ms = reading_lease_end(g->asked_ms, found->lease_ms);

    status = same ? confirm_stripes(g, v, found) : begin_stripes(g, v, found);
    if (status != CENOTE_OK)
        log_error(MODULE, "lookup's answer not taken: %s", cenote_status_text(status));
    if (status != CENOTE_OK)
        value_finish(v, status);
    else if (v->left == 0)
        value_complete(g, v);
}

static void value_answered(struct get *g, struct value *v, int status,
                           const struct lookup_item *found, uint64_t now_ms)
{
    v->rounds++;
    if (status == CENOTE_OK)
        value_found(g, v, found, now_ms);
    else
        value_finish(v, status);
}

static void take_answer(struct get *g, struct wire_value result, uint64_t now_ms)
{
    struct wire_value list = wire_at(result, 1);
    uint32_t count;
    bool sound = wire_array(list, &count) && count == g->asked_count;

    for (uint32_t k = 0; k < g->asked_count; k++) {
        struct lookup_item found = {.status = CENOTE_PROTOCOL};

        if (!sound || !lookup_item_get(wire_at(list, k), &found)) {
            log_error(MODULE, "lookup's answer is malformed");
            found.status = CENOTE_PROTOCOL;
        } else {
            machine_note_refusal(&g->machine, wire_at(list, k));
        }
        for (uint32_t i = 0; i < g->asking[k]; i++)
            value_answered(g, &g->values[g->asked[k] + i], found.status, &found, now_ms);
    }
    g->map_fresh = false;
}

static void lookup_done(struct get *g, uint64_t now_ms, int status, struct wire_value result)
{
    g->calling = false;
    if (status == CENOTE_OK) {
        take_answer(g, result, now_ms);
        return;
    }
    if (status == CENOTE_FRAME_SIZE && g->asked_count > 1) {
        g->ask_max = g->asked_count / 2; /* the answer would be too long: ask in parts */
        return;
    }
    g->calling = tally_again(g->env.tally, retry_again(&g->retry, now_ms, status));
    if (g->calling)
        return;
    if (status == CENOTE_UNKNOWN || status == CENOTE_NO_SESSION)
        status = CENOTE_UNAVAILABLE;
    asked_finish(g, status);
}

/* ---- cache ----------------------------------------------------------------------------------- */

/* Begins with what is known of the key, if anything is. */
static void value_recall(struct get *g, struct value *v, uint64_t now_ms)
{
    struct cache_found found;

    if (!g->env.cache || !cache_find(g->env.cache, v->want.key, now_ms, &found))
        return;
    if (wanted_fits(&v->want, found.put_id, found.len_bytes) != CENOTE_OK)
        return; /* what doesn't fit has to be said of the newest value */
    begin_reading(g, v, found.put_id, found.sum_kind);
    v->lease_end_ms = found.lease_end_ms;
    v->cached = true;
    v->first_reading = g->reading_count;
    v->all_stripes = found.stripe_count;
    for (uint32_t i = 0; i < found.stripe_count; i++) {
        int status = begin_stripe(g, v, i, &found.stripes[i]);
        if (status != CENOTE_OK)
            return value_finish(v, status);
    }
    if (v->left > 0)
        return;
    v->cached = false; /* an empty range reads no seal: only the service knows */
    v->state = VALUE_ASK;
}

/* ---- copy ------------------------------------------------------------------------------------ */

static struct value *value_of(struct get *g, const struct reading *r)
{
    return &g->values[r->owner];
}

static bool is_open(struct get *g, const struct reading *r)
{
    const struct value *v = value_of(g, r);
    size_t i = (size_t)(r - g->readings);
    /* Readings of an earlier put of the key stay behind until the window ends. */
    return v->state == VALUE_READ && !r->accepted && i >= v->first_reading &&
           i - v->first_reading < v->stripes;
}

static bool needs_map(struct get *g)
{
    for (size_t i = 0; i < g->reading_count; i++) {
        const struct reading *r = &g->readings[i];
        if (is_open(g, r) && reading_needs_map(r, g->env.map))
            return true;
    }
    return false;
}

static struct fabric_req *new_copy(struct get *g)
{
    if (g->copy_count == g->copy_room) {
        size_t room = g->copy_room ? g->copy_room * 2 : g->value_count;
        struct fabric_req *grown = realloc(g->copies, room * sizeof *grown);
        if (!grown)
            return NULL;
        g->copies = grown;
        g->copy_room = room;
    }
    return &g->copies[g->copy_count++];
}

static void add_copy(struct get *g, struct reading *r, uint64_t now_ms)
{
    struct value *v = value_of(g, r);
    struct fabric_req *copy = new_copy(g);
    struct reading_choice choice = {.map = g->env.map, .slow = g->env.slow, .now_ms = now_ms};
    int status = copy ? reading_next(r, &v->common, &choice, copy) : CENOTE_NO_MEMORY;

    if (status == CENOTE_OK) {
        copy->x.owner = r;
        return;
    }
    g->copy_count -= copy != NULL;
    value_ask_again(g, v, status == CENOTE_NOT_FOUND ? reading_failure(r) : status, now_ms);
}

static void gather_copies(struct get *g, uint64_t now_ms)
{
    uint64_t memory = 0;

    g->copy_count = 0;
    for (size_t i = 0; i < g->reading_count && g->copy_count < GET_COPIES_MAX; i++) {
        struct reading *r = &g->readings[i];
        if (!is_open(g, r))
            continue;
        memory += reading_memory(r, &value_of(g, r)->common);
        if (memory > GET_PARTS_BYTES_MAX && g->copy_count > 0)
            break;
        add_copy(g, r, now_ms);
    }
}

/* All bytes are there and verified; they count if the extents were still this put's. */
static void value_arrived(struct get *g, struct value *v, uint64_t now_ms)
{
    if (now_ms < v->lease_end_ms || test_off(TEST_LEASE)) {
        value_complete(g, v);
        return;
    }
    bool again = v->cached || v->rounds < GET_ROUNDS_MAX;
    value_ask_again(g, v, again ? CENOTE_STALE : CENOTE_TIMED_OUT, now_ms);
}

static void copies_done(struct get *g, uint64_t now_ms)
{
    for (size_t i = 0; i < g->copy_count; i++) {
        struct reading *r = g->copies[i].x.owner;
        struct value *v = value_of(g, r);

        reading_end(r, &v->common, &g->copies[i]);
        slow_learn(g->env.slow, g->copies[i].node, g->copies[i].x.status, now_ms);
        v->left -= r->accepted;
    }
    for (size_t i = 0; i < g->copy_count; i++) {
        struct value *v = value_of(g, g->copies[i].x.owner);
        if (v->state == VALUE_READ && v->left == 0)
            value_arrived(g, v, now_ms);
    }
}

/* ---- steps ----------------------------------------------------------------------------------- */

static bool window_busy(const struct get *g)
{
    for (uint32_t i = 0; i < g->value_count; i++) {
        if (g->values[i].state != VALUE_DONE)
            return true;
    }
    return false;
}

static bool next_window(struct get *g, uint64_t now_ms)
{
    size_t left = g->count - g->begun;

    g->value_count = (uint32_t)(left < GET_WINDOW ? left : GET_WINDOW);
    g->reading_count = 0;
    g->ask_max = GET_WINDOW;
    for (uint32_t i = 0; i < g->value_count; i++, g->begun++) {
        g->values[i] = (struct value){.state = VALUE_ASK,
                                      .want = g->ranges ? wanted_range(&g->ranges[g->begun])
                                                        : wanted_whole(&g->items[g->begun]),
                                      .begun_ms = now_ms};
        value_recall(g, &g->values[i], now_ms);
    }
    return g->value_count > 0;
}

static void step_call(struct get *g, uint64_t now_ms, struct step *out)
{
    if (now_ms < g->retry.not_before_ms) {
        *out = (struct step){.kind = STEP_WAIT, .until_ms = g->retry.not_before_ms};
        return;
    }
    g->asked_ms = now_ms;
    *out = (struct step){.kind = STEP_CALL, .request = &g->request};
}

/* Every turn of the loop finishes a value, begins a window, or uses up a replica or a round. */
static void get_next(struct machine *m, uint64_t now_ms, struct step *out)
{
    struct get *g = (struct get *)m;

    *out = (struct step){.kind = STEP_DONE};
    while (out->kind == STEP_DONE) {
        if (g->calling) {
            step_call(g, now_ms, out);
        } else if (ask(g, now_ms)) {
            continue;
        } else if (g->map_wanted || (!g->map_fresh && needs_map(g))) {
            *out = (struct step){.kind = STEP_REFRESH_MAP};
        } else if (gather_copies(g, now_ms), g->copy_count > 0) {
            *out =
                (struct step){.kind = STEP_COPY, .copies = g->copies, .copy_count = g->copy_count};
        } else if (!window_busy(g) && !next_window(g, now_ms)) {
            break;
        }
    }
    g->doing = out->kind;
}

static void get_done(struct machine *m, uint64_t now_ms, int status, struct wire_value result)
{
    struct get *g = (struct get *)m;

    switch (g->doing) {
    case STEP_CALL:
        lookup_done(g, now_ms, status, result);
        break;
    case STEP_COPY:
        copies_done(g, now_ms);
        break;
    case STEP_REFRESH_MAP: /* if it failed, what is unknown stays unreachable */
        g->map_wanted = false;
        g->map_fresh = true;
        break;
    case STEP_WAIT:
        break;
    case STEP_HOLD:
    case STEP_UNHOLD:
    case STEP_DONE:
        assert(!"the machine was not asked for a step");
    }
}

/* Nothing of a get is the service's business: its leases run out. */
static bool get_cancel(struct machine *m, int status, bool sent)
{
    struct get *g = (struct get *)m;
    (void)sent;

    for (uint32_t i = 0; i < g->value_count; i++) {
        if (g->values[i].state != VALUE_DONE)
            value_finish(&g->values[i], status);
    }
    for (; g->begun < g->count; g->begun++)
        g->items[g->begun].status = status;
    g->calling = g->map_wanted = false;
    return false;
}
