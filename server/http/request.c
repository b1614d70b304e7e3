/* SPDX-License-Identifier: Apache-2.0 */
/* A request: what it asks for, its body, and who still has it. */
#include <assert.h>
#include <cenote/status.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/http/conn.h"
#include "server/http/origin.h"
#include "transport/base/clock.h"
#include "transport/base/log.h"
#include "transport/base/testswitch.h"

/* ---- life ------------------------------------------------------------------------------------ */

struct http_request *http_request_new(struct http_conn *c)
{
    struct http_request *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->body = evbuffer_new();
    if (!r->body) {
        free(r);
        return NULL;
    }
    r->server = c->server;
    r->conn = c;
    r->local = c->local;
    r->holds = 1;
    r->body_over = true;
    r->closes = true;
    r->begun_ns = clock_now_ns();
    r->server->request_count++;
    return r;
}

struct http_request *http_request_hold(struct http_request *r)
{
    r->holds++;
    return r;
}

void http_request_release(struct http_request *r)
{
    assert(r->holds > 0);
    if (--r->holds > 0)
        return;
    r->server->request_count--;
    evbuffer_free(r->body);
    free(r->text);
    free(r);
}

void http_request_lose(struct http_request *r)
{
    const struct http_watch *watch = r->watch;
    r->conn = NULL;
    r->watch = NULL;
    if (watch && watch->gone)
        watch->gone(r->watch_arg);
    http_request_release(r);
}

/* ---- its beginning --------------------------------------------------------------------------- */

static void name_methods(unsigned methods, char *out, size_t size)
{
    size_t used = 0;
    out[0] = '\0';
    for (unsigned i = 0; i < HTTP_METHODS; i++) {
        if (methods & 1u << i)
            used += (size_t)snprintf(out + used, size - used, "%s%s", used ? ", " : "",
                                     http_method_names[i]);
    }
}

static void refuse_method(struct http_request *r, unsigned allowed)
{
    char names[64];
    if (allowed == 0) {
        http_reply_refuse(r, 404, "there is nothing at this path");
    } else if (r->head.method == 0) {
        http_reply_refuse(r, 501, "this method is not supported");
    } else {
        name_methods(allowed, names, sizeof names);
        http_reply_header(r, "Allow", names);
        http_reply_refuse(r, 405, "this method is not allowed at this path");
    }
}

static bool too_large(uint64_t body_bytes, uint64_t max_bytes)
{
    return body_bytes > max_bytes && !test_off(TEST_HTTP_LIMITS);
}

static void choose_route(struct http_request *r)
{
    unsigned allowed;
    const struct http_head *h = &r->head;
    const struct http_route *route = http_find_route(r->server, h->path, h->method, &allowed);
    bool writes = h->method == HTTP_PUT || h->method == HTTP_POST;
    const char *fault = http_origin_fault(h, r->server->loopback);

    if (fault)
        http_reply_refuse(r, 403, fault);
    else if (!route)
        refuse_method(r, allowed);
    else if (route->local_only && !r->local)
        http_reply_refuse(r, 403, "this path is for clients on the server's machine");
    else if (h->method == HTTP_PUT && !h->chunked && !h->has_len)
        http_reply_refuse(r, 411, "a Content-Length is needed");
    else if (h->has_len && too_large(h->content_len_bytes, writes ? route->body_max_bytes : 0))
        http_reply_refuse(r, 413, "the body is larger than what is taken here");
    else
        r->route = route;
}

static void send_continue(struct http_request *r)
{
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    if (!r->continue_owed || !r->conn || r->begun)
        return;
    r->continue_owed = false;
    if (evbuffer_add(r->conn->out, text, sizeof text - 1) != 0)
        r->broken = true; /* it would wait */
    http_conn_turn(r->conn);
}

