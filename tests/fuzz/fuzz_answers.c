/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client's machines under a hostile service and hostile nodes: get, ranges, put, view and the
 * map, told anything. A machine comes to an end when nobody answers any more; what it has copied
 * fits into the caller's buffers; an accepted value has a seal that was right.
 *
 * The first record's tag chooses the machine, its aim says how many items. Of the others an ANSWER
 * is what the next call (or the next question for the map) gets: aim 0 success and the body, else
 * that error. A COPY says how the next copy ends: aim 0 with a right seal, 1 with the body in its
 * place, else that error.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "client/get.h"
#include "client/put.h"
#include "client/view.h"
#include "meta/stub/slots.h"
#include "tests/fuzz/fuzz.h"

enum machine_kind { KIND_GET, KIND_RANGES, KIND_PUT, KIND_VIEW, KIND_MAP, KINDS };
enum tag { TAG_ANSWER, TAG_COPY, TAGS };

#define ITEMS_MAX  4u
#define PIECE      70000u
#define STEPS_MAX  20000u
#define VIEW_BYTES 65536u

struct play {
    struct fuzz_input in;
    struct fuzz_record ahead[TAGS];
    bool has[TAGS];
    struct locate *map;
    struct slow *slow;
    struct cache *cache;
    uint64_t now_ms, seq;
    uint8_t seen[VIEW_BYTES];
};

static uint8_t memory[ITEMS_MAX][PIECE];

static uint64_t next_seq(void *arg)
{
    return ++((struct play *)arg)->seq;
}

/* The next record with this tag; others wait, one of each. */
static bool take(struct play *p, enum tag tag, struct fuzz_record *out)
{
    struct fuzz_record r;
    while (!p->has[tag] && fuzz_next(&p->in, &r)) {
        p->ahead[r.tag % TAGS] = r;
        p->has[r.tag % TAGS] = true;
    }
    *out = p->ahead[tag];
    bool had = p->has[tag];
    p->has[tag] = false;
    return had;
}

static int status_of(const struct fuzz_record *r)
{
    return -(int)(r->aim % 70);
}

/* ---- nodes ----------------------------------------------------------------------------------- */

/* Touches what a copy may touch, and checks that there is room for all of it. */
static void pass_payload(const struct xcopy_req *x)
{
    uint64_t skip = x->local.skip_bytes, left = x->len_bytes;
    for (size_t i = 0; i < x->local.count && left > 0; i++) {
        const struct cenote_buffer *b = &x->local.pieces[i];
        uint64_t skipped = skip < b->len_bytes ? skip : b->len_bytes;
        uint64_t n = b->len_bytes - skipped < left ? b->len_bytes - skipped : left;
        uint8_t *at = (uint8_t *)b->addr + skipped;
        skip -= skipped;
        left -= n;
        if (n == 0)
            continue;
        if (x->op == XCOPY_READ)
            memset(at, 0, n);
        if (x->sums != NULL)
            sums_update(x->sums, at, n);
    }
    assert(left == 0);
}

static void right_seal(const struct play *p, const struct xcopy_req *x, uint8_t out[SEAL_BYTES])
{
    struct location at = {0};
    (void)locate_find(p->map, x->gva, extent_size(x->payload_len), &at);
    struct seal seal = {.sum_kind = SUM_XXH3,
                        .put_id = x->put_id,
                        .gva = x->gva,
                        .incarnation = at.incarnation,
                        .stripes = 1,
                        .payload_len = x->payload_len,
                        .state = SEAL_STATE_LIVE};
    seal_encode(&seal, out);
}

static void bring_tail(const struct play *p, const struct fuzz_record *r, const struct xcopy_req *x)
{
    uint8_t seal[SEAL_BYTES];
    memset(x->tail, 0, x->tail_len);
    if (r->aim == 0 && x->tail_len >= SEAL_BYTES) {
        right_seal(p, x, seal);
        memcpy(x->tail + x->tail_len - SEAL_BYTES, seal, SEAL_BYTES);
    } else if (r->len > 0) {
        memcpy(x->tail, r->body, r->len < x->tail_len ? r->len : x->tail_len);
    }
}

