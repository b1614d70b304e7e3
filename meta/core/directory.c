/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/core/directory.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "meta/core/core.h"
#include "meta/core/objects.h"
#include "transport/base/log.h"

#define HINTS_FIRST   1024u
/* Records that a walk steps over before it seeks. */
#define WALK_PAST_MAX 32u

/* ---- hints ----------------------------------------------------------------------------------- */

static bool make_room(struct node_directory *d)
{
    uint32_t room = d->room == 0 ? HINTS_FIRST : d->room * 2;
    if (d->count < d->room)
        return true;
    if (room > DIRECTORY_HINTS_MAX)
        return false;
    struct directory_hint *hints = malloc(room * sizeof(*hints));
    if (hints == NULL)
        return false;
    for (uint32_t i = 0; i < d->count; i++)
        hints[i] = d->hints[(d->first + i) & (d->room - 1)];
    free(d->hints);
    d->hints = hints;
    d->room = room;
    d->first = 0;
    return true;
}

static bool push(struct node_directory *d, uint32_t ref, uint32_t piece)
{
    if (!make_room(d))
        return false;
    d->hints[(d->first + d->count++) & (d->room - 1)] = (struct directory_hint){ref, piece};
    return true;
}

static const struct directory_hint *hint_at(const struct node_directory *d, uint32_t i)
{
    return &d->hints[(d->first + i) & (d->room - 1)];
}

static void consume(struct node_directory *d, uint32_t count)
{
    assert(count <= d->count);
    d->count -= count;
    d->first = d->room == 0 ? 0 : (d->first + count) & (d->room - 1);
    d->list_left -= count < d->list_left ? count : d->list_left;
}

static struct incarnation *incarnation_of(const struct core *c, const struct piece *p)
{
    return piece_there(p) ? members_find(c, p->gva, p->payload_len) : NULL;
}

void directory_committed(struct core *c, struct object *o)
{
    for (uint32_t i = 0; i < object_extents(o); i++) {
        const struct piece *p = object_piece(o, i);
        struct incarnation *in = incarnation_of(c, p);
        if (in == NULL)
            continue;
        directory_sum_add(&in->directory, p->gva, o->put_id);
        struct node_directory *d = &in->node->directory;
        if (!d->kept || push(d, o->ref, i))
            continue;
        d->missed = true;
        d->equal = false;
    }
}

void directory_changed(struct core *c, struct object *o)
{
    for (uint32_t i = 0; i < object_extents(o); i++) {
        struct incarnation *in = incarnation_of(c, object_piece(o, i));
        struct node_directory *d = in != NULL ? &in->node->directory : NULL;
        if (d != NULL && d->kept && !push(d, o->ref, i))
            d->missed = true;
    }
}

void directory_recovered(struct core *c, struct object *o)
{
    for (uint32_t i = 0; i < object_extents(o); i++) {
        const struct piece *p = object_piece(o, i);
        struct incarnation *in = incarnation_of(c, p);
        if (in != NULL)
            directory_sum_add(&in->directory, p->gva, o->put_id);
    }
}

void directory_retired(struct core *c, struct object *o)
{
    for (uint32_t i = 0; i < object_extents(o); i++) {
        const struct piece *p = object_piece(o, i);
        struct incarnation *in = incarnation_of(c, p);
        if (in != NULL)
            directory_sum_take(&in->directory, p->gva, o->put_id);
    }
}

/* ---- the sums -------------------------------------------------------------------------------- */

static struct directory_sum wanted_sum(const struct node *n)
{
    struct directory_sum sum = {0};
    for (uint32_t i = 0; i < n->segment_count; i++) {
        sum.entries += n->segments[i]->directory.entries;
        sum.digest += n->segments[i]->directory.digest;
    }
    return sum;
}

uint64_t directory_extents(const struct node *n)
{
    return wanted_sum(n).entries;
}

uint64_t directory_lag(const struct node *n)
{
    const struct node_directory *d = &n->directory;
    uint64_t extents = directory_extents(n), lag = d->count;
    if (!d->kept)
        return extents;
    if (d->equal)
        return lag;
    if (extents > d->told.entries && extents - d->told.entries > lag)
        lag = extents - d->told.entries;
    return lag > 0 ? lag : 1;
}

