/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/client/fake_pool.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "client/get.h"
#include "client/put.h"

#define STEPS_MAX 100000u

static uint64_t next_seq(void *arg)
{
    struct fake *f = arg;
    return ++f->seq;
}

void fake_begin(struct fake *f)
{
    memset(f, 0, sizeof *f);
    f->now_ms = 1000;
    f->next_put = 100;
    f->replicas = 1;
    f->map = locate_new("here");
    f->slow = slow_new();
    assert(f->map && f->slow);
    for (unsigned i = 0; i < FAKE_NODES; i++) {
        f->memory[i] = malloc(FAKE_NODE_BYTES);
        assert(f->memory[i]);
        f->nodes_on_map[i] = true;
    }
}

void fake_end(struct fake *f)
{
    locate_free(f->map);
    slow_free(f->slow);
    cache_free(f->cache);
    for (unsigned i = 0; i < FAKE_NODES; i++)
        free(f->memory[i]);
}

struct machine_env fake_env(struct fake *f)
{
    return (struct machine_env){.map = f->map,
                                .slow = f->slow,
                                .cache = f->cache,
                                .verify = CENOTE_VERIFY_FULL,
                                .timeout_ms = 10000,
                                .replicas = f->wanted,
                                .next_seq = next_seq,
                                .arg = f};
}

void fake_fill(uint8_t *data, size_t len, unsigned seed)
{
    uint64_t x = seed * 2654435761u + 1;
    for (size_t i = 0; i < len; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        data[i] = (uint8_t)(x >> 56);
    }
}

/* ---- nodes ----------------------------------------------------------------------------------- */

struct gva fake_base(unsigned node)
{
    return gva_make(GVA_FIRST + node * GVA_ALIGN);
}

unsigned fake_node_of(struct gva gva)
{
    return (unsigned)((gva.v - GVA_FIRST) / GVA_ALIGN);
}

uint8_t *fake_at(struct fake *f, struct gva gva)
{
    unsigned node = fake_node_of(gva);
    assert(node < FAKE_NODES && gva.v - fake_base(node).v < FAKE_NODE_BYTES);
    return f->memory[node] + (gva.v - fake_base(node).v);
}

static void copy_payload(struct xcopy_req *x, uint8_t *extent)
{
    uint64_t skip = x->local.skip_bytes, at = 0;

    for (size_t i = 0; i < x->local.count && at < x->len_bytes; i++) {
        const struct cenote_buffer *p = &x->local.pieces[i];
        uint64_t n = p->len_bytes > skip ? p->len_bytes - skip : 0;
        if (n > x->len_bytes - at)
            n = x->len_bytes - at;
        uint8_t *local = (uint8_t *)p->addr + (p->len_bytes > skip ? skip : 0);
        skip -= skip < p->len_bytes ? skip : p->len_bytes;
        if (n == 0)
            continue;
        if (x->op == XCOPY_WRITE)
            memcpy(extent + x->offset + at, local, n);
        else
            memcpy(local, extent + x->offset + at, n);
        if (x->sums)
            sums_update(x->sums, local, n);
        at += n;
    }
    assert(at == x->len_bytes);
}

static void copy_run(struct fake *f, struct fabric_req *r)
{
    struct xcopy_req *x = &r->x;
    uint64_t size = extent_size(x->payload_len);
    uint8_t *extent = fake_at(f, x->gva);

    assert(r->node == fake_node_of(x->gva) + 1);
    f->copies++;
    int status = f->on_copy ? f->on_copy(f, x) : XCOPY_IN_PROGRESS;
    if (status != XCOPY_IN_PROGRESS) {
        x->status = status;
        return;
    }
    assert(x->offset <= x->payload_len && x->len_bytes <= x->payload_len - x->offset);
    copy_payload(x, extent);
    if (x->op == XCOPY_WRITE) {
        if (x->seal_it)
            x->seal_it(x);
        if (x->tail_len > 0)
            memcpy(extent + size - x->tail_len, x->tail, x->tail_len);
    } else {
        memcpy(x->tail, extent + size - x->tail_len, x->tail_len);
    }
    x->status = CENOTE_OK;
}

/* ---- service --------------------------------------------------------------------------------- */

struct fake_object *fake_find(struct fake *f, const char *key)
{
    for (uint32_t i = 0; i < f->object_count; i++) {
        struct fake_object *o = &f->objects[i];
        if (o->state == FAKE_COMMITTED && strcmp(o->key, key) == 0)
            return o;
    }
    return NULL;
}

