/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/metaworld.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/worldnode.h"
#include "transport/base/testswitch.h"

/* A put_start that waits for room is answered by then. */
#define ANSWER_MS 10000u

/* ---- what the service is given ---- */

static uint64_t now_ns(void *arg)
{
    return ((struct world *)arg)->now_ms * 1000000;
}

static uint64_t wall_ms(void *arg)
{
    const struct world *w = arg;
    return 1700000000000u + w->now_ms + (uint64_t)w->wall_ahead_ms;
}

static void random_bytes(void *arg, void *out, size_t len)
{
    struct world *w = arg;
    uint8_t *b = out;
    for (size_t i = 0; i < len; i++) {
        w->seed = w->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        b[i] = (uint8_t)(w->seed >> 33);
    }
}

static uint8_t *copy(const void *data, size_t len)
{
    uint8_t *out = malloc(len);
    assert(out != NULL);
    memcpy(out, data, len);
    return out;
}

static void link_send(void *arg, const void *frames, size_t len, unsigned answers)
{
    struct end *e = arg;
    bool before = in_service;
    in_service = false;
    assert(answers == 1 && e->answer_count < END_ANSWERS);
    e->answers[e->answer_count++] = (struct answer){.frame = copy(frames, len), .len = len};
    in_service = before;
}

static void answer_read(struct answer *a)
{
    if (a->read)
        return;
    assert(wire_scan(a->frame, a->len, WIRE_FRAME_MAX, NULL) == (int64_t)a->len);
    int status = wire_parse(a->frame, a->len, &a->msg);
    assert(status == CENOTE_OK && a->msg.kind == WIRE_RESPONSE);
    a->read = true;
}

static void link_call(void *arg, const void *frame, size_t len, uint32_t timeout_ms,
                      void (*done)(void *done_arg, int status, struct wire_value result),
                      void *done_arg)
{
    struct end *e = arg;
    bool before = in_service;
    in_service = false;
    assert(timeout_ms == 0 && e->peer != NULL && e->call_count < END_CALLS);
    struct call *call = &e->calls[e->call_count++];
    *call = (struct call){.frame = copy(frame, len), .len = len, .done = done, .arg = done_arg};
    int status = wire_parse(call->frame, len, &call->msg);
    assert(status == CENOTE_OK && call->msg.kind == WIRE_REQUEST);
    memcpy(call->method, call->msg.method, sizeof(call->method));
    in_service = before;
}

static void link_close(void *arg)
{
    ((struct end *)arg)->close_asked = true;
}

static void started(void *arg, int status)
{
    ((struct world *)arg)->started = status;
}

/* ---- the world ---- */

struct world *world_new_on(const struct world_disk *disk, const struct service_options *options)
{
    struct world *w = calloc(1, sizeof(*w));
    assert(w != NULL);
    hash_init();
    if (options != NULL)
        w->options = *options;
    w->disk = disk;
    w->store = disk == NULL ? memstore_new() : NULL;
    w->now_ms = 1000000;
    w->seed = 1;
    w->started = 1;
    return w;
}

struct world *world_new(const struct service_options *options)
{
    return world_new_on(NULL, options);
}

/* ---- its store ---- */

static void store_run(struct world *w)
{
    if (w->disk == NULL)
        memstore_run(w->store);
    else if (w->disk_store != NULL)
        w->disk->run(w->disk->arg);
}

static int store_up(struct world *w)
{
    return w->disk == NULL ? CENOTE_OK : w->disk->open(w->disk->arg, &w->disk_store);
}

int world_start(struct world *w)
{
    int status = store_up(w);
    if (status != CENOTE_OK)
        return status;
    struct service_env env = {.store = world_store(w),
                              .now_ns = now_ns,
                              .wall_ms = wall_ms,
                              .random = random_bytes,
                              .arg = w};
    w->started = 1;
    in_service = true;
    status = service_new(&w->options, &env, started, w, &w->service);
    in_service = false;
    if (status != CENOTE_OK)
        return status;
    store_run(w);
    assert(w->started != 1);
    return w->started;
}

/* ---- what is looked at ---- */

