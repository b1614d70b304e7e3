/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/fabric_link.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "transport/base/clock.h"
#include "transport/base/epoch.h"
#include "transport/base/log.h"

#define FABRIC_TRANSPORTS_MAX 8u

#define BUCKETS 256u
#define DOORS   256u /* nodes that can be read from without the lock at the same time */

/* Links that nobody has used for so long are closed, when others are given back: they cost their
 * nodes memory, and devices queue pairs. */
#define IDLE_MS  60000u
#define SWEEP_MS 5000u

/* A link by another transport than the best one, which couldn't be had just then: it is kept for so
 * long, however busy it is, then the best one has another chance. */
#define SECOND_BEST_MS 300000u

/*
 * A node's generation changes with its peer and with the credentials. A link of an older one isn't
 * lent any more, and is closed by whoever gives it back last.
 *
 * Locks: the fabric's for all tables, counts and lists, held for moments only; a node's connecting,
 * taken before it, for the time of a connect: one thread connects, the others then find its channel
 * or share its failure.
 *
 * Doors: warm reads take no lock. A published link of a transport that completes requests at once
 * also stands in the door of its node (node ids are numbered, so that they rarely meet in one; of
 * two that do, the later link stands there, and the other node is read from by way of the lock).
 * A reader enters the epoch, takes what stands in the door, copies, and leaves; it is no user of
 * the link. Hence a link that was taken off its node is closed only when the epoch has passed, and
 * waits among the leaving ones until then, and until nothing is held by it any more (holds begin at
 * an open door, or by a link that was lent, and end whenever they like). Nobody waits for it: a
 * reader whose memory is slow to come (a page fault over a network, a debugger) delays the closing
 * of a link, and no thread.
 */
struct fabric_node {
    struct fabric_node *next; /* of the bucket */
    struct xcopy_peer peer;
    uint64_t generation;
    bool dropped;               /* off the table: nothing is kept for it any more */
    unsigned users;             /* links, threads inside, and the table */
    struct fabric_link *shared; /* NULL: none */
    struct fabric_link *idle;   /* unshared ones that nobody uses */
    size_t idle_count;
    pthread_mutex_t connecting;
    uint64_t failed_ms; /* when connecting failed last ... */
    int failure;        /* ... and how */
};

struct fabric {
    enum cenote_transport allowed;
    pthread_mutex_t lock;
    struct xcopy_credentials who;
    uint64_t generations; /* given out */
    struct registry *registry;
    bool borrowed; /* the registry is another fabric's */
    struct fabric_node *buckets[BUCKETS];
    struct epoch *epoch;
    _Atomic(struct fabric_link *) doors[DOORS];
    uint64_t swept_ms;           /* when idle links were looked through last */
    struct fabric_link *leaving; /* to be closed when the epoch has passed their marks */
    _Atomic size_t leaving_count;
    metric_counter moved_bytes[FABRIC_TRANSPORTS_MAX][2]; /* by place and enum xcopy_op */
};

/* ---- nodes; all under the lock --------------------------------------------------------------- */

static struct fabric_node **node_place(struct fabric *f, uint64_t id)
{
    struct fabric_node **at = &f->buckets[id % BUCKETS];
    while (*at != NULL && (*at)->peer.node != id)
        at = &(*at)->next;
    return at;
}

static void node_unuse(struct fabric_node *n)
{
    if (--n->users > 0)
        return;
    pthread_mutex_destroy(&n->connecting);
    free(n);
}

/* Takes a link off its node; the caller closes it outside the lock. */
static void collect(struct fabric_link **closing, struct fabric_link *link)
{
    link->next = *closing;
    *closing = link;
}

static _Atomic(struct fabric_link *) *door_of(struct fabric *f, uint64_t node)
{
    return &f->doors[node % DOORS];
}

static void node_publish(struct fabric *f, struct fabric_node *n, struct fabric_link *link)
{
    n->shared = link;
    link->users++;
    if (link->channel->transport->caps & XCOPY_CAP_IMMEDIATE)
        atomic_store(door_of(f, link->channel->node), link);
}

