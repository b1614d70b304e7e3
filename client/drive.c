/* SPDX-License-Identifier: Apache-2.0 */
#include "client/drive.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/retry.h"
#include "client/stage.h"
#include "client/warm.h"
#include "client/warm_view.h"
#include "transport/base/clock.h"
#include "transport/base/log.h"

#define MODULE "client"

struct drive {
    struct session *session;
    struct locate *map;
    struct slow *slow;
    struct cache *cache;
    struct fabric *fabric;
    pthread_mutex_t refreshing; /* one refresh at a time */
    _Atomic uint64_t refreshes; /* begun */
    int refreshed;              /* how the last one ended */
    pthread_mutex_t opening;    /* of the pump */
    struct pump *pump;          /* NULL: nobody has asked for it */
    bool stopped, settled;      /* with the pump, if there is one */
    const struct pump_routes *routes;
    struct tally *tally;
    enum cenote_verify verify;
    uint32_t timeout_ms, replicas;
    uint64_t session_id; /* that was greeted last; connected()'s own */
};

/* ---- opening and closing --------------------------------------------------------------------- */

/* Data channels outlive the control connection as long as the session is the same. Another session
 * may be one with another database: it has never heard of the leases that the cache goes by. */
static void connected(void *arg, const struct xcopy_credentials *who)
{
    struct drive *d = arg;

    if (who->session != d->session_id)
        cache_clear(d->cache);
    d->session_id = who->session;
    fabric_set_credentials(d->fabric, who);
    locate_forget_version(d->map);
}

int drive_open(const struct drive_options *options, struct drive **out)
{
    struct session_options session = options->session;
    char host[XCOPY_HOST_MAX];
    struct drive *d = calloc(1, sizeof *d);
    int status = CENOTE_NO_MEMORY;

    if (!d)
        return CENOTE_NO_MEMORY;
    d->verify = options->verify;
    d->timeout_ms = session.timeout_ms;
    d->replicas = options->replicas;
    d->routes = options->routes;
    d->tally = options->tally;
    xcopy_this_host(host);
    d->map = locate_new(host);
    if (!d->map)
        goto free_drive;
    d->slow = slow_new();
    if (!d->slow)
        goto free_map;
    d->cache = cache_new(options->cache_bytes);
    if (!d->cache)
        goto free_slow;
    status = fabric_new(options->transport, &options->settings,
                        options->home ? options->home->fabric : NULL, &d->fabric);
    if (status != CENOTE_OK)
        goto free_cache;
    session.connected = connected;
    session.arg = d;
    status = session_open(&session, &d->session);
    if (status != CENOTE_OK)
        goto free_fabric;
    pthread_mutex_init(&d->refreshing, NULL);
    pthread_mutex_init(&d->opening, NULL);
    *out = d;
    return CENOTE_OK;

free_fabric:
    fabric_free(d->fabric);
free_cache:
    cache_free(d->cache);
free_slow:
    slow_free(d->slow);
free_map:
    locate_free(d->map);
free_drive:
    free(d);
    return status;
}

void drive_stop(struct drive *d)
{
    if (d->stopped)
        return;
    d->stopped = true;
    if (d->pump)
        pump_stop(d->pump);
    session_stop(d->session);
}

void drive_settle(struct drive *d)
{
    if (d->pump && !d->settled)
        pump_settle(d->pump);
    d->settled = true;
}

void drive_close(struct drive *d)
{
    drive_stop(d);
    drive_settle(d);
    if (d->pump)
        pump_free(d->pump);
    session_close(d->session);
    fabric_free(d->fabric);
    cache_free(d->cache);
    slow_free(d->slow);
    locate_free(d->map);
    pthread_mutex_destroy(&d->refreshing);
    pthread_mutex_destroy(&d->opening);
    free(d);
}

