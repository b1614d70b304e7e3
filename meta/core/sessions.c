/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/core/sessions.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "meta/core/core.h"
#include "meta/core/puts.h"
#include "transport/base/log.h"

/* Sessions that one tick ends. */
#define ENDS_MAX 1024u

static struct session **bucket_of(struct core *c, uint64_t id)
{
    return &c->sessions.buckets[id % SESSION_BUCKETS];
}

struct session *sessions_add(struct core *c, uint64_t id, struct space *space, const char *client)
{
    struct session *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return NULL;
    s->id = id;
    s->space = space;
    s->gone_ms = c->patient_ms;
    strncpy(s->client, client, sizeof(s->client) - 1);
    struct session **bucket = bucket_of(c, id);
    s->next = *bucket;
    *bucket = s;
    list_append(&c->sessions.gone, &s->gone);
    c->sessions.count++;
    return s;
}

struct session *sessions_find(const struct core *c, uint64_t id)
{
    struct session *s = c->sessions.buckets[id % SESSION_BUCKETS];
    while (s != NULL && s->id != id)
        s = s->next;
    return s;
}

int sessions_resume(struct core *c, const struct session_resume_params *p, struct session **out)
{
    if (!token_valid(&c->pool_key, p->session, p->name_space, &p->token))
        return CENOTE_NO_SESSION;
    struct session *s = sessions_find(c, p->session);
    struct space *space = spaces_by_id(c, p->name_space);
    if (s == NULL) {
        /* Of this life: it has ended. Of an earlier one: begun anew, with higher put ids than any
         * that were fenced. */
        if (ids_own(&c->ids, p->session) || space == NULL)
            return CENOTE_NO_SESSION;
        if (c->sessions.count >= SESSIONS_MAX)
            return CENOTE_LIMIT;
        s = sessions_add(c, p->session, space, "");
        if (s == NULL)
            return CENOTE_NO_MEMORY;
    }
    if (s->ended || s->space != space)
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

void sessions_end(struct core *c, struct session *s)
{
    if (s->ended)
        return;
    s->ended = true;
    s->peer = NULL;
    link_remove(&s->gone);
    c->sessions.count--;
    puts_abort_session(c, s);
    sessions_release(c, s);
}

void sessions_release(struct core *c, struct session *s)
{
    if (!s->ended || s->holds > 0 || s->put_count > 0 || s->ending_extents > 0)
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
    free(s);
}

void sessions_tick(struct core *c)
{
    for (uint32_t n = 0; n < ENDS_MAX; n++) {
        struct link *l = list_first(&c->sessions.gone);
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
