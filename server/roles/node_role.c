/* SPDX-License-Identifier: Apache-2.0 */
#include "server/roles/node_role.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/memory/machine.h"
#include "server/memory/shm_dir.h"
#include "server/node/member.h"
#include "server/roles/node_life.h"
#include "transport/base/clock.h"
#include "transport/base/log.h"
#include "transport/rpc/rpc.h"

/* A second of ticks; from then on they come less often. */
#define QUIET_TICKS   20u
#define QUIET_TICK_MS 250u

struct node_role {
    const struct options *options;
    struct trace *trace;
    const char *meta;
    void (*joined)(void *arg);
    void *joined_arg;
    struct member_identity who;
    struct node_memory_options memory;
    char shm_endpoint[XCOPY_ENDPOINT_MAX];
    char data_endpoint[XCOPY_ENDPOINT_MAX]; /* of the first life */
    struct rpc_loop *loop;
    pthread_t thread;
    /* All below belongs to the loop's thread. life and member are NULL between two lives. */
    struct node_life *life;
    struct member *member;
    struct rpc_conn *conn; /* NULL: not connected */
    uint64_t highest_reign, service_life;
    uint64_t renew_at_ms;
    uint64_t scrub_bytes; /* a second */
    bool told_joined;
    bool told_unresolved;
    uint64_t stop_by_ms;   /* 0: not stopping */
    uint64_t scrub_wanted; /* atomic: by another thread */
    bool stop_wanted;      /* atomic: by another thread */
    /* For other threads to look at. */
    _Atomic bool has_joined;
    _Atomic uint64_t ticked_ms;
    unsigned quiet_ticks; /* in which it was joined, and that's all */
};

/* ---- a life and its member ------------------------------------------------------------------- */

static void on_fenced(void *arg, uint64_t tag)
{
    struct node_role *r = arg;
    member_fenced(r->member, tag);
}

static void on_nudged(void *arg)
{
    struct node_role *r = arg;
    if (r->life)
        node_poll(node_life_node(r->life));
}

/* From an exporter's thread. If there is no memory for the post, the next tick does it. */
static void nudge(void *arg)
{
    struct node_role *r = arg;
    (void)rpc_loop_post(r->loop, on_nudged, r);
}

static const struct member_env member_env;

static int begin_life(struct node_role *r)
{
    const struct options *o = r->options;
    struct node_life_options options = {
        .memory = r->memory,
        .endpoints = {[NODE_BY_SHM] = r->shm_endpoint,
                      [NODE_BY_RDMA] = o->rdma_wanted ? o->rdma_endpoint : NULL,
                      [NODE_BY_TCP] = o->data_listen},
        .needed = {[NODE_BY_SHM] = true, [NODE_BY_RDMA] = o->rdma_named, [NODE_BY_TCP] = true},
        .settings = {.rdma = o->rdma, .trace = r->trace},
        .advertise = o->advertise,
        .highest_reign = r->highest_reign,
        .service_life = r->service_life,
        .fenced = on_fenced,
        .nudge = nudge,
        .arg = r};
    if (!o->rdma_wanted)
        log_info("node", "no RDMA: only this machine reaches %s (--rdma auto serves it there, too)",
                 o->rdma_endpoint);
    int status = node_life_begin(&options, &r->life);
    if (status != CENOTE_OK)
        return status;
    struct member_env env = member_env;
    env.arg = r;
    snprintf(r->who.shm, sizeof r->who.shm, "%s", node_life_endpoint(r->life, NODE_BY_SHM));
    snprintf(r->who.rdma, sizeof r->who.rdma, "%s", node_life_endpoint(r->life, NODE_BY_RDMA));
    snprintf(r->who.tcp, sizeof r->who.tcp, "%s", node_life_endpoint(r->life, NODE_BY_TCP));
    r->member = member_new(&env, &r->who, node_life_node(r->life));
    if (!r->member || member_scrub(r->member, r->scrub_bytes) != CENOTE_OK) {
        member_free(r->member);
        r->member = NULL;
        node_life_stop(r->life);
        node_life_free(r->life);
        r->life = NULL;
        return CENOTE_NO_MEMORY;
    }
    return CENOTE_OK;
}

/* Disconnected, and the contents have ended. */
static void end_life(struct node_role *r)
{
    assert(!r->conn);
    if (!r->life)
        return;
    r->highest_reign = node_highest_reign(node_life_node(r->life));
    r->service_life = node_service_life(node_life_node(r->life));
    member_free(r->member);
    r->member = NULL;
    node_life_stop(r->life);
    node_life_discard(r->life);
    node_life_free(r->life);
    r->life = NULL;
}

static void renew_life(struct node_role *r)
{
    end_life(r);
    if (begin_life(r) != CENOTE_OK)
        r->renew_at_ms = clock_now_ms() + NODE_RENEW_RETRY_MS;
}

/* ---- the connection -------------------------------------------------------------------------- */