/* Is nothing on its way to the node that changes its directory? */
static bool is_quiet(const struct node *n)
{
    const struct node_directory *d = &n->directory;
    for (uint32_t i = 0; i < n->segment_count; i++)
        if (!list_empty(&n->segments[i]->voids) || !list_empty(&n->segments[i]->voiding))
            return false;
    return !n->void_in_flight && !d->in_flight && d->count == 0 && d->list == LIST_NONE;
}

static void begin_list(struct core *c, struct node *n)
{
    struct node_directory *d = &n->directory;
    log_info("meta", "node %s is told all of its directory: it has %llu entries of %llu", n->name,
             (unsigned long long)d->told.entries, (unsigned long long)directory_extents(n));
    d->list = LIST_DUE;
    d->list_at = 0;
    d->missed = false;
    d->list_ms = c->now_ms + DIRECTORY_LIST_PAUSE_MS;
}

static void compare(struct core *c, struct node *n)
{
    struct node_directory *d = &n->directory;
    struct directory_sum sum = wanted_sum(n);
    if (!d->kept || !is_quiet(n) || rebuild_under_way(&c->rebuild))
        return;
    d->equal = sum.entries == d->told.entries && sum.digest == d->told.digest;
    if (!d->equal && c->now_ms >= d->list_ms)
        begin_list(c, n);
}

/* ---- a call ---------------------------------------------------------------------------------- */

/* An entry is made of the table, and of the record for what isn't there. */
static bool make_entry(const struct core *c, uint64_t put_id, const struct record *r, uint32_t at,
                       uint8_t kept[KEPT_MAX], struct directory_entry *e)
{
    const struct space *space = spaces_by_id(c, r->name_space);
    if (space == NULL || r->state != OBJECT_COMMITTED || at >= r->stripes * r->replicas)
        return false;
    struct piece p = record_piece(r, at);
    *e = (struct directory_entry){.gva = p.gva,
                                  .payload_len = p.payload_len,
                                  .put_id = put_id,
                                  .name_space = r->name_space,
                                  .key = r->key,
                                  .key_len = r->key_len,
                                  .key_hash = r->key_hash,
                                  .len_bytes = r->len_bytes,
                                  .sum_kind = r->sum_kind,
                                  .created_ms = r->created_ms,
                                  .flags = r->replace ? DIRECTORY_REPLACE : 0,
                                  .stripe = at / r->replicas,
                                  .stripes = r->stripes,
                                  .replicas = r->replicas,
                                  .root = p.root,
                                  .kept = kept,
                                  .kept_len = kept_encode(&r->kept, kept)};
    memcpy(e->space_name, space->name, sizeof(e->space_name));
    for (uint32_t i = 0; i < e->stripe; i++)
        e->offset += record_piece(r, i * r->replicas).payload_len;
    return true;
}

struct walk {
    const struct core *core;
    const struct directory_wanted *wanted;
    uint32_t at, count; /* of the wanted */
    uint32_t past;
    uint32_t entries;
    struct wire_buf *out;
};

static void walk_record(struct walk *w, uint64_t put_id, const void *value, uint32_t value_len)
{
    struct record r;
    bool good = record_decode(value, value_len, &r) == CENOTE_OK;
    for (; w->at < w->count && w->wanted[w->at].put_id == put_id; w->at++) {
        struct directory_entry e;
        uint8_t kept[KEPT_MAX];
        if (!good || !make_entry(w->core, put_id, &r, w->wanted[w->at].piece, kept, &e))
            continue;
        directory_entry_put(w->out, &e);
        w->entries++;
    }
}

static bool walk_each(void *arg, const void *key, uint32_t key_len, const void *value,
                      uint32_t value_len)
{
    struct walk *w = arg;
    uint64_t put_id = 0;
    (void)record_key_read(key, key_len, &put_id);
    while (w->at < w->count && w->wanted[w->at].put_id < put_id)
        w->at++; /* its record is gone already */
    if (w->at < w->count && w->wanted[w->at].put_id == put_id)
        walk_record(w, put_id, value, value_len);
    else
        w->past++;
    return w->at < w->count && w->past < WALK_PAST_MAX;
}

