/* SPDX-License-Identifier: Apache-2.0 */
/* The process of a node: what server/roles wires to sockets and threads. */
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "server/node/node.h"
#include "tests/sim/scene.h"

#define CONNECT_LOOK_NS (20 * NS_PER_MS)
#define TICK_NS         (MEMBER_TICK_MS * NS_PER_MS)
#define DIRECTORY_BYTES (UINT64_C(4) << 20)

/* A call at the service. */
struct donor_call {
    struct donor_call *next;
    struct donor *donor;
    uint32_t msgid;
    void (*done)(void *arg, int status, struct wire_value result);
    void *arg;
};

static const struct net_handler handler;

static struct donor_call *call_take(struct donor *d, uint32_t msgid)
{
    struct donor_call **at = &d->calls, *call;
    while ((call = *at) != NULL && call->msgid != msgid)
        at = &call->next;
    if (call != NULL)
        *at = call->next;
    return call;
}

/* ---- what the member is given ---------------------------------------------------------------- */

static void connect_now(void *arg)
{
    struct donor *d = arg;
    if (net_is_apart(d->process, d->at->process)) {
        world_after(d->process, CONNECT_LOOK_NS, connect_now, d);
        return;
    }
    d->conn = meta_connect(d->at, &handler, d);
    if (d->conn != NULL)
        member_connected(d->member);
    else
        member_disconnected(d->member);
}

static void env_connect(void *arg)
{
    struct donor *d = arg;
    d->at = meta_reached();
    world_after(d->process, net_delay_ns(&d->process->chance) * 2, connect_now, d);
}

static void env_answer(void *arg, const void *frame, size_t len_bytes)
{
    struct donor *d = arg;
    if (d->conn != NULL)
        net_send(d->conn, frame, len_bytes, 0);
}

static void call_late(void *arg)
{
    struct donor_call *late = arg, *call = call_take(late->donor, late->msgid);
    if (call != NULL)
        call->done(call->arg, CENOTE_TIMED_OUT, (struct wire_value){NULL});
}

static void env_call(void *arg, const void *frame, size_t len_bytes, uint32_t timeout_ms,
                     void (*done)(void *done_arg, int status, struct wire_value result),
                     void *done_arg)
{
    struct donor *d = arg;
    struct donor_call *call = world_alloc(sizeof *call);
    *call = (struct donor_call){d->calls, d, ++d->msgid, done, done_arg};
    d->calls = call;
    net_send(d->conn, frame, len_bytes, call->msgid);
    world_after(d->process, timeout_ms * NS_PER_MS, call_late, call);
}

static void env_close(void *arg)
{
    struct donor *d = arg;
    if (d->conn != NULL)
        net_close(d->conn);
}

/* What lies beside named memory from now on. */
static void env_joined(void *arg)
{
    struct donor *d = arg;
    const struct xcopy_segment *s = node_segment_at(d->node, 0);
    d->strayed |= d->at == &scene.twin;
    d->memory->gva = s->gva;
    d->memory->incarnation = s->incarnation;
    d->kept = d->named;
    d->kept_gva = s->gva;
    d->kept_incarnation = s->incarnation;
    d->pool_name = node_pool(d->node);
    d->reign = node_highest_reign(d->node);
    d->service_life = node_service_life(d->node);
    TRACE("%s has joined: incarnation %llu at %#llx", d->process->name,
          (unsigned long long)s->incarnation, (unsigned long long)s->gva.v);
}

/* Beside named memory. */
static int env_noted(void *arg)
{
    struct donor *d = arg;
    const struct wire_buf *notes = node_notes_of(d->node);
    uint8_t *copy = world_alloc(notes->len + 1);
    memcpy(copy, notes->data, notes->len);
    d->notes = (struct wire_buf){.data = copy, .len = notes->len};
    return CENOTE_OK;
}

static uint64_t env_now_ms(void *arg)
{
    return process_ns(((struct donor *)arg)->process) / NS_PER_MS;
}

/* ---- the connection -------------------------------------------------------------------------- */