int http_request_begin(struct http_request *r, const char *text, size_t len_bytes)
{
    r->text = malloc(len_bytes + 1);
    if (!r->text) {
        log_error("http", "%s: no memory for a request", r->conn->name);
        return 503;
    }
    memcpy(r->text, text, len_bytes);
    r->text[len_bytes] = '\0';
    int code = http_head_parse(r->text, len_bytes, &r->head);
    if (code != 0) {
        r->head = (struct http_head){0};
        return code;
    }
    r->closes = !r->head.keep_alive;
    r->body_left_bytes = r->head.content_len_bytes;
    r->body_over = !r->head.chunked && r->body_left_bytes == 0;
    r->continue_owed = r->head.expects_continue && !r->body_over;
    choose_route(r);
    if (r->route && !r->route->streams)
        send_continue(r);
    return 0;
}

/* ---- the body -------------------------------------------------------------------------------- */

static bool throws_away(const struct http_request *r)
{
    return r->ended || !r->route;
}

/* How much more of the body may lie here. */
static size_t body_room(const struct http_request *r)
{
    size_t here = evbuffer_get_length(r->body);
    if (throws_away(r))
        return HTTP_DISCARD_MAX;
    size_t most = r->route->streams ? HTTP_BODY_WINDOW : (size_t)r->route->body_max_bytes + 1;
    return here < most ? most - here : 0;
}

bool http_request_wants_body(const struct http_request *r)
{
    return !r->body_over && !(r->ended && r->closes) && body_room(r) > 0;
}

/* Bytes of the body lie at the beginning of in. 0, or the code with which it is refused; so it is
 * with chunks. */
static int take_plain(struct http_request *r, struct evbuffer *in)
{
    size_t take = evbuffer_get_length(in), room = body_room(r);
    if (take > r->body_left_bytes)
        take = (size_t)r->body_left_bytes;
    if (take > room)
        take = room;
    if (evbuffer_remove_buffer(in, r->body, take) != (int)take)
        return 503;
    r->body_bytes += take;
    r->body_left_bytes -= take;
    r->body_over = r->body_left_bytes == 0;
    return 0;
}

static int take_chunked(struct http_request *r, struct evbuffer *in)
{
    struct evbuffer_iovec piece;
    size_t room;
    while (!r->body_over && (room = body_room(r)) > 0 &&
           evbuffer_peek(in, 1, NULL, &piece, 1) > 0 && piece.iov_len > 0) {
        size_t len = piece.iov_len < room ? piece.iov_len : room, used, data;
        const char *text = piece.iov_base;
        if (http_chunks_next(&r->chunks, text, len, &used, &data) != 0)
            return 400;
        if (evbuffer_add(r->body, text + used - data, data) != 0)
            return 503;
        evbuffer_drain(in, used);
        r->body_bytes += data;
        r->body_over = r->chunks.state == CHUNKS_END;
        if (throws_away(r))
            evbuffer_drain(r->body, evbuffer_get_length(r->body));
    }
    return 0;
}

bool http_request_feed(struct http_request *r, struct evbuffer *in)
{
    uint64_t before = r->body_bytes;
    if (!http_request_wants_body(r))
        return true;
    int code = r->head.chunked ? take_chunked(r, in) : take_plain(r, in);
    bool whole = code == 0;
    if (throws_away(r)) {
        evbuffer_drain(r->body, evbuffer_get_length(r->body));
        r->closes = r->closes || !whole;
        r->body_over = r->body_over || !whole;
        return whole;
    }
    r->news = r->news || r->body_bytes != before || r->body_over;
    if (code == 503)
        http_reply_refuse(r, 503, "there is no memory for the body");
    else if (!whole)
        http_reply_refuse(r, 400, "the chunks of the body are malformed");
    else if (too_large(r->body_bytes, r->route->body_max_bytes))
        http_reply_refuse(r, 413, "the body is larger than what is taken here");
    return whole || code == 503;
}