static bool is_held(const struct world *w, struct gva extent)
{
    for (unsigned i = 0; i < w->held_count; i++)
        if (w->held[i].v == extent.v)
            return true;
    return false;
}

void world_hold(struct world *w, struct gva extent)
{
    assert(w->held_count < WORLD_HELD);
    w->held[w->held_count++] = extent;
}

void world_unhold(struct world *w, struct gva extent)
{
    for (unsigned i = 0; i < w->held_count; i++) {
        if (w->held[i].v != extent.v)
            continue;
        w->held[i] = w->held[--w->held_count];
        return;
    }
}

static void put_voided(const struct end *e, const struct call *call, struct wire_buf *b)
{
    bool held[VOID_BATCH_MAX];
    uint64_t reign, payload_len;
    uint32_t count;
    struct wire_value extents;
    bool good = void_params_get(call->msg.params, &reign, &count, &extents);
    for (uint32_t i = 0; good && i < count; i++) {
        struct gva gva;
        good = void_extent_get(wire_at(extents, i), &gva, &payload_len);
        held[i] = is_held(e->world, gva) && !test_off(TEST_HOLD);
    }
    assert(good);
    void_result_put(b, held, count);
}

/* The effect, and the result. */
static int perform(struct end *e, const struct call *call, struct wire_buf *result)
{
    bool is_directory = strcmp(call->method, METHOD_DIRECTORY) == 0;
    if (is_directory && e->directory_refusal != CENOTE_OK)
        return e->directory_refusal;
    if (e->directory != NULL && strcmp(call->method, METHOD_VOID) == 0)
        world_node_void(e, call->msg.params);
    int status = is_directory ? world_node_entries(e, call->msg.params) : CENOTE_OK;
    if (strcmp(call->method, METHOD_NOTES) == 0)
        status = world_node_notes(e, call->msg.params);
    if (e->answers_garbage) {
        wire_put_uint(result, 42);
    } else if (strcmp(call->method, METHOD_VOID) == 0) {
        put_voided(e, call, result);
    } else if (world_node_asked(e, call, result)) {
        return status;
    } else if (is_directory && status == CENOTE_OK) {
        struct directory_sum sum = directory_sum(e->directory);
        directory_sum_put(result, &sum);
    } else {
        wire_put_nil(result);
    }
    return status;
}

static void call_drop(struct end *e, unsigned i, int status)
{
    static const uint8_t nil = 0xc0;
    struct call call = e->calls[i];
    struct wire_msg holder = {0};
    struct wire_value result;
    struct wire_buf b = {0};
    if (status == CENOTE_OK)
        status = perform(e, &call, &b);
    if (status == CENOTE_OK && b.failed)
        status = CENOTE_NO_MEMORY;
    int parsed = wire_parse_value(status == CENOTE_OK ? b.data : &nil,
                                  status == CENOTE_OK ? b.len : 1, &holder, &result);
    assert(parsed == CENOTE_OK);
    memmove(&e->calls[i], &e->calls[i + 1], (--e->call_count - i) * sizeof(call));
    if (status == CENOTE_OK && e->world->replied != NULL)
        e->world->replied(e->world->replied_arg, e, &call);
    wire_msg_free(&call.msg);
    free(call.frame);
    in_service = true;
    call.done(call.arg, status, status == CENOTE_OK ? result : (struct wire_value){NULL});
    in_service = false;
    wire_msg_free(&holder);
    wire_buf_free(&b);
}

static void end_free(struct end *e)
{
    struct world *w = e->world;
    while (e->answer_count > 0)
        answer_drop(e, &e->answers[0]);
    for (unsigned i = 0; i < WORLD_ENDS; i++)
        if (w->ends[i] == e)
            w->ends[i] = NULL;
    wire_buf_free(&e->notes);
    free(e);
}

/* The peer's end of the connection sees it first; answers that have come stay readable. */
static void disconnect(struct end *e)
{
    struct service_peer *p = e->peer;
    if (p == NULL)
        return;
    e->peer = NULL;
    while (e->call_count > 0)
        call_drop(e, 0, CENOTE_UNAVAILABLE);
    in_service = true;
    service_peer_closed(p);
    in_service = false;
}