static void on_message(void *arg, const uint8_t *frame, size_t len_bytes, uint32_t msgid)
{
    struct donor *d = arg;
    struct wire_msg m;
    if (wire_parse(frame, len_bytes, &m) != CENOTE_OK) {
        net_close(d->conn);
        return;
    }
    if (m.kind == WIRE_RESPONSE) {
        struct donor_call *call = call_take(d, m.msgid);
        if (call != NULL)
            call->done(call->arg, m.error,
                       m.error == CENOTE_OK ? m.result : (struct wire_value){NULL});
    } else {
        m.msgid = msgid;
        if (strcmp(m.method, METHOD_FENCE) == 0)
            scene_moment(AT_FENCE, NULL, d);
        else if (strcmp(m.method, METHOD_VOID) == 0)
            scene_moment(AT_VOID, NULL, d);
        member_message(d->member, &m);
    }
    wire_msg_free(&m);
}

static void on_closed(void *arg)
{
    struct donor *d = arg;
    d->conn = NULL;
    for (struct donor_call *call; (call = d->calls) != NULL;) {
        d->calls = call->next;
        call->done(call->arg, CENOTE_UNAVAILABLE, (struct wire_value){NULL});
    }
    member_disconnected(d->member);
}

static const struct net_handler handler = {on_message, on_closed};

/* ---- a life ---------------------------------------------------------------------------------- */

static void on_fenced(void *arg, uint64_t tag)
{
    member_fenced(((struct donor *)arg)->member, tag);
}

static void on_nudged(void *arg)
{
    struct donor *d = arg;
    if (d->node != NULL)
        node_poll(d->node);
}

static void nudge(void *arg)
{
    struct donor *d = arg;
    world_after(d->process, 10 * NS_PER_US, on_nudged, d);
}

static void make_memory(struct donor *d)
{
    d->memory = world_alloc(sizeof *d->memory);
    d->memory->base = world_alloc(d->segment_bytes);
    d->memory->len_bytes = d->segment_bytes;
    d->kept = false;
}

static void take_over(struct donor *d)
{
    node_take_over(d->node, 0, d->kept_incarnation, d->kept_gva);
    node_take_over_pool(d->node, &d->pool_name);
    if (d->notes.len > 0)
        node_take_over_notes(d->node, d->notes.data, d->notes.len);
}

static void name_endpoints(const struct donor *d, struct member_identity *who)
{
    snprintf(who->name, sizeof who->name, "%s", d->process->name);
    snprintf(who->host, sizeof who->host, "host-%u", d->process->host);
    if (d->ways & 1u << BY_SHM)
        snprintf(who->shm, sizeof who->shm, "sim:%u", d->number);
    if (d->ways & 1u << BY_RDMA)
        snprintf(who->rdma, sizeof who->rdma, "sim:%u", d->number);
    if (d->ways & 1u << BY_TCP)
        snprintf(who->tcp, sizeof who->tcp, "sim:%u", d->number);
}

static void start_exporters(struct donor *d)
{
    for (enum way way = BY_SHM; way <= BY_TCP; way++) {
        if (!(d->ways & 1u << way))
            continue;
        int status = exporter_start(d, way, node_gate(d->node), d->kept, &d->exporters[way]);
        assert(status == CENOTE_OK);
        node_add_exporter(d->node, d->exporters[way]);
    }
}

/* Its file outlives the process, like the memory. */
static void open_directory(struct donor *d)
{
    struct directory_range range = {d->kept_gva, d->memory->len_bytes};
    d->directory = NULL;
    if (!scene.plan->directories)
        return;
    if (d->directory_fd < 0)
        d->directory_fd = memfd_create("simulated", MFD_CLOEXEC);
    int status =
        directory_open(d->directory_fd, DIRECTORY_BYTES, &range, d->kept ? 1 : 0, &d->directory);
    assert(status == CENOTE_OK);
    node_set_directory(d->node, d->directory);
}

