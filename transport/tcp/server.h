/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TCP, the node's side: a few threads with an event loop each; a connection stays with one of them
 * for its life. So a thread that runs a task of its loop is in no connection's receive, and that is
 * what a fence rests on.
 */
#ifndef CENOTE_TRANSPORT_TCP_SERVER_H
#define CENOTE_TRANSPORT_TCP_SERVER_H

#include <event2/event.h>
#include <pthread.h>
#include <stdatomic.h>

#include "transport/hello.h"
#include "transport/segments.h"
#include "transport/tcp/wire.h"

#define TCP_LOOPS             2u
#define TCP_CONNECTIONS_MAX   1024u
#define TCP_SERVER_IN_BYTES   4096u
#define TCP_SCRATCH_BYTES     65536u
/* A connection's callback moves at most so much, then others have their turn. */
#define TCP_TURN_BYTES        (UINT64_C(1) << 20)
#define TCP_TURN_REQUESTS     64u
/* One system call moves at most so much. */
#define TCP_CHUNK_BYTES       (UINT64_C(256) << 10)
/* A refused write is read to its end when it has at most so many bytes or lies inside a segment;
 * the connection is closed after the answer otherwise. */
#define TCP_SWALLOW_MAX_BYTES (UINT64_C(64) << 20)
#define TCP_IDLE_MS           600000u /* between requests */
#define TCP_STALL_MS          30000u  /* in the middle of one, without a byte */
#define TCP_LINGER_MS         1000u   /* for the client to read the last answer */

struct tcp_server;
struct tcp_connection;

/* What other threads ask of a loop. */
struct tcp_task {
    struct tcp_task *next;
    enum { TASK_ACCEPTED, TASK_FENCE } kind;
    int fd;                  /* TASK_ACCEPTED */
    struct tcp_fence *fence; /* TASK_FENCE */
};

/* What a loop has done; its thread writes. */
struct tcp_traffic {
    metric_counter read_bytes, written_bytes, refused_reads, refused_writes;
    struct metric_histogram reads, writes;
};

/*
 * Requests are timed without looking at the clock for each: it is read when a connection's turn
 * begins and when it ends. What was begun and answered in one turn counts with the turn's time; a
 * request that was begun earlier, one at most, with its own.
 */
struct tcp_turn {
    uint64_t begun_ns;
    unsigned reads, writes;    /* answered, and begun in this turn */
    uint64_t earlier_begun_ns; /* of the one that was begun earlier and is answered; 0: none */
    bool earlier_is_write;
};

struct tcp_loop {
    struct tcp_server *server;
    struct tcp_traffic traffic;
    struct tcp_turn turn; /* of the connection that is being served */
    struct event_base *base;
    struct event *wake_event;
    struct event *tick; /* looks for what is overdue */
    int wake;           /* eventfd */
    pthread_t thread;
    struct tcp_connection *connections; /* the thread's own */
    uint8_t *scratch;                   /* where refused bytes go */
    pthread_mutex_t lock;               /* of the tasks and stopping */
    struct tcp_task *tasks, **tasks_end;
    bool stopping;
    bool running; /* the owner's */
};

struct tcp_server {
    struct xcopy_exporter base;
    struct xcopy_gate gate;
    pthread_mutex_t segments_lock; /* adding takes turns */
    struct segments segments;
    int listener;
    struct event *accept_event; /* of loop 0, as the next two */
    struct event *accept_again;
    unsigned next_loop;
    _Atomic unsigned connection_count;
    struct trace *trace;
    unsigned trace_read, trace_write;
    struct tcp_loop loops[TCP_LOOPS];
};

/* loop.c */
int tcp_loop_make(struct tcp_loop *l, struct tcp_server *server);
/* Starts the thread. */
int tcp_loop_run(struct tcp_loop *l);
/* The thread's: there is a connection. */
void tcp_loop_tick(struct tcp_loop *l);
/* Any thread. */
void tcp_loop_post(struct tcp_loop *l, struct tcp_task *task);
/* Ends the thread, if it runs; and then frees what the loop has. */
void tcp_loop_join(struct tcp_loop *l);
void tcp_loop_free(struct tcp_loop *l);

/* fence.c: the loop's part of a fence; and its end without an answer, when the server stops. */
void tcp_fence_run(struct tcp_loop *l, struct tcp_fence *f);
void tcp_fence_drop(struct tcp_fence *f);
void tcp_server_fence(struct xcopy_exporter *exporter, uint64_t session, uint64_t horizon,
                      void (*done)(void *arg), void *arg);

/* traffic.c; the loop's thread only: a turn of a connection begins, a request of it has been
 * answered, the turn ends, at a time that is returned. */
void tcp_turn_begin(struct tcp_loop *l);
void tcp_turn_answered(struct tcp_loop *l, uint64_t begun_ns, bool is_write);
uint64_t tcp_turn_end(struct tcp_loop *l);
void tcp_server_traffic(struct xcopy_exporter *exporter, struct xcopy_traffic *out);

/* connection.c; the loop's thread only. */
void tcp_connection_open(struct tcp_loop *l, int fd);
void tcp_connection_close(struct tcp_connection *c);
void tcp_connections_close_overdue(struct tcp_loop *l);
/* Closes those that are in the middle of receiving a write of the session up to the horizon. */
void tcp_connections_close_writers(struct tcp_loop *l, uint64_t session, uint64_t horizon);

#endif