void drive_abandon(struct drive *d)
{
    if (d->pump)
        pump_abandon(d->pump);
    session_abandon(d->session);
    fabric_abandon(d->fabric);
    cache_free(d->cache);
    slow_free(d->slow);
    locate_free(d->map);
    free(d);
}

/* ---- calls ----------------------------------------------------------------------------------- */

static void sleep_until(uint64_t until_ms)
{
    uint64_t now_ms = clock_now_ms();

    if (now_ms >= until_ms)
        return;
    uint64_t left_ms = until_ms - now_ms;
    struct timespec t = {.tv_sec = (time_t)(left_ms / 1000),
                         .tv_nsec = (long)(left_ms % 1000) * 1000000};
    nanosleep(&t, NULL);
}

static int call_once(struct drive *d, uint64_t seq, const struct wire_buf *request,
                     struct rpc_answer *answer)
{
    return request->failed ? CENOTE_NO_MEMORY
                           : session_call(d->session, seq, request, answer, NULL);
}

int drive_change(struct drive *d, uint64_t seq, const struct wire_buf *request,
                 struct rpc_answer *answer, bool *lost)
{
    struct retry retry;
    int status;

    retry_begin(&retry, clock_now_ms(), d->timeout_ms, false);
    do {
        sleep_until(retry.not_before_ms);
        status = call_once(d, seq, request, answer);
    } while (status != CENOTE_OK && status != CENOTE_NO_SESSION &&
             tally_again(d->tally, retry_again(&retry, clock_now_ms(), status)));
    *lost = retry.lost;
    /* Who refuses to repeat it, this process or the service, doesn't say what became of it. */
    return *lost && status != CENOTE_OK ? CENOTE_UNKNOWN : status;
}

int drive_ask(struct drive *d, const struct wire_buf *request, struct rpc_answer *answer)
{
    struct retry retry;
    int status;

    retry_begin(&retry, clock_now_ms(), d->timeout_ms, false);
    do {
        sleep_until(retry.not_before_ms);
        status = call_once(d, 0, request, answer);
    } while (status != CENOTE_OK &&
             tally_again(d->tally, retry_again(&retry, clock_now_ms(), status)));
    /* Nothing was to change: what isn't known is only whether the service heard us. */
    if (status == CENOTE_UNKNOWN || status == CENOTE_NO_SESSION)
        status = CENOTE_UNAVAILABLE;
    return status;
}

/* ---- the map --------------------------------------------------------------------------------- */

static void copy_text(char *out, size_t size, const char *text)
{
    size_t len = strlen(text);
    out[0] = '\0';
    if (len < size)
        memcpy(out, text, len + 1);
}

static int node_known(void *arg, const struct map_node *n)
{
    struct drive *d = arg;
    struct xcopy_peer peer = {.node = n->node, .boot = n->boot};

    copy_text(peer.host, sizeof peer.host, n->host);
    copy_text(peer.shm, sizeof peer.shm, n->shm);
    copy_text(peer.rdma, sizeof peer.rdma, n->rdma);
    copy_text(peer.tcp, sizeof peer.tcp, n->tcp);
    return fabric_set_peer(d->fabric, &peer);
}

static void node_gone(void *arg, uint64_t node)
{
    struct drive *d = arg;
    fabric_drop_peer(d->fabric, node);
}

static int refresh_now(struct drive *d)
{
    struct locate_watch watch = {.known = node_known, .gone = node_gone, .arg = d};
    struct wire_buf request = {0};
    struct rpc_answer answer = {0};

    locate_ask(d->map, &request);
    int status = drive_ask(d, &request, &answer);
    if (status == CENOTE_OK) {
        status = locate_update(d->map, answer.msg.result, &watch);
        rpc_answer_free(&answer);
    }
    wire_buf_free(&request);
    return status;
}

/* Many threads meet the same unknown address: one asks, and all that came before it asked share its
 * answer, or its failure. A question from before somebody came doesn't help him: its answer may be
 * older than what he was told. */
