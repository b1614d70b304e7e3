/* SPDX-License-Identifier: Apache-2.0 */
#include "client/locate.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "transport/base/epoch.h"
#include "transport/base/log.h"

#define MODULE "locate"

struct place {
    struct gva gva;
    uint64_t len_bytes;
    struct location at;
};

/* One copy of the map; it doesn't change any more once it can be found. */
struct chart {
    struct place *places; /* ascending by address */
    struct map_node *nodes;
    uint32_t place_count, node_count;
};

/*
 * Every get looks here, so nobody who looks takes a lock: readers enter the epoch and use the
 * chart that they find. A change puts another chart in its place, waits until the readers of the
 * old one have left (they are there for a search, no more), and frees it.
 */
struct locate {
    struct epoch *epoch;
    _Atomic(struct chart *) chart; /* never NULL */
    _Atomic uint64_t version;      /* of the newest chart; 0: it is not to be named */
    char host[TEXT_MAX];
};

struct locate *locate_new(const char *host)
{
    struct locate *l = calloc(1, sizeof *l);
    struct chart *blank = calloc(1, sizeof *blank);

    if (!l || !blank)
        goto free_both;
    l->epoch = epoch_new();
    if (!l->epoch)
        goto free_both;
    atomic_init(&l->chart, blank);
    if (strlen(host) < sizeof l->host)
        strcpy(l->host, host);
    return l;

free_both:
    free(blank);
    free(l);
    return NULL;
}

static void chart_free(struct chart *c)
{
    free(c->places);
    free(c->nodes);
    free(c);
}

void locate_free(struct locate *l)
{
    if (!l)
        return;
    chart_free(atomic_load(&l->chart));
    epoch_free(l->epoch);
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
    unsigned ticket = epoch_enter(l->epoch);
    const struct place *p = place_before(atomic_load(&l->chart), gva);
    bool found = p && gva_covers(p->gva, p->len_bytes, gva, len_bytes);

    if (found)
        *out = p->at;
    epoch_leave(l->epoch, ticket);
    return found;
}

void locate_ask(const struct locate *l, struct wire_buf *request)
{
    wire_put_request(request, 0, METHOD_MAP);
    wire_put_array(request, 1);
    wire_put_uint(request, atomic_load(&l->version));
}

void locate_forget_version(struct locate *l)
{
    atomic_store(&l->version, 0);
}

static const struct map_node *chart_node(const struct chart *c, uint64_t node)
{
    for (uint32_t i = 0; i < c->node_count; i++) {
        if (c->nodes[i].node == node)
            return &c->nodes[i];
    }
    return NULL;
}

bool locate_node(const struct locate *l, uint64_t node, struct map_node *out)
{
    unsigned ticket = epoch_enter(l->epoch);
    const struct map_node *n = chart_node(atomic_load(&l->chart), node);
    bool found = n != NULL;

    if (found)
        *out = *n;
    epoch_leave(l->epoch, ticket);
    return found;
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

static int tell_known(const struct chart *fresh, const struct locate_watch *watch)
{
    int status = CENOTE_OK;
    for (uint32_t i = 0; i < fresh->node_count && status == CENOTE_OK; i++)
        if (fresh->nodes[i].state != NODE_DEAD)
            status = watch->known(watch->arg, &fresh->nodes[i]);
    return status;
}

static void tell_gone(const struct chart *old, const struct chart *fresh,
                      const struct locate_watch *watch)
{
    for (uint32_t i = 0; i < old->node_count; i++) {
        const struct map_node *n = chart_node(fresh, old->nodes[i].node);
        if (!n || n->state == NODE_DEAD)
            watch->gone(watch->arg, old->nodes[i].node);
    }
}

/* Peers are made known before anyone can find them in the map. */
static int chart_swap(struct locate *l, struct chart *fresh, uint64_t version,
                      const struct locate_watch *watch)
{
    int status = tell_known(fresh, watch);
    if (status != CENOTE_OK)
        return status;
    tell_gone(atomic_load(&l->chart), fresh, watch);
    struct chart *old = atomic_exchange(&l->chart, fresh);
    atomic_store(&l->version, version);
    epoch_wait(l->epoch, epoch_mark(l->epoch));
    chart_free(old);
    return CENOTE_OK;
}

int locate_update(struct locate *l, struct wire_value result, const struct locate_watch *watch)
{
    struct chart *fresh = NULL;
    uint64_t version;
    uint32_t fields;
    int status = CENOTE_PROTOCOL;

    if (!wire_array(result, &fields) || !wire_uint(wire_at(result, 0), &version))
        goto broken;
    if (fields == 1) /* ours is the newest */
        return CENOTE_OK;
    fresh = calloc(1, sizeof *fresh);
    status = fresh ? read_nodes(wire_at(result, 1), fresh) : CENOTE_NO_MEMORY;
    if (status == CENOTE_OK)
        status = read_places(l, wire_at(result, 2), fresh);
    if (status == CENOTE_OK)
        status = chart_swap(l, fresh, version, watch);
    if (status == CENOTE_OK)
        return CENOTE_OK;

broken:
    log_error(MODULE, "map not taken: %s", cenote_status_text(status));
    if (fresh)
        chart_free(fresh);
    return status;
}

void locate_nodes(const struct locate *l,
                  void (*fn)(void *arg, const struct map_node *nodes, uint32_t count), void *arg)
{
    unsigned ticket = epoch_enter(l->epoch);
    const struct chart *c = atomic_load(&l->chart);
    fn(arg, c->nodes, c->node_count);
    epoch_leave(l->epoch, ticket);
}
