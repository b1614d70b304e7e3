/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store's handle and its two threads.
 *
 *   owner    submit: copies the change, and gathers; hand over: moves what gathered into the queue;
 *            dispatch: calls done() of the finished
 *   writer   takes what is queued, makes one transaction of it, moves it to the finished; meanwhile
 *            the next group queues (group commit)
 *   flusher  STORE_PROCESS only: syncs some time after a commit, beside the writer
 *
 * A sync that fails leaves unknown what the disk holds (the kernel may drop the pages that it
 * couldn't write), so the store is broken then: it still reads, every later change fails. So it is
 * when LMDB has given up, after it couldn't write its page of the newest commit.
 */
#include "meta/store/lmdb.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <cenote/status.h>

#include "meta/store/db.h"
#include "meta/store/dir.h"
#include "transport/base/clock.h"
#include "transport/base/log.h"

/* Of one transaction: bounds the latency of those that come next, and what a retry repeats. */
#define GROUP_MAX_CHANGES 1024u
#define GROUP_MAX_BYTES   (4u << 20)
/* Refusals that can be told although memory has run out. */
#define SPARES            256u

struct store_lmdb {
    struct store base; /* first: the public handle */
    struct dir dir;
    struct db *db;
    enum store_durability durability;
    uint32_t flush_ms;
    int event_fd;

    bool gathers;
    struct change_room room;     /* owner */
    struct change_list gathered; /* owner: not handed over */
    uint32_t gathered_count;
    uint64_t in_flight, in_flight_bytes; /* owner: submitted, not dispatched */
    struct change_list spares;           /* owner: of no bytes; kept for refusals */
    uint32_t spare_count;

    _Atomic uint64_t used_bytes, commits, changes;
    struct metric_histogram group_sizes, durations; /* the writer's */
    struct trace *trace;
    unsigned trace_queue, trace_commit;
    atomic_bool broken;

    pthread_t writer, flusher;
    pthread_cond_t work, unsynced; /* wake the writer, the flusher */
    pthread_mutex_t lock;          /* of what follows */
    struct change_list queue, finished;
    uint64_t queued_ns; /* traced: since when something is in the queue */
    bool dirty;         /* committed, and no sync begun since */
    bool stop;
};

static struct store_lmdb *lmdb_of(const struct store *s)
{
    return (struct store_lmdb *)(uintptr_t)s;
}

/* ---- writer --------------------------------------------------------------------------------- */

/* The first of what the writer has taken. */
static struct change_list group_cut(struct change_list *taken)
{
    struct change_list group = {0};
    for (uint32_t n = 0; n < GROUP_MAX_CHANGES && group.size_bytes < GROUP_MAX_BYTES; n++) {
        struct change *c = change_pop(taken);
        if (!c)
            break;
        change_append(&group, c);
    }
    return group;
}

static void store_break(struct store_lmdb *s)
{
    if (!atomic_exchange(&s->broken, true))
        log_error("store", "%s: takes no more changes, until the service is started again",
                  s->dir.path);
}

static void group_break(struct change *first)
{
    for (struct change *c = first; c; c = c->next)
        if (!c->refused)
            c->status = CENOTE_IO;
}

/* With STORE_PROCESS, earlier commits are synced on their own first: should the group's own sync
 * fail, it is the group alone that is lost. */
static void group_commit(struct store_lmdb *s, struct change *first)
{
    struct db_counts counts = {0};
    bool synced = s->durability == STORE_SYNC;
    for (struct change *c = first; c && !synced; c = c->next)
        synced = c->sync;
    if (synced && s->durability == STORE_PROCESS && db_sync(s->db) != CENOTE_OK)
        store_break(s);
    if (atomic_load(&s->broken)) {
        group_break(first);
        return;
    }
    uint64_t begun_ns = clock_now_ns(), traced_ns = trace_begin(s->trace, s->trace_commit);
    db_commit(s->db, first, synced, &counts);
    trace_end(s->trace, s->trace_commit, traced_ns, counts.changes);
    metric_observe_ns(&s->durations, clock_now_ns() - begun_ns);
    metric_observe(&s->group_sizes, counts.changes);
    if (db_broken(s->db))
        store_break(s);
    atomic_store(&s->used_bytes, db_used_bytes(s->db));
    atomic_fetch_add(&s->commits, counts.commits);
    atomic_fetch_add(&s->changes, counts.changes);
}

static void owner_wake(struct store_lmdb *s)
{
    uint64_t one = 1;
    ssize_t n = write(s->event_fd, &one, sizeof(one));
    assert(n == sizeof(one));
}

static void *writer_run(void *arg)
{
    struct store_lmdb *s = arg;
    struct change_list taken = {0};
    pthread_mutex_lock(&s->lock);
    for (;;) {
        while (!taken.first && !s->queue.first && !s->stop)
            pthread_cond_wait(&s->work, &s->lock);
        change_splice(&taken, &s->queue);
        if (!taken.first)
            break;
        trace_end_overlapping(s->trace, s->trace_queue, s->queued_ns, 0);
        s->queued_ns = 0;
        pthread_mutex_unlock(&s->lock);
        struct change_list group = group_cut(&taken);
        group_commit(s, group.first);
        pthread_mutex_lock(&s->lock);
        if (!s->finished.first)
            owner_wake(s);
        change_splice(&s->finished, &group);
        if (!s->dirty && s->durability == STORE_PROCESS) {
            s->dirty = true;
            pthread_cond_signal(&s->unsynced);
        }
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* ---- flusher -------------------------------------------------------------------------------- */

static struct timespec deadline_after(uint32_t ms)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += ms / 1000;
    t.tv_nsec += (long)(ms % 1000) * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_nsec -= 1000000000;
        t.tv_sec++;
    }
    return t;
}

/* False: the store closes, which syncs by itself. */
static bool flush_due(struct store_lmdb *s)
{
    while (!s->dirty && !s->stop)
        pthread_cond_wait(&s->unsynced, &s->lock);
    struct timespec deadline = deadline_after(s->flush_ms);
    int rc = 0;
    while (!s->stop && rc != ETIMEDOUT)
        rc = pthread_cond_timedwait(&s->unsynced, &s->lock, &deadline);
    return !s->stop;
}

static void *flusher_run(void *arg)
{
    struct store_lmdb *s = arg;
    pthread_mutex_lock(&s->lock);
    while (flush_due(s)) {
        s->dirty = false;
        pthread_mutex_unlock(&s->lock);
        if (!atomic_load(&s->broken) && db_sync(s->db) != CENOTE_OK)
            store_break(s);
        pthread_mutex_lock(&s->lock);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* ---- owner ---------------------------------------------------------------------------------- */

static bool spares_fill(struct store_lmdb *s)
{
    while (s->spare_count < SPARES) {
        struct change *c = calloc(1, sizeof(*c));
        if (!c)
            return false;
        change_append(&s->spares, c);
        s->spare_count++;
    }
    return true;
}

/* done() must not be called from inside submit, so that a refusal takes its place in the queue. */
static struct change *refusal(struct store_lmdb *s, const struct store_change *change, int status)
{
    struct change *c = malloc(sizeof(*c));
    if (!c) {
        c = change_pop(&s->spares);
        assert(c); /* memory has run out SPARES times without one dispatch */
        s->spare_count--;
    }
    change_refuse(c, change, status);
    return c;
}

static void hand_over(struct store_lmdb *s)
{
    if (!s->gathered.first)
        return;
    pthread_mutex_lock(&s->lock);
    bool idle = !s->queue.first;
    if (idle)
        s->queued_ns = trace_begin(s->trace, s->trace_queue);
    change_splice(&s->queue, &s->gathered);
    pthread_mutex_unlock(&s->lock);
    s->gathered_count = 0;
    if (idle)
        pthread_cond_signal(&s->work);
}

void store_lmdb_hand_over(struct store *base)
{
    db_forget(lmdb_of(base)->db);
    hand_over(lmdb_of(base));
}

static void store_submit(struct store *base, const struct store_change *change)
{
    struct store_lmdb *s = lmdb_of(base);
    struct change *c;
    assert(change->done);
    if (!change->frees && s->in_flight_bytes + change_size(change) > STORE_QUEUE_MAX_BYTES)
        c = refusal(s, change, CENOTE_META_FULL);
    else if (!(c = change_copy(&s->room, change)))
        c = refusal(s, change, CENOTE_IO);
    s->in_flight++;
    s->in_flight_bytes += c->size_bytes;
    change_append(&s->gathered, c);
    if (!s->gathers || ++s->gathered_count >= STORE_GATHER_MAX)
        hand_over(s);
}

static int store_get(struct store *base, enum store_tree tree, const void *key, uint32_t key_len,
                     const void **value, uint32_t *value_len)
{
    struct store_lmdb *s = lmdb_of(base);
    int status = db_get(s->db, tree, key, key_len, value, value_len);
    if (!s->gathers)
        db_forget(s->db);
    return status;
}

static int store_scan(struct store *base, enum store_tree tree, const void *from, uint32_t from_len,
                      bool (*each)(void *arg, const void *key, uint32_t key_len, const void *value,
                                   uint32_t value_len),
                      void *arg)
{
    return db_scan(lmdb_of(base)->db, tree, from, from_len, each, arg);
}

static void store_usage_get(struct store *base, struct store_usage *out)
{
    struct store_lmdb *s = lmdb_of(base);
    *out = (struct store_usage){
        .used_bytes = atomic_load(&s->used_bytes),
        .limit_bytes = db_limit_bytes(s->db),
        .commits = atomic_load(&s->commits),
        .changes = atomic_load(&s->changes),
        .group_sizes = &s->group_sizes,
        .durations = &s->durations,
    };
}

static const struct store_ops ops = {
    .submit = store_submit,
    .get = store_get,
    .scan = store_scan,
    .usage = store_usage_get,
};

int store_lmdb_fd(const struct store *base)
{
    return lmdb_of(base)->event_fd;
}

void store_lmdb_dispatch(struct store *base)
{
    struct store_lmdb *s = lmdb_of(base);
    uint64_t wakes;
    pthread_mutex_lock(&s->lock);
    struct change_list finished = s->finished;
    s->finished = (struct change_list){0};
    ssize_t n = read(s->event_fd, &wakes, sizeof(wakes));
    pthread_mutex_unlock(&s->lock);
    assert(n == sizeof(wakes) || errno == EAGAIN);

    struct change *c;
    db_forget(s->db);
    while ((c = change_pop(&finished))) {
        assert(s->in_flight > 0 && s->in_flight_bytes >= c->size_bytes);
        s->in_flight--;
        s->in_flight_bytes -= c->size_bytes;
        c->done(c->arg, c->status);
        change_free(&s->room, c);
    }
    spares_fill(s);
}

/* ---- opening and closing -------------------------------------------------------------------- */

static int sync_init(struct store_lmdb *s)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->work, NULL);
    pthread_cond_init(&s->unsynced, &attr);
    pthread_condattr_destroy(&attr);
    s->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (s->event_fd >= 0)
        return CENOTE_OK;
    log_error("store", "eventfd: %s", strerror(errno));
    return CENOTE_IO;
}

static void sync_destroy(struct store_lmdb *s)
{
    if (s->event_fd >= 0)
        close(s->event_fd);
    pthread_cond_destroy(&s->unsynced);
    pthread_cond_destroy(&s->work);
    pthread_mutex_destroy(&s->lock);
}

static void threads_stop(struct store_lmdb *s, bool writer, bool flusher)
{
    pthread_mutex_lock(&s->lock);
    s->stop = true;
    pthread_cond_signal(&s->work);
    pthread_cond_signal(&s->unsynced);
    pthread_mutex_unlock(&s->lock);
    if (writer)
        pthread_join(s->writer, NULL);
    if (flusher)
        pthread_join(s->flusher, NULL);
}

/* Signals are for the owner's threads. */
static int threads_start(struct store_lmdb *s)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&s->writer, NULL, writer_run, s);
    bool writer = rc == 0;
    if (rc == 0 && s->durability == STORE_PROCESS)
        rc = pthread_create(&s->flusher, NULL, flusher_run, s);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc == 0)
        return CENOTE_OK;
    log_error("store", "pthread_create: %s", strerror(rc));
    threads_stop(s, writer, false);
    return CENOTE_NO_MEMORY;
}

