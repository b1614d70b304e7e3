/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The clients' side of the simulated transports.
 *
 * shm: the client's thread copies by itself, in pieces, and may be stopped or killed between any
 * two of them; real slots say so. rdma and tcp: a request travels in pieces, each of which lands
 * in the node's memory (or is taken from it) at a moment of its own. What has been sent lands
 * although the client has given up, died, or was stopped: over tcp as long as the node reads the
 * connection, over rdma as long as the queue pair at the node exists.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/scene.h"
#include "transport/base/testswitch.h"
#include "transport/copy.h"

#define PIECES_MAX     4u
#define SLOT_WAIT_MS   1000u
#define PREEMPTED_ONE  40u
#define PREEMPTED_NS   (400 * NS_PER_MS)
#define IDLE_NS        (20 * NS_PER_MS)
#define CUT_LOOK_NS    (20 * NS_PER_MS)
#define CONNECT_NAP_NS (500 * NS_PER_MS)

/* What the fabric holds; it ends with its process. */
struct handle {
    struct xcopy_channel base;
    struct channel *c;
};

/* A request over rdma or tcp. */
struct flight {
    struct flight *next;
    struct channel *channel;
    struct xcopy_req *req; /* NULL: nobody waits for it */
    struct xcopy_req as_sent;
    uint64_t ends[PIECES_MAX]; /* of its pieces, in bytes of payload and tail */
    unsigned pieces, at;       /* at: the next to move at the node */
    uint8_t *bytes;            /* payload, then tail */
    uint64_t arrived;          /* READ: pieces in the client's buffers */
    uint8_t *late;             /* where they come although nobody waits; NULL: nowhere */
    int status;                /* XCOPY_IN_PROGRESS: not answered */
    bool given_up;
};

/* What a node has sent, on its way. */
struct coming {
    struct coming *next;
    void (*fn)(void *arg);
    struct flight *flight;
};

static struct channel *channel_of(struct xcopy_channel *c)
{
    return ((struct handle *)c)->c;
}

static void nap_at(struct channel *c, uint64_t ns)
{
    struct nap *n = world_alloc(sizeof *n);
    unsigned i = 0;
    while (i < PROCESS_FIBERS_MAX && c->waiters[i] != NULL)
        i++;
    assert(i < PROCESS_FIBERS_MAX);
    c->waiters[i] = n;
    thread_nap(n, ns);
    c->waiters[i] = NULL;
}

/* ---- connecting ------------------------------------------------------------------------------ */

static const char *endpoint_of(const struct xcopy_peer *peer, enum way way)
{
    return way == BY_SHM ? peer->shm : way == BY_RDMA ? peer->rdma : peer->tcp;
}

static void said(void *arg)
{
    channel_wake(arg);
}

static void hello(void *arg)
{
    struct channel *c = arg;
    c->hello = exporter_admit(c);
    world_after(c->client, net_delay_ns(&c->donor->process->chance), said, c);
}

static int wait_for_hello(struct channel *c, uint32_t timeout_ms)
{
    struct process *me = world.self, *node = c->donor->process;
    uint64_t deadline_ns = process_ns(me) + timeout_ms * NS_PER_MS;
    thread_sleep(net_delay_ns(&me->chance));
    while (net_is_apart(me, node)) {
        if (process_ns(me) >= deadline_ns)
            return CENOTE_TIMED_OUT;
        thread_sleep(CUT_LOOK_NS);
    }
    if (!node->alive)
        return CENOTE_NODE_DOWN;
    uint64_t life = node->life;
    world_after(node, 0, hello, c);
    while (c->hello == 1 && node->life == life && node->alive) {
        if (process_ns(me) >= deadline_ns)
            return CENOTE_TIMED_OUT;
        nap_at(c, CONNECT_NAP_NS);
    }
    return c->hello == 1 || c->broken ? CENOTE_NODE_DOWN : c->hello;
}