static void *on_opened(void *arg, struct rpc_conn *conn)
{
    struct node_role *r = arg;
    r->conn = conn;
    member_connected(r->member);
    return r;
}

static void on_message(void *arg, struct rpc_conn *conn, const struct wire_msg *m)
{
    struct node_role *r = arg;
    (void)conn;
    member_message(r->member, m);
}

static void on_closed(void *arg, struct rpc_conn *conn)
{
    struct node_role *r = arg;
    (void)conn;
    r->conn = NULL;
    member_disconnected(r->member);
}

static void connect_meta(void *arg)
{
    static const struct rpc_handler handler = {on_opened, on_message, on_closed};
    struct node_role *r = arg;
    struct endpoint e;
    /* Resolved anew each time: a service that moves keeps its name, not its address. */
    int status = endpoint_parse(r->meta, &e);
    if (status != CENOTE_OK && !r->told_unresolved)
        log_error("node", "--meta %s: no endpoint, or a name that isn't known; trying again",
                  r->meta);
    r->told_unresolved = status != CENOTE_OK;
    if (status == CENOTE_OK)
        status = rpc_connect(r->loop, &e, NULL, &handler, r);
    if (status != CENOTE_OK)
        member_disconnected(r->member);
}

static void answer_meta(void *arg, const void *frame, size_t len_bytes)
{
    struct node_role *r = arg;
    if (!r->conn)
        return;
    rpc_conn_send(r->conn, frame, len_bytes);
    rpc_conn_answered(r->conn);
}

static void call_meta(void *arg, const void *frame, size_t len_bytes, uint32_t timeout_ms,
                      void (*done)(void *done_arg, int status, struct wire_value result),
                      void *done_arg)
{
    struct node_role *r = arg;
    rpc_conn_call(r->conn, frame, len_bytes, timeout_ms, done, done_arg);
}

static void close_meta(void *arg)
{
    struct node_role *r = arg;
    if (r->conn)
        rpc_conn_close(r->conn);
}

static void on_joined(void *arg)
{
    const struct node_role *r = arg;
    node_life_joined(r->life);
}

static int on_noted(void *arg)
{
    const struct node_role *r = arg;
    return node_life_noted(r->life);
}

static uint64_t now_ms(void *arg)
{
    (void)arg;
    return clock_now_ms();
}

static const struct member_env member_env = {.connect = connect_meta,
                                             .answer = answer_meta,
                                             .call = call_meta,
                                             .close = close_meta,
                                             .joined = on_joined,
                                             .noted = on_noted,
                                             .now_ms = now_ms};

/* ---- the loop's thread ----------------------------------------------------------------------- */

static void tick_member(struct node_role *r)
{
    member_tick(r->member);
    enum member_state state = member_state(r->member);
    atomic_store_explicit(&r->has_joined, state == MEMBER_JOINED, memory_order_relaxed);
    if (state == MEMBER_JOINED && !r->told_joined) {
        r->told_joined = true;
        r->joined(r->joined_arg);
    } else if (state == MEMBER_LOST && !r->conn) {
        renew_life(r);
    }
}

/* Who keeps his memory goes without a word: the service waits for him as if he had been killed. */
static void begin_to_stop(struct node_role *r)
{
    bool keep = r->options->keep_memory;
    r->stop_by_ms = clock_now_ms() + (keep ? 0 : NODE_STOP_MAX_MS);
    if (r->member && !keep)
        member_leave(r->member);
}

static void on_tick(void *arg);

/* A node that has joined has nothing to do by itself but to send heartbeats and to look for damage:
 * what clients and the service want doesn't wait for a tick. */
static void pace(struct node_role *r)
{
    bool quiet = r->member && r->stop_by_ms == 0 && member_is_quiet(r->member);
    unsigned before = r->quiet_ticks;
    r->quiet_ticks = !quiet ? 0 : before < QUIET_TICKS ? before + 1 : before;
    if (r->quiet_ticks != before && r->quiet_ticks == QUIET_TICKS)
        rpc_loop_pace(r->loop, on_tick, QUIET_TICK_MS);
    else if (before == QUIET_TICKS && r->quiet_ticks == 0)
        rpc_loop_pace(r->loop, on_tick, MEMBER_TICK_MS);
}

static void on_tick(void *arg)
{
    struct node_role *r = arg;
    atomic_store_explicit(&r->ticked_ms, clock_now_ms(), memory_order_relaxed);
    if (r->stop_by_ms == 0 && __atomic_load_n(&r->stop_wanted, __ATOMIC_ACQUIRE))
        begin_to_stop(r);
    if (r->member)
        tick_member(r);
    else if (r->stop_by_ms == 0 && clock_now_ms() >= r->renew_at_ms)
        renew_life(r);
    if (r->stop_by_ms != 0 &&
        (!r->member || member_state(r->member) == MEMBER_LEFT || clock_now_ms() >= r->stop_by_ms))
        rpc_loop_stop(r->loop);
    pace(r);
}