void end_close(struct end *e)
{
    disconnect(e);
    end_free(e);
}

static void service_down(struct world *w)
{
    if (w->service == NULL)
        return;
    for (unsigned i = 0; i < WORLD_ENDS; i++)
        if (w->ends[i] != NULL)
            disconnect(w->ends[i]);
    store_run(w);
    in_service = true;
    service_free(w->service);
    in_service = false;
    w->service = NULL;
}

/* The service must be gone. */
static void store_down(struct world *w)
{
    if (w->disk != NULL)
        w->disk->close(w->disk->arg);
    w->disk_store = NULL;
}

void world_crash(struct world *w, unsigned applied)
{
    if (w->disk != NULL) {
        w->disk->kill(w->disk->arg);
        service_down(w);
        store_down(w);
        return;
    }
    struct memstore *found = memstore_copy(w->store, applied);
    service_down(w);
    memstore_free(w->store);
    w->store = found;
}

void world_free(struct world *w)
{
    service_down(w);
    for (unsigned i = 0; i < WORLD_ENDS; i++)
        if (w->ends[i] != NULL)
            end_free(w->ends[i]);
    store_down(w);
    if (w->store != NULL)
        memstore_free(w->store);
    free(w);
}

static bool answer_calls(struct world *w)
{
    bool moved = false;
    for (unsigned i = 0; i < WORLD_ENDS; i++) {
        struct end *e = w->ends[i];
        if (e == NULL)
            continue;
        for (unsigned k = 0; k < e->call_count;) {
            if (e->holds_calls && strcmp(e->calls[k].method, METHOD_NOTES) != 0) {
                k++;
                continue;
            }
            call_drop(e, k, CENOTE_OK);
            moved = true;
        }
        if (e->close_asked && e->peer != NULL) {
            disconnect(e);
            moved = true;
        }
    }
    return moved;
}

static bool take_turn(struct world *w)
{
    in_service = true;
    service_idle(w->service, now_ns(w));
    service_turn(w->service);
    in_service = false;
    return world_waiting(w) > 0;
}

void world_run(struct world *w)
{
    do
        store_run(w);
    while (answer_calls(w) || take_turn(w) || world_waiting(w) > 0);
}

void world_pass(struct world *w, uint64_t ms)
{
    for (uint64_t end = w->now_ms + ms; w->now_ms < end;) {
        uint64_t left = end - w->now_ms;
        w->now_ms += left < SERVICE_TICK_MS ? left : SERVICE_TICK_MS;
        in_service = true;
        service_tick(w->service);
        in_service = false;
        world_run(w);
    }
}

/* ---- connections ---- */

struct end *end_open(struct world *w)
{
    struct end *e = calloc(1, sizeof(*e));
    assert(e != NULL);
    e->world = w;
    struct service_link link = {
        .arg = e, .name = "test", .send = link_send, .call = link_call, .close = link_close};
    for (unsigned i = 0;; i++) {
        assert(i < WORLD_ENDS);
        if (w->ends[i] == NULL) {
            w->ends[i] = e;
            break;
        }
    }
    in_service = true;
    e->peer = service_peer_open(w->service, &link);
    in_service = false;
    if (e->peer != NULL)
        return e;
    end_free(e);
    return NULL;
}

uint32_t end_request(struct end *e, struct wire_buf *b, const char *method)
{
    *b = (struct wire_buf){0};
    wire_put_request(b, ++e->next_msgid, method);
    return e->next_msgid;
}

void end_send(struct end *e, struct wire_buf *b)
{
    struct wire_msg m;
    assert(!b->failed && e->peer != NULL);
    int status = wire_parse(b->data, b->len, &m);
    assert(status == CENOTE_OK);
    in_service = true;
    service_peer_message(e->peer, &m);
    in_service = false;
    wire_msg_free(&m);
    wire_buf_free(b);
}

struct answer *end_answer(struct end *e, uint32_t msgid)
{
    for (unsigned i = 0; i < e->answer_count; i++) {
        answer_read(&e->answers[i]);
        if (e->answers[i].msg.msgid == msgid)
            return &e->answers[i];
    }
    return NULL;
}

