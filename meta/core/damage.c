/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/core/damage.h"

#include <stdlib.h>

#include "meta/core/keep.h"
#include "meta/core/objects.h"
#include "meta/core/reuse.h"
#include "meta/core/use.h"
#include "transport/base/log.h"

/* ---- the whole object ---- */

static void removed(struct change *ch, int status)
{
    struct ending *e = container_of(ch, struct ending, change);
    if (status == CENOTE_OK)
        e->core->damage.objects++;
    objects_ended(e, status);
}

static int remove_whole(struct core *c, struct object *o, struct claim *claim)
{
    struct ending *e;
    int status = objects_draft_end(c, o, claim, &e);
    if (status != CENOTE_OK)
        return status;
    log_error("meta", "put %llx is lost: its last replica is damaged",
              (unsigned long long)o->put_id);
    e->change.done = removed;
    change_submit(&c->changes, &e->change, CHANGE_FREES);
    return CENOTE_OK;
}

/* ---- one replica ---- */

/* On the way to the store; the object's claim is busy, so that it stays as it is. */
struct drop {
    struct change change;
    struct ending *ending; /* of the replica, as an object */
    struct object *object; /* that it leaves */
    uint32_t piece;
};

static void dropped(struct change *ch, int status)
{
    struct drop *d = container_of(ch, struct drop, change);
    struct ending *e = d->ending;
    struct core *c = e->core;
    struct hash128 key_hash = d->object->key_hash;
    struct claim *claim = claims_find(&c->claims, &key_hash);
    struct piece *p = object_piece(d->object, d->piece);
    claim->busy = false;
    if (status == CENOTE_OK) {
        struct incarnation *in = members_find(c, p->gva, p->payload_len);
        if (in != NULL)
            directory_sum_take(&in->directory, p->gva, d->object->put_id);
        p->gva = gva_make(0);
        use_drop(c, e->object);
        e->object->lease_stamp = d->object->lease_stamp;
        e->lease_end_ms = reuse_lease_end(c, e->object);
        c->damage.replicas++;
        log_warn("meta", "put %llx goes on without a replica, which is damaged",
                 (unsigned long long)d->object->put_id);
        reuse_begin(e);
    } else {
        spaces_by_id(c, e->object->name_space)->extant--;
        table_delete(&c->table, e->object);
        ending_free(e);
    }
    free(d);
    claims_wake(&c->claims, claim);
}

/* An object that has this replica only. */
static struct ending *apart(struct core *c, struct object *o, uint32_t i)
{
    struct object *a = table_add(&c->table, ids_take(&c->ids), o->stripes, o->replicas);
    if (a == NULL)
        return NULL;
    a->state = OBJECT_REMOVED;
    a->sum_kind = o->sum_kind;
    a->key_hash = o->key_hash;
    a->name_space = o->name_space;
    for (uint32_t k = 0; k < object_extents(o); k++)
        object_piece(a, k)->payload_len = object_piece(o, k)->payload_len;
    *object_piece(a, i) = *object_piece(o, i);
    struct ending *e = ending_new(c, a);
    if (e == NULL)
        table_delete(&c->table, a);
    else
        spaces_by_id(c, a->name_space)->extant++;
    return e;
}

static int drop_replica(struct core *c, struct object *o, struct claim *claim, uint32_t i)
{
    struct record r;
    int status = objects_record(c, o, &r);
    struct drop *d = status == CENOTE_OK ? calloc(1, sizeof(*d)) : NULL;
    if (d == NULL)
        return status == CENOTE_OK ? CENOTE_NO_MEMORY : status;
    d->ending = apart(c, o, i);
    if (d->ending == NULL) {
        free(d);
        return CENOTE_NO_MEMORY;
    }
    d->object = o;
    d->piece = i;
    claim->busy = true;
    struct gva gva = object_piece(o, i)->gva;
    object_piece(o, i)->gva = gva_make(0);
    keep_draft(c, o, OBJECT_COMMITTED, &r.kept, r.created_ms, r.key, r.key_len);
    objects_draft_removed(c, d->ending->object, r.key, r.key_len);
    object_piece(o, i)->gva = gva; /* until it is durable */
    d->change.done = dropped;
    change_submit(&c->changes, &d->change, CHANGE_FREES);
    return CENOTE_OK;
}

/* ---- the report ---- */

static bool has_another(const struct core *c, struct object *o, uint32_t i)
{
    uint32_t first = i / o->replicas * o->replicas;
    for (uint32_t k = first; k < first + o->replicas; k++)
        if (k != i && objects_alive(c, o, k))
            return true;
    return false;
}

/* Where it lies in the object; false: nowhere. */
static bool find_piece(const struct core *c, const struct node *n, struct object *o, struct gva gva,
                       uint32_t *out)
{
    for (uint32_t i = 0; i < object_extents(o); i++) {
        const struct piece *p = object_piece(o, i);
        const struct incarnation *in =
            p->gva.v == gva.v && piece_there(p) ? members_find(c, p->gva, p->payload_len) : NULL;
        *out = i;
        if (in != NULL && in->node == n)
            return true;
    }
    return false;
}

int damage_found(struct core *c, struct node *n, uint64_t put_id, struct gva gva)
{
    uint32_t i;
    struct object *o = table_by_put(&c->table, put_id);
    if (o == NULL || o->state != OBJECT_COMMITTED || !find_piece(c, n, o, gva, &i))
        return CENOTE_OK;
    struct claim *claim = claims_get(&c->claims, &o->key_hash);
    if (claim == NULL)
        return CENOTE_NO_MEMORY;
    if (claim->busy || claim->successor != NULL || !o->visible || o->leaving)
        return CENOTE_LIMIT;
    int status = has_another(c, o, i) ? drop_replica(c, o, claim, i) : remove_whole(c, o, claim);
    if (status == CENOTE_OK)
        c->damage.reported++;
    else
        claims_wake(&c->claims, claim);
    return status;
}
