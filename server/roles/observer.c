/* SPDX-License-Identifier: Apache-2.0 */
#include "server/roles/observer.h"

#include <assert.h>
#include <cenote/status.h>
#include <stdlib.h>
#include <string.h>

#include "server/roles/node_page.h"
#include "transport/base/clock.h"
#include "transport/base/log.h"

#define PAGE_TYPE "text/plain; version=0.0.4; charset=utf-8"
#define NS_PER_MS UINT64_C(1000000)

struct observer {
    struct http_server *server;
    struct meta_role *meta;
    struct node_role *node;
    struct trace *trace;
    uint64_t started_ms; /* wall clock */
    unsigned questions;  /* under way; the server's thread's */
};

/* One request, on its way round the roles. */
struct question {
    struct http_task task; /* how it comes back */
    struct meta_question meta;
    struct node_question node;
    struct observer *observer;
    struct http_request *request;
    void (*answer)(struct question *q, struct wire_value status);
};

/* ---- asking ---------------------------------------------------------------------------------- */

static void answer_with_status(struct question *q)
{
    struct wire_msg holder;
    struct wire_value status;
    int parsed = q->meta.status.failed
                     ? CENOTE_NO_MEMORY
                     : wire_parse_value(q->meta.status.data, q->meta.status.len, &holder, &status);
    if (parsed != CENOTE_OK) {
        http_reply_error(q->request, 503, parsed, "no memory for the state of the service");
        return;
    }
    q->answer(q, status);
    wire_msg_free(&holder);
}

/* On the server's thread again. */
static void on_answered(struct http_task *task)
{
    struct question *q = (struct question *)task;
    if (q->observer->meta != NULL)
        answer_with_status(q);
    else
        q->answer(q, (struct wire_value){NULL});
    wire_buf_free(&q->meta.status);
    http_request_release(q->request);
    q->observer->questions--;
    free(q);
}

/* On a role's thread. */
static void all_answered(void *arg)
{
    struct question *q = arg;
    http_post(q->observer->server, &q->task);
}

/* Likewise, or on the server's. Without an answer of the node, what it counts is left out. */
static void ask_node(void *arg)
{
    struct question *q = arg;
    if (q->observer->node == NULL || !node_role_ask(q->observer->node, &q->node))
        all_answered(q);
}

static void ask(struct observer *o, struct http_request *r,
                void (*answer)(struct question *q, struct wire_value status))
{
    struct question *q = o->questions < OBSERVER_QUESTIONS_MAX ? calloc(1, sizeof *q) : NULL;
    http_reply_header(r, "Cache-Control", "no-store");
    if (q == NULL) {
        http_reply_error(r, 503, CENOTE_LIMIT, "too many ask at once");
        return;
    }
    *q = (struct question){.task.run = on_answered,
                           .meta = {.answered = ask_node, .arg = q},
                           .node = {.answered = all_answered, .arg = q},
                           .observer = o,
                           .request = http_request_hold(r),
                           .answer = answer};
    o->questions++;
    if (o->meta == NULL) {
        ask_node(q);
    } else if (!meta_role_ask(o->meta, &q->meta)) {
        q->meta.status.failed = true;
        all_answered(q);
    }
}

/* ---- /metrics -------------------------------------------------------------------------------- */

static const struct metric build_info = {
    "cenote_build_info", "1; its label says which version this is.", METRIC_GAUGE, {"version"}};
static const struct metric start_time = {"cenote_start_time_seconds",
                                         "When this process was started, since 1970.",
                                         METRIC_GAUGE,
                                         {NULL}};
static const struct metric ready = {
    "cenote_ready", "Can this process be used? As /readyz says.", METRIC_GAUGE, {NULL}};

static void put_process(const struct observer *o, struct textbuf *page)
{
    static const char *const version = CENOTE_VERSION_TEXT;
    metric_page_family(page, &build_info);
    metric_page_number(page, &build_info, &version, 1);
    metric_page_family(page, &start_time);
    metric_page_ns(page, &start_time, NULL, o->started_ms * NS_PER_MS);
    metric_page_family(page, &ready);
    bool serves = !o->meta || !meta_role_is_rebuilding(o->meta);
    metric_page_number(page, &ready, NULL,
                       serves && (o->node == NULL || node_role_has_joined(o->node)));
}