static void copy(struct play *p, struct xcopy_req *x)
{
    struct fuzz_record r;
    assert(x->offset <= x->payload_len && x->len_bytes <= x->payload_len - x->offset);
    if (!take(p, TAG_COPY, &r)) {
        x->status = CENOTE_NODE_DOWN;
        return;
    }
    if (r.aim > 1) {
        x->status = status_of(&r);
        x->may_land = x->op == XCOPY_WRITE && r.len > 0;
        if (x->status != CENOTE_OK)
            return;
    }
    pass_payload(x);
    if (x->op == XCOPY_WRITE && x->seal_it != NULL)
        x->seal_it(x);
    else if (x->op == XCOPY_READ && x->tail_len > 0)
        bring_tail(p, &r, x);
    x->status = CENOTE_OK;
}

static int hold(struct play *p, struct fabric_hold *h)
{
    struct fuzz_record r;
    struct xcopy_req x = {.gva = h->x.gva, .payload_len = h->x.payload_len, .put_id = h->x.put_id};
    if (!take(p, TAG_COPY, &r))
        return CENOTE_NODE_DOWN;
    if (r.aim > 1 && status_of(&r) != CENOTE_OK)
        return status_of(&r);
    if (x.payload_len > VIEW_BYTES)
        return CENOTE_BAD_RANGE;
    x.tail = h->x.seal;
    x.tail_len = SEAL_BYTES;
    bring_tail(p, &r, &x);
    h->x.data = p->seen;
    return CENOTE_OK;
}

/* ---- the service ----------------------------------------------------------------------------- */

static int nothing(void *arg, const struct map_node *node)
{
    (void)arg;
    (void)node;
    return CENOTE_OK;
}

static void nobody(void *arg, uint64_t node)
{
    (void)arg;
    (void)node;
}

static int refresh(struct play *p)
{
    static const struct locate_watch watch = {.known = nothing, .gone = nobody};
    struct fuzz_record r;
    struct wire_msg holder;
    struct wire_value v;
    if (!take(p, TAG_ANSWER, &r) || r.aim != 0 || !fuzz_value(&r, &holder, &v))
        return CENOTE_UNAVAILABLE;
    int status = locate_update(p->map, v, &watch);
    wire_msg_free(&holder);
    return status;
}

static void call(struct play *p, struct machine *m, const struct step *step)
{
    struct fuzz_record r;
    struct wire_msg holder = {0};
    struct wire_value v = {NULL};
    int status = CENOTE_DENIED;
    assert(!step->request->failed);
    assert(wire_scan(step->request->data, step->request->len, WIRE_FRAME_MAX, NULL) ==
           (int64_t)step->request->len);
    if (take(p, TAG_ANSWER, &r)) {
        status = status_of(&r);
        if (status == CENOTE_OK && !fuzz_value(&r, &holder, &v))
            status = CENOTE_PROTOCOL;
    }
    m->session = 1;
    m->name_space = 3;
    m->ops->done(m, p->now_ms, status, v);
    wire_msg_free(&holder);
}

static void carry_out(struct play *p, struct machine *m, const struct step *step)
{
    struct wire_value none = {NULL};
    int status = CENOTE_OK;
    p->now_ms++;
    switch (step->kind) {
    case STEP_CALL:
        call(p, m, step);
        return;
    case STEP_COPY:
        for (size_t i = 0; i < step->copy_count; i++)
            copy(p, &step->copies[i].x);
        break;
    case STEP_HOLD:
        status = hold(p, step->hold);
        break;
    case STEP_REFRESH_MAP:
        status = refresh(p);
        break;
    case STEP_WAIT:
        p->now_ms = step->until_ms > p->now_ms ? step->until_ms : p->now_ms;
        break;
    case STEP_UNHOLD:
    case STEP_DONE:
        break;
    }
    m->ops->done(m, p->now_ms, status, none);
}

static void run(struct play *p, struct machine *m)
{
    struct step step;
    for (unsigned steps = 0;; steps++) {
        m->ops->next(m, p->now_ms, &step);
        if (step.kind == STEP_DONE)
            return;
        if (steps == STEPS_MAX)
            abort();
        carry_out(p, m, &step);
    }
}

/* ---- machines -------------------------------------------------------------------------------- */

