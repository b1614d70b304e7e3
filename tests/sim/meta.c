/* SPDX-License-Identifier: Apache-2.0 */
/* The process of the metadata service: its connections, its ticks, its disk. */
#include <assert.h>
#include <string.h>

#include "meta/core/reuse.h"
#include "meta/service/peer.h"
#include "tests/sim/scene.h"

#define TICK_NS  (SERVICE_TICK_MS * NS_PER_MS)
#define AGAIN_NS (200 * NS_PER_MS)

#define SYNCED_ONE 24u /* in so many changes the background has just synced */

/* A call that the service made at a node. */
struct peer_call {
    struct peer_call *next;
    uint32_t msgid;
    void (*done)(void *arg, int status, struct wire_value result);
    void *arg;
};

struct peer {
    struct net_end *end;
    struct service_peer *peer; /* NULL: not yet, or not any more */
    struct peer_call *calls;
    uint32_t msgid;
    bool gone;
};

static struct memstore *backup;
/* In plans with crashes: what a crash of the machine would find. */
static struct memstore *synced;

/* ---- the disk -------------------------------------------------------------------------------- */

/* The store's own memory isn't the service's, and survives it. */
struct disk {
    struct store store;
};

struct disk_change {
    void (*done)(void *arg, int status);
    void *arg;
    bool sync;
};

static struct disk disk;

/* The service's loop is about to wait. */
static void take_turn(void)
{
    if (scene.meta.ready)
        service_turn(scene.meta.service);
}

static bool may_crash(void)
{
    for (unsigned i = 0; i < scene.plan->fault_count; i++) {
        if (scene.plan->faults[i].kind == FAULT_CRASH_META)
            return true;
    }
    return false;
}

/* All that is done is on stable storage: by a change that asks for it, or by the background. */
static void note_synced(void)
{
    if (synced != NULL)
        memstore_free(synced);
    synced = memstore_copy(scene.meta.disk, 0);
}

static void change_done(void *arg, int status)
{
    const struct disk_change *c = arg;
    if (may_crash() && (c->sync || chance_in(&world.chance, SYNCED_ONE)))
        note_synced();
    world_enter(scene.meta.process);
    c->done(c->arg, status);
    take_turn();
    world_enter(NULL);
}

static void write_next(void *arg)
{
    (void)arg;
    struct process *me = world_enter(NULL);
    memstore_step(scene.meta.disk);
    world_enter(me);
}

static void disk_submit(struct store *s, const struct store_change *change)
{
    struct store_change ours = *change;
    struct disk_change *c = world_alloc(sizeof *c);
    struct chance *chance = &scene.meta.process->chance;
    (void)s;
    *c = (struct disk_change){change->done, change->arg, change->sync};
    ours.done = change_done;
    ours.arg = c;
    struct process *me = world_enter(NULL);
    struct store *real = memstore_store(scene.meta.disk);
    real->ops->submit(real, &ours);
    world_enter(me);
    uint64_t ns = chance_between(chance, 10, 200) * NS_PER_US;
    if (chance_in(chance, 40))
        ns += chance_below(chance, 30 * NS_PER_MS);
    world_after(me, ns, write_next, NULL);
}

static int disk_get(struct store *s, enum store_tree tree, const void *key, uint32_t key_len,
                    const void **value, uint32_t *value_len)
{
    struct store *real = memstore_store(scene.meta.disk);
    (void)s;
    return real->ops->get(real, tree, key, key_len, value, value_len);
}

static int disk_scan(struct store *s, enum store_tree tree, const void *from, uint32_t from_len,
                     bool (*each)(void *arg, const void *key, uint32_t key_len, const void *value,
                                  uint32_t value_len),
                     void *arg)
{
    struct store *real = memstore_store(scene.meta.disk);
    (void)s;
    return real->ops->scan(real, tree, from, from_len, each, arg);
}

static void disk_usage(struct store *s, struct store_usage *out)
{
    struct store *real = memstore_store(scene.meta.disk);
    (void)s;
    real->ops->usage(real, out);
}

static const struct store_ops disk_ops = {
    .submit = disk_submit, .get = disk_get, .scan = disk_scan, .usage = disk_usage};

/* ---- connections ----------------------------------------------------------------------------- */

static void link_send(void *arg, const void *frames, size_t len_bytes, unsigned answers)
{
    struct peer *p = arg;
    assert(answers == 1);
    net_send(p->end, frames, len_bytes, 0);
}

