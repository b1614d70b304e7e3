/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdlib.h>

#include "meta/core/objects.h"
#include "meta/core/put_phases.h"
#include "meta/core/use.h"
#include "transport/base/log.h"

/* Puts that run out of time are aborted in steps of this many a tick. */
#define EXPIRE_MAX 4096u

static void aborted(struct change *ch, int status)
{
    struct put *p = container_of(ch, struct put, change);
    struct outcomes outcomes = p->outcomes;
    int end_status = p->end_status;
    p->outcomes.first = NULL;
    if (status != CENOTE_OK) {
        log_error("meta", "put %llx can't be aborted: %s", (unsigned long long)p->object->put_id,
                  cenote_status_text(status));
        put_pend(p); /* runs out of time again */
        outcomes_tell(&outcomes, status);
        return;
    }
    struct ending *e = p->ending;
    p->object->state = OBJECT_ABORTING;
    use_end(p->core, p->object);
    put_forget(p);
    reuse_begin(e);
    outcomes_tell(&outcomes, end_status);
}

bool put_needs_fence(const struct ending *e)
{
    for (uint32_t i = 0; i < object_extents(e->object); i++)
        if (e->extents[i].may_write && extent_incarnation(&e->extents[i]) != NULL)
            return true;
    return false;
}

static void all_may_write(struct put *p)
{
    for (uint32_t i = 0; i < object_extents(p->object); i++)
        p->ending->extents[i].may_write = true;
}

static void submit(struct put *p, int end_status)
{
    struct core *c = p->core;
    assert(p->phase == PUT_PENDING || p->phase == PUT_WAITING);
    link_remove(&p->by_age);
    p->phase = PUT_ABORTING;
    p->end_status = end_status;
    objects_draft(c, p->object, OBJECT_ABORTING, put_needs_fence(p->ending), 0, NULL, 0);
    p->change.done = aborted;
    change_submit(&c->changes, &p->change, CHANGE_FREES);
}

/* The fence of a put stops the older ones of its session as well. Their records go first: when this
 * put's is durable, theirs are. */
static void abort_older(struct put *p)
{
    struct list *puts = &p->session->puts;
    list_each_safe(puts, l, after)
    {
        struct put *older = container_of(l, struct put, by_session);
        if (older == p)
            return;
        if (older->phase != PUT_PENDING)
            continue;
        all_may_write(older);
        submit(older, CENOTE_ABORTED);
    }
}

void put_abort(struct put *p, int end_status)
{
    if (put_needs_fence(p->ending))
        abort_older(p);
    submit(p, end_status);
}

void puts_abort_unsent(struct put *p)
{
    if (p->phase == PUT_PENDING)
        put_abort(p, CENOTE_ABORTED);
}

void puts_abort_lost(struct put *p)
{
    all_may_write(p);
    put_abort(p, CENOTE_NODE_DOWN);
}

void puts_abort_session(struct core *c, struct session *s)
{
    (void)c;
    list_each_safe(&s->puts, l, after)
    {
        struct put *p = container_of(l, struct put, by_session);
        if (p->phase != PUT_PENDING)
            continue; /* it ends by itself; one that starts is discarded then */
        all_may_write(p);
        submit(p, CENOTE_ABORTED);
    }
}

void puts_tick(struct core *c)
{
    for (unsigned n = 0; n < EXPIRE_MAX; n++) {
        struct link *l = list_first(&c->puts);
        if (l == NULL)
            return;
        struct put *p = container_of(l, struct put, by_age);
        if (p->deadline_ms > c->patient_ms)
            return;
        log_info("meta", "put %llx has run out of time", (unsigned long long)p->object->put_id);
        all_may_write(p);
        put_abort(p, CENOTE_ABORTED);
    }
}

void puts_free(struct core *c)
{
    for (uint32_t ref = 0; ref < table_refs(&c->table); ref++) {
        struct object *o = table_at(&c->table, ref);
        if (o == NULL || o->put == NULL)
            continue;
        free(o->put->keep);
        free(o->put);
    }
}