static int connect_by(enum way way, const struct xcopy_transport *t, const struct xcopy_peer *peer,
                      const struct xcopy_credentials *who, uint32_t timeout_ms,
                      struct xcopy_channel **out)
{
    unsigned number;
    if (sscanf(endpoint_of(peer, way), "sim:%u", &number) != 1 || number >= PLAN_NODES_MAX)
        return CENOTE_NODE_DOWN;
    struct handle *h = calloc(1, sizeof *h);
    if (h == NULL)
        return CENOTE_NO_MEMORY;
    h->base = (struct xcopy_channel){.transport = t, .node = peer->node};
    h->c = channel_new(way, &scene.donors[number], who);
    h->c->boot = peer->boot;
    int status = wait_for_hello(h->c, timeout_ms);
    if (status != CENOTE_OK) {
        h->c->client_closed = true;
        if (h->c->slots != NULL)
            slots_close(h->c->slots);
        free(h);
        return status;
    }
    *out = &h->base;
    return CENOTE_OK;
}

static void sim_disconnect(struct xcopy_channel *base)
{
    struct channel *c = channel_of(base);
    assert(c->flights == NULL);
    c->client_closed = true;
    if (c->slots != NULL) {
        assert(!slots_occupied(c->slots, UINT64_MAX) && slots_holds(c->slots) == 0);
        slots_close(c->slots);
    }
    free(base);
}

static void sim_abandon(struct xcopy_channel *base)
{
    free(base);
}

static bool sim_alive(const struct xcopy_channel *base)
{
    return !((const struct handle *)base)->c->broken;
}

/* ---- pieces ---------------------------------------------------------------------------------- */

static uint64_t bytes_of(const struct xcopy_req *req)
{
    return req->len_bytes + req->tail_len;
}

/* Where the byte of payload and tail lies in the extent; *n: at most so many follow it there. */
static uint64_t place_of(const struct xcopy_req *req, uint64_t at, uint64_t *n)
{
    if (at < req->len_bytes) {
        if (*n > req->len_bytes - at)
            *n = req->len_bytes - at;
        return req->offset + at;
    }
    return extent_size(req->payload_len) - req->tail_len + (at - req->len_bytes);
}

/* Ends of pieces; the last words of a value may come alone. */
static unsigned cut_pieces(const struct xcopy_req *req, struct chance *c, uint64_t ends[PIECES_MAX])
{
    unsigned count = 0;
    uint64_t all = bytes_of(req), at = 0;
    for (unsigned left = (unsigned)chance_below(c, PIECES_MAX); left > 0 && at < all; left--) {
        uint64_t n = chance_in(c, 2) && at < req->len_bytes ? req->len_bytes - at : all - at;
        at += chance_below(c, n + 1) & ~UINT64_C(7);
        if (at > 0 && (count == 0 || ends[count - 1] < at))
            ends[count++] = at;
    }
    if (count == 0 || ends[count - 1] < all)
        ends[count++] = all;
    return count;
}

static uint64_t offset_of(const struct channel *c, const struct xcopy_req *req)
{
    return req->gva.v - c->memory->gva.v;
}

static bool fits(const struct channel *c, const struct xcopy_req *req)
{
    return gva_covers(c->memory->gva, c->memory->len_bytes, req->gva,
                      extent_size(req->payload_len));
}

static void load(const struct channel *c, const struct xcopy_req *req, uint64_t from, uint64_t to,
                 uint8_t *bytes)
{
    while (from < to) {
        uint64_t n = to - from;
        uint64_t at = place_of(req, from, &n);
        memcpy(bytes + from, c->memory->base + offset_of(c, req) + at, n);
        from += n;
    }
}

static void store(const struct channel *c, const struct xcopy_req *req, uint64_t from, uint64_t to,
                  const uint8_t *bytes)
{
    while (from < to) {
        uint64_t n = to - from;
        uint64_t at = place_of(req, from, &n);
        memory_land(c->memory, offset_of(c, req) + at, bytes + from, n, req->put_id, c->client);
        from += n;
    }
}

/* Between the caller's buffers and one piece of memory. */
static void local_copy(const struct xcopy_req *req, uint64_t from, uint64_t to, uint8_t *bytes,
                       bool into)
{
    struct xcopy_cursor cursor = xcopy_cursor_of(&req->local);
    uint64_t at = 0;
    while (at < req->len_bytes && at < to) {
        uint8_t *part;
        size_t n = xcopy_cursor_next(&cursor, (size_t)(req->len_bytes - at), &part);
        for (uint64_t i = at < from ? from - at : 0; i < n && at + i < to; i++) {
            if (into)
                part[i] = bytes[at + i];
            else
                bytes[at + i] = part[i];
        }
        at += n;
    }
}