void answer_drop(struct end *e, struct answer *a)
{
    unsigned i = (unsigned)(a - e->answers);
    answer_read(a);
    wire_msg_free(&a->msg);
    free(a->frame);
    memmove(a, a + 1, (--e->answer_count - i) * sizeof(*a));
}

int end_ask(struct end *e, struct wire_buf *b, uint32_t msgid, struct answer **result)
{
    end_send(e, b);
    world_run(e->world);
    struct answer *a = end_answer(e, msgid);
    for (unsigned ms = 0; a == NULL && ms < ANSWER_MS; ms += SERVICE_TICK_MS) {
        world_pass(e->world, SERVICE_TICK_MS);
        a = end_answer(e, msgid);
    }
    assert(a != NULL);
    int status = a->msg.error;
    if (result != NULL && status == CENOTE_OK)
        *result = a;
    else
        answer_drop(e, a);
    return status;
}

bool end_reply(struct end *e, const char *method, int status)
{
    for (unsigned i = 0; i < e->call_count; i++) {
        if (method != NULL && strcmp(e->calls[i].method, method) != 0)
            continue;
        call_drop(e, i, status);
        return true;
    }
    return false;
}

/* ---- clients ---- */

struct end *client_open(struct world *w, const char *name_space)
{
    struct end *e = end_open(w);
    struct wire_buf b;
    struct answer *a;
    struct session_open_params p = {.protocol = PROTOCOL_VERSION, .client = "test"};
    strncpy(p.name_space, name_space, CENOTE_NAMESPACE_MAX);
    uint32_t msgid = end_request(e, &b, METHOD_SESSION_OPEN);
    session_open_params_put(&b, &p);
    int status = end_ask(e, &b, msgid, &a);
    assert(status == CENOTE_OK);
    bool good = session_open_result_get(a->msg.result, &e->session);
    assert(good);
    answer_drop(e, a);
    return e;
}

struct end *client_resume(struct world *w, const struct end *before, int *status)
{
    struct end *e = end_open(w);
    struct wire_buf b;
    struct session_resume_params p = {.protocol = PROTOCOL_VERSION,
                                      .session = before->session.session,
                                      .token = before->session.token,
                                      .name_space = before->session.name_space};
    e->session = before->session;
    e->seq = before->seq;
    uint32_t msgid = end_request(e, &b, METHOD_SESSION_RESUME);
    session_resume_params_put(&b, &p);
    *status = end_ask(e, &b, msgid, NULL);
    return e;
}

static uint32_t start_request(struct end *e, struct wire_buf *b, const char *key, uint64_t len,
                              unsigned flags)
{
    uint32_t msgid = end_request(e, b, METHOD_PUT_START);
    put_start_params_put(b, ++e->seq, flags, 1);
    put_start_key_put(b, key, strlen(key), len);
    return msgid;
}

uint32_t client_put_start_send(struct end *e, const char *key, uint64_t len, unsigned flags)
{
    struct wire_buf b;
    uint32_t msgid = start_request(e, &b, key, len, flags);
    end_send(e, &b);
    world_run(e->world);
    return msgid;
}

int client_put_start_status(struct end *e, uint32_t msgid, struct put_start_item *item)
{
    struct answer *a = end_answer(e, msgid);
    if (a == NULL)
        return 1;
    int status = a->msg.error;
    bool good = status != CENOTE_OK || put_start_item_get(wire_at(a->msg.result, 0), item);
    assert(good);
    item->stripes = (struct wire_value){NULL}; /* they go with the answer */
    answer_drop(e, a);
    return status == CENOTE_OK ? item->status : status;
}

int client_put_start(struct end *e, const char *key, uint64_t len, unsigned flags,
                     struct put_start_item *item, struct stripe *stripes)
{
    struct wire_buf b;
    struct answer *a;
    uint32_t msgid = start_request(e, &b, key, len, flags);
    int status = end_ask(e, &b, msgid, &a);
    if (status != CENOTE_OK)
        return status;
    bool good = put_start_item_get(wire_at(a->msg.result, 0), item);
    assert(good);
    for (uint32_t i = 0; item->status == CENOTE_OK && i < item->stripe_count; i++) {
        struct stripe s;
        good = granted_stripe_get(wire_at(item->stripes, i), &s);
        assert(good);
        if (stripes != NULL)
            stripes[i] = s;
    }
    answer_drop(e, a);
    return item->status;
}

