/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/registry.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "transport/base/log.h"
#include "transport/base/testswitch.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef EHWPOISON
#define EHWPOISON 133
#endif
#define TRANSPORTS_MAX 8u

/*
 * Regions don't overlap and lie in ascending order. One clock counts their beginnings and ends. A
 * transfer's ticket is the time when it began: it has pinned those regions that were there and
 * weren't being dropped. So nobody has to remember them; they are found by address again. A region
 * that is being dropped stays until its users have gone, and gets no new ones.
 */
struct region {
    uint64_t id;         /* the time when it was registered */
    uint64_t dropped_at; /* 0: not yet */
    uintptr_t begin, end;
    size_t users;
    void *handles[TRANSPORTS_MAX];
};

struct registry {
    const struct xcopy_transport *const *transports;
    void *contexts[TRANSPORTS_MAX];
    pthread_mutex_t lock;
    pthread_cond_t unpinned;
    uint64_t clock;
    _Atomic size_t count;
    struct region *regions[CENOTE_BUFFERS_MAX];
};

/* ---- transports ------------------------------------------------------------------------------ */

static size_t transport_count(const struct registry *r)
{
    size_t n = 0;
    while (n < TRANSPORTS_MAX && r->transports[n] != NULL)
        n++;
    return n;
}

static void close_contexts(const struct registry *r, size_t opened)
{
    while (opened-- > 0)
        if (r->transports[opened]->open != NULL)
            r->transports[opened]->close(r->contexts[opened]);
}

static int open_contexts(struct registry *r, const struct xcopy_settings *settings)
{
    size_t count = transport_count(r);
    for (size_t i = 0; i < count; i++) {
        int status = CENOTE_OK;
        if (r->transports[i]->open != NULL)
            status = r->transports[i]->open(settings, &r->contexts[i]);
        if (status != CENOTE_OK) {
            close_contexts(r, i);
            return status;
        }
    }
    return CENOTE_OK;
}

int registry_new(const struct xcopy_transport *const *transports,
                 const struct xcopy_settings *settings, struct registry **out)
{
    struct registry *r = calloc(1, sizeof *r);

    if (r == NULL)
        return CENOTE_NO_MEMORY;
    r->transports = transports;
    int status = open_contexts(r, settings);
    if (status != CENOTE_OK) {
        free(r);
        return status;
    }
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->unpinned, NULL);
    *out = r;
    return CENOTE_OK;
}

void *registry_context(const struct registry *r, size_t i)
{
    return r->contexts[i];
}

const char *registry_report(const struct registry *r, size_t i, struct xcopy_report *out)
{
    size_t count = transport_count(r);
    for (size_t at = 0; at < count; at++) {
        const struct xcopy_transport *t = r->transports[at];
        if (t->report == NULL || i-- > 0)
            continue;
        *out = (struct xcopy_report){0};
        t->report(r->contexts[at], out);
        return t->name;
    }
    return NULL;
}

static void forget(const struct registry *r, struct region *g, size_t told)
{
    while (told-- > 0)
        if (r->transports[told]->register_memory != NULL)
            r->transports[told]->forget_memory(r->contexts[told], g->handles[told]);
}

static int tell(const struct registry *r, struct region *g, enum memory_kind kind)
{
    size_t count = transport_count(r);
    for (size_t i = 0; i < count; i++) {
        int status = CENOTE_OK;
        if (r->transports[i]->register_memory != NULL)
            status = r->transports[i]->register_memory(r->contexts[i], (void *)g->begin,
                                                       g->end - g->begin, kind, &g->handles[i]);
        if (status != CENOTE_OK) {
            forget(r, g, i);
            return status;
        }
    }
    return CENOTE_OK;
}

void registry_free(struct registry *r)
{
    for (size_t i = 0; i < r->count; i++) {
        forget(r, r->regions[i], transport_count(r));
        free(r->regions[i]);
    }
    close_contexts(r, transport_count(r));
    pthread_cond_destroy(&r->unpinned);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

void registry_abandon(struct registry *r)
{
    if (pthread_mutex_trylock(&r->lock) != 0)
        return; /* another thread was in the middle of a change, and doesn't exist here */
    for (size_t i = 0; i < r->count; i++)
        free(r->regions[i]);
    for (size_t i = 0; i < transport_count(r); i++)
        if (r->transports[i]->open != NULL)
            r->transports[i]->abandon_context(r->contexts[i]);
    free(r);
}

/* ---- looking at memory ----------------------------------------------------------------------- */

/* Is all of it mapped for reading and writing? The kernel's list is in ascending order. */
static int check_mapped(uintptr_t begin, uintptr_t end)
{
    FILE *f = fopen("/proc/self/maps", "re");
    unsigned long from, to;
    char mode[5];

    if (f == NULL)
        return errno == ENOMEM || errno == EMFILE || errno == ENFILE ? CENOTE_NO_MEMORY
                                                                     : CENOTE_NOT_SUPPORTED;
    while (begin < end && fscanf(f, "%lx-%lx %4s%*[^\n]", &from, &to, mode) == 3) {
        if (to <= begin)
            continue;
        if (from > begin || strncmp(mode, "rw", 2) != 0)
            break;
        begin = to;
    }
    fclose(f);
    return begin < end ? CENOTE_BAD_ADDRESS : CENOTE_OK;
}

/* Kernels before 5.14 don't know how, and of some memory none does: then it's left to transfers. */
static int populate(uintptr_t begin, uintptr_t end)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), first = begin / page * page;

    if (madvise((void *)first, end - first, MADV_POPULATE_WRITE) == 0)
        return CENOTE_OK;
    switch (errno) {
    case ENOMEM:
        return CENOTE_NO_MEMORY;
    case EFAULT:
    case EHWPOISON:
        return CENOTE_BAD_ADDRESS;
    default:
        return CENOTE_OK;
    }
}

