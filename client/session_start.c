/* SPDX-License-Identifier: Apache-2.0 */
/* The session's calls that nobody waits for. */
#include <assert.h>
#include <poll.h>

#include "client/session_link.h"

/* Where the link's calls are counted, or a free place; SESSION_LINKS_MAX: there is none. */
static size_t place_of(const struct session *s, const struct link *l)
{
    size_t unused = SESSION_LINKS_MAX;
    for (size_t i = 0; i < SESSION_LINKS_MAX; i++) {
        if (s->started[i] == l)
            return i;
        if (!s->started[i])
            unused = i;
    }
    return unused;
}

static void call_over(struct session *s, struct session_call *call)
{
    size_t i = place_of(s, call->link);
    assert(i < SESSION_LINKS_MAX && s->started_calls[i] > 0);
    if (--s->started_calls[i] == 0)
        s->started[i] = NULL;
    link_drop(s, call->link);
    call->link = NULL;
}

static int start_on(struct session *s, struct link *l, const struct rpc_driver *driver,
                    const struct wire_buf *request, struct session_call *call)
{
    size_t i = place_of(s, l);
    call->who = l->who;
    if (call->seq != 0 && call->seq < l->first_seq)
        return CENOTE_NO_SESSION;
    if (i == SESSION_LINKS_MAX)
        return CENOTE_LIMIT;
    int status = rpc_client_start(l->rpc, driver, request->data, request->len, &call->pending);
    if (status == CENOTE_OK) {
        s->started[i] = l;
        s->started_calls[i]++;
        call->link = l;
    }
    return status;
}

int session_start(struct session *s, const struct rpc_driver *driver, uint64_t seq,
                  const struct wire_buf *request, struct session_call *call)
{
    int status = CENOTE_NO_MEMORY;
    struct link *l = request->failed ? NULL : link_take(s);

    call->seq = seq;
    call->link = NULL;
    call->who = (struct xcopy_credentials){0};
    if (l) {
        status = start_on(s, l, driver, request, call);
        if (status != CENOTE_OK)
            link_drop(s, l);
    } else if (!request->failed) {
        status = link_possible(s);
        status = status == CENOTE_OK ? SESSION_AWAY : status;
    }
    if (status < 0 && status != CENOTE_LIMIT)
        session_note_lost(s, seq, status);
    return status;
}

int session_finish(struct session *s, struct session_call *call)
{
    int status = call->pending.status;
    if (status == CENOTE_NO_SESSION)
        link_disowned(s, call->link);
    call_over(s, call);
    session_note_lost(s, call->seq, status);
    return status;
}

bool session_forget(struct session *s, struct session_call *call)
{
    if (!rpc_client_forget(call->link->rpc, &call->pending))
        return false;
    call_over(s, call);
    session_note_lost(s, call->seq, CENOTE_TIMED_OUT);
    return true;
}

void session_flush(struct session *s)
{
    for (size_t i = 0; i < SESSION_LINKS_MAX; i++)
        if (s->started[i])
            rpc_client_flush(s->started[i]->rpc);
}

/* A place for each link, so that both functions find the same one. */
size_t session_lead(struct session *s, struct pollfd *fds)
{
    for (size_t i = 0; i < SESSION_LINKS_MAX; i++) {
        fds[i] = (struct pollfd){.fd = -1};
        if (s->started[i])
            fds[i].fd = rpc_client_lead(s->started[i]->rpc, &fds[i].events);
    }
    return SESSION_LINKS_MAX;
}

void session_follow(struct session *s, const struct pollfd *fds, size_t count)
{
    assert(count == SESSION_LINKS_MAX);
    for (size_t i = 0; i < count; i++)
        if (s->started[i])
            rpc_client_follow(s->started[i]->rpc, fds[i].revents);
}

bool session_may_number(struct session *s)
{
    return lost_is_free(&s->lost, atomic_load(&s->seq) + 1);
}
