/* SPDX-License-Identifier: Apache-2.0 */
#include "server/node/member.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "meta/stub/rebuild.h"
#include "server/node/scrub.h"
#include "transport/base/log.h"
#include "transport/base/trace.h"

/* With shorter ones a tick may not be late. */
#define QUIET_HEARTBEAT_MS 500u

/* What it is asked for, and what it asks for itself, as stages of the operation "node". */
enum traced {
    TRACED_VOID,
    TRACED_DIRECTORY,
    TRACED_DIRECTORY_READ,
    TRACED_NOTES,
    TRACED_NOTES_READ,
    TRACED_SETTLE,
    TRACED_JOIN,
    TRACED_HEARTBEAT,
    TRACED_SCRUB,
    TRACED_COUNT
};

static const char *const traced_names[TRACED_COUNT] = {[TRACED_VOID] = METHOD_VOID,
                                                       [TRACED_DIRECTORY] = METHOD_DIRECTORY,
                                                       [TRACED_DIRECTORY_READ] =
                                                           METHOD_DIRECTORY_READ,
                                                       [TRACED_NOTES] = METHOD_NOTES,
                                                       [TRACED_NOTES_READ] = METHOD_NOTES_READ,
                                                       [TRACED_SETTLE] = METHOD_SETTLE,
                                                       [TRACED_JOIN] = "join",
                                                       [TRACED_HEARTBEAT] = "heartbeat",
                                                       [TRACED_SCRUB] = "scrub"};

struct member {
    struct member_env env;
    struct member_identity who;
    struct node *node;
    enum member_state state;
    bool linked; /* there is a connection, or one is being made */
    uint64_t retry_at_ms;
    uint32_t retry_ms; /* the pause after the next failure */
    int last_refusal;  /* so that the same one isn't logged at each attempt */
    uint32_t heartbeat_ms;
    uint64_t heartbeat_sent_ms;
    uint64_t populated_sent; /* bytes, as the last heartbeat told */
    unsigned heartbeats_in_flight;
    bool ended;          /* the contents, as the service says */
    struct scrub *scrub; /* NULL: none */
    bool told_damage;    /* the answer is on its way */
    unsigned points[TRACED_COUNT];
    uint64_t join_traced_ns;
    uint64_t heartbeats_sent, heartbeats_answered;
    uint64_t heartbeats_traced_ns[MEMBER_HEARTBEATS_IN_FLIGHT]; /* answers come in order */
    uint32_t voided;                                            /* extents of the last call */
};

struct member *member_new(const struct member_env *env, const struct member_identity *who,
                          struct node *node)
{
    struct member *m = calloc(1, sizeof *m);
    if (!m)
        return NULL;
    m->env = *env;
    m->who = *who;
    m->node = node;
    m->retry_ms = MEMBER_RETRY_FIRST_MS;
    for (unsigned i = 0; i < TRACED_COUNT; i++)
        m->points[i] = trace_point(node_trace(node), "node", traced_names[i]);
    return m;
}

void member_free(struct member *m)
{
    assert(!m || !m->linked);
    if (m)
        scrub_free(m->scrub);
    free(m);
}

enum member_state member_state(const struct member *m)
{
    return m->state;
}

static uint64_t traced(const struct member *m, enum traced what)
{
    return trace_begin(node_trace(m->node), m->points[what]);
}

/* Sends a request whose frame is ready, and frees it. */
static void call(struct member *m, struct wire_buf *b, uint32_t timeout_ms,
                 void (*done)(void *arg, int status, struct wire_value result))
{
    if (b->failed)
        done(m, CENOTE_NO_MEMORY, (struct wire_value){NULL});
    else
        m->env.call(m->env.arg, b->data, b->len, timeout_ms, done, m);
    wire_buf_free(b);
}

/* ---- joining --------------------------------------------------------------------------------- */

static void lose(struct member *m)
{
    log_warn("node",
             "the service has ended this node's contents: beginning anew with empty memory");
    m->ended = true;
    m->state = MEMBER_LOST;
    m->env.close(m->env.arg);
}

static void refuse(struct member *m, int status)
{
    if (status != m->last_refusal)
        log_warn("node", "cannot join the pool as %s: %s; trying again", m->who.name,
                 cenote_status_text(status));
    m->last_refusal = status;
    m->env.close(m->env.arg);
}

static int take_join_answer(struct member *m, struct wire_value result)
{
    struct node_join_result r;
    if (!node_join_result_get(result, &r) || r.heartbeat_ms == 0)
        return CENOTE_PROTOCOL;
    m->heartbeat_ms = r.heartbeat_ms;
    return node_joined(m->node, &r);
}

static void send_heartbeat(struct member *m);