static void begin_life(struct donor *d)
{
    static const struct member_env env_ops = {.connect = env_connect,
                                              .answer = env_answer,
                                              .call = env_call,
                                              .close = env_close,
                                              .joined = env_joined,
                                              .noted = env_noted,
                                              .now_ms = env_now_ms};
    struct member_env env = env_ops;
    struct member_identity who = {0};
    struct node_options options = {.boot = hash_random_u64() >> 1 | 1,
                                   .highest_reign = d->reign,
                                   .life = d->service_life,
                                   .fenced = on_fenced,
                                   .nudge = nudge,
                                   .arg = d};
    if (!d->kept)
        make_memory(d);
    d->process->fails_in = 0; /* a process that can't begin ends, and is started again */
    env.arg = d;
    hash_random(&options.grant_key, sizeof options.grant_key);
    name_endpoints(d, &who);
    d->node = node_new(&options);
    assert(d->node != NULL);
    node_add_memory(d->node, &(struct memory){.kind = MEMORY_HOST,
                                              .base = d->memory->base,
                                              .len_bytes = d->memory->len_bytes,
                                              .fd = -1});
    if (d->kept)
        take_over(d);
    open_directory(d);
    start_exporters(d);
    node_set_populated(d->node, 0, d->memory->len_bytes);
    d->member = member_new(&env, &who, d->node);
    assert(d->member != NULL);
}

/* Its contents have ended: the exporters stop, and what waits for them is told nothing. */
static void end_life(struct donor *d)
{
    d->reign = node_highest_reign(d->node);
    d->service_life = node_service_life(d->node);
    member_free(d->member);
    for (unsigned i = 0; i < EXPORTERS; i++) {
        if (d->exporters[i] != NULL)
            d->exporters[i]->ops->stop(d->exporters[i]);
        d->exporters[i] = NULL;
    }
    node_free(d->node);
    directory_close(d->directory);
    d->directory = NULL;
    d->node = NULL;
    d->member = NULL;
    d->kept = false;
}

static void tick(void *arg)
{
    struct donor *d = arg;
    member_tick(d->member);
    if (member_state(d->member) == MEMBER_LOST && d->conn == NULL) {
        end_life(d);
        begin_life(d);
    }
    world_after(d->process, process_delay_ns(d->process, TICK_NS), tick, d);
}

static void begin(void *arg)
{
    struct donor *d = arg;
    begin_life(d);
    tick(d);
}

void donors_reset(void)
{
    for (unsigned i = 0; scene.plan != NULL && i < scene.plan->nodes; i++) {
        if (scene.donors[i].directory_fd >= 0)
            close(scene.donors[i].directory_fd);
        scene.donors[i].directory_fd = -1;
    }
}

void donor_add(const struct plan *plan, unsigned number)
{
    struct donor *d = &scene.donors[number];
    char name[16];
    snprintf(name, sizeof name, "node-%u", number);
    *d = (struct donor){.process = process_add(name, plan->node_host[number]),
                        .number = number,
                        .directory_fd = -1,
                        .named = plan->named,
                        .segment_bytes = plan->segment_bytes,
                        .ways = plan->ways};
}

static void forget(struct donor *d)
{
    d->reign = d->service_life = 0;
    d->strayed = false;
}

void donor_start(struct donor *d)
{
    d->node = NULL;
    d->member = NULL;
    d->directory = NULL;
    d->conn = NULL;
    d->calls = NULL;
    memset(d->exporters, 0, sizeof d->exporters);
    if (!d->named)
        forget(d);
    process_start(d->process);
    world_after(d->process, 0, begin, d);
}

void donor_kill(struct donor *d)
{
    process_kill(d->process);
    net_died(d->process);
    copies_died(d->process);
    if (!d->kept && d->memory != NULL && d->memory->gva.v != 0)
        rules_memory_died(d->memory->incarnation);
    d->node = NULL;
    d->member = NULL;
    d->directory = NULL;
}

void donor_discard(struct donor *d)
{
    if (!d->strayed)
        return;
    TRACE("%s has joined the twin: the operator starts it anew", d->process->name);
    d->kept = false;
    if (d->process->alive)
        donor_kill(d);
    forget(d);
}