static struct cenote_buffer pieces[ITEMS_MAX];
static const struct cenote_key keys[ITEMS_MAX] = {
    {"key", 3}, {"other", 5}, {"key", 3}, {"a longer key", 12}};

static void play_get(struct play *p, const struct machine_env *env, size_t count)
{
    struct cenote_get_item items[ITEMS_MAX];
    for (size_t i = 0; i < count; i++)
        items[i] = (struct cenote_get_item){
            .key = keys[i], .buffers = &pieces[i], .buffer_count = 1, .status = 1};
    struct get *g = get_begin(env, items, count);
    assert(g != NULL);
    run(p, get_machine(g));
    for (size_t i = 0; i < count; i++)
        assert(items[i].status <= 0 && (items[i].status < 0 || items[i].len_bytes <= PIECE));
    get_free(g);
}

static void play_ranges(struct play *p, const struct machine_env *env, size_t count)
{
    struct cenote_range_item items[ITEMS_MAX];
    for (size_t i = 0; i < count; i++)
        items[i] = (struct cenote_range_item){.key = keys[i],
                                              .offset = i * 65000,
                                              .buffers = &pieces[i],
                                              .buffer_count = 1,
                                              .status = 1};
    struct get *g = get_begin_ranges(env, items, count);
    assert(g != NULL);
    run(p, get_machine(g));
    for (size_t i = 0; i < count; i++)
        assert(items[i].status <= 0);
    get_free(g);
}

static void play_put(struct play *p, const struct machine_env *env, size_t count)
{
    struct cenote_put_item items[ITEMS_MAX];
    for (size_t i = 0; i < count; i++)
        items[i] = (struct cenote_put_item){
            .key = keys[i], .buffers = &pieces[i], .buffer_count = 1, .status = 1};
    struct put *put = put_begin(env, items, count, 0);
    assert(put != NULL);
    run(p, put_machine(put));
    for (size_t i = 0; i < count; i++)
        assert(items[i].status <= 0);
    put_free(put);
}

static void play_view(struct play *p, const struct machine_env *env)
{
    struct view_result result;
    struct view *v = view_begin(env, &keys[0], 0);
    assert(v != NULL);
    run(p, view_machine(v));
    view_take_result(v, &result);
    assert(result.status < 0 || (result.status == CENOTE_OK && result.len_bytes <= VIEW_BYTES));
    view_free(v);
}

static void play(struct play *p, const struct fuzz_record *first)
{
    size_t count = 1 + first->aim % ITEMS_MAX;
    struct machine_env env = {.map = p->map,
                              .slow = p->slow,
                              .cache = first->aim & 64 ? p->cache : NULL,
                              .verify = first->aim & 32 ? CENOTE_VERIFY_SEAL : CENOTE_VERIFY_FULL,
                              .timeout_ms = 1000,
                              .next_seq = next_seq,
                              .arg = p};
    for (size_t i = 0; i < ITEMS_MAX; i++)
        pieces[i] = (struct cenote_buffer){memory[i], i == 3 ? 7 : PIECE};
    (void)refresh(p);
    switch (first->tag % KINDS) {
    case KIND_GET:
        play_get(p, &env, count);
        break;
    case KIND_RANGES:
        play_ranges(p, &env, count);
        break;
    case KIND_PUT:
        play_put(p, &env, count);
        break;
    case KIND_VIEW:
        play_view(p, &env);
        break;
    default:
        while (p->in.left >= FUZZ_RECORD_HEAD && p->in.records < FUZZ_RECORDS_MAX)
            (void)refresh(p);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct play p;
    struct fuzz_record first;
    p.in = fuzz_input(data, size);
    if (!fuzz_next(&p.in, &first))
        return 0;
    p.has[TAG_ANSWER] = p.has[TAG_COPY] = false;
    p.now_ms = 1000;
    p.seq = 0;
    p.map = locate_new("here");
    p.slow = slow_new();
    p.cache = cache_new(1 << 16);
    assert(p.map != NULL && p.slow != NULL && p.cache != NULL);
    play(&p, &first);
    cache_free(p.cache);
    slow_free(p.slow);
    locate_free(p.map);
    return 0;
}
