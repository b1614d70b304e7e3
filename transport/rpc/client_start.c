/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls that nobody waits for.
 *
 * Their frames are put into one buffer, which the driver sends as a whole. It takes its turn with
 * the callers that wait (the flag sending), and keeps it until the buffer is empty, since the
 * kernel may have taken half of a frame. A call counts as sent if the kernel may have the end of
 * its frame: what was offered is noted before the system call, and corrected after it.
 *
 * The driver is one more of those who wait for answers (the essay in client.c), but it never
 * sleeps inside: it leads in its own poll, and when it is needed it is woken by its callback.
 */
#include <assert.h>
#include <cenote/status.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "transport/rpc/client.h"

#define OUT_FIRST_BYTES 4096u
/* An empty buffer that had grown beyond this is given back. */
#define OUT_KEEP_BYTES  (256u << 10)
/* A leading driver receives so often in a turn. */
#define RECEIVES_MAX    64

static bool out_fits(struct rpc_client *c, size_t len_bytes)
{
    size_t cap = c->out_cap ? c->out_cap : OUT_FIRST_BYTES;
    uint8_t *grown;
    while (cap < c->out_end + len_bytes)
        cap *= 2;
    if (cap == c->out_cap)
        return true;
    grown = realloc(c->out, cap);
    if (!grown)
        return false;
    c->out = grown;
    c->out_cap = cap;
    return true;
}

static void out_append(struct rpc_client *c, uint32_t msgid, const uint8_t *frame, size_t len_bytes)
{
    wire_request_head(c->out + c->out_end, msgid);
    memcpy(c->out + c->out_end + WIRE_REQUEST_HEAD, frame + WIRE_REQUEST_HEAD,
           len_bytes - WIRE_REQUEST_HEAD);
    c->out_end += len_bytes;
}

static void out_clear(struct rpc_client *c)
{
    c->out_first += c->out_end;
    c->out_at = c->out_end = 0;
    if (c->out_cap > OUT_KEEP_BYTES) {
        free(c->out);
        c->out = NULL;
        c->out_cap = 0;
    }
}

int rpc_client_start(struct rpc_client *c, const struct rpc_driver *driver, const void *frame,
                     size_t len_bytes, struct rpc_pending *p)
{
    int rc = CENOTE_OK;
    assert(len_bytes > WIRE_REQUEST_HEAD);
    if (len_bytes > WIRE_FRAME_MAX)
        return CENOTE_FRAME_SIZE;
    pthread_mutex_lock(&c->lock);
    c->driver = *driver;
    if (atomic_load(&c->broken))
        rc = CENOTE_UNAVAILABLE;
    else if (c->calls.count >= RPC_CALLS_MAX ||
             (c->out_end > 0 && c->out_end + len_bytes > RPC_OUT_MAX_BYTES))
        rc = CENOTE_LIMIT;
    else if (!out_fits(c, len_bytes))
        rc = CENOTE_NO_MEMORY;
    if (rc == CENOTE_OK) {
        p->answer = (struct rpc_answer){.frame = NULL};
        rpc_calls_add(&c->calls, &p->call);
        out_append(c, p->call.msgid, frame, len_bytes);
        p->ends = c->out_first + c->out_end;
        c->started++;
    }
    pthread_mutex_unlock(&c->lock);
    return rc;
}

bool rpc_client_forget(struct rpc_client *c, struct rpc_pending *p)
{
    pthread_mutex_lock(&c->lock);
    /* The msgid alone doesn't do: it may be another call's by now. */
    struct rpc_call *call = rpc_calls_find(&c->calls, p->call.msgid);
    bool found = call == &p->call;
    if (found) {
        rpc_calls_take(&c->calls, p->call.msgid);
        rpc_calls_expect_late(&c->calls, p->call.msgid);
        c->started--;
    }
    pthread_mutex_unlock(&c->lock);
    return found;
}

/* With the lock, which it gives up meanwhile: one send(). */
static bool send_some(struct rpc_client *c)
{
    const uint8_t *from = c->out + c->out_at;
    size_t len_bytes = c->out_end - c->out_at;
    c->offered = c->out_first + c->out_end;
    pthread_mutex_unlock(&c->lock);
    ssize_t n = send(c->fd, from, len_bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
    int error = n < 0 ? errno : 0;
    pthread_mutex_lock(&c->lock);
    c->out_at += n > 0 ? (size_t)n : 0;
    c->offered = c->out_first + c->out_at;
    if (error != 0 && error != EAGAIN && error != EINTR)
        client_break(c, strerror(error));
    return error != EAGAIN;
}

void rpc_client_flush(struct rpc_client *c)
{
    pthread_mutex_lock(&c->lock);
    if (c->out_end > 0 && (c->driver_sends || !c->sending)) {
        if (!c->driver_sends)
            client_check_silent(c);
        c->sending = c->driver_sends = true;
        while (!atomic_load(&c->broken) && c->out_at < c->out_end && send_some(c))
            ;
        if (atomic_load(&c->broken) || c->out_at == c->out_end) {
            out_clear(c);
            c->sending = c->driver_sends = false;
            if (c->send_waiters > 0)
                pthread_cond_signal(&c->send_free);
        }
    }
    pthread_mutex_unlock(&c->lock);
}

int rpc_client_lead(struct rpc_client *c, short *events)
{
    *events = 0;
    pthread_mutex_lock(&c->lock);
    if (!atomic_load(&c->broken)) {
        if (c->started > 0 && !c->has_leader) {
            c->has_leader = c->driver_leads = true;
            *events |= POLLIN;
        }
        if (c->driver_sends)
            *events |= POLLOUT;
    }
    pthread_mutex_unlock(&c->lock);
    return *events ? c->fd : -1;
}

void rpc_client_follow(struct rpc_client *c, short came)
{
    const char *why = NULL;
    size_t got = 1;
    if (!c->driver_leads)
        return;
    if (came & ~POLLOUT)
        for (int i = 0; i < RECEIVES_MAX && !why && got > 0; i++)
            why = client_receive(c, &got);
    pthread_mutex_lock(&c->lock);
    c->has_leader = c->driver_leads = false;
    if (why)
        client_break(c, why);
    client_wake_sleeper(c);
    pthread_mutex_unlock(&c->lock);
}