static void make_void(struct fake *f, const struct fake_object *o)
{
    for (uint32_t s = 0; s < o->stripe_count; s++) {
        for (uint32_t r = 0; r < o->replicas; r++) {
            uint8_t *seal =
                fake_at(f, o->stripes[s].gva[r]) + extent_seal_offset(o->stripes[s].payload_len);
            memcpy(seal + SEAL_STATE_OFFSET, "VOID", 4);
        }
    }
}

void fake_remove(struct fake *f, const char *key)
{
    struct fake_object *o = fake_find(f, key);
    assert(o);
    make_void(f, o);
    o->state = FAKE_ABORTED;
}

static const char *key_text(const uint8_t *key, size_t len)
{
    static char text[32];
    assert(len < sizeof text);
    memcpy(text, key, len);
    text[len] = '\0';
    return text;
}

static void place(struct fake *f, struct fake_object *o)
{
    uint64_t piece = f->stripe_bytes ? f->stripe_bytes : o->len_bytes, offset = 0;

    do {
        struct stripe *s = &o->stripes[o->stripe_count];
        uint64_t left = o->len_bytes - offset;
        assert((o->stripe_count + 1) * f->replicas <= FAKE_EXTENTS);
        *s = (struct stripe){
            .offset = offset, .payload_len = left < piece ? left : piece, .replicas = f->replicas};
        for (uint32_t r = 0; r < f->replicas; r++) {
            unsigned node = (unsigned)(o->put_id + o->stripe_count + r) % FAKE_NODES;
            s->gva[r] = gva_add(fake_base(node), f->used[node]);
            s->grant[r] = (struct write_grant){.boot = node + 1, .mac = o->put_id};
            f->used[node] += extent_size(s->payload_len);
            assert(f->used[node] <= FAKE_NODE_BYTES);
        }
        o->stripe_count++;
        offset += s->payload_len;
    } while (offset < o->len_bytes);
}

static void grant(const struct fake_object *o, struct wire_buf *out)
{
    const struct put_start_item item = {.put_id = o->put_id, .stripe_count = o->stripe_count};

    put_start_item_put(out, &item);
    for (uint32_t i = 0; i < o->stripe_count; i++)
        granted_stripe_put(out, &o->stripes[i]);
}

/* The put that this call has begun already; NULL: none. */
static const struct fake_object *started(const struct fake *f, uint64_t seq, const char *key)
{
    for (uint32_t i = 0; i < f->object_count; i++) {
        if (f->objects[i].seq == seq && strcmp(f->objects[i].key, key) == 0)
            return &f->objects[i];
    }
    return NULL;
}

static void start_one(struct fake *f, struct wire_value v, const struct put_start_params *p,
                      struct wire_buf *out)
{
    uint32_t replicas = put_start_replicas(p->flags);
    const uint8_t *key;
    size_t len;
    uint64_t value_len;
    struct fake_object *o = &f->objects[f->object_count];

    if (!put_start_key_get(v, &key, &len, &value_len))
        assert(!"a malformed key");
    const struct fake_object *before = f->repeating ? started(f, p->seq, key_text(key, len)) : NULL;
    if (before) {
        grant(before, out);
        return;
    }
    if (fake_find(f, key_text(key, len)) && !(p->flags & PUT_START_REPLACE)) {
        status_item_put(out, CENOTE_EXISTS);
        return;
    }
    assert(f->object_count < FAKE_OBJECTS);
    f->object_count++;
    strcpy(o->key, key_text(key, len));
    o->state = FAKE_PENDING;
    o->replace = p->flags & PUT_START_REPLACE;
    o->seq = p->seq;
    o->put_id = f->next_put++;
    o->session = f->session;
    o->len_bytes = value_len;
    if (replicas > 1)
        f->replicas = replicas;
    o->replicas = f->replicas;
    place(f, o);
    grant(o, out);
}

static int serve_start(struct fake *f, struct wire_value params, struct wire_buf *out)
{
    struct put_start_params p;

    if (!put_start_params_get(params, &p))
        assert(!"malformed put_start");
    f->starts++;
    f->repeating = p.seq == f->started_seq;
    if (f->answer_max && p.count > f->answer_max)
        return CENOTE_FRAME_SIZE;
    wire_put_array(out, p.count);
    for (uint32_t i = 0; i < p.count; i++)
        start_one(f, wire_at(p.items, i), &p, out);
    f->started_seq = p.seq;
    return CENOTE_OK;
}

static struct fake_object *by_put_id(struct fake *f, uint64_t put_id)
{
    for (uint32_t i = 0; i < f->object_count; i++) {
        if (f->objects[i].put_id == put_id)
            return &f->objects[i];
    }
    return NULL;
}