/* The round of the scrubber begins anew. */
static void on_scrub_wanted(void *arg)
{
    struct node_role *r = arg;
    r->scrub_bytes = __atomic_load_n(&r->scrub_wanted, __ATOMIC_RELAXED);
    if (r->member && member_scrub(r->member, r->scrub_bytes) != CENOTE_OK)
        log_error("node", "no memory to look through the values");
}

bool node_role_scrub(struct node_role *r, uint64_t bytes_per_s)
{
    __atomic_store_n(&r->scrub_wanted, bytes_per_s, __ATOMIC_RELAXED);
    return rpc_loop_post(r->loop, on_scrub_wanted, r);
}

static void *run(void *arg)
{
    struct node_role *r = arg;
    rpc_loop_run(r->loop);
    return NULL;
}

/* ---- memory ---------------------------------------------------------------------------------- */

static int open_memory(struct node_role *r)
{
    const struct options *o = r->options;
    struct node_memory_options *m = &r->memory;
    int status = CENOTE_OK;
    m->count = o->segment_count;
    memcpy(m->lens_bytes, o->segment_bytes, o->segment_count * sizeof o->segment_bytes[0]);
    m->pages = (enum memory_pages)o->huge_pages;
    m->numa_node = o->numa_node;
    if (o->memory_dir[0] != '\0')
        status = memdir_open(o->memory_dir, o->memory_state_dir, r->who.name, &m->memdir);
    return status == CENOTE_OK ? node_memory_check(m) : status;
}

/* ---- start and stop -------------------------------------------------------------------------- */

static int identify(struct node_role *r)
{
    const struct options *o = r->options;
    if (o->node_name[0] != '\0')
        snprintf(r->who.name, sizeof r->who.name, "%s", o->node_name);
    else
        machine_node_name(r->who.name, sizeof r->who.name);
    xcopy_this_host(r->who.host);
    if (r->who.host[0] == '\0') { /* clients on this host couldn't know that they are */
        log_error("node", "the name of this machine's boot can't be read");
        return CENOTE_IO;
    }
    snprintf(r->who.zone, sizeof r->who.zone, "%s", o->zone);
    return shm_dir_prepare(o->shm_dir, r->who.name, r->shm_endpoint);
}

/* The loop has stopped. Exporters post to it, and its connection speaks to the member. */
static void tear_down(struct node_role *r)
{
    if (r->life)
        node_life_stop(r->life);
    if (r->loop)
        rpc_loop_free(r->loop);
    if (r->life) {
        if (member_contents_ended(r->member))
            node_life_discard(r->life);
        member_free(r->member);
        node_life_free(r->life);
    }
    memdir_close(r->memory.memdir);
    free(r);
}

int node_role_start(const struct options *o, struct trace *trace, const char *meta,
                    void (*joined)(void *arg), void *arg, struct node_role **out)
{
    struct node_role *r = calloc(1, sizeof *r);
    if (!r)
        return CENOTE_NO_MEMORY;
    r->options = o;
    r->ticked_ms = clock_now_ms();
    r->trace = trace;
    r->meta = meta;
    r->joined = joined;
    r->joined_arg = arg;
    r->scrub_bytes = o->scrub_bytes;
    int status = identify(r);
    if (status == CENOTE_OK)
        status = open_memory(r);
    if (status == CENOTE_OK) {
        r->loop = rpc_loop_new();
        status = r->loop ? rpc_loop_every(r->loop, MEMBER_TICK_MS, on_tick, r) : CENOTE_NO_MEMORY;
    }
    if (status == CENOTE_OK)
        status = begin_life(r);
    if (status == CENOTE_OK) {
        snprintf(r->data_endpoint, sizeof r->data_endpoint, "%s",
                 node_life_endpoint(r->life, NODE_BY_TCP));
        status = pthread_create(&r->thread, NULL, run, r) == 0 ? CENOTE_OK : CENOTE_NO_MEMORY;
    }
    if (status != CENOTE_OK)
        tear_down(r);
    else
        *out = r;
    return status;
}

void node_role_stop(struct node_role *r)
{
    if (!r)
        return;
    __atomic_store_n(&r->stop_wanted, true, __ATOMIC_RELEASE);
    (void)rpc_loop_post(r->loop, on_tick, r); /* or the next one does it */
    pthread_join(r->thread, NULL);
    tear_down(r);
}

const char *node_role_data_endpoint(const struct node_role *r)
{
    return r->data_endpoint;
}

bool node_role_has_joined(const struct node_role *r)
{
    return atomic_load_explicit(&r->has_joined, memory_order_relaxed);
}

uint64_t node_role_ticked_ms(const struct node_role *r)
{
    return atomic_load_explicit(&r->ticked_ms, memory_order_relaxed);
}

static void on_question(void *arg)
{
    struct node_question *q = arg;
    if (q->role->life)
        node_life_traffic(q->role->life, q->ways);
    q->answered(q->arg);
}

bool node_role_ask(struct node_role *r, struct node_question *q)
{
    q->role = r;
    return rpc_loop_post(r->loop, on_question, q);
}