static void on_join(void *arg, int status, struct wire_value result)
{
    struct member *m = arg;
    trace_end_overlapping(node_trace(m->node), m->points[TRACED_JOIN], m->join_traced_ns,
                          (uint64_t)(status == CENOTE_OK));
    m->join_traced_ns = 0;
    if (m->state != MEMBER_JOINING)
        return;
    bool rejoining = node_has_contents(m->node);
    if (status == CENOTE_OK)
        status = take_join_answer(m, result);
    if (rejoining && (status == CENOTE_NODE_UNKNOWN || status == CENOTE_PROTOCOL)) {
        lose(m);
    } else if (status != CENOTE_OK) {
        refuse(m, status);
    } else {
        m->env.joined(m->env.arg);
        m->state = MEMBER_JOINED;
        m->retry_ms = MEMBER_RETRY_FIRST_MS;
        m->last_refusal = CENOTE_OK;
        log_info("node", "%s %s the pool", m->who.name, rejoining ? "is back in" : "has joined");
        send_heartbeat(m);
    }
}

void member_connected(struct member *m)
{
    if (m->state != MEMBER_CONNECTING) { /* left meanwhile */
        m->env.close(m->env.arg);
        return;
    }
    struct node_join_params p = {.protocol = PROTOCOL_VERSION};
    memcpy(p.name, m->who.name, sizeof p.name);
    memcpy(p.host, m->who.host, sizeof p.host);
    memcpy(p.zone, m->who.zone, sizeof p.zone);
    memcpy(p.shm, m->who.shm, sizeof p.shm);
    memcpy(p.rdma, m->who.rdma, sizeof p.rdma);
    memcpy(p.tcp, m->who.tcp, sizeof p.tcp);
    node_join_params(m->node, &p);
    struct wire_buf b = {0};
    wire_put_request(&b, 0, METHOD_NODE_JOIN);
    node_join_params_put(&b, &p);
    m->state = MEMBER_JOINING;
    m->join_traced_ns = traced(m, TRACED_JOIN);
    call(m, &b, MEMBER_CALL_TIMEOUT_MS, on_join);
}

void member_disconnected(struct member *m)
{
    m->linked = false;
    node_forget_tags(m->node);
    if (m->state == MEMBER_LEAVING)
        m->state = MEMBER_LEFT;
    if (m->state == MEMBER_LOST || m->state == MEMBER_LEFT)
        return;
    if (m->state == MEMBER_JOINED)
        log_warn("node", "lost the connection to the service");
    m->state = MEMBER_WAITING;
    m->retry_at_ms = m->env.now_ms(m->env.arg) + m->retry_ms;
    m->retry_ms = m->retry_ms * 2 < MEMBER_RETRY_MAX_MS ? m->retry_ms * 2 : MEMBER_RETRY_MAX_MS;
}

/* ---- heartbeats ------------------------------------------------------------------------------ */

static void on_heartbeat(void *arg, int status, struct wire_value result)
{
    struct member *m = arg;
    uint64_t reign,
        *traced_ns =
            &m->heartbeats_traced_ns[m->heartbeats_answered++ % MEMBER_HEARTBEATS_IN_FLIGHT];
    m->heartbeats_in_flight--;
    trace_end_overlapping(node_trace(m->node), m->points[TRACED_HEARTBEAT], *traced_ns, 0);
    if (m->state != MEMBER_JOINED || status == CENOTE_UNAVAILABLE)
        return;
    if (status == CENOTE_OK)
        status = wire_uint(wire_at(result, 0), &reign) ? node_see_reign(m->node, reign)
                                                       : CENOTE_PROTOCOL;
    if (status == CENOTE_NODE_UNKNOWN) {
        lose(m);
    } else if (status != CENOTE_OK) {
        log_warn("node", "heartbeat failed: %s; connecting anew", cenote_status_text(status));
        m->env.close(m->env.arg);
    }
}

static void send_heartbeat(struct member *m)
{
    struct node_heartbeat_params p;
    struct wire_buf b = {0};
    node_heartbeat_params(m->node, &p);
    wire_put_request(&b, 0, METHOD_NODE_HEARTBEAT);
    node_heartbeat_params_put(&b, &p);
    m->heartbeat_sent_ms = m->env.now_ms(m->env.arg);
    m->populated_sent = 0;
    for (uint32_t i = 0; i < p.segment_count; i++)
        m->populated_sent += p.populated_bytes[i];
    m->heartbeats_in_flight++;
    m->heartbeats_traced_ns[m->heartbeats_sent++ % MEMBER_HEARTBEATS_IN_FLIGHT] =
        traced(m, TRACED_HEARTBEAT);
    call(m, &b, MEMBER_CALL_TIMEOUT_MS, on_heartbeat);
}

/* ---- damage ---------------------------------------------------------------------------------- */

