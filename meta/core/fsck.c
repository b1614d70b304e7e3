/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/core/fsck.h"

#include <stdlib.h>
#include <string.h>

#include "meta/core/check.h"
#include "meta/core/fsck_private.h"
#include "transport/base/log.h"

static const struct {
    const char *name, *meaning;
} kinds[FSCK_KINDS] = {
    [FSCK_RECORD_BAD] = {"record_unreadable", "records that can't be read; mended: removed"},
    [FSCK_RECORD_ONLY] = {"record_alone", "records of nothing that is served; mended: removed"},
    [FSCK_OBJECT_ONLY] = {"object_alone", "values and puts without a record; restart the service"},
    [FSCK_DIFFERS] = {"record_differs", "records that say something else; restart the service"},
    [FSCK_NAME_WRONG] = {"name_wrong", "names that lead to no value; mended: removed"},
    [FSCK_NAME_MISSING] = {"name_missing", "values that are not listed; mended: named"},
    [FSCK_EXTENT_FREE] = {"extent_free", "extents in use that count as free; mended: taken"},
    [FSCK_SPACE] = {"space", "overlaps of extents, and space that nobody has; restart the service"},
    [FSCK_ENTRY_STRANGE] = {"entry_strange",
                            "entries of directories that belong to nothing; mended: told anew"},
    [FSCK_SEAL] = {"seal", "extents without a live seal; mended: the replica is dropped"},
};

const char *fsck_name(enum fsck_kind kind)
{
    return kinds[kind].name;
}

const char *fsck_meaning(enum fsck_kind kind)
{
    return kinds[kind].meaning;
}

/* ---- suspects -------------------------------------------------------------------------------- */

void fsck_suspect(struct core *c, enum fsck_kind kind, uint64_t put_id, struct gva gva,
                  const struct names_key *name)
{
    struct fsck_found *f = &c->fsck.found[kind];
    if (f->suspect_count == FSCK_SUSPECTS) {
        f->more++;
        return;
    }
    struct fsck_suspect s = {.put_id = put_id, .gva = gva, .node = c->fsck.node};
    if (name != NULL) {
        s.name = malloc(sizeof(*s.name));
        if (s.name == NULL)
            return; /* it is found another time */
        *s.name = *name;
    }
    f->suspects[f->suspect_count++] = s;
}

int fsck_record(struct core *c, uint64_t put_id, struct record *out)
{
    struct record_key key = record_key(put_id);
    const void *value;
    uint32_t len;
    struct store *store = c->changes.store;
    int status = store->ops->get(store, STORE_OBJECTS, key.b, sizeof(key.b), &value, &len);
    return status == CENOTE_OK ? record_decode(value, len, out) : status;
}

bool fsck_is_named(struct core *c, const struct object *o, struct names_key *name)
{
    struct record r;
    struct record_key id = record_key(o->put_id);
    const void *value;
    uint32_t len;
    struct store *store = c->changes.store;
    if (fsck_record(c, o->put_id, &r) != CENOTE_OK || r.state != OBJECT_COMMITTED)
        return true; /* that is another difference */
    names_key_make(name, o->name_space, r.key, r.key_len, &o->key_hash);
    return store->ops->get(store, STORE_NAMES, name->data, name->len, &value, &len) == CENOTE_OK &&
           len == sizeof(id.b) && memcmp(value, id.b, len) == 0;
}

bool fsck_is_free(const struct core *c, const struct piece *p)
{
    uint64_t size = alloc_rounding(p->payload_len).size;
    const struct incarnation *in = piece_there(p) ? members_find(c, p->gva, size) : NULL;
    uint64_t offset = in == NULL ? 0 : p->gva.v - in->gva.v;
    return in != NULL && offset + size <= alloc_upto(in->alloc) &&
           alloc_any_free(in->alloc, offset, size);
}

bool fsck_is_served(const struct core *c, uint64_t put_id, struct gva gva)
{
    struct object *o = table_by_put(&c->table, put_id);
    if (o == NULL || o->state != OBJECT_COMMITTED)
        return false;
    for (uint32_t i = 0; i < object_extents(o); i++)
        if (object_piece(o, i)->gva.v == gva.v)
            return true;
    return false;
}

