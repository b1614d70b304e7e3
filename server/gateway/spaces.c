/* SPDX-License-Identifier: Apache-2.0 */
#include "server/gateway/spaces.h"

#include <assert.h>
#include <cenote/namespace.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "transport/base/clock.h"
#include "transport/base/log.h"

#define ALWAYS_THERE "default"

struct space {
    struct spaces *spaces;
    char name[CENOTE_NAMESPACE_MAX + 1]; /* empty: free */
    struct cenote *client;               /* NULL: somebody is opening it */
    unsigned users;
    uint64_t used_ms;
};

struct spaces {
    char *meta;
    pthread_mutex_t lock; /* of all below, but for what a user of a space reads of it */
    pthread_cond_t changed;
    struct space all[SPACES_MAX];
};

struct spaces *gateway_spaces_new(const char *meta)
{
    struct spaces *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->meta = strdup(meta);
    if (!s->meta) {
        free(s);
        return NULL;
    }
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
    for (unsigned i = 0; i < SPACES_MAX; i++)
        s->all[i].spaces = s;
    return s;
}

void gateway_spaces_free(struct spaces *s)
{
    if (!s)
        return;
    for (unsigned i = 0; i < SPACES_MAX; i++) {
        assert(s->all[i].users == 0);
        cenote_close(&s->all[i].client);
    }
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
    free(s->meta);
    free(s);
}

/* ---- opening --------------------------------------------------------------------------------- */

/* A client that is opened in a namespace makes it. Nobody asked for that here. */
static int look_for(struct spaces *s, const char *name)
{
    struct space *any;
    struct cenote_namespace *list;
    size_t count;
    if (strcmp(name, ALWAYS_THERE) == 0)
        return CENOTE_OK;
    int status = gateway_space_take(s, ALWAYS_THERE, &any);
    if (status != CENOTE_OK)
        return status;
    status = cenote_namespaces(any->client, &list, &count);
    gateway_space_give(any);
    if (status != CENOTE_OK)
        return status;
    status = CENOTE_NOT_FOUND;
    for (size_t i = 0; i < count && status != CENOTE_OK; i++)
        status = strcmp(list[i].name, name) == 0 ? CENOTE_OK : CENOTE_NOT_FOUND;
    free(list);
    return status;
}

static int open_client(struct spaces *s, const char *name, struct cenote **out)
{
    const struct cenote_options options = {.meta = s->meta, .name_space = name};
    int status = look_for(s, name);
    if (status == CENOTE_OK)
        status = cenote_open(&options, out);
    if (status != CENOTE_OK && status != CENOTE_NOT_FOUND)
        log_warn("gateway", "no client in namespace %s: %s", name, cenote_status_text(status));
    return status;
}

/* Locked: one that is there, or a place for it: a free one, or that of the idlest. */
static struct space *find_place(struct spaces *s, const char *name)
{
    struct space *best = NULL;
    for (unsigned i = 0; i < SPACES_MAX; i++) {
        struct space *p = &s->all[i];
        if (strcmp(p->name, name) == 0)
            return p;
        if (p->users > 0)
            continue;
        if (!best || (best->name[0] != '\0' && (p->name[0] == '\0' || p->used_ms < best->used_ms)))
            best = p;
    }
    return best;
}

/* Locked, but not while it is being opened. */
static int open_space(struct spaces *s, struct space *p, const char *name)
{
    struct cenote *old = p->client, *client = NULL;
    p->client = NULL;
    strcpy(p->name, name); /* both have the same size */
    pthread_mutex_unlock(&s->lock);
    cenote_close(&old);
    int status = open_client(s, name, &client);
    pthread_mutex_lock(&s->lock);
    p->client = client;
    if (status != CENOTE_OK)
        p->name[0] = '\0';
    pthread_cond_broadcast(&s->changed);
    return status;
}

int gateway_space_take(struct spaces *s, const char *name, struct space **out)
{
    int status = CENOTE_OK;
    pthread_mutex_lock(&s->lock);
    struct space *p = find_place(s, name);
    while (p && p->users > 0 && !p->client) { /* another thread is opening it */
        pthread_cond_wait(&s->changed, &s->lock);
        p = find_place(s, name);
    }
    if (!p) {
        status = CENOTE_LIMIT;
    } else {
        p->users++;
        if (!p->client || strcmp(p->name, name) != 0)
            status = open_space(s, p, name);
        if (status != CENOTE_OK)
            p->users--;
    }
    pthread_mutex_unlock(&s->lock);
    if (status == CENOTE_OK)
        *out = p;
    return status;
}

void gateway_space_give(struct space *space)
{
    if (!space)
        return;
    pthread_mutex_lock(&space->spaces->lock);
    assert(space->users > 0);
    space->users--;
    space->used_ms = clock_now_ms();
    pthread_mutex_unlock(&space->spaces->lock);
}

struct cenote *gateway_space_client(const struct space *space)
{
    return space->client;
}

bool gateway_spaces_tidy(struct spaces *s)
{
    struct cenote *idle[SPACES_MAX];
    unsigned count = 0;
    bool others = false;
    uint64_t now_ms = clock_now_ms();
    pthread_mutex_lock(&s->lock);
    for (unsigned i = 0; i < SPACES_MAX; i++) {
        struct space *p = &s->all[i];
        if (p->name[0] == '\0')
            continue;
        if (p->users == 0 && now_ms - p->used_ms >= SPACES_IDLE_MS) {
            idle[count++] = p->client;
            p->client = NULL;
            p->name[0] = '\0';
        } else {
            others = true;
        }
    }
    pthread_mutex_unlock(&s->lock);
    for (unsigned i = 0; i < count; i++)
        cenote_close(&idle[i]);
    return others;
}