/* Of the wanted, which are sorted. */
static int read_entries(struct core *c, uint32_t count, struct wire_buf *out, uint32_t *entries)
{
    struct walk w = {.core = c, .wanted = c->directory.wanted, .count = count, .out = out};
    struct store *store = c->changes.store;
    int status = CENOTE_OK;
    while (w.at < count && status == CENOTE_OK) {
        struct record_key from = record_key(w.wanted[w.at].put_id);
        uint32_t before = w.at;
        w.past = 0;
        status = store->ops->scan(store, STORE_OBJECTS, from.b, sizeof(from.b), walk_each, &w);
        w.at += w.at == before; /* behind the last record */
    }
    *entries = w.entries;
    return status;
}

static int by_put(const void *a, const void *b)
{
    const struct directory_wanted *x = a, *y = b;
    if (x->put_id != y->put_id)
        return x->put_id < y->put_id ? -1 : 1;
    return (x->piece > y->piece) - (x->piece < y->piece);
}

/* Of the next hints those that still lead to something, sorted. */
static uint32_t collect(struct core *c, const struct node *n, uint32_t hints)
{
    struct directory_wanted *wanted = c->directory.wanted;
    uint32_t count = 0;
    bool sorted = true;
    for (uint32_t i = 0; i < hints; i++) {
        const struct directory_hint *h = hint_at(&n->directory, i);
        struct object *o = table_at(&c->table, h->ref);
        if (o == NULL || o->state != OBJECT_COMMITTED || h->piece >= object_extents(o))
            continue;
        const struct incarnation *in = incarnation_of(c, object_piece(o, h->piece));
        if (in == NULL || in->node != n)
            continue;
        wanted[count] = (struct directory_wanted){o->put_id, h->ref, h->piece};
        sorted = sorted && (count == 0 || by_put(&wanted[count - 1], &wanted[count]) <= 0);
        count++;
    }
    if (!sorted)
        qsort(wanted, count, sizeof(*wanted), by_put);
    return count;
}

static void drive(struct core *c, struct node *n);

/* CENOTE_OK: the node has done it. What it refuses for good must not keep the rest. */
static void take_answer(struct node_directory *d, int status)
{
    if (status == CENOTE_UNAVAILABLE)
        d->list = LIST_NONE; /* when it is back the sums tell */
    if (status == CENOTE_OK || status == CENOTE_BAD_RANGE) {
        consume(d, d->sent);
        if (d->part == DIRECTORY_FIRST)
            d->list = LIST_UNDER_WAY;
        if (d->part == DIRECTORY_LAST)
            d->list = LIST_NONE;
        if (d->part == DIRECTORY_LAST || status == CENOTE_BAD_RANGE)
            d->equal = status == CENOTE_OK && !d->missed;
    }
    d->sent = 0;
}

static void refused(struct core *c, struct node *n, int status)
{
    struct node_directory *d = &n->directory;
    if (status != d->refusal)
        log_error("meta", "node %s doesn't take entries of its directory: %s", n->name,
                  cenote_status_text(status));
    d->refusal = status;
    d->again_ms = c->now_ms + DIRECTORY_RETRY_MS;
}

static void told(void *arg, int status, struct wire_value result)
{
    struct node *n = arg;
    struct node_directory *d = &n->directory;
    struct directory_sum sum;
    n->calls--;
    d->in_flight = false;
    if (n->gone) {
        node_release(n);
        return;
    }
    if (status == CENOTE_OK && !directory_sum_get(result, &sum))
        status = CENOTE_PROTOCOL;
    take_answer(d, status);
    if (status == CENOTE_OK) {
        d->told = sum;
        d->refusal = CENOTE_OK;
        compare(n->core, n);
        if (d->list != LIST_NONE || d->count >= DIRECTORY_CALL_ENTRIES / 4)
            drive(n->core, n);
    } else if (status != CENOTE_UNAVAILABLE) {
        refused(n->core, n, status);
    }
}

static uint32_t hints_of_call(const struct core *c, const struct node_directory *d)
{
    uint32_t hints = d->count < DIRECTORY_CALL_ENTRIES ? d->count : DIRECTORY_CALL_ENTRIES;
    return hints < c->directory.entries ? hints : c->directory.entries;
}

