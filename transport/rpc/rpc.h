/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control RPC's sockets: MessagePack-RPC over TCP or UNIX streams.
 *
 * Two faces:
 *   rpc_loop    evented (libevent), for daemons: listens, connects, and carries requests in both
 *               directions on one connection (the service calls its nodes on the connections that
 *               the nodes opened). One thread runs a loop; everything of it happens there.
 *   rpc_client  for libcenote: thread-safe, no thread of its own. A call writes its request, and
 *               one of the waiting threads polls the socket and hands the answers to all.
 *
 * Limits of a connection stand in struct rpc_limits. A peer that passes one is made to wait where
 * that can help, and disconnected otherwise.
 */
#ifndef CENOTE_RPC_RPC_H
#define CENOTE_RPC_RPC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "transport/base/endpoint.h"
#include "transport/rpc/calls.h"
#include "transport/wire/wire.h"

struct rpc_limits {
    size_t frame_max_bytes;   /* of one message; 0: WIRE_FRAME_MAX */
    size_t output_max_bytes;  /* queued answers; reading stops above it; 0: 64 MiB */
    uint32_t in_flight_max;   /* requests not yet answered; reading stops above it; 0: 1024 */
    uint32_t idle_ms;         /* disconnect after so long without a byte; 0: never */
    uint32_t connections_max; /* of a listener; 0: 4096 */
};

/* ---- evented ------------------------------------------------------------------------------- */

struct rpc_loop;
struct rpc_conn;

/* What the owner of a connection is told; copied where it is given, nothing may be NULL. All run on
 * the loop's thread. A callback may send on and close any connection of its loop. */
struct rpc_handler {
    /* A listener accepted a connection; what it returns is the arg of the others. */
    void *(*opened)(void *listener_arg, struct rpc_conn *conn);
    /* One request or notification; frame and m are valid during the call. */
    void (*message)(void *arg, struct rpc_conn *conn, const struct wire_msg *m);
    /* Gone, for whatever reason (also after rpc_conn_close); conn must not be used after it. Calls
     * in flight have been answered with CENOTE_UNAVAILABLE before. */
    void (*closed)(void *arg, struct rpc_conn *conn);
};

/* NULL: no memory. */
struct rpc_loop *rpc_loop_new(void);
/* Runs until rpc_loop_stop(). */
void rpc_loop_run(struct rpc_loop *l);
/* From any thread, and from a signal handler. For good: a later run returns at once. */
void rpc_loop_stop(struct rpc_loop *l);
/* After run has returned: runs what was posted and not yet run, then closes all of its connections
 * (with their callbacks), listeners and timers. Nobody may post any more. NULL is accepted. */
void rpc_loop_free(struct rpc_loop *l);

/* Runs fn(arg) on the loop's thread soon, in the order of the calls. From any thread. false: no
 * memory. */
bool rpc_loop_post(struct rpc_loop *l, void (*fn)(void *arg), void *arg);

/* Runs fn every period until the loop is freed. CENOTE_OK or CENOTE_NO_MEMORY. */
int rpc_loop_every(struct rpc_loop *l, uint32_t period_ms, void (*fn)(void *arg), void *arg);
/* Another period for what rpc_loop_every() runs; from now on. The loop's thread. */
void rpc_loop_pace(struct rpc_loop *l, void (*fn)(void *arg), uint32_t period_ms);
/* Runs fn whenever fd is readable (level-triggered). */
int rpc_loop_watch(struct rpc_loop *l, int fd, void (*fn)(void *arg), void *arg);

/* When one of its connections has sent something last, by clock_now_ns(); 0: never. The loop's
 * thread. */
uint64_t rpc_loop_sent_ns(const struct rpc_loop *l);
/* Runs fn whenever the loop is about to wait: all that had arrived is handled. One function a loop,
 * set before it runs. */
void rpc_loop_each_turn(struct rpc_loop *l, void (*fn)(void *arg), void *arg);

/* Listens; bound (may be NULL) gets the real address; limits NULL: the defaults. Status, errno
 * kept. */
int rpc_listen(struct rpc_loop *l, const struct endpoint *e, const struct rpc_limits *limits,
               const struct rpc_handler *handler, void *arg, struct endpoint *bound);
/* Begins to connect (non-blocking). Success shows as handler->opened, failure as closed without
 * opened (then with the given arg). limits NULL: the defaults. */
int rpc_connect(struct rpc_loop *l, const struct endpoint *e, const struct rpc_limits *limits,
                const struct rpc_handler *handler, void *arg);

/* Queues bytes of one or more whole frames. The bytes are copied. After a close: nothing. */
void rpc_conn_send(struct rpc_conn *c, const void *frames, size_t len_bytes);
/* Sends a request; not from closed(). frame begins with wire_put_request(.., 0, ..): the msgid is
 * replaced by the connection's own. done is called exactly once, on the loop's thread: with status
 * CENOTE_OK and the result (valid during the call), the peer's error, CENOTE_TIMED_OUT (timeout_ms
 * 0: never), CENOTE_UNAVAILABLE, CENOTE_LIMIT (too many calls or bytes are in flight; not sent), or
 * CENOTE_NO_MEMORY (not sent). The latter two may come before rpc_conn_call() returns. */
