/* SPDX-License-Identifier: Apache-2.0 */
#include "client/locate.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "transport/base/log.h"

#define MODULE "locate"

struct place {
    struct gva gva;
    uint64_t len_bytes;
    struct location at;
};

/* One copy of the map. */
struct chart {
    struct place *places; /* ascending by address */
    struct map_node *nodes;
    uint32_t place_count, node_count;
    uint64_t version;
};

struct locate {
    pthread_rwlock_t lock;
    struct chart chart;
    char host[TEXT_MAX];
};

/* The lock is taken for reading through handles to const. */
static pthread_rwlock_t *lock_of(const struct locate *l)
{
    return (pthread_rwlock_t *)(uintptr_t)&l->lock;
}

struct locate *locate_new(const char *host)
{
    struct locate *l = calloc(1, sizeof *l);

    if (!l)
        return NULL;
    if (pthread_rwlock_init(&l->lock, NULL) != 0) {
        free(l);
        return NULL;
    }
    if (strlen(host) < sizeof l->host)
        strcpy(l->host, host);
    return l;
}

static void chart_free(struct chart *c)
{
    free(c->places);
    free(c->nodes);
}

void locate_free(struct locate *l)
{
    if (!l)
        return;
    /* In a forked child a thread of the parent may hold it for ever, in the middle of a change. */
    if (pthread_rwlock_trywrlock(&l->lock) != 0)
        return;
    pthread_rwlock_unlock(&l->lock);
    chart_free(&l->chart);
    pthread_rwlock_destroy(&l->lock);
    free(l);
}

/* The last place that begins at or before the address, or NULL. */
static const struct place *place_before(const struct chart *c, struct gva gva)
{
    uint32_t low = 0, high = c->place_count;

    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (c->places[mid].gva.v <= gva.v)
            low = mid + 1;
        else
            high = mid;
    }
    return low > 0 ? &c->places[low - 1] : NULL;
}

bool locate_find(const struct locate *l, struct gva gva, uint64_t len_bytes, struct location *out)
{
    bool found = false;

    pthread_rwlock_rdlock(lock_of(l));
    const struct place *p = place_before(&l->chart, gva);
    if (p && gva_covers(p->gva, p->len_bytes, gva, len_bytes)) {
        *out = p->at;
        found = true;
    }
    pthread_rwlock_unlock(lock_of(l));
    return found;
}

void locate_ask(const struct locate *l, struct wire_buf *request)
{
    pthread_rwlock_rdlock(lock_of(l));
    uint64_t version = l->chart.version;
    pthread_rwlock_unlock(lock_of(l));

    wire_put_request(request, 0, METHOD_MAP);
    wire_put_array(request, 1);
    wire_put_uint(request, version);
}

void locate_forget_version(struct locate *l)
{
    pthread_rwlock_wrlock(&l->lock);
    l->chart.version = 0;
    pthread_rwlock_unlock(&l->lock);
}

static const struct map_node *chart_node(const struct chart *c, uint64_t node)
{
    for (uint32_t i = 0; i < c->node_count; i++) {
        if (c->nodes[i].node == node)
            return &c->nodes[i];
    }
    return NULL;
}

static int read_nodes(struct wire_value list, struct chart *c)
{
    uint32_t count;

    if (!wire_array(list, &count))
        return CENOTE_PROTOCOL;
    c->nodes = calloc((size_t)count + 1, sizeof *c->nodes);
    if (!c->nodes)
        return CENOTE_NO_MEMORY;
    for (; c->node_count < count; c->node_count++) {
        if (!map_node_get(wire_at(list, c->node_count), &c->nodes[c->node_count]))
            return CENOTE_PROTOCOL;
    }
    return CENOTE_OK;
}

static int by_address(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    return x->gva.v < y->gva.v ? -1 : x->gva.v > y->gva.v;
}

static int read_places(const struct locate *l, struct wire_value list, struct chart *c)
{
    uint32_t count;

    if (!wire_array(list, &count))
        return CENOTE_PROTOCOL;
    c->places = calloc((size_t)count + 1, sizeof *c->places);
    if (!c->places)
        return CENOTE_NO_MEMORY;
    for (uint32_t i = 0; i < count; i++) {
        struct map_range r;
        if (!map_range_get(wire_at(list, i), &r) || !gva_valid(r.gva))
            return CENOTE_PROTOCOL;
        const struct map_node *n = chart_node(c, r.node);
        if (!n || n->state == NODE_DEAD)
            continue;
        c->places[c->place_count++] =
            (struct place){.gva = r.gva,
                           .len_bytes = r.len_bytes,
                           .at = {.node = r.node,
                                  .incarnation = r.incarnation,
                                  .local = l->host[0] != '\0' && strcmp(n->host, l->host) == 0}};
    }
    qsort(c->places, c->place_count, sizeof *c->places, by_address);
    return CENOTE_OK;
}

static void tell_watch(const struct chart *old, const struct chart *fresh,
                       const struct locate_watch *watch)
{
    for (uint32_t i = 0; i < fresh->node_count; i++) {
        if (fresh->nodes[i].state != NODE_DEAD)
            watch->known(watch->arg, &fresh->nodes[i]);
    }
    for (uint32_t i = 0; i < old->node_count; i++) {
        const struct map_node *n = chart_node(fresh, old->nodes[i].node);
        if (!n || n->state == NODE_DEAD)
            watch->gone(watch->arg, old->nodes[i].node);
    }
}

/* Peers are made known before anyone can find them in the map. */
static void chart_swap(struct locate *l, struct chart *fresh, const struct locate_watch *watch)
{
    tell_watch(&l->chart, fresh, watch);
    pthread_rwlock_wrlock(&l->lock);
    struct chart old = l->chart;
    l->chart = *fresh;
    pthread_rwlock_unlock(&l->lock);
    chart_free(&old);
}

int locate_update(struct locate *l, struct wire_value result, const struct locate_watch *watch)
{
    struct chart fresh = {0};
    uint32_t fields;
    int status = CENOTE_PROTOCOL;

    if (!wire_array(result, &fields) || !wire_uint(wire_at(result, 0), &fresh.version))
        goto broken;
    if (fields == 1) { /* ours is the newest */
        pthread_rwlock_wrlock(&l->lock);
        pthread_rwlock_unlock(&l->lock);
        return CENOTE_OK;
    }
    status = read_nodes(wire_at(result, 1), &fresh);
    if (status == CENOTE_OK)
        status = read_places(l, wire_at(result, 2), &fresh);
    if (status != CENOTE_OK)
        goto broken;
    chart_swap(l, &fresh, watch);
    return CENOTE_OK;

broken:
    log_error(MODULE, "map not taken: %s", cenote_status_text(status));
    chart_free(&fresh);
    return status;
}

void locate_nodes(const struct locate *l,
                  void (*fn)(void *arg, const struct map_node *nodes, uint32_t count), void *arg)
{
    pthread_rwlock_rdlock(lock_of(l));
    fn(arg, l->chart.nodes, l->chart.node_count);
    pthread_rwlock_unlock(lock_of(l));
}
