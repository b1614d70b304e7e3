/* SPDX-License-Identifier: Apache-2.0 */
/* The node's queue pairs: made for a client, ended, and those whose end fails. */
#include <stdlib.h>

#include "transport/base/log.h"
#include "transport/rdma/exporter.h"

/* ---- the list of a connection ---------------------------------------------------------------- */

static void list(struct exporter_connection *c, struct exporter_queue *q)
{
    q->next = c->queues;
    c->queues = q;
    c->queue_count++;
}

static void unlist(struct exporter_connection *c, const struct exporter_queue *q)
{
    struct exporter_queue **at = &c->queues;
    while (*at != q)
        at = &(*at)->next;
    *at = q->next;
    c->queue_count--;
}

struct exporter_queue *exporter_queue_find(const struct exporter_connection *c, uint32_t tag)
{
    struct exporter_queue *q = c->queues;
    while (q != NULL && q->tag != tag)
        q = q->next;
    return q;
}

/* ---- made ------------------------------------------------------------------------------------ */

static uint32_t count_of_session(const struct exporter *e, uint64_t session)
{
    uint32_t count = 0;
    for (const struct exporter_connection *c = e->connections; c != NULL; c = c->next)
        if (c->who.session == session)
            count += c->queue_count;
    return count;
}

static int check_limits(const struct exporter_connection *c)
{
    if (c->queue_count < SETUP_QUEUES_MAX &&
        count_of_session(c->exporter, c->who.session) < EXPORTER_SESSION_QUEUES_MAX)
        return CENOTE_OK;
    log_warn("rdma",
             "session %llu is refused a queue pair: a connection has %u at most, a session "
             "%u",
             (unsigned long long)c->who.session, SETUP_QUEUES_MAX, EXPORTER_SESSION_QUEUES_MAX);
    return CENOTE_LIMIT;
}

/* It may still let its client in: it is kept until it can be destroyed. */
static void keep_stuck(struct exporter *e, struct exporter_queue *q)
{
    rdma_queue_fail(&q->queue); /* what can be done */
    q->next = e->stuck;
    e->stuck = q;
}

static bool end_queue(const struct exporter *e, struct exporter_queue *q)
{
    uint64_t traced_ns = trace_begin(e->trace, e->trace_close);
    bool ended = rdma_queue_end(&q->queue);
    trace_end(e->trace, e->trace_close, traced_ns, q->session);
    return ended;
}

static bool destroy_or_keep(struct exporter *e, struct exporter_queue *q)
{
    bool destroyed = end_queue(e, q);
    if (!destroyed)
        keep_stuck(e, q);
    return destroyed;
}

static int make(const struct exporter *e, const struct setup_open *open, struct rdma_queue *out)
{
    if (open->port >= e->devices->rail_count) {
        log_warn("rdma", "a client asks for port %u: there are %u", open->port,
                 e->devices->rail_count);
        return CENOTE_INVALID;
    }
    struct rdma_port *port = &e->devices->rails[open->port];
    if (!rdma_port_is_up(port))
        return CENOTE_NODE_DOWN; /* by another port, then */
    int status = rdma_queue_make(out, e->devices, port, e->cqs[port->device->index], RDMA_SIDE_NODE,
                                 open->role);
    if (status != CENOTE_OK)
        return status;
    return rdma_queue_connect(out, RDMA_SIDE_NODE, &open->end, &open->from);
}

/* NULL: *status says why. */
static struct exporter_queue *make_queue(const struct exporter_connection *c,
                                         const struct setup_open *open, int *status)
{
    *status = check_limits(c);
    if (*status != CENOTE_OK)
        return NULL;
    struct exporter_queue *q = calloc(1, sizeof *q);
    if (q == NULL) {
        log_error("rdma", "no memory for a queue pair");
        *status = CENOTE_NO_MEMORY;
        return NULL;
    }
    q->session = c->who.session;
    q->tag = open->tag;
    q->role = open->role;
    *status = make(c->exporter, open, &q->queue);
    if (*status == CENOTE_OK)
        return q;
    if (destroy_or_keep(c->exporter, q))
        free(q);
    return NULL;
}

void exporter_queue_open(struct exporter_connection *c, const struct setup_open *open,
                         struct setup_opened *out)
{
    struct exporter *e = c->exporter;
    *out = (struct setup_opened){.tag = open->tag, .keys = e->keys};
    uint64_t traced_ns = trace_begin(e->trace, e->trace_open);
    struct exporter_queue *q = make_queue(c, open, &out->status);
    trace_end(e->trace, e->trace_open, traced_ns, c->who.session);
    if (q == NULL)
        return;
    list(c, q); /* before the horizon is read: see exporter.h */
    if (q->role == RDMA_ROLE_WRITE)
        out->horizon = e->gate.horizon(e->gate.arg, q->session);
    rdma_queue_describe(&q->queue, &out->end);
    out->key_count = exporter_keys_list(e, q->queue.port->device->index, q->role);
}

/* ---- ended ----------------------------------------------------------------------------------- */

bool exporter_queue_end(struct exporter_connection *c, struct exporter_queue *q)
{
    if (end_queue(c->exporter, q)) {
        q->ended = true;
        c->due = true;
        return true;
    }
    unlist(c, q);
    keep_stuck(c->exporter, q);
    c->broken = true;
    return false;
}

void exporter_queue_forget(struct exporter_connection *c, struct exporter_queue *q)
{
    unlist(c, q);
    free(q);
}

void exporter_queues_drop(struct exporter_connection *c)
{
    struct exporter_queue *next;
    for (struct exporter_queue *q = c->queues; q != NULL; q = next) {
        next = q->next;
        if (destroy_or_keep(c->exporter, q))
            free(q);
    }
    c->queues = NULL;
    c->queue_count = 0;
}

void exporter_queues_end_lost(struct exporter *e)
{
    for (struct exporter_connection *c = e->connections; c != NULL; c = c->next) {
        struct exporter_queue *next;
        for (struct exporter_queue *q = c->queues; q != NULL; q = next) {
            next = q->next;
            if (!q->ended && atomic_load(&q->queue.port->device->lost))
                exporter_queue_end(c, q);
        }
        if (c->due || c->broken)
            exporter_connection_kick(c);
    }
}

void exporter_queues_retry(struct exporter *e)
{
    struct exporter_queue **at = &e->stuck;
    while (*at != NULL) {
        struct exporter_queue *q = *at;
        if (!end_queue(e, q)) {
            at = &q->next;
            continue;
        }
        log_info("rdma", "a queue pair of session %llu has been destroyed at last",
                 (unsigned long long)q->session);
        *at = q->next;
        free(q);
    }
}

void exporter_queues_leave(struct exporter *e)
{
    exporter_queues_retry(e);
    for (struct exporter_queue *q = e->stuck, *next; q != NULL; q = next) {
        next = q->next;
        log_error("rdma",
                  "a queue pair of session %llu can't be destroyed: it ends with its device",
                  (unsigned long long)q->session);
        free(q);
    }
    e->stuck = NULL;
}
