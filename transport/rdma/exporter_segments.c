/* SPDX-License-Identifier: Apache-2.0 */
/* Segments become registered memory, on a thread of their own: exporter.h tells why. */
#include "transport/base/clock.h"
#include "transport/base/log.h"
#include "transport/rdma/exporter.h"

void exporter_segments_init(struct exporter_segments *all)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&all->changed, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&all->lock, NULL);
    all->patience_ms = EXPORTER_PATIENCE_MS;
}

static void free_segment(struct exporter_segment *s)
{
    rdma_region_free(s->readable);
    rdma_region_free(s->writable);
}

void exporter_segments_free(struct exporter *e)
{
    for (uint32_t i = 0; i < atomic_load(&e->segments.count); i++)
        free_segment(&e->segments.at[i]);
}

bool exporter_segments_ready(const struct exporter *e)
{
    return atomic_load(&e->segments.count) == atomic_load(&e->segments.given);
}

/* ---- what becomes of them; under the lock ---------------------------------------------------- */

/* Sets one of the mail's flags, and wakes the exporter's thread. */
static void leave_word(struct exporter *e, bool *flag)
{
    pthread_mutex_lock(&e->mail.lock);
    *flag = true;
    pthread_mutex_unlock(&e->mail.lock);
    exporter_wake(e);
}

static void succeed(struct exporter *e)
{
    atomic_fetch_add(&e->segments.count, 1);
    leave_word(e, &e->mail.segment_added);
    pthread_cond_broadcast(&e->segments.changed);
}

/* Clients are sent elsewhere for good. */
static void fail(struct exporter *e, const struct xcopy_segment *x, int status)
{
    if (e->segments.failure != CENOTE_OK)
        return;
    log_error("rdma",
              "a segment of %llu bytes can't be served: %s; clients are sent to other transports",
              (unsigned long long)x->memory.len_bytes, cenote_status_text(status));
    e->segments.failure = status;
    leave_word(e, &e->mail.withdrawn);
    pthread_cond_broadcast(&e->segments.changed);
}

static void say_served(const struct exporter_segments *all, uint64_t began_ms)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < atomic_load(&all->count); i++)
        bytes += all->at[i].x.memory.len_bytes;
    log_info("rdma", "%llu bytes are served by RDMA, after %.1f s of registering",
             (unsigned long long)bytes, (double)(clock_now_ms() - began_ms) / 1000);
}

/* ---- the thread ------------------------------------------------------------------------------ */

/* Twice: a key that lets READs through must not let a WRITE through. */
static int register_segment(const struct exporter *e, struct exporter_segment *s)
{
    const struct memory *m = &s->x.memory;
    struct rdma_region_how how = {.access = RDMA_ACCESS_REMOTE_READ,
                                  .dmabuf_fd = m->kind == MEMORY_HOST ? -1 : m->fd,
                                  .log_limit = true,
                                  .given_up = &e->segments.ending};
    int status = rdma_region_make_as(e->devices, m->base, m->len_bytes, &how, &s->readable);
    if (status != CENOTE_OK)
        return status;
    how.access = RDMA_ACCESS_REMOTE_WRITE;
    status = rdma_region_make_as(e->devices, m->base, m->len_bytes, &how, &s->writable);
    if (status != CENOTE_OK)
        rdma_region_free(s->readable);
    return status;
}

static int take_segment(struct exporter *e, struct exporter_segment *s)
{
    int status = register_segment(e, s);
    if (status != CENOTE_OK)
        return status;
    uint32_t pieces = rdma_region_pieces(s->readable);
    if (pieces > SETUP_KEYS_MAX - e->segments.pieces) {
        log_error("rdma", "the segments have more than %u pieces: no more can be served",
                  SETUP_KEYS_MAX);
        free_segment(s);
        return CENOTE_NO_MEMORY;
    }
    e->segments.pieces += pieces;
    return CENOTE_OK;
}

/* The next one that waits; NULL: none, or none any more. */
static struct exporter_segment *next_segment(struct exporter_segments *all)
{
    if (atomic_load(&all->count) == atomic_load(&all->given) || all->failure != CENOTE_OK ||
        atomic_load(&all->ending))
        return NULL;
    return &all->at[atomic_load(&all->count)];
}

