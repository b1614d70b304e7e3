/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/core/sessions.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "meta/core/core.h"
#include "meta/core/puts.h"
#include "meta/core/session_record.h"
#include "transport/base/log.h"

/* Sessions that one tick ends. */
#define ENDS_MAX 1024u

static struct session **bucket_of(struct core *c, uint64_t id)
{
    return &c->sessions.buckets[id % SESSION_BUCKETS];
}

static struct session *add(struct core *c, uint64_t id)
{
    struct session *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return NULL;
    s->id = id;
    s->core = c;
    struct session **bucket = bucket_of(c, id);
    s->next = *bucket;
    *bucket = s;
    return s;
}

struct session *sessions_add(struct core *c, uint64_t id, struct space *space, const char *client)
{
    struct session *s = add(c, id);
    if (s == NULL)
        return NULL;
    s->space = space;
    s->gone_ms = c->patient_ms;
    strncpy(s->client, client, sizeof(s->client) - 1);
    list_append(&c->sessions.gone, &s->gone);
    c->sessions.count++;
    return s;
}

struct session *sessions_add_ended(struct core *c, uint64_t id)
{
    struct session *s = add(c, id);
    if (s == NULL)
        return NULL;
    s->ended = true;
    s->durable = true;
    list_append(&c->sessions.leftover, &s->gone);
    return s;
}

struct session *sessions_find(const struct core *c, uint64_t id)
{
    struct session *s = c->sessions.buckets[id % SESSION_BUCKETS];
    while (s != NULL && s->id != id)
        s = s->next;
    return s;
}

int sessions_resume(const struct core *c, const struct session_resume_params *p,
                    struct session **out)
{
    if (!token_valid(&c->pool_key, p->session, p->name_space, &p->token))
        return CENOTE_NO_SESSION;
    struct session *s = sessions_find(c, p->session);
    /* Without a record: it has ended in an earlier life, and is here for its puts only. */
    if (s == NULL || s->ended || !s->durable || s->space->id != p->name_space)
        return CENOTE_NO_SESSION;
    *out = s;
    return CENOTE_OK;
}

void sessions_connected(struct session *s, struct service_peer *peer)
{
    s->peer = peer;
    link_remove(&s->gone);
}

void sessions_disconnected(struct core *c, struct session *s)
{
    s->peer = NULL;
    s->gone_ms = c->patient_ms;
    list_append(&c->sessions.gone, &s->gone);
}

/* ---- records ---- */

static void stored(struct change *ch, int status)
{
    struct session *s = container_of(ch, struct session, change);
    struct session_stored *w = s->stored;
    s->stored = NULL;
    s->durable = status == CENOTE_OK;
    if (status == CENOTE_OK && s->ended)
        status = CENOTE_NO_SESSION; /* it took the store longer than the grace */
    if (status != CENOTE_OK) {
        sessions_end(s->core, s);
        s = NULL;
    }
    w->done(w, s, status);
}

int sessions_begin(struct core *c, struct space *space, const char *client,
                   struct session_stored *w)
{
    if (c->sessions.count >= SESSIONS_MAX)
        return CENOTE_LIMIT;
    struct session *s = sessions_add(c, ids_take(&c->ids), space, client);
    if (s == NULL)
        return CENOTE_NO_MEMORY;
    session_record_open(c, s);
    s->stored = w;
    s->change.done = stored;
    change_submit(&c->changes, &s->change, CHANGE_FREES); /* who frees space needs a session */
    return CENOTE_OK;
}

static void forget(struct session *s);

static void forgot(struct change *ch, int status)
{
    struct session *s = container_of(ch, struct session, change);
    if (status != CENOTE_OK) {
        s->forget_slot = 0;
        list_append(&s->core->sessions.leftover, &s->gone);
        return;
    }
    s->durable = !s->forgotten;
    forget(s);
    sessions_release(s->core, s);
}

static void forget(struct session *s)
{
    if (!s->durable || s->change.in_flight)
        return;
    s->forgotten = session_record_forget(s->core, s);
    s->change.done = forgot;
    change_submit(&s->core->changes, &s->change, CHANGE_FREES);
}

/* ---- the end ---- */

void sessions_end(struct core *c, struct session *s)
{
    if (!s->ended) {
        s->ended = true;
        s->peer = NULL;
        link_remove(&s->gone);
        c->sessions.count--;
        puts_abort_session(c, s);
    }
    forget(s); /* behind the aborts */
    sessions_release(c, s);
}

void sessions_release(struct core *c, struct session *s)
{
    if (!s->ended || s->holds > 0 || s->put_count > 0 || s->ending_extents > 0 || s->durable ||
        s->change.in_flight)
        return;
    struct link *l;
    while ((l = list_pop(&s->fences)) != NULL) {
        struct fence *f = container_of(l, struct fence, by_session);
        link_remove(&f->by_node);
        fence_orphan(f);
    }
    struct session **at = bucket_of(c, s->id);
    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    link_remove(&s->gone);
    window_free(s->window);
    free(s);
}

void sessions_tick(struct core *c)
{
    struct list again = {0};
    struct link *l;
    list_move_all(&again, &c->sessions.leftover);
    while ((l = list_pop(&again)) != NULL)
        forget(container_of(l, struct session, gone));
    for (uint32_t n = 0; n < ENDS_MAX; n++) {
        l = list_first(&c->sessions.gone);
        if (l == NULL)
            return;
        struct session *s = container_of(l, struct session, gone);
        if (c->patient_ms - s->gone_ms < c->options.session_grace_ms)
            return;
        log_info("meta", "session %llu has been gone too long: it ends", (unsigned long long)s->id);
        sessions_end(c, s);
    }
}

void sessions_free(struct core *c)
{
    for (uint32_t i = 0; i < SESSION_BUCKETS; i++) {
        while (c->sessions.buckets[i] != NULL) {
            struct session *s = c->sessions.buckets[i];
            c->sessions.buckets[i] = s->next;
            struct link *l;
            while ((l = list_pop(&s->fences)) != NULL)
                free(container_of(l, struct fence, by_session));
            window_free(s->window);
            free(s);
        }
    }
}

struct fence *sessions_fence(struct core *c, struct session *s, struct node *node)
{
    list_each(&s->fences, l)
    {
        struct fence *f = container_of(l, struct fence, by_session);
        if (f->node == node)
            return f;
    }
    struct fence *f = calloc(1, sizeof(*f));
    if (f == NULL)
        return NULL;
    f->core = c;
    f->session = s;
    f->session_id = s->id;
    f->node = node;
    list_append(&s->fences, &f->by_session);
    list_append(&node->fences, &f->by_node);
    return f;
}

void fence_due(struct fence *f)
{
    if (!f->in_flight && !link_used(&f->due))
        list_append(&f->node->due, &f->due);
}

void fence_orphan(struct fence *f)
{
    assert(list_empty(&f->waiting));
    link_remove(&f->due);
    f->session = NULL;
    f->node = NULL;
    if (!f->in_flight)
        free(f);
}