static int commit_one(struct fake *f, struct fake_object *o, const struct put_end_item *item)
{
    struct fake_object *older = fake_find(f, o->key);

    if (o->state == FAKE_COMMITTED)
        return CENOTE_OK;
    if (o->state == FAKE_ABORTED)
        return CENOTE_NO_SUCH_PUT;
    assert(item->sum_kind == SUM_XXH3 && item->root_count == o->stripe_count);
    for (uint32_t i = 0; i < o->stripe_count; i++) {
        if (!wire_uint(wire_at(item->roots, i), &o->stripes[i].root))
            assert(!"a malformed root");
    }
    if (older && !o->replace)
        return CENOTE_EXISTS;
    if (older)
        fake_remove(f, o->key);
    o->state = FAKE_COMMITTED;
    return CENOTE_OK;
}

static int end_one(struct fake *f, struct wire_value v, bool commit)
{
    struct put_end_item item;
    struct fake_object *o;

    if (!put_end_item_get(v, &item))
        assert(!"a malformed end of a put");
    o = by_put_id(f, item.put_id);
    assert(o && item.state_count == o->stripe_count * o->replicas);
    for (uint32_t i = 0; i < item.state_count; i++) {
        uint32_t state;
        if (!wire_u32(wire_at(item.states, i), &state))
            assert(!"a malformed state");
        o->extent_states[i] = (uint8_t)state;
    }
    if (commit)
        return commit_one(f, o, &item);
    if (o->session != f->session)
        return CENOTE_DENIED;
    if (o->state == FAKE_ABORTED)
        return CENOTE_NO_SUCH_PUT;
    o->state = FAKE_ABORTED;
    return CENOTE_OK;
}

static int serve_end(struct fake *f, struct wire_value params, bool commit, struct wire_buf *out)
{
    struct put_end_params p;

    if (!put_end_params_get(params, &p))
        assert(!"a malformed commit or abort");
    *(commit ? &f->commits : &f->aborts) += 1;
    wire_put_array(out, 2);
    wire_put_array(out, p.count);
    for (uint32_t i = 0; i < p.count; i++)
        wire_put_int(out, end_one(f, wire_at(p.items, i), commit));
    wire_put_nil(out);
    return CENOTE_OK;
}

static void found(const struct fake_object *o, struct wire_buf *out)
{
    struct lookup_item item = {.put_id = o->put_id,
                               .len_bytes = o->len_bytes,
                               .sum_kind = SUM_XXH3,
                               .lease_ms = FAKE_LEASE_MS,
                               .stripe_count = o->stripe_count};

    lookup_item_put(out, &item);
    for (uint32_t s = 0; s < o->stripe_count; s++) {
        struct stripe readable = o->stripes[s];
        readable.replicas = 0;
        for (uint32_t r = 0; r < o->replicas; r++) {
            if (o->extent_states[s * o->replicas + r] == EXTENT_VISIBLE)
                readable.gva[readable.replicas++] = o->stripes[s].gva[r];
        }
        located_stripe_put(out, &readable);
    }
}

static int serve_lookup(struct fake *f, struct wire_value params, struct wire_buf *out)
{
    struct keys_params p;

    if (!keys_params_get(params, &p))
        assert(!"malformed lookup");
    f->lookups++;
    f->keys_asked += p.count;
    if (f->answer_max && p.count > f->answer_max)
        return CENOTE_FRAME_SIZE;
    wire_put_array(out, 2);
    wire_put_uint(out, 0);
    wire_put_array(out, p.count);
    for (uint32_t i = 0; i < p.count; i++) {
        const struct fake_object *o;
        const uint8_t *key;
        size_t len;
        if (!wire_bin(wire_at(p.keys, i), &key, &len))
            assert(!"a malformed key");
        o = fake_find(f, key_text(key, len));
        if (o)
            found(o, out);
        else
            status_item_put(out, CENOTE_NOT_FOUND);
    }
    return CENOTE_OK;
}

int fake_serve(struct fake *f, const struct wire_msg *m, struct wire_buf *out)
{
    if (strcmp(m->method, METHOD_PUT_START) == 0)
        return serve_start(f, m->params, out);
    if (strcmp(m->method, METHOD_PUT_COMMIT) == 0)
        return serve_end(f, m->params, true, out);
    if (strcmp(m->method, METHOD_PUT_ABORT) == 0)
        return serve_end(f, m->params, false, out);
    assert(strcmp(m->method, METHOD_LOOKUP) == 0);
    return serve_lookup(f, m->params, out);
}