int member_scrub(struct member *m, uint64_t bytes_per_s)
{
    scrub_free(m->scrub);
    m->scrub = bytes_per_s > 0 ? scrub_new(m->node, bytes_per_s) : NULL;
    return m->scrub || bytes_per_s == 0 ? CENOTE_OK : CENOTE_NO_MEMORY;
}

/* Whatever the answer is: damage that stays is found again in the next round. */
static void on_damage(void *arg, int status, struct wire_value result)
{
    struct member *m = arg;
    (void)result;
    m->told_damage = false;
    if (status != CENOTE_OK && status != CENOTE_UNAVAILABLE)
        log_warn("node", "damage isn't taken notice of for now: %s", cenote_status_text(status));
}

/* Most steps have nothing to do. */
static bool step_traced(struct member *m, uint64_t now_ms, struct scrub_bad *bad)
{
    uint64_t before = scrub_bytes(m->scrub), traced_ns = traced(m, TRACED_SCRUB);
    bool found = scrub_step(m->scrub, now_ms, bad);
    uint64_t bytes = scrub_bytes(m->scrub) - before;
    if (bytes > 0)
        trace_end(node_trace(m->node), m->points[TRACED_SCRUB], traced_ns, bytes);
    else
        trace_drop(node_trace(m->node), m->points[TRACED_SCRUB], traced_ns);
    return found;
}

static void scrub(struct member *m, uint64_t now_ms)
{
    struct scrub_bad bad;
    struct wire_buf b = {0};
    if (!m->scrub || m->told_damage || !step_traced(m, now_ms, &bad))
        return;
    wire_put_request(&b, 0, METHOD_EXTENT_DAMAGED);
    extent_damaged_params_put(&b, bad.put_id, bad.gva);
    m->told_damage = true;
    call(m, &b, MEMBER_CALL_TIMEOUT_MS, on_damage);
}

void member_tick(struct member *m)
{
    uint64_t now = m->env.now_ms(m->env.arg);
    node_poll(m->node);
    if (m->state == MEMBER_WAITING && now >= m->retry_at_ms) {
        m->state = MEMBER_CONNECTING;
        m->linked = true;
        m->env.connect(m->env.arg);
    } else if (m->state == MEMBER_JOINED && m->heartbeats_in_flight < MEMBER_HEARTBEATS_IN_FLIGHT &&
               (now - m->heartbeat_sent_ms >= m->heartbeat_ms ||
                node_populated(m->node) != m->populated_sent)) {
        send_heartbeat(m);
    }
    if (m->state == MEMBER_JOINED)
        scrub(m, now);
}

bool member_is_quiet(const struct member *m)
{
    return m->state == MEMBER_JOINED && m->heartbeat_ms >= QUIET_HEARTBEAT_MS &&
           node_populated(m->node) == m->populated_sent;
}

/* ---- leaving --------------------------------------------------------------------------------- */

static void on_leave(void *arg, int status, struct wire_value result)
{
    struct member *m = arg;
    (void)result;
    m->ended = status == CENOTE_OK;
    if (!m->ended)
        log_warn("node", "left without the service's answer: %s", cenote_status_text(status));
    if (status != CENOTE_UNAVAILABLE)
        m->env.close(m->env.arg);
}

void member_leave(struct member *m)
{
    struct wire_buf b = {0};
    enum member_state was = m->state;
    if (was == MEMBER_LEAVING || was == MEMBER_LEFT)
        return;
    m->state = m->linked ? MEMBER_LEAVING : MEMBER_LEFT;
    if (was == MEMBER_JOINED) {
        wire_put_request(&b, 0, METHOD_NODE_LEAVE);
        wire_put_array(&b, 0);
        call(m, &b, MEMBER_LEAVE_TIMEOUT_MS, on_leave);
    } else if (was == MEMBER_JOINING) {
        m->env.close(m->env.arg);
    }
}

bool member_contents_ended(const struct member *m)
{
    return m->ended;
}

/* ---- the service's calls --------------------------------------------------------------------- */

static void send_answer(struct member *m, struct wire_buf *b)
{
    if (b->failed) {
        log_error("node", "no memory for an answer: connecting anew");
        m->env.close(m->env.arg);
    } else {
        m->env.answer(m->env.arg, b->data, b->len);
    }
    wire_buf_free(b);
}

static void answer(struct member *m, uint32_t msgid, int status)
{
    struct wire_buf b = {0};
    if (status == CENOTE_OK) {
        wire_put_result(&b, msgid);
        wire_put_nil(&b);
    } else {
        wire_put_error(&b, msgid, status, NULL);
    }
    send_answer(m, &b);
}

void member_fenced(struct member *m, uint64_t tag)
{
    answer(m, (uint32_t)tag, CENOTE_OK);
}

