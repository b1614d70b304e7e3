/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/service/service.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "meta/core/check.h"
#include "meta/service/peer.h"
#include "meta/stub/messages.h"
#include "transport/base/log.h"

/* Memory of answers up to this long is kept. */
#define ANSWER_KEEP_BYTES (256u << 10)

/* With the text of any status. */
#define ERROR_BYTES_MAX 256u

/* A remove may have to wait for it: well below the time-out of clients, 10 s. */
#define LEASE_MS         5000u
#define PUT_TIMEOUT_MS   60000u
#define SESSION_GRACE_MS 15000u
#define HEARTBEAT_MS     1000u
#define SUSPECT_MS       4000u
#define DEAD_MS          30000u
#define STRIPE_BYTES     (UINT64_C(64) << 20)
#define REBUILD_WAIT_MS  30000u
#define EVICT_HIGH       98u
#define EVICT_LOW        97u

/* Of SERVICE_TICK_MS: a second. */
#define QUIET_TICKS 20u

static uint32_t or_default(uint32_t value, uint32_t fallback)
{
    return value != 0 ? value : fallback;
}

static struct service_options with_defaults(const struct service_options *o)
{
    return (struct service_options){
        .lease_ms = or_default(o->lease_ms, LEASE_MS),
        .put_timeout_ms = or_default(o->put_timeout_ms, PUT_TIMEOUT_MS),
        .session_grace_ms = or_default(o->session_grace_ms, SESSION_GRACE_MS),
        .heartbeat_ms = or_default(o->heartbeat_ms, HEARTBEAT_MS),
        .suspect_ms = or_default(o->suspect_ms, SUSPECT_MS),
        .dead_ms = or_default(o->dead_ms, DEAD_MS),
        .rebuild = o->rebuild,
        .rebuild_nodes = o->rebuild_nodes,
        .rebuild_wait_ms = or_default(o->rebuild_wait_ms, REBUILD_WAIT_MS),
        .evict_high = or_default(o->evict_high, EVICT_HIGH),
        .evict_low = or_default(o->evict_low, EVICT_LOW),
        .stripe_bytes = o->stripe_bytes != 0 ? o->stripe_bytes : STRIPE_BYTES,
    };
}

static void recovered(struct recover *r, int status)
{
    struct service *s = container_of(r, struct service, recover);
    if (status == CENOTE_OK)
        log_info("meta", "reign %llu: %u objects, %u puts pending, %u nodes",
                 (unsigned long long)s->core.ids.reign, s->core.table.count, s->core.pending,
                 s->core.members.node_count);
    s->started(s->started_arg, status);
}

static unsigned add_trace_points(struct trace *t)
{
    unsigned first = trace_point(t, methods[0].name, NULL);
    for (unsigned i = 1; i < method_count(); i++) {
        unsigned point = trace_point(t, methods[i].name, NULL);
        assert(t == NULL || point == first + i);
    }
    return first;
}

int service_new(const struct service_options *options, const struct service_env *env,
                void (*started)(void *arg, int status), void *arg, struct service **out)
{
    struct service *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return CENOTE_NO_MEMORY;
    s->core.options = with_defaults(options);
    shard_init(&s->core.shard, options->slots, options->shard);
    s->core.env = *env;
    s->core.changes.store = env->store;
    s->recover.core = &s->core;
    s->recover.done = recovered;
    s->started = started;
    s->started_arg = arg;
    s->trace_first = add_trace_points(env->trace);
    int status = recover_start(&s->recover);
    if (status != CENOTE_OK) {
        service_free(s);
        return status;
    }
    *out = s;
    return CENOTE_OK;
}

void service_retune(struct service *s, const struct service_tuning *t)
{
    struct service_options *o = &s->core.options;
    assert(t->evict_low > 0 && t->evict_low <= t->evict_high && t->stripe_bytes > 0);
    assert(t->put_timeout_ms > 0 && t->session_grace_ms > 0);
    o->put_timeout_ms = t->put_timeout_ms;
    o->session_grace_ms = t->session_grace_ms;
    o->evict_high = t->evict_high;
    o->evict_low = t->evict_low;
    o->stripe_bytes = t->stripe_bytes;
}

void service_free(struct service *s)
{
    assert(list_empty(&s->peers));
    struct link *l;
    while ((l = list_pop(&s->requests)) != NULL) {
        struct request *r = container_of(l, struct request, link);
        if (--r->peer->requests == 0)
            free(r->peer);
        free(r);
    }
    core_free(&s->core);
    wire_buf_free(&s->spare);
    free(s);
}

/* ---- what calls cost ---- */