/* ---- driver ---------------------------------------------------------------------------------- */

static int ignore_node(void *arg, const struct map_node *node)
{
    (void)arg;
    (void)node;
    return CENOTE_OK;
}

static void ignore_gone(void *arg, uint64_t node)
{
    (void)arg;
    (void)node;
}

static void write_map(const struct fake *f, struct wire_buf *b)
{
    uint32_t count = 0;

    for (unsigned i = 0; i < FAKE_NODES; i++)
        count += f->nodes_on_map[i];
    wire_put_array(b, 3);
    wire_put_uint(b, f->refreshes + 1);
    wire_put_array(b, count);
    for (unsigned i = 0; i < FAKE_NODES; i++) {
        if (f->nodes_on_map[i])
            map_node_put(b, &(struct map_node){.node = i + 1, .name = "n", .boot = i + 1});
    }
    wire_put_array(b, count);
    for (unsigned i = 0; i < FAKE_NODES; i++) {
        if (f->nodes_on_map[i])
            map_range_put(b, &(struct map_range){.gva = fake_base(i),
                                                 .len_bytes = FAKE_NODE_BYTES,
                                                 .incarnation = i + 11,
                                                 .node = i + 1});
    }
}

static int refresh(struct fake *f)
{
    const struct locate_watch watch = {ignore_node, ignore_gone, NULL};
    struct wire_buf b = {0};
    struct wire_msg holder;
    struct wire_value v;

    f->refreshes++;
    write_map(f, &b);
    assert(!b.failed);
    if (wire_parse_value(b.data, b.len, &holder, &v) != CENOTE_OK)
        assert(!"the map of a test is malformed");
    int status = locate_update(f->map, v, &watch);
    wire_msg_free(&holder);
    wire_buf_free(&b);
    return status;
}

static void tell(struct fake *f, struct machine *m, int status, struct wire_value result)
{
    f->in_machine = true;
    m->ops->done(m, f->now_ms, status, result);
    f->in_machine = false;
}

static void call(struct fake *f, struct machine *machine, const struct wire_buf *request)
{
    struct wire_buf out = {0};
    struct wire_msg m, holder;
    struct wire_value result = {NULL};
    bool lost = false, parsed = false;
    int status;

    f->calls++;
    assert(!request->failed);
    if (wire_parse(request->data, request->len, &m) != CENOTE_OK)
        assert(!"a malformed request");
    assert(m.kind == WIRE_REQUEST && m.msgid == 0);
    status = f->on_call ? f->on_call(f, m.method, &lost) : CENOTE_OK;
    int served = status == CENOTE_OK || lost ? fake_serve(f, &m, &out) : CENOTE_OK;
    if (status == CENOTE_OK)
        status = served;
    if (status == CENOTE_OK) {
        parsed = wire_parse_value(out.data, out.len, &holder, &result) == CENOTE_OK;
        assert(parsed);
    }
    f->now_ms += FAKE_CALL_MS;
    machine->session = f->session;
    machine->name_space = FAKE_NAMESPACE;
    tell(f, machine, status, result);
    if (parsed)
        wire_msg_free(&holder);
    wire_msg_free(&m);
    wire_buf_free(&out);
}

/* A caller's buffer belongs to one transfer at a time. */
static void expect_disjoint(const struct step *step)
{
    for (size_t i = 0; i < step->copy_count; i++) {
        const struct xcopy_req *a = &step->copies[i].x;
        for (size_t k = 0; k < i; k++) {
            const struct xcopy_req *b = &step->copies[k].x;
            assert(a->op == XCOPY_WRITE || a->local.pieces != b->local.pieces ||
                   a->local.skip_bytes >= b->local.skip_bytes + b->len_bytes ||
                   b->local.skip_bytes >= a->local.skip_bytes + a->len_bytes);
        }
    }
}

static void copy(struct fake *f, const struct step *step)
{
    for (size_t i = 0; i < step->copy_count; i++)
        copy_run(f, &step->copies[i]);
    f->now_ms += FAKE_CALL_MS;
    if (f->after_copies)
        f->after_copies(f);
}

static int hold(struct fake *f, struct fabric_hold *h)
{
    int status = f->on_hold ? f->on_hold(f, h) : XCOPY_IN_PROGRESS;

    assert(h->node == fake_node_of(h->x.gva) + 1);
    f->holds++;
    f->now_ms += FAKE_CALL_MS;
    if (status == XCOPY_IN_PROGRESS) {
        const uint8_t *extent = fake_at(f, h->x.gva);
        h->x.data = extent;
        memcpy(h->x.seal, extent + extent_seal_offset(h->x.payload_len), SEAL_BYTES);
        h->link = (struct fabric_link *)f;
        f->held++;
        status = CENOTE_OK;
    }
    if (f->after_copies)
        f->after_copies(f);
    return status;
}