uint32_t client_end_send(struct end *e, const char *method, const struct put_start_item *item,
                         const uint8_t *states, uint32_t count)
{
    struct wire_buf b;
    uint64_t roots[STRIPES_MAX];
    for (uint32_t i = 0; i < item->stripe_count; i++)
        roots[i] = item->put_id + i;
    uint32_t msgid = end_request(e, &b, method);
    put_end_params_put(&b, ++e->seq, 1);
    put_end_item_put(&b, item->put_id, SUM_XXH3, roots, item->stripe_count, states, count);
    end_send(e, &b);
    return msgid;
}

static uint32_t end_put_send(struct end *e, const char *method, const struct put_start_item *item,
                             enum extent_state state)
{
    uint8_t states[STRIPES_MAX];
    memset(states, (int)state, item->stripe_count);
    return client_end_send(e, method, item, states, item->stripe_count);
}

uint32_t client_commit_send(struct end *e, const struct put_start_item *item,
                            enum extent_state state)
{
    return end_put_send(e, METHOD_PUT_COMMIT, item, state);
}

static int taken(struct end *e, struct answer *a, struct wire_value status)
{
    int32_t out = a->msg.error;
    if (out == CENOTE_OK) {
        bool good = key_status_get(status, &out);
        assert(good);
    }
    answer_drop(e, a);
    return out;
}

int client_commit_status(struct end *e, uint32_t msgid)
{
    struct answer *a = end_answer(e, msgid);
    return a == NULL ? 1 : taken(e, a, wire_at(wire_at(a->msg.result, 0), 0));
}

int client_commit(struct end *e, const struct put_start_item *item, enum extent_state state)
{
    uint32_t msgid = client_commit_send(e, item, state);
    world_run(e->world);
    return client_commit_status(e, msgid);
}

int client_abort(struct end *e, const struct put_start_item *item, enum extent_state state)
{
    uint32_t msgid = end_put_send(e, METHOD_PUT_ABORT, item, state);
    world_run(e->world);
    return client_commit_status(e, msgid);
}

int client_put(struct end *e, const char *key, uint64_t len, unsigned flags)
{
    struct put_start_item item;
    int status = client_put_start(e, key, len, flags, &item, NULL);
    return status == CENOTE_OK ? client_commit(e, &item, EXTENT_VISIBLE) : status;
}

static uint32_t key_send(struct end *e, const char *method, const char *key)
{
    struct wire_buf b;
    uint32_t msgid = end_request(e, &b, method);
    if (strcmp(method, METHOD_REMOVE) == 0)
        remove_params_put(&b, ++e->seq, 1);
    else
        keys_params_put(&b, 1);
    wire_put_bin(&b, key, strlen(key));
    end_send(e, &b);
    return msgid;
}

uint32_t client_lookup_send(struct end *e, const char *key)
{
    return key_send(e, METHOD_LOOKUP, key);
}

int client_lookup_status(struct end *e, uint32_t msgid)
{
    struct answer *a = end_answer(e, msgid);
    return a == NULL ? 1 : taken(e, a, wire_at(wire_at(wire_at(a->msg.result, 1), 0), 0));
}

int client_lookup(struct end *e, const char *key, struct lookup_item *item, struct stripe *stripes)
{
    struct lookup_item own;
    uint32_t msgid = client_lookup_send(e, key);
    world_run(e->world);
    struct answer *a = end_answer(e, msgid);
    assert(a != NULL && a->msg.error == CENOTE_OK);
    item = item != NULL ? item : &own;
    bool good = lookup_item_get(wire_at(wire_at(a->msg.result, 1), 0), item);
    assert(good);
    for (uint32_t i = 0; item->status == CENOTE_OK && i < item->stripe_count; i++) {
        struct stripe s;
        good = located_stripe_get(wire_at(item->stripes, i), &s);
        assert(good);
        if (stripes != NULL)
            stripes[i] = s;
    }
    answer_drop(e, a);
    return item->status;
}