/* ---- records and names ----------------------------------------------------------------------- */

/* Part of a tree. */
struct part {
    struct core *core;
    uint32_t left;
};

static void remember(struct fsck *f, const void *key, uint32_t key_len)
{
    memcpy(f->at.data, key, key_len);
    f->at.len = key_len;
}

/* The key where the last step ended comes first. */
static bool is_behind(const struct fsck *f, const void *key, uint32_t key_len)
{
    return f->at.len != key_len || memcmp(f->at.data, key, key_len) != 0;
}

static void look_at_record(struct core *c, uint64_t put_id, const void *value, uint32_t len)
{
    struct record r;
    struct object *o = table_by_put(&c->table, put_id);
    c->fsck.records++;
    if (record_decode(value, len, &r) != CENOTE_OK)
        fsck_suspect(c, FSCK_RECORD_BAD, put_id, gva_make(0), NULL);
    else if (o == NULL)
        fsck_suspect(c, FSCK_RECORD_ONLY, put_id, gva_make(0), NULL);
    else if (!check_same(o, &r))
        fsck_suspect(c, FSCK_DIFFERS, put_id, gva_make(0), NULL);
}

static bool each_record(void *arg, const void *key, uint32_t key_len, const void *value,
                        uint32_t value_len)
{
    struct part *p = arg;
    struct fsck *f = &p->core->fsck;
    uint64_t put_id = 0;
    if (!is_behind(f, key, key_len))
        return true;
    if (p->left-- == 0)
        return false;
    remember(f, key, key_len);
    if (record_key_read(key, key_len, &put_id))
        look_at_record(p->core, put_id, value, value_len);
    else
        f->found[FSCK_RECORD_BAD].count++;
    return true;
}

static bool each_name(void *arg, const void *key, uint32_t key_len, const void *value,
                      uint32_t value_len)
{
    struct part *p = arg;
    struct core *c = p->core;
    uint64_t put_id = 0;
    if (!is_behind(&c->fsck, key, key_len))
        return true;
    if (p->left-- == 0)
        return false;
    remember(&c->fsck, key, key_len);
    c->fsck.names++;
    bool good = record_key_read(value, value_len, &put_id);
    const struct object *o = good ? table_by_put(&c->table, put_id) : NULL;
    if (o == NULL || o->state != OBJECT_COMMITTED)
        fsck_suspect(c, FSCK_NAME_WRONG, put_id, gva_make(0), &c->fsck.at);
    return true;
}

/* True: that was all. */
static bool tree_step(struct core *c, enum store_tree tree,
                      bool (*each)(void *arg, const void *key, uint32_t key_len, const void *value,
                                   uint32_t value_len))
{
    struct part p = {.core = c, .left = FSCK_STEP};
    struct names_key from = c->fsck.at;
    struct store *store = c->changes.store;
    int status = store->ops->scan(store, tree, from.data, from.len, each, &p);
    if (status != CENOTE_OK)
        log_error("meta", "fsck: the store can't be read: %s", cenote_status_text(status));
    if (status == CENOTE_OK && p.left == UINT32_MAX)
        return false;
    c->fsck.at.len = 0;
    return true;
}

/* ---- the table ------------------------------------------------------------------------------- */

static void look_at_object(struct core *c, struct object *o)
{
    struct record r;
    struct names_key name;
    c->fsck.objects++;
    if (fsck_record(c, o->put_id, &r) == CENOTE_NOT_FOUND)
        fsck_suspect(c, FSCK_OBJECT_ONLY, o->put_id, gva_make(0), NULL);
    else if (o->state == OBJECT_COMMITTED && !fsck_is_named(c, o, &name))
        fsck_suspect(c, FSCK_NAME_MISSING, o->put_id, gva_make(0), NULL);
    for (uint32_t i = 0; i < object_extents(o); i++)
        if (fsck_is_free(c, object_piece(o, i)))
            fsck_suspect(c, FSCK_EXTENT_FREE, o->put_id, object_piece(o, i)->gva, NULL);
}

