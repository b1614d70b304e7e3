/* SPDX-License-Identifier: Apache-2.0 */
#include "server/roles/node_memory.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "server/memory/machine.h"
#include "transport/base/log.h"
#include "transport/base/trace.h"

/* From one try to offer more memory to the next. */
#define POPULATE_AGAIN_MIN_MS 500u
#define POPULATE_AGAIN_MAX_MS 30000u

static_assert(MEMDIR_POOL_BYTES == sizeof(struct hash128), "a pool's name");

struct node_memory {
    struct node_memory_options options;
    const struct memory_ops *ops;
    struct memory segments[SEGMENTS_MAX];
    uint32_t made;
    bool kept;
    struct memdir_state state; /* as it was taken over */
    struct directory *directory;
    int directory_file; /* -1: it has no name */
    struct node *node;
    pthread_t populator;
    unsigned trace_populate; /* a point */
    pthread_mutex_t lock;
    pthread_cond_t ends;
    bool ending; /* under the lock */
};

/* ---- what goes together ---------------------------------------------------------------------- */

static bool is_reserved(enum memory_pages pages)
{
    return pages == MEMORY_PAGES_2M || pages == MEMORY_PAGES_1G;
}

static int check_named_pages(struct node_memory_options *o)
{
    uint64_t page = memdir_page_bytes(o->memdir);
    if (page == 0 && is_reserved(o->pages)) {
        log_error("node", "--memory-dir must name a hugetlbfs of such pages for --huge-pages");
        return CENOTE_INVALID;
    }
    if (page == 0)
        return CENOTE_OK;
    enum memory_pages pages =
        page == memory_page_bytes(MEMORY_PAGES_2M) ? MEMORY_PAGES_2M : MEMORY_PAGES_1G;
    if (page != memory_page_bytes(pages) || (o->pages != MEMORY_PAGES_THP && o->pages != pages)) {
        log_error("node", "--memory-dir is a hugetlbfs of pages of %llu KiB, --huge-pages another",
                  (unsigned long long)(page >> 10));
        return CENOTE_INVALID;
    }
    o->pages = pages;
    return CENOTE_OK;
}

int node_memory_check(struct node_memory_options *o)
{
    int status = o->memdir ? check_named_pages(o) : CENOTE_OK;
    uint64_t page = memory_page_bytes(o->pages), total = 0;
    struct machine_memory m;
    for (uint32_t i = 0; i < o->count && status == CENOTE_OK; i++) {
        total += o->lens_bytes[i];
        if (!is_reserved(o->pages) || o->lens_bytes[i] % page == 0)
            continue;
        log_error("node", "--dram: %llu bytes are no multiple of huge pages of %llu KiB",
                  (unsigned long long)o->lens_bytes[i], (unsigned long long)(page >> 10));
        status = CENOTE_INVALID;
    }
    machine_memory(&m);
    if (status == CENOTE_OK && total > m.total_bytes) {
        log_error("node", "--dram asks for %llu MiB, this machine has %llu MiB",
                  (unsigned long long)(total >> 20), (unsigned long long)(m.total_bytes >> 20));
        status = CENOTE_NO_MEMORY;
    }
    return status;
}

/* ---- making ---------------------------------------------------------------------------------- */

static int make_segment(struct node_memory *m, uint32_t i)
{
    const struct node_memory_options *o = &m->options;
    struct memory_how how = {.pages = o->pages,
                             .bound = o->numa_node >= 0,
                             .numa_node = o->numa_node >= 0 ? (unsigned)o->numa_node : 0,
                             .named = o->memdir != NULL};
    if (how.named) {
        how.file = memdir_segment(o->memdir, i);
        if (how.file < 0)
            return how.file;
    }
    int status = m->ops->make(o->lens_bytes[i], &how, &m->segments[i]);
    if (status != CENOTE_OK && how.named)
        close(how.file);
    return status;
}

static int find_files(struct node_memory *m, bool keep)
{
    const struct node_memory_options *o = &m->options;
    if (!o->memdir)
        return CENOTE_OK;
    int status = CENOTE_NOT_FOUND;
    if (keep)
        status = memdir_recall(o->memdir, o->lens_bytes, o->count, &m->state);
    m->kept = status == CENOTE_OK;
    return status == CENOTE_NOT_FOUND ? memdir_renew(o->memdir, o->lens_bytes, o->count) : status;
}