const void *http_request_body(struct http_request *r, size_t *len_bytes)
{
    size_t len = evbuffer_get_length(r->body);
    const void *body = len > 0 ? evbuffer_pullup(r->body, -1) : NULL;
    r->broken = r->broken || (len > 0 && !body); /* no answer to half of what was asked */
    *len_bytes = body ? len : 0;
    return body ? body : "";
}

bool http_body_length(const struct http_request *r, uint64_t *len_bytes)
{
    *len_bytes = r->head.content_len_bytes;
    return !r->head.chunked;
}

size_t http_body_take(struct http_request *r, void *out, size_t size_bytes)
{
    int got = evbuffer_remove(r->body, out, size_bytes);
    if (r->conn && !r->body_over) {
        send_continue(r);
        http_conn_turn(r->conn); /* there is room now */
    }
    return got > 0 ? (size_t)got : 0;
}

bool http_body_is_over(const struct http_request *r)
{
    return r->body_over && evbuffer_get_length(r->body) == 0;
}

void http_request_watch(struct http_request *r, const struct http_watch *watch, void *arg)
{
    r->watch = watch;
    r->watch_arg = arg;
}

/* ---- what it asks for ------------------------------------------------------------------------ */

unsigned http_request_method(const struct http_request *r)
{
    return r->head.method;
}

const char *http_request_path(const struct http_request *r)
{
    return r->head.path;
}

const char *http_request_rest(const struct http_request *r)
{
    return r->head.path + strlen(r->route->path);
}

const char *http_request_header(const struct http_request *r, const char *name)
{
    return http_head_value(&r->head, name);
}

bool http_request_is_local(const struct http_request *r)
{
    return r->local;
}

bool http_request_is_gone(const struct http_request *r)
{
    return r->conn == NULL;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int http_decode(const char *text, size_t text_len_bytes, bool plus, char *out, size_t size,
                size_t *len_bytes)
{
    size_t used = 0;
    for (size_t i = 0; i < text_len_bytes; i++) {
        char c = text[i];
        if (c == '%') {
            int high = text_len_bytes - i > 2 ? hex_value(text[i + 1]) : -1;
            int low = high >= 0 ? hex_value(text[i + 2]) : -1;
            if (low < 0)
                return CENOTE_INVALID;
            c = (char)(high << 4 | low);
            i += 2;
        } else if (plus && c == '+') {
            c = ' ';
        }
        if (used == size)
            return CENOTE_LIMIT;
        out[used++] = c;
    }
    *len_bytes = used;
    return CENOTE_OK;
}

static int query_value(const char *at, size_t item_len, char *out, size_t size, size_t *len_bytes)
{
    size_t len;
    int status = http_decode(at, item_len, true, out, size - 1, &len);
    if (status != CENOTE_OK)
        return status;
    out[len] = '\0';
    if (len_bytes)
        *len_bytes = len;
    else if (strlen(out) != len)
        return CENOTE_INVALID;
    return CENOTE_OK;
}

const char *http_request_query_beyond(const struct http_request *r, const char *const *names)
{
    const char *at = r->head.query;
    while (at && *at != '\0') {
        size_t item = strcspn(at, "&"), len = strcspn(at, "=&");
        bool known = item == 0;
        for (size_t i = 0; names[i] && !known; i++)
            known = strlen(names[i]) == len && strncmp(at, names[i], len) == 0;
        if (!known)
            return at;
        at += item + (at[item] == '&');
    }
    return NULL;
}

int http_request_query(const struct http_request *r, const char *name, char *out, size_t size,
                       size_t *len_bytes)
{
    size_t name_len = strlen(name);
    const char *at = r->head.query;
    while (at && *at != '\0') {
        size_t item = strcspn(at, "&");
        if (item >= name_len && strncmp(at, name, name_len) == 0) {
            if (item == name_len)
                return query_value(at, 0, out, size, len_bytes);
            if (at[name_len] == '=')
                return query_value(at + name_len + 1, item - name_len - 1, out, size, len_bytes);
        }
        at += item + (at[item] == '&');
    }
    return CENOTE_NOT_FOUND;
}
