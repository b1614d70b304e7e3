/* SPDX-License-Identifier: Apache-2.0 */
#include "server/roles/meta_role.h"

#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cenote/status.h>

#include "meta/service/service.h"
#include "meta/store/lmdb.h"
#include "server/config/slot_list.h"
#include "server/memory/machine.h"
#include "transport/base/clock.h"
#include "transport/base/hash.h"
#include "transport/base/log.h"
#include "transport/base/sums.h"
#include "transport/rpc/rpc.h"

#define ENDPOINT_TEXT_MAX 160
/* A larger store is not checked at the stop, which whoever stops it would not wait for. */
#define CHECK_MAX_BYTES   (UINT64_C(256) << 20)

struct meta_role {
    const struct options *options;
    struct trace *trace;
    struct store *store;
    struct rpc_loop *loop;
    struct service *service;
    pthread_t thread;
    bool started; /* of the loop's thread */
    /* For other threads to look at. */
    _Atomic uint64_t ticked_ms;
    _Atomic bool rebuilding;
    bool quiet; /* the loop's thread: it ticks less often */
    char endpoints[OPTIONS_LISTEN_MAX][ENDPOINT_TEXT_MAX];
    size_t endpoint_count;
    pthread_mutex_t lock; /* of those below */
    pthread_cond_t ready;
    bool answered;
    int status;                   /* of the start */
    struct service_tuning tuning; /* that the service is to take */
};

/* ---- connections ----------------------------------------------------------------------------- */

struct peer {
    struct rpc_conn *conn;
    struct service_peer *service_peer; /* NULL: refused, the connection is being closed */
};

static void link_send(void *arg, const void *frames, size_t len_bytes, unsigned answers)
{
    const struct peer *p = arg;
    rpc_conn_send(p->conn, frames, len_bytes);
    for (unsigned i = 0; i < answers; i++)
        rpc_conn_answered(p->conn);
}

static void link_call(void *arg, const void *frame, size_t len_bytes, uint32_t timeout_ms,
                      void (*done)(void *done_arg, int status, struct wire_value result),
                      void *done_arg)
{
    const struct peer *p = arg;
    rpc_conn_call(p->conn, frame, len_bytes, timeout_ms, done, done_arg);
}

static void link_close(void *arg)
{
    const struct peer *p = arg;
    rpc_conn_close(p->conn);
}

static void *on_opened(void *listener_arg, struct rpc_conn *conn)
{
    struct meta_role *r = listener_arg;
    struct peer *p = calloc(1, sizeof *p);
    if (p) {
        struct service_link link = {.arg = p,
                                    .name = rpc_conn_name(conn),
                                    .send = link_send,
                                    .call = link_call,
                                    .close = link_close};
        p->conn = conn;
        p->service_peer = service_peer_open(r->service, &link);
    }
    if (!p || !p->service_peer) {
        log_error("meta", "no memory for the connection of %s", rpc_conn_name(conn));
        rpc_conn_close(conn);
    }
    return p;
}

static void on_message(void *arg, struct rpc_conn *conn, const struct wire_msg *m)
{
    const struct peer *p = arg;
    (void)conn;
    if (p && p->service_peer)
        service_peer_message(p->service_peer, m);
}

static void on_closed(void *arg, struct rpc_conn *conn)
{
    struct peer *p = arg;
    (void)conn;
    if (p && p->service_peer)
        service_peer_closed(p->service_peer);
    free(p);
}

static const struct rpc_handler peer_handler = {on_opened, on_message, on_closed};

/* ---- the loop's thread ----------------------------------------------------------------------- */

static int listen_at(struct meta_role *r, const char *text)
{
    struct endpoint e, bound;
    int status = endpoint_parse(text, &e);
    if (status != CENOTE_OK)
        log_error("meta", "%s is no endpoint to listen at any more",
                  text); /* it was at the start */
    else
        status = rpc_listen(r->loop, &e, NULL, &peer_handler, r, &bound);
    if (status != CENOTE_OK)
        return status;
    endpoint_format(&bound, r->endpoints[r->endpoint_count++], ENDPOINT_TEXT_MAX);
    return CENOTE_OK;
}

static void report(struct meta_role *r, int status)
{
    pthread_mutex_lock(&r->lock);
    r->status = status;
    r->answered = true;
    pthread_cond_signal(&r->ready);
    pthread_mutex_unlock(&r->lock);
}

/* The service has recovered. */
static void on_started(void *arg, int status)
{
    struct meta_role *r = arg;
    const struct config_list *at = &r->options->listen;
    if (status != CENOTE_OK)
        log_error("meta", "the service cannot start: %s", cenote_status_text(status));
    else if (r->loop == NULL)
        status = CENOTE_NO_MEMORY; /* the role's start has failed meanwhile */
    for (size_t i = 0; i < at->count && status == CENOTE_OK; i++)
        status = listen_at(r, at->items[i]);
    r->started = status == CENOTE_OK;
    report(r, status);
}