int drive_refresh(struct drive *d)
{
    uint64_t begun = atomic_load(&d->refreshes);

    pthread_mutex_lock(&d->refreshing);
    if (atomic_load(&d->refreshes) == begun) {
        atomic_fetch_add(&d->refreshes, 1);
        d->refreshed = refresh_now(d);
    }
    int status = d->refreshed;
    pthread_mutex_unlock(&d->refreshing);
    return status;
}

int drive_register(struct drive *d, void *addr, size_t len_bytes, uint64_t *id)
{
    return fabric_register(d->fabric, addr, len_bytes, MEMORY_HOST, id);
}

int drive_unregister(struct drive *d, uint64_t id)
{
    return fabric_unregister(d->fabric, id);
}

struct way_list {
    struct drive_way *ways; /* NULL: no memory */
    uint32_t count;
};

static void list_ways(void *arg, const struct map_node *nodes, uint32_t count)
{
    struct way_list *list = arg;

    list->ways = calloc((size_t)count + 1, sizeof *list->ways);
    for (; list->ways && list->count < count; list->count++)
        list->ways[list->count].node = nodes[list->count];
}

int drive_ways(struct drive *d, struct drive_way **out, uint32_t *count)
{
    uint32_t wait_ms = d->timeout_ms < DRIVE_PROBE_MS ? d->timeout_ms : DRIVE_PROBE_MS;
    struct way_list list = {0};

    locate_nodes(d->map, list_ways, &list);
    if (!list.ways)
        return CENOTE_NO_MEMORY;
    for (uint32_t i = 0; i < list.count; i++) {
        struct drive_way *w = &list.ways[i];
        if (w->node.state != NODE_DEAD)
            w->transport = fabric_transport_to(d->fabric, w->node.node, wait_ms);
    }
    *out = list.ways;
    *count = list.count;
    return CENOTE_OK;
}

/* ---- machines -------------------------------------------------------------------------------- */

static uint64_t next_seq(void *arg)
{
    struct drive *d = arg;
    return session_next_seq(d->session);
}

struct machine_env drive_env(struct drive *d)
{
    return (struct machine_env){.map = d->map,
                                .slow = d->slow,
                                .cache = d->cache,
                                .verify = d->verify,
                                .replicas = d->replicas,
                                .timeout_ms = d->timeout_ms,
                                .tally = d->tally,
                                .next_seq = next_seq,
                                .arg = d};
}

struct tally *drive_tally(const struct drive *d)
{
    return d->tally;
}

struct fabric *drive_fabric(const struct drive *d)
{
    return d->fabric;
}

/* The pump asks whether a number may be taken before it begins a step. */
static uint64_t number(void *arg)
{
    struct drive *d = arg;
    return session_number(d->session);
}

static int refresh_for_pump(void *arg)
{
    return drive_refresh(arg);
}

int drive_pump(struct drive *d, struct pump **out)
{
    struct pump_env env = {.session = d->session,
                           .fabric = d->fabric,
                           .machines = drive_env(d),
                           .refresh = refresh_for_pump,
                           .arg = d,
                           .routes = d->routes};
    int status = CENOTE_OK;

    env.machines.next_seq = number;
    pthread_mutex_lock(&d->opening);
    if (!d->pump)
        status = pump_open(&env, &d->pump);
    *out = d->pump;
    pthread_mutex_unlock(&d->opening);
    return status;
}

static void run_call(struct drive *d, struct machine *m, const struct step *step)
{
    struct rpc_answer answer = {0};
    struct xcopy_credentials who = {0};
    int status = session_call(d->session, step->seq, step->request, &answer, &who);

    m->session = who.session;
    m->name_space = who.name_space;
    m->ops->done(m, clock_now_ms(), status,
                 status == CENOTE_OK ? answer.msg.result : (struct wire_value){NULL});
    if (status == CENOTE_OK)
        rpc_answer_free(&answer);
}