uint32_t client_remove_send(struct end *e, const char *key)
{
    return key_send(e, METHOD_REMOVE, key);
}

int client_remove_status(struct end *e, uint32_t msgid)
{
    struct answer *a = end_answer(e, msgid);
    return a == NULL ? 1 : taken(e, a, wire_at(a->msg.result, 0));
}

int client_remove(struct end *e, const char *key)
{
    uint32_t msgid = client_remove_send(e, key);
    world_run(e->world);
    return client_remove_status(e, msgid);
}

bool client_exists(struct end *e, const char *key)
{
    uint32_t msgid = key_send(e, METHOD_EXISTS, key);
    world_run(e->world);
    struct answer *a = end_answer(e, msgid);
    uint64_t leading = 0;
    bool good = a != NULL && wire_uint(wire_at(a->msg.result, 0), &leading);
    assert(good);
    answer_drop(e, a);
    return leading == 1;
}

/* ---- nodes ---- */

struct node_join_params node_params(const char *name, uint64_t boot, uint32_t segments,
                                    uint64_t len_bytes)
{
    struct node_join_params p = {.protocol = PROTOCOL_VERSION,
                                 .boot = boot,
                                 .host = "host",
                                 .tcp = "127.0.0.1:1",
                                 .segment_count = segments};
    strncpy(p.name, name, NODE_NAME_MAX);
    memset(p.grant_key.b, (int)boot, sizeof(p.grant_key.b));
    for (uint32_t i = 0; i < segments; i++)
        p.segments[i].len_bytes = len_bytes;
    return p;
}

struct end *node_join(struct world *w, const struct node_join_params *p, int *status)
{
    struct end *e = end_open(w);
    struct wire_buf b;
    struct answer *a;
    uint32_t msgid = end_request(e, &b, METHOD_NODE_JOIN);
    node_join_params_put(&b, p);
    e->holds_calls = true; /* they may come right behind the answer */
    *status = end_ask(e, &b, msgid, &a);
    if (*status == CENOTE_OK) {
        bool good = node_join_result_get(a->msg.result, &e->joined);
        assert(good);
        answer_drop(e, a);
    }
    e->holds_calls = false;
    return e;
}

struct end *node_join_send(struct world *w, const struct node_join_params *p, uint32_t *msgid)
{
    struct end *e = end_open(w);
    struct wire_buf b;
    *msgid = end_request(e, &b, METHOD_NODE_JOIN);
    node_join_params_put(&b, p);
    end_send(e, &b);
    return e;
}

int node_join_status(struct end *e, uint32_t msgid)
{
    struct answer *a = end_answer(e, msgid);
    if (a == NULL)
        return 1;
    int status = a->msg.error;
    bool good = status != CENOTE_OK || node_join_result_get(a->msg.result, &e->joined);
    assert(good);
    answer_drop(e, a);
    return status;
}

int node_heartbeat_with(struct end *e, uint32_t segments, uint64_t populated, struct directory *d)
{
    e->directory = d;
    return node_heartbeat(e, segments, populated);
}

int node_heartbeat(struct end *e, uint32_t segments, uint64_t populated)
{
    struct wire_buf b;
    struct node_heartbeat_params p = {.segment_count = segments,
                                      .has_directory = e->directory != NULL};
    if (e->directory != NULL)
        p.directory = directory_sum(e->directory);
    for (uint32_t i = 0; i < segments; i++)
        p.populated_bytes[i] = populated;
    uint32_t msgid = end_request(e, &b, METHOD_NODE_HEARTBEAT);
    node_heartbeat_params_put(&b, &p);
    return end_ask(e, &b, msgid, NULL);
}

struct end *node_up(struct world *w, const char *name, uint64_t boot, uint32_t segments,
                    uint64_t len_bytes)
{
    int status;
    struct node_join_params p = node_params(name, boot, segments, len_bytes);
    struct end *e = node_join(w, &p, &status);
    assert(status == CENOTE_OK);
    status = node_heartbeat(e, segments, len_bytes);
    assert(status == CENOTE_OK);
    return e;
}