/* Payload and tail of a write, as they are to lie in the extent. */
static void gather(struct xcopy_req *req, uint8_t *bytes)
{
    local_copy(req, 0, req->len_bytes, bytes, false);
    if (req->sums != NULL)
        sums_update(req->sums, bytes, (size_t)req->len_bytes);
    if (req->seal_it != NULL)
        req->seal_it(req);
    if (req->tail_len > 0)
        memcpy(bytes + req->len_bytes, req->tail, req->tail_len);
}

/* ---- shm ------------------------------------------------------------------------------------- */

static void copying(struct process *me)
{
    uint64_t ns = chance_below(&me->chance, 20 * NS_PER_US);
    if (chance_in(&me->chance, PREEMPTED_ONE))
        ns += chance_below(&me->chance, PREEMPTED_NS);
    thread_sleep(ns);
}

static void shm_read(struct channel *c, struct xcopy_req *req)
{
    uint8_t *bytes = world_alloc(bytes_of(req));
    uint64_t ends[PIECES_MAX], at = 0;
    unsigned pieces = cut_pieces(req, &world.self->chance, ends);
    for (unsigned i = 0; i < pieces; at = ends[i++]) {
        load(c, req, at, ends[i], bytes);
        local_copy(req, at, ends[i], bytes, true);
        scene_moment(AT_READING, c->client, c->donor);
        copying(world.self);
    }
    if (req->sums != NULL)
        sums_update(req->sums, bytes, (size_t)req->len_bytes);
    if (req->tail_len > 0)
        memcpy(req->tail, bytes + req->len_bytes, req->tail_len);
}

static int shm_write(struct channel *c, struct xcopy_req *req)
{
    uint8_t *bytes = world_alloc(bytes_of(req));
    uint64_t ends[PIECES_MAX], at = 0;
    unsigned pieces = cut_pieces(req, &world.self->chance, ends);
    uint32_t slot;
    if (req->put_id == 0)
        return CENOTE_INVALID;
    if (req->grant.boot != c->boot && !test_off(TEST_BOOT))
        return CENOTE_OLD_BOOT;
    if (req->session != c->who.session && !test_off(TEST_GRANT))
        return CENOTE_BAD_GRANT;
    int status = slots_enter(c->slots, req->put_id, SLOT_WAIT_MS, &slot);
    if (status != CENOTE_OK)
        return status;
    gather(req, bytes);
    for (unsigned i = 0; i < pieces; at = ends[i++]) {
        scene_moment(AT_WRITING, c->client, c->donor);
        copying(world.self);
        store(c, req, at, ends[i], bytes);
    }
    slots_leave(c->slots, slot);
    return CENOTE_OK;
}

static int shm_run(struct channel *c, struct xcopy_req *req)
{
    int status = copy_check(req);
    if (status != CENOTE_OK)
        return status;
    if (c->broken)
        return CENOTE_NODE_DOWN;
    if (!fits(c, req))
        return CENOTE_BAD_RANGE;
    if (req->op == XCOPY_WRITE)
        return shm_write(c, req);
    shm_read(c, req);
    return CENOTE_OK;
}

static void shm_submit(struct xcopy_channel *base, struct xcopy_req *req)
{
    req->status = XCOPY_IN_PROGRESS;
    int status = shm_run(channel_of(base), req);
    req->may_land = false;
    req->started = status == CENOTE_OK;
    req->status = status;
}

static int shm_hold(struct xcopy_channel *base, struct xcopy_hold *hold)
{
    struct channel *c = channel_of(base);
    struct xcopy_req like = {.gva = hold->gva, .payload_len = hold->payload_len};
    if (c->broken)
        return CENOTE_NODE_DOWN;
    if (!fits(c, &like))
        return CENOTE_BAD_RANGE;
    int status = slots_hold(c->slots, hold->slot, hold->gva);
    if (status != CENOTE_OK)
        return status;
    const uint8_t *extent = c->memory->base + offset_of(c, &like);
    copying(world.self);
    memcpy(hold->seal, extent + extent_seal_offset(hold->payload_len), SEAL_BYTES);
    copying(world.self);
    hold->data = extent;
    return CENOTE_OK;
}

