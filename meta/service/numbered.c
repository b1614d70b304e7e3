/* SPDX-License-Identifier: Apache-2.0 */
/* Calls with a number: done once, answered as often as they are asked. */
#include <stdlib.h>

#include "meta/core/puts.h"
#include "meta/service/peer.h"
#include "meta/stub/messages.h"

/* A request for a call that is being done already. */
struct also {
    struct request request;
    struct link link; /* in numbered.also */
};

/* ---- answers ---- */

/* The put of the next item, as the ids of one call follow each other; NULL: it was refused, or is
 * forgotten. */
static struct object *next_put(const struct core *c, int status, uint64_t *put_id)
{
    if (status != CENOTE_OK)
        return NULL;
    struct object *o = table_by_put(&c->table, *put_id);
    *put_id += PUT_IDS;
    return o;
}

/* A grant needs the node's key, which comes with its join. */
static bool nodes_are_back(const struct core *c, const struct numbered *n)
{
    uint64_t put_id = n->first_put_id;
    for (uint32_t i = 0; i < n->count; i++) {
        struct object *o = next_put(c, n->statuses[i], &put_id);
        if (o != NULL && o->state == OBJECT_PENDING && !put_can_be_granted(c, o))
            return false;
    }
    return true;
}

static void put_starts(struct core *c, const struct numbered *n, struct wire_buf *b)
{
    uint64_t put_id = n->first_put_id;
    wire_put_array(b, n->count);
    for (uint32_t i = 0; i < n->count; i++) {
        int status = n->statuses[i];
        put_start_item_answer(c, status, next_put(c, status, &put_id), b);
    }
}

static void put_statuses(const struct core *c, const struct numbered *n, struct wire_buf *b)
{
    wire_put_array(b, n->count);
    for (uint32_t i = 0; i < n->count; i++)
        key_status_put(c, b, n->statuses[i]);
}

static void put_answer(struct core *c, const struct numbered *n, struct wire_buf *b)
{
    if (n->kind == NUMBERED_START) {
        put_starts(c, n, b);
    } else if (n->kind == NUMBERED_COMMIT || n->kind == NUMBERED_ABORT) {
        wire_put_array(b, 2);
        put_statuses(c, n, b);
        wire_put_nil(b);
    } else {
        put_statuses(c, n, b);
    }
}

static int answer_again(struct core *c, const struct numbered *n, struct wire_buf *b)
{
    if (n->kind == NUMBERED_START && !nodes_are_back(c, n))
        return CENOTE_UNAVAILABLE; /* and the same a little later */
    put_answer(c, n, b);
    return CENOTE_OK;
}

/* What became of it isn't known any more. */
static int answer_passed(enum numbered_kind kind, uint32_t count, struct wire_buf *b)
{
    wire_put_array(b, count);
    for (uint32_t i = 0; i < count; i++) {
        if (kind == NUMBERED_START)
            status_item_put(b, CENOTE_UNKNOWN);
        else
            wire_put_int(b, CENOTE_UNKNOWN);
    }
    return CENOTE_OK;
}

/* ---- requests ---- */

static int join(struct service_peer *p, uint32_t msgid, struct numbered *n)
{
    struct also *a = request_new(p->service, sizeof(*a));
    if (a == NULL)
        return CENOTE_NO_MEMORY;
    request_begin(&a->request, p, msgid);
    list_append(&n->also, &a->link);
    return METHOD_LATER;
}

int numbered_begin(struct service_peer *p, uint32_t msgid, const struct numbered_params *params,
                   struct wire_buf *result, struct numbered **out)
{
    struct session *s = p->session;
    p->service->traffic.now.keys = params->count;
    if (s->window == NULL && (s->window = window_new(&p->service->core.small)) == NULL)
        return CENOTE_NO_MEMORY;
    int found = window_enter(s->window, params->seq, params->kind, params->count, out);
    switch (found) {
    case WINDOW_RUN:
        s->holds++;
        return NUMBERED_RUN;
    case WINDOW_RUNNING:
        return join(p, msgid, *out);
    case WINDOW_ANSWERED:
        return answer_again(&p->service->core, *out, result);
    case WINDOW_PASSED:
        return answer_passed(params->kind, params->count, result);
    default:
        return found;
    }
}

/* No memory for the answer: the grants don't leave, and nobody writes. */
static void abort_unsent(struct core *c, const struct numbered *n)
{
    uint64_t put_id = n->first_put_id;
    for (uint32_t i = 0; i < n->count; i++) {
        struct object *o = next_put(c, n->statuses[i], &put_id);
        if (o != NULL && o->put != NULL)
            puts_abort_unsent(o->put);
    }
}

/* A connection that has gone meanwhile doesn't matter: the client asks again over the next one, or
 * its session ends. */
static void answer(struct core *c, const struct numbered *n, struct request *r)
{
    struct wire_buf b = answer_begin(r->peer->service);
    request_result(r, &b);
    put_answer(c, n, &b);
    if (n->kind != NUMBERED_START) {
        request_end_done(r, &b);
        return;
    }
    if (b.failed && list_empty(&n->also))
        abort_unsent(c, n);
    request_end(r, &b);
}

void numbered_end(struct request *r, struct session *s, struct numbered *n)
{
    struct core *c = s->core;
    struct link *l;
    answer(c, n, r);
    while ((l = list_pop(&n->also)) != NULL)
        answer(c, n, &container_of(l, struct also, link)->request);
    window_leave(n);
    s->holds--;
    sessions_release(c, s);
}

bool numbered_wanted(const struct request *r, const struct numbered *n)
{
    return !r->peer->closed || !list_empty(&n->also);
}

void numbered_forget(struct request *r, struct session *s, struct numbered *n)
{
    request_drop(r);
    window_forget(s->window, n);
    s->holds--;
    sessions_release(s->core, s);
}