static int run_step(struct drive *d, const struct step *step)
{
    switch (step->kind) {
    case STEP_COPY:
        fabric_run(d->fabric, step->copies, step->copy_count, d->timeout_ms);
        return CENOTE_OK;
    case STEP_HOLD:
        return fabric_hold(d->fabric, step->hold, d->timeout_ms);
    case STEP_UNHOLD:
        fabric_unhold(d->fabric, step->hold->link, step->hold->x.slot);
        return CENOTE_OK;
    case STEP_REFRESH_MAP:
        return drive_refresh(d);
    default:
        sleep_until(step->until_ms);
        return CENOTE_OK;
    }
}

/* What has come by a copy is verified when the machine is told that it has. */
static void take_step(struct drive *d, struct machine *m, const struct step *step)
{
    const struct wire_value nothing = {NULL};
    enum tally_op op = m->ops->op;
    enum tally_stage stage = trace_on(d->tally->trace) ? stage_of(step) : TALLY_WAIT;
    uint64_t traced_ns = tally_trace(d->tally, op, stage);

    if (step->kind == STEP_CALL) {
        run_call(d, m, step);
        tally_traced(d->tally, op, stage, traced_ns, step->request->len);
        return;
    }
    int status = run_step(d, step);
    tally_traced(d->tally, op, stage, traced_ns, step->copy_count);
    traced_ns = stage == TALLY_COPY ? tally_trace(d->tally, op, TALLY_VERIFY) : 0;
    m->ops->done(m, clock_now_ms(), status, nothing);
    tally_traced(d->tally, op, TALLY_VERIFY, traced_ns, step->copy_count);
}

void drive_run(struct drive *d, struct machine *m)
{
    uint64_t traced_ns = tally_trace(d->tally, m->ops->op, TALLY_WHOLE), steps = 0;
    struct step step;

    for (m->ops->next(m, clock_now_ms(), &step); step.kind != STEP_DONE;
         m->ops->next(m, clock_now_ms(), &step)) {
        take_step(d, m, &step);
        steps++;
    }
    tally_traced(d->tally, m->ops->op, TALLY_WHOLE, traced_ns, steps);
}

/* ---- without a machine ----------------------------------------------------------------------- */

static bool read_now(void *arg, struct fabric_req *req)
{
    struct drive *d = arg;
    return fabric_read_now(d->fabric, req);
}

static uint64_t now_ms(void *arg)
{
    (void)arg;
    return clock_now_ms();
}

bool drive_get_warm(struct drive *d, struct cenote_get_item *item)
{
    static const struct warm_ops ops = {.read = read_now, .now_ms = now_ms};
    struct machine_env env = drive_env(d);

    return warm_get(&env, &ops, d, item);
}

static bool hold_now(void *arg, struct fabric_hold *hold, int *status)
{
    struct drive *d = arg;
    return fabric_hold_now(d->fabric, hold, status);
}

static void unhold(void *arg, const struct fabric_hold *hold)
{
    struct drive *d = arg;
    fabric_unhold(d->fabric, hold->link, hold->x.slot);
}

bool drive_view_warm(struct drive *d, const struct cenote_key *key, uint32_t slot,
                     struct view_result *out)
{
    static const struct warm_view_ops ops = {.hold = hold_now, .unhold = unhold, .now_ms = now_ms};
    struct machine_env env = drive_env(d);
    uint64_t traced_ns = tally_trace(d->tally, TALLY_VIEW, TALLY_WARM);
    bool found = warm_view(&env, &ops, d, key, slot, out);

    tally_traced(d->tally, TALLY_VIEW, TALLY_WARM, traced_ns, found);
    if (!found)
        return false;
    metric_add_shared(&tally_warm_stripe(d->tally)->views, 1);
    return true;
}

void drive_forget(struct drive *d, const struct cenote_key *key)
{
    cache_drop(d->cache, key, 0);
}