static void send(struct core *c, struct node *n, enum directory_part part)
{
    struct node_directory *d = &n->directory;
    struct wire_buf entries = {0}, b = {0};
    uint32_t hints = hints_of_call(c, d), count = 0;
    int status = read_entries(c, collect(c, n, hints), &entries, &count);
    wire_put_request(&b, 0, METHOD_DIRECTORY);
    directory_params_put(&b, c->ids.reign, part, count);
    wire_put_encoded(&b, &entries);
    c->directory.entries -= hints;
    d->sent = hints;
    d->part = (uint8_t)part;
    d->in_flight = true;
    n->calls++;
    if (status == CENOTE_OK && b.failed)
        status = CENOTE_NO_MEMORY;
    if (status == CENOTE_OK)
        n->line.call(n->line.arg, b.data, b.len, 0, told, n);
    else
        told(n, status, (struct wire_value){NULL});
    wire_buf_free(&b);
    wire_buf_free(&entries);
}

/* ---- lists ----------------------------------------------------------------------------------- */

/* All of an object, or nothing. */
static bool hint_object(struct core *c, struct node *n, struct object *o)
{
    struct node_directory *d = &n->directory;
    uint32_t before = d->count;
    for (uint32_t i = 0; i < object_extents(o); i++) {
        const struct incarnation *in = incarnation_of(c, object_piece(o, i));
        if (in == NULL || in->node != n)
            continue;
        if (push(d, o->ref, i))
            continue;
        d->count = before;
        return false;
    }
    return true;
}

static void continue_list(struct core *c, struct node *n)
{
    struct node_directory *d = &n->directory;
    for (; d->list_at < table_refs(&c->table); d->list_at++) {
        if (c->directory.refs == 0 || d->count >= DIRECTORY_HINTS_MAX / 2)
            return;
        c->directory.refs--;
        struct object *o = table_at(&c->table, d->list_at);
        if (o != NULL && o->state == OBJECT_COMMITTED && !hint_object(c, n, o))
            return;
    }
    d->list = LIST_ENDING;
    d->list_left = d->count;
}

/* The end of a list may go with the last of its entries. */
static enum directory_part next_part(const struct core *c, const struct node_directory *d)
{
    if (d->list == LIST_DUE)
        return DIRECTORY_FIRST;
    bool ends = d->list == LIST_ENDING && d->list_left <= hints_of_call(c, d);
    return ends ? DIRECTORY_LAST : DIRECTORY_NEWS;
}

static void drive(struct core *c, struct node *n)
{
    struct node_directory *d = &n->directory;
    if (!d->kept || d->in_flight || n->peer == NULL || n->state == NODE_DEAD || n->join != NULL ||
        c->now_ms < d->again_ms || !notes_known(c, n) || rebuild_under_way(&c->rebuild))
        return;
    if (d->list == LIST_NONE && !d->equal && c->now_ms >= d->due_ms && c->now_ms >= d->list_ms)
        begin_list(c, n);
    if (d->list == LIST_UNDER_WAY)
        continue_list(c, n);
    enum directory_part part = next_part(c, d);
    if (part != DIRECTORY_NEWS || hints_of_call(c, d) > 0)
        send(c, n, part);
}

/* ---- from outside ---------------------------------------------------------------------------- */

void directory_joined(struct core *c, struct node *n)
{
    struct node_directory *d = &n->directory;
    d->list = LIST_NONE;
    d->equal = false;
    d->again_ms = d->list_ms = 0;
    d->due_ms = c->now_ms + DIRECTORY_LIST_PAUSE_MS;
}

void directory_heard(struct core *c, struct node *n, const struct node_heartbeat_params *p)
{
    struct node_directory *d = &n->directory;
    d->kept = p->has_directory;
    if (!d->kept) {
        consume(d, d->in_flight ? 0 : d->count);
        return;
    }
    d->told = p->directory;
    compare(c, n);
}

void directory_tick(struct core *c)
{
    c->directory.refs = DIRECTORY_TICK_REFS;
    c->directory.entries = DIRECTORY_TICK_ENTRIES;
    list_each(&c->members.nodes, l) drive(c, container_of(l, struct node, link));
}

void directory_free(struct node *n)
{
    free(n->directory.hints);
}