static void serve_fence(struct member *m, const struct wire_msg *msg)
{
    struct fence_params p;
    int status = CENOTE_PROTOCOL;
    if (fence_params_get(msg->params, &p))
        status = node_fence(m->node, &p, msg->msgid);
    if (status == CENOTE_OK)
        node_poll(m->node); /* it may be done already */
    else
        answer(m, msg->msgid, status);
}

/* Voids the extents of a call, and tells which they were. */
static int void_all(struct member *m, struct wire_value extents, uint32_t count, struct gva *gva)
{
    int status = CENOTE_OK;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t payload_len;
        if (!void_extent_get(wire_at(extents, i), &gva[i], &payload_len))
            return CENOTE_PROTOCOL;
        if (node_void(m->node, gva[i], payload_len) != CENOTE_OK)
            status = CENOTE_BAD_RANGE;
    }
    return status;
}

static void answer_voided(struct member *m, uint32_t msgid, const struct gva *gva, uint32_t count)
{
    bool held[VOID_BATCH_MAX];
    struct wire_buf b = {0};
    node_held(m->node, gva, count, held);
    wire_put_result(&b, msgid);
    void_result_put(&b, held, count);
    send_answer(m, &b);
}

static void serve_void(struct member *m, const struct wire_msg *msg)
{
    uint64_t reign;
    uint32_t count;
    struct wire_value extents;
    struct gva gva[VOID_BATCH_MAX];
    int status = CENOTE_PROTOCOL;
    if (void_params_get(msg->params, &reign, &count, &extents))
        status = node_see_reign(m->node, reign);
    m->voided = status == CENOTE_OK ? count : 0;
    if (status == CENOTE_OK)
        status = void_all(m, extents, count, gva);
    if (status == CENOTE_OK)
        answer_voided(m, msg->msgid, gva, count);
    else
        answer(m, msg->msgid, status);
}

static void serve_by(struct member *m, const struct wire_msg *msg,
                     int (*serve)(struct node *n, struct wire_value params,
                                  struct wire_buf *result))
{
    struct wire_buf b = {0};
    wire_put_result(&b, msg->msgid);
    int status = serve(m->node, msg->params, &b);
    if (status == CENOTE_OK && b.failed)
        status = CENOTE_NO_MEMORY;
    if (status == CENOTE_OK)
        m->env.answer(m->env.arg, b.data, b.len);
    else
        answer(m, msg->msgid, status);
    wire_buf_free(&b);
}

static void serve_notes(struct member *m, const struct wire_msg *msg)
{
    int status = node_notes(m->node, msg->params);
    if (status == CENOTE_OK)
        status = m->env.noted(m->env.arg);
    answer(m, msg->msgid, status);
}

static void serve(struct member *m, const struct wire_msg *msg)
{
    if (m->state == MEMBER_JOINING && strcmp(msg->method, METHOD_NOTES_READ) == 0)
        serve_by(m, msg, node_notes_read);
    else if (m->state != MEMBER_JOINED && m->state != MEMBER_LEAVING)
        answer(m, msg->msgid, CENOTE_NODE_UNKNOWN);
    else if (strcmp(msg->method, METHOD_FENCE) == 0)
        serve_fence(m, msg);
    else if (strcmp(msg->method, METHOD_VOID) == 0)
        serve_void(m, msg);
    else if (strcmp(msg->method, METHOD_DIRECTORY) == 0)
        serve_by(m, msg, node_directory);
    else if (strcmp(msg->method, METHOD_DIRECTORY_READ) == 0)
        serve_by(m, msg, node_directory_read);
    else if (strcmp(msg->method, METHOD_DIRECTORY_LOOK) == 0)
        serve_by(m, msg, node_directory_look);
    else if (strcmp(msg->method, METHOD_NOTES) == 0)
        serve_notes(m, msg);
    else if (strcmp(msg->method, METHOD_SETTLE) == 0)
        serve_by(m, msg, node_settle);
    else
        answer(m, msg->msgid, CENOTE_NO_METHOD);
}

/* TRACED_COUNT: a fence, whose span goes on to its end, or nothing that is known here. */
static unsigned traced_of(const char *method)
{
    unsigned i = 0;
    while (i < TRACED_JOIN && strcmp(traced_names[i], method) != 0)
        i++;
    return i < TRACED_JOIN ? i : TRACED_COUNT;
}

void member_message(struct member *m, const struct wire_msg *msg)
{
    struct trace *t = node_trace(m->node);
    if (msg->kind != WIRE_REQUEST)
        return;
    unsigned what = trace_on(t) ? traced_of(msg->method) : TRACED_COUNT;
    uint64_t traced_ns = what < TRACED_COUNT ? trace_begin(t, m->points[what]) : 0;
    m->voided = 0;
    serve(m, msg);
    if (what < TRACED_COUNT)
        trace_end(t, m->points[what], traced_ns, m->voided);
}
