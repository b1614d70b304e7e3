/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/session_link.h"
#include "transport/base/clock.h"
#include "transport/base/log.h"

#define MODULE              "session"
/* How long a closing client waits for the service. */
#define SESSION_FAREWELL_MS 1000u

/* ---- links ----------------------------------------------------------------------------------- */

struct link *link_take(struct session *s)
{
    pthread_mutex_lock(&s->lock);
    struct link *l = s->link;
    if (l && !rpc_client_alive(l->rpc))
        l = NULL;
    if (l)
        l->users++;
    pthread_mutex_unlock(&s->lock);
    return l;
}

void link_drop(struct session *s, struct link *l)
{
    pthread_mutex_lock(&s->lock);
    assert(l->users > 0);
    bool last = --l->users == 0;
    pthread_mutex_unlock(&s->lock);
    if (last) {
        rpc_client_close(l->rpc);
        free(l);
    }
}

/* Makes l (NULL: nothing) the current link. */
static void link_set(struct session *s, struct link *l)
{
    pthread_mutex_lock(&s->lock);
    struct link *old = s->link;
    s->link = l;
    pthread_mutex_unlock(&s->lock);
    if (old)
        link_drop(s, old);
}

static void link_unset(struct session *s, struct link *l)
{
    pthread_mutex_lock(&s->lock);
    bool current = s->link == l;
    if (current)
        s->link = NULL;
    pthread_mutex_unlock(&s->lock);
    if (current)
        link_drop(s, l);
}

/* ---- connecting ------------------------------------------------------------------------------ */

/* False: the session is closing. */
static bool begin_greeting(struct session *s, struct rpc_client *rpc)
{
    pthread_mutex_lock(&s->lock);
    bool go_on = !s->closing;
    if (go_on)
        s->greeting = rpc;
    if (s->disowned == s->hello.who.session)
        s->hello.open = false;
    pthread_mutex_unlock(&s->lock);
    return go_on;
}

static void end_greeting(struct session *s)
{
    pthread_mutex_lock(&s->lock);
    s->greeting = NULL;
    pthread_mutex_unlock(&s->lock);
}

/* Greets until the service knows us: a resume that comes too late is followed by an open. */
static int greet(struct session *s, struct rpc_client *rpc)
{
    struct wire_buf request = {0};
    int status = CENOTE_NO_SESSION;

    if (!begin_greeting(s, rpc))
        return CENOTE_CLOSED;
    for (int i = 0; i < 2 && status == CENOTE_NO_SESSION; i++) {
        struct rpc_answer answer = {0};

        hello_request(&s->hello, &request);
        if (request.failed) {
            status = CENOTE_NO_MEMORY;
            break;
        }
        status = rpc_client_call(rpc, request.data, request.len, s->timeout_ms, &answer);
        bool answered = status == CENOTE_OK;
        status = hello_answer(&s->hello, status,
                              answered ? answer.msg.result : (struct wire_value){NULL});
        if (answered)
            rpc_answer_free(&answer);
        if (status == CENOTE_NO_SESSION)
            log_info(MODULE, "the session has ended meanwhile: a new one begins");
    }
    end_greeting(s);
    wire_buf_free(&request);
    return status;
}

/* Numbers taken before the session began were meant for the one before: whoever has one may have
 * sent it there already. */
static void number_calls(struct session *s, uint64_t before)
{
    if (s->hello.who.session != before)
        s->first_seq = atomic_load(&s->seq) + 1;
}

/* A greeting that got no answer is a service that is away. */
static int away(int status)
{
    return status == CENOTE_TIMED_OUT || status == CENOTE_UNKNOWN ? CENOTE_UNAVAILABLE : status;
}

static int link_make(struct session *s, struct link **out)
{
    struct endpoint e;
    struct link *l;
    uint64_t before = s->hello.who.session;
    int status = endpoint_parse(s->meta, &e);

    if (status != CENOTE_OK)
        return status;
    l = calloc(1, sizeof *l);
    if (!l)
        return CENOTE_NO_MEMORY;
    status = rpc_client_open(&e, s->timeout_ms, &l->rpc);
    if (status != CENOTE_OK)
        goto free_link;
    status = greet(s, l->rpc);
    if (status != CENOTE_OK)
        goto close_rpc;
    number_calls(s, before);
    l->first_seq = s->first_seq;
    l->who = s->hello.who;
    l->users = 1;
    s->connected(s->arg, &l->who);
    *out = l;
    return CENOTE_OK;

close_rpc:
    rpc_client_close(l->rpc);
free_link:
    free(l);
    return away(status);
}

int link_possible(struct session *s)
{
    int status = CENOTE_OK;
    pthread_mutex_lock(&s->lock);
    if (s->closing)
        status = CENOTE_CLOSED;
    else if (clock_now_ms() < s->not_before_ms)
        status = CENOTE_UNAVAILABLE;
    pthread_mutex_unlock(&s->lock);
    return status;
}

static void note_connect(struct session *s, bool worked)
{
    pthread_mutex_lock(&s->lock);
    if (worked)
        s->backoff_ms = 0;
    else if (s->backoff_ms == 0)
        s->backoff_ms = SESSION_BACKOFF_MIN_MS;
    else if (s->backoff_ms < SESSION_BACKOFF_MAX_MS / 2)
        s->backoff_ms *= 2;
    else
        s->backoff_ms = SESSION_BACKOFF_MAX_MS;
    s->not_before_ms = worked ? 0 : clock_now_ms() + s->backoff_ms;
    pthread_mutex_unlock(&s->lock);
}