static void node_unpublish(struct fabric *f, struct fabric_node *n, struct fabric_link **closing)
{
    struct fabric_link *link = n->shared;
    if (link == NULL)
        return;
    n->shared = NULL;
    if (atomic_load(door_of(f, link->channel->node)) == link)
        atomic_store(door_of(f, link->channel->node), NULL);
    if (--link->users == 0)
        collect(closing, link);
}

/* Nothing that is open now will be lent again. */
static void node_renew(struct fabric *f, struct fabric_node *n, struct fabric_link **closing)
{
    n->generation = ++f->generations;
    node_unpublish(f, n, closing);
    while (n->idle != NULL) {
        struct fabric_link *link = n->idle;
        n->idle = link->next;
        n->idle_count--;
        collect(closing, link);
    }
}

/* Takes the links off that have been idle for at least so long. */
static void collect_idle(struct fabric *f, uint64_t idle_ms, struct fabric_link **closing)
{
    uint64_t now_ms = clock_tick_ms();
    f->swept_ms = now_ms;
    for (size_t i = 0; i < BUCKETS; i++) {
        for (struct fabric_node *n = f->buckets[i]; n != NULL; n = n->next) {
            for (struct fabric_link **at = &n->idle, *link; (link = *at) != NULL;) {
                if (now_ms - link->idle_ms < idle_ms) {
                    at = &link->next;
                    continue;
                }
                *at = link->next;
                n->idle_count--;
                collect(closing, link);
            }
        }
    }
}

/* Off the leaving ones: a list of those that no reader can hold any more. */
static struct fabric_link *take_passed(struct fabric *f)
{
    struct fabric_link *passed = NULL, **at = &f->leaving;
    pthread_mutex_lock(&f->lock);
    while (*at != NULL) {
        struct fabric_link *link = *at;
        if (!epoch_passed(f->epoch, link->mark) || atomic_load(&link->holds) > 0) {
            at = &link->next;
            continue;
        }
        *at = link->next;
        collect(&passed, link);
        atomic_fetch_sub(&f->leaving_count, 1);
    }
    pthread_mutex_unlock(&f->lock);
    return passed;
}

/* Closes the links, and those that left earlier, as far as nobody reads by them. */
static void close_links(struct fabric *f, struct fabric_link *closing)
{
    if (closing == NULL && atomic_load(&f->leaving_count) == 0)
        return;
    uint64_t mark = epoch_mark(f->epoch);
    pthread_mutex_lock(&f->lock);
    while (closing != NULL) {
        struct fabric_link *next = closing->next;
        closing->mark = mark;
        collect(&f->leaving, closing);
        atomic_fetch_add(&f->leaving_count, 1);
        closing = next;
    }
    pthread_mutex_unlock(&f->lock);
    for (closing = take_passed(f); closing != NULL;) {
        struct fabric_link *next = closing->next;
        closing->channel->transport->disconnect(closing->channel);
        pthread_mutex_lock(&f->lock);
        node_unuse(closing->node);
        pthread_mutex_unlock(&f->lock);
        free(closing);
        closing = next;
    }
}

/* ---- the fabric ------------------------------------------------------------------------------ */

int fabric_new(enum cenote_transport allowed, const struct xcopy_settings *settings,
               struct fabric *with, struct fabric **out)
{
    struct fabric *f = calloc(1, sizeof *f);
    int status = CENOTE_NO_MEMORY;
    if (f == NULL)
        return CENOTE_NO_MEMORY;
    f->epoch = epoch_new();
    if (f->epoch == NULL)
        goto free_fabric;
    f->borrowed = with != NULL;
    if (f->borrowed)
        f->registry = with->registry;
    else
        status = registry_new(xcopy_transports, settings, &f->registry);
    if (f->registry == NULL)
        goto free_epoch;
    f->allowed = allowed;
    pthread_mutex_init(&f->lock, NULL);
    *out = f;
    return CENOTE_OK;

free_epoch:
    epoch_free(f->epoch);
free_fabric:
    free(f);
    return status;
}