static void on_store(void *arg)
{
    struct meta_role *r = arg;
    store_lmdb_dispatch(r->store);
}

static void on_turn(void *arg)
{
    struct meta_role *r = arg;
    store_lmdb_hand_over(r->store); /* what was asked for goes first */
    if (!r->started)
        return;
    service_idle(r->service, rpc_loop_sent_ns(r->loop));
    service_turn(r->service);
    store_lmdb_hand_over(r->store);
}

static void on_tick(void *arg)
{
    struct meta_role *r = arg;
    atomic_store_explicit(&r->ticked_ms, clock_now_ms(), memory_order_relaxed);
    if (!r->started)
        return;
    service_tick(r->service);
    atomic_store_explicit(&r->rebuilding, service_is_rebuilding(r->service), memory_order_relaxed);
    if (service_is_quiet(r->service) == r->quiet)
        return;
    r->quiet = !r->quiet;
    rpc_loop_pace(r->loop, on_tick, r->quiet ? SERVICE_QUIET_TICK_MS : SERVICE_TICK_MS);
}

static void *run(void *arg)
{
    struct meta_role *r = arg;
    rpc_loop_run(r->loop);
    return NULL;
}

/* ---- new limits ------------------------------------------------------------------------------ */

static uint64_t whole_chunks(uint64_t bytes)
{
    return bytes - bytes % SUMS_CHUNK_BYTES;
}

static void on_retuned(void *arg)
{
    struct meta_role *r = arg;
    pthread_mutex_lock(&r->lock);
    struct service_tuning tuning = r->tuning;
    pthread_mutex_unlock(&r->lock);
    service_retune(r->service, &tuning);
}

bool meta_role_retune(struct meta_role *r, const struct options *o)
{
    pthread_mutex_lock(&r->lock);
    r->tuning = (struct service_tuning){.put_timeout_ms = (uint32_t)o->put_timeout_ms,
                                        .session_grace_ms = (uint32_t)o->session_grace_ms,
                                        .evict_high = (uint32_t)o->evict_high,
                                        .evict_low = (uint32_t)o->evict_low,
                                        .stripe_bytes = whole_chunks(o->stripe_bytes)};
    pthread_mutex_unlock(&r->lock);
    return rpc_loop_post(r->loop, on_retuned, r);
}

/* ---- start and stop -------------------------------------------------------------------------- */

static uint64_t env_now_ns(void *arg)
{
    (void)arg;
    return clock_now_ns();
}

static uint64_t env_wall_ms(void *arg)
{
    (void)arg;
    return clock_wall_ms();
}

static void env_random(void *arg, void *out, size_t len_bytes)
{
    (void)arg;
    hash_random(out, len_bytes);
}

static int open_store(struct meta_role *r)
{
    char dir[PATH_MAX];
    const struct options *o = r->options;
    struct store_lmdb_options store = {.map_size_bytes = o->meta_map_bytes,
                                       .gathers = true,
                                       .anew = o->rebuild,
                                       .trace = r->trace,
                                       .durability =
                                           o->durability == 0 ? STORE_PROCESS : STORE_SYNC};
    if (o->data_dir && o->data_dir[0] != '\0')
        snprintf(dir, sizeof dir, "%s", o->data_dir);
    else
        machine_data_dir(dir, sizeof dir);
    int status = machine_make_dir(dir);
    return status == CENOTE_OK ? store_lmdb_open(dir, &store, &r->store) : status;
}

static int make_service(struct meta_role *r)
{
    const struct options *o = r->options;
    struct service_options options = {.lease_ms = (uint32_t)o->lease_ms,
                                      .put_timeout_ms = (uint32_t)o->put_timeout_ms,
                                      .session_grace_ms = (uint32_t)o->session_grace_ms,
                                      .heartbeat_ms = (uint32_t)o->heartbeat_ms,
                                      .suspect_ms = (uint32_t)o->suspect_ms,
                                      .slots = o->slot_list ? &o->slot_list->map : NULL,
                                      .shard = o->slot_list ? o->slot_list->shard : 0,
                                      .dead_ms = (uint32_t)o->dead_ms,
                                      .rebuild = o->rebuild,
                                      .rebuild_nodes = (uint32_t)o->rebuild_nodes,
                                      .rebuild_wait_ms = (uint32_t)o->rebuild_wait_ms,
                                      .evict_high = (uint32_t)o->evict_high,
                                      .evict_low = (uint32_t)o->evict_low,
                                      .stripe_bytes = whole_chunks(o->stripe_bytes)};
    struct service_env env = {.store = r->store,
                              .now_ns = env_now_ns,
                              .wall_ms = env_wall_ms,
                              .random = env_random,
                              .arg = r,
                              .trace = r->trace};
    return service_new(&options, &env, on_started, r, &r->service);
}