/* Under connecting: a new current link. */
static int reconnect(struct session *s)
{
    struct link *fresh = NULL;
    int status = link_possible(s);

    if (status != CENOTE_OK)
        return status;
    status = link_make(s, &fresh);
    note_connect(s, status == CENOTE_OK);
    if (status == CENOTE_OK)
        link_set(s, fresh);
    return status;
}

/* A living link to use, made if need be; give it back with link_drop(). */
static int link_get(struct session *s, struct link **out)
{
    int status = CENOTE_OK;

    if ((*out = link_take(s)) != NULL)
        return CENOTE_OK;
    pthread_mutex_lock(&s->connecting);
    *out = link_take(s); /* somebody else may have made one meanwhile */
    if (!*out)
        status = reconnect(s);
    if (!*out && status == CENOTE_OK && !(*out = link_take(s)))
        status = CENOTE_UNAVAILABLE; /* broken again already */
    pthread_mutex_unlock(&s->connecting);
    return status;
}

/* Noted only: somebody may be connecting, and that takes long. */
void link_disowned(struct session *s, struct link *l)
{
    pthread_mutex_lock(&s->lock);
    s->disowned = l->who.session;
    pthread_mutex_unlock(&s->lock);
    link_unset(s, l);
}

/* ---- the session ----------------------------------------------------------------------------- */

int session_open(const struct session_options *options, struct session **out)
{
    struct session *s;
    struct link *l;
    int status = CENOTE_INVALID;

    if (strlen(options->meta) >= SESSION_META_MAX ||
        strlen(options->name_space) > CENOTE_NAMESPACE_MAX)
        return CENOTE_INVALID;
    s = calloc(1, sizeof *s);
    if (!s)
        return CENOTE_NO_MEMORY;
    snprintf(s->meta, sizeof s->meta, "%s", options->meta);
    snprintf(s->hello.name_space, sizeof s->hello.name_space, "%s", options->name_space);
    snprintf(s->hello.client, sizeof s->hello.client, "%s", options->client);
    s->timeout_ms = options->timeout_ms;
    s->connected = options->connected;
    s->arg = options->arg;
    atomic_init(&s->seq, 0);
    pthread_mutex_init(&s->lock, NULL);
    pthread_mutex_init(&s->connecting, NULL);
    lost_init(&s->lost);

    status = link_get(s, &l);
    if (status != CENOTE_OK) {
        session_close(s);
        return status;
    }
    link_drop(s, l);
    *out = s;
    return CENOTE_OK;
}

static void say_farewell(struct session *s)
{
    struct link *l = link_take(s);
    struct wire_buf request = {0};
    struct rpc_answer answer = {0};

    if (!l)
        return;
    wire_put_request(&request, 0, METHOD_SESSION_CLOSE);
    wire_put_array(&request, 0);
    uint32_t wait_ms = s->timeout_ms < SESSION_FAREWELL_MS ? s->timeout_ms : SESSION_FAREWELL_MS;
    if (!request.failed &&
        rpc_client_call(l->rpc, request.data, request.len, wait_ms, &answer) == CENOTE_OK)
        rpc_answer_free(&answer);
    wire_buf_free(&request);
    link_drop(s, l);
}

void session_stop(struct session *s)
{
    say_farewell(s);
    pthread_mutex_lock(&s->lock);
    s->closing = true;
    if (s->greeting)
        rpc_client_interrupt(s->greeting);
    if (s->link)
        rpc_client_interrupt(s->link->rpc);
    pthread_mutex_unlock(&s->lock);
}

void session_close(struct session *s)
{
    if (!s)
        return;
    session_stop(s);
    link_set(s, NULL);
    lost_destroy(&s->lost);
    pthread_mutex_destroy(&s->connecting);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

void session_abandon(struct session *s)
{
    if (s->link) { /* whole at any time: a link is closed after another one took its place */
        rpc_client_abandon(s->link->rpc);
        free(s->link);
    }
    free(s);
}

/* One that wasn't sent at all, or not taken, is lost only if an earlier try was. */
void session_note_lost(struct session *s, uint64_t seq, int status)
{
    if (seq == 0)
        return;
    if (status == CENOTE_UNKNOWN)
        lost_note(&s->lost, seq);
    else if (status == CENOTE_UNAVAILABLE || status == CENOTE_NO_MEMORY)
        lost_again(&s->lost, seq);
    else
        lost_forget(&s->lost, seq);
}

/* Two tries: a connection that broke while nobody looked shows it only to the one who writes. */
int session_call(struct session *s, uint64_t seq, const struct wire_buf *request,
                 struct rpc_answer *answer, struct xcopy_credentials *who)
{
    int status = CENOTE_UNAVAILABLE;

    for (int i = 0; i < 2 && status == CENOTE_UNAVAILABLE; i++) {
        struct link *l;

        status = link_get(s, &l);
        if (status != CENOTE_OK)
            break;
        bool current = seq == 0 || seq >= l->first_seq;
        status = CENOTE_NO_SESSION;
        if (current)
            status = rpc_client_call(l->rpc, request->data, request->len, s->timeout_ms, answer);
        if (who)
            *who = l->who;
        if (current && status == CENOTE_NO_SESSION)
            link_disowned(s, l);
        link_drop(s, l);
    }
    session_note_lost(s, seq, status);
    return status;
}

int session_connect(struct session *s)
{
    struct link *l;
    int status = link_get(s, &l);
    if (status == CENOTE_OK)
        link_drop(s, l);
    return status;
}

uint64_t session_number(struct session *s)
{
    return atomic_fetch_add(&s->seq, 1) + 1;
}

uint64_t session_next_seq(struct session *s)
{
    lost_wait(&s->lost, atomic_load(&s->seq) + 1);
    return session_number(s);
}