void fabric_free(struct fabric *f)
{
    if (f == NULL)
        return;
    for (size_t i = 0; i < BUCKETS; i++)
        while (f->buckets[i] != NULL)
            fabric_drop_peer(f, f->buckets[i]->peer.node);
    close_links(f, NULL);
    assert(f->leaving == NULL);
    epoch_free(f->epoch);
    if (!f->borrowed)
        registry_free(f->registry);
    pthread_mutex_destroy(&f->lock);
    free(f);
}

static void link_abandon(struct fabric_link *link)
{
    if (link == NULL)
        return;
    link->channel->transport->abandon(link->channel);
    free(link);
}

static void links_abandon(struct fabric_link *link)
{
    while (link != NULL) {
        struct fabric_link *next = link->next;
        link_abandon(link);
        link = next;
    }
}

static void node_abandon(struct fabric_node *n)
{
    link_abandon(n->shared);
    links_abandon(n->idle);
    free(n);
}

void fabric_abandon(struct fabric *f)
{
    if (pthread_mutex_trylock(&f->lock) != 0)
        return; /* another thread was in the middle of a change, and doesn't exist here */
    for (size_t i = 0; i < BUCKETS; i++) {
        while (f->buckets[i] != NULL) {
            struct fabric_node *n = f->buckets[i];
            f->buckets[i] = n->next;
            node_abandon(n);
        }
    }
    links_abandon(f->leaving);
    epoch_free(f->epoch);
    if (!f->borrowed)
        registry_abandon(f->registry);
    free(f);
}

struct registry *fabric_registry(struct fabric *f)
{
    return f->registry;
}

void fabric_count_moved(struct fabric *f, const struct xcopy_transport *by, enum xcopy_op op,
                        uint64_t bytes)
{
    size_t i = 0;
    while (xcopy_transports[i] != by && xcopy_transports[i] != NULL)
        i++;
    if (i < FABRIC_TRANSPORTS_MAX && bytes > 0)
        metric_add_shared(&f->moved_bytes[i][op], bytes);
}

const char *fabric_moved(const struct fabric *f, size_t i, uint64_t *read_bytes,
                         uint64_t *written_bytes)
{
    if (i >= FABRIC_TRANSPORTS_MAX || xcopy_transports[i] == NULL)
        return NULL;
    *read_bytes += metric_get(&f->moved_bytes[i][XCOPY_READ]);
    *written_bytes += metric_get(&f->moved_bytes[i][XCOPY_WRITE]);
    return xcopy_transports[i]->name;
}

const char *fabric_report(const struct fabric *f, size_t i, struct xcopy_report *out)
{
    return registry_report(f->registry, i, out);
}

int fabric_register(struct fabric *f, void *addr, size_t len_bytes, enum memory_kind kind,
                    uint64_t *id)
{
    return registry_add(f->registry, addr, len_bytes, kind, id);
}

int fabric_unregister(struct fabric *f, uint64_t id)
{
    return registry_drop(f->registry, id);
}

static bool same_credentials(const struct xcopy_credentials *a, const struct xcopy_credentials *b)
{
    return a->session == b->session && a->name_space == b->name_space &&
           memcmp(&a->token, &b->token, sizeof a->token) == 0;
}

void fabric_set_credentials(struct fabric *f, const struct xcopy_credentials *who)
{
    struct fabric_link *closing = NULL;
    pthread_mutex_lock(&f->lock);
    bool same = same_credentials(&f->who, who);
    f->who = *who;
    for (size_t i = 0; i < BUCKETS && !same; i++)
        for (struct fabric_node *n = f->buckets[i]; n != NULL; n = n->next)
            node_renew(f, n, &closing);
    pthread_mutex_unlock(&f->lock);
    close_links(f, closing);
}