static const struct metric http_connections = {
    "cenote_http_connections", "Connections to the HTTP server.", METRIC_GAUGE, {NULL}};
static const struct metric http_requests = {
    "cenote_http_requests_total", "Requests of HTTP.", METRIC_COUNTER, {NULL}};
static const struct metric http_answers = {"cenote_http_answers_total",
                                           "Answers by the first digit of their status code.",
                                           METRIC_COUNTER,
                                           {"class"}};
static const struct metric http_faults = {
    "cenote_http_faults_total",
    "Connections that were turned away, sent what is no HTTP, were too slow, or went in the midst.",
    METRIC_COUNTER,
    {"what"}};

static const struct metric http_bytes[] = {
    {"cenote_http_received_bytes_total",
     "Bytes that came from clients of HTTP, heads included.",
     METRIC_COUNTER,
     {NULL}},
    {"cenote_http_sent_bytes_total",
     "Bytes that were sent to them, heads included.",
     METRIC_COUNTER,
     {NULL}},
};
static const struct metric http_duration = {
    "cenote_http_duration_seconds",
    "From the end of a request's head until its answer was sent, the copy of a value included.",
    METRIC_SECONDS,
    {"method"}};

static void put_http_traffic(const struct observer *o, const struct http_counts *c,
                             struct textbuf *page)
{
    const uint64_t bytes[] = {c->bytes_in, c->bytes_out};
    for (unsigned i = 0; i < 2; i++) {
        metric_page_family(page, &http_bytes[i]);
        metric_page_number(page, &http_bytes[i], NULL, bytes[i]);
    }
    metric_page_family(page, &http_duration);
    for (unsigned i = 0; i < HTTP_METHODS; i++) {
        struct metric_view view = {0};
        const char *name = http_durations(o->server, i, &view);
        metric_page_histogram(page, &http_duration, &name, &view);
    }
}

static void put_http(const struct observer *o, struct textbuf *page)
{
    static const char *const classes[] = {"1xx", "2xx", "3xx", "4xx", "5xx"};
    static const char *const faults[] = {"turned_away", "malformed", "slow", "broken"};
    struct http_counts c;
    http_counted(o->server, &c);
    metric_page_family(page, &http_connections);
    metric_page_number(page, &http_connections, NULL, c.connections);
    metric_page_family(page, &http_requests);
    metric_page_number(page, &http_requests, NULL, c.requests);
    metric_page_family(page, &http_answers);
    for (unsigned i = 0; i < 5; i++)
        metric_page_number(page, &http_answers, &classes[i], c.answers[i + 1]);
    const uint64_t counts[] = {c.turned_away, c.malformed, c.slow, c.broken};
    metric_page_family(page, &http_faults);
    for (unsigned i = 0; i < 4; i++)
        metric_page_number(page, &http_faults, &faults[i], counts[i]);
    put_http_traffic(o, &c, page);
}

static void reply_text(struct http_request *r, const char *type, struct textbuf *text)
{
    if (text->failed)
        http_reply_error(r, 503, CENOTE_NO_MEMORY, "no memory for the answer");
    else
        http_reply(r, 200, type, text->text, text->len);
    textbuf_free(text);
}

static void answer_page(struct question *q, struct wire_value status)
{
    const struct observer *o = q->observer;
    struct textbuf page = {0};
    put_process(o, &page);
    if (o->meta != NULL)
        meta_role_page(o->meta, status, &page);
    if (o->node != NULL)
        node_page(q->node.ways, &page);
    put_http(o, &page);
    trace_page(o->trace, &page);
    reply_text(q->request, PAGE_TYPE, &page);
}

static void on_metrics(void *arg, struct http_request *r)
{
    ask(arg, r, answer_page);
}

/* ---- /v1/status ------------------------------------------------------------------------------ */

/* ... "live": {...}} -> ... "live": {..., "bytes_in", "bytes_out"}}: what passes this process. */
static void put_status(const struct question *q, const char *json, struct textbuf *text)
{
    size_t len = strlen(json);
    uint64_t in = 0, out = 0;
    for (unsigned i = 0; i < NODE_WAYS; i++) {
        in += q->node.ways[i].moved.written_bytes;
        out += q->node.ways[i].moved.read_bytes;
    }
    assert(len > 2 && strcmp(json + len - 2, "}}") == 0);
    textbuf_add_bytes(text, json, len - 2);
    textbuf_add(text, ",\"bytes_in\":");
    textbuf_add_number(text, in);
    textbuf_add(text, ",\"bytes_out\":");
    textbuf_add_number(text, out);
    textbuf_add(text, "}}");
}

