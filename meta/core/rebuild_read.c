/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the nodes' directories to objects. While a rebuild reads, nobody else looks at an object, so
 * some of its fields say other things:
 *
 *   session      when it was committed
 *   state        COMMITTED: all stripes are there, and no newer object of the key
 *                REMOVED: a stripe is missing, or ...
 *   lease_stamp  ... 1: there is a newer object of the key
 *   uses         1: its record says how it is kept
 *
 * The records in the store say the same but for the session, so that each entry costs one write,
 * and those of one call are one change.
 */
#include <assert.h>
#include <string.h>

#include "meta/core/keep.h"
#include "meta/core/objects.h"
#include "meta/core/rebuild_nodes.h"
#include "meta/core/recover.h"
#include "meta/core/reuse.h"
#include "meta/core/use.h"
#include "transport/base/log.h"

/* ---- one entry ---- */

static bool is_newer(const struct object *a, const struct object *b)
{
    return a->session != b->session ? a->session > b->session : a->put_id > b->put_id;
}

static void write_record(struct core *c, struct object *o, const struct directory_entry *e)
{
    uint64_t created_ms = o->session;
    struct kept kept;
    o->session = 0;
    (void)kept_decode(e->kept, e->kept_len, &kept); /* it is sound */
    o->uses = e->kept_len > 0;
    if (o->state == OBJECT_COMMITTED)
        keep_draft(c, o, OBJECT_COMMITTED, &kept, created_ms, e->key, (uint32_t)e->key_len);
    else
        objects_draft(c, o, OBJECT_REMOVED, false, created_ms, e->key, (uint32_t)e->key_len);
    o->session = created_ms;
}

static void lose(struct core *c, struct object *o, const struct directory_entry *e)
{
    o->state = OBJECT_REMOVED;
    o->lease_stamp = 1;
    write_record(c, o, e);
}

/* It is whole. */
static void win_or_lose(struct core *c, struct object *o, const struct directory_entry *e)
{
    struct names_key name;
    struct record_key id = record_key(o->put_id);
    struct object *other = table_by_key(&c->table, &o->key_hash);
    if (other != NULL && is_newer(other, o)) {
        lose(c, o, e);
        return;
    }
    if (other != NULL) {
        table_hide(&c->table, other);
        lose(c, other, e);
    }
    o->state = OBJECT_COMMITTED;
    table_show(&c->table, o);
    shard_count(c, o, e->key, (uint32_t)e->key_len);
    names_key_make(&name, o->name_space, e->key, e->key_len, &o->key_hash);
    change_put(&c->changes, STORE_NAMES, name.data, name.len, id.b, sizeof(id.b));
    write_record(c, o, e);
}

static bool stripe_is_there(struct object *o, uint32_t stripe)
{
    for (uint32_t k = 0; k < o->replicas; k++)
        if (piece_there(object_piece(o, stripe * o->replicas + k)))
            return true;
    return false;
}

static bool is_whole(struct object *o, uint64_t len_bytes)
{
    for (uint32_t i = 0; i < o->stripes; i++)
        if (!stripe_is_there(o, i))
            return false;
    return object_len(o) == len_bytes;
}

static struct object *add_object(struct core *c, const struct directory_entry *e)
{
    struct object *o = table_add(&c->table, e->put_id, e->stripes, e->replicas);
    if (o == NULL)
        return NULL;
    o->key_hash = e->key_hash;
    o->session = e->created_ms;
    if (e->created_ms > c->wall_ms)
        c->wall_ms = e->created_ms;
    o->name_space = e->name_space;
    spaces_by_id(c, e->name_space)->extant++;
    o->state = OBJECT_REMOVED;
    o->sum_kind = e->sum_kind & OBJECT_SUM_KIND;
    o->replace = (e->flags & DIRECTORY_REPLACE) != 0;
    return o;
}

/* What is there of its stripe already must be the same, and there must be a place left. NULL: the
 * entry doesn't belong to this object, or is there already. */