static void link_call(void *arg, const void *frame, size_t len_bytes, uint32_t timeout_ms,
                      void (*done)(void *done_arg, int status, struct wire_value result),
                      void *done_arg)
{
    struct peer *p = arg;
    struct peer_call *call = world_alloc(sizeof *call);
    assert(timeout_ms == 0 && p->peer != NULL);
    *call = (struct peer_call){p->calls, ++p->msgid, done, done_arg};
    p->calls = call;
    net_send(p->end, frame, len_bytes, call->msgid);
}

static void link_close(void *arg)
{
    net_close(((struct peer *)arg)->end);
}

static void accept_peer(void *arg)
{
    struct peer *p = arg;
    struct service_link line = {
        .arg = p, .name = "simulated", .send = link_send, .call = link_call, .close = link_close};
    if (p->gone)
        return;
    p->peer = service_peer_open(scene.meta.service, &line);
    if (p->peer == NULL)
        net_close(p->end);
}

static struct peer_call *call_take(struct peer *p, uint32_t msgid)
{
    struct peer_call **at = &p->calls, *call;
    while ((call = *at) != NULL && call->msgid != msgid)
        at = &call->next;
    if (call != NULL)
        *at = call->next;
    return call;
}

static void peer_message(void *arg, const uint8_t *frame, size_t len_bytes, uint32_t msgid)
{
    struct peer *p = arg;
    struct wire_msg m;
    if (p->peer == NULL)
        return;
    if (wire_parse(frame, len_bytes, &m) != CENOTE_OK) {
        net_close(p->end);
        return;
    }
    if (m.kind == WIRE_RESPONSE) {
        struct peer_call *call = call_take(p, m.msgid);
        if (call != NULL)
            call->done(call->arg, m.error,
                       m.error == CENOTE_OK ? m.result : (struct wire_value){NULL});
    } else {
        m.msgid = msgid;
        service_peer_message(p->peer, &m);
    }
    take_turn();
    wire_msg_free(&m);
}

static void peer_closed(void *arg)
{
    struct peer *p = arg;
    struct service_peer *peer = p->peer;
    p->gone = true;
    p->peer = NULL;
    if (peer == NULL)
        return;
    for (struct peer_call *call; (call = p->calls) != NULL;) {
        p->calls = call->next;
        call->done(call->arg, CENOTE_UNAVAILABLE, (struct wire_value){NULL});
    }
    service_peer_closed(peer);
}

static const struct net_handler peer_handler = {peer_message, peer_closed};

struct net_end *meta_connect(const struct net_handler *handler, void *arg)
{
    struct meta *m = &scene.meta;
    struct net_end *mine, *theirs;
    if (!m->process->alive || !m->ready)
        return NULL;
    struct peer *p = world_alloc(sizeof *p);
    net_make(world.self, handler, m->process, &peer_handler, &mine, &theirs);
    mine->arg = arg;
    theirs->arg = p;
    p->end = theirs;
    world_after(m->process, 0, accept_peer, p);
    return mine;
}

/* ---- a life ---------------------------------------------------------------------------------- */

static uint64_t now_ns(void *arg)
{
    return process_ns(((struct meta *)arg)->process);
}

static uint64_t wall_ms(void *arg)
{
    (void)arg;
    return UINT64_C(1700000000000) + world.now_ns / NS_PER_MS;
}

static void random_bytes(void *arg, void *out, size_t len_bytes)
{
    struct chance *c = &((struct meta *)arg)->process->chance;
    uint8_t *b = out;
    for (size_t i = 0; i < len_bytes; i++)
        b[i] = (uint8_t)(chance_next(c) >> 24);
}

static void tick(void *arg)
{
    struct meta *m = arg;
    service_tick(m->service);
    take_turn();
    world_after(m->process, process_delay_ns(m->process, TICK_NS), tick, m);
}

/* Whoever supervises a service that has ended starts it again. */
static void give_up(void *arg)
{
    (void)arg;
    if (!scene.meta.process->alive || scene.meta.ready)
        return;
    meta_kill();
    meta_start();
}

static void started(void *arg, int status)
{
    struct meta *m = arg;
    m->ready = status == CENOTE_OK;
    TRACE("the service has started: %s", cenote_status_name(status));
    if (status == CENOTE_META_FULL || status == CENOTE_NO_MEMORY)
        world_after(NULL, AGAIN_NS, give_up, NULL);
    else if (!m->ready)
        violation("the service doesn't start: %s", cenote_status_name(status));
}