static void answer_status(struct question *q, struct wire_value status)
{
    struct textbuf text = {0};
    char *json = q->observer->meta != NULL ? wire_to_json(status) : NULL;
    if (q->observer->meta == NULL) {
        http_reply_error(q->request, 404, CENOTE_NOT_FOUND, "no metadata service is here");
        return;
    }
    if (json != NULL)
        put_status(q, json, &text);
    text.failed = text.failed || json == NULL;
    free(json);
    reply_text(q->request, "application/json", &text);
}

static void on_status(void *arg, struct http_request *r)
{
    ask(arg, r, answer_status);
}

/* ---- /v1/trace ------------------------------------------------------------------------------- */

static void on_trace(void *arg, struct http_request *r)
{
    struct observer *o = arg;
    struct textbuf text = {0};
    http_reply_header(r, "Cache-Control", "no-store");
    trace_dump(o->trace, &text);
    reply_text(r, "application/json", &text);
}

static void on_trace_switch(void *arg, struct http_request *r)
{
    struct observer *o = arg;
    char on[2];
    int status = http_request_query(r, "on", on, sizeof on, NULL);
    if (status != CENOTE_OK || (on[0] != '0' && on[0] != '1')) {
        http_reply_error(r, 400, CENOTE_INVALID, "on=0 or on=1 is wanted");
        return;
    }
    status = trace_switch(o->trace, on[0] == '1');
    if (status != CENOTE_OK) {
        http_reply_error(r, 503, status, "no memory to trace");
        return;
    }
    log_info("trace", "tracing is %s", on[0] == '1' ? "on" : "off");
    http_reply_json(r, 200, on[0] == '1' ? "{\"on\":true}" : "{\"on\":false}");
}

/* ---- /v1/log --------------------------------------------------------------------------------- */

static void on_log(void *arg, struct http_request *r)
{
    char name[16], module[LOG_MODULE_NAME_MAX];
    enum log_level level;
    (void)arg;
    int status = http_request_query(r, "level", name, sizeof name, NULL);
    if (status != CENOTE_OK || !log_level_parse(name, &level)) {
        http_reply_error(r, 400, CENOTE_INVALID, "level=error, warn, info or debug is wanted");
        return;
    }
    status = http_request_query(r, "module", module, sizeof module, NULL);
    if (status == CENOTE_NOT_FOUND)
        log_set_level(level);
    else if (status != CENOTE_OK || !log_set_module_level(module, level)) {
        http_reply_error(r, 400, CENOTE_INVALID, "there can be no such module");
        return;
    }
    log_info("log", "the level of %s is %s", status == CENOTE_OK ? module : "all modules",
             log_level_name(level));
    http_reply_json(r, 200, "{}");
}

/* ---- its life -------------------------------------------------------------------------------- */

struct observer *observer_new(struct http_server *server, struct meta_role *meta,
                              struct node_role *node, struct trace *trace)
{
    struct observer *o = calloc(1, sizeof *o);
    if (o == NULL)
        return NULL;
    *o = (struct observer){.server = server,
                           .meta = meta,
                           .node = node,
                           .trace = trace,
                           .started_ms = clock_wall_ms()};
    const struct http_route routes[] = {
        {.methods = HTTP_GET, .path = "/metrics", .handle = on_metrics, .arg = o},
        {.methods = HTTP_GET, .path = "/v1/status", .handle = on_status, .arg = o},
        {.methods = HTTP_GET,
         .path = "/v1/trace",
         .local_only = true,
         .handle = on_trace,
         .arg = o},
        {.methods = HTTP_POST,
         .path = "/v1/trace",
         .local_only = true,
         .handle = on_trace_switch,
         .arg = o},
        {.methods = HTTP_POST, .path = "/v1/log", .local_only = true, .handle = on_log, .arg = o}};
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++)
        http_route(server, &routes[i]);
    return o;
}

void observer_free(struct observer *o)
{
    free(o);
}