static void shm_unhold(struct xcopy_channel *base, uint32_t slot)
{
    slots_unhold(channel_of(base)->slots, slot);
}

static bool shm_progress(struct xcopy_channel *base)
{
    (void)base;
    return false;
}

static void shm_cancel(struct xcopy_channel *base, int status)
{
    (void)status;
    channel_of(base)->broken = true;
}

/* ---- rdma and tcp ---------------------------------------------------------------------------- */

static void travel(struct flight *f);

static bool client_lives(const struct channel *c)
{
    return c->client->alive && c->client->life == c->client_life;
}

static struct process *mover(const struct channel *c)
{
    return c->way == BY_TCP ? c->donor->process : NULL;
}

/* The answer, or the last bytes, are there. */
static void answer_came(void *arg)
{
    struct flight *f = arg;
    if (f->channel->broken || !client_lives(f->channel))
        return;
    if (f->status == XCOPY_IN_PROGRESS)
        f->status = CENOTE_OK;
    channel_wake(f->channel);
}

/* A part of what was read is there: into the caller's buffers, if somebody still waits. */
static void bytes_came(void *arg)
{
    struct flight *f = arg;
    uint64_t to = f->ends[f->arrived];
    uint64_t from = f->arrived > 0 ? f->ends[f->arrived - 1] : 0;
    f->arrived++;
    f->channel->moved++;
    if (f->late != NULL && client_lives(f->channel) && from < f->as_sent.len_bytes)
        memcpy(f->late + from, f->bytes + from,
               (to < f->as_sent.len_bytes ? to : f->as_sent.len_bytes) - from);
    if (f->req == NULL || f->channel->broken || !client_lives(f->channel))
        return;
    f->req->started = true;
    local_copy(f->req, from, to, f->bytes, true);
}

/* A device writes into the memory of a stopped process. */
static struct process *receiver(const struct channel *c)
{
    return c->way == BY_TCP ? c->client : NULL;
}

/* The next of what comes from the node is there, unless nothing gets through. */
static void came(void *arg)
{
    struct channel *c = arg;
    struct coming *m = c->coming;
    if (net_is_cut(c->donor->process, c->client)) {
        if (client_lives(c))
            world_after(receiver(c), CUT_LOOK_NS, came, c);
        return;
    }
    c->coming = m->next;
    m->fn(m->flight);
}

static void to_client(struct flight *f, void (*fn)(void *arg))
{
    struct channel *c = f->channel;
    uint64_t at_ns = world.now_ns + net_delay_ns(&c->donor->process->chance);
    if (at_ns < c->last_ns)
        at_ns = c->last_ns;
    c->last_ns = at_ns;
    if (!client_lives(c))
        return;
    struct coming *m = world_alloc(sizeof *m);
    *m = (struct coming){.fn = fn, .flight = f};
    if (c->coming == NULL)
        c->coming = m;
    else
        c->coming_last->next = m;
    c->coming_last = m;
    world_after(receiver(c), at_ns - world.now_ns, came, c);
}

static int admit(struct flight *f)
{
    struct channel *c = f->channel;
    if (c->way == BY_RDMA)
        return CENOTE_OK; /* nobody looks */
    if (f->as_sent.op == XCOPY_READ)
        return exporter_admit_read(c, &f->as_sent);
    int status = exporter_admit_write(c, &f->as_sent);
    if (status == CENOTE_OK)
        c->body_put = f->as_sent.put_id;
    return status;
}

static void move_piece(struct flight *f)
{
    struct channel *c = f->channel;
    uint64_t from = f->at > 0 ? f->ends[f->at - 1] : 0;
    if (f->as_sent.op == XCOPY_READ) {
        load(c, &f->as_sent, from, f->ends[f->at], f->bytes);
        to_client(f, bytes_came);
    } else {
        store(c, &f->as_sent, from, f->ends[f->at], f->bytes);
    }
    f->at++;
}