static bool same_peer(const struct xcopy_peer *a, const struct xcopy_peer *b)
{
    return a->node == b->node && a->boot == b->boot && a->loop == b->loop &&
           strcmp(a->host, b->host) == 0 && strcmp(a->shm, b->shm) == 0 &&
           strcmp(a->rdma, b->rdma) == 0 && strcmp(a->tcp, b->tcp) == 0;
}

static struct fabric_node *node_new(const struct xcopy_peer *peer)
{
    struct fabric_node *n = calloc(1, sizeof *n);
    if (n == NULL)
        return NULL;
    n->peer = *peer;
    n->users = 1;
    pthread_mutex_init(&n->connecting, NULL);
    return n;
}

int fabric_set_peer(struct fabric *f, const struct xcopy_peer *peer)
{
    struct fabric_link *closing = NULL;
    int status = CENOTE_OK;
    pthread_mutex_lock(&f->lock);
    struct fabric_node **place = node_place(f, peer->node);
    if (*place == NULL) {
        *place = node_new(peer);
        if (*place == NULL)
            status = CENOTE_NO_MEMORY;
        else
            (*place)->generation = ++f->generations;
    } else if (!same_peer(&(*place)->peer, peer)) {
        (*place)->peer = *peer;
        node_renew(f, *place, &closing);
    }
    pthread_mutex_unlock(&f->lock);
    close_links(f, closing);
    return status;
}

void fabric_drop_peer(struct fabric *f, uint64_t node)
{
    struct fabric_link *closing = NULL;
    pthread_mutex_lock(&f->lock);
    struct fabric_node **place = node_place(f, node), *n = *place;
    if (n != NULL) {
        *place = n->next;
        n->dropped = true;
        node_renew(f, n, &closing);
        node_unuse(n);
    }
    pthread_mutex_unlock(&f->lock);
    close_links(f, closing);
}

/* ---- connecting ------------------------------------------------------------------------------ */

static bool allows(const struct fabric *f, const struct xcopy_transport *t)
{
    return f->allowed == CENOTE_TRANSPORT_AUTO || t->id == f->allowed;
}

/* Makes room for another one; whether there is more than before. */
static bool close_idle(struct fabric *f)
{
    struct fabric_link *closing = NULL;
    pthread_mutex_lock(&f->lock);
    collect_idle(f, 0, &closing);
    pthread_mutex_unlock(&f->lock);
    bool any = closing != NULL;
    close_links(f, closing);
    return any;
}

/* The first transport that is allowed and connects. What a node says weighs more than that another
 * transport didn't find it. */
static int connect_peer(struct fabric *f, const struct xcopy_peer *peer,
                        const struct xcopy_credentials *who, uint32_t timeout_ms,
                        struct xcopy_channel **out, bool *second_best)
{
    int status = CENOTE_NODE_DOWN;
    *second_best = false;
    for (size_t i = 0; xcopy_transports[i] != NULL; i++) {
        const struct xcopy_transport *t = xcopy_transports[i];
        void *context = registry_context(f->registry, i);
        if (!allows(f, t) || !t->reaches(context, peer))
            continue;
        int rc = t->connect(context, peer, who, timeout_ms, out);
        if (rc == CENOTE_LIMIT && close_idle(f))
            rc = t->connect(context, peer, who, timeout_ms, out);
        /* One that doesn't answer here won't there, and would take as long once more. */
        if (rc == CENOTE_OK || rc == CENOTE_TIMED_OUT)
            return rc;
        log_debug("fabric", "node %llu by %s: %s", (unsigned long long)peer->node, t->name,
                  cenote_status_text(rc));
        *second_best |= rc == CENOTE_NOT_SUPPORTED || rc == CENOTE_NODE_DOWN;
        if (rc != CENOTE_NODE_DOWN && rc != CENOTE_NOT_SUPPORTED)
            status = rc;
    }
    return status;
}