static uint64_t directory_limit(const struct node_memory_options *o)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < o->count; i++)
        total += o->lens_bytes[i];
    return total > DIRECTORY_BYTES_MIN ? total : DIRECTORY_BYTES_MIN;
}

/* Touching what the machine doesn't have would bring on the kernel's OOM killer. */
static bool is_spare(void *arg, uint64_t bytes)
{
    struct machine_memory machine;
    (void)arg;
    machine_memory(&machine);
    return machine.available_bytes >= bytes + MEMORY_STEP_BYTES;
}

/* A directory that can't be taken over is begun anew: the service knows what belongs there. */
static int make_directory(struct node_memory *m)
{
    struct directory_range ranges[SEGMENTS_MAX];
    uint32_t count = m->kept ? m->made : 0;
    for (uint32_t i = 0; i < count; i++)
        ranges[i] =
            (struct directory_range){m->state.segments[i].gva, m->state.segments[i].len_bytes};
    if (m->options.memdir) {
        m->directory_file = memdir_directory(m->options.memdir);
        if (m->directory_file < 0)
            return m->directory_file;
    }
    int status = directory_open(m->directory_file, directory_limit(&m->options), ranges, count,
                                &m->directory);
    if (status == CENOTE_OK)
        directory_ask(m->directory, is_spare, NULL);
    return status;
}

static void lock_make(struct node_memory *m)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&m->lock, NULL);
    pthread_cond_init(&m->ends, &attr);
    pthread_condattr_destroy(&attr);
}

int node_memory_make(const struct node_memory_options *o, bool keep, struct node_memory **out)
{
    struct node_memory *m = calloc(1, sizeof *m);
    if (!m)
        return CENOTE_NO_MEMORY;
    m->options = *o;
    m->ops = memory_ops_of(MEMORY_HOST);
    m->directory_file = -1;
    lock_make(m);
    int status = find_files(m, keep);
    while (status == CENOTE_OK && m->made < o->count) {
        status = make_segment(m, m->made);
        if (status == CENOTE_OK)
            m->made++;
    }
    if (status == CENOTE_OK)
        status = make_directory(m);
    if (status == CENOTE_OK)
        *out = m;
    else
        node_memory_free(m);
    return status;
}

void node_memory_free(struct node_memory *m)
{
    for (uint32_t i = 0; i < m->made; i++)
        m->ops->destroy(&m->segments[i]);
    directory_close(m->directory);
    if (m->directory_file >= 0)
        close(m->directory_file);
    pthread_cond_destroy(&m->ends);
    pthread_mutex_destroy(&m->lock);
    free(m);
}

bool node_memory_kept(const struct node_memory *m)
{
    return m->kept;
}

uint64_t node_memory_reign(const struct node_memory *m, uint64_t *life)
{
    *life = m->state.service_life;
    return m->state.highest_reign;
}

int node_memory_give(const struct node_memory *m, struct node *n)
{
    struct hash128 pool;
    void *notes;
    size_t len;
    int status = CENOTE_OK;
    node_set_directory(n, m->directory);
    for (uint32_t i = 0; i < m->made; i++) {
        const struct memdir_segment *s = &m->state.segments[i];
        node_add_memory(n, &m->segments[i]);
        if (!m->kept)
            continue;
        node_take_over(n, i, s->incarnation, s->gva);
        node_set_populated(n, i, s->populated_bytes);
    }
    if (!m->kept)
        return CENOTE_OK;
    memcpy(&pool, m->state.pool, sizeof pool);
    node_take_over_pool(n, &pool);
    if (memdir_notes(m->options.memdir, &notes, &len)) {
        status = node_take_over_notes(n, notes, len);
        free(notes);
    }
    return status;
}

/* ---- populating ------------------------------------------------------------------------------ */

/* Touching what the machine doesn't have would not fail but bring on the kernel's OOM killer. Pages
 * that were set aside are there, and so are those of an earlier life. */
static bool is_available(const struct node_memory *m, uint64_t bytes)
{
    struct machine_memory machine;
    if (is_reserved(m->options.pages))
        return true;
    machine_memory(&machine);
    uint64_t available = machine.available_bytes;
    if (m->options.numa_node >= 0) {
        uint64_t of_node = machine_numa_available((unsigned)m->options.numa_node);
        available = of_node < available ? of_node : available;
    }
    return bytes <= available;
}