static void piece_at_node(void *arg)
{
    struct flight *f = arg;
    struct channel *c = f->channel;
    if (c->node_closed || c->exporter == NULL)
        return;
    if (net_is_cut(c->client, c->donor->process)) {
        world_after(mover(c), CUT_LOOK_NS, piece_at_node, f);
        return;
    }
    int status = f->at == 0 ? admit(f) : CENOTE_OK;
    if (status != CENOTE_OK) {
        f->status = status;
        to_client(f, answer_came);
        return;
    }
    move_piece(f);
    scene_moment(f->as_sent.op == XCOPY_READ ? AT_READING : AT_WRITING, c->client, c->donor);
    if (f->at < f->pieces) {
        travel(f);
        return;
    }
    c->body_put = 0;
    to_client(f, answer_came);
}

/* The next piece is on its way, unless its sender is gone: a queue pair ends with its process or
 * when it is given up; what was handed to a socket goes on. */
static void travel(struct flight *f)
{
    struct channel *c = f->channel;
    bool sends = client_lives(c) && !f->given_up;
    if (c->way == BY_RDMA && !sends && f->at > 0)
        return;
    world_after(mover(c), net_delay_ns(&c->client->chance), piece_at_node, f);
}

/* Requests of one channel are served one after the other. */
static void begin_next(struct channel *c)
{
    struct flight *f = c->flights;
    if (f == NULL)
        return;
    if (f->as_sent.op == XCOPY_WRITE) {
        gather(f->req, f->bytes);
        f->req->started = true;
    }
    travel(f);
}

static void take_off(struct channel *c)
{
    c->flights = c->flights->next;
    if (c->flights == NULL)
        c->flights_last = NULL;
}

static void finish(struct flight *f, int status)
{
    struct xcopy_req *req = f->req;
    f->req = NULL;
    if (status == CENOTE_OK && req->op == XCOPY_READ) {
        if (req->sums != NULL)
            sums_update(req->sums, f->bytes, (size_t)req->len_bytes);
        if (req->tail_len > 0)
            memcpy(req->tail, f->bytes + req->len_bytes, req->tail_len);
    }
    req->started = req->started || f->at > 0 || status == CENOTE_OK;
    req->status = status;
}

static void fail_all(struct channel *c, int status)
{
    for (struct flight *f = c->flights; f != NULL; f = f->next) {
        f->given_up = true;
        f->req->may_land = f->as_sent.op == XCOPY_WRITE && f->req->started;
        finish(f, status);
    }
    c->flights = c->flights_last = NULL;
    c->broken = true;
}

static int check(const struct channel *c, const struct xcopy_req *req)
{
    int status = copy_check(req);
    if (status != CENOTE_OK)
        return status;
    if (c->broken)
        return CENOTE_NODE_DOWN;
    if (!fits(c, req))
        return CENOTE_BAD_RANGE;
    if (req->op == XCOPY_READ)
        return CENOTE_OK;
    if (req->grant.boot != c->boot && !test_off(TEST_BOOT))
        return CENOTE_OLD_BOOT;
    if (req->session != c->who.session && !test_off(TEST_GRANT))
        return CENOTE_BAD_GRANT;
    return c->way == BY_RDMA && req->put_id <= c->horizon ? CENOTE_FENCED : CENOTE_OK;
}

static void far_submit(struct xcopy_channel *base, struct xcopy_req *req)
{
    struct channel *c = channel_of(base);
    req->may_land = req->started = false;
    req->status = check(c, req);
    if (req->status != CENOTE_OK)
        return;
    struct flight *f = world_alloc(sizeof *f);
    req->status = f->status = XCOPY_IN_PROGRESS;
    f->channel = c;
    f->req = req;
    f->bytes = world_alloc(bytes_of(req));
    f->as_sent = *req;
    f->pieces = cut_pieces(req, &world.self->chance, f->ends);
    if (c->flights == NULL)
        c->flights = f;
    else
        c->flights_last->next = f;
    c->flights_last = f;
    if (c->flights == f)
        begin_next(c);
}

static bool complete(struct channel *c)
{
    bool any = false;
    while (c->flights != NULL && c->flights->status != XCOPY_IN_PROGRESS) {
        struct flight *f = c->flights;
        take_off(c);
        finish(f, f->status);
        begin_next(c);
        any = true;
    }
    if (c->broken && c->flights != NULL) {
        fail_all(c, CENOTE_NODE_DOWN);
        any = true;
    }
    return any;
}

static bool far_progress(struct xcopy_channel *base)
{
    struct channel *c = channel_of(base);
    uint64_t before = c->moved;
    if (complete(c))
        return true;
    nap_at(c, IDLE_NS);
    return complete(c) || c->moved != before;
}