static void unhold(void *arg, const struct fabric_hold *h)
{
    struct fake *f = arg;

    assert(h->link == (struct fabric_link *)f && f->held > 0);
    f->held--;
}

static int take_step(struct fake *f, const struct step *step)
{
    switch (step->kind) {
    case STEP_COPY:
        expect_disjoint(step);
        copy(f, step);
        return CENOTE_OK;
    case STEP_HOLD:
        return hold(f, step->hold);
    case STEP_UNHOLD:
        unhold(f, step->hold);
        return CENOTE_OK;
    case STEP_REFRESH_MAP:
        return refresh(f);
    default:
        assert(step->kind == STEP_WAIT && step->until_ms > f->now_ms);
        f->waits++;
        f->now_ms = step->until_ms;
        return CENOTE_OK;
    }
}

void fake_next(struct fake *f, struct machine *m, struct step *out)
{
    f->in_machine = true;
    m->ops->next(m, f->now_ms, out);
    f->in_machine = false;
}

void fake_carry_out(struct fake *f, struct machine *m, const struct step *step)
{
    if (step->kind == STEP_CALL)
        call(f, m, step->request);
    else
        tell(f, m, take_step(f, step), (struct wire_value){NULL});
}

void fake_run(struct fake *f, struct machine *m)
{
    struct step step;
    unsigned steps = 0;

    for (fake_next(f, m, &step); step.kind != STEP_DONE; fake_next(f, m, &step)) {
        assert(steps++ < STEPS_MAX);
        fake_carry_out(f, m, &step);
    }
}

/* In one go, without a step of the driver; but the clock goes on, and things happen after it. */
static bool read_at_once(void *arg, struct fabric_req *req)
{
    struct fake *f = arg;

    copy_run(f, req);
    f->now_ms += FAKE_CALL_MS;
    if (f->after_copies)
        f->after_copies(f);
    return true;
}

static uint64_t clock_of(void *arg)
{
    const struct fake *f = arg;
    return f->now_ms;
}

const struct warm_ops fake_warm = {.read = read_at_once, .now_ms = clock_of};

static bool hold_at_once(void *arg, struct fabric_hold *h, int *status)
{
    *status = hold(arg, h);
    return true;
}

const struct warm_view_ops fake_warm_view = {
    .hold = hold_at_once, .unhold = unhold, .now_ms = clock_of};

int fake_view(struct fake *f, const char *key, enum cenote_verify verify, struct view_result *out)
{
    const struct cenote_key whole = {key, strlen(key)};
    struct machine_env env = fake_env(f);

    env.verify = verify;
    if (f->warm && warm_view(&env, &fake_warm_view, f, &whole, 7, out))
        return CENOTE_OK;
    struct view *v = view_begin(&env, &whole, 7);
    assert(v);
    fake_run(f, view_machine(v));
    view_take_result(v, out);
    view_free(v);
    return out->status;
}

void fake_release(struct fake *f)
{
    assert(f->held > 0);
    f->held--;
}

int fake_put(struct fake *f, const char *key, const void *data, size_t len, unsigned flags)
{
    struct cenote_buffer piece = {.addr = (void *)(uintptr_t)data, .len_bytes = len};
    struct cenote_put_item item = {
        .key = {key, strlen(key)}, .buffers = &piece, .buffer_count = 1, .status = 99};
    struct machine_env env = fake_env(f);
    struct put *p = put_begin(&env, &item, 1, flags);

    assert(p);
    fake_run(f, put_machine(p));
    put_free(p);
    return item.status;
}

int fake_get(struct fake *f, const char *key, void *buffer, size_t size, uint64_t *len)
{
    struct cenote_buffer piece = {.addr = buffer, .len_bytes = size};
    struct cenote_get_item item = {
        .key = {key, strlen(key)}, .buffers = &piece, .buffer_count = 1, .status = 99};
    struct machine_env env = fake_env(f);

    if (!f->warm || !warm_get(&env, &fake_warm, f, &item)) {
        struct get *g = get_begin(&env, &item, 1);
        assert(g);
        fake_run(f, get_machine(g));
        get_free(g);
    }
    if (len)
        *len = item.len_bytes;
    return item.status;
}