static void begin(void *arg)
{
    struct meta *m = arg;
    struct service_env env = {.store = &disk.store,
                              .now_ns = now_ns,
                              .wall_ms = wall_ms,
                              .random = random_bytes,
                              .arg = m};
    int status = service_new(&m->options, &env, started, m, &m->service);
    if (status != CENOTE_OK)
        world_after(NULL, AGAIN_NS, give_up, NULL);
    else
        world_after(m->process, TICK_NS, tick, m);
}

void meta_add(const struct plan *plan)
{
    struct meta *m = &scene.meta;
    m->process = process_add("meta", 0);
    if (m->disk != NULL) {
        memstore_crash(m->disk, 0);
        memstore_free(m->disk);
    }
    if (backup != NULL)
        memstore_free(backup);
    if (synced != NULL)
        memstore_free(synced);
    backup = synced = NULL;
    m->restored = false;
    m->disk = memstore_new();
    disk.store.ops = &disk_ops;
    m->service = NULL;
    m->ready = false;
    m->options = (struct service_options){.lease_ms = plan->lease_ms,
                                          .put_timeout_ms = plan->put_timeout_ms,
                                          .session_grace_ms = plan->session_grace_ms,
                                          .heartbeat_ms = plan->heartbeat_ms,
                                          .suspect_ms = plan->suspect_ms,
                                          .dead_ms = plan->dead_ms,
                                          .stripe_bytes = plan->stripe_bytes,
                                          .evict_high = plan->evict_high,
                                          .evict_low = plan->evict_low};
}

void meta_start(void)
{
    if (scene.meta.options.rebuild) {
        memstore_free(scene.meta.disk);
        scene.meta.disk = memstore_new();
    }
    if (scene.meta.process->life > 0 && scene.plan->later_lease_ms > 0)
        scene.meta.options.lease_ms = scene.plan->later_lease_ms;
    process_start(scene.meta.process);
    world_after(scene.meta.process, 0, begin, &scene.meta);
}

/* Of the changes that wait the oldest ones have become durable. */
static void meta_end(unsigned durable)
{
    struct meta *m = &scene.meta;
    if (m->ready && m->service->core.rebuild.done)
        m->options.rebuild = false;
    process_kill(m->process);
    net_died(m->process);
    memstore_crash(m->disk, durable);
    m->service = NULL;
    m->ready = false;
}

/* ... any number of them. */
void meta_kill(void)
{
    unsigned waiting = memstore_waiting(scene.meta.disk);
    meta_end((unsigned)chance_below(&world.chance, waiting + 1));
}

/* A value that was superseded, and whose seal is still live, would come back. */
static bool voids_are_owed(const struct core *c)
{
    list_each(&c->reuse.all, l)
    {
        const struct ending *e = container_of(l, struct ending, all);
        if (e->object->state == OBJECT_REMOVED && e->live > 0)
            return true;
    }
    return false;
}

bool meta_may_be_lost(void)
{
    const struct meta *m = &scene.meta;
    if (!m->ready || voids_are_owed(&m->service->core))
        return false;
    list_each(&m->service->core.members.nodes, l)
    {
        if (directory_lag(container_of(l, struct node, link)) > 0)
            return false;
    }
    return true;
}

void meta_lose(void)
{
    meta_kill();
    scene.meta.options.rebuild = true;
    scene.meta.options.rebuild_nodes = scene.plan->nodes;
}

void meta_crash(void)
{
    struct meta *m = &scene.meta;
    net_vanished(m->process);
    meta_kill();
    if (synced != NULL) {
        memstore_free(m->disk);
        m->disk = memstore_copy(synced, 0);
    }
    if (crash_believed())
        return;
    TRACE("the store doesn't believe its files: the operator lets it be rebuilt");
    m->options.rebuild = true;
    m->options.rebuild_nodes = scene.plan->nodes;
}

void meta_backup(void)
{
    memstore_fail(scene.meta.disk, 0, CENOTE_OK);
    meta_end(memstore_waiting(scene.meta.disk));
    if (backup != NULL)
        memstore_free(backup);
    backup = memstore_copy(scene.meta.disk, 0);
}

void meta_restore(void)
{
    assert(backup != NULL);
    meta_kill();
    memstore_free(scene.meta.disk);
    scene.meta.disk = backup;
    scene.meta.restored = true;
    backup = NULL;
}

void meta_disown(void)
{
    struct meta *m = &scene.meta;
    TRACE("no node obeys the restored service: the operator lets it be rebuilt");
    if (m->process->alive)
        meta_kill();
    m->restored = false;
    m->options.rebuild = true;
    m->options.rebuild_nodes = scene.plan->nodes;
}