static bool table_step(struct core *c)
{
    struct fsck *f = &c->fsck;
    for (uint32_t i = 0; i < FSCK_STEP; i++) {
        if (f->ref >= table_refs(&c->table))
            return true;
        struct object *o = table_at(&c->table, f->ref++);
        if (o != NULL)
            look_at_object(c, o);
    }
    return false;
}

/* ---- the whole ------------------------------------------------------------------------------- */

int fsck_begin(struct core *c, bool repair)
{
    struct fsck *f = &c->fsck;
    if (f->phase != FSCK_NEVER && f->phase != FSCK_DONE)
        return CENOTE_OK;
    fsck_free(c);
    struct fsck_found *found = calloc(FSCK_KINDS, sizeof(*found));
    struct fsck_asked *asked = calloc(FSCK_BATCH, sizeof(*asked));
    if (found == NULL || asked == NULL) {
        free(found);
        free(asked);
        return CENOTE_NO_MEMORY;
    }
    uint32_t call = f->call + 1;
    *f = (struct fsck){
        .phase = FSCK_RECORDS, .repair = repair, .found = found, .asked = asked, .call = call};
    return CENOTE_OK;
}

static void tell(const struct fsck *f)
{
    for (unsigned i = 0; i < FSCK_KINDS; i++) {
        const struct fsck_found *k = &f->found[i];
        if (k->count > 0)
            log_error("meta", "fsck: %llu %s, %llu mended", (unsigned long long)k->count,
                      kinds[i].meaning, (unsigned long long)k->mended);
        if (k->more > 0)
            log_warn("meta", "fsck: %llu more seem odd (%s), and weren't looked at again",
                     (unsigned long long)k->more, kinds[i].name);
    }
    log_info("meta", "fsck: %llu records, %llu names and %llu entries were looked at",
             (unsigned long long)f->records, (unsigned long long)f->names,
             (unsigned long long)f->entries);
}

static void wait(struct core *c)
{
    struct fsck *f = &c->fsck;
    if (c->now_ms - f->waited_ms < FSCK_WAIT_MS)
        return;
    f->phase = FSCK_AGAIN;
    fsck_nodes_begin(c);
}

static void next(struct core *c, enum fsck_phase phase)
{
    c->fsck.phase = (uint8_t)phase;
    c->fsck.waited_ms = c->now_ms;
}

void fsck_tick(struct core *c)
{
    struct fsck *f = &c->fsck;
    switch (f->phase) {
    case FSCK_RECORDS:
        if (tree_step(c, STORE_OBJECTS, each_record))
            next(c, FSCK_TABLE);
        break;
    case FSCK_TABLE:
        if (table_step(c))
            next(c, FSCK_NAMES);
        break;
    case FSCK_NAMES:
        if (tree_step(c, STORE_NAMES, each_name)) {
            fsck_nodes_begin(c);
            next(c, FSCK_NODES);
        }
        break;
    case FSCK_NODES:
        if (fsck_nodes_step(c))
            next(c, FSCK_WAITING);
        break;
    case FSCK_WAITING:
        wait(c);
        break;
    case FSCK_AGAIN:
        if (fsck_again_step(c))
            next(c, FSCK_CONFIRM);
        break;
    case FSCK_CONFIRM:
        if (table_refs(&c->table) <= FSCK_WHOLE_REFS)
            f->found[FSCK_SPACE].count += check_layout(c);
        fsck_confirm(c);
        next(c, FSCK_DONE);
        tell(f);
        break;
    default:
        break;
    }
}

void fsck_free(struct core *c)
{
    struct fsck *f = &c->fsck;
    for (unsigned i = 0; f->found != NULL && i < FSCK_KINDS; i++)
        for (uint32_t k = 0; k < f->found[i].suspect_count; k++)
            free(f->found[i].suspects[k].name);
    free(f->found);
    free(f->asked);
    f->found = NULL;
    f->asked = NULL;
}
