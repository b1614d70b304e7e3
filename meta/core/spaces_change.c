/* SPDX-License-Identifier: Apache-2.0 */
/* Changes of namespaces that somebody asks for. */
#include <string.h>

#include "meta/core/core.h"
#include "meta/core/session_record.h"
#include "transport/base/log.h"

/* ---- changes on their way ---- */

static void set(struct change *ch, int status)
{
    struct space_work *w = container_of(ch, struct space_work, change);
    struct space *s = w->space;
    struct list waiters = {0};
    list_move_all(&waiters, &s->waiters);
    s->busy = false;
    if (status == CENOTE_OK) {
        s->settings = w->settings;
        s->durable = true;
        notes_changed(w->core, true);
    }
    int told = s->durable ? CENOTE_OK : status;
    if (!s->durable) {
        space_drop(w->core, s);
        s = NULL;
    }
    w->done(w, status); /* w may be gone now */
    space_settled(&waiters, told, s);
}

static void removed(struct change *ch, int status)
{
    struct space_work *w = container_of(ch, struct space_work, change);
    struct space *s = w->space;
    struct list waiters = {0};
    list_move_all(&waiters, &s->waiters);
    s->busy = false;
    s->removing = false;
    if (status == CENOTE_OK) {
        log_info("meta", "namespace %s is removed", s->name);
        space_drop(w->core, s);
        notes_changed(w->core, true);
        s = NULL;
    }
    w->done(w, status);
    space_settled(&waiters, s == NULL ? SPACE_AGAIN : CENOTE_OK, s);
}

static void submit(struct space_work *w, struct space *s,
                   void (*done)(struct change *ch, int status))
{
    session_record_item(w->core, w->session, w->call, 0);
    w->space = s;
    s->busy = true;
    w->change.done = done;
    change_submit(&w->core->changes, &w->change, CHANGE_SYNC);
}

/* ---- setting ---- */

static void set_again(struct space_wait *wait, int status, struct space *s)
{
    (void)status;
    (void)s;
    spaces_set(container_of(wait, struct space_work, wait));
}

void spaces_set(struct space_work *w)
{
    struct core *c = w->core;
    struct space *s = space_by_name(c, w->name);
    int status = CENOTE_OK;
    if (s != NULL && s->busy) {
        w->wait.done = set_again;
        list_append(&s->waiters, &w->wait.link);
        return;
    }
    if (s != NULL && w->create)
        status = CENOTE_EXISTS;
    else if (s == NULL && !w->create)
        status = CENOTE_NOT_FOUND;
    else if (s == NULL)
        status = space_make(c, w->name, &s);
    if (status != CENOTE_OK) {
        w->done(w, status);
        return;
    }
    space_draft(c, s, &w->settings);
    submit(w, s, set);
}

/* ---- removing ---- */

static bool has_sessions(const struct core *c, const struct space *space)
{
    for (uint32_t i = 0; i < SESSION_BUCKETS; i++)
        for (const struct session *s = c->sessions.buckets[i]; s != NULL; s = s->next)
            if (s->space == space)
                return true;
    return false;
}

static void remove_again(struct space_wait *wait, int status, struct space *s)
{
    (void)status;
    (void)s;
    spaces_remove(container_of(wait, struct space_work, wait));
}

void spaces_remove(struct space_work *w)
{
    struct core *c = w->core;
    struct space *s = space_by_name(c, w->name);
    int status = CENOTE_OK;
    if (s != NULL && s->busy) {
        w->wait.done = remove_again;
        list_append(&s->waiters, &w->wait.link);
        return;
    }
    if (strcmp(w->name, SPACE_DEFAULT) == 0)
        status = CENOTE_INVALID;
    else if (s == NULL)
        status = CENOTE_NOT_FOUND;
    else if (s->extant > 0 || has_sessions(c, s))
        status = CENOTE_IN_USE;
    if (status != CENOTE_OK) {
        w->done(w, status);
        return;
    }
    s->removing = true;
    space_draft_removed(c, s);
    submit(w, s, removed);
}
