/* SPDX-License-Identifier: Apache-2.0 */
/* The nodes' side of the simulated transports: who may come in, fences, holds. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/node/node.h"
#include "tests/sim/scene.h"
#include "transport/base/testswitch.h"

#define LEARNS_NS     (3 * NS_PER_MS)
#define FENCE_LOOK_NS (4 * NS_PER_MS)

struct fence_sim {
    struct fence_sim *next;
    struct exporter *exporter;
    uint64_t session, horizon;
    void (*done)(void *arg);
    void *arg;
};

struct exporter {
    struct xcopy_exporter base;
    struct donor *donor;
    enum way way;
    struct xcopy_gate gate;
    struct xcopy_segment segment;
    bool has_segment, stopped;
    struct fence_sim *fences; /* shm: that wait */
};

static struct channel *channels;
static const struct xcopy_exporter_ops exporter_ops[EXPORTERS];

void copies_reset(void)
{
    for (struct channel *c = channels; c != NULL; c = c->next) {
        if (c->slots != NULL)
            slots_unmap(c->slots);
    }
    channels = NULL;
}

/* ---- channels -------------------------------------------------------------------------------- */

struct channel *channel_new(enum way way, struct donor *d, const struct xcopy_credentials *who)
{
    struct channel *c = world_alloc(sizeof *c);
    *c = (struct channel){.next = channels,
                          .way = way,
                          .donor = d,
                          .client = world.self,
                          .client_life = world.self->life,
                          .who = *who,
                          .hello = 1};
    channels = c;
    return c;
}

void channel_wake(struct channel *c)
{
    c->moved++;
    for (unsigned i = 0; i < PROCESS_FIBERS_MAX; i++) {
        if (c->waiters[i] != NULL)
            thread_wake(c->waiters[i]);
    }
}

static bool client_lives(const struct channel *c)
{
    return c->client->alive && c->client->life == c->client_life;
}

static void learn_closed(void *arg)
{
    struct channel *c = arg;
    c->broken = true;
    channel_wake(c);
}

void channel_close(struct channel *c)
{
    if (c->node_closed)
        return;
    c->node_closed = true;
    c->body_put = 0;
    if (client_lives(c))
        world_after(c->client, chance_below(&world.chance, LEARNS_NS), learn_closed, c);
}

static void fences_look(struct exporter *e);

static void learn_death(void *arg)
{
    struct channel *c = arg;
    c->proven = true;
    if (c->exporter != NULL && !c->exporter->stopped)
        fences_look(c->exporter);
}

static void client_died(struct channel *c)
{
    if (c->exporter != NULL && c->donor->process->alive)
        world_after(c->donor->process, chance_below(&world.chance, LEARNS_NS), learn_death, c);
}

static void donor_died(struct channel *c)
{
    channel_close(c);
    c->exporter = NULL;
}

void copies_died(struct process *p)
{
    for (struct channel *c = channels; c != NULL; c = c->next) {
        if (c->client == p && !client_lives(c))
            client_died(c);
        if (c->donor->process == p)
            donor_died(c);
    }
}

/* The client's end of the socket is gone. As transport/shm/peer.c: that proves nothing. */
static void learn_hung_up(void *arg)
{
    struct channel *c = arg;
    if (c->way != BY_SHM)
        channel_close(c);
    else if (test_off(TEST_HANGUP))
        learn_death(c);
}

void copies_closed(struct process *p)
{
    for (struct channel *c = channels; c != NULL; c = c->next) {
        if (c->client != p || !client_lives(c) || c->hello != CENOTE_OK)
            continue;
        world_after(p, chance_below(&world.chance, LEARNS_NS), learn_closed, c);
        if (c->donor->process->alive)
            world_after(c->donor->process, chance_below(&world.chance, LEARNS_NS), learn_hung_up,
                        c);
    }
}

/* ---- who comes in ---------------------------------------------------------------------------- */

static struct exporter *exporter_of(struct xcopy_exporter *e)
{
    return (struct exporter *)e;
}

static void open_slots(struct channel *c, const struct exporter *e)
{
    int fd;
    struct process *me = world_enter(NULL);
    int status = slots_make(&c->slots, &fd);
    assert(status == CENOTE_OK);
    close(fd);
    world_enter(me);
    slots_raise(c->slots, e->gate.horizon(e->gate.arg, c->who.session));
}

