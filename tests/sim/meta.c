/* SPDX-License-Identifier: Apache-2.0 */
/* The process of the metadata service: its connections, its ticks, its disk. A second one may begin
 * with a copy of the first one's database, while that goes on. */
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
    struct meta *meta;
    struct net_end *end;
    struct service_peer *peer; /* NULL: not yet, or not any more */
    struct peer_call *calls;
    uint32_t msgid;
    bool gone;
};

/* ---- the disk -------------------------------------------------------------------------------- */

struct disk_change {
    struct meta *meta;
    void (*done)(void *arg, int status);
    void *arg;
    bool sync;
};

/* The store's own memory isn't the service's, and survives it. */
static struct store *real_store(struct store *s)
{
    return memstore_store(container_of(s, struct meta, store)->disk);
}

/* The service's loop is about to wait. */
static void take_turn(struct meta *m)
{
    if (m->ready)
        service_turn(m->service);
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
static void note_synced(struct meta *m)
{
    if (m->synced != NULL)
        memstore_free(m->synced);
    m->synced = memstore_copy(m->disk, 0);
}

static void change_done(void *arg, int status)
{
    const struct disk_change *c = arg;
    if (may_crash() && (c->sync || chance_in(&world.chance, SYNCED_ONE)))
        note_synced(c->meta);
    world_enter(c->meta->process);
    c->done(c->arg, status);
    take_turn(c->meta);
    world_enter(NULL);
}

static void write_next(void *arg)
{
    struct meta *m = arg;
    struct process *me = world_enter(NULL);
    memstore_step(m->disk);
    world_enter(me);
}

static void disk_submit(struct store *s, const struct store_change *change)
{
    struct meta *m = container_of(s, struct meta, store);
    struct store_change ours = *change;
    struct disk_change *c = world_alloc(sizeof *c);
    struct chance *chance = &m->process->chance;
    *c = (struct disk_change){m, change->done, change->arg, change->sync};
    ours.done = change_done;
    ours.arg = c;
    struct process *me = world_enter(NULL);
    struct store *real = real_store(s);
    real->ops->submit(real, &ours);
    world_enter(me);
    uint64_t ns = chance_between(chance, 10, 200) * NS_PER_US;
    if (chance_in(chance, 40))
        ns += chance_below(chance, 30 * NS_PER_MS);
    world_after(me, ns, write_next, m);
}

static int disk_get(struct store *s, enum store_tree tree, const void *key, uint32_t key_len,
                    const void **value, uint32_t *value_len)
{
    struct store *real = real_store(s);
    return real->ops->get(real, tree, key, key_len, value, value_len);
}

static int disk_scan(struct store *s, enum store_tree tree, const void *from, uint32_t from_len,
                     bool (*each)(void *arg, const void *key, uint32_t key_len, const void *value,
                                  uint32_t value_len),
                     void *arg)
{
    struct store *real = real_store(s);
    return real->ops->scan(real, tree, from, from_len, each, arg);
}

static void disk_usage(struct store *s, struct store_usage *out)
{
    struct store *real = real_store(s);
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
    p->peer = service_peer_open(p->meta->service, &line);
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
    take_turn(p->meta);
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

struct meta *meta_reached(void)
{
    bool twin = scene.twin.process != NULL && scene.twin.process->alive;
    return twin && chance_in(&world.chance, 2) ? &scene.twin : &scene.meta;
}

struct net_end *meta_connect(struct meta *m, const struct net_handler *handler, void *arg)
{
    struct net_end *mine, *theirs;
    if (!m->process->alive || !m->ready)
        return NULL;
    struct peer *p = world_alloc(sizeof *p);
    net_make(world.self, handler, m->process, &peer_handler, &mine, &theirs);
    mine->arg = arg;
    theirs->arg = p;
    p->meta = m;
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
    take_turn(m);
    world_after(m->process, process_delay_ns(m->process, TICK_NS), tick, m);
}

/* Whoever supervises a service that has ended starts it again. */
static void give_up(void *arg)
{
    struct meta *m = arg;
    if (!m->process->alive || m->ready)
        return;
    meta_kill(m);
    meta_start(m);
}

static void started(void *arg, int status)
{
    struct meta *m = arg;
    m->ready = status == CENOTE_OK;
    TRACE("%s has started: %s", m->process->name, cenote_status_name(status));
    if (status == CENOTE_META_FULL || status == CENOTE_NO_MEMORY)
        world_after(NULL, AGAIN_NS, give_up, m);
    else if (!m->ready)
        violation("the service doesn't start: %s", cenote_status_name(status));
}

static void begin(void *arg)
{
    struct meta *m = arg;
    struct service_env env = {
        .store = &m->store, .now_ns = now_ns, .wall_ms = wall_ms, .random = random_bytes, .arg = m};
    int status = service_new(&m->options, &env, started, m, &m->service);
    if (status != CENOTE_OK)
        world_after(NULL, AGAIN_NS, give_up, m);
    else
        world_after(m->process, TICK_NS, tick, m);
}

static struct service_options options_of(const struct plan *plan)
{
    return (struct service_options){.lease_ms = plan->lease_ms,
                                    .put_timeout_ms = plan->put_timeout_ms,
                                    .session_grace_ms = plan->session_grace_ms,
                                    .heartbeat_ms = plan->heartbeat_ms,
                                    .suspect_ms = plan->suspect_ms,
                                    .dead_ms = plan->dead_ms,
                                    .stripe_bytes = plan->stripe_bytes,
                                    .evict_high = plan->evict_high,
                                    .evict_low = plan->evict_low};
}

/* Of the last world. */
static void forget(struct meta *m)
{
    if (m->disk != NULL)
        memstore_crash(m->disk, 0);
    struct memstore *all[] = {m->disk, m->backup, m->synced};
    for (unsigned i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (all[i] != NULL)
            memstore_free(all[i]);
    }
    *m = (struct meta){0};
}

void metas_add(const struct plan *plan)
{
    forget(&scene.meta);
    forget(&scene.twin);
    scene.meta = (struct meta){.process = process_add("meta", 0),
                               .store = {.ops = &disk_ops},
                               .disk = memstore_new(),
                               .options = options_of(plan)};
}

void meta_start(struct meta *m)
{
    if (m->options.rebuild) {
        memstore_free(m->disk);
        m->disk = memstore_new();
    }
    if (m->process->life > 0 && scene.plan->later_lease_ms > 0)
        m->options.lease_ms = scene.plan->later_lease_ms;
    process_start(m->process);
    world_after(m->process, 0, begin, m);
}

/* Of the changes that wait the oldest ones have become durable. */
static void meta_end(struct meta *m, unsigned durable)
{
    if (m->ready && m->service->core.rebuild.done)
        m->options.rebuild = false;
    process_kill(m->process);
    net_died(m->process);
    memstore_crash(m->disk, durable);
    m->service = NULL;
    m->ready = false;
}

/* ... any number of them. */
void meta_kill(struct meta *m)
{
    unsigned waiting = memstore_waiting(m->disk);
    meta_end(m, (unsigned)chance_below(&world.chance, waiting + 1));
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

static void rebuild_next(struct meta *m)
{
    m->options.rebuild = true;
    m->options.rebuild_nodes = scene.plan->nodes;
}

void meta_lose(void)
{
    meta_kill(&scene.meta);
    rebuild_next(&scene.meta);
}

void meta_crash(void)
{
    struct meta *m = &scene.meta;
    net_vanished(m->process);
    meta_kill(m);
    if (m->synced != NULL) {
        memstore_free(m->disk);
        m->disk = memstore_copy(m->synced, 0);
    }
    if (crash_believed())
        return;
    TRACE("the store doesn't believe its files: the operator lets it be rebuilt");
    rebuild_next(m);
}

void meta_backup(void)
{
    struct meta *m = &scene.meta;
    memstore_fail(m->disk, 0, CENOTE_OK);
    meta_end(m, memstore_waiting(m->disk));
    if (m->backup != NULL)
        memstore_free(m->backup);
    m->backup = memstore_copy(m->disk, 0);
}

static struct memstore *take_backup(void)
{
    struct memstore *backup = scene.meta.backup;
    assert(backup != NULL);
    scene.meta.backup = NULL;
    return backup;
}

void meta_restore(void)
{
    struct meta *m = &scene.meta;
    meta_kill(m);
    memstore_free(m->disk);
    m->disk = take_backup();
    m->restored = true;
}

void meta_disown(void)
{
    struct meta *m = &scene.meta;
    TRACE("no node obeys the restored service: the operator lets it be rebuilt");
    if (m->process->alive)
        meta_kill(m);
    m->restored = false;
    rebuild_next(m);
}

void meta_copy(void)
{
    struct meta *twin = &scene.twin;
    *twin = (struct meta){.process = process_add("twin", 0),
                          .store = {.ops = &disk_ops},
                          .disk = take_backup(),
                          .options = scene.meta.options};
    meta_start(twin);
}
