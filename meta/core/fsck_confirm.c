/* SPDX-License-Identifier: Apache-2.0 */
/* Suspects that are looked at again, and mended. */
#include <stdlib.h>
#include <string.h>

#include "meta/core/check.h"
#include "meta/core/damage.h"
#include "meta/core/fsck_private.h"
#include "meta/core/recover.h"
#include "transport/base/testswitch.h"

/* ---- are they odd still? --------------------------------------------------------------------- */

static const struct piece *free_piece(struct core *c, struct object *o, struct gva gva)
{
    for (uint32_t i = 0; o != NULL && i < object_extents(o); i++)
        if (object_piece(o, i)->gva.v == gva.v && fsck_is_free(c, object_piece(o, i)))
            return object_piece(o, i);
    return NULL;
}

/* 0: it leads to no put at all. False: there is no such name. */
static bool read_name(struct core *c, const struct names_key *name, uint64_t *put_id)
{
    const void *value;
    uint32_t len;
    struct store *store = c->changes.store;
    if (store->ops->get(store, STORE_NAMES, name->data, name->len, &value, &len) != CENOTE_OK)
        return false;
    if (!record_key_read(value, len, put_id))
        *put_id = 0;
    return true;
}

/* A name is written together with the record that it leads to, and the table hears of both later:
 * of a key that is replaced all the time it may never say the same as the store. So the record has
 * to say so, too. The name is read before and after it: one that leads to the same put both times
 * did so when the record was read, for a put that was replaced isn't named again. */
static bool is_wrong_name(struct core *c, const struct fsck_suspect *s)
{
    struct record r;
    uint64_t put_id, again;
    if (!read_name(c, s->name, &put_id))
        return false;
    const struct object *o = table_by_put(&c->table, put_id);
    if (o != NULL && o->state == OBJECT_COMMITTED)
        return false;
    int status = fsck_record(c, put_id, &r);
    if (status != CENOTE_NOT_FOUND && (status != CENOTE_OK || r.state == OBJECT_COMMITTED))
        return false;
    return read_name(c, s->name, &again) && again == put_id;
}

static bool is_odd(struct core *c, enum fsck_kind kind, const struct fsck_suspect *s)
{
    struct record r;
    struct names_key name;
    struct object *o = table_by_put(&c->table, s->put_id);
    switch (kind) {
    case FSCK_RECORD_BAD:
        return fsck_record(c, s->put_id, &r) == CENOTE_IO;
    case FSCK_RECORD_ONLY:
        return o == NULL && fsck_record(c, s->put_id, &r) == CENOTE_OK;
    case FSCK_OBJECT_ONLY:
        return o != NULL && fsck_record(c, s->put_id, &r) == CENOTE_NOT_FOUND;
    case FSCK_DIFFERS:
        return o != NULL && fsck_record(c, s->put_id, &r) == CENOTE_OK && !check_same(o, &r);
    case FSCK_NAME_WRONG:
        return is_wrong_name(c, s);
    case FSCK_NAME_MISSING:
        return o != NULL && o->state == OBJECT_COMMITTED && !fsck_is_named(c, o, &name);
    case FSCK_EXTENT_FREE:
        return free_piece(c, o, s->gva) != NULL;
    case FSCK_ENTRY_STRANGE:
        return s->state != DIRECTORY_NO_ENTRY && o == NULL;
    case FSCK_SEAL:
        return s->state == DIRECTORY_NO_SEAL && fsck_is_served(c, s->put_id, s->gva);
    default:
        return false;
    }
}

/* ---- mending --------------------------------------------------------------------------------- */

static void mended(struct change *ch, int status)
{
    (void)status; /* whoever looks again sees it */
    free(ch);
}

/* Submits what has been drafted. */
static bool submit(struct core *c)
{
    struct change *ch = calloc(1, sizeof(*ch));
    if (ch == NULL)
        return false;
    ch->done = mended;
    change_submit(&c->changes, ch, CHANGE_FREES);
    return true;
}

/* A change of what the key names is on the way, which what is drafted now would come behind. */
static bool is_under_way(const struct core *c, const struct hash128 *key_hash)
{
    const struct claim *claim = claims_find(&c->claims, key_hash);
    return claim != NULL && claim->busy;
}

static bool mend_wrong_name(struct core *c, const struct names_key *name)
{
    uint32_t name_space;
    const uint8_t *key;
    size_t key_len;
    struct hash128 hash;
    bool is_long = names_key_read(name, &name_space, &key, &key_len, &hash);
    const struct space *space = spaces_by_id(c, name_space);
    if (!is_long && space != NULL)
        hash = space_hash(space, key, key_len);
    if ((is_long || space != NULL) && is_under_way(c, &hash))
        return false;
    change_remove(&c->changes, STORE_NAMES, name->data, name->len);
    return submit(c);
}

static bool mend_missing_name(struct core *c, const struct fsck_suspect *s)
{
    struct names_key name;
    const struct object *o = table_by_put(&c->table, s->put_id);
    struct record_key id = record_key(s->put_id);
    if (fsck_is_named(c, o, &name) || is_under_way(c, &o->key_hash))
        return false;
    change_put(&c->changes, STORE_NAMES, name.data, name.len, id.b, sizeof(id.b));
    return submit(c);
}

static bool mend_entry(struct core *c, const struct fsck_suspect *s)
{
    const struct incarnation *in = members_find(c, s->gva, 1);
    if (in != NULL)
        in->node->directory.equal = false; /* a list follows */
    return in != NULL;
}

static bool mend(struct core *c, enum fsck_kind kind, const struct fsck_suspect *s)
{
    struct record_key id = record_key(s->put_id);
    const struct piece *p;
    const struct incarnation *in;
    switch (kind) {
    case FSCK_RECORD_BAD:
    case FSCK_RECORD_ONLY:
        change_remove(&c->changes, STORE_OBJECTS, id.b, sizeof(id.b));
        return submit(c);
    case FSCK_NAME_WRONG:
        return mend_wrong_name(c, s->name);
    case FSCK_NAME_MISSING:
        return mend_missing_name(c, s);
    case FSCK_EXTENT_FREE:
        p = free_piece(c, table_by_put(&c->table, s->put_id), s->gva);
        return p != NULL && recover_reserve(c, p->gva, p->payload_len) == CENOTE_OK;
    case FSCK_ENTRY_STRANGE:
        return mend_entry(c, s);
    case FSCK_SEAL:
        in = members_find(c, s->gva, 1);
        return in != NULL && damage_found(c, in->node, s->put_id, s->gva) == CENOTE_OK;
    default:
        return false;
    }
}

void fsck_confirm(struct core *c)
{
    struct fsck *f = &c->fsck;
    for (unsigned kind = 0; kind < FSCK_KINDS; kind++) {
        struct fsck_found *found = &f->found[kind];
        for (uint32_t i = 0; i < found->suspect_count; i++) {
            const struct fsck_suspect *s = &found->suspects[i];
            if (!is_odd(c, (enum fsck_kind)kind, s))
                continue;
            found->count++;
            if (found->first_count < FSCK_FIRST)
                found->first[found->first_count++] = *s;
            if (f->repair)
                found->mended += test_off(TEST_REPAIR) || mend(c, (enum fsck_kind)kind, s);
        }
    }
}