int exporter_admit(struct channel *c)
{
    struct xcopy_exporter *base = c->donor->exporters[c->way];
    if (base == NULL || !exporter_of(base)->has_segment)
        return CENOTE_NODE_DOWN;
    struct exporter *e = exporter_of(base);
    int status = e->gate.authenticate(e->gate.arg, &c->who);
    if (status == CENOTE_OK && c->boot != 0 && c->boot != e->gate.boot && !test_off(TEST_BOOT))
        status = CENOTE_OLD_BOOT;
    if (status != CENOTE_OK)
        return status;
    c->boot = e->gate.boot;
    c->exporter = e;
    c->memory = c->donor->memory;
    c->horizon = e->gate.horizon(e->gate.arg, c->who.session);
    if (c->way == BY_SHM)
        open_slots(c, e);
    return CENOTE_OK;
}

int exporter_admit_write(const struct channel *c, const struct xcopy_req *req)
{
    const struct exporter *e = c->exporter;
    struct write_grant grant = {.boot = e->gate.boot, .mac = req->grant.mac};
    if (!gva_covers(e->segment.gva, e->segment.memory.len_bytes, req->gva,
                    extent_size(req->payload_len)))
        return CENOTE_BAD_RANGE;
    return e->gate.admit_write(e->gate.arg, c->who.session, req->put_id, req->gva,
                               extent_size(req->payload_len), &grant);
}

int exporter_admit_read(const struct channel *c, const struct xcopy_req *req)
{
    uint8_t *extent;
    return xcopy_admit_read(&c->exporter->segment, 1, c->who.name_space, req->put_id, req->gva,
                            req->payload_len, &extent);
}

/* ---- fences ---------------------------------------------------------------------------------- */

static bool is_mine(const struct channel *c, const struct exporter *e)
{
    return c->exporter == e && !c->proven && c->hello == CENOTE_OK;
}

/* Session 0 is all of them. */
static bool is_meant(const struct channel *c, uint64_t session)
{
    return session == 0 || c->who.session == session;
}

static bool fence_waits(const struct fence_sim *f)
{
    for (const struct channel *c = channels; c != NULL; c = c->next) {
        if (is_mine(c, f->exporter) && is_meant(c, f->session) &&
            slots_occupied(c->slots, f->horizon))
            return true;
    }
    return false;
}

static void fences_look(struct exporter *e)
{
    for (struct fence_sim **at = &e->fences, *f; (f = *at) != NULL;) {
        if (fence_waits(f)) {
            at = &f->next;
            continue;
        }
        *at = f->next;
        f->done(f->arg);
    }
}

static void fences_look_again(void *arg)
{
    struct exporter *e = arg;
    if (e->stopped)
        return;
    fences_look(e);
    if (e->fences != NULL)
        world_after(e->donor->process, FENCE_LOOK_NS, fences_look_again, e);
}

static void fence_done(void *arg)
{
    struct fence_sim *f = arg;
    if (!f->exporter->stopped)
        f->done(f->arg);
}

static struct fence_sim *fence_new(struct xcopy_exporter *base, uint64_t session, uint64_t horizon,
                                   void (*done)(void *arg), void *arg)
{
    struct fence_sim *f = world_alloc(sizeof *f);
    *f = (struct fence_sim){NULL, exporter_of(base), session, horizon, done, arg};
    return f;
}

/* As transport/shm/exporter.c: no connection of the session enters, then its slots are looked at
 * until none names such a put. */
static void shm_fence(struct xcopy_exporter *base, uint64_t session, uint64_t horizon,
                      void (*done)(void *arg), void *arg)
{
    struct fence_sim *f = fence_new(base, session, horizon, done, arg);
    struct exporter *e = f->exporter;
    bool looking = e->fences != NULL;
    for (struct channel *c = channels; c != NULL; c = c->next) {
        if (is_mine(c, e) && is_meant(c, session))
            slots_raise(c->slots, horizon);
    }
    f->next = e->fences;
    e->fences = f;
    fences_look(e);
    if (e->fences != NULL && !looking)
        world_after(e->donor->process, FENCE_LOOK_NS, fences_look_again, e);
}

