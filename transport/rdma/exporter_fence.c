/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "transport/base/log.h"
#include "transport/base/testswitch.h"
#include "transport/rdma/exporter.h"

/* Ends the session's queue pairs of role write (session 0: of all); exporter.h tells why that is
 * enough. Those of role read live on. Their clients hear of it at once, instead of waiting for
 * packets to time out. */
static void end_writers(struct exporter *e, uint64_t session)
{
    for (struct exporter_connection *c = e->connections; c != NULL; c = c->next) {
        if (c->queue_count == 0 || (session != 0 && c->who.session != session))
            continue;
        struct exporter_queue *next;
        for (struct exporter_queue *q = c->queues; q != NULL; q = next) {
            next = q->next; /* a stuck one leaves the list */
            if (q->role != RDMA_ROLE_WRITE || q->ended)
                continue;
            if (exporter_queue_end(c, q))
                atomic_fetch_add(&e->devices->fenced, 1);
        }
        exporter_connection_kick(c);
    }
}

static bool has_stuck_writer(const struct exporter *e, uint64_t session)
{
    for (const struct exporter_queue *q = e->stuck; q != NULL; q = q->next)
        if ((session == 0 || q->session == session) && q->role == RDMA_ROLE_WRITE)
            return true;
    return false;
}

static void finish(struct exporter_fence *f)
{
    f->done(f->arg);
    free(f);
}

void exporter_fence_run(struct exporter *e, struct exporter_fence *f)
{
    end_writers(e, f->session);
    if (!has_stuck_writer(e, f->session)) {
        finish(f);
        return;
    }
    log_error("rdma",
              "the fence of session %llu up to %llu stays open: a queue pair can't be "
              "destroyed",
              (unsigned long long)f->session, (unsigned long long)f->horizon);
    f->next = e->fences;
    e->fences = f;
}

void exporter_fences_retry(struct exporter *e)
{
    struct exporter_fence **at = &e->fences;
    while (*at != NULL) {
        struct exporter_fence *f = *at;
        if (has_stuck_writer(e, f->session)) {
            at = &f->next;
            continue;
        }
        *at = f->next;
        finish(f);
    }
}

static void drop_all(struct exporter_fence *f)
{
    for (struct exporter_fence *next; f != NULL; f = next) {
        next = f->next;
        free(f);
    }
}

void exporter_fences_drop(struct exporter *e)
{
    drop_all(e->fences);
    drop_all(e->mail.fences);
    e->fences = e->mail.fences = NULL;
}

void exporter_fence(struct xcopy_exporter *exporter, uint64_t session, uint64_t horizon,
                    void (*done)(void *arg), void *arg)
{
    struct exporter *e = (struct exporter *)exporter;
    if (test_off(TEST_FENCE)) {
        done(arg);
        return;
    }
    struct exporter_fence *f = calloc(1, sizeof *f);
    if (f == NULL) {
        log_error("rdma", "no memory for a fence of session %llu: it stays open",
                  (unsigned long long)session);
        return;
    }
    *f = (struct exporter_fence){.session = session, .horizon = horizon, .done = done, .arg = arg};
    pthread_mutex_lock(&e->mail.lock);
    *e->mail.fences_end = f;
    e->mail.fences_end = &f->next;
    pthread_mutex_unlock(&e->mail.lock);
    exporter_wake(e);
}