static void store_free(struct store_lmdb *s)
{
    struct change *c;
    while ((c = change_pop(&s->spares)))
        free(c);
    change_room_free(&s->room);
    sync_destroy(s);
    free(s);
}

/* The directory is noted as open before the first change, and as new until its trees are made. */
static int files_open(struct store_lmdb *s, const char *path,
                      const struct store_lmdb_options *options)
{
    uint64_t map = options->map_size_bytes ? options->map_size_bytes : STORE_MAP_DEFAULT_BYTES;
    if (map < STORE_MAP_MIN_BYTES) {
        log_error("store", "%s: a map of %llu bytes is too small", path, (unsigned long long)map);
        return CENOTE_INVALID;
    }
    int rc = dir_open(&s->dir, path, options);
    if (rc != CENOTE_OK)
        return rc;
    rc = db_open(path, map, s->dir.phase == DIR_NEW, &s->db);
    if (rc != CENOTE_OK)
        goto close_dir;
    rc = dir_note(&s->dir, DIR_OPEN);
    if (rc != CENOTE_OK)
        goto close_db;
    s->used_bytes = db_used_bytes(s->db);
    return CENOTE_OK;
close_db:
    db_close(s->db);
close_dir:
    dir_close(&s->dir);
    return rc;
}

int store_lmdb_open(const char *path, const struct store_lmdb_options *options, struct store **out)
{
    struct store_lmdb *s = calloc(1, sizeof(*s));
    if (!s)
        return CENOTE_NO_MEMORY;
    s->base.ops = &ops;
    s->durability = options->durability;
    s->gathers = options->gathers;
    s->trace = options->trace;
    s->trace_queue = trace_point(s->trace, "store", "queue");
    s->trace_commit = trace_point(s->trace, "store", "commit");
    s->flush_ms = options->flush_ms ? options->flush_ms : STORE_FLUSH_DEFAULT_MS;
    int rc = sync_init(s);
    if (rc == CENOTE_OK && !spares_fill(s))
        rc = CENOTE_NO_MEMORY;
    if (rc == CENOTE_OK)
        rc = files_open(s, path, options);
    if (rc != CENOTE_OK)
        goto free_store;
    rc = threads_start(s);
    if (rc != CENOTE_OK)
        goto close_files;
    *out = &s->base;
    return CENOTE_OK;
close_files:
    db_close(s->db);
    dir_close(&s->dir);
free_store:
    store_free(s);
    return rc;
}

/* Nobody else touches the store now. */
void store_lmdb_drain(struct store *base)
{
    struct store_lmdb *s = lmdb_of(base);
    struct pollfd p = {.fd = s->event_fd, .events = POLLIN};
    while (s->in_flight > 0) {
        hand_over(s);
        poll(&p, 1, -1);
        store_lmdb_dispatch(&s->base);
    }
}

void store_lmdb_close(struct store *base)
{
    if (!base)
        return;
    struct store_lmdb *s = lmdb_of(base);
    store_lmdb_drain(base);
    threads_stop(s, true, s->durability == STORE_PROCESS);
    if (!atomic_load(&s->broken) && db_sync(s->db) == CENOTE_OK)
        dir_note(&s->dir, DIR_CLEAN);
    db_close(s->db);
    dir_close(&s->dir);
    store_free(s);
}