static void *thread_main(void *arg)
{
    struct exporter *e = arg;
    struct exporter_segments *all = &e->segments;
    struct exporter_segment *s;
    uint64_t began_ms = clock_now_ms();

    pthread_mutex_lock(&all->lock);
    while ((s = next_segment(all)) != NULL) {
        pthread_mutex_unlock(&all->lock);
        uint64_t traced_ns = trace_begin(e->trace, e->trace_register);
        int status = take_segment(e, s);
        trace_end(e->trace, e->trace_register, traced_ns, s->x.memory.len_bytes);
        pthread_mutex_lock(&all->lock);
        if (status == CENOTE_OK)
            succeed(e);
        else if (status != CENOTE_CANCELLED)
            fail(e, &s->x, status);
    }
    if (exporter_segments_ready(e))
        say_served(all, began_ms);
    all->busy = false;
    pthread_mutex_unlock(&all->lock);
    return NULL;
}

/* Under the lock. One that has ended has nothing left to do but to return. */
static int start_thread(struct exporter *e)
{
    struct exporter_segments *all = &e->segments;
    if (all->busy)
        return CENOTE_OK;
    if (all->joinable)
        pthread_join(all->thread, NULL);
    all->joinable = pthread_create(&all->thread, NULL, thread_main, e) == 0;
    if (!all->joinable) {
        log_error("rdma", "cannot start a thread");
        return CENOTE_NO_MEMORY;
    }
    all->busy = true;
    clock_gettime(CLOCK_MONOTONIC, &all->patience_end);
    all->patience_end.tv_sec += all->patience_ms / 1000;
    all->patience_end.tv_nsec += (long)(all->patience_ms % 1000) * 1000000;
    if (all->patience_end.tv_nsec >= 1000000000) {
        all->patience_end.tv_nsec -= 1000000000;
        all->patience_end.tv_sec++;
    }
    return CENOTE_OK;
}

void exporter_segments_stop(struct exporter *e)
{
    struct exporter_segments *all = &e->segments;
    atomic_store(&all->ending, true);
    if (all->joinable)
        pthread_join(all->thread, NULL);
    all->joinable = false;
}

/* ---- adding ---------------------------------------------------------------------------------- */

/* Under the lock. */
static int give(struct exporter *e, const struct xcopy_segment *x)
{
    struct exporter_segments *all = &e->segments;
    uint32_t given = atomic_load(&all->given);
    if (given == XCOPY_SEGMENTS_MAX) {
        log_error("rdma", "there are %u segments: no more can be served", given);
        return CENOTE_LIMIT;
    }
    all->at[given] = (struct exporter_segment){.x = *x};
    atomic_store(&all->given, given + 1);
    return start_thread(e);
}

/* Under the lock. */
static void await(struct exporter *e, uint32_t mine)
{
    struct exporter_segments *all = &e->segments;
    int error = 0;
    while (error == 0 && all->failure == CENOTE_OK && atomic_load(&all->count) <= mine)
        error = pthread_cond_timedwait(&all->changed, &all->lock, &all->patience_end);
    if (all->failure != CENOTE_OK || atomic_load(&all->count) > mine)
        return;
    if (atomic_load(&all->count) == mine)
        log_info("rdma", "registering goes on: clients take other transports meanwhile");
    leave_word(e, &e->mail.behind);
}

/* CENOTE_NO_MEMORY whatever it is that the devices don't like: the log says what. */
int exporter_segment_add(struct exporter *e, const struct xcopy_segment *segment)
{
    struct exporter_segments *all = &e->segments;
    pthread_mutex_lock(&all->lock);
    uint32_t mine = atomic_load(&all->given);
    if (all->failure == CENOTE_OK) {
        int status = give(e, segment);
        if (status == CENOTE_OK)
            await(e, mine);
        else
            fail(e, segment, status);
    }
    int failure = all->failure;
    pthread_mutex_unlock(&all->lock);
    return failure == CENOTE_OK || failure == CENOTE_LIMIT ? failure : CENOTE_NO_MEMORY;
}