static struct piece *place_of(struct object *o, const struct directory_entry *e)
{
    struct piece *empty = NULL;
    if (o->stripes != e->stripes || o->replicas != e->replicas || o->name_space != e->name_space ||
        memcmp(&o->key_hash, &e->key_hash, sizeof(o->key_hash)) != 0)
        return NULL;
    for (uint32_t k = 0; k < o->replicas; k++) {
        struct piece *p = object_piece(o, e->stripe * o->replicas + k);
        if (!piece_there(p)) {
            empty = empty == NULL ? p : empty;
            continue;
        }
        if (p->gva.v == e->gva.v || p->payload_len != e->payload_len || p->root != e->root)
            return NULL;
    }
    return empty;
}

/* All replicas of the stripe have its length and root, the missing ones, too. */
static void put_piece(struct object *o, struct piece *piece, const struct directory_entry *e)
{
    for (uint32_t k = 0; k < o->replicas; k++) {
        struct piece *p = object_piece(o, e->stripe * o->replicas + k);
        p->payload_len = e->payload_len;
        p->root = e->root;
    }
    piece->gva = e->gva;
}

/* Is it this node's, of before, and of a namespace that we know with its secret? */
static bool is_sound(const struct core *c, const struct node *n, const struct directory_entry *e)
{
    const struct space *space = spaces_by_id(c, e->name_space);
    const struct incarnation *in = members_find(c, e->gva, extent_size(e->payload_len));
    if (space == NULL || strcmp(space->name, e->space_name) != 0 || in == NULL || in->node != n ||
        e->put_id >> IDS_COUNT_BITS >= c->ids.reign)
        return false;
    struct kept kept;
    struct hash128 hash = space_hash(space, e->key, e->key_len);
    return kept_decode(e->kept, e->kept_len, &kept) &&
           memcmp(&hash, &e->key_hash, sizeof(hash)) == 0;
}

/* CENOTE_OK, or what ends the rebuild. */
static int take_entry(struct core *c, const struct node *n, const struct directory_entry *e)
{
    struct rebuild_counts *counts = &c->rebuild.counts;
    struct object *o = table_by_put(&c->table, e->put_id);
    bool fresh = o == NULL;
    counts->entries++;
    if (!is_sound(c, n, e)) {
        counts->strange++;
        return CENOTE_OK;
    }
    if (fresh && (o = add_object(c, e)) == NULL)
        return CENOTE_NO_MEMORY;
    struct piece *p = place_of(o, e);
    int status = p == NULL ? CENOTE_IO : recover_reserve(c, e->gva, e->payload_len);
    if (status != CENOTE_OK) {
        counts->strange++;
        if (fresh) {
            spaces_by_id(c, o->name_space)->extant--;
            table_delete(&c->table, o);
        }
        return status == CENOTE_NO_MEMORY ? status : CENOTE_OK;
    }
    put_piece(o, p, e);
    if (o->state == OBJECT_COMMITTED || o->lease_stamp != 0 || !is_whole(o, e->len_bytes))
        write_record(c, o, e);
    else
        win_or_lose(c, o, e);
    return CENOTE_OK;
}

/* ---- the calls ---- */

static void stored(struct change *ch, int status)
{
    struct candidate *k = container_of(ch, struct candidate, change);
    k->reading = false;
    if (status != CENOTE_OK) {
        rebuild_fail(k->core, status, "what was found can't be stored");
        return;
    }
    k->cursor = k->next_cursor;
    k->read = k->cursor == 0;
    k->core->rebuild.counts.nodes += k->read;
    if (!k->read)
        rebuild_read(k);
}

static void take_entries(struct candidate *k, const struct directory_read_result *r)
{
    struct core *c = k->core;
    const struct node *n = members_by_name(c, k->params.name);
    int status = n != NULL ? CENOTE_OK : CENOTE_UNAVAILABLE;
    for (uint32_t i = 0; i < r->count && status == CENOTE_OK; i++) {
        struct directory_entry e;
        if (directory_entry_get(wire_at(r->entries, i), &e))
            status = take_entry(c, n, &e);
        else
            c->rebuild.counts.strange++;
    }
    c->rebuild.counts.left_out += r->left_out;
    k->next_cursor = r->cursor;
    k->change.done = stored;
    if (c->changes.count > 0 || c->changes.no_memory)
        change_submit(&c->changes, &k->change, 0);
    else
        stored(&k->change, CENOTE_OK);
    if (status != CENOTE_OK)
        rebuild_fail(c, status, "what was found can't be taken");
}