/* Makes a link of a new channel; a shared one is published, unless the node has changed. */
static struct fabric_link *adopt(struct fabric *f, struct fabric_node *n, uint64_t generation,
                                 struct xcopy_channel *channel, bool second_best)
{
    struct fabric_link *link = calloc(1, sizeof *link), *closing = NULL;
    if (link == NULL) {
        channel->transport->disconnect(channel);
        return NULL;
    }
    link->node = n;
    link->channel = channel;
    link->generation = generation;
    link->users = 1;
    link->best_again_ms = second_best ? clock_tick_ms() + SECOND_BEST_MS : UINT64_MAX;
    link->shared = (channel->transport->caps & XCOPY_CAP_SHARED) != 0;
    pthread_mutex_lock(&f->lock);
    n->users++;
    if (link->shared && generation == n->generation) {
        node_unpublish(f, n, &closing);
        node_publish(f, n, link);
    }
    pthread_mutex_unlock(&f->lock);
    close_links(f, closing);
    return link;
}

/* Whoever waited for another one's connecting may find that the node was dropped meanwhile: a link
 * that is made from then on would be the newest there is, and nobody would come to close it. */
static int connect_link(struct fabric *f, struct fabric_node *n, uint32_t timeout_ms,
                        struct fabric_link **out)
{
    struct xcopy_channel *channel;
    bool second_best;
    pthread_mutex_lock(&f->lock);
    struct xcopy_peer peer = n->peer;
    struct xcopy_credentials who = f->who;
    uint64_t generation = n->generation;
    bool dropped = n->dropped;
    pthread_mutex_unlock(&f->lock);
    if (dropped)
        return CENOTE_NODE_DOWN;
    int status = connect_peer(f, &peer, &who, timeout_ms, &channel, &second_best);
    if (status == CENOTE_OK) {
        *out = adopt(f, n, generation, channel, second_best);
        return *out == NULL ? CENOTE_NO_MEMORY : CENOTE_OK;
    }
    n->failed_ms = clock_now_ms();
    n->failure = status;
    return status;
}

bool fabric_may_hold(struct fabric *f, uint64_t node)
{
    bool may = false;
    pthread_mutex_lock(&f->lock);
    const struct fabric_node *n = *node_place(f, node);
    for (size_t i = 0; n != NULL && xcopy_transports[i] != NULL && !may; i++) {
        const struct xcopy_transport *t = xcopy_transports[i];
        may = allows(f, t) && xcopy_holds(t) &&
              t->reaches(registry_context(f->registry, i), &n->peer);
    }
    pthread_mutex_unlock(&f->lock);
    return may || n == NULL;
}

/* ---- lending --------------------------------------------------------------------------------- */

/* An open link, or NULL; under the lock. */
static struct fabric_link *pop_open(struct fabric_node *n)
{
    struct fabric_link *link = n->shared;
    if (link != NULL) {
        link->users++;
        return link;
    }
    link = n->idle;
    if (link != NULL) {
        n->idle = link->next;
        n->idle_count--;
    }
    return link;
}

/* Shared channels look after their node themselves, when something is submitted. */
static bool usable(const struct fabric_link *link)
{
    return link->shared || link->channel->transport->alive(link->channel);
}

static struct fabric_link *take_shared(struct fabric *f, struct fabric_node *n)
{
    pthread_mutex_lock(&f->lock);
    struct fabric_link *link = n->shared;
    if (link != NULL)
        link->users++;
    pthread_mutex_unlock(&f->lock);
    return link;
}

/* An open link of a node that is not dead, or NULL and the node, with one user more. */
static struct fabric_link *take_open(struct fabric *f, uint64_t id, bool open,
                                     struct fabric_node **node)
{
    for (;;) {
        pthread_mutex_lock(&f->lock);
        struct fabric_node *n = *node_place(f, id);
        struct fabric_link *link = n != NULL && open ? pop_open(n) : NULL;
        if (n != NULL && link == NULL)
            n->users++;
        pthread_mutex_unlock(&f->lock);
        *node = n;
        if (link == NULL || usable(link))
            return link;
        fabric_link_give(f, link, true);
    }
}