static inline void call_ended(struct service *s, const struct traffic_call *call, uint64_t now_ns)
{
    uint64_t ns = now_ns - call->begun_ns;
    if (traffic_count(&s->traffic, call, ns))
        traffic_note_slow(&s->traffic, call, ns, s->core.env.wall_ms(s->core.env.arg));
}

/* The call that was answered last has taken until now. */
static inline void settle(struct service *s, uint64_t now_ns)
{
    struct traffic *t = &s->traffic;
    if (!CENOTE_METRICS || !t->goes_on)
        return;
    t->goes_on = false;
    call_ended(s, &t->now, now_ns);
}

static void request_ended(const struct request *r)
{
    struct service *s = r->peer->service;
    const struct service_env *env = &s->core.env;
    if (!CENOTE_METRICS)
        return;
    call_ended(s, &r->call, env->now_ns(env->arg));
    trace_end_overlapping(env->trace, s->trace_first + r->call.method, r->traced_ns, r->call.keys);
}

void service_idle(struct service *s, uint64_t sent_ns)
{
    if (CENOTE_METRICS && s->traffic.goes_on)
        settle(s,
               sent_ns >= s->traffic.now.begun_ns ? sent_ns : s->core.env.now_ns(s->core.env.arg));
}

void service_turn(struct service *s)
{
    core_turn(&s->core);
}

_Static_assert(SERVICE_QUIET_TICK_MS < CORE_GAP_MAX_MS, "patient time goes on");

/* Has anything happened since the last tick, but for heartbeats, or is it under way? */
static bool is_busy(const struct service *s)
{
    const struct core *c = &s->core;
    const struct traffic_call *last = &s->traffic.now;
    bool called = last->begun_ns != s->ticked_ns &&
                  strcmp(methods[last->method].name, METHOD_NODE_HEARTBEAT) != 0;
    return called || !list_empty(&s->requests) || c->pending > 0 || c->reuse.extents > 0 ||
           c->evict.waiting_count > 0 || c->evict.draining || c->changes.in_flight > 0 ||
           (c->fsck.phase != FSCK_NEVER && c->fsck.phase != FSCK_DONE) ||
           rebuild_under_way(&c->rebuild);
}

void service_tick(struct service *s)
{
    core_clock(&s->core);
    settle(s, s->core.now_ns);
    core_tick(&s->core);
    traffic_tick(&s->traffic, s->core.now_ms);
    s->quiet_ticks = is_busy(s) ? 0 : s->quiet_ticks + 1;
    s->ticked_ns = s->traffic.now.begun_ns;
}

bool service_is_quiet(const struct service *s)
{
    return s->quiet_ticks >= QUIET_TICKS;
}

unsigned service_check(struct service *s)
{
    return core_check(&s->core);
}

/* ---- connections ---- */

struct service_peer *service_peer_open(struct service *s, const struct service_link *link)
{
    struct service_peer *p = calloc(1, sizeof(*p));
    if (p == NULL)
        return NULL;
    p->service = s;
    p->line = *link;
    list_append(&s->peers, &p->link);
    return p;
}

void service_peer_closed(struct service_peer *p)
{
    struct core *c = &p->service->core;
    core_clock(c);
    if (p->session != NULL)
        sessions_disconnected(c, p->session);
    p->session = NULL;
    members_disconnected(c, p);
    link_remove(&p->link);
    p->closed = true;
    p->requests++; /* a join that is held ends */
    rebuild_disconnected(c, p);
    p->requests--;
    if (p->requests == 0)
        free(p);
}

/* ---- answers ---- */

struct wire_buf answer_begin(struct service *s)
{
    struct wire_buf b = s->spare;
    s->spare = (struct wire_buf){0};
    wire_buf_clear(&b);
    return b;
}

void answer_end(struct service *s, struct wire_buf *b)
{
    if (s->spare.data == NULL && b->cap <= ANSWER_KEEP_BYTES)
        s->spare = *b;
    else
        wire_buf_free(b);
    *b = (struct wire_buf){0};
}

/* ---- requests ---- */

void *request_new(struct service *s, size_t size)
{
    struct request *r = pool_take(&s->core.small, size);
    if (r != NULL)
        r->size = (uint32_t)size;
    return r;
}

void request_begin(struct request *r, struct service_peer *p, uint32_t msgid)
{
    struct service *s = p->service;
    r->peer = p;
    r->msgid = msgid;
    r->call = s->traffic.now;
    r->traced_ns = s->traced_ns;
    s->traced_ns = 0;
    p->requests++;
    list_append(&s->requests, &r->link);
}

