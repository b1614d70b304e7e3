/* SPDX-License-Identifier: Apache-2.0 */
#include "server/gateway/gateway.h"

#include <stdlib.h>
#include <string.h>

#include "server/gateway/transfer.h"
#include "transport/base/log.h"

#define OBJECTS "/v1/objects/"
#define ALL     (HTTP_GET | HTTP_HEAD | HTTP_PUT | HTTP_DELETE)

/* ---- statuses -------------------------------------------------------------------------------- */

int answer_code(int status)
{
    static const struct {
        int status, code;
    } table[] = {{CENOTE_OK, 200},           {CENOTE_NOT_FOUND, 404},  {CENOTE_EXISTS, 409},
                 {CENOTE_INVALID, 400},      {CENOTE_KEY_SIZE, 414},   {CENOTE_VALUE_SIZE, 413},
                 {CENOTE_NO_SPACE, 507},     {CENOTE_QUOTA, 507},      {CENOTE_META_FULL, 507},
                 {CENOTE_NO_NODES, 503},     {CENOTE_NO_MEMORY, 503},  {CENOTE_UNAVAILABLE, 503},
                 {CENOTE_NODE_DOWN, 503},    {CENOTE_ABORTED, 503},    {CENOTE_CANCELLED, 503},
                 {CENOTE_WRONG_SHARD, 503},  {CENOTE_NO_SESSION, 503}, {CENOTE_STALE, 503},
                 {CENOTE_TIMED_OUT, 504},    {CENOTE_UNKNOWN, 504},    {CENOTE_CORRUPT, 502},
                 {CENOTE_PROTOCOL, 502},     {CENOTE_VERSION, 502},    {CENOTE_DENIED, 403},
                 {CENOTE_LIMIT, 429},        {CENOTE_BAD_RANGE, 416},  {CENOTE_IN_USE, 409},
                 {CENOTE_NOT_SUPPORTED, 501}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (table[i].status == status)
            return table[i].code;
    }
    return 500;
}

static void explain(struct http_request *r, int status, const char *text)
{
    int code = answer_code(status);
    if (code == 503 || code == 429)
        http_reply_header(r, "Retry-After", "1");
    http_reply_error(r, code, status, "%s", text);
}

void answer_error(struct http_request *r, int status)
{
    explain(r, status, cenote_status_text(status));
}

void transfer_fail(struct transfer *t)
{
    explain(t->request, t->status, t->why ? t->why : cenote_status_text(t->status));
}

/* ---- transfers ------------------------------------------------------------------------------- */

void *transfer_new(struct gateway *g, struct http_request *r, size_t size)
{
    struct target target;
    const char *why;
    int status = target_parse(http_request_rest(r), &target, &why);
    if (status != CENOTE_OK) {
        http_reply_error(r, answer_code(status), status, "%s", why);
        return NULL;
    }
    struct transfer *t = calloc(1, size);
    if (!t) {
        answer_error(r, CENOTE_NO_MEMORY);
        return NULL;
    }
    t->gateway = g;
    t->target = target;
    t->request = http_request_hold(r);
    return t;
}

void transfer_end(struct transfer *t)
{
    gateway_space_give(t->space);
    http_request_release(t->request);
    free(t);
}

void transfer_run(struct transfer *t, void (*work)(struct job *job), void (*done)(struct job *job),
                  bool may_wait)
{
    t->job.work = work;
    t->job.done = done;
    t->job.may_wait = may_wait;
    t->running = true;
    workers_run(t->gateway->workers, &t->job);
}

int transfer_open(struct transfer *t)
{
    int status = CENOTE_OK;
    if (!t->space)
        status = gateway_space_take(t->gateway->spaces, t->target.name_space, &t->space);
    if (status == CENOTE_NOT_FOUND)
        t->why = "there is no such namespace";
    if (status == CENOTE_LIMIT)
        t->why = "too many namespaces are in use";
    return status;
}

bool query_has_only(struct http_request *r, const char *const *names)
{
    const char *unknown = http_request_query_beyond(r, names);
    if (!unknown)
        return true;
    http_reply_error(r, 400, CENOTE_INVALID, "unknown parameter: %.*s", (int)strcspn(unknown, "=&"),
                     unknown);
    return false;
}

bool conditions_are_absent(struct http_request *r, const char *const *names)
{
    for (; *names; names++) {
        if (!http_request_header(r, *names))
            continue;
        http_reply_error(r, 501, CENOTE_NOT_SUPPORTED, "%s is not supported here", *names);
        return false;
    }
    return true;
}

/* ---- routes ---------------------------------------------------------------------------------- */

static void handle(void *arg, struct http_request *r)
{
    struct gateway *g = arg;
    bool has_key = strchr(http_request_rest(r), '/') != NULL;
    switch (http_request_method(r)) {
    case HTTP_PUT:
        if (has_key)
            gateway_put(g, r);
        break;
    case HTTP_DELETE:
        if (has_key)
            gateway_remove(g, r);
        break;
    default:
        if (has_key)
            gateway_get(g, r);
        else
            gateway_list(g, r);
        return;
    }
    if (!has_key)
        http_reply_error(r, 405, CENOTE_NOT_SUPPORTED, "the path names no key");
}

static void handle_refused(void *arg, struct http_request *r)
{
    (void)arg;
    http_reply_error(r, 403, CENOTE_DENIED, "the gateway is off (cenoted --gateway)");
}

static void add_route(struct http_server *server,
                      void (*handler)(void *arg, struct http_request *r), void *arg)
{
    http_route(server, &(struct http_route){.methods = ALL,
                                            .path = OBJECTS,
                                            .prefix = true,
                                            .streams = true,
                                            .body_max_bytes = UINT64_MAX >> 1,
                                            .handle = handler,
                                            .arg = arg});
}

void gateway_refuse(struct http_server *server)
{
    add_route(server, handle_refused, NULL);
}

/* ---- life ------------------------------------------------------------------------------------ */

static bool on_idle(void *arg)
{
    struct gateway *g = arg;
    return gateway_spaces_tidy(g->spaces);
}

int gateway_new(struct http_server *server, const char *meta, struct gateway **out)
{
    struct gateway *g = calloc(1, sizeof *g);
    if (!g)
        return CENOTE_NO_MEMORY;
    g->server = server;
    g->spaces = gateway_spaces_new(meta);
    if (!g->spaces || workers_new(server, on_idle, g, &g->workers) != CENOTE_OK) {
        gateway_free(g);
        return CENOTE_NO_MEMORY;
    }
    add_route(server, handle, g);
    *out = g;
    return CENOTE_OK;
}

void gateway_free(struct gateway *g)
{
    if (!g)
        return;
    workers_free(g->workers);
    gateway_spaces_free(g->spaces);
    free(g);
}