static int take_new(struct fabric *f, struct fabric_node *n, uint32_t timeout_ms,
                    struct fabric_link **out, bool *reused)
{
    uint64_t began_ms = clock_now_ms();
    int status = CENOTE_OK;
    pthread_mutex_lock(&n->connecting);
    *out = take_shared(f, n);
    *reused = *out != NULL;
    if (*out == NULL && n->failure != CENOTE_OK && n->failed_ms > began_ms)
        status = n->failure;
    else if (*out == NULL)
        status = connect_link(f, n, timeout_ms, out);
    pthread_mutex_unlock(&n->connecting);
    return status;
}

int fabric_link_take(struct fabric *f, uint64_t node, enum fabric_want want, uint32_t timeout_ms,
                     struct fabric_link **out, bool *reused)
{
    struct fabric_node *n;
    int status = CENOTE_NODE_DOWN;
    *out = take_open(f, node, want != FABRIC_CONNECT, &n);
    *reused = *out != NULL;
    if (*reused)
        return CENOTE_OK;
    if (n == NULL)
        return status;
    if (want != FABRIC_OPEN)
        status = take_new(f, n, timeout_ms, out, reused);
    pthread_mutex_lock(&f->lock);
    node_unuse(n);
    pthread_mutex_unlock(&f->lock);
    return status;
}

void fabric_link_give(struct fabric *f, struct fabric_link *link, bool broken)
{
    struct fabric_link *closing = NULL;
    struct fabric_node *n = link->node;
    pthread_mutex_lock(&f->lock);
    uint64_t now_ms = clock_tick_ms();
    broken |= now_ms >= link->best_again_ms; /* as good as */
    if (link->shared) {
        if (broken && n->shared == link)
            node_unpublish(f, n, &closing);
        if (--link->users == 0)
            collect(&closing, link);
    } else if (!broken && link->generation == n->generation && n->idle_count < FABRIC_STREAMS_MAX) {
        link->next = n->idle;
        link->idle_ms = now_ms;
        n->idle = link;
        n->idle_count++;
    } else {
        collect(&closing, link);
    }
    if (now_ms - f->swept_ms >= SWEEP_MS)
        collect_idle(f, IDLE_MS, &closing);
    pthread_mutex_unlock(&f->lock);
    close_links(f, closing);
}

const char *fabric_transport_to(struct fabric *f, uint64_t node, uint32_t timeout_ms)
{
    struct fabric_link *link;
    bool reused;
    if (fabric_link_take(f, node, FABRIC_ANY, timeout_ms, &link, &reused) != CENOTE_OK)
        return NULL;
    const char *name = link->channel->transport->name;
    fabric_link_give(f, link, !link->channel->transport->alive(link->channel));
    return name;
}

struct fabric_link *fabric_door_enter(struct fabric *f, uint64_t node, unsigned *ticket)
{
    *ticket = epoch_enter(f->epoch);
    struct fabric_link *link = atomic_load(door_of(f, node));
    if (link != NULL && link->channel->node == node)
        return link;
    epoch_leave(f->epoch, *ticket);
    return NULL;
}

void fabric_door_leave(struct fabric *f, unsigned ticket)
{
    epoch_leave(f->epoch, ticket);
}

void fabric_close_left(struct fabric *f)
{
    close_links(f, NULL);
}

bool fabric_read_now(struct fabric *f, struct fabric_req *req)
{
    unsigned ticket;
    assert(req->x.op == XCOPY_READ);
    uint64_t pins = registry_pin(f->registry, req, 1);
    struct fabric_link *link = fabric_door_enter(f, req->node, &ticket);
    if (link != NULL) {
        link->channel->transport->submit(link->channel, &req->x);
        assert(req->x.status != XCOPY_IN_PROGRESS);
        fabric_door_leave(f, ticket);
    }
    registry_unpin(f->registry, req, 1, pins);
    return link != NULL;
}