static int far_poll_fd(struct xcopy_channel *base, short *events)
{
    (void)base;
    *events = 0;
    return -1;
}

/* A transport that doesn't drain: what a late transfer would do to the next one's buffer. */
static void leave_undrained(const struct channel *c)
{
    struct flight *f = c->flights;
    if (f == NULL || f->as_sent.op != XCOPY_READ || !test_off(TEST_CANCEL))
        return;
    f->late = f->req->local.pieces[0].addr;
}

static void far_cancel(struct xcopy_channel *base, int status)
{
    leave_undrained(channel_of(base));
    fail_all(channel_of(base), status);
}

/* ---- the tables ------------------------------------------------------------------------------ */

static bool shm_reaches(void *context, const struct xcopy_peer *peer)
{
    char host[XCOPY_HOST_MAX];
    (void)context;
    xcopy_this_host(host);
    return peer->shm[0] != '\0' && strcmp(host, peer->host) == 0;
}

static bool rdma_reaches(void *context, const struct xcopy_peer *peer)
{
    (void)context;
    return peer->rdma[0] != '\0';
}

static bool tcp_reaches(void *context, const struct xcopy_peer *peer)
{
    (void)context;
    return peer->tcp[0] != '\0';
}

static const struct xcopy_transport sim_shm, sim_rdma, sim_tcp;

static int shm_connect(void *context, const struct xcopy_peer *peer,
                       const struct xcopy_credentials *who, uint32_t timeout_ms,
                       struct xcopy_channel **out)
{
    (void)context;
    return connect_by(BY_SHM, &sim_shm, peer, who, timeout_ms, out);
}

static int rdma_connect(void *context, const struct xcopy_peer *peer,
                        const struct xcopy_credentials *who, uint32_t timeout_ms,
                        struct xcopy_channel **out)
{
    (void)context;
    return connect_by(BY_RDMA, &sim_rdma, peer, who, timeout_ms, out);
}

static int tcp_connect(void *context, const struct xcopy_peer *peer,
                       const struct xcopy_credentials *who, uint32_t timeout_ms,
                       struct xcopy_channel **out)
{
    (void)context;
    return connect_by(BY_TCP, &sim_tcp, peer, who, timeout_ms, out);
}

static const struct xcopy_transport sim_shm = {.name = "shm",
                                               .id = CENOTE_TRANSPORT_SHM,
                                               .caps = XCOPY_CAP_SHARED | XCOPY_CAP_IMMEDIATE,
                                               .reaches = shm_reaches,
                                               .connect = shm_connect,
                                               .disconnect = sim_disconnect,
                                               .abandon = sim_abandon,
                                               .submit = shm_submit,
                                               .progress = shm_progress,
                                               .poll_fd = far_poll_fd,
                                               .cancel = shm_cancel,
                                               .alive = sim_alive,
                                               .hold = shm_hold,
                                               .unhold = shm_unhold};

static const struct xcopy_transport sim_rdma = {.name = "rdma",
                                                .id = CENOTE_TRANSPORT_RDMA,
                                                .reaches = rdma_reaches,
                                                .connect = rdma_connect,
                                                .disconnect = sim_disconnect,
                                                .abandon = sim_abandon,
                                                .submit = far_submit,
                                                .progress = far_progress,
                                                .poll_fd = far_poll_fd,
                                                .cancel = far_cancel,
                                                .alive = sim_alive};

static const struct xcopy_transport sim_tcp = {.name = "tcp",
                                               .id = CENOTE_TRANSPORT_TCP,
                                               .caps = XCOPY_CAP_CHECKED,
                                               .reaches = tcp_reaches,
                                               .connect = tcp_connect,
                                               .disconnect = sim_disconnect,
                                               .abandon = sim_abandon,
                                               .submit = far_submit,
                                               .progress = far_progress,
                                               .poll_fd = far_poll_fd,
                                               .cancel = far_cancel,
                                               .alive = sim_alive};

extern const struct xcopy_transport *const __wrap_xcopy_transports[];
const struct xcopy_transport *const __wrap_xcopy_transports[] = {&sim_shm, &sim_rdma, &sim_tcp,
                                                                 NULL};
