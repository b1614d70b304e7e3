/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the HTTP server: the server, its connections, and the request that each has. */
#ifndef CENOTE_HTTP_CONN_H
#define CENOTE_HTTP_CONN_H

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include "server/http/chunks.h"
#include "server/http/http.h"

#define HTTP_READ_MAX     (64u << 10) /* of one connection, before others have their turn */
#define HTTP_PIPELINE_MAX (16u << 10) /* of the next requests, while one is being answered */
#define HTTP_DISCARD_MAX  (64u << 10) /* of a body that nobody wanted, to keep the connection */
#define HTTP_LINGER_MS    2000u       /* for the client to read why it is refused */
#define HTTP_PROGRESS_MIN 1024u       /* bytes in the idle time, or the client is too slow */
#define HTTP_TAKE_OVER_MS 1000u       /* so long waited for: may make room for another connection */
#define HTTP_NAME_MAX     64u

/* What is counted; any thread reads it. */
struct http_counters {
    _Atomic uint64_t connections, accepted, turned_away, requests, answers[6], malformed, slow,
        broken, bytes_in, bytes_out;
    struct metric_histogram durations[HTTP_METHODS]; /* by the number of their bit */
};

struct http_server {
    struct event_base *base;
    pthread_t thread;
    bool started, stopping;
    uint32_t idle_ms;
    int listen_fd;
    struct endpoint bound;
    bool loopback; /* that is TCP, and nobody else reaches it */
    char endpoint[160];
    struct event accept_event, resume_event;
    int wake_fd;
    struct event wake_event;
    pthread_mutex_t lock; /* of the tasks */
    struct http_task *tasks, **tasks_end;
    struct http_task stop_task;
    struct http_route routes[HTTP_ROUTES_MAX];
    unsigned route_count;
    TAILQ_HEAD(http_conns, http_conn) conns; /* who ended a request last is the last */
    unsigned conn_count;
    unsigned request_count; /* that somebody has */
    struct http_counters counters;
};

/* For what a connection waits; each has its own patience. */
enum http_wait {
    WAIT_NOBODY, /* the handler is at work */
    WAIT_IDLE,   /* for the next request */
    WAIT_HEAD,   /* for the rest of a head */
    WAIT_CLIENT, /* for more of a body, or for the client to read */
    WAIT_LINGER  /* for the client to close */
};

enum http_phase {
    PHASE_HEAD,
    PHASE_REQUEST,
    PHASE_LINGER /* what it sends is thrown away */
};

struct http_conn {
    TAILQ_ENTRY(http_conn) entry;
    struct http_server *server;
    int fd;
    bool local;
    bool at_end;  /* it has sent all that it will send */
    bool dead;    /* to be freed when its work is done */
    bool working; /* conn_work() is on the stack */
    enum http_phase phase;
    struct event read_event, write_event, timer, turn;
    struct evbuffer *in, *out;
    size_t looked; /* http_head_find_end() */
    struct http_request *request;
    enum http_wait wait;
    uint64_t since_ms;
    size_t moved_bytes;
    char name[HTTP_NAME_MAX];
};

struct http_request {
    struct http_server *server;
    struct http_conn *conn; /* NULL: gone */
    unsigned holds;
    bool local;
    uint64_t begun_ns;
    const struct http_route *route; /* NULL: refused */
    char *text;                     /* of the head */
    struct http_head head;
    const struct http_watch *watch;
    void *watch_arg;
    /* the body */
    struct evbuffer *body;
    struct http_chunks chunks;
    uint64_t body_left_bytes; /* not chunked: still to come */
    uint64_t body_bytes;      /* came */
    bool body_over;           /* has come */
    bool continue_owed;
    bool handled; /* its handler was called */
    bool news;    /* of the body, that its watcher doesn't know */
    /* the answer */
    char extra[HTTP_EXTRA_MAX];
    size_t extra_len;
    bool begun, ended, broken;
    bool no_body, chunked, closes;
    bool was_full, wants_sent; /* what its watcher waits for */
    uint64_t reply_left_bytes;
};

/* connection.c */
/* Owns the socket from now on, also when there is no memory for it. */
void http_conn_open(struct http_server *s, int fd, bool local, const char *name);
void http_conn_drop(struct http_conn *c);
/* Something has changed from outside of its own events. */
void http_conn_turn(struct http_conn *c);

/* request.c */
struct http_request *http_request_new(struct http_conn *c);
/* A whole head has come: finds the route and refuses what doesn't fit. 0, or the status code. */
int http_request_begin(struct http_request *r, const char *text, size_t len_bytes);
/* Moves what has come from the connection to the body. False: the client broke the rules, or sends
 * too much; it has been answered. */
bool http_request_feed(struct http_request *r, struct evbuffer *in);
/* Does it want more of its body now? */
bool http_request_wants_body(const struct http_request *r);
/* Its connection has ended. */
void http_request_lose(struct http_request *r);

/* reply.c */
/* {"error", "status"} with the usual text of the code. */
void http_reply_refuse(struct http_request *r, int code, const char *why);

/* http.c */
const struct http_route *http_find_route(const struct http_server *s, const char *path,
                                         unsigned method, unsigned *allowed);
void http_check_stopped(struct http_server *s);

static inline void count_one(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

#endif
