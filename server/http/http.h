/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP server of cenoted: one thread, a table of routes, and requests that may be answered
 * later.
 *
 * A route's handler runs on the server's thread and must not wait for anything. It answers, or it
 * holds the request (http_request_hold()), has the work done elsewhere, and comes back by
 * http_post(). A request that is held stays valid when its client has gone: answering it then does
 * nothing. Functions are the server's thread's, unless they say otherwise.
 *
 *     static void on_done(struct http_task *t)           // on the server's thread again
 *     {
 *         http_reply_json(job->request, 200, job->text);
 *         http_request_release(job->request);
 *     }
 *     static void handle(void *arg, struct http_request *r)
 *     {
 *         job->request = http_request_hold(r);
 *         job->task.run = on_done;
 *         ...                             // another thread: http_post(server, &job->task)
 *     }
 */
#ifndef CENOTE_HTTP_HTTP_H
#define CENOTE_HTTP_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/http/head.h"
#include "transport/base/endpoint.h"
#include "transport/base/metric.h"

#define HTTP_ROUTES_MAX      64u
#define HTTP_CONNECTIONS_MAX 1024u
#define HTTP_BODY_MAX        (1u << 20)   /* most that a route which doesn't stream may ask for */
#define HTTP_BODY_WINDOW     (64u << 10)  /* of a body that is streamed: kept before it is taken */
#define HTTP_OUTPUT_MAX      (256u << 10) /* written, and not sent yet, before there is no room */
#define HTTP_EXTRA_MAX       1024u        /* headers of an answer that a handler adds */
#define HTTP_IDLE_MS         30000u

struct http_server;
struct http_request;

/* ---- routes ---------------------------------------------------------------------------------- */

struct http_route {
    unsigned methods; /* mask of enum http_method; who asks for GET may ask for HEAD too */
    const char *path; /* percent-encoded as clients send it; static */
    bool prefix;      /* all that begins so; otherwise exactly this */
    bool local_only;  /* others than clients on this machine are refused with 403 */
    /* handle() is called with the head, and takes the body by http_body_take(). Otherwise the whole
     * body is there. */
    bool streams;
    uint64_t body_max_bytes; /* more is refused with 413; at most HTTP_BODY_MAX unless it streams */
    void (*handle)(void *arg, struct http_request *r);
    void *arg;
};

/* ---- the server ------------------------------------------------------------------------------ */

struct http_counts {
    uint64_t connections; /* at present */
    uint64_t accepted, turned_away;
    uint64_t requests;
    uint64_t answers[6]; /* by the first digit of their status code */
    uint64_t malformed;  /* not HTTP, or refused before a route was looked for */
    uint64_t slow;       /* dropped because they were too slow, either way */
    uint64_t broken;     /* gone before their request or its answer was over */
    uint64_t bytes_in, bytes_out;
};

/* idle_ms: how long a connection may do nothing, and a client not go on; 0: HTTP_IDLE_MS. NULL: no
 * memory. */
struct http_server *http_new(uint32_t idle_ms);
/* Before the start. The longest path wins; of two methods masks the one that fits. */
void http_route(struct http_server *s, const struct http_route *route);
/* CENOTE_OK, or the status of what failed, errno kept where it says why; not logged. */
int http_start(struct http_server *s, const struct endpoint *at);
/* Where it listens, as text; after the start. */
const char *http_endpoint(const struct http_server *s);
/* Ends all connections, waits until nobody holds a request, and ends the thread. What others do for
 * requests must still come to an end. NULL is accepted; so is a server that wasn't started. */
void http_stop(struct http_server *s);
void http_free(struct http_server *s);
/* Any thread. */
void http_counted(const struct http_server *s, struct http_counts *out);
/* How long requests of the method with this number (the first is 0) took: from the end of their
 * head until all of the answer was sent. Adds to a view; returns the method's name. Any thread. */
const char *http_durations(const struct http_server *s, unsigned number, struct metric_view *out);

/* Something to run on the server's thread; the caller's memory until it runs. Any thread. Between
 * http_new() and http_stop(). */
struct http_task {
    struct http_task *next;
    void (*run)(struct http_task *task);
};
void http_post(struct http_server *s, struct http_task *task);

/* ---- a request ------------------------------------------------------------------------------- */