void request_result(const struct request *r, struct wire_buf *b)
{
    wire_put_result(b, r->msgid);
}

/* Needs no memory. */
static void answer_error(struct service_peer *p, uint32_t msgid, int status)
{
    uint8_t bytes[ERROR_BYTES_MAX];
    struct wire_buf b = {.data = bytes, .cap = sizeof(bytes)};
    wire_put_error(&b, msgid, status, NULL);
    assert(b.data == bytes && !b.failed);
    p->line.send(p->line.arg, b.data, b.len, 1);
}

static void answer(struct service_peer *p, uint32_t msgid, const struct wire_buf *b)
{
    if (!b->failed)
        p->line.send(p->line.arg, b->data, b->len, 1);
    else /* clients ask in parts for what is too long */
        answer_error(p, msgid, b->too_long ? CENOTE_FRAME_SIZE : CENOTE_NO_MEMORY);
}

static void request_free(struct request *r)
{
    struct service_peer *p = r->peer;
    struct service *s = p->service;
    link_remove(&r->link);
    p->requests--;
    if (p->closed && p->requests == 0)
        free(p);
    pool_give(&s->core.small, r, r->size);
}

void request_end(struct request *r, struct wire_buf *b)
{
    struct service_peer *p = r->peer;
    struct service *s = p->service;
    if (!p->closed)
        answer(p, r->msgid, b);
    request_ended(r);
    request_free(r);
    answer_end(s, b);
}

void request_end_done(struct request *r, struct wire_buf *b)
{
    struct service_peer *p = r->peer;
    if (b->failed && !p->closed) {
        log_error("meta", "no memory for an answer: the connection is closed");
        p->line.close(p->line.arg);
    } else if (!p->closed) {
        p->line.send(p->line.arg, b->data, b->len, 1);
    }
    struct service *s = p->service;
    request_ended(r);
    request_free(r);
    answer_end(s, b);
}

void request_drop(struct request *r)
{
    assert(r->peer->closed);
    request_ended(r);
    request_free(r);
}

void request_fail(struct request *r, int status)
{
    if (!r->peer->closed)
        answer_error(r->peer, r->msgid, status);
    metric_add(&r->peer->service->traffic.methods[r->call.method].errors, 1);
    request_ended(r);
    request_free(r);
}

/* ---- messages ---- */

static int run(struct service_peer *p, const struct wire_msg *m, const struct method *method,
               struct wire_buf *b)
{
    if (method->run == NULL || (m->kind == WIRE_NOTIFICATION && !method->notify))
        return CENOTE_NO_METHOD;
    if (method->needs == NEEDS_SESSION && p->session == NULL)
        return CENOTE_NO_SESSION;
    if (method->needs == NEEDS_NODE && members_of_peer(&p->service->core, p) == NULL)
        return CENOTE_NODE_UNKNOWN;
    wire_put_result(b, m->msgid);
    return method->run(p, m->msgid, m->params, b);
}

/* The call is over, but for its time, which goes on. */
static inline void answered(struct service *s, int status)
{
    struct traffic *t = &s->traffic;
    if (!CENOTE_METRICS)
        return;
    t->goes_on = true;
    if (status != CENOTE_OK)
        metric_add(&t->methods[t->now.method].errors, 1);
    if (s->traced_ns == 0)
        return;
    trace_end(s->core.env.trace, s->trace_first + t->now.method, s->traced_ns, t->now.keys);
    s->traced_ns = 0;
}

void service_peer_message(struct service_peer *p, const struct wire_msg *m)
{
    struct service *s = p->service;
    if (m->kind == WIRE_RESPONSE)
        return;
    struct wire_buf b = answer_begin(s);
    const struct method *method = method_find(m->method);
    core_clock(&s->core);
    settle(s, s->core.now_ns);
    s->traffic.now.begun_ns = s->core.now_ns;
    s->traffic.now.method = (uint32_t)(method - methods);
    s->traffic.now.keys = 0;
    if (trace_on(s->core.env.trace))
        s->traced_ns = trace_begin(s->core.env.trace, s->trace_first + s->traffic.now.method);
    int status = run(p, m, method, &b);
    if (m->kind == WIRE_REQUEST && status == CENOTE_OK)
        answer(p, m->msgid, &b);
    else if (m->kind == WIRE_REQUEST && status != METHOD_LATER)
        answer_error(p, m->msgid, status);
    if (status != METHOD_LATER)
        answered(s, status);
    answer_end(s, &b);
}

bool service_is_rebuilding(const struct service *s)
{
    return rebuild_under_way(&s->core.rebuild);
}