static int populate_step(struct node_memory *m, uint32_t i, uint64_t at, uint64_t len)
{
    bool there = at + len <= m->state.segments[i].populated_bytes;
    if (!there && !is_available(m, len + MEMORY_STEP_BYTES))
        return CENOTE_NO_MEMORY;
    int status = m->ops->populate(&m->segments[i], at, len);
    if (status != CENOTE_OK || there)
        return status;
    if (m->options.memdir)
        status = memdir_set_populated(m->options.memdir, i, at + len);
    if (status == CENOTE_OK)
        node_set_populated(m->node, i, at + len);
    return status;
}

/* Waits so long, or until it is to end, which it tells. */
static bool ends_in(struct node_memory *m, uint32_t ms)
{
    struct timespec until;
    int rc = 0;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += (long)(ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&m->lock);
    while (!m->ending && ms > 0 && rc == 0)
        rc = pthread_cond_timedwait(&m->ends, &m->lock, &until);
    bool ends = m->ending;
    pthread_mutex_unlock(&m->lock);
    return ends;
}

/* What isn't there now may be there in a moment: a node whose machine was short for once offered
 * less for all its life. False: it is to end. */
static bool populate_segment(struct node_memory *m, uint32_t i)
{
    uint64_t end = m->segments[i].len_bytes, done = 0;
    uint32_t again_ms = 0;
    while (done < end) {
        uint64_t step = end - done < MEMORY_STEP_BYTES ? end - done : MEMORY_STEP_BYTES;
        uint64_t traced_ns = trace_begin(node_trace(m->node), m->trace_populate);
        int status = populate_step(m, i, done, step);
        trace_end(node_trace(m->node), m->trace_populate, traced_ns, step);
        if (status == CENOTE_OK) {
            done += step;
            again_ms = 0;
        } else if (again_ms == 0) {
            log_warn("node", "segment %u: %llu MiB of %llu MiB can be offered, trying again: %s",
                     (unsigned)i, (unsigned long long)(done >> 20), (unsigned long long)(end >> 20),
                     cenote_status_text(status));
            again_ms = POPULATE_AGAIN_MIN_MS;
        } else if (again_ms < POPULATE_AGAIN_MAX_MS) {
            again_ms *= 2;
        }
        if (ends_in(m, again_ms))
            return false;
    }
    return true;
}

static void *populate(void *arg)
{
    struct node_memory *m = arg;
    uint32_t i = 0;
    while (i < m->made && populate_segment(m, i))
        i++;
    return NULL;
}

int node_memory_populate_start(struct node_memory *m, struct node *n)
{
    m->node = n;
    m->trace_populate = trace_point(node_trace(n), "node", "populate");
    return pthread_create(&m->populator, NULL, populate, m) == 0 ? CENOTE_OK : CENOTE_NO_MEMORY;
}

void node_memory_populate_stop(struct node_memory *m)
{
    pthread_mutex_lock(&m->lock);
    m->ending = true;
    pthread_cond_signal(&m->ends);
    pthread_mutex_unlock(&m->lock);
    pthread_join(m->populator, NULL);
}

/* ---- what is written down -------------------------------------------------------------------- */

void node_memory_joined(struct node_memory *m, const struct node *n)
{
    struct memdir_state state = {.highest_reign = node_highest_reign(n),
                                 .service_life = node_service_life(n),
                                 .segment_count = m->made};
    struct hash128 pool = node_pool(n);
    if (!m->options.memdir)
        return;
    memcpy(state.pool, &pool, sizeof pool);
    for (uint32_t i = 0; i < m->made; i++) {
        state.segments[i].incarnation = node_segment_at(n, i)->incarnation;
        state.segments[i].gva = node_segment_at(n, i)->gva;
    }
    if (memdir_name(m->options.memdir, &state) != CENOTE_OK)
        log_warn("node", "if this process is killed, its values are lost");
}

int node_memory_noted(struct node_memory *m, const struct node *n)
{
    const struct wire_buf *notes = node_notes_of(n);
    return m->options.memdir ? memdir_note(m->options.memdir, notes->data, notes->len) : CENOTE_OK;
}

void node_memory_discard(struct node_memory *m)
{
    if (m->options.memdir)
        memdir_clear(m->options.memdir);
}
