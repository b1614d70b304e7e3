/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The blocking client: many threads, one connection, no thread of its own.
 *
 * Every caller writes its own request and then waits for its answer. One of those who wait, the
 * leader, polls the socket without the lock and hands every answer to its owner; the others sleep.
 * The input buffer belongs to the leader. Nobody waits in vain, because of two rules, both kept
 * under the lock: who finds no leader when he would sleep becomes it; and who leaves, for whatever
 * reason, while there is no leader wakes a sleeper, who then does the same.
 *
 * A caller who waits for room in the socket leads too, if nobody does: the service may have stopped
 * reading because nobody takes its answers.
 */
#include <assert.h>
#include <cenote/status.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "transport/base/clock.h"
#include "transport/base/log.h"
#include "transport/rpc/client.h"
#include "transport/rpc/socket.h"

#define NS_PER_MS     UINT64_C(1000000)
#define NS_PER_S      UINT64_C(1000000000)
#define NEVER         UINT64_MAX
/* After so long a silence a look at the socket, before a request is sent, finds out whether the
 * service has closed it meanwhile: then nothing was sent, and nothing is in doubt. */
#define SILENCE_NS    (100 * NS_PER_MS)
/* Who waits for room while another leads looks that often whether somebody still does. */
#define ROOM_SLICE_NS (50 * NS_PER_MS)

/* A call in progress, on its caller's stack. */
struct waiter {
    struct rpc_pending pending; /* first */
    struct waiter *next_sleeper, *prev_sleeper;
    pthread_cond_t wake;
    bool done; /* it has an answer, or is lost */
};

/* ---- time ---------------------------------------------------------------------------------- */

static uint64_t deadline_after(uint32_t timeout_ms)
{
    return timeout_ms == 0 ? NEVER : clock_now_ns() + timeout_ms * NS_PER_MS;
}

static uint64_t left_ns(uint64_t deadline_ns)
{
    uint64_t now_ns = clock_now_ns();
    return deadline_ns > now_ns ? deadline_ns - now_ns : 0;
}

static struct timespec timespec_ns(uint64_t ns)
{
    return (struct timespec){(time_t)(ns / NS_PER_S), (long)(ns % NS_PER_S)};
}