typedef void (*rpc_done_fn)(void *arg, int status, struct wire_value result);
void rpc_conn_call(struct rpc_conn *c, const void *frame, size_t len_bytes, uint32_t timeout_ms,
                   rpc_done_fn done, void *arg);
/* Tells the connection that one request has been answered (with rpc_conn_send), for its limit of
 * requests in flight. Every request must be answered exactly once. */
void rpc_conn_answered(struct rpc_conn *c);
/* Flushes what can be written at once, then closes; closed() follows from the loop, not from here.
 */
void rpc_conn_close(struct rpc_conn *c);
/* "127.0.0.1:4711", "unix:PATH uid=.. pid=.."; valid as long as the connection. */
const char *rpc_conn_name(const struct rpc_conn *c);
/* Is the peer on this machine (loopback or UNIX socket)? */
bool rpc_conn_is_local(const struct rpc_conn *c);

/* ---- blocking, thread-safe ----------------------------------------------------------------- */

struct rpc_client;

/* Connects. CENOTE_OK, CENOTE_UNAVAILABLE, CENOTE_TIMED_OUT, CENOTE_NO_MEMORY. */
int rpc_client_open(const struct endpoint *e, uint32_t timeout_ms, struct rpc_client **out);
/* Calls in progress on other threads return CENOTE_UNKNOWN, or CENOTE_UNAVAILABLE where the request
 * wasn't sent yet; the last of them out frees. NULL is accepted. */
void rpc_client_close(struct rpc_client *c);
/* In a forked child, instead of closing: gives back what is the child's own, which is only the
 * descriptor if calls were in progress. The connection goes on in the parent. */
void rpc_client_abandon(struct rpc_client *c);

/* One call: frame as for rpc_conn_call(). Returns the peer's error, CENOTE_TIMED_OUT (the
 * connection stays usable; a late answer is dropped), CENOTE_UNAVAILABLE (could not be sent),
 * CENOTE_UNKNOWN (sent, but the connection broke before the answer), CENOTE_PROTOCOL (an error that
 * is no status), CENOTE_FRAME_SIZE and CENOTE_LIMIT (not sent). On CENOTE_OK *answer holds the
 * result: free it with rpc_answer_free(). Any thread. */
struct rpc_answer {
    struct wire_msg msg;
    uint8_t *frame;
};
int rpc_client_call(struct rpc_client *c, const void *frame, size_t len_bytes, uint32_t timeout_ms,
                    struct rpc_answer *answer);
void rpc_answer_free(struct rpc_answer *answer);
/* Breaks the connection: calls in progress end as with rpc_client_close(). Any thread. */
void rpc_client_interrupt(struct rpc_client *c);
/* False once the connection is broken: open another. */
bool rpc_client_alive(const struct rpc_client *c);

/* ---- without waiting, beside those who wait ------------------------------------------------- */

/*
 * One thread, the driver, may have many calls in flight on the connection that others share. It
 * starts calls, flushes what it has started (many requests by one send), and, when it has nothing
 * else to do, polls: in that time it may be the one that polls for all. It must not do anything
 * that takes long between rpc_client_lead() and rpc_client_follow().
 *
 * wake() asks the driver to come (to lead, or to flush); done() says that a call is over. Both come
 * from any thread that is inside of the client, with its lock held: they note it, no more.
 */
struct rpc_driver {
    void (*wake)(void *arg);
    void *arg;
};

/* A call in progress; the driver's memory, until done() or rpc_client_forget(). */
struct rpc_pending {
    struct rpc_call call; /* first; the client's, like ends */
    uint64_t ends;        /* behind the frame, in the stream of all that the driver sends; 0: a
                           * caller's that waits */
    void (*done)(struct rpc_pending *p);
    int status;               /* as rpc_client_call() returns */
    struct rpc_answer answer; /* the driver's to free after done(), whatever the status */
};

/* Requests that wait to be sent; one that is longer goes alone. */
#define RPC_OUT_MAX_BYTES (4u << 20)

/* Takes a call; the frame is copied. CENOTE_OK, then done() follows; CENOTE_UNAVAILABLE,
 * CENOTE_FRAME_SIZE, CENOTE_NO_MEMORY; CENOTE_LIMIT: too much is in flight, later again. The driver
 * is the same at every call. The connection must not be closed before all calls are over. */
int rpc_client_start(struct rpc_client *c, const struct rpc_driver *driver, const void *frame,
                     size_t len_bytes, struct rpc_pending *p);
/* True: done() will not be called; a late answer is dropped. False: it was called. */
bool rpc_client_forget(struct rpc_client *c, struct rpc_pending *p);
/* Sends what has been started, as far as there is room. */
void rpc_client_flush(struct rpc_client *c);
/* What to poll(2) for, -1 for nothing; the driver then leads, if nobody does. */
int rpc_client_lead(struct rpc_client *c, short *events);
/* After the poll, always: receives what has come, if the driver leads, and leads no longer. */
void rpc_client_follow(struct rpc_client *c, short came);

#endif