unsigned http_request_method(const struct http_request *r);
/* As it came, without the query; percent-encoded. */
const char *http_request_path(const struct http_request *r);
/* What of it is behind the route's path. */
const char *http_request_rest(const struct http_request *r);
/* NULL: it has no such header. */
const char *http_request_header(const struct http_request *r, const char *name);
/* A value of the query, decoded (%xx, and + for a space), with a NUL behind it that isn't counted.
 * CENOTE_OK; CENOTE_NOT_FOUND: it isn't there; CENOTE_INVALID: wrong percent-encoding;
 * CENOTE_LIMIT: longer than size - 1. len_bytes may be NULL: then a NUL in it is CENOTE_INVALID. */
int http_request_query(const struct http_request *r, const char *name, char *out, size_t size,
                       size_t *len_bytes);
/* The first parameter of the query that has none of these names, which NULL ends; NULL: there is no
 * such. */
const char *http_request_query_beyond(const struct http_request *r, const char *const *names);
/* On this machine: by loopback or a UNIX socket. */
bool http_request_is_local(const struct http_request *r);
/* Has its client gone? */
bool http_request_is_gone(const struct http_request *r);
/* Keeps it valid until as many releases. */
struct http_request *http_request_hold(struct http_request *r);
void http_request_release(struct http_request *r);

/* Of percent-encoded text. out may be text. CENOTE_OK, CENOTE_INVALID or CENOTE_LIMIT, as
 * http_request_query() does; plus: + means a space. */
int http_decode(const char *text, size_t text_len_bytes, bool plus, char *out, size_t size,
                size_t *len_bytes);

/* ---- its body -------------------------------------------------------------------------------- */

/* Of a route that doesn't stream: all of it. Valid as long as the request. Without memory it is
 * empty, and the connection ends instead of the answer. */
const void *http_request_body(struct http_request *r, size_t *len_bytes);
/* What the client has announced; false: it is chunked. Without a body: 0. */
bool http_body_length(const struct http_request *r, uint64_t *len_bytes);
/* Takes what has arrived; 0: nothing at present, or nothing more. A client that waits to be told
 * that its body is wanted is told so now. */
size_t http_body_take(struct http_request *r, void *out, size_t size_bytes);
/* Has all of it been taken? */
bool http_body_is_over(const struct http_request *r);

/* Called from the server's loop, never from inside a function of this header; each may be NULL. */
struct http_watch {
    void (*readable)(void *arg); /* more of the body has arrived, or its end */
    void (*writable)(void *arg); /* there is room again, or as http_reply_tell_sent() says */
    void (*gone)(void *arg);     /* the client has gone; nothing else is called any more */
};
/* Before the handler returns. Nothing is called any more once the answer has ended. */
void http_request_watch(struct http_request *r, const struct http_watch *watch, void *arg);

/* ---- the answer ------------------------------------------------------------------------------ */

/* A header of the answer; before it. Control characters in value become '?'. What doesn't fit in
 * HTTP_EXTRA_MAX is left out. */
void http_reply_header(struct http_request *r, const char *name, const char *value);

/* All at once; the body is copied. type: of the content. */
void http_reply(struct http_request *r, int code, const char *type, const void *body,
                size_t len_bytes);
void http_reply_text(struct http_request *r, int code, const char *text);
void http_reply_json(struct http_request *r, int code, const char *json);
/* {"error": "...", "status": "NOT_FOUND"}; status is a cenote_status. */
void http_reply_error(struct http_request *r, int code, int status, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Piece by piece. HTTP_LENGTH_UNKNOWN: it ends with http_reply_end(). With a length, exactly so
 * many bytes must follow. What answers HEAD is not sent. */
#define HTTP_LENGTH_UNKNOWN UINT64_MAX
void http_reply_begin(struct http_request *r, int code, const char *type, uint64_t len_bytes);
/* How much should be written now; 0: wait for writable(). */
size_t http_reply_room(const struct http_request *r);
/* Copies. Without memory this one and the next break the answer, and gone() follows. */
void http_reply_write(struct http_request *r, const void *data, size_t len_bytes);
/* Doesn't copy: done(arg) is called when the bytes are sent or given up, maybe at once. */
void http_reply_lend(struct http_request *r, const void *data, size_t len_bytes,
                     void (*done)(void *arg), void *arg);
void http_reply_end(struct http_request *r);
/* Has all been sent that was written? */
bool http_reply_is_sent(const struct http_request *r);
/* writable() is to be called when it has. */
void http_reply_tell_sent(struct http_request *r);
/* The rest can't be had: ends the connection, so that the client sees that something lacks. */
void http_reply_break(struct http_request *r);

#endif