static int make_loop(struct meta_role *r)
{
    r->loop = rpc_loop_new();
    if (!r->loop)
        return CENOTE_NO_MEMORY;
    int status = rpc_loop_watch(r->loop, store_lmdb_fd(r->store), on_store, r);
    if (status == CENOTE_OK)
        status = rpc_loop_every(r->loop, SERVICE_TICK_MS, on_tick, r);
    rpc_loop_each_turn(r->loop, on_turn, r);
    return status;
}

static int wait_until_ready(struct meta_role *r)
{
    pthread_mutex_lock(&r->lock);
    while (!r->answered)
        pthread_cond_wait(&r->ready, &r->lock);
    int status = r->status;
    pthread_mutex_unlock(&r->lock);
    return status;
}

/* Does what is on disk agree with what the service believed to the end? */
static void check_records(struct meta_role *r)
{
    struct store_usage usage;
    store_lmdb_drain(r->store);
    r->store->ops->usage(r->store, &usage);
    if (usage.used_bytes > CHECK_MAX_BYTES) {
        log_info("meta", "stopped");
        return;
    }
    unsigned differences = service_check(r->service);
    LOG_AT(differences == 0 ? LOG_INFO : LOG_ERROR, "meta",
           "stopped with %u differences between records, tables and memory", differences);
}

/* All but the thread. The order: no peer may be left when the store is drained, and the service
 * must be there while it is. */
static void tear_down(struct meta_role *r)
{
    if (r->loop)
        rpc_loop_free(r->loop);
    r->loop = NULL;
    if (r->started)
        check_records(r);
    store_lmdb_close(r->store);
    if (r->service)
        service_free(r->service);
    pthread_cond_destroy(&r->ready);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

/* A slow disk, a large store: a step of the start may take long. A signal meanwhile ends the
 * process at once: nothing has been promised yet, and the store outlives a kill at any point. */
static int killable(const sigset_t *signals, int (*step)(struct meta_role *r), struct meta_role *r)
{
    sigset_t before;
    pthread_sigmask(SIG_UNBLOCK, signals, &before);
    int status = step(r);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return status;
}

int meta_role_start(const struct options *o, struct trace *trace, const sigset_t *signals,
                    struct meta_role **out)
{
    struct meta_role *r = calloc(1, sizeof *r);
    if (!r)
        return CENOTE_NO_MEMORY;
    r->options = o;
    r->trace = trace;
    r->ticked_ms = clock_now_ms();
    r->rebuilding = o->rebuild;
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->ready, NULL);
    int status = killable(signals, open_store, r);
    if (status == CENOTE_OK)
        status = make_loop(r);
    if (status == CENOTE_OK)
        status = make_service(r);
    if (status == CENOTE_OK && pthread_create(&r->thread, NULL, run, r) != 0)
        status = CENOTE_NO_MEMORY;
    if (status != CENOTE_OK) {
        tear_down(r);
        return status;
    }
    status = killable(signals, wait_until_ready, r);
    if (status != CENOTE_OK)
        meta_role_stop(r);
    else
        *out = r;
    return status;
}

void meta_role_stop(struct meta_role *r)
{
    if (!r)
        return;
    rpc_loop_stop(r->loop);
    pthread_join(r->thread, NULL);
    tear_down(r);
}

const char *meta_role_endpoint(const struct meta_role *r, size_t i)
{
    return i < r->endpoint_count ? r->endpoints[i] : NULL;
}

uint64_t meta_role_ticked_ms(const struct meta_role *r)
{
    return atomic_load_explicit(&r->ticked_ms, memory_order_relaxed);
}

/* ---- questions ------------------------------------------------------------------------------- */

static void on_question(void *arg)
{
    struct meta_question *q = arg;
    service_status(q->role->service, &q->status);
    q->answered(q->arg);
}

bool meta_role_ask(struct meta_role *r, struct meta_question *q)
{
    q->role = r;
    q->status = (struct wire_buf){0};
    return rpc_loop_post(r->loop, on_question, q);
}

void meta_role_page(const struct meta_role *r, struct wire_value status, struct textbuf *page)
{
    service_page(r->service, status, page);
}

bool meta_role_is_rebuilding(const struct meta_role *r)
{
    return atomic_load_explicit(&r->rebuilding, memory_order_relaxed);
}