static void heard(void *arg, int status, struct wire_value result)
{
    struct candidate *k = arg;
    struct core *c = k->core;
    struct directory_read_result r;
    if (c->rebuild.phase != REBUILD_READING)
        return;
    if (status == CENOTE_OK && !directory_read_result_get(result, &r))
        status = CENOTE_PROTOCOL;
    if (status == CENOTE_OK) {
        take_entries(k, &r);
        return;
    }
    k->reading = false;
    k->again_ms = c->now_ms + REBUILD_RETRY_MS;
    k->read = status == CENOTE_NOT_SUPPORTED; /* it keeps none */
    if (status != CENOTE_UNAVAILABLE)
        log_error("meta", "rebuild: node %s doesn't read out its directory: %s", k->params.name,
                  cenote_status_text(status));
}

/* The next part, if nothing is under way. */
void rebuild_read(struct candidate *k)
{
    struct core *c = k->core;
    struct node *n = members_by_name(c, k->params.name);
    struct wire_buf b = {0};
    if (k->reading || n == NULL || n->peer == NULL || n->join != NULL || n->state == NODE_DEAD)
        return;
    wire_put_request(&b, 0, METHOD_DIRECTORY_READ);
    struct directory_read_params p = {
        .reign = c->ids.reign, .cursor = k->cursor, .limit = REBUILD_BATCH, .live = true};
    directory_read_params_put(&b, &p);
    k->reading = true;
    if (b.failed)
        heard(k, CENOTE_NO_MEMORY, (struct wire_value){NULL});
    else
        n->line.call(n->line.arg, b.data, b.len, 0, heard, k);
    wire_buf_free(&b);
}

/* ---- until all is read ---- */

/* Nobody waits for ever for a node that was there and went. */
static bool is_given_up(const struct candidate *k)
{
    const struct core *c = k->core;
    const struct node *n = members_by_name(c, k->params.name);
    if (n != NULL || k->peer != NULL || k->reading)
        return false;
    return k->joined || c->now_ms - k->gone_ms >= c->options.rebuild_wait_ms;
}

bool rebuild_all_read(struct core *c)
{
    bool all = true;
    list_each(&c->rebuild.candidates, l)
    {
        struct candidate *k = container_of(l, struct candidate, link);
        if (k->read)
            continue;
        if (k->joined && !k->reading && c->now_ms >= k->again_ms)
            rebuild_read(k);
        if (k->reading || !is_given_up(k)) {
            all = false;
            continue;
        }
        log_warn("meta", "rebuild: going on without all of node %s", k->params.name);
        k->read = true;
    }
    return all;
}

/* ---- the end ---- */

/* CENOTE_NO_MEMORY: not now. */
static int retire(struct core *c, struct object *o)
{
    struct ending *e = ending_new(c, o);
    if (e == NULL)
        return CENOTE_NO_MEMORY;
    int status = recover_removed(c, e);
    if (status != CENOTE_OK) {
        ending_free(e);
        return status;
    }
    if (o->lease_stamp != 0)
        c->rebuild.counts.older++;
    else
        c->rebuild.counts.incomplete++;
    o->lease_stamp = 0;
    o->uses = 0;
    o->session = 0;
    reuse_begin(e);
    return CENOTE_OK;
}

/* False: not now. */
static bool resume(struct core *c, struct object *o)
{
    struct record record;
    if (o->uses == 0)
        return true;
    if (objects_record(c, o, &record) != CENOTE_OK || keep_resume(c, o, &record.kept) != CENOTE_OK)
        return false;
    o->uses = 0;
    return true;
}

bool rebuild_end_step(struct core *c)
{
    struct rebuild *r = &c->rebuild;
    for (uint32_t i = 0; i < REBUILD_TICK_REFS; i++) {
        if (r->at >= table_refs(&c->table))
            return true;
        struct object *o = table_at(&c->table, r->at);
        if (o != NULL && o->state == OBJECT_COMMITTED) {
            if (!resume(c, o))
                return false;
            o->session = 0;
            r->counts.objects++;
            r->counts.bytes += object_len(o);
            directory_recovered(c, o);
            use_begin(c, o);
            if (o->visible)
                evict_entered(c, o, NULL);
        } else if (o != NULL && o->state == OBJECT_REMOVED && retire(c, o) != CENOTE_OK) {
            return false;
        }
        r->at++;
    }
    return false;
}