/* Conditions have no clock that goes on in sleep: late by a machine's nap at the worst. */
static void wait_until(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t deadline_ns)
{
    struct timespec now, end;
    if (deadline_ns == NEVER) {
        pthread_cond_wait(cond, lock);
        return;
    }
    clock_gettime(CLOCK_MONOTONIC, &now);
    end =
        timespec_ns((uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec + left_ns(deadline_ns));
    pthread_cond_timedwait(cond, lock, &end);
}

/* poll() for events: those that came, 0 at the deadline. */
static short poll_until(int fd, short events, uint64_t deadline_ns)
{
    for (;;) {
        struct pollfd p = {.fd = fd, .events = events};
        struct timespec left = timespec_ns(deadline_ns == NEVER ? 0 : left_ns(deadline_ns));
        int n = ppoll(&p, 1, deadline_ns == NEVER ? NULL : &left, NULL);
        if (n > 0)
            return p.revents;
        if (n == 0)
            return 0;
        if (errno != EINTR) {
            log_error("rpc", "cannot poll: %s", strerror(errno));
            return POLLNVAL;
        }
    }
}

/* ---- opening, breaking, closing ------------------------------------------------------------ */

int rpc_client_open(const struct endpoint *e, uint32_t timeout_ms, struct rpc_client **out)
{
    struct rpc_client *c = calloc(1, sizeof(*c));
    if (!c)
        return CENOTE_NO_MEMORY;
    c->fd = endpoint_connect(e, timeout_ms);
    if (c->fd < 0) {
        int rc = c->fd;
        free(c);
        return rc;
    }
    rpc_socket_tune(c->fd, e);
    pthread_condattr_init(&c->monotonic);
    pthread_condattr_setclock(&c->monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&c->send_free, &c->monotonic);
    pthread_mutex_init(&c->lock, NULL);
    rpc_input_init(&c->input, WIRE_FRAME_MAX);
    c->heard_ns = clock_now_ns();
    *out = c;
    return CENOTE_OK;
}

static void client_free(struct rpc_client *c)
{
    close(c->fd);
    rpc_calls_free(&c->calls);
    rpc_input_free(&c->input);
    free(c->out);
    pthread_mutex_destroy(&c->lock);
    pthread_cond_destroy(&c->send_free);
    pthread_condattr_destroy(&c->monotonic);
    free(c);
}

static void waiter_finish(struct rpc_pending *p)
{
    struct waiter *w = (struct waiter *)p;
    w->done = true;
    pthread_cond_signal(&w->wake);
}

/* With the lock: the call is over. A driver's counts as sent if the kernel may have all of it. */
static void pending_finish(struct rpc_client *c, struct rpc_pending *p, int status)
{
    p->status = status;
    if (p->ends > 0) {
        c->started--;
        if (status == CENOTE_UNKNOWN && c->offered < p->ends)
            p->status = CENOTE_UNAVAILABLE;
    }
    p->done(p);
}

void client_break(struct rpc_client *c, const char *why)
{
    struct rpc_call *call;
    if (atomic_load(&c->broken))
        return;
    if (why)
        log_info("rpc", "connection to the service lost: %s", why);
    atomic_store(&c->broken, true);
    shutdown(c->fd, SHUT_RDWR); /* wakes the leader and who waits for room */
    while ((call = rpc_calls_take_any(&c->calls)) != NULL)
        pending_finish(c, (struct rpc_pending *)call, CENOTE_UNKNOWN);
    pthread_cond_broadcast(&c->send_free);
}

void rpc_client_interrupt(struct rpc_client *c)
{
    pthread_mutex_lock(&c->lock);
    client_break(c, NULL);
    pthread_mutex_unlock(&c->lock);
}

void rpc_client_close(struct rpc_client *c)
{
    if (!c)
        return;
    pthread_mutex_lock(&c->lock);
    client_break(c, NULL);
    c->closed = true;
    bool last = c->users == 0;
    pthread_mutex_unlock(&c->lock);
    if (last)
        client_free(c);
}

/* With threads of the parent inside nothing but the descriptor is sound, and there is nobody to
 * wait for. */
void rpc_client_abandon(struct rpc_client *c)
{
    if (c->users == 0 && c->calls.count == 0)
        client_free(c);
    else
        close(c->fd);
}

bool rpc_client_alive(const struct rpc_client *c)
{
    return !atomic_load(&c->broken);
}

/* ---- leading ------------------------------------------------------------------------------- */

void client_wake_sleeper(struct rpc_client *c)
{
    if (c->has_leader)
        return;
    if (c->sleepers)
        pthread_cond_signal(&c->sleepers->wake);
    else if (c->started > 0)
        c->driver.wake(c->driver.arg);
}

/* Parses a copy of the frame, which its receiver will own. */
static int answer_make(const uint8_t *frame, size_t len_bytes, struct rpc_answer *out)
{
    uint8_t *copy = malloc(len_bytes);
    if (!copy)
        return CENOTE_NO_MEMORY;
    memcpy(copy, frame, len_bytes);
    int rc = wire_parse(copy, len_bytes, &out->msg);
    if (rc != CENOTE_OK) {
        free(copy);
        return rc;
    }
    out->frame = copy;
    return CENOTE_OK;
}

/* With the lock: hands an answer over, or drops it. NULL, or why the connection is broken by it. */
static const char *client_deliver(struct rpc_client *c, struct rpc_answer *answer)
{
    const struct wire_msg *m = &answer->msg;
    const char *breach = NULL;
    struct rpc_pending *p = NULL;
    if (m->kind == WIRE_REQUEST)
        breach = "the service sent a request";
    else if (m->kind == WIRE_RESPONSE && m->msgid == 0)
        breach = m->error ? cenote_status_text(m->error) : "a response to no request";
    else if (m->kind == WIRE_RESPONSE)
        p = (struct rpc_pending *)rpc_calls_take(&c->calls, m->msgid);
    if (!p) {
        if (!breach && m->kind == WIRE_RESPONSE && !rpc_calls_was_late(&c->calls, m->msgid))
            breach = "a response to no request";
        rpc_answer_free(answer);
        return breach;
    }
    p->answer = *answer;
    pending_finish(c, p, m->error);
    return NULL;
}

const char *client_receive(struct rpc_client *c, size_t *total)
{
    const uint8_t *frame;
    const char *why = NULL;
    int64_t n;
    ssize_t got = rpc_input_read(&c->input, c->fd);
    *total = got > 0 ? (size_t)got : 0;
    if (got == 0)
        return "closed by the service";
    if (got < 0)
        return errno == EAGAIN || errno == EINTR ? NULL : strerror(errno);
    c->heard_ns = clock_now_ns();
    while (!why && (n = rpc_input_next(&c->input, &frame)) != 0) {
        struct rpc_answer answer;
        int rc = n < 0 ? (int)n : answer_make(frame, (size_t)n, &answer);
        if (rc != CENOTE_OK)
            return cenote_status_text(rc);
        pthread_mutex_lock(&c->lock);
        why = client_deliver(c, &answer);
        pthread_mutex_unlock(&c->lock);
    }
    return why;
}

/* With the lock, which it gives up meanwhile: leads once, and looks for POLLOUT besides if told so.
 * What poll() said. */
static short client_lead(struct rpc_client *c, short events, uint64_t deadline_ns)
{
    const char *why = NULL;
    size_t got;
    assert(!c->has_leader);
    c->has_leader = true;
    pthread_mutex_unlock(&c->lock);
    short came = poll_until(c->fd, (short)(POLLIN | events), deadline_ns);
    if (came & POLLNVAL)
        why = "the socket is unusable";
    else if (came & ~POLLOUT)
        why = client_receive(c, &got);
    pthread_mutex_lock(&c->lock);
    c->has_leader = false;
    if (why)
        client_break(c, why);
    return came;
}

/* ---- sending ------------------------------------------------------------------------------- */

/* With the lock: waits until the socket may take more. False: the deadline has come. */
static bool client_await_room(struct rpc_client *c, uint64_t deadline_ns)
{
    short came;
    if (!c->has_leader) {
        came = client_lead(c, POLLOUT, deadline_ns);
        client_wake_sleeper(c);
    } else {
        uint64_t slice_ns = clock_now_ns() + ROOM_SLICE_NS;
        pthread_mutex_unlock(&c->lock);
        came = poll_until(c->fd, POLLOUT, slice_ns < deadline_ns ? slice_ns : deadline_ns);
        pthread_mutex_lock(&c->lock);
    }
    return came != 0 || left_ns(deadline_ns) > 0;
}

/* Without the lock: one sendmsg() of what is left behind sent_bytes. */
static ssize_t send_rest(int fd, const uint8_t *head, const uint8_t *frame, size_t len_bytes,
                         size_t sent_bytes)
{
    struct iovec parts[2] = {
        {(void *)(uintptr_t)head, WIRE_REQUEST_HEAD},
        {(void *)(uintptr_t)(frame + WIRE_REQUEST_HEAD), len_bytes - WIRE_REQUEST_HEAD}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    if (sent_bytes < WIRE_REQUEST_HEAD) {
        parts[0].iov_base = (void *)(uintptr_t)(head + sent_bytes);
        parts[0].iov_len -= sent_bytes;
    } else {
        parts[1].iov_base = (void *)(uintptr_t)(frame + sent_bytes);
        parts[1].iov_len = len_bytes - sent_bytes;
        message = (struct msghdr){.msg_iov = &parts[1], .msg_iovlen = 1};
    }
    return sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* With the lock: writes the whole frame. CENOTE_OK; CENOTE_TIMED_OUT: not a byte of it was written;
 * CENOTE_UNAVAILABLE: the connection is broken. */
static int client_write(struct rpc_client *c, uint32_t msgid, const uint8_t *frame,
                        size_t len_bytes, uint64_t deadline_ns)
{
    uint8_t head[WIRE_REQUEST_HEAD];
    size_t sent_bytes = 0;
    wire_request_head(head, msgid);
    while (sent_bytes < len_bytes) {
        if (atomic_load(&c->broken))
            return CENOTE_UNAVAILABLE;
        pthread_mutex_unlock(&c->lock);
        ssize_t n = send_rest(c->fd, head, frame, len_bytes, sent_bytes);
        int error = n < 0 ? errno : 0;
        pthread_mutex_lock(&c->lock);
        if (n >= 0) {
            sent_bytes += (size_t)n;
        } else if (error == EAGAIN) {
            if (client_await_room(c, deadline_ns))
                continue;
            if (sent_bytes == 0)
                return CENOTE_TIMED_OUT;
            client_break(c, "no time is left to finish a request");
        } else if (error != EINTR) {
            client_break(c, strerror(error));
        }
    }
    return CENOTE_OK;
}

void client_check_silent(struct rpc_client *c)
{
    char byte;
    if (c->has_leader || clock_now_ns() - c->heard_ns < SILENCE_NS)
        return;
    ssize_t n = recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (n == 0)
        client_break(c, "closed by the service");
    else if (n < 0 && errno != EAGAIN && errno != EINTR)
        client_break(c, strerror(errno));
}

/* With the lock. As client_write(), one caller after the other. */
static int client_send(struct rpc_client *c, uint32_t msgid, const uint8_t *frame, size_t len_bytes,
                       uint64_t deadline_ns)
{
    int rc = CENOTE_OK;
    while (c->sending && !atomic_load(&c->broken)) {
        if (left_ns(deadline_ns) == 0)
            return CENOTE_TIMED_OUT;
        c->send_waiters++;
        wait_until(&c->send_free, &c->lock, deadline_ns);
        c->send_waiters--;
    }
    if (atomic_load(&c->broken))
        return CENOTE_UNAVAILABLE;
    c->sending = true;
    client_check_silent(c);
    rc = client_write(c, msgid, frame, len_bytes, deadline_ns);
    c->sending = false;
    if (c->out_at < c->out_end)
        c->driver.wake(c->driver.arg); /* its turn; it signals when it is through */
    else if (c->send_waiters > 0)
        pthread_cond_signal(&c->send_free);
    return rc;
}

/* ---- calling ------------------------------------------------------------------------------- */

/* With the lock: sleeps until woken or until the deadline. */
static void client_sleep(struct rpc_client *c, struct waiter *w, uint64_t deadline_ns)
{
    w->prev_sleeper = NULL;
    w->next_sleeper = c->sleepers;
    if (c->sleepers)
        c->sleepers->prev_sleeper = w;
    c->sleepers = w;
    wait_until(&w->wake, &c->lock, deadline_ns);
    if (w->next_sleeper)
        w->next_sleeper->prev_sleeper = w->prev_sleeper;
    if (w->prev_sleeper)
        w->prev_sleeper->next_sleeper = w->next_sleeper;
    else
        c->sleepers = w->next_sleeper;
}

/* With the lock: waits for the answer. */
static int client_await(struct rpc_client *c, struct waiter *w, uint64_t deadline_ns)
{
    while (!w->done) {
        if (left_ns(deadline_ns) == 0) {
            rpc_calls_take(&c->calls, w->pending.call.msgid);
            rpc_calls_expect_late(&c->calls, w->pending.call.msgid);
            return CENOTE_TIMED_OUT;
        }
        if (c->has_leader)
            client_sleep(c, w, deadline_ns);
        else
            client_lead(c, 0, deadline_ns);
    }
    return w->pending.status;
}

/* With the lock: one call, from its msgid to its status. */
static int client_exchange(struct rpc_client *c, struct waiter *w, const uint8_t *frame,
                           size_t len_bytes, uint64_t deadline_ns)
{
    if (atomic_load(&c->broken))
        return CENOTE_UNAVAILABLE;
    if (c->calls.count >= RPC_CALLS_MAX)
        return CENOTE_LIMIT;
    rpc_calls_add(&c->calls, &w->pending.call);
    int rc = client_send(c, w->pending.call.msgid, frame, len_bytes, deadline_ns);
    if (rc == CENOTE_OK)
        rc = client_await(c, w, deadline_ns);
    else
        rpc_calls_take(&c->calls, w->pending.call.msgid);
    client_wake_sleeper(c);
    return rc;
}

int rpc_client_call(struct rpc_client *c, const void *frame, size_t len_bytes, uint32_t timeout_ms,
                    struct rpc_answer *answer)
{
    uint64_t deadline_ns = deadline_after(timeout_ms);
    struct waiter w = {.pending = {.done = waiter_finish}};
    assert(len_bytes > WIRE_REQUEST_HEAD);
    if (len_bytes > WIRE_FRAME_MAX)
        return CENOTE_FRAME_SIZE;
    pthread_mutex_lock(&c->lock);
    c->users++;
    pthread_cond_init(&w.wake, &c->monotonic);
    int rc = client_exchange(c, &w, frame, len_bytes, deadline_ns);
    c->users--;
    bool last = c->closed && c->users == 0;
    pthread_mutex_unlock(&c->lock);
    pthread_cond_destroy(&w.wake);
    if (last)
        client_free(c);
    if (rc == CENOTE_OK)
        *answer = w.pending.answer;
    else
        rpc_answer_free(&w.pending.answer);
    return rc;
}

void rpc_answer_free(struct rpc_answer *answer)
{
    wire_msg_free(&answer->msg);
    free(answer->frame);
    answer->frame = NULL;
}