/* As transport/tcp/fence.c: connections in the middle of such a write are closed. */
static void tcp_fence(struct xcopy_exporter *base, uint64_t session, uint64_t horizon,
                      void (*done)(void *arg), void *arg)
{
    struct fence_sim *f = fence_new(base, session, horizon, done, arg);
    for (struct channel *c = channels; c != NULL; c = c->next) {
        if (c->exporter == f->exporter && is_meant(c, session) && c->body_put != 0 &&
            c->body_put <= horizon)
            channel_close(c);
    }
    world_after(f->exporter->donor->process, chance_below(&world.chance, NS_PER_MS), fence_done, f);
}

/* As transport/rdma/exporter_fence.c: the session's queue pairs are destroyed; that takes a while,
 * and until it is over what is on its way lands. */
static void queues_destroyed(void *arg)
{
    struct fence_sim *f = arg;
    for (struct channel *c = channels; c != NULL; c = c->next) {
        if (c->exporter == f->exporter && is_meant(c, f->session))
            channel_close(c);
    }
    fence_done(f);
}

static void rdma_fence(struct xcopy_exporter *base, uint64_t session, uint64_t horizon,
                       void (*done)(void *arg), void *arg)
{
    struct fence_sim *f = fence_new(base, session, horizon, done, arg);
    world_after(f->exporter->donor->process, chance_below(&world.chance, 5 * NS_PER_MS),
                queues_destroyed, f);
}

/* ---- holds ----------------------------------------------------------------------------------- */

static void shm_held(struct xcopy_exporter *base, const struct gva *extents, size_t count,
                     bool *held)
{
    for (const struct channel *c = channels; c != NULL; c = c->next) {
        if (is_mine(c, exporter_of(base)))
            slots_held(c->slots, extents, count, held);
    }
}

static uint32_t shm_hold_count(struct xcopy_exporter *base)
{
    uint32_t count = 0;
    for (const struct channel *c = channels; c != NULL; c = c->next) {
        if (is_mine(c, exporter_of(base)))
            count += slots_holds(c->slots);
    }
    return count;
}

/* ---- a life ---------------------------------------------------------------------------------- */

static int add_segment(struct xcopy_exporter *base, const struct xcopy_segment *segment)
{
    struct exporter *e = exporter_of(base);
    e->segment = *segment;
    e->has_segment = true;
    return CENOTE_OK;
}

static void stop(struct xcopy_exporter *base)
{
    struct exporter *e = exporter_of(base);
    e->stopped = true;
    for (struct channel *c = channels; c != NULL; c = c->next) {
        if (c->exporter != e)
            continue;
        channel_close(c);
        c->exporter = NULL;
    }
}

/* As transport/shm/keep.c: slots of the earlier life, in named files. */
static void keep_slots(struct exporter *e)
{
    for (struct channel *c = channels; c != NULL && !test_off(TEST_KEEP); c = c->next) {
        if (c->way != BY_SHM || c->donor != e->donor || c->slots == NULL ||
            c->memory != e->donor->memory || c->proven)
            continue;
        slots_raise(c->slots, UINT64_MAX);
        if (client_lives(c))
            c->exporter = e;
    }
}

int exporter_start(struct donor *d, enum way way, const struct xcopy_gate *gate, bool keep,
                   struct xcopy_exporter **out)
{
    struct exporter *e = world_alloc(sizeof *e);
    *e = (struct exporter){.base.ops = &exporter_ops[way], .donor = d, .way = way, .gate = *gate};
    if (way == BY_SHM && keep)
        keep_slots(e);
    *out = &e->base;
    return CENOTE_OK;
}

static const struct xcopy_exporter_ops exporter_ops[EXPORTERS] = {
    [BY_SHM] = {.name = "shm",
                .add_segment = add_segment,
                .fence = shm_fence,
                .held = shm_held,
                .hold_count = shm_hold_count,
                .stop = stop},
    [BY_RDMA] = {.name = "rdma", .add_segment = add_segment, .fence = rdma_fence, .stop = stop},
    [BY_TCP] = {.name = "tcp", .add_segment = add_segment, .fence = tcp_fence, .stop = stop},
};

/* ---- memory ---------------------------------------------------------------------------------- */

void memory_land(struct memory_sim *m, uint64_t offset, const void *bytes, uint64_t len_bytes,
                 uint64_t put_id, const struct process *writer)
{
    assert(offset <= m->len_bytes && len_bytes <= m->len_bytes - offset);
    rules_landing(m, offset, len_bytes, put_id, writer);
    memcpy(m->base + offset, bytes, len_bytes);
    toll(offset + len_bytes);
}