/* ---- the table; all under the lock ----------------------------------------------------------- */

/* The first region that ends behind this address; count: none. */
static size_t place_of(const struct registry *r, uintptr_t addr)
{
    size_t low = 0, high = r->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (r->regions[middle]->end > addr)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static struct region *region_around(const struct registry *r, uintptr_t begin, size_t len_bytes)
{
    size_t i = place_of(r, begin);
    struct region *g = i < r->count ? r->regions[i] : NULL;

    return g != NULL && g->begin <= begin && len_bytes <= g->end - begin ? g : NULL;
}

static int insert(struct registry *r, struct region *g)
{
    size_t i = place_of(r, g->begin), count = r->count;

    if (i < count && r->regions[i]->begin < g->end)
        return CENOTE_INVALID;
    if (count == CENOTE_BUFFERS_MAX)
        return CENOTE_LIMIT;
    memmove(&r->regions[i + 1], &r->regions[i], (count - i) * sizeof r->regions[0]);
    r->regions[i] = g;
    g->id = ++r->clock;
    atomic_store(&r->count, count + 1);
    return CENOTE_OK;
}

static void take_out(struct registry *r, const struct region *g)
{
    size_t i = place_of(r, g->begin), count = r->count;

    memmove(&r->regions[i], &r->regions[i + 1], (count - i - 1) * sizeof r->regions[0]);
    atomic_store(&r->count, count - 1);
}

/* ---- registering ----------------------------------------------------------------------------- */

int registry_add(struct registry *r, void *addr, size_t len_bytes, enum memory_kind kind,
                 uint64_t *id)
{
    uintptr_t begin = (uintptr_t)addr, end = begin + len_bytes;
    struct region *g;
    int status;

    if (kind != MEMORY_HOST)
        return CENOTE_NOT_SUPPORTED;
    if (len_bytes == 0)
        return CENOTE_INVALID;
    status = end < begin ? CENOTE_BAD_ADDRESS : check_mapped(begin, end);
    if (status == CENOTE_OK)
        status = populate(begin, end);
    if (status != CENOTE_OK)
        return status;
    g = calloc(1, sizeof *g);
    if (g == NULL)
        return CENOTE_NO_MEMORY;
    g->begin = begin;
    g->end = end;
    status = tell(r, g, kind);
    if (status != CENOTE_OK)
        goto free_region;
    pthread_mutex_lock(&r->lock);
    status = insert(r, g);
    if (status == CENOTE_OK)
        *id = g->id;
    pthread_mutex_unlock(&r->lock);
    if (status == CENOTE_OK)
        return CENOTE_OK;
    forget(r, g, transport_count(r));
free_region:
    free(g);
    return status;
}

int registry_drop(struct registry *r, uint64_t id)
{
    struct region *g = NULL;

    pthread_mutex_lock(&r->lock);
    for (size_t i = 0; i < r->count && g == NULL; i++)
        if (r->regions[i]->id == id && r->regions[i]->dropped_at == 0)
            g = r->regions[i];
    if (g != NULL) {
        g->dropped_at = ++r->clock;
        while (g->users > 0 && !test_off(TEST_PIN))
            pthread_cond_wait(&r->unpinned, &r->lock);
        take_out(r, g);
    }
    pthread_mutex_unlock(&r->lock);
    if (g == NULL)
        return CENOTE_INVALID;
    forget(r, g, transport_count(r));
    free(g);
    return CENOTE_OK;
}

/* ---- pinning --------------------------------------------------------------------------------- */

static bool pinned_by(const struct region *g, uint64_t ticket)
{
    return g->id <= ticket && (g->dropped_at == 0 || g->dropped_at > ticket);
}

/* Adds to the users of each registration that a request uses, once for each piece in it. */
static void change_users(struct registry *r, const struct xcopy_req *x, uint64_t ticket, int change)
{
    struct xcopy_cursor cursor = xcopy_cursor_of(&x->local);
    uint64_t left = x->len_bytes;
    uint8_t *part;

    for (size_t n; left > 0 && (n = xcopy_cursor_next(&cursor, (size_t)left, &part)) > 0;
         left -= n) {
        struct region *g = region_around(r, (uintptr_t)part, n);
        if (g == NULL || !pinned_by(g, ticket))
            continue;
        g->users += (size_t)change;
        if (g->users == 0 && g->dropped_at != 0)
            pthread_cond_broadcast(&r->unpinned);
    }
}

uint64_t registry_pin(struct registry *r, const struct fabric_req *reqs, size_t count)
{
    if (atomic_load_explicit(&r->count, memory_order_relaxed) == 0)
        return 0;
    pthread_mutex_lock(&r->lock);
    uint64_t ticket = r->clock;
    for (size_t i = 0; i < count; i++)
        change_users(r, &reqs[i].x, ticket, 1);
    pthread_mutex_unlock(&r->lock);
    return ticket;
}

void registry_unpin(struct registry *r, const struct fabric_req *reqs, size_t count,
                    uint64_t ticket)
{
    if (ticket == 0)
        return;
    pthread_mutex_lock(&r->lock);
    for (size_t i = 0; i < count; i++)
        change_users(r, &reqs[i].x, ticket, -1);
    pthread_mutex_unlock(&r->lock);
}
